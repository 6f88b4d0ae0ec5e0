"""Rolls points up into candles of a minute, an hour and a day, in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from typing import NamedTuple

from app.prices.resolutions import Resolution

MICROSECONDS = 1_000_000
# Wide enough for every sum and product of amounts of 15 digits and 18 decimal places, and loud where it is not.
EXACT = Context(prec=400, traps=[Inexact])

_MINUTE = Resolution.ONE_MINUTE * MICROSECONDS
_add = EXACT.add
_multiply = EXACT.multiply


class Point(NamedTuple):
    """A price as it is stored; amounts are plain decimals as text, sorting gives the order of time and arrival."""

    microseconds: int
    arrival: int
    key: str
    price: str
    quantity: str | None
    observed_at: str


@dataclass(slots=True)
class Bucket:
    """A candle in the making; `number` counts buckets of its resolution since 1970."""

    number: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    turnover: Decimal | None
    point_count: int


def roll_up(points: Sequence[Point]) -> list[tuple[int, list[Bucket]]]:
    """The candles of one series' points, which come in the order of time and arrival, by resolution in seconds."""
    minutes = _minutes(points)
    hours = _coarser(minutes, Resolution.ONE_HOUR // Resolution.ONE_MINUTE)
    days = _coarser(hours, Resolution.ONE_DAY // Resolution.ONE_HOUR)
    return [(Resolution.ONE_MINUTE, minutes), (Resolution.ONE_HOUR, hours), (Resolution.ONE_DAY, days)]


def _minutes(points: Iterable[Point]) -> list[Bucket]:
    minutes: list[Bucket] = []
    current = -1
    for microseconds, _, _, price_text, quantity_text, _ in points:
        price = Decimal(price_text)
        volume = turnover = None
        if quantity_text is not None:
            volume = Decimal(quantity_text)
            turnover = _multiply(price, volume)
        number = microseconds // _MINUTE
        if number != current:
            current = number
            bucket = Bucket(number, price, price, price, price, volume, turnover, 1)
            minutes.append(bucket)
        else:
            _extend(bucket, price, price, price, volume, turnover, 1)
    return minutes


def _coarser(buckets: Iterable[Bucket], factor: int) -> list[Bucket]:
    coarser: list[Bucket] = []
    current = -1
    for finer in buckets:
        number = finer.number // factor
        if number != current:
            current = number
            bucket = Bucket(
                number,
                finer.open,
                finer.high,
                finer.low,
                finer.close,
                finer.volume,
                finer.turnover,
                finer.point_count,
            )
            coarser.append(bucket)
        else:
            _extend(bucket, finer.high, finer.low, finer.close, finer.volume, finer.turnover, finer.point_count)
    return coarser


def _extend(
    bucket: Bucket,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    volume: Decimal | None,
    turnover: Decimal | None,
    point_count: int,
) -> None:
    if high > bucket.high:
        bucket.high = high
    if low < bucket.low:
        bucket.low = low
    bucket.close = close
    bucket.point_count += point_count
    if volume is not None and turnover is not None:
        bucket.volume = volume if bucket.volume is None else _add(bucket.volume, volume)
        bucket.turnover = turnover if bucket.turnover is None else _add(bucket.turnover, turnover)
