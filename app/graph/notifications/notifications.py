"""What people were told, and what became of telling them outside of the app."""

from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from app.alerts.models import Alert as AlertRow
from app.alerts.models import Severity
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.alerts.alerts import Alert
from app.graph.alerts.errors import ALERTS_READ
from app.graph.fields import show_enum
from app.graph.notifications.destinations import NotificationService, PushSubscription, Webhook
from app.graph.notifications.errors import OWNER_ALONE
from app.graph.reads.arguments import Orders, equals, holds, includes
from app.graph.reads.fields import column, edge, edges, shows
from app.graph.relay import Node
from app.notifications.models import ChannelKind, DeliveryStatus, EventType
from app.notifications.models import Delivery as DeliveryRow
from app.notifications.models import Notification as NotificationRow
from app.notifications.models import PushSubscription as PushSubscriptionRow
from app.notifications.models import Service as ServiceRow
from app.notifications.models import Webhook as WebhookRow
from app.notifications.queries.notifications import IS_DISMISSED, IS_UNREAD, NEXT_ATTEMPT

show_enum(
    DeliveryStatus,
    "What became of a delivery.",
    {
        DeliveryStatus.WAITING: "It waits for its next attempt.",
        DeliveryStatus.DELIVERED: "It has arrived.",
        DeliveryStatus.FAILED: "It was given up.",
        DeliveryStatus.DROPPED: "It became needless.",
    },
    name="NotificationDeliveryStatus",
)


class NotificationOrder(Enum):
    """What notifications are ordered by."""

    POSITION = "position"


class DeliveryOrder(Enum):
    """What deliveries are ordered by."""

    CREATED_AT = "created_at"


NOTIFICATION_ORDERS = Orders(
    "notifications",
    {NotificationOrder.POSITION: NotificationRow.position},
    tie=NotificationRow.position,
    newest_first=True,
)
DELIVERY_ORDERS = Orders(
    "notification-deliveries",
    {DeliveryOrder.CREATED_AT: DeliveryRow.created_at},
    tie=DeliveryRow.id,
    newest_first=True,
)


@strawberry.type(
    description="A notification on its way to one destination outside of the app. Kept for 90 days; `redeliver` sends "
    "it again."
)
@private(OWNER_ALONE)
@shows(DeliveryRow, PublicIdTag.DELIVERY)
class NotificationDelivery(Node):
    channel: ChannelKind = column(DeliveryRow.channel, "By which kind of channel.")
    status: DeliveryStatus = column(DeliveryRow.status, "What became of it.")
    attempts: int = column(DeliveryRow.attempts, "How often it was tried.")
    next_attempt_at: datetime | None = column(NEXT_ATTEMPT, "When it is tried next; null unless it waits.")
    last_status: int | None = column(
        DeliveryRow.last_status,
        "The status, of HTTP or SMTP, by which the last attempt was refused; null where it was not, or without one.",
    )
    last_error: str | None = column(
        DeliveryRow.last_error, "Why the last attempt failed, or why it became needless; null where neither is so."
    )
    delivered_at: datetime | None = column(DeliveryRow.delivered_at, "When it arrived; null until then.")
    created_at: datetime = column(DeliveryRow.created_at, "When it was put on its way.")
    notification: Annotated["Notification", strawberry.lazy("app.graph.notifications.notifications")] | None = edge(
        "What is told.", on=DeliveryRow.notification_id, to=NotificationRow.id
    )
    push_subscription: PushSubscription | None = edge(
        "The browser that it goes to, if it goes to one.",
        on=DeliveryRow.push_subscription_id,
        to=PushSubscriptionRow.id,
    )
    webhook: Webhook | None = edge(
        "The webhook that it goes to, if it goes to one.", on=DeliveryRow.webhook_id, to=WebhookRow.id
    )
    service: NotificationService | None = edge(
        "The service that it goes to, if it goes to one.", on=DeliveryRow.service_id, to=ServiceRow.id
    )


@strawberry.type(description="Something that its owner is told.")
@private(OWNER_ALONE)
@shows(NotificationRow, PublicIdTag.NOTIFICATION)
class Notification(Node):
    title: str = column(NotificationRow.title, "What it says, in one line.")
    body: str | None = column(NotificationRow.body, "More of it, if there is more.")
    severity: Severity = column(NotificationRow.severity, "How much it matters.")
    event_type: EventType = column(NotificationRow.event_type, "What it is about.")
    is_unread: bool = column(IS_UNREAD, "Whether it is to be read: not read yet, not dismissed, and not put off.")
    created_at: datetime = column(NotificationRow.created_at, "When it was told.")
    read_at: datetime | None = column(NotificationRow.read_at, "When it was marked as read; null where it was not.")
    dismissed_at: datetime | None = column(
        NotificationRow.dismissed_at, "When it was dismissed; null where it was not."
    )
    snoozed_until: datetime | None = column(
        NotificationRow.snoozed_until, "Until when it is, or was, put off; null where it was not."
    )
    alert: Alert | None = edge(
        "The alert that it tells of, if it tells of one.",
        on=NotificationRow.alert_id,
        to=AlertRow.id,
        access=ALERTS_READ,
    )
    deliveries: list[NotificationDelivery] = edges(
        "Where else it went, the first first.",
        on=NotificationRow.id,
        to=DeliveryRow.notification_id,
        order=[DeliveryRow.created_at, DeliveryRow.id],
    )


NOTIFICATION_ARGUMENTS = (
    holds("unread", IS_UNREAD, "Only those that are to be read, or with false only the others."),
    equals("severity", Severity | None, NotificationRow.severity, "Only those of this severity."),
    equals("eventType", EventType | None, NotificationRow.event_type, "Only those about this."),
    includes("includeDismissed", IS_DISMISSED, "Whether to list those that were dismissed, too."),
)
DELIVERY_ARGUMENTS = (
    equals("status", DeliveryStatus | None, DeliveryRow.status, "Only those of this status."),
    equals("channel", ChannelKind | None, DeliveryRow.channel, "Only those by this kind of channel."),
)
