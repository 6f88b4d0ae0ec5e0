"""The fair value of a sample of sales, against its definition."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.prices.fair_value import Sale, fair_value_of, interval_rank, median_of, weight_at
from app.prices.models import Confidence

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def sales(*prices: str, ages: Sequence[timedelta] = ()) -> list[Sale]:
    """Sales at these prices, each of now or of its age."""
    aged = [*ages, *[timedelta()] * (len(prices) - len(ages))]
    return [Sale(Decimal(price), NOW - age, "shop") for price, age in zip(prices, aged, strict=True)]


def test_a_price_far_from_the_median_is_left_out_by_the_median_absolute_deviation() -> None:
    fair = fair_value_of(sales("10", "11", "11.5", "12", "12", "12.5", "13", "95"))
    assert [(out.sale.price, out.score) for out in fair.excluded] == [(Decimal(95), Decimal("74.64"))]
    assert (fair.sample_size, fair.median, fair.interval) == (7, Decimal(12), (Decimal(10), Decimal(13)))


def test_where_that_deviation_is_zero_the_mean_absolute_deviation_decides() -> None:
    fair = fair_value_of(sales(*["10"] * 7, "100"))
    assert [(out.sale.price, out.score) for out in fair.excluded] == [(Decimal(100), Decimal("6.38"))]
    assert fair.value == 10


def test_a_price_far_below_the_median_is_left_out_too() -> None:
    fair = fair_value_of(sales("0.01", "11", "11.5", "12", "12", "12.5", "13"))
    assert [out.sale.price for out in fair.excluded] == [Decimal("0.01")]
    assert fair.excluded[0].score < 0


def test_where_all_prices_are_alike_none_is_left_out() -> None:
    fair = fair_value_of(sales(*["7.50"] * 9))
    assert (fair.excluded, fair.value, fair.interval) == ([], Decimal("7.50"), (Decimal("7.50"), Decimal("7.50")))


def test_the_rank_of_the_interval_is_that_of_the_tables() -> None:
    assert [interval_rank(count) for count in (6, 9, 12, 15, 17, 20, 30)] == [1, 2, 3, 4, 5, 6, 10]
    assert [interval_rank(count) for count in range(6)] == [0] * 6


@pytest.mark.parametrize("count", [6, 7, 50, 333])
def test_the_rank_is_the_largest_whose_interval_holds_the_median_with_95_percent(count: int) -> None:
    def coverage(rank: int) -> Fraction:
        return 1 - 2 * sum((Fraction(comb(count, below), 2**count) for below in range(rank)), Fraction())

    assert coverage(interval_rank(count)) >= Fraction(95, 100) > coverage(interval_rank(count) + 1)


def test_newer_sales_count_more() -> None:
    fair = fair_value_of(sales("10", "10", "10", "20", "20", ages=[60 * DAY, 60 * DAY, 60 * DAY]))
    assert (fair.value, fair.median) == (Decimal(20), Decimal(10))


def test_one_sale_weighs_as_much_as_two_that_are_30_days_older_and_the_value_is_the_mean() -> None:
    for rest in (timedelta(), timedelta(days=7, seconds=11, microseconds=13)):
        older, newer = timedelta(days=30) + rest, rest
        fair = fair_value_of(sales("10", "10", "12", "12", ages=[older, older, newer + 30 * DAY, newer + 30 * DAY]))
        assert fair.value == 11
        assert fair_value_of(sales("10", "10", "12", ages=[older, older, newer])).value == 11


def test_a_weight_halves_every_30_days() -> None:
    assert weight_at(timedelta()) == 1
    assert weight_at(30 * DAY) == Decimal("0.5")
    with localcontext(prec=60):
        assert abs(weight_at(15 * DAY) ** 2 - Decimal("0.5")) < Decimal("1e-49")


def test_a_mean_has_no_more_places_than_it_needs() -> None:
    assert str(median_of([Decimal(10), Decimal(12)])) == "11"
    assert str(median_of([Decimal(10), Decimal(11)])) == "10.5"
    assert str(median_of([Decimal("1.10"), Decimal("1.30")])) == "1.20"


@pytest.mark.parametrize(
    ("prices", "confidence"),
    [
        (["10"] * 5, Confidence.LOW),
        (["10"] * 6, Confidence.MEDIUM),
        (["8", "9", "10", "11", "12", "13"], Confidence.MEDIUM),
        (["7", "8", "9", "11", "13", "15"], Confidence.LOW),
        (["10"] * 15, Confidence.HIGH),
        (["8"] * 5 + ["10"] * 5 + ["12"] * 5, Confidence.MEDIUM),
        (["0"] * 6, Confidence.MEDIUM),
    ],
)
def test_confidence_needs_sales_and_a_narrow_interval(prices: list[str], confidence: Confidence) -> None:
    assert fair_value_of(sales(*prices)).confidence is confidence


PRICES = st.decimals(min_value=0, max_value=10**9, places=2) | st.sampled_from(
    [Decimal(10), Decimal("10.00"), Decimal("1E-18"), Decimal("1E+20")]
)
AGES = st.integers(0, 90 * 86_400 * 10**6 - 1).map(lambda ticks: timedelta(microseconds=ticks)) | st.sampled_from(
    [timedelta(), 15 * DAY, 30 * DAY, 45 * DAY, 60 * DAY]
)
SAMPLES = st.lists(st.builds(lambda price, age: Sale(price, NOW - age, "shop"), PRICES, AGES), min_size=1, max_size=40)


@given(SAMPLES, st.randoms(use_true_random=False))
def test_any_sample_has_the_value_that_the_definition_gives_it_in_any_order(sample: list[Sale], random: object) -> None:
    fair = fair_value_of(sample)
    kept, excluded = outliers_by_definition(sample)
    assert sorted(out.sale.price for out in fair.excluded) == excluded
    assert Fraction(fair.median) == middle([Fraction(sale.price) for sale in kept])
    assert Fraction(fair.value) == recent_median_by_definition(kept)
    random.shuffle(sample)  # type: ignore[attr-defined]  # a random.Random of Hypothesis
    assert str(fair_value_of(sample)) == str(fair)


def middle(numbers: Sequence[Fraction]) -> Fraction:
    """The median by definition."""
    ordered = sorted(numbers)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def outliers_by_definition(sample: Sequence[Sale]) -> tuple[list[Sale], list[Decimal]]:
    """The sales that count, and the prices of the others, in fractions."""
    prices = [Fraction(sale.price) for sale in sample]
    median = middle(prices)
    spread = middle([abs(price - median) for price in prices])
    mean = sum((abs(price - median) for price in prices), Fraction()) / len(prices)

    def score(price: Fraction) -> Fraction:
        if spread:
            return Fraction("0.6745") * (price - median) / spread
        return (price - median) / (Fraction("1.253314") * mean) if mean else Fraction()

    is_out = [abs(score(price)) > Fraction("3.5") for price in prices]
    kept = [sale for sale, out in zip(sample, is_out, strict=True) if not out]
    return kept, sorted(sale.price for sale, out in zip(sample, is_out, strict=True) if out)


def recent_median_by_definition(kept: Sequence[Sale]) -> Fraction:
    """The least price at which the weights as of now reach half of their sum, by powers to 100 digits.

    Where they are within 1e-90 of half they are meant to be half: the mean with the next price.
    """
    context = Context(prec=100)
    period = Decimal(30 * 86_400 * 10**6)
    ordered = sorted(kept, key=lambda sale: sale.price)
    weights = []
    for sale in ordered:
        ticks = (NOW - sale.observed_at) // timedelta(microseconds=1)
        weights.append(Fraction(context.power(Decimal("0.5"), context.divide(Decimal(ticks), period))))
    half = sum(weights, Fraction()) / 2
    for place in range(len(ordered)):
        beyond = sum(weights[: place + 1], Fraction()) - half
        if abs(beyond) < Fraction(1, 10**90):
            return (Fraction(ordered[place].price) + Fraction(ordered[place + 1].price)) / 2
        if beyond > 0:
            return Fraction(ordered[place].price)
    raise AssertionError("no sale reaches half of the weights")


def test_no_two_weights_of_a_window_are_confused() -> None:
    ages = [timedelta(microseconds=ticks) for ticks in (0, 1, 2, 127, 128, 129, 16_384, 2**41)]
    assert all(weight_at(older) < weight_at(newer) for newer, older in combinations(ages, 2))
