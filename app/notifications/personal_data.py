"""What the room keeps of a person: what they were told, and where and when they want to be told it."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select

from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.notifications.models import (
    Delivery,
    Notification,
    Preferences,
    PushSubscription,
    Route,
    Service,
    Webhook,
)


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Delete all that a person was told and chose; nobody else has anything of it."""
    # In the order in which others hold these: who routes the notifications first, who sends the destinations.
    for held in (Notification, PushSubscription, Webhook, Service):
        await transaction.connection.execute(select(held.id).where(held.owner_id == user_id).with_for_update())
    for table in (Delivery, Notification, PushSubscription, Webhook, Service, Route, Preferences):
        await transaction.connection.execute(delete(table).where(table.__table__.c.owner_id == user_id))


def _notifications(user_id: UUID) -> Select[*tuple[Any, ...]]:
    told = Notification
    return (
        select(
            *(told.id, told.event_type, told.severity, told.title, told.body, told.channels),
            *(told.read_at, told.dismissed_at, told.snoozed_until, told.created_at),
        )
        .where(told.owner_id == user_id)
        .order_by(told.position)
    )


def _deliveries(user_id: UUID) -> Select[*tuple[Any, ...]]:
    sent = Delivery
    return (
        select(
            *(sent.id, Notification.title.label("notification"), sent.channel),
            *(PushSubscription.host.label("browser"), Webhook.url.label("webhook"), Service.name.label("service")),
            *(sent.status, sent.attempts, sent.next_attempt_at, sent.digest_at, sent.last_status, sent.last_error),
            *(sent.delivered_at, sent.asked_at, sent.created_at),
        )
        .join(Notification, Notification.id == sent.notification_id)
        .outerjoin(PushSubscription, PushSubscription.id == sent.push_subscription_id)
        .outerjoin(Webhook, Webhook.id == sent.webhook_id)
        .outerjoin(Service, Service.id == sent.service_id)
        .where(sent.owner_id == user_id)
        .order_by(sent.created_at, sent.id)
    )


def _preferences(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return select(
        *(Preferences.time_zone, Preferences.quiet_from, Preferences.quiet_until, Preferences.digest),
        *(Preferences.digest_at, Preferences.version, Preferences.updated_at),
    ).where(Preferences.owner_id == user_id)


def _routes(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(Route.event_type, Route.channel, Route.minimum_severity)
        .where(Route.owner_id == user_id)
        .order_by(Route.event_type, Route.channel)
    )


def _browsers(user_id: UUID) -> Select[*tuple[Any, ...]]:
    browser = PushSubscription
    return (
        select(browser.id, browser.host, browser.name, browser.last_delivered_at, browser.created_at)
        .where(browser.owner_id == user_id)
        .order_by(browser.created_at, browser.id)
    )


def _webhooks(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Webhook.id, Webhook.name, Webhook.url, Webhook.document, Webhook.scopes, Webhook.event_types),
            *(
                Webhook.minimum_severity,
                Webhook.is_enabled,
                Webhook.failing_since,
                Webhook.disabled_at,
                Webhook.last_delivered_at,
            ),
            *(Webhook.version, Webhook.created_at, Webhook.updated_at),
        )
        .where(Webhook.owner_id == user_id)
        .order_by(Webhook.created_at, Webhook.id)
    )


def _services(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Service.id, Service.name, Service.kind, Service.is_enabled, Service.last_delivered_at),
            *(Service.version, Service.created_at, Service.updated_at),
        )
        .where(Service.owner_id == user_id)
        .order_by(Service.created_at, Service.id)
    )


PARTS = (
    ExportPart(
        "notifications.json",
        "What you were told, and what you did with it.",
        table_of(Notification),
        _notifications,
        PublicIdTag.NOTIFICATION,
    ),
    ExportPart(
        "notification-deliveries.json",
        "What of that went elsewhere, and what became of it.",
        table_of(Delivery),
        _deliveries,
        PublicIdTag.DELIVERY,
    ),
    ExportPart(
        "notification-preferences.json",
        "Your quiet hours, and how your mails are gathered.",
        table_of(Preferences),
        _preferences,
    ),
    ExportPart("notification-routes.json", "What you want to be told by which channel.", table_of(Route), _routes),
    ExportPart(
        "push-subscriptions.json",
        "The browsers that you allowed to be told, without their keys.",
        table_of(PushSubscription),
        _browsers,
        PublicIdTag.PUSH_SUBSCRIPTION,
    ),
    ExportPart(
        "webhooks.json", "Your webhooks, without their secrets.", table_of(Webhook), _webhooks, PublicIdTag.WEBHOOK
    ),
    ExportPart(
        "notification-services.json",
        "The other services that you are told by, without their addresses.",
        table_of(Service),
        _services,
        PublicIdTag.NOTIFICATION_SERVICE,
    ),
)
PERSONAL_DATA = PersonalData("notifications", erase, PARTS)
