"""What portfolios were day by day, as their snapshots tell, and how they did over a period."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    Date,
    DateTime,
    Integer,
    Numeric,
    Text,
    Uuid,
    bindparam,
    case,
    literal_column,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.portfolios.queries.values import PORTFOLIO_IDS
from app.portfolios.returns import Flow, Period, Return, ReturnMethod, return_of

# The most entries that one history has: ten years of days.
MOST_SNAPSHOTS = 3_660
# With so many a return is reckoned in a few milliseconds; with one on each day of ten years `XIRR` takes seconds.
FEW_FLOWS = 10


class HistoryResolution(StrEnum):
    """How far apart the entries of a history are."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


# The last snapshot of each day, week or month; what flowed is summed over it. What is after the mark will be made anew.
_HISTORY = text(f"""
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY portfolio_id ORDER BY day DESC) AS newness
        FROM (
            SELECT DISTINCT ON (snapshot.portfolio_id, bucket.start) snapshot.portfolio_id, snapshot.day,
                snapshot.currency, snapshot.value, snapshot.cost, snapshot.realized_gain,
                trim_scale(sum(snapshot.net_flow) OVER (PARTITION BY snapshot.portfolio_id, bucket.start)) AS net_flow,
                snapshot.holding_count, snapshot.unpriced_count, snapshot.stale_count, snapshot.oldest_observed_at,
                CAST(snapshot.parts AS text) AS parts, mark.next_day
            FROM portfolios.snapshots AS snapshot
            LEFT JOIN portfolios.snapshot_marks AS mark ON mark.portfolio_id = snapshot.portfolio_id
            CROSS JOIN LATERAL (SELECT date_trunc(:resolution, CAST(snapshot.day AS timestamp)) AS start) AS bucket
            WHERE snapshot.portfolio_id = ANY (:{PORTFOLIO_IDS})
                AND (CAST(:since AS date) IS NULL OR snapshot.day >= :since)
                AND (CAST(:until AS date) IS NULL OR snapshot.day <= :until)
            ORDER BY snapshot.portfolio_id, bucket.start, snapshot.day DESC
        ) AS of_bucket
    ) AS counted
    WHERE newness <= {MOST_SNAPSHOTS}
""").bindparams(  # noqa: S608  # constants of ours
    bindparam(PORTFOLIO_IDS, type_=ARRAY(Uuid())),
    bindparam("resolution", type_=Text()),
    bindparam("since", type_=Date()),
    bindparam("until", type_=Date()),
)
# The entries of the history of each portfolio in `portfolio_ids`, by the `resolution` of `HistoryResolution`.
HISTORY = _HISTORY.columns(
    Column("portfolio_id", Uuid, nullable=False),
    Column("day", Date, nullable=False),
    Column("currency", Text, nullable=False),
    Column("value", Numeric),
    Column("cost", Numeric, nullable=False),
    Column("realized_gain", Numeric, nullable=False),
    Column("net_flow", Numeric, nullable=False),
    Column("holding_count", Integer, nullable=False),
    Column("unpriced_count", Integer, nullable=False),
    Column("stale_count", Integer, nullable=False),
    Column("oldest_observed_at", DateTime(timezone=True)),
    Column("parts", Text, nullable=False),
    Column("next_day", Date),
).subquery("portfolio_history")
SNAPSHOT_IS_PARTIAL: ColumnElement[Any] = HISTORY.c.unpriced_count > literal_column("0")
SNAPSHOT_IS_PROVISIONAL: ColumnElement[Any] = case(
    (HISTORY.c.day >= HISTORY.c.next_day, literal_column("true")), else_=literal_column("false")
)
# Of a sum that lacks a part the gain would be wrong: the cost is of all.
SNAPSHOT_GAIN: ColumnElement[Any] = case(
    (HISTORY.c.unpriced_count == literal_column("0"), HISTORY.c.value - HISTORY.c.cost)
)


