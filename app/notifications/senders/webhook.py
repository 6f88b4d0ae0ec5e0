"""Sends to webhooks, as Standard Webhooks says: a JSON body, signed together with its id and its time."""

import base64
import hmac
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

import httpx
from sqlalchemy import Row, select

from app.alerts.models import Alert
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.core.secrets import Secrets, SecretUnreadable
from app.identity.scopes import Scope
from app.notifications.models import Webhook
from app.notifications.sealed import open_webhook_secret, webhook_key
from app.notifications.senders.posting import post
from app.notifications.senders.webhook_body import webhook_body
from app.notifications.sending import NotDelivered, Outgoing, PayloadNotMade
from app.notifications.webhook_scopes import scopes_of_webhook

GONE_STATUS = 410


class AnswerDocument(Protocol):
    """Answers the document of a webhook as its owner, with these scopes."""

    async def __call__(
        self, document: str, *, owner_id: UUID, webhook_id: UUID, notification_id: UUID, scopes: frozenset[Scope]
    ) -> bytes:
        """The JSON of the answer, with its errors; raises NotDelivered where there is none to be sent.

        It is a DocumentNotAnswered where the document is to blame, and a PayloadNotMade where it is not.
        """
        ...


class WebhookSender:
    """Sends to webhooks. `answer_document` makes the body where the webhook has a document."""

    def __init__(
        self, database: Database, secrets: Secrets, http: httpx.AsyncClient, *, answer_document: AnswerDocument
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._http = http
        self._answer_document = answer_document

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Post one notification to one webhook; raises NotDelivered."""
        (one,) = outgoing
        webhook, alert = await self._webhook_and_alert(one)
        try:
            key = webhook_key(open_webhook_secret(self._secrets, webhook.id, webhook.secret))
        except SecretUnreadable as unreadable:
            # The key may be put back.
            raise PayloadNotMade(f"The secret of the webhook cannot be read: {unreadable}.") from None
        if webhook.document is None:
            content = webhook_body(one, alert)
        else:
            content = await self._answer_document(
                webhook.document,
                owner_id=one.owner_id,
                webhook_id=webhook.id,
                notification_id=one.notification_id,
                scopes=scopes_of_webhook(webhook.scopes),
            )
        headers = {"Content-Type": "application/json", **signature_headers(one.id, content, key)}
        try:
            await post(self._http, webhook.url, content=content, headers=headers)
        except NotDelivered as failure:
            if failure.status != GONE_STATUS:
                raise
            raise NotDelivered(str(failure), is_permanent=True, is_gone=True, status=GONE_STATUS) from None

    async def _webhook_and_alert(self, one: Outgoing) -> tuple[Row[*tuple[Any, ...]], Row[*tuple[Any, ...]] | None]:
        columns = (Webhook.id, Webhook.url, Webhook.secret, Webhook.document, Webhook.scopes)
        statement = select(*columns).where(Webhook.id == one.destination_id, Webhook.is_enabled)
        async with self._database.transaction() as transaction:
            webhook = (await transaction.connection.execute(statement)).one_or_none()
            alert = None
            if webhook is not None and webhook.document is None and one.alert_id is not None:
                of_alert = select(*Alert.__table__.columns).where(Alert.id == one.alert_id)
                alert = (await transaction.connection.execute(of_alert)).one_or_none()
        if webhook is None:
            raise PayloadNotMade("The webhook is gone or was disabled.", is_permanent=True)
        return webhook, alert


def signature_headers(delivery_id: UUID, content: bytes, key: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks, signed now; the id is the delivery's, the same at each attempt."""
    message_id, timestamp = public_id(PublicIdTag.DELIVERY, delivery_id), str(int(utc_now().timestamp()))
    signed = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + content, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
