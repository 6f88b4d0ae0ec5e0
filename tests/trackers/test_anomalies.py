"""Which fixes are anomalous: reached and left faster than anything goes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trackers.anomalies import NEIGHBOURS, PlacedAt, anomalous
from app.trackers.points import Point

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KILOMETERS_PER_DEGREE = 111.195


def along(kilometers: list[float], *, minutes: int = 10) -> list[PlacedAt]:
    """Fixes so far to the north of the equator, one after the other."""
    return [
        PlacedAt(
            NOON + number * timedelta(minutes=minutes), Point(round(far / KILOMETERS_PER_DEGREE * 10_000_000), 100)
        )
        for number, far in enumerate(kilometers)
    ]


@pytest.mark.parametrize(
    ("kilometers", "marked"),
    [
        ([], []),
        ([0], []),
        ([0, 5000], []),
        ([0, 5000, 0], [1]),
        ([0, 160, 0], []),
        ([0, 170, 0], [1]),
        # Who arrives faster than possible and stays has been there.
        ([0, 1, 5000, 5001, 5002], []),
        ([5000, 0, 1, 2], []),
        ([0, 1, 2, 5000], []),
        # Sent back by an outlier it had not been at.
        ([0, 1, 2, 5000, 3, 4, 5], [3]),
        ([0, 1, 2, 5000, 3, 4, -4000, 5, 6, 7], [3, 6]),
        # All of it is that fast: something flies.
        ([0, 200, 400, 600, 800, 1000], []),
    ],
)
def test_a_fix_between_two_impossible_speeds_is_anomalous(kilometers: list[float], marked: list[int]) -> None:
    marks = anomalous(along(kilometers))
    assert [index for index, is_marked in enumerate(marks) if is_marked] == marked


def test_the_same_way_in_more_time_is_possible() -> None:
    assert anomalous(along([0, 5000, 0], minutes=600)) == [False, False, False]


def test_an_outlier_is_told_from_its_neighbours_across_the_antimeridian() -> None:
    fixes = [PlacedAt(NOON + timedelta(minutes=10 * n), Point(0, 1_799_999_000 * (-1) ** n)) for n in range(5)]
    assert not any(anomalous(fixes))


fast_and_slow = st.lists(st.sampled_from([0.0, 1.0, 2.0, 100.0, 300.0, 900.0, 5000.0]), min_size=1, max_size=30)


@given(fast_and_slow, st.sampled_from([1.0, 400.0, 5000.0]))
def test_a_new_fix_changes_the_marks_of_the_five_before_it_at_most(kilometers: list[float], new: float) -> None:
    settled = len(kilometers) - NEIGHBOURS
    before, after = anomalous(along(kilometers)), anomalous(along([*kilometers, new]))
    assert before[: max(0, settled)] == after[: max(0, settled)]
