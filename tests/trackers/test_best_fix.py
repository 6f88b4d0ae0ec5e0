"""A bucket's reports and the fix that follows from them."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trackers.best_fix import SeenAt, best_fix
from app.trackers.buckets import bucket_of, silent_from
from app.trackers.points import Point, distance_meters

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def seen(
    latitude: float, longitude: float, accuracy: float | None = 10, *, minute: int = 0, confidence: int | None = None
) -> SeenAt:
    point = Point(round(latitude * 10_000_000), round(longitude * 10_000_000))
    return SeenAt(NOON + timedelta(minutes=minute), point, accuracy, confidence)


def test_a_single_report_is_the_fix_as_it_is() -> None:
    fix = best_fix([seen(50.1234567, -10.7654321, 35, minute=3, confidence=2)])
    assert fix.point == (501234567, -107654321)
    assert (fix.accuracy_meters, fix.confidence) == (35, 2)
    assert (fix.last_reported_at, fix.report_count, fix.dropped_count) == (NOON + timedelta(minutes=3), 1, 0)


def test_an_unknown_accuracy_counts_as_100_metres() -> None:
    assert best_fix([seen(50, 10, None)]).accuracy_meters == 100
    assert best_fix([seen(50, 10, None), seen(50.001, 10, 100)]).point == (500005000, 100000000)


def test_reports_weigh_by_the_square_of_their_accuracy_and_none_is_better_than_five_metres() -> None:
    # 5 m weighs nine times as much as 15 m, and so does 0 m.
    assert best_fix([seen(50, 10, 5), seen(50.001, 10, 15)]).point.latitude_e7 == 500001000
    assert best_fix([seen(50, 10, 0), seen(50.001, 10, 15)]).point.latitude_e7 == 500001000


def test_a_report_far_from_the_others_is_dropped() -> None:
    near = [seen(50 + step / 100_000, 10, confidence=1) for step in range(5)]
    fix = best_fix([*near, seen(50.5, 10, 1, minute=9, confidence=3)])
    assert fix == best_fix([*near, seen(0, 0, 1, minute=9, confidence=3)])
    assert fix.point == (500000200, 100000000)
    assert (fix.report_count, fix.dropped_count, fix.confidence) == (6, 1, 1)
    # The tracker was seen then, wherever that was.
    assert fix.last_reported_at == NOON + timedelta(minutes=9)


def test_three_times_the_median_deviation_is_kept_and_more_is_not() -> None:
    at = [0, 0, 1, -1, 1, -1, 3]
    assert best_fix([seen(step / 10_000, 0) for step in at]).dropped_count == 0
    assert best_fix([seen(step / 10_000, 0) for step in [*at[:-1], 3.1]]).dropped_count == 1


def test_the_accuracy_tells_how_far_the_reports_lie_apart_too() -> None:
    fix = best_fix([seen(50, 10, 30), seen(50.0009, 10, 30)])
    assert fix.accuracy_meters == pytest.approx((30**2 + 50.04**2) ** 0.5, abs=0.1)


@pytest.mark.parametrize("longitudes", [(179.9999, -179.9999), (-179.9998, 179.9998), (180, -180)])
def test_longitudes_on_both_sides_of_the_antimeridian_are_neighbours(longitudes: tuple[float, float]) -> None:
    fix = best_fix([seen(10, longitude) for longitude in longitudes])
    assert fix.point == (100000000, -1_800_000_000)
    assert fix.accuracy_meters < 40
    assert distance_meters(*(seen(10, longitude).point for longitude in longitudes)) < 50


def test_reports_a_little_to_the_east_of_the_antimeridian_stay_there() -> None:
    assert best_fix([seen(0, 179.9999), seen(0, -179.9997), seen(0, -179.9999)]).point.longitude_e7 < -1_799_990_000


@pytest.mark.parametrize("accuracy", [float("inf"), float("nan"), 3e38])
def test_an_accuracy_that_says_nothing_breaks_nothing(accuracy: float) -> None:
    fix = best_fix([seen(50, 10, accuracy)])
    assert fix.point == (500000000, 100000000)
    assert 100 <= fix.accuracy_meters <= 20_000_000


reports = st.builds(
    seen,
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.one_of(st.none(), st.floats(0, 1e6, width=32)),
    minute=st.integers(0, 9),
    confidence=st.one_of(st.none(), st.integers(0, 255)),
)


@given(st.lists(reports, min_size=1, max_size=5))
def test_the_order_of_reports_changes_no_digit(given_reports: list[SeenAt]) -> None:
    assert len({best_fix(order) for order in permutations(given_reports)}) == 1


@given(st.datetimes(timezones=st.timezones()))
def test_a_bucket_holds_the_ten_minutes_from_its_start_on(instant: datetime) -> None:
    start = bucket_of(instant)
    assert timedelta() <= instant - start < timedelta(minutes=10)
    assert (start.minute % 10, start.second, start.microsecond, start.utcoffset()) == (0, 0, 0, timedelta())


@pytest.mark.parametrize(("minutes", "until"), [(10, 20), (11, 30), (60, 70), (1440, 1450)])
def test_silence_begins_whole_buckets_after_the_end_of_the_last_one(minutes: int, until: int) -> None:
    assert silent_from(NOON, minutes) == NOON + timedelta(minutes=until)
