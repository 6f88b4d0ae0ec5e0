"""The single prices of a series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ARRAY, Integer, bindparam, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.core.database import among
from app.prices.models import PricePoint


@dataclass(frozen=True, slots=True)
class PointRow:
    """One observed price; `arrival` orders points of the same instant."""

    series_id: int
    observed_at: datetime
    arrival: int
    price: Decimal
    quantity: Decimal | None


@dataclass(frozen=True, slots=True)
class PointWindow:
    """Which points of a series: `since <= observed_at < until`, beyond a position, so many, from the front or back."""

    since: datetime | None
    until: datetime | None
    beyond: tuple[datetime, int] | None
    backward: bool
    limit: int


def _in_window(window: PointWindow) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if window.since is not None:
        conditions.append(PricePoint.observed_at >= window.since)
    if window.until is not None:
        conditions.append(PricePoint.observed_at < window.until)
    if window.beyond is not None:
        here, position = tuple_(PricePoint.observed_at, PricePoint.arrival), tuple_(*window.beyond)
        conditions.append(here < position if window.backward else here > position)
    return conditions


async def points_by_series(
    connection: AsyncConnection, series_ids: Sequence[int], *, window: PointWindow
) -> Mapping[int, Sequence[PointRow]]:
    """Up to `window.limit` points of each series by time; from the newest on when the window goes backward."""
    wanted = (
        func.unnest(bindparam("series_ids", list(series_ids), ARRAY(Integer)))
        .table_valued("id")
        .render_derived("wanted")
    )
    in_order = (PricePoint.observed_at, PricePoint.arrival)
    page = (
        select(PricePoint.series_id, PricePoint.observed_at, PricePoint.arrival, PricePoint.price, PricePoint.quantity)
        .where(PricePoint.series_id == wanted.c.id, *_in_window(window))
        .order_by(*((column.desc() for column in in_order) if window.backward else in_order))
        .limit(window.limit)
        .lateral("page")
    )
    points: dict[int, list[PointRow]] = {}
    for row in await connection.execute(select(page).select_from(wanted.join(page, literal(True)))):
        points.setdefault(row.series_id, []).append(PointRow(*row))
    return points


async def point_count_by_series(
    connection: AsyncConnection, series_ids: Sequence[int], *, window: PointWindow
) -> Mapping[int, int]:
    """How many points of each series lie in the window's range of time."""
    query = select(PricePoint.series_id, func.count()).where(
        among(PricePoint.series_id, series_ids), *_in_window(window)
    )
    return {row[0]: row[1] for row in await connection.execute(query.group_by(PricePoint.series_id))}
