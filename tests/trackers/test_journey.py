"""From fixes and their distances to stays, statuses and silences, by the rules of places."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trackers.journey import Journey, JourneyFix, JourneyState, Nearness, PlaceRules, StatusSpan
from app.trackers.models import PlaceKind, TrackerStatus
from app.trackers.points import Point
from tests.trackers.history_builders import METERS_PER_DEGREE, minutes

YARD, SHED, SHOP = UUID(int=1), UUID(int=2), UUID(int=3)
CREATED_AT = minutes(-15)
# Where the centres lie, in metres along a road.
CENTERS = {YARD: 0.0, SHED: 60.0, SHOP: 5000.0}


def place(place_id: UUID, **rules: object) -> PlaceRules:
    kind = PlaceKind.DELIVERY if place_id is SHOP else PlaceKind.STORAGE
    given_rules = {"kind": kind, "radius_meters": 100.0, "reach_meters": 100.0} | rules
    return PlaceRules(id=place_id, **given_rules)  # type: ignore[arg-type]  # each test names what it is about


def fix(minute: float, meters: float, accuracy: float = 10) -> JourneyFix:
    near = [Nearness(place_id, abs(meters - center), abs(meters - center)) for place_id, center in CENTERS.items()]
    return JourneyFix(minutes(minute), Point(round(meters / METERS_PER_DEGREE * 10_000_000), 0), accuracy, near)


def gone(
    fixes: Iterable[JourneyFix], places: Sequence[PlaceRules] = (place(YARD), place(SHOP)), silence: int = 1440
) -> Journey:
    journey = Journey({rules.id: rules for rules in places}, silence)
    for one in fixes:
        journey.go_on(one)
    return journey


def every_ten(meters: Iterable[float]) -> list[JourneyFix]:
    return [fix(10 * number, far) for number, far in enumerate(meters)]


def stays(journey: Journey) -> list[tuple[float, UUID | None, int]]:
    """Since which minute, where, and for how many fixes."""
    return [(_minute(stay.since), stay.place_id, stay.fix_count) for stay in journey.stays]


def spelled(spans: Iterable[StatusSpan]) -> list[tuple[float, str]]:
    return [(_minute(span.started_at), span.status.value) for span in spans]


def _minute(instant: datetime) -> float:
    return (instant - minutes(0)).total_seconds() / 60


@pytest.mark.parametrize(
    ("meters", "expected"),
    [
        # At the radius one is inside, beyond it not.
        ([100], [(0, YARD, 1)]),
        ([100.1], [(0, None, 1)]),
        # Left by more than 20 m and the accuracy of 10 m, twice in a row, at the first of them.
        ([0, 131, 131], [(0, YARD, 1), (10, None, 2)]),
        ([0, 130, 130, 130], [(0, YARD, 4)]),
        ([0, 131, 130, 131, 100, 131], [(0, YARD, 6)]),
        ([0, 131], [(0, YARD, 2)]),
        ([0, 0, 900, 2000, 0, 3000], [(0, YARD, 2), (20, None, 2), (40, YARD, 2)]),
        # Straight to the other place: there since the first fix out of the one.
        ([0, 5000, 5000], [(0, YARD, 1), (10, SHOP, 2)]),
        ([0, 5000, 0, 5000], [(0, YARD, 4)]),
    ],
)
def test_one_arrives_with_a_fix_inside_and_leaves_with_two_in_a_row_well_outside(
    meters: list[float], expected: list[tuple[float, UUID | None, int]]
) -> None:
    assert stays(gone(every_ten(meters))) == expected


def test_of_a_large_place_the_margin_is_a_fifth_of_its_reach() -> None:
    rules = [place(YARD, radius_meters=1000.0, reach_meters=1000.0)]
    assert stays(gone(every_ten([0, 1209, 1209]), rules)) == [(0, YARD, 3)]
    assert stays(gone(every_ten([0, 1211, 1211]), rules)) == [(0, YARD, 1), (10, None, 2)]


def test_of_a_fixs_accuracy_200_metres_count_at_most() -> None:
    inaccurate = [fix(0, 0), fix(10, 319, 5000), fix(20, 319, 5000)]
    assert stays(gone(inaccurate)) == [(0, YARD, 3)]
    assert stays(gone([fix(0, 0), fix(10, 321, 5000), fix(20, 321, 5000)])) == [(0, YARD, 1), (10, None, 2)]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"dwell_fixes": 3}, [(0, None, 1), (10, YARD, 4)]),
        ({"dwell_minutes": 25}, [(0, None, 1), (10, YARD, 4)]),
        ({"dwell_fixes": 2, "dwell_minutes": 30}, [(0, None, 1), (10, YARD, 4)]),
        ({"dwell_fixes": 5}, [(0, None, 5)]),
        ({"dwell_minutes": 31}, [(0, None, 5)]),
    ],
)
def test_one_has_arrived_after_as_many_fixes_and_minutes_and_since_the_first_of_them(
    rules: Mapping[str, object], expected: list[tuple[float, UUID | None, int]]
) -> None:
    assert stays(gone(every_ten([900, 0, 0, 0, 0]), [place(YARD, **rules)])) == expected


def test_a_row_of_fixes_that_breaks_off_begins_anew() -> None:
    rules = [place(YARD, dwell_fixes=2)]
    assert stays(gone(every_ten([0, 900, 0, 900, 0, 0]), rules)) == [(0, None, 4), (40, YARD, 2)]


def test_of_overlapping_places_the_nearest_centre_counts_then_the_smaller_one() -> None:
    both = [place(YARD), place(SHED)]
    assert stays(gone(every_ten([29]), both)) == [(0, YARD, 1)]
    assert stays(gone(every_ten([31]), both)) == [(0, SHED, 1)]
    assert stays(gone(every_ten([30]), [place(YARD, reach_meters=101.0), place(SHED)])) == [(0, SHED, 1)]
    assert stays(gone(every_ten([30]), [place(YARD, reach_meters=99.0), place(SHED)])) == [(0, YARD, 1)]


def test_one_moves_to_the_place_that_contains_two_fixes_in_a_row_better() -> None:
    both = [place(YARD), place(SHED)]
    assert stays(gone(every_ten([0, 50, 0, 50, 0]), both)) == [(0, YARD, 5)]
    assert stays(gone(every_ten([0, 50, 55]), both)) == [(0, YARD, 1), (10, SHED, 2)]


def test_a_place_counts_from_when_it_is_active_until_it_is_no_longer() -> None:
    rules = [place(YARD, active_from=minutes(10), active_until=minutes(30))]
    assert stays(gone(every_ten([0, 0, 0, 0, 0]), rules)) == [(0, None, 1), (10, YARD, 2), (30, None, 2)]


def test_a_place_that_is_no_more_is_left_with_the_next_fix() -> None:
    state = gone(every_ten([0, 0])).state()
    journey = Journey.beginning_with(state, places={}, silent_after_minutes=1440)
    journey.go_on(fix(20, 0))
    assert stays(journey) == [(0, YARD, 2), (20, None, 1)]


def test_statuses_follow_from_places_and_begin_with_the_making_of_the_tracker() -> None:
    journey = gone(every_ten([900, 0, 0, 900, 5000, 5000]))
    spans = journey.statuses(created_at=CREATED_AT, now=minutes(60))
    assert spelled(spans) == [
        (-15, "created"),
        (0, "in_transit"),
        (10, "in_storage"),
        (30, "in_transit"),
        (40, "delivered"),
    ]
    assert [span.ended_at for span in spans] == [*(span.started_at for span in spans[1:]), None]
    assert [span.place_id for span in spans] == [None, None, YARD, None, SHOP]
    # Of reports from before, the making says nothing.
    assert spelled(journey.statuses(created_at=minutes(5), now=minutes(60)))[0] == (0, "in_transit")


def test_a_tracker_is_silent_until_the_next_fix_and_then_where_it_was() -> None:
    journey = gone([fix(0, 0), fix(75, 0), fix(80, 0), fix(200, 900), fix(210, 900)], silence=60)
    assert stays(journey) == [(0, YARD, 3), (200, None, 2)]
    assert spelled(journey.statuses(created_at=CREATED_AT, now=minutes(279))) == [
        (-15, "created"),
        (0, "in_storage"),
        (70, "silent"),
        (75, "in_storage"),
        (150, "silent"),
        (200, "in_transit"),
    ]
    assert spelled(journey.statuses(created_at=CREATED_AT, now=minutes(280)))[-1] == (280, "silent")


def test_a_fix_in_the_moment_of_silence_comes_in_time() -> None:
    journey = gone([fix(0, 0), fix(70, 0)], silence=60)
    assert [span.status for span in journey.statuses(created_at=minutes(0), now=minutes(71))] == [
        TrackerStatus.IN_STORAGE
    ]


def test_what_moves_in_storage_farther_than_accuracies_allow_is_noted_once() -> None:
    journey = gone([fix(0, 0, 10), fix(10, 39, 10), fix(20, 41, 10), fix(30, 60, 10), fix(40, 95, 80)])
    assert [moved.fix.bucket for moved in journey.moves] == [minutes(20)]
    delivered = gone([fix(0, 5000), fix(10, 5080)])
    assert stays(delivered) == [(0, SHOP, 2)]
    assert delivered.moves == []


OVERLAPPING = (
    place(YARD),
    place(SHED, dwell_fixes=3, dwell_minutes=30, reach_meters=150.0, radius_meters=150.0),
    place(SHOP, dwell_fixes=2, active_until=minutes(400)),
)
ways = st.lists(
    st.tuples(
        st.sampled_from([10, 20, 100]),
        st.sampled_from([0, 29, 50, 80, 130, 140, 200, 230, 900, 5000]),
        st.sampled_from([5, 30, 300]),
    ),
    min_size=2,
    max_size=30,
)


@given(ways, st.data())
def test_a_journey_that_goes_on_from_its_state_ends_as_one_that_never_stopped(
    way: list[tuple[int, float, float]], data: st.DataObject
) -> None:
    minute, fixes = 0, []
    for step, meters, accuracy in way:
        minute += step
        fixes.append(fix(minute, meters, accuracy))
    stop = data.draw(st.integers(1, len(fixes) - 1))
    whole = gone(fixes, OVERLAPPING, silence=60)

    state = gone(fixes[:stop], OVERLAPPING, silence=60).state()
    read = JourneyState.of_json(orjson.loads(orjson.dumps(state.as_json())))
    assert read == state
    resumed = Journey.beginning_with(read, places={rules.id: rules for rules in OVERLAPPING}, silent_after_minutes=60)
    for one in fixes[stop:]:
        resumed.go_on(one)

    assert resumed.state() == whole.state()
    since = state.settled_until
    now = minutes(minute + 30)
    expected = [span for span in whole.statuses(created_at=CREATED_AT, now=now) if span.started_at >= since]
    found = resumed.statuses(created_at=CREATED_AT, now=now)
    assert spelled(found[len(found) - len(expected) :]) == spelled(expected)
    assert len(found) - len(expected) in {0, 1}
