"""What a series did over a window that ends now: change, range, volume, volatility."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import strawberry
from strawberry import UNSET

from app.core.errors import BadUserInput
from app.graph.reads.arguments import OperationContext, graphql_argument
from app.graph.reads.fields import column, keyed_rows, shows
from app.graph.scalars import write_duration
from app.prices.models import PriceSeries
from app.prices.queries.candles import SERIES_IDS
from app.prices.queries.statistics import LONGEST_WINDOW, SHORTEST_WINDOW, STATISTICS, statistics_values

_columns = STATISTICS.c


@strawberry.type(
    description="What a series did over a window that ends now. What the data do not tell is null, never 0. It is made "
    "of the candles of `resolution` that begin in the window, the running one among them."
)
@shows(STATISTICS)
class PriceStatistics:
    resolution: timedelta | None = column(
        _columns.resolution, "The length of the candles that it is made of; null where there are none."
    )
    price_before: Decimal | None = column(
        _columns.price_before,
        "The price at the beginning of the window: the close of the candle that ended last by then, whenever that was.",
        name="from",
    )
    price_after: Decimal | None = column(
        _columns.price_after,
        "The newest price; null unless it was last seen in the window and `from` is known.",
        name="to",
    )
    change: Decimal | None = column(_columns.change, "`to` less `from`, in the currency of the series.")
    change_percent: Decimal | None = column(
        _columns.change_percent, "The change in percent of `from`, to 6 decimal places; null where that is 0."
    )
    high: Decimal | None = column(_columns.high, "The highest price of the window.")
    low: Decimal | None = column(_columns.low, "The lowest price of the window.")
    volume: Decimal | None = column(
        _columns.volume, "The sum of the quantities of the window, in units; null where none is known."
    )
    volume_weighted_average_price: Decimal | None = column(
        _columns.volume_weighted_average_price,
        "Volume-weighted average price of completed sales: Σ price·quantity / Σ quantity. Only of series of kind "
        "`SALE` and of what is traded (`MARKET`), and of sales whose quantity is known.",
    )
    volatility: Decimal | None = column(
        _columns.volatility,
        "Historical volatility, a year's: s·√(365 d / `resolution`), with s the sample standard deviation of the "
        "logarithmic returns ln(close / close before) of candles that are over and adjoin one another. A share, to 6 "
        "decimal places: `0.25` is 25 %. Null below two returns.",
    )
    all_time_high: Decimal | None = column(
        _columns.all_time_high, "The highest price that is known of the series, whatever the window."
    )
    all_time_high_start: datetime | None = column(
        _columns.all_time_high_start, "The start of the first candle with that price, a day unless the source gave it."
    )
    distance_from_all_time_high: Decimal | None = column(
        _columns.distance_from_all_time_high,
        "How far the newest price is from the highest, in percent of that, to 6 decimal places: -20 is a fifth below.",
    )


def check_window(window: timedelta) -> timedelta:
    """The window, unless it is too short or too long."""
    if not SHORTEST_WINDOW <= window <= LONGEST_WINDOW:
        shortest, longest = write_duration(SHORTEST_WINDOW), write_duration(LONGEST_WINDOW)
        raise BadUserInput(
            f"`window` must be from {shortest} to {longest}, and is {write_duration(window)}.",
            argument="window",
            allowed=[f"{shortest}..{longest}"],
        )
    return window


def _values(arguments: Mapping[str, Any], context: OperationContext) -> dict[str, Any]:
    return statistics_values(check_window(arguments["window"]), now=context.now)


def statistics_of_series(description: str) -> Any:
    """The field of a series that gives its statistics."""
    return keyed_rows(
        description,
        on=PriceSeries.id,
        to=_columns.series_id,
        keys=SERIES_IDS,
        order=[_columns.series_id],
        is_list=False,
        values=_values,
        arguments=[graphql_argument("window", timedelta, "How far back, such as `P30D`.", default=UNSET)],
    )
