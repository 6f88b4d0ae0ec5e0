"""Deletes notifications that are kept no longer, read or not: those of long ago, and all but a person's newest."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from app.core.database import Transaction

NOTIFICATIONS_KEPT_FOR = timedelta(days=365)
MOST_KEPT_OF_OWNER = 10_000
DELETED_AT_A_TIME = 5_000


async def prune_notifications(transaction: Transaction, *, now: datetime, limit: int = DELETED_AT_A_TIME) -> int:
    """Delete notifications that are older than a year, up to so many; gives how many."""
    deleted = await transaction.connection.execute(
        _DELETE_OLD, {"before": now - NOTIFICATIONS_KEPT_FOR, "limit": limit}
    )
    return deleted.rowcount


async def owners_of_too_many(transaction: Transaction, *, most: int = MOST_KEPT_OF_OWNER) -> Sequence[UUID]:
    """Who has more notifications than are kept."""
    found = await transaction.connection.scalars(_CROWDED, {"most": most})
    return found.all()


async def prune_notifications_of(
    transaction: Transaction, owner_id: UUID, *, most: int = MOST_KEPT_OF_OWNER, limit: int = DELETED_AT_A_TIME
) -> int:
    """Delete all but somebody's newest notifications, up to so many; gives how many.

    What is still to go elsewhere stays until it has gone.
    """
    deleted = await transaction.connection.execute(
        _DELETE_SURPLUS, {"owner_id": owner_id, "most": most, "limit": limit}
    )
    return deleted.rowcount


_IS_DONE = """
    routed_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM notifications.deliveries WHERE notification_id = told.id AND status = 'waiting'
    )
"""
_DELETE_OLD = text("""
    DELETE FROM notifications.notifications WHERE id IN (
        SELECT id FROM notifications.notifications
        WHERE created_at < CAST(:before AS timestamptz)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
_CROWDED = text("""
    SELECT owner_id FROM notifications.notifications GROUP BY owner_id HAVING count(*) > :most ORDER BY owner_id
""")
_DELETE_SURPLUS = text(f"""
    DELETE FROM notifications.notifications WHERE id IN (
        SELECT id FROM notifications.notifications AS told
        WHERE owner_id = :owner_id AND {_IS_DONE} AND position <= (
            SELECT position FROM notifications.notifications
            WHERE owner_id = :owner_id ORDER BY position DESC OFFSET :most LIMIT 1
        )
        ORDER BY position LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")  # noqa: S608  # words of our own
