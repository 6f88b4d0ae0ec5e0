"""Deletes what is kept only for a while."""

from datetime import datetime, timedelta

from sqlalchemy import delete

from app.core.database import Transaction
from app.prices.models import PriceChange

PRICE_CHANGES_KEPT_FOR = timedelta(days=7)


async def prune_price_changes(transaction: Transaction, *, now: datetime) -> int:
    """Delete the changes of latest prices that are older than seven days; gives how many there were."""
    deleted = await transaction.connection.execute(
        delete(PriceChange).where(PriceChange.recorded_at < now - PRICE_CHANGES_KEPT_FOR)
    )
    return deleted.rowcount
