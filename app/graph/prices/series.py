"""A series of prices: one variant, one source, one kind, one currency."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import strawberry
from strawberry import Parent

from app.catalogue import queries as catalogue
from app.catalogue.queries import VariantRow
from app.core.paging import page_request
from app.graph.context import Info
from app.graph.fields import attribute, resolved, type_in
from app.graph.prices.candles import (
    DEFAULT_CANDLES,
    DEFAULT_COLUMNS,
    MAXIMUM_CANDLE_COLUMNS,
    MAXIMUM_CANDLES,
    Candle,
    CandleColumns,
    Columns,
    candle_window,
    check_range,
)
from app.graph.prices.points import PricePoint, count_points, point_cursor, point_position
from app.graph.prices.quotes import Price
from app.graph.relay import Connection, Node, Page, page_of, shown_from
from app.graph.scalars import CurrencyCode
from app.prices.models import PriceKind
from app.prices.queries.candles import CandleRow, candles_by_series
from app.prices.queries.points import PointRow, PointWindow, points_by_series
from app.prices.queries.quotes import QuoteRow
from app.prices.queries.series import SeriesRow
from app.prices.resolutions import Resolution

ITEM_VARIANT = type_in("app.graph.catalogue", "ItemVariant")


@strawberry.type(description="Where prices come from: a marketplace, an exchange, a shop.")
class PriceSource:
    code: str = attribute("The short name by which batches and filters name it.")
    name: str = attribute("The name to show.")


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source as a series knows it."""

    code: str
    name: str


@strawberry.type(description="The prices of one variant from one source, of one kind, in one currency.")
class PriceSeries(Node):
    is_type_of = shown_from(SeriesRow)

    currency: CurrencyCode = attribute("The currency of every price in the series.")
    has_points: bool = attribute("Whether it holds single points; candles are then rolled up from them.")

    @resolved("Where the prices come from.", type=PriceSource)
    @staticmethod
    def source(root: Parent[SeriesRow]) -> SourceName:
        return SourceName(root.source_code, root.source_name)

    @resolved("What the prices say.")
    @staticmethod
    def kind(root: Parent[SeriesRow]) -> PriceKind:
        return root.kind

    @resolved("The lengths of candles that the source itself provides, shortest first; empty where it provides none.")
    @staticmethod
    def provided_resolutions(root: Parent[SeriesRow]) -> list[timedelta]:
        return [timedelta(seconds=seconds) for seconds in root.provided_resolutions]

    @resolved("The variant that is priced.", type=ITEM_VARIANT)
    @staticmethod
    async def variant(root: Parent[SeriesRow], info: Info) -> VariantRow | None:
        return await info.context.loaders.one(catalogue.variants_by_id, root.variant_id)

    @resolved("The newest price; null before the first.", type=Price | None)
    @staticmethod
    def latest(root: Parent[SeriesRow]) -> QuoteRow | None:
        return root.latest

    @resolved(
        "The points by time, those with `from <= observedAt < to`. With `last` the newest of them.",
        type=Connection[PricePoint] | None,
    )
    @staticmethod
    async def points(
        root: Parent[SeriesRow],
        info: Info,
        from_: Annotated[datetime | None, strawberry.argument(name="from")] = None,
        to: datetime | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Page[PointRow]:
        check_range(from_, to)
        request = page_request(first=first, after=after, last=last, before=before)
        cursor = request.before if request.backward else request.after
        window = PointWindow(
            since=from_,
            until=to,
            beyond=point_position(cursor, "before" if request.backward else "after") if cursor else None,
            backward=request.backward,
            limit=request.limit + 1,
        )
        rows = await info.context.loaders.many(points_by_series, root.id, window=window)
        return page_of(rows, request, cursor=point_cursor, count=partial(count_points, root, info, from_, to))

    @resolved(
        "Candles by time: the newest `last` (10,000 at most) of `from <= start < to`.",
        type=list[Candle] | None,
    )
    @staticmethod
    async def candles(
        root: Parent[SeriesRow],
        info: Info,
        resolution: Resolution,
        from_: Annotated[datetime | None, strawberry.argument(name="from")] = None,
        to: datetime | None = None,
        last: int = DEFAULT_CANDLES,
    ) -> Sequence[CandleRow]:
        window = candle_window(resolution, from_, to, last, MAXIMUM_CANDLES)
        info.context.spend_candles(last)
        return await info.context.loaders.many(candles_by_series, root.id, window=window)

    @resolved("The same candles as parallel arrays, for charts; 100,000 at most.", type=CandleColumns | None)
    @staticmethod
    async def candle_columns(
        root: Parent[SeriesRow],
        info: Info,
        resolution: Resolution,
        from_: Annotated[datetime | None, strawberry.argument(name="from")] = None,
        to: datetime | None = None,
        last: int = DEFAULT_COLUMNS,
    ) -> Columns:
        window = candle_window(resolution, from_, to, last, MAXIMUM_CANDLE_COLUMNS)
        info.context.spend_candles(last)
        rows = await info.context.loaders.many(candles_by_series, root.id, window=window)
        return Columns(
            start=[row.start for row in rows],
            open=[row.open for row in rows],
            high=[row.high for row in rows],
            low=[row.low for row in rows],
            close=[row.close for row in rows],
            volume=[row.volume for row in rows],
        )
