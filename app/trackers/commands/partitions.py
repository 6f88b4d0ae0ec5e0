"""Partitions of the tables that grow with time: reports and fixes by month."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.trackers.history_models import LocationFix, LocationReport

_AHEAD_IN_MONTHS = 2
_MONTHS_IN_YEAR = 12

# Making partitions takes a lock until the end of the transaction; only who lacks one queues for it.
_MISSING = text("""
    SELECT count(*) FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass('trackers.' || name) IS NULL
""")
_ENSURE = text("SELECT trackers.ensure_partitions(:parent, CAST(:instants AS timestamptz[]))")


async def ensure_report_partitions(connection: AsyncConnection, instants: Iterable[datetime]) -> int:
    """Make what is missing of the partitions for reports of these instants; gives how many were made."""
    return await _ensure(connection, LocationReport.__tablename__, instants)


async def ensure_fix_partitions(connection: AsyncConnection, instants: Iterable[datetime]) -> int:
    """Make what is missing of the partitions for fixes of these instants; gives how many were made."""
    return await _ensure(connection, LocationFix.__tablename__, instants)


async def make_partitions_ahead(transaction: Transaction, *, now: datetime) -> int:
    """Make the partitions of this month and the next two; gives how many were made."""
    first = now.year * _MONTHS_IN_YEAR + now.month - 1
    months = [divmod(number, _MONTHS_IN_YEAR) for number in range(first, first + _AHEAD_IN_MONTHS + 1)]
    instants = [datetime(year, month + 1, 1, tzinfo=UTC) for year, month in months]
    made = await ensure_report_partitions(transaction.connection, instants)
    return made + await ensure_fix_partitions(transaction.connection, instants)


async def _ensure(connection: AsyncConnection, parent: str, instants: Iterable[datetime]) -> int:
    months = {(utc.year, utc.month) for utc in (instant.astimezone(UTC) for instant in instants)}
    named = {f"{parent}_p_{year:04}{month:02}": datetime(year, month, 1, tzinfo=UTC) for year, month in sorted(months)}
    if not named or not await connection.scalar(_MISSING, {"names": list(named)}):
        return 0
    made = await connection.scalar(_ENSURE, {"parent": parent, "instants": list(named.values())})
    return int(made or 0)
