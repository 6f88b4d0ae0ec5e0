"""Sends by Web Push (RFC 8030): encrypted for one browser (RFC 8291), signed with a key of this server (RFC 8292)."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn

import httpx
import orjson
from py_vapid import Vapid, VapidException
from pywebpush import WebPusher, WebPushException
from sqlalchemy import Row, select

from app.alerts.models import Severity
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.core.mail_server import parse_sender
from app.core.secrets import Secrets, SecretUnreadable
from app.core.settings import Settings
from app.notifications.commands.vapid_keys import SigningVapidKey, signing_vapid_key
from app.notifications.models import PushSubscription
from app.notifications.sealed import BrowserEndpoint, open_browser
from app.notifications.senders.posting import GONE_STATUSES, PASSING_STATUSES, post
from app.notifications.sending import NotDelivered, Outgoing

# Push services take 4,096 bytes, of which encryption needs some.
LARGEST_PAYLOAD_BYTES = 3_500
LONGEST_TITLE = 200
SIGNED_FOR = timedelta(hours=12)
URGENCIES: Mapping[Severity, str] = {Severity.INFO: "normal", Severity.WARNING: "high", Severity.CRITICAL: "high"}
# How long a push service keeps it for a browser that is away: the TTL of RFC 8030.
TIME_TO_LIVE: Mapping[Severity, timedelta] = {
    Severity.INFO: timedelta(hours=12),
    Severity.WARNING: timedelta(days=1),
    Severity.CRITICAL: timedelta(days=3),
}


class WebPushSender:
    """Sends to browsers. `contact` is where operators of push services find ours: `mailto:…` or `https://…`."""

    def __init__(self, database: Database, secrets: Secrets, http: httpx.AsyncClient, *, contact: str) -> None:
        self._database = database
        self._secrets = secrets
        self._http = http
        self._contact = contact

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Push one notification to one browser; raises NotDelivered."""
        (one,) = outgoing
        endpoint, key = await self._endpoint_and_key(one)
        try:
            content = bytes(WebPusher(endpoint.as_subscription).encode(push_payload(one))["body"])
            signed = self._signed(endpoint.url, key)
        except (ValueError, WebPushException, VapidException):
            raise NotDelivered("What the browser gave is no subscription; subscribe anew.", is_permanent=True) from None
        headers = {
            **signed,
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(int(TIME_TO_LIVE[one.severity].total_seconds())),
            "Urgency": URGENCIES[one.severity],
            # Sent again while it waits for the browser, it takes its own place.
            "Topic": one.notification_id.hex,
        }
        try:
            await post(self._http, endpoint.url, content=content, headers=headers)
        except NotDelivered as failure:
            _raise_as_push_services_mean_it(failure)

    async def _endpoint_and_key(self, one: Outgoing) -> tuple[BrowserEndpoint, SigningVapidKey]:
        columns = (PushSubscription.subscription, PushSubscription.created_at)
        statement = select(*columns).where(PushSubscription.id == one.destination_id)
        try:
            async with self._database.transaction() as transaction:
                row = (await transaction.connection.execute(statement)).one_or_none()
                key = row and await signing_vapid_key(transaction, self._secrets, subscribed_at=row.created_at)
            return self._opened(one, row), _required(key)
        except SecretUnreadable as unreadable:
            # The key may be put back.
            raise NotDelivered(f"The subscription cannot be read: {unreadable}.") from None

    def _opened(self, one: Outgoing, row: Row[*tuple[Any, ...]] | None) -> BrowserEndpoint:
        if row is None or one.destination_id is None:
            raise NotDelivered("The browser is no longer subscribed.", is_permanent=True)
        return open_browser(self._secrets, one.destination_id, row.subscription)

    def _signed(self, url: str, key: SigningVapidKey) -> dict[str, str]:
        place = httpx.URL(url)
        claims = {
            "aud": f"{place.scheme}://{place.netloc.decode()}",
            "exp": int((utc_now() + SIGNED_FOR).timestamp()),
            "sub": self._contact,
        }
        # Without its own idea of which contacts there are.
        signed: dict[str, str] = Vapid(key.private_key, conf={"no-strict": True}).sign(claims)
        return signed


def contact_of(settings: Settings) -> str:
    """Where operators of push services find ours, by the settings: the sender of mails, else the public address."""
    if settings.mail_from is not None:
        return f"mailto:{parse_sender(settings.mail_from).addr_spec}"
    return settings.public_url or "https://localhost"


def push_payload(outgoing: Outgoing) -> bytes:
    """The JSON that a browser's service worker gets; what is too long is cut."""
    notification = public_id(PublicIdTag.NOTIFICATION, outgoing.notification_id)
    body = outgoing.body
    while True:
        payload = orjson.dumps(
            {
                "id": notification,
                "title": shortened(outgoing.title, LONGEST_TITLE),
                "body": body,
                "severity": outgoing.severity.name,
                "url": f"/notifications/{notification}",
            }
        )
        too_many = len(payload) - LARGEST_PAYLOAD_BYTES
        if too_many <= 0 or body is None:
            return payload
        # No letter takes more than six bytes.
        body = shortened(body, len(body) - too_many // 6 - 2)


def shortened(text: str, longest: int) -> str:
    """The text in so many characters, with an ellipsis where something is missing."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _required(key: SigningVapidKey | None) -> SigningVapidKey:
    if key is None:
        raise NotDelivered("This server has lost the key that the browser knows; subscribe anew.", is_permanent=True)
    return key


def _raise_as_push_services_mean_it(failure: NotDelivered) -> NoReturn:
    status = failure.status
    passes = status is None or status in PASSING_STATUSES or status >= 500 or 200 <= status < 300
    raise NotDelivered(
        str(failure),
        is_permanent=failure.is_permanent or not passes,
        is_gone=status in GONE_STATUSES,
        status=status,
        retry_after=failure.retry_after,
    ) from None
