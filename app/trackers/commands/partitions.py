"""Partitions of the tables of trackers that grow with time: reports and fixes by month."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.trackers.history_models import LocationFix, LocationReport

_MONTHS_AHEAD = 2
_MONTHS_IN_YEAR = 12

# Making partitions takes a lock until the end of the transaction; only who lacks one queues for it.
_MISSING = text("""
    SELECT count(*) FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass('trackers.' || name) IS NULL
""")
_ENSURE = text("SELECT trackers.ensure_partitions(:parent, CAST(:instants AS timestamptz[]))")


async def ensure_report_partitions(connection: AsyncConnection, months: Iterable[tuple[int, int]]) -> int:
    """Make what is missing of the partitions of reports for these (year, month) pairs; gives how many were made."""
    return await _ensure(connection, LocationReport.__tablename__, months)


async def ensure_fix_partitions(connection: AsyncConnection, months: Iterable[tuple[int, int]]) -> int:
    """The same for the partitions of fixes."""
    return await _ensure(connection, LocationFix.__tablename__, months)


async def make_partitions_ahead(transaction: Transaction, *, now: datetime) -> int:
    """Make the partitions of this month and the next two; gives how many were made."""
    first = now.year * _MONTHS_IN_YEAR + now.month - 1
    numbered = (divmod(number, _MONTHS_IN_YEAR) for number in range(first, first + _MONTHS_AHEAD + 1))
    months = [(year, month + 1) for year, month in numbered]
    made = await ensure_report_partitions(transaction.connection, months)
    return made + await ensure_fix_partitions(transaction.connection, months)


async def _ensure(connection: AsyncConnection, parent: str, months: Iterable[tuple[int, int]]) -> int:
    named = {f"{parent}_p_{year:04}{month:02}": datetime(year, month, 1, tzinfo=UTC) for year, month in months}
    if not await connection.scalar(_MISSING, {"names": list(named)}):
        return 0
    made = await connection.scalar(_ENSURE, {"parent": parent, "instants": list(named.values())})
    return int(made or 0)
