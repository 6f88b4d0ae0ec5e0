"""Deletes notifications that were read long ago."""

from datetime import datetime, timedelta

from sqlalchemy import text

from app.core.database import Transaction

NOTIFICATIONS_KEPT_FOR = timedelta(days=365)
DELETED_AT_A_TIME = 5_000


async def prune_notifications(transaction: Transaction, *, now: datetime, limit: int = DELETED_AT_A_TIME) -> int:
    """Delete notifications that are older than a year and were read or dismissed, up to so many; gives how many."""
    deleted = await transaction.connection.execute(_DELETE, {"before": now - NOTIFICATIONS_KEPT_FOR, "limit": limit})
    return deleted.rowcount


_DELETE = text("""
    DELETE FROM notifications.notifications WHERE id IN (
        SELECT id FROM notifications.notifications
        WHERE created_at < CAST(:before AS timestamptz) AND (read_at IS NOT NULL OR dismissed_at IS NOT NULL)
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
