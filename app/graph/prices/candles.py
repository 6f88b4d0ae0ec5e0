"""Candles, as rows and as columns, and which of them are asked for."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry
from strawberry import UNSET

from app.core.errors import BadUserInput
from app.graph.fields import show_enum
from app.graph.reads.arguments import OperationContext, graphql_argument
from app.graph.reads.fields import column, keyed_rows, shows
from app.prices.models import PriceSeries
from app.prices.queries.candles import (
    CANDLES,
    IS_COMPLETE,
    ORIGIN,
    POINT_COUNT,
    SERIES_IDS,
    VOLUME_WEIGHTED_AVERAGE_PRICE,
    CandleFill,
    CandleOrigin,
    CandleWindow,
    candle_values,
)
from app.prices.resolutions import Resolution

MAXIMUM_CANDLES = 10_000
MAXIMUM_CANDLE_COLUMNS = 100_000
DEFAULT_CANDLES = 500
DEFAULT_COLUMNS = 1_000


show_enum(
    Resolution,
    "The length of a candle's bucket. Buckets are cut in UTC; weeks begin on Monday.",
    {
        Resolution.ONE_MINUTE: "60 seconds.",
        Resolution.FIVE_MINUTES: "300 seconds.",
        Resolution.FIFTEEN_MINUTES: "900 seconds.",
        Resolution.ONE_HOUR: "3,600 seconds.",
        Resolution.FOUR_HOURS: "14,400 seconds, from midnight.",
        Resolution.ONE_DAY: "86,400 seconds, from midnight.",
        Resolution.ONE_WEEK: "604,800 seconds, from Monday at midnight.",
        Resolution.ONE_MONTH: "A month of the calendar.",
    },
    name="CandleResolution",
)


show_enum(
    CandleOrigin,
    "How a candle came to be.",
    {
        CandleOrigin.PROVIDED: "The source gave it, at this resolution, as it is.",
        CandleOrigin.DERIVED: "Made when read, from finer candles that the source gave.",
        CandleOrigin.ROLLED_UP: "Made by Trove from the points of the series.",
        CandleOrigin.FILLED: "Nothing was seen: it carries the close before it on, as `fill: PREVIOUS` asks for.",
    },
)


show_enum(
    CandleFill,
    "What stands in a bucket without a price.",
    {
        CandleFill.NONE: "Nothing: the bucket has no candle.",
        CandleFill.PREVIOUS: "A candle that carries the close before on, from the first candle of the series to `to`, "
        "or to the bucket that runs now.",
    },
)


@strawberry.type(description="Open, high, low and close of one bucket `[start, start + resolution)`.")
@shows(CANDLES)
class Candle:
    start: datetime = column(CANDLES.c.start, "The beginning of the bucket, which is also its label.")
    open: Decimal = column(CANDLES.c.open, "The first price of the bucket.")
    high: Decimal = column(CANDLES.c.high, "The highest price of the bucket.")
    low: Decimal = column(CANDLES.c.low, "The lowest price of the bucket.")
    close: Decimal = column(CANDLES.c.close, "The last price of the bucket.")
    volume: Decimal | None = column(
        CANDLES.c.volume, "The sum of the quantities, in units; null where no quantity is known."
    )
    point_count: int | None = column(
        POINT_COUNT, "How many points it was made of; null for candles that a source provided."
    )
    volume_weighted_average_price: Decimal | None = column(
        VOLUME_WEIGHTED_AVERAGE_PRICE,
        "Volume-weighted average price: Σ price·quantity / Σ quantity, of those parts of the bucket whose turnover is "
        "known; null where it is of none.",
    )
    origin: CandleOrigin = column(ORIGIN, "How it came to be.")
    is_complete: bool = column(IS_COMPLETE, "Whether the bucket is over. A candle that still runs may change.")
    is_filled: bool = column(
        CANDLES.c.is_filled, "Whether nothing was seen in the bucket, and the close before it is carried on."
    )


@strawberry.type(description="Candles as parallel arrays for charts: the entries at one place belong to one candle.")
@shows(CANDLES, collected=True)
class CandleColumns:
    start: list[datetime] = column(CANDLES.c.start, "The beginnings of the buckets, ascending.")
    open: list[Decimal] = column(CANDLES.c.open, "The first prices.")
    high: list[Decimal] = column(CANDLES.c.high, "The highest prices.")
    low: list[Decimal] = column(CANDLES.c.low, "The lowest prices.")
    close: list[Decimal] = column(CANDLES.c.close, "The last prices.")
    volume: list[Decimal | None] = column(CANDLES.c.volume, "The sums of the quantities, null where none is known.")
    is_filled: list[bool] = column(CANDLES.c.is_filled, "Whether the close before is carried on.")


def check_range(since: datetime | None, until: datetime | None) -> None:
    """Refuse a range that ends before it begins."""
    if since is not None and until is not None and until < since:
        raise BadUserInput(
            "`to` lies before `from`; a range ends after it begins.", argument="to", allowed=["an instant after `from`"]
        )


def candles_of_series(description: str, *, maximum: int, default: int, is_list: bool) -> Any:
    """The field of a series that gives its candles; each asked for counts against what one operation may have."""

    def values(arguments: Mapping[str, Any], context: OperationContext) -> dict[str, Any]:
        since, until, last = arguments.get("from"), arguments.get("to"), arguments["last"]
        check_range(since, until)
        if not 1 <= last <= maximum:
            raise BadUserInput(
                f"`last` must be from 1 to {maximum}, and is {last}.", argument="last", allowed=[f"1..{maximum}"]
            )
        context.spend_candles(last)
        return candle_values(
            CandleWindow(Resolution(arguments["resolution"]), since, until, last, context.now, arguments["fill"])
        )

    return keyed_rows(
        description,
        on=PriceSeries.id,
        to=CANDLES.c.series_id,
        keys=SERIES_IDS,
        order=[CANDLES.c.start],
        is_list=is_list,
        values=values,
        arguments=[
            graphql_argument("resolution", Resolution, default=UNSET),
            graphql_argument("from", datetime | None),
            graphql_argument("to", datetime | None),
            graphql_argument("last", int, default=default),
            graphql_argument("fill", CandleFill, "What stands in gaps.", default=CandleFill.NONE),
        ],
    )
