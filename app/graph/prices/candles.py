"""Candles, as rows and as columns, and which of them are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import strawberry
from strawberry import Parent

from app.core.errors import BadUserInput
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum
from app.prices.queries.candles import CandleOrigin, CandleRow, CandleWindow
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
    },
)


@strawberry.type(description="Open, high, low and close of one bucket `[start, start + resolution)`.")
class Candle:
    start: datetime = attribute("The beginning of the bucket, which is also its label.")
    open: Decimal = attribute("The first price of the bucket.")
    high: Decimal = attribute("The highest price of the bucket.")
    low: Decimal = attribute("The lowest price of the bucket.")
    close: Decimal = attribute("The last price of the bucket.")
    volume: Decimal | None = attribute("The sum of the quantities, in units; null where no quantity is known.")
    point_count: int | None = attribute("How many points it was made of; null for candles that a source provided.")

    @resolved("Volume-weighted average price: turnover divided by volume; null where the turnover is not known.")
    @staticmethod
    def volume_weighted_average_price(root: Parent[CandleRow]) -> Decimal | None:
        if root.turnover is None or not root.volume:
            return None
        return root.turnover / root.volume

    @resolved("How it came to be.")
    @staticmethod
    def origin(root: Parent[CandleRow]) -> CandleOrigin:
        return root.origin

    @resolved("Whether the bucket is over. A candle that still runs may change.")
    @staticmethod
    def is_complete(root: Parent[CandleRow], info: Info) -> bool:
        return root.start + timedelta(seconds=root.resolution) <= info.context.now


@strawberry.type(description="Candles as parallel arrays for charts: the entries at one place belong to one candle.")
class CandleColumns:
    start: list[datetime] = attribute("The beginnings of the buckets, ascending.")
    open: list[Decimal] = attribute("The first prices.")
    high: list[Decimal] = attribute("The highest prices.")
    low: list[Decimal] = attribute("The lowest prices.")
    close: list[Decimal] = attribute("The last prices.")
    volume: list[Decimal | None] = attribute("The sums of the quantities, null where none is known.")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of candles."""

    start: Sequence[datetime]
    open: Sequence[Decimal]
    high: Sequence[Decimal]
    low: Sequence[Decimal]
    close: Sequence[Decimal]
    volume: Sequence[Decimal | None]


def check_range(since: datetime | None, until: datetime | None) -> None:
    """Refuse a range that ends before it begins."""
    if since is not None and until is not None and until < since:
        raise BadUserInput(
            "`to` lies before `from`; a range ends after it begins.", argument="to", allowed=["an instant after `from`"]
        )


def candle_window(
    resolution: Resolution, since: datetime | None, until: datetime | None, last: int, maximum: int
) -> CandleWindow:
    check_range(since, until)
    if not 1 <= last <= maximum:
        raise BadUserInput(
            f"`last` must be from 1 to {maximum}, and is {last}.", argument="last", allowed=[f"1..{maximum}"]
        )
    return CandleWindow(resolution=resolution, since=since, until=until, limit=last)
