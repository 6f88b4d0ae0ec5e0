"""Notifications that people send to themselves, to see whether and how they arrive."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.models import Severity
from app.core.database import Transaction, among
from app.core.ids import new_id
from app.notifications.commands.held import only_writer_of
from app.notifications.commands.notify import NewNotification, notify
from app.notifications.commands.route_notifications import DELIVER
from app.notifications.given import not_found, too_many
from app.notifications.models import (
    ChannelKind,
    Delivery,
    EventType,
    Notification,
    PushSubscription,
    Service,
    Webhook,
)

MOST_TRIALS_PER_HOUR = 10
TITLE = "This is a test"
BODY = "If you can read this, notifications reach you here."

# The table of each kind of destination, and the column of deliveries that leads there.
_TABLES: Mapping[ChannelKind, tuple[Any, Any]] = {
    ChannelKind.WEB_PUSH: (PushSubscription, Delivery.push_subscription_id),
    ChannelKind.WEBHOOK: (Webhook, Delivery.webhook_id),
    ChannelKind.SERVICE: (Service, Delivery.service_id),
}


@dataclass(frozen=True, slots=True)
class Destination:
    """A browser, a webhook or a service of somebody's."""

    channel: ChannelKind
    key: UUID


async def send_trial(
    transaction: Transaction,
    *,
    owner_id: UUID,
    severity: Severity,
    now: datetime,
    destination: Destination | None = None,
) -> UUID:
    """Tell the owner something that means nothing, as their routes say, or outside of the app to one destination alone;
    gives the notification's key.

    Raises NotificationRefused for a destination that is not theirs, and for more than 10 in an hour of the clock.
    """
    connection = transaction.connection
    await only_writer_of(connection, owner_id)
    if destination is not None:
        table, _ = _TABLES[destination.channel]
        is_own = (table.id == destination.key, table.owner_id == owner_id)
        if await connection.scalar(select(table.id).where(*is_own)) is None:
            raise not_found("destination", "destinationId")
    key = await _free_key(connection, owner_id, now)
    told = NewNotification(
        owner_id=owner_id,
        key=key,
        event_type=EventType.ACCOUNT,
        severity=severity,
        title=TITLE,
        body=BODY,
        # To one destination: by no kind of channel, so that routing adds none.
        channels=None if destination is None else (),
    )
    await notify(transaction, [told])
    notification_id: UUID = (
        await connection.execute(
            select(Notification.id).where(Notification.owner_id == owner_id, Notification.key == key)
        )
    ).scalar_one()
    if destination is not None:
        _, column = _TABLES[destination.channel]
        await connection.execute(
            insert(Delivery).values(
                {
                    Delivery.id: new_id(),
                    Delivery.owner_id: owner_id,
                    Delivery.notification_id: notification_id,
                    Delivery.channel: destination.channel.value,
                    column: destination.key,
                }
            )
        )
        transaction.enqueue(DELIVER)
    return notification_id


async def _free_key(connection: AsyncConnection, owner_id: UUID, now: datetime) -> str:
    """A key of the hour that no trial has yet."""
    keys = [f"trial:{now:%Y-%m-%dT%H}:{number}" for number in range(MOST_TRIALS_PER_HOUR)]
    own = select(Notification.key).where(Notification.owner_id == owner_id, among(Notification.key, keys))
    taken = set(await connection.scalars(own))
    if len(taken) == len(keys):
        raise too_many(f"You have sent {MOST_TRIALS_PER_HOUR} in this hour; wait for the next one.")
    return next(key for key in keys if key not in taken)
