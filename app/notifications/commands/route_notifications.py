"""Decides of new notifications where else they go than into the app."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.models import Severity
from app.core.database import Transaction, among, insert_at_once
from app.core.ids import new_id
from app.core.jobs import Job
from app.identity.models import User
from app.notifications.models import (
    Channel,
    ChannelKind,
    Delivery,
    Digest,
    EventType,
    Notification,
    Preferences,
    PushSubscription,
    Route,
    Service,
    Webhook,
)
from app.notifications.quiet_hours import Hours
from app.notifications.routing import Destination, NotificationToRoute, Owner, PlannedDelivery, planned_deliveries

DELIVER = Job("deliver", key="deliver")
DESTINATION_COLUMNS = {
    ChannelKind.WEB_PUSH: "push_subscription_id",
    ChannelKind.WEBHOOK: "webhook_id",
    ChannelKind.SERVICE: "service_id",
}


async def route_notifications(transaction: Transaction, *, limit: int, now: datetime) -> int:
    """Plan the deliveries of notifications that nobody has looked at, the oldest first; gives how many these were.

    One that was read, dismissed or put off meanwhile goes nowhere else.
    """
    connection = transaction.connection
    found = await connection.execute(
        select(*Notification.__table__.columns)
        .where(Notification.routed_at.is_(None))
        .order_by(Notification.position)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    notifications = found.all()
    if not notifications:
        return 0
    owners = await _owners(connection, {one.owner_id for one in notifications})
    switched_off = set(await connection.scalars(select(Channel.kind).where(~Channel.is_enabled)))
    switched_on = [kind for kind in ChannelKind if kind.value not in switched_off]
    rows = [
        _row(one, planned, now)
        for one in notifications
        if one.owner_id in owners and not _is_settled(one, now)
        for planned in planned_deliveries(_told(one), owners[one.owner_id], switched_on=switched_on, now=now)
    ]
    await insert_at_once(connection, Delivery, rows, passes_over_existing=True)
    await connection.execute(
        update(Notification).where(among(Notification.id, [one.id for one in notifications])).values(routed_at=now)
    )
    if rows:
        transaction.enqueue(DELIVER)
    return len(notifications)


def _is_settled(notification: Row[Any], now: datetime) -> bool:
    is_put_off = notification.snoozed_until is not None and notification.snoozed_until > now
    return notification.read_at is not None or notification.dismissed_at is not None or is_put_off


def _told(notification: Row[Any]) -> NotificationToRoute:
    channels = notification.channels
    return NotificationToRoute(
        event_type=EventType(notification.event_type),
        severity=Severity(notification.severity),
        channels=None if channels is None else [ChannelKind(kind) for kind in channels],
    )


def _row(notification: Row[Any], planned: PlannedDelivery, now: datetime) -> dict[str, object]:
    destinations: dict[str, UUID | None] = dict.fromkeys(DESTINATION_COLUMNS.values())
    if planned.channel in DESTINATION_COLUMNS:
        destinations[DESTINATION_COLUMNS[planned.channel]] = planned.destination_id
    return {
        "id": new_id(),
        "owner_id": notification.owner_id,
        "notification_id": notification.id,
        "channel": planned.channel.value,
        **destinations,
        "status": "waiting",
        "attempts": 0,
        "next_attempt_at": planned.goes_at,
        "digest_at": planned.digest_at,
        "created_at": now,
    }


async def _owners(connection: AsyncConnection, ids: Collection[UUID]) -> Mapping[UUID, Owner]:
    """What these people have chosen; nobody who was erased."""
    hours = {
        row.owner_id: Hours(
            time_zone=row.time_zone,
            quiet_from=row.quiet_from,
            quiet_until=row.quiet_until,
            digest=Digest(row.digest),
            digest_at=row.digest_at,
        )
        for row in await connection.execute(
            select(
                *(Preferences.owner_id, func.coalesce(Preferences.time_zone, User.timezone).label("time_zone")),
                *(Preferences.quiet_from, Preferences.quiet_until, Preferences.digest, Preferences.digest_at),
            )
            .join(User, User.id == Preferences.owner_id)
            .where(among(Preferences.owner_id, ids))
        )
    }
    routes: dict[UUID, dict[tuple[EventType, ChannelKind], Severity | None]] = defaultdict(dict)
    for row in await connection.execute(select(*Route.__table__.columns).where(among(Route.owner_id, ids))):
        least = None if row.minimum_severity is None else Severity(row.minimum_severity)
        routes[row.owner_id][EventType(row.event_type), ChannelKind(row.channel)] = least
    destinations = await _destinations(connection, ids)
    people = await connection.execute(
        select(User.id, User.email_verified_at, User.email, User.notifies_by_email, User.notifies_by_push).where(
            among(User.id, ids), User.deleted_at.is_(None)
        )
    )
    return {
        row.id: Owner(
            hours=hours.get(row.id) or Hours(),
            routes=routes[row.id],
            destinations=destinations[row.id],
            has_address=row.email is not None and row.email_verified_at is not None,
            wants_mails=row.notifies_by_email,
            wants_pushes=row.notifies_by_push,
        )
        for row in people
    }


async def _destinations(connection: AsyncConnection, ids: Collection[UUID]) -> Mapping[UUID, list[Destination]]:
    """Where these people can be told, each held so that it stays until its deliveries are stored."""
    found: dict[UUID, list[Destination]] = defaultdict(list)
    simple = {
        ChannelKind.WEB_PUSH: select(PushSubscription.id, PushSubscription.owner_id).where(
            among(PushSubscription.owner_id, ids)
        ),
        ChannelKind.SERVICE: select(Service.id, Service.owner_id).where(
            among(Service.owner_id, ids), Service.is_enabled
        ),
    }
    for channel, read in simple.items():
        for row in await connection.execute(read.with_for_update(read=True, key_share=True)):
            found[row.owner_id].append(Destination(id=row.id, channel=channel))
    webhooks = select(Webhook.id, Webhook.owner_id, Webhook.event_types, Webhook.minimum_severity).where(
        among(Webhook.owner_id, ids), Webhook.is_enabled
    )
    for webhook in await connection.execute(webhooks.with_for_update(read=True, key_share=True)):
        types = None if webhook.event_types is None else [EventType(one) for one in webhook.event_types]
        least = Severity(webhook.minimum_severity)
        found[webhook.owner_id].append(
            Destination(id=webhook.id, channel=ChannelKind.WEBHOOK, event_types=types, minimum_severity=least)
        )
    return found
