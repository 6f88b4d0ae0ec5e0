"""Deletes alerts that are kept no longer."""

from datetime import datetime, timedelta

from sqlalchemy import text

from app.core.database import Transaction

ALERTS_KEPT_FOR = timedelta(days=365)
DELETED_AT_A_TIME = 5_000


async def prune_alerts(transaction: Transaction, *, now: datetime, limit: int = DELETED_AT_A_TIME) -> int:
    """Delete alerts that are older than a year, with what was told of them, up to so many; gives how many."""
    deleted = await transaction.connection.execute(_DELETE, {"before": now - ALERTS_KEPT_FOR, "limit": limit})
    return deleted.rowcount


_DELETE = text("""
    DELETE FROM alerts.alerts WHERE id IN (
        SELECT id FROM alerts.alerts WHERE created_at < CAST(:before AS timestamptz)
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")
