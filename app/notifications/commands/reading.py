"""What people do with what they were told: read it, dismiss it, or put it off."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, among
from app.notifications.given import distinct, not_found, refuse_long_list, refused
from app.notifications.models import Notification

LONGEST_SNOOZE = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Meant:
    """The key of a notification, or of an alert, which stands for the notification of it."""

    key: UUID
    is_alert: bool = False


async def mark_read(transaction: Transaction, meant: Sequence[Meant], *, owner_id: UUID) -> Sequence[UUID]:
    """Mark notifications as read; gives their keys, in the order asked for. What is read stays as it is.

    Raises NotificationRefused where one of them is not the owner's.
    """
    values = {"read_at": func.coalesce(Notification.read_at, func.now())}
    return await _change(transaction.connection, meant, values, owner_id=owner_id)


async def mark_all_read(transaction: Transaction, up_to: UUID, *, owner_id: UUID) -> int:
    """Mark a notification as read and all that were told before it; gives how many were not yet.

    What is put off stays so, unless it is the one that is named: it is to be unread again at its time.
    Raises NotificationRefused where it is not the owner's.
    """
    connection = transaction.connection
    position = await connection.scalar(
        select(Notification.position).where(Notification.id == up_to, Notification.owner_id == owner_id)
    )
    if position is None:
        raise not_found("notification", "upToId")
    unread = (
        Notification.owner_id == owner_id,
        Notification.position <= position,
        Notification.read_at.is_(None),
        Notification.dismissed_at.is_(None),
        or_(
            Notification.id == up_to,
            Notification.snoozed_until.is_(None),
            Notification.snoozed_until <= func.now(),
        ),
    )
    marked = await connection.execute(update(Notification).where(*unread).values(read_at=func.now()))
    return marked.rowcount


async def dismiss(transaction: Transaction, meant: Sequence[Meant], *, owner_id: UUID) -> Sequence[UUID]:
    """Take notifications off the list; gives their keys. Raises as `mark_read` does."""
    values = {"dismissed_at": func.coalesce(Notification.dismissed_at, func.now())}
    return await _change(transaction.connection, meant, values, owner_id=owner_id)


async def snooze(
    transaction: Transaction, meant: Sequence[Meant], *, until: datetime | None, owner_id: UUID, now: datetime
) -> Sequence[UUID]:
    """Put notifications off, so that they are unread again at that time, read or dismissed as they were; None to have
    them back at once.

    Gives their keys. Raises NotificationRefused as `mark_read` does, and for a time that is over or more than a year
    away.
    """
    if until is not None and not now < until <= now + LONGEST_SNOOZE:
        raise refused(f"It is a time to come, within {LONGEST_SNOOZE.days} days; null ends a snooze.", "until")
    values: dict[str, Any] = {"snoozed_until": until, "read_at": None, "dismissed_at": None}
    return await _change(transaction.connection, meant, values, owner_id=owner_id)


async def _change(
    connection: AsyncConnection, meant: Sequence[Meant], values: dict[str, Any], *, owner_id: UUID
) -> Sequence[UUID]:
    if not meant:
        raise refused("Name one at least.", "ids")
    refuse_long_list(meant, "ids")
    own_keys = [one.key for one in meant if not one.is_alert]
    alert_keys = [one.key for one in meant if one.is_alert]
    found = await connection.execute(
        select(Notification.id, Notification.alert_id)
        .where(
            Notification.owner_id == owner_id,
            or_(among(Notification.id, own_keys), among(Notification.alert_id, alert_keys)),
        )
        .order_by(Notification.id)
        .with_for_update(key_share=True)
    )
    key_of = {}
    for row in found:
        key_of[Meant(row.id)] = row.id
        key_of[Meant(row.alert_id, is_alert=True)] = row.id
    for place, one in enumerate(meant):
        if one not in key_of:
            raise not_found("alert" if one.is_alert else "notification", "ids", str(place))
    keys = distinct([key_of[one] for one in meant])
    await connection.execute(update(Notification).where(among(Notification.id, keys)).values(**values))
    return keys
