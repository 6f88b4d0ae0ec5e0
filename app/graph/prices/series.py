"""A series of prices: one variant, one source, one kind, one currency."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from app.catalogue.models import ItemVariant as Variant
from app.core.ids import PublicIdTag
from app.graph.prices.candles import (
    DEFAULT_CANDLES,
    DEFAULT_COLUMNS,
    MAXIMUM_CANDLE_COLUMNS,
    MAXIMUM_CANDLES,
    Candle,
    CandleColumns,
    candles_of_series,
    check_range,
)
from app.graph.prices.points import POINT_ORDERS, PricePoint
from app.graph.prices.quotes import CURRENCY, OF_SOURCE, Price
from app.graph.prices.sources import PriceSource
from app.graph.prices.statistics import PriceStatistics, statistics_of_series
from app.graph.reads.arguments import at_least, below, equals
from app.graph.reads.fields import column, connection, edge, embedded, shows
from app.graph.relay import Connection, Node
from app.graph.scalars import CurrencyCode
from app.prices import models
from app.prices.models import PriceKind
from app.prices.queries.series import PROVIDED_RESOLUTIONS

if TYPE_CHECKING:
    from app.graph.catalogue.items import ItemVariant

SERIES_ARGUMENTS = (
    equals("kind", PriceKind | None, models.PriceSeries.kind),
    equals("source", str | None, models.Source.code),
    CURRENCY,
)
SERIES_ORDER = (models.PriceSeries.kind, models.Source.code, models.PriceSeries.currency, models.PriceSeries.id)


def in_order(arguments: Mapping[str, Any]) -> None:
    """Refuse a range of time that ends before it begins."""
    check_range(arguments.get("from"), arguments.get("to"))


@strawberry.type(description="The prices of one variant from one source, of one kind, in one currency.")
@shows(models.PriceSeries, PublicIdTag.PRICE_SERIES, joins=[OF_SOURCE])
class PriceSeries(Node):
    currency: CurrencyCode = column(models.PriceSeries.currency, "The currency of every price in the series.")
    has_points: bool = column(
        models.PriceSeries.has_points, "Whether it holds single points; candles are then rolled up from them."
    )
    source: PriceSource = embedded("Where the prices come from.")
    kind: PriceKind = column(models.PriceSeries.kind, "What the prices say.")
    provided_resolutions: list[timedelta] = column(
        PROVIDED_RESOLUTIONS,
        "The lengths of candles that the source itself provides, shortest first; empty where it provides none.",
    )
    variant: Annotated["ItemVariant", strawberry.lazy("app.graph.catalogue.items")] = edge(
        "The variant that is priced.", on=models.PriceSeries.variant_id, to=Variant.id
    )
    latest: Price | None = embedded(
        "The newest price; null before the first.", when=models.PriceSeries.latest_price.is_not(None)
    )
    points: Connection[PricePoint] | None = connection(
        "The points by time, those with `from <= observedAt < to`. With `last` the newest of them.",
        on=models.PriceSeries.id,
        to=models.PricePoint.series_id,
        orders=POINT_ORDERS,
        arguments=[
            at_least("from", datetime | None, models.PricePoint.observed_at),
            below("to", datetime | None, models.PricePoint.observed_at),
        ],
        check=in_order,
    )
    candles: list[Candle] | None = candles_of_series(
        "Candles by time: the newest `last` (10,000 at most) of `from <= start < to`.",
        maximum=MAXIMUM_CANDLES,
        default=DEFAULT_CANDLES,
        is_list=True,
    )
    candle_columns: CandleColumns | None = candles_of_series(
        "The same candles as parallel arrays, for charts; 100,000 at most.",
        maximum=MAXIMUM_CANDLE_COLUMNS,
        default=DEFAULT_COLUMNS,
        is_list=False,
    )
    statistics: PriceStatistics | None = statistics_of_series(
        "What the price did over a window that ends now, of a minute to ten years."
    )
