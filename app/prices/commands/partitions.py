"""Partitions of the tables that grow with time: points by month, candles by year."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.prices.models import Candle, PricePoint

_POINTS_AHEAD_IN_MONTHS = 2
_MONTHS_IN_YEAR = 12

# Making partitions takes a lock until the end of the transaction; only who lacks one queues for it.
_MISSING = text("""
    SELECT count(*) FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass('prices.' || name) IS NULL
""")
_ENSURE = text("SELECT prices.ensure_partitions(:parent, CAST(:instants AS timestamptz[]))")


async def ensure_point_partitions(connection: AsyncConnection, months: Iterable[tuple[int, int]]) -> int:
    """Make what is missing of the partitions for these (year, month) pairs; gives how many were made."""
    named = {f"price_points_p_{year:04}{month:02}": datetime(year, month, 1, tzinfo=UTC) for year, month in months}
    return await _ensure(connection, PricePoint.__tablename__, named)


async def ensure_candle_partitions(connection: AsyncConnection, years: Iterable[int]) -> int:
    """Make what is missing of the partitions for these years; gives how many were made."""
    named = {f"candles_p_{year:04}": datetime(year, 1, 1, tzinfo=UTC) for year in years}
    return await _ensure(connection, Candle.__tablename__, named)


async def make_partitions_ahead(transaction: Transaction, *, now: datetime) -> int:
    """Make the partitions of this month and the next two, and of this year and the next; gives how many were made."""
    first = now.year * _MONTHS_IN_YEAR + now.month - 1
    months = [divmod(number, _MONTHS_IN_YEAR) for number in range(first, first + _POINTS_AHEAD_IN_MONTHS + 1)]
    made = await ensure_point_partitions(transaction.connection, [(year, month + 1) for year, month in months])
    return made + await ensure_candle_partitions(transaction.connection, [now.year, now.year + 1])


async def _ensure(connection: AsyncConnection, parent: str, named: dict[str, datetime]) -> int:
    if not await connection.scalar(_MISSING, {"names": list(named)}):
        return 0
    made = await connection.scalar(_ENSURE, {"parent": parent, "instants": list(named.values())})
    return int(made or 0)
