"""Makes the daily snapshots of portfolios from trades and the history of prices, where they are missing or outdated."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import Date, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.portfolios.models import Portfolio, Snapshot, SnapshotMark, Trade
from app.portfolios.queries.past_values import KEPT_SINCE, PastValues

DAYS_AT_A_TIME = 10
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DuePortfolio:
    """A portfolio whose snapshots are to be made from a day on."""

    id: UUID
    next_day: date


@dataclass(frozen=True, slots=True)
class SnapshotStep:
    """How far a step came: so many days were made, and `next_day` is the first that was not.

    Where trades changed meanwhile nothing was made, and the step is to be taken again.
    """

    made: int
    next_day: date
    is_finished: bool


async def mark_snapshots(transaction: Transaction, *, since: date, portfolio_id: UUID | None = None) -> int:
    """Have snapshots made anew from a day on, of one portfolio or of all; gives of how many."""
    marked = update(SnapshotMark).values(
        next_day=func.least(SnapshotMark.next_day, since), version=SnapshotMark.version + 1
    )
    if portfolio_id is not None:
        marked = marked.where(SnapshotMark.portfolio_id == portfolio_id)
    return (await transaction.connection.execute(marked)).rowcount


async def due_portfolios(
    transaction: Transaction, *, until: date, portfolio_id: UUID | None = None
) -> list[DuePortfolio]:
    """The portfolios that lack snapshots of days before `until`, one of them if it is named."""
    due = select(SnapshotMark.portfolio_id, SnapshotMark.next_day).where(SnapshotMark.next_day < until)
    if portfolio_id is not None:
        due = due.where(SnapshotMark.portfolio_id == portfolio_id)
    rows = await transaction.connection.execute(due.order_by(SnapshotMark.next_day, SnapshotMark.portfolio_id))
    return [DuePortfolio(*row) for row in rows]


async def make_snapshots(
    transaction: Transaction, portfolio_id: UUID, *, until: date, now: datetime, days: int = DAYS_AT_A_TIME
) -> SnapshotStep:
    """Make the snapshots of up to so many days before `until`, from where they are missing, and of none before 1999.

    Nobody who changes trades waits for it: what was made of trades that are no more is dropped, and made again.
    """
    connection = transaction.connection
    found = await connection.execute(
        select(SnapshotMark.next_day, SnapshotMark.version, Portfolio.owner_id, Portfolio.base_currency)
        .join(Portfolio, Portfolio.id == SnapshotMark.portfolio_id)
        .where(SnapshotMark.portfolio_id == portfolio_id)
    )
    mark = found.one_or_none()
    if mark is None:
        return SnapshotStep(0, until, is_finished=True)
    first_trade = await connection.scalar(
        select(func.timezone("UTC", func.min(Trade.occurred_at)).cast(Date)).where(Trade.portfolio_id == portfolio_id)
    )
    begins = None if first_trade is None else max(first_trade, KEPT_SINCE)
    first = until if begins is None else max(mark.next_day, begins)
    last = min(first + (days - 1) * _DAY, until - _DAY)
    rows = []
    past = PastValues(portfolio_id)
    for offset in range((last - first).days + 1):
        day = first + offset * _DAY
        rows.append(
            {
                "portfolio_id": portfolio_id,
                "owner_id": mark.owner_id,
                "day": day,
                "currency": mark.base_currency,
                "computed_at": now,
                **await past.at_end_of(connection, day, datetime.combine(day, time(), UTC)),
            }
        )
    next_day = max(last + _DAY, mark.next_day)
    # Held before the mark, in the order of those who change the portfolio and then mark it: snapshots refer to it.
    await connection.execute(
        select(Portfolio.id).where(Portfolio.id == portfolio_id).with_for_update(read=True, key_share=True)
    )
    moved = await connection.execute(
        update(SnapshotMark)
        .where(SnapshotMark.portfolio_id == portfolio_id, SnapshotMark.version == mark.version)
        .values(next_day=next_day)
    )
    if not moved.rowcount:
        return SnapshotStep(0, mark.next_day, is_finished=False)
    # Before the first trade there is nothing to tell.
    gone = delete(Snapshot).where(Snapshot.portfolio_id == portfolio_id)
    await connection.execute(gone if begins is None else gone.where(Snapshot.day < begins))
    if rows:
        stored = insert(Snapshot)
        changed = {column.key: column for column in stored.excluded if column.key not in ("portfolio_id", "day")}
        await connection.execute(
            stored.on_conflict_do_update(index_elements=[Snapshot.portfolio_id, Snapshot.day], set_=changed), rows
        )
    return SnapshotStep(len(rows), next_day, is_finished=next_day >= until)
