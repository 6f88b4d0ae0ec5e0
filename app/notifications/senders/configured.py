"""Those who send outside of the app beside mails, over the settings."""

import httpx

from app.core.database import Database
from app.core.secrets import Secrets
from app.core.settings import Settings
from app.notifications.models import ChannelKind
from app.notifications.senders.service import ServiceProcess, ServiceSender
from app.notifications.senders.web_push import WebPushSender, contact_of
from app.notifications.senders.webhook import AnswerDocument, WebhookSender
from app.notifications.sending import Sender


def senders_of(
    database: Database,
    secrets: Secrets,
    settings: Settings,
    *,
    http: httpx.AsyncClient,
    answer_document: AnswerDocument,
    services: ServiceProcess,
) -> dict[ChannelKind, Sender]:
    """Who sends by Web Push, to webhooks and to services; `http` is a `posting_client(addresses_of(settings))`.

    Whoever makes `services` closes it.
    """
    return {
        ChannelKind.WEB_PUSH: WebPushSender(database, secrets, http, contact=contact_of(settings)),
        ChannelKind.WEBHOOK: WebhookSender(database, secrets, http, answer_document=answer_document),
        ChannelKind.SERVICE: ServiceSender(database, secrets, services),
    }
