"""How scalars are written, and what is refused on the way in."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as some

from app.graph.scalars import (
    read_big_int,
    read_currency_code,
    read_date,
    read_date_time,
    read_decimal,
    read_duration,
    write_date,
    write_date_time,
    write_decimal,
    write_duration,
)


@given(some.datetimes(timezones=some.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])))
def test_a_date_time_is_written_in_utc_and_reads_back(instant: datetime) -> None:
    if datetime.min.replace(tzinfo=UTC) + timedelta(days=1) < instant:
        written = write_date_time(instant)
        assert written.endswith("Z")
        assert read_date_time(written) == instant


@given(some.dates())
def test_a_date_is_written_as_year_month_and_day_and_reads_back(day: date) -> None:
    assert len(write_date(day)) == 10
    assert read_date(write_date(day)) == day


@pytest.mark.parametrize(
    "value", ["", "2026-2-3", "20260203", "2026-W05-2", "2026-02-30", "0000-01-01", "2026-02-03T00:00:00Z", 2026, None]
)
def test_what_is_no_day_is_refused(value: object) -> None:
    with pytest.raises(GraphQLError, match=r"A Date is a string|is not a day that exists"):
        read_date(value)


@given(some.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=18))
def test_a_decimal_is_written_in_plain_digits_and_reads_back(number: Decimal) -> None:
    assert "E" not in write_decimal(number)
    assert read_decimal(write_decimal(number)) == number


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (timedelta(), "PT0S"),
        (timedelta(seconds=59.9), "PT59S"),
        (timedelta(minutes=61), "PT1H1M"),
        (timedelta(days=1), "P1D"),
        (timedelta(days=2, hours=3, seconds=4), "P2DT3H4S"),
        (timedelta(seconds=-5), "PT0S"),
    ],
)
def test_a_duration_is_written_in_iso_8601(length: timedelta, written: str) -> None:
    assert write_duration(length) == written


@pytest.mark.parametrize("value", ["1e5", "NaN", "", "1,5", "٣", 1.5, True, None, "1" * 41])
def test_what_is_no_exact_decimal_is_refused(value: object) -> None:
    with pytest.raises(GraphQLError, match="Decimal is a string"):
        read_decimal(value)


@pytest.mark.parametrize("value", ["", "9223372036854775808", "1.0", 1.5, True])
def test_what_does_not_fit_64_bits_is_refused(value: object) -> None:
    with pytest.raises(GraphQLError, match="BigInt"):
        read_big_int(value)


@pytest.mark.parametrize("value", ["usd", "XXX", "", 5, "US"])
def test_an_unknown_currency_is_refused(value: object) -> None:
    with pytest.raises(GraphQLError, match="ISO 4217"):
        read_currency_code(value)


@given(some.timedeltas(min_value=timedelta(0)))
def test_a_duration_reads_back_to_the_second(length: timedelta) -> None:
    assert read_duration(write_duration(length)) == timedelta(days=length.days, seconds=length.seconds)


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("PT90M", timedelta(minutes=90)),
        ("P0D", timedelta(0)),
        ("PT0S", timedelta(0)),
        ("P1DT1S", timedelta(days=1, seconds=1)),
    ],
)
def test_a_duration_may_be_written_in_any_of_its_units(written: str, length: timedelta) -> None:
    assert read_duration(written) == length


@pytest.mark.parametrize(
    "value",
    ["", "P", "PT", "P1DT", "P1Y", "P1M", "P1W", "-P1D", "P-1D", "PT1.5S", "PT1S1M", "p1d", "P٣D", "P1D ", 60, None],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(GraphQLError, match="ISO 8601"):
        read_duration(value)


def test_a_duration_that_nobody_lives_to_see_is_refused() -> None:
    with pytest.raises(GraphQLError, match="million years"):
        read_duration("P999999999DT999999999H")
