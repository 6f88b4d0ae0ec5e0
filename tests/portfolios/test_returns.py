"""How a portfolio did: the three methods, what is unavailable and why, and how exact a rate is."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from app.portfolios.queries.history import reckoned_return
from app.portfolios.returns import Flow, Period, Return, ReturnMethod, ReturnUnavailable, return_of

DAY = timedelta(days=1)
BEGIN = date(2024, 1, 1)
TIME_WEIGHTED, MODIFIED_DIETZ, XIRR = ReturnMethod.TWR, ReturnMethod.MODIFIED_DIETZ, ReturnMethod.XIRR


def period(days: int, values: dict[int, str | None], flows: dict[int, str] | None = None) -> Period:
    """A period of so many days, with values at the ends of some days and flows on some days."""
    return Period(
        BEGIN,
        BEGIN + days * DAY,
        {BEGIN + day * DAY: None if value is None else Decimal(value) for day, value in values.items()},
        [Flow(BEGIN + day * DAY, Decimal(amount)) for day, amount in (flows or {}).items()],
    )


# The value of a day holds its flow: on day 15 it is 1100 before the deposit of 500, and 1600 after it.
VECTOR = period(30, {0: "1000", 15: "1600", 30: "1700"}, {15: "500"})


def test_the_vector_of_the_rules_has_its_three_returns() -> None:
    assert return_of(VECTOR, TIME_WEIGHTED) == Return(Decimal("0.16875"))
    assert return_of(VECTOR, MODIFIED_DIETZ) == Return(Decimal("0.16"))
    of_period = return_of(VECTOR, XIRR)
    assert of_period.rate is not None
    assert not of_period.is_annual
    assert round(of_period.rate * 100, 2) == Decimal("16.12")
    a_year = (1 + of_period.rate) ** (Decimal(365) / 30) - 1
    assert round(a_year * 100, 1) == Decimal("516.2")


def test_from_a_year_on_the_rate_is_a_years() -> None:
    doubled_in_two = period(730, {0: "100", 730: "200"})
    assert return_of(doubled_in_two, XIRR) == Return(Decimal("0.414213562373"), is_annual=True)
    assert return_of(doubled_in_two, TIME_WEIGHTED) == Return(Decimal(1))
    assert return_of(period(365, {0: "100", 365: "90"}), XIRR) == Return(Decimal("-0.1"), is_annual=True)
    assert return_of(period(364, {0: "100", 364: "90"}), XIRR) == Return(Decimal("-0.1"))


@pytest.mark.parametrize("method", ReturnMethod)
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({0: None, 15: "1600", 30: "1700"}, ReturnUnavailable.NO_VALUE_AT_START),
        ({15: "1600", 30: "1700"}, ReturnUnavailable.NO_VALUE_AT_START),
        ({0: "1000", 15: "1600", 30: None}, ReturnUnavailable.NO_VALUE_AT_END),
        ({0: "1000", 15: "1600"}, ReturnUnavailable.NO_VALUE_AT_END),
    ],
)
def test_without_a_value_at_its_ends_a_period_has_no_return(
    method: ReturnMethod, values: dict[int, str | None], reason: ReturnUnavailable
) -> None:
    assert return_of(period(30, values, {15: "500"}), method) == Return(None, reason)


def test_only_the_time_weighted_return_needs_the_value_at_a_flow() -> None:
    unknown = period(30, {0: "1000", 30: "1700"}, {15: "500"})
    assert return_of(unknown, TIME_WEIGHTED) == Return(None, ReturnUnavailable.NO_VALUE_AT_FLOW)
    assert return_of(unknown, MODIFIED_DIETZ) == Return(Decimal("0.16"))
    assert return_of(unknown, XIRR) == return_of(VECTOR, XIRR)


@pytest.mark.parametrize("method", ReturnMethod)
def test_where_nothing_was_invested_there_is_no_return(method: ReturnMethod) -> None:
    assert return_of(period(30, {0: "0", 30: "0"}), method) == Return(None, ReturnUnavailable.NOTHING_INVESTED)
    out_of_nothing = period(30, {0: "0", 30: "7"})
    assert return_of(out_of_nothing, method) == Return(None, ReturnUnavailable.NOTHING_INVESTED)


@pytest.mark.parametrize("method", ReturnMethod)
def test_a_loss_of_everything_is_a_hundred_percent(method: ReturnMethod) -> None:
    assert return_of(period(30, {0: "1000", 30: "0"}), method).rate == -1


def test_flows_count_at_the_end_of_their_day() -> None:
    on_the_first = period(10, {0: "100", 10: "110"}, {0: "50"})
    on_the_last = period(10, {0: "100", 10: "160"}, {10: "50"})
    for method in ReturnMethod:
        assert return_of(on_the_first, method) == return_of(on_the_last, method) == Return(Decimal("0.1"))


def test_who_takes_everything_out_and_begins_again_is_weighed_by_what_was_invested() -> None:
    pause = period(30, {0: "100", 10: "0", 20: "50", 30: "60"}, {10: "-120", 20: "50"})
    assert return_of(pause, TIME_WEIGHTED) == Return(Decimal("0.44"))  # 120/100 × 60/50


def test_what_becomes_of_the_first_money_within_its_day_is_part_of_the_return() -> None:
    # Bought for 1005 with the fee, worth 1000 in the evening.
    first = period(30, {0: "0", 10: "1000", 30: "1100"}, {10: "1005"})
    assert return_of(first, TIME_WEIGHTED) == Return(Decimal("0.094527363184"))  # 1100/1005
    again = period(30, {0: "100", 10: "0", 20: "49", 30: "58.8"}, {10: "-120", 20: "50"})
    assert return_of(again, TIME_WEIGHTED) == Return(Decimal("0.4112"))  # 120/100 × 49/50 × 58.8/49


async def test_who_has_many_flows_keeps_nobody_waiting() -> None:
    many = period(401, {0: "1000", 401: "900"}, {day: "-5" if day % 2 else "4" for day in range(1, 401)})
    for asked, was_served in ((many, True), (VECTOR, False)):
        served = asyncio.Event()
        asyncio.get_running_loop().call_soon(served.set)
        assert await reckoned_return(asked, XIRR) == return_of(asked, XIRR)
        assert served.is_set() is was_served


def test_where_several_rates_fit_or_none_xirr_says_so() -> None:
    # −100 + 230/x − 132/x² = 0 has the roots 1.1 and 1.2.
    several = period(2, {0: "100", 2: "-132"}, {1: "-230"})
    assert return_of(several, XIRR) == Return(None, ReturnUnavailable.SEVERAL_RATES_FIT)
    # 100 − 50/x + 100/x² = 0 has no real root.
    none = period(2, {0: "-100", 2: "100"}, {1: "50"})
    assert return_of(none, XIRR) == Return(None, ReturnUnavailable.NO_RATE_FITS)


def test_extreme_growth_is_found_as_well() -> None:
    assert return_of(period(1, {0: "1", 1: "1000000000000000"}), XIRR).rate == Decimal(10) ** 15 - 1
    assert return_of(period(1, {0: "1000000000000000", 1: "1"}), XIRR).rate == Decimal(-1)
    too_late = period(364, {0: "0", 363: "100", 364: "300"}, {363: "100"})
    assert return_of(too_late, XIRR) == Return(None, ReturnUnavailable.RATE_TOO_GREAT)


def test_a_period_ends_after_it_begins() -> None:
    with pytest.raises(ValueError, match="later day"):
        return_of(period(0, {0: "1"}), XIRR)


AMOUNTS = some.decimals(min_value=1, max_value=10**15, places=18, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(
    start=AMOUNTS,
    end=AMOUNTS,
    deposits=some.dictionaries(some.integers(1, 400), AMOUNTS, max_size=6),
    days=some.integers(401, 1500),
)
def test_a_rate_that_is_found_makes_the_payments_worth_nothing(
    start: Decimal, end: Decimal, deposits: dict[int, Decimal], days: int
) -> None:
    asked = period(days, {0: str(start), days: str(end)}, {day: str(amount) for day, amount in deposits.items()})
    found = return_of(asked, XIRR)
    assert found.rate is not None
    growth = 1 + found.rate
    # The rate is rounded to twelve places: a little above and a little below it the payments have different signs.
    nudge = Decimal("2e-12")

    def net(rate: Decimal) -> Decimal:
        later = [(days, end), *((day, -amount) for day, amount in deposits.items())]
        return -start + sum(amount / rate ** (Decimal(day) / 365) for day, amount in later)

    assert growth <= nudge or net(growth - nudge) > 0 > net(growth + nudge)
