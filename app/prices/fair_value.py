"""The fair value of a sample of sales in one currency: exact, and a matter of the sales alone.

Outliers are left out by their modified z-score (Iglewicz and Hoaglin, 1993), the value is the median weighted by
recency, and beside it stands the plain median with its exact order-statistics interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from enum import StrEnum
from functools import lru_cache

from app.prices.models import Confidence

# A sale counts half as much as one that is so much newer.
HALF_LIFE = timedelta(days=30)
OUTLIER_BEYOND = Decimal("3.5")
# Of normally spread prices, the median absolute deviation and the mean one are these shares of the standard deviation.
_PER_MEDIAN_DEVIATION = Decimal("0.6745")
_PER_MEAN_DEVIATION = Decimal("1.253314")
HIGH_CONFIDENCE_FROM, HIGH_CONFIDENCE_WIDTH = 15, Decimal("0.2")
MEDIUM_CONFIDENCE_WIDTH = Decimal("0.5")

_MICROSECOND = timedelta(microseconds=1)
_HALF = Decimal("0.5")
# More digits than sums and products of prices and weights have, so that none of them is rounded.
_EXACT = Context(prec=1_000, rounding=ROUND_HALF_EVEN)
# Weights are powers of two with any exponent, and the only numbers that are rounded: to 50 digits, from products with
# some more. An age in microseconds is taken apart into digits of this base.
_WEIGHTS = Context(prec=50, rounding=ROUND_HALF_EVEN)
_POWERS = Context(prec=60, rounding=ROUND_HALF_EVEN)
_BASE = 128
_SCORE = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Sale:
    """A price that was paid, and the code of the source that told of it."""

    price: Decimal
    observed_at: datetime
    source: str


class ExclusionReason(StrEnum):
    """Why a sale was left out."""

    OUTLIER = "outlier"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A sale that was left out, and its modified z-score, to two places."""

    sale: Sale
    reason: ExclusionReason
    score: Decimal


@dataclass(frozen=True, slots=True)
class FairValue:
    """What a sample of sales says; `interval` holds the median with at least 95 %, and is None below six sales."""

    value: Decimal
    median: Decimal
    interval: tuple[Decimal, Decimal] | None
    sample_size: int
    confidence: Confidence
    excluded: Sequence[Exclusion]


def fair_value_of(sales: Sequence[Sale]) -> FairValue:
    """The fair value of one sale or more, all of one variant in one currency, in any order.

    When it is asked does not matter: weights count by their ratios, which stay the same as all sales grow older.
    """
    with localcontext(_EXACT):
        in_order = sorted(sales, key=lambda sale: (sale.price, sale.observed_at, sale.source, str(sale.price)))
        kept, excluded = _without_outliers(in_order)
        prices = [sale.price for sale in kept]
        median = median_of(prices)
        rank = interval_rank(len(prices))
        interval = (prices[rank - 1], prices[-rank]) if rank else None
        confidence = _confidence(len(prices), median, interval)
        return FairValue(_recent_median(kept), median, interval, len(prices), confidence, excluded)


def median_of(prices: Sequence[Decimal]) -> Decimal:
    """The middle of prices in their order, or the mean of the two in the middle."""
    middle = len(prices) // 2
    return prices[middle] if len(prices) % 2 else _mean(prices[middle - 1], prices[middle])


@lru_cache(maxsize=1_000)
def interval_rank(count: int) -> int:
    """The largest k for which `[x(k), x(count + 1 - k)]` holds the median with at least 95 %; 0 where there is none.

    That is `1 - 2 * sum(C(count, i) for i < k) / 2 ** count >= 0.95`, reckoned in integers.
    """
    rank, term, below = 0, 1, 0
    while True:
        below += term
        if 40 * below > 1 << count:
            return rank
        term = term * (count - rank) // (rank + 1)
        rank += 1


def _without_outliers(sales: Sequence[Sale]) -> tuple[list[Sale], list[Exclusion]]:
    """Those that count, and those whose modified z-score is beyond 3.5 on either side."""
    prices = [sale.price for sale in sales]
    median = median_of(prices)
    deviations = sorted(abs(price - median) for price in prices)
    spread = median_of(deviations)
    # Score = numerator * (price - median) / denominator, compared without a division.
    numerator, denominator = _PER_MEDIAN_DEVIATION, spread
    if not spread:
        numerator, denominator = Decimal(len(prices)), _PER_MEAN_DEVIATION * sum(deviations)
    if not denominator:
        return list(sales), []
    kept: list[Sale] = []
    excluded: list[Exclusion] = []
    for sale in sales:
        distance = numerator * (sale.price - median)
        if abs(distance) > OUTLIER_BEYOND * denominator:
            score = (distance / denominator).quantize(_SCORE)
            excluded.append(Exclusion(sale, ExclusionReason.OUTLIER, score))
        else:
            kept.append(sale)
    return kept, excluded


def _recent_median(sales: Sequence[Sale]) -> Decimal:
    """The least price at which the weights reach half of their sum; where they are just half, the mean with the next.

    Sales are in the order of their prices.
    """
    newest = max(sale.observed_at for sale in sales)
    weights = [weight_at(newest - sale.observed_at) for sale in sales]
    total, reached = sum(weights), Decimal(0)
    for place, weight in enumerate(weights):
        reached += weight
        if 2 * reached > total:
            return sales[place].price
        if 2 * reached == total:
            return _mean(sales[place].price, sales[place + 1].price)
    raise ValueError("A median needs a sale.")


def weight_at(age: timedelta) -> Decimal:
    """`0.5 ** (age / 30 days)`: the power of less than a half-life to 50 digits, halved exactly for each whole one.

    So two sales weigh exactly as much as one that is a half-life newer, and ties are found as ties.
    """
    halvings, rest = divmod(age // _MICROSECOND, HALF_LIFE // _MICROSECOND)
    weight, place = Decimal(1), 0
    while rest:
        rest, digit = divmod(rest, _BASE)
        if digit:
            weight = _POWERS.multiply(weight, _power(digit, place))
        place += 1
    return _EXACT.multiply(_WEIGHTS.plus(weight), _EXACT.power(_HALF, halvings))


@lru_cache(maxsize=1_000)
def _power(digit: int, place: int) -> Decimal:
    """The weight at an age of one digit alone: a power of a fraction is slow, and the product of a few is not."""
    microseconds = digit * _BASE**place
    return _POWERS.power(Decimal(2), _POWERS.divide(Decimal(-microseconds), Decimal(HALF_LIFE // _MICROSECOND)))


def _mean(one: Decimal, other: Decimal) -> Decimal:
    """Their mean, with no more places than they have where it needs no more."""
    doubled = one + other
    mean = doubled * _HALF
    short = mean.quantize(doubled)
    return short if short == mean else mean


def _confidence(count: int, median: Decimal, interval: tuple[Decimal, Decimal] | None) -> Confidence:
    """HIGH from 15 sales and an interval of at most 20 % of the median; MEDIUM from 6 and 50 %; else LOW."""
    if interval is None:
        return Confidence.LOW
    low, high = interval
    width = high - low
    if count >= HIGH_CONFIDENCE_FROM and width <= HIGH_CONFIDENCE_WIDTH * median:
        return Confidence.HIGH
    return Confidence.MEDIUM if width <= MEDIUM_CONFIDENCE_WIDTH * median else Confidence.LOW
