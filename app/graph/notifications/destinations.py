"""Where people are told outside of the app: browsers, webhooks and other services. Their secrets are never shown."""

from datetime import datetime

import strawberry

from app.alerts.models import Severity
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.alerts import words  # noqa: F401  # shows the enums
from app.graph.identity import scopes  # noqa: F401  # as above
from app.graph.notifications import channels  # noqa: F401  # as above
from app.graph.notifications.errors import OWNER_ALONE
from app.graph.reads.fields import column, shows
from app.graph.relay import Node
from app.graph.scalars import URL
from app.identity.scopes import Scope
from app.notifications.models import EventType
from app.notifications.models import PushSubscription as PushSubscriptionRow
from app.notifications.models import Service as ServiceRow
from app.notifications.models import Webhook as WebhookRow

LAST_DELIVERED = "When something last arrived there; null before the first time."
VERSION = "How often it was changed, from 1; give it with an edit."


@strawberry.type(description="A browser that its owner allowed to be told by Web Push.")
@private(OWNER_ALONE)
@shows(PushSubscriptionRow, PublicIdTag.PUSH_SUBSCRIPTION)
class PushSubscription(Node):
    host: str = column(PushSubscriptionRow.host, "The server of its maker that passes on what it is told.")
    name: str | None = column(PushSubscriptionRow.name, "What its owner calls it.")
    last_delivered_at: datetime | None = column(PushSubscriptionRow.last_delivered_at, LAST_DELIVERED)
    created_at: datetime = column(PushSubscriptionRow.created_at, "When it was first allowed.")


@strawberry.type(description="An address of its owner's own that is told, signed with a secret that both know.")
@private(OWNER_ALONE)
@shows(WebhookRow, PublicIdTag.WEBHOOK)
class Webhook(Node):
    name: str = column(WebhookRow.name, "What its owner calls it.")
    url: URL = column(WebhookRow.url, "Where it is told.")
    document: str | None = column(
        WebhookRow.document, "The query of GraphQL whose answer it gets; null for the usual one."
    )
    scopes: list[Scope] = column(WebhookRow.scopes, "What the document may read beside alerts and notifications.")
    event_types: list[EventType] | None = column(WebhookRow.event_types, "What it is told of; null for everything.")
    minimum_severity: Severity = column(WebhookRow.minimum_severity, "From which severity on it is told.")
    is_enabled: bool = column(WebhookRow.is_enabled, "Whether it is told at all.")
    failing_since: datetime | None = column(
        WebhookRow.failing_since, "Since when nothing has arrived that was sent; after a day it is disabled."
    )
    disabled_at: datetime | None = column(WebhookRow.disabled_at, "When it was disabled; null where it was not.")
    last_delivered_at: datetime | None = column(WebhookRow.last_delivered_at, LAST_DELIVERED)
    version: int = column(WebhookRow.version, VERSION)
    created_at: datetime = column(WebhookRow.created_at, "When it was made.")
    updated_at: datetime = column(WebhookRow.updated_at, "When it was last changed.")


@strawberry.type(description="Another service that its owner is told by. Its address is never shown.")
@private(OWNER_ALONE)
@shows(ServiceRow, PublicIdTag.NOTIFICATION_SERVICE)
class NotificationService(Node):
    name: str = column(ServiceRow.name, "What its owner calls it.")
    kind: str = column(ServiceRow.kind, "Which service it is: the scheme of its address, such as `ntfys`.")
    is_enabled: bool = column(ServiceRow.is_enabled, "Whether it is told at all.")
    last_delivered_at: datetime | None = column(ServiceRow.last_delivered_at, LAST_DELIVERED)
    version: int = column(ServiceRow.version, VERSION)
    created_at: datetime = column(ServiceRow.created_at, "When it was added.")
    updated_at: datetime = column(ServiceRow.updated_at, "When it was last changed.")
