"""The items whose price has moved the most."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Interval,
    Numeric,
    Select,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import Item, ItemKind, ItemVariant
from app.catalogue.queries.visibility import IS_SHOWN_TO_VIEWER
from app.prices.models import Candle, PriceSeries
from app.prices.queries.quotes import BEST_FIRST, LAST_SEEN, STALE_AFTER
from app.prices.resolutions import Resolution


class MoverDirection(StrEnum):
    """Which way prices moved."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Movement:
    """An item, and how the price of its best series changed; `percent` is of the price before."""

    item_id: UUID
    series_id: int
    currency: str
    price_before: Decimal
    price_after: Decimal
    change: Decimal
    percent: Decimal


async def movers(
    connection: AsyncConnection,
    *,
    kind: ItemKind | None,
    window: timedelta,
    direction: MoverDirection,
    limit: int,
    now: datetime,
) -> list[Movement]:
    """The items with the greatest relative change within the window, the greatest first.

    Of each item that series counts which its `price` comes from, if it was seen in the window. The price before is the
    close of its candle of an hour or a day that ended last by then, 30 days before at the most; however long before of
    a series that stores only moves.
    """
    statement = _statement(kind=kind, direction=direction)
    values: dict[str, Any] = {"operation_time": now, "since": now - window, "limit": limit}
    if kind is not None:
        values["kind"] = kind.value
    return [Movement(*row) for row in await connection.execute(statement, values)]


def _statement(*, kind: ItemKind | None, direction: MoverDirection) -> Select[Any]:
    since = bindparam("since", type_=PriceSeries.latest_observed_at.type)
    best = (
        select(
            ItemVariant.item_id,
            PriceSeries.id.label("series_id"),
            PriceSeries.currency,
            PriceSeries.latest_price,
            PriceSeries.last_seen_at,
            LAST_SEEN.label("seen_at"),
        )
        .join(PriceSeries, PriceSeries.variant_id == ItemVariant.id)
        .where(ItemVariant.is_default, PriceSeries.latest_price.is_not(None))
        .ext(distinct_on(ItemVariant.item_id))
        .order_by(ItemVariant.item_id, *BEST_FIRST)
    )
    best = best.join(Item, Item.id == ItemVariant.item_id).where(IS_SHOWN_TO_VIEWER)
    if kind is not None:
        best = best.where(Item.kind == bindparam("kind"))
    of_item = best.cte("best")
    hour = _close(of_item, Resolution.ONE_HOUR, since).lateral("hour")
    day = _close(of_item, Resolution.ONE_DAY, since).lateral("day")
    is_of_day = hour.c.ended_at.is_(None) | (day.c.ended_at > hour.c.ended_at)
    before = case((is_of_day, day.c.close), else_=hour.c.close)
    change = of_item.c.latest_price - before
    ratio = change / func.nullif(before, literal_column("0"))
    conditions: list[ColumnElement[bool]] = [of_item.c.seen_at > since, before > 0]
    order: ColumnElement[Any] = func.abs(ratio).desc()
    if direction is MoverDirection.EITHER:
        conditions.append(change != 0)
    else:
        conditions.append(change > 0 if direction is MoverDirection.UP else change < 0)
    return (
        select(
            of_item.c.item_id,
            of_item.c.series_id,
            of_item.c.currency,
            before,
            of_item.c.latest_price,
            change,
            func.trim_scale(func.round(ratio * literal_column("100", Numeric()), 6)),
        )
        .select_from(of_item.outerjoin(hour, true()).outerjoin(day, true()))
        .where(*conditions)
        .order_by(order, of_item.c.item_id)
        .limit(bindparam("limit"))
    )


def _close(of_item: CTE, resolution: Resolution, since: ColumnElement[datetime]) -> Select[Decimal, datetime]:
    """The candle of a series that ended last by then; the bounds let PostgreSQL look into few partitions."""
    width = literal_column(f"interval '{int(resolution)} seconds'", Interval())
    stale_after = literal_column(f"interval '{STALE_AFTER.days} days'", Interval())
    earliest: ColumnElement[Any] = since - width - stale_after
    if resolution is Resolution.ONE_DAY:
        # What stores only moves has its last price wherever it moved last; days are kept forever.
        earliest = case(
            (of_item.c.last_seen_at.is_not(None), literal_column("CAST('-infinity' AS timestamptz)")), else_=earliest
        )
    return (
        select(Candle.close, (Candle.bucket + width).label("ended_at"))
        .where(
            Candle.series_id == of_item.c.series_id,
            Candle.resolution == literal_column(str(int(resolution))),
            Candle.bucket <= since - width,
            Candle.bucket > earliest,
        )
        .order_by(Candle.bucket.desc())
        .limit(1)
    )
