"""The fields of an account that tell of its notifications."""

from collections.abc import Mapping
from typing import Any

from app.graph.notifications.errors import NOTIFICATIONS_READ
from app.graph.notifications.notifications import (
    DELIVERY_ARGUMENTS,
    DELIVERY_ORDERS,
    NOTIFICATION_ARGUMENTS,
    NOTIFICATION_ORDERS,
)
from app.graph.reads.arguments import OperationContext
from app.graph.reads.fields import connection, edge, edges, keyed_rows
from app.identity.models import User as UserRow
from app.notifications.models import Delivery as DeliveryRow
from app.notifications.models import Notification as NotificationRow
from app.notifications.models import PushSubscription as PushSubscriptionRow
from app.notifications.models import Service as ServiceRow
from app.notifications.models import Webhook as WebhookRow
from app.notifications.queries.notifications import COUNTS, PREFERENCES


def notifications_of_account() -> Any:
    """The list of what somebody was told."""
    return connection(
        "What they were told, the newest first, for a year and no more than some 10,000; empty for everybody but their "
        "owner. What they dismissed is left out unless it is asked for.",
        on=UserRow.id,
        to=NotificationRow.owner_id,
        orders=NOTIFICATION_ORDERS,
        arguments=NOTIFICATION_ARGUMENTS,
        access=NOTIFICATIONS_READ,
    )


def _values_of_counts(_: Mapping[str, Any], context: OperationContext) -> dict[str, Any]:
    NOTIFICATIONS_READ.check(context.viewer, context.now)
    return {"now": context.now}


def notification_counts_of_account() -> Any:
    """How much of it they have not read."""
    return keyed_rows(
        "How much of that is unread, 10,000 at most; null for everybody but their owner. "
        f"{NOTIFICATIONS_READ.sentence}",
        on=UserRow.id,
        to=COUNTS.c.owner_id,
        keys="owner_ids",
        order=[COUNTS.c.owner_id],
        arguments=[],
        values=_values_of_counts,
        is_list=False,
    )


def notification_preferences_of_account() -> Any:
    """How they want to be told."""
    return edge(
        "How they want to be told things; null for everybody but their owner.",
        on=UserRow.id,
        to=PREFERENCES.c.owner_id,
        access=NOTIFICATIONS_READ,
    )


def push_subscriptions_of_account() -> Any:
    """The browsers that tell them."""
    return edges(
        "The browsers that they allowed to be told, the oldest first; empty for everybody but their owner.",
        on=UserRow.id,
        to=PushSubscriptionRow.owner_id,
        order=[PushSubscriptionRow.created_at, PushSubscriptionRow.id],
        access=NOTIFICATIONS_READ,
    )


def webhooks_of_account() -> Any:
    """Their webhooks."""
    return edges(
        "Their webhooks, the oldest first; empty for everybody but their owner.",
        on=UserRow.id,
        to=WebhookRow.owner_id,
        order=[WebhookRow.created_at, WebhookRow.id],
        access=NOTIFICATIONS_READ,
    )


def notification_services_of_account() -> Any:
    """The other services that tell them."""
    return edges(
        "The other services that they are told by, the oldest first; empty for everybody but their owner.",
        on=UserRow.id,
        to=ServiceRow.owner_id,
        order=[ServiceRow.created_at, ServiceRow.id],
        access=NOTIFICATIONS_READ,
    )


def deliveries_of_account() -> Any:
    """What was sent to them outside of the app."""
    return connection(
        "What is and was on its way to them outside of the app, the newest first; empty for everybody but their owner.",
        on=UserRow.id,
        to=DeliveryRow.owner_id,
        orders=DELIVERY_ORDERS,
        arguments=DELIVERY_ARGUMENTS,
        access=NOTIFICATIONS_READ,
    )
