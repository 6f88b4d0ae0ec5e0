"""Rolls points up into candles of a minute, an hour and a day, in memory.

Plain tuples and few calls: this runs once for each point of each batch.
"""

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact

from app.prices.resolutions import Resolution

MICROSECONDS = 1_000_000
# Wide enough for every sum and product of amounts of 16 digits and 18 decimal places, and loud where it is not.
EXACT = Context(prec=200, traps=[Inexact])

# A price as it is stored: microseconds since 1970, arrival, key, price, quantity, time; the last four as text.
# Sorted, points are in the order of time and arrival.
Point = tuple[int, int, str, str, str | None, str]

# Number of the bucket since 1970, open, high, low, close, volume, turnover, number of points. The two in the middle
# come as number and text, because writing a decimal costs more than carrying its text along. Volume and turnover sum
# over the points that have a quantity, and are None when none has.
Bucket = tuple[int, str, Decimal, str, Decimal, str, str, Decimal | None, Decimal | None, int]

_MINUTE = Resolution.ONE_MINUTE * MICROSECONDS
_MINUTES_IN_HOUR = Resolution.ONE_HOUR // Resolution.ONE_MINUTE
_HOURS_IN_DAY = Resolution.ONE_DAY // Resolution.ONE_HOUR


def roll_up(points: Iterable[Point]) -> list[tuple[int, list[Bucket]]]:
    """The candles of one series' points, which come in the order of time and arrival, by resolution in seconds."""
    minutes = _coarser(_one_each(points), 1)
    hours = _coarser(minutes, _MINUTES_IN_HOUR)
    days = _coarser(hours, _HOURS_IN_DAY)
    return [(Resolution.ONE_MINUTE, minutes), (Resolution.ONE_HOUR, hours), (Resolution.ONE_DAY, days)]


def _one_each(points: Iterable[Point]) -> list[Bucket]:
    """A minute for each point by itself."""
    multiply = EXACT.multiply
    buckets: list[Bucket] = []
    for microseconds, _, _, text, quantity_text, _ in points:
        price = Decimal(text)
        quantity = turnover = None
        if quantity_text is not None:
            quantity = Decimal(quantity_text)
            turnover = multiply(price, quantity)
        buckets.append((microseconds // _MINUTE, text, price, text, price, text, text, quantity, turnover, 1))
    return buckets


def _coarser(buckets: Iterable[Bucket], factor: int) -> list[Bucket]:
    """Buckets in the order of time, as those of `factor` times their length."""
    add = EXACT.add
    merged: list[Bucket] = []
    current = -1
    for bucket in buckets:
        number, open_, high, high_text, low, low_text, close, volume, turnover, count = bucket
        number //= factor
        if number != current:
            merged.append((number, open_, high, high_text, low, low_text, close, volume, turnover, count))
            current = number
            continue
        _, open_, so_far_high, so_far_high_text, so_far_low, so_far_low_text, _, so_far, so_far_turnover, before = (
            merged[-1]
        )
        if so_far_high >= high:
            high, high_text = so_far_high, so_far_high_text
        if so_far_low <= low:
            low, low_text = so_far_low, so_far_low_text
        if volume is None or turnover is None:
            volume, turnover = so_far, so_far_turnover
        elif so_far is not None and so_far_turnover is not None:
            volume, turnover = add(so_far, volume), add(so_far_turnover, turnover)
        merged[-1] = (number, open_, high, high_text, low, low_text, close, volume, turnover, before + count)
    return merged