@dataclass(frozen=True, slots=True)
class AskedPeriod:
    """A question: how a portfolio did from the end of a day to the end of another; of all time where they are None."""

    portfolio_id: UUID
    first: date | None
    last: date | None


@dataclass(frozen=True, slots=True)
class PastPeriod:
    """The answer: values and flows, whether they will be made anew, and which of the values lack a part.

    `is_partial` says so of the two ends, `is_partial_at_flows` of the days on which something was put in or taken out.
    """

    period: Period
    is_partial: bool
    is_partial_at_flows: bool
    is_provisional: bool


async def periods_of(connection: AsyncConnection, asked: Sequence[AskedPeriod]) -> Mapping[AskedPeriod, PastPeriod]:
    """What is known of each period; none of a portfolio without snapshots, or where it ends before it begins.

    Before its first trade a portfolio held nothing, so its value is known to be 0.
    """
    wanted = list(dict.fromkeys(asked))
    rows = await connection.execute(
        _SNAPSHOTS,
        {
            "ids": [period.portfolio_id for period in wanted],
            "since": [period.first for period in wanted],
            "until": [period.last for period in wanted],
        },
    )
    found: dict[AskedPeriod, list[Any]] = {}
    for row in rows:
        found.setdefault(wanted[row.place - 1], []).append(row)
    periods = {period: _period(period, found_rows) for period, found_rows in found.items()}
    return {asked_: period for asked_, period in periods.items() if period is not None}


def _period(asked: AskedPeriod, rows: Sequence[Any]) -> PastPeriod | None:
    first_day: date = rows[0].first_day
    held_since: date = rows[0].held_since or first_day
    # Where the first trade is older than the first snapshot, nothing is known of the day before that.
    first = asked.first or (first_day if held_since < first_day else first_day - timedelta(days=1))
    last: date = asked.last or rows[0].last_day
    if first >= last:
        return None
    known = [row for row in rows if row.day is not None]
    values: dict[date, Decimal | None] = {row.day: row.value for row in known}
    for day in (first, last):
        if day < min(first_day, held_since):
            values[day] = Decimal(0)
    return PastPeriod(
        Period(first, last, values, [Flow(row.day, row.net_flow) for row in known if row.net_flow]),
        is_partial=any(row.unpriced_count for row in known if row.day in (first, last)),
        is_partial_at_flows=any(row.unpriced_count for row in known if row.day > first and row.net_flow),
        is_provisional=rows[0].next_day is not None and rows[0].next_day <= last,
    )


async def reckoned_return(period: Period, method: ReturnMethod) -> Return:
    """`return_of` a period; where that takes long, in a thread, so that others are served meanwhile."""
    if len(period.flows) > FEW_FLOWS:
        return await asyncio.to_thread(return_of, period, method)
    return return_of(period, method)


_SNAPSHOTS = text("""
    SELECT asked.place, known.first_day, known.last_day, mark.next_day, (
            SELECT CAST(timezone('UTC', min(occurred_at)) AS date)
            FROM portfolios.trades WHERE portfolio_id = asked.portfolio_id
        ) AS held_since,
        snapshot.day, snapshot.value, snapshot.net_flow, snapshot.unpriced_count
    FROM unnest(:ids, :since, :until) WITH ORDINALITY AS asked (portfolio_id, since, until, place)
    CROSS JOIN LATERAL (
        SELECT min(day) AS first_day, max(day) AS last_day
        FROM portfolios.snapshots WHERE portfolio_id = asked.portfolio_id
    ) AS known
    LEFT JOIN portfolios.snapshot_marks AS mark ON mark.portfolio_id = asked.portfolio_id
    LEFT JOIN portfolios.snapshots AS snapshot ON snapshot.portfolio_id = asked.portfolio_id
        AND (asked.since IS NULL OR snapshot.day >= asked.since)
        AND (asked.until IS NULL OR snapshot.day <= asked.until)
    WHERE known.first_day IS NOT NULL
    ORDER BY asked.place, snapshot.day
""").bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("since", type_=ARRAY(Date())),
    bindparam("until", type_=ARRAY(Date())),
)
