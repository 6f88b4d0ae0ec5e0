"""When rules fire: a table of sequences, and any sequence against a reference that is written to be read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.crossings import (
    Change,
    Comparison,
    Observation,
    Standing,
    State,
    Watch,
    as_observations,
    change_in_percent,
    changes_over,
    comparison_of,
    first_standing,
    follow,
    settle,
)
from app.alerts.models import Condition
from tests.alerts.reference import reference

BEGINNING = datetime(2026, 5, 1, tzinfo=UTC)


def at(minute: float) -> datetime:
    return BEGINNING + timedelta(minutes=minute)


def watch(
    comparison: str, *, hysteresis: str = "0", cooldown: int = 0, expires: int | None = None, threshold: str = "100"
) -> Watch:
    return Watch(
        comparison=Comparison(comparison),
        threshold=Decimal(threshold),
        hysteresis=Decimal(hysteresis),
        cooldown=timedelta(minutes=cooldown),
        expires_at=None if expires is None else at(expires),
    )


def one_a_minute(values: str) -> list[Observation]:
    """Values a minute apart: `101` is fresh, `(101)` came too late to fire, and `101@30` is of minute 30."""
    observations = []
    for minute, word in enumerate(values.split()):
        value, _, given_minute = word.partition("@")
        instant = at(float(given_minute or minute))
        observations.append(Observation(instant, Decimal(value.strip("()")), not value.startswith("(")))
    return observations


ABOVE, BELOW, LEVEL, AT_MOST = "crosses_above", "crosses_below", "crosses_level", "at_or_below"
SEQUENCES: list[tuple[str, dict[str, object], str, list[int]]] = [
    # Above: at most the threshold before, more than it now.
    (ABOVE, {}, "", []),
    (ABOVE, {}, "101", []),
    (ABOVE, {}, "99", []),
    (ABOVE, {}, "99 101", [1]),
    (ABOVE, {}, "100 100.01", [1]),
    (ABOVE, {}, "99 100", []),
    (ABOVE, {}, "99 100 101", [2]),
    (ABOVE, {}, "101 102 103", []),
    (ABOVE, {}, "101 99 101", [2]),
    (ABOVE, {}, "99 101 102 103", [1]),
    (ABOVE, {}, "99 101 100 101", [1, 3]),
    (ABOVE, {}, "99 101 99 101 99 101", [1, 3, 5]),
    (ABOVE, {}, "0 1000000000000000 0.000000000000000001 100.000000000000000001", [1, 3]),
    # Back by the hysteresis first.
    (ABOVE, {"hysteresis": "5"}, "99 101 99 101", [1]),
    (ABOVE, {"hysteresis": "5"}, "99 101 95 101", [1, 3]),
    (ABOVE, {"hysteresis": "5"}, "99 101 95.01 101", [1]),
    (ABOVE, {"hysteresis": "5"}, "98 101", [1]),
    (ABOVE, {"hysteresis": "5"}, "101 98 101", []),
    (ABOVE, {"hysteresis": "5"}, "101 94 98 101 98 101", [3]),
    # Within the cooldown nothing fires, and the crossing counts all the same.
    (ABOVE, {"cooldown": 10}, "99 101 99 101", [1]),
    (ABOVE, {"cooldown": 10}, "99@0 101@1 99@2 101@10.99", [1]),
    (ABOVE, {"cooldown": 10}, "99@0 101@1 99@2 101@11", [1, 3]),
    (ABOVE, {"cooldown": 10}, "99@0 101@1 99@2 101@5 102@12 103@20", [1]),
    (ABOVE, {"cooldown": 10}, "99@0 101@1 99@2 101@5 99@6 101@12", [1, 5]),
    (ABOVE, {"cooldown": 3, "hysteresis": "5"}, "99 101 99 95 98 101", [1, 5]),
    # What is known too late changes the state and does not fire.
    (ABOVE, {}, "99 (101)", []),
    (ABOVE, {}, "99 (101) 102", []),
    (ABOVE, {}, "99 (101) 99 101", [3]),
    (ABOVE, {}, "101 (99) 101", [2]),
    (ABOVE, {}, "(99) 101", [1]),
    (ABOVE, {"cooldown": 10}, "99@0 (101)@1 99@2 101@3", [3]),
    # From its end on nothing fires.
    (ABOVE, {"expires": 1}, "99 101", []),
    (ABOVE, {"expires": 2}, "99 101", [1]),
    (ABOVE, {"expires": 3}, "99 101 99 101", [1]),
    # Below: the mirror.
    (BELOW, {}, "99", []),
    (BELOW, {}, "101 99", [1]),
    (BELOW, {}, "100 99.99", [1]),
    (BELOW, {}, "101 100", []),
    (BELOW, {}, "101 100 99", [2]),
    (BELOW, {}, "99 98 97", []),
    (BELOW, {}, "99 100 99", [2]),
    (BELOW, {"hysteresis": "5"}, "101 99 104.99 99", [1]),
    (BELOW, {"hysteresis": "5"}, "101 99 105 99", [1, 3]),
    (BELOW, {"hysteresis": "5"}, "99 101 99", []),
    (BELOW, {"cooldown": 5}, "101@0 99@1 101@2 99@5.9 101@6 99@7", [1, 5]),
    (BELOW, {}, "101 0", [1]),
    # At or below: the threshold itself is enough.
    (AT_MOST, {}, "100", []),
    (AT_MOST, {}, "101 100", [1]),
    (AT_MOST, {}, "101 99", [1]),
    (AT_MOST, {}, "100 99 98", []),
    (AT_MOST, {}, "100 100.01 100", [2]),
    (AT_MOST, {}, "101 100 100 101 100", [1, 4]),
    (AT_MOST, {"hysteresis": "5"}, "101 100 105 100", [1]),
    (AT_MOST, {"hysteresis": "5"}, "101 100 105.01 100", [1, 3]),
    (AT_MOST, {"threshold": "0"}, "1 0 1 0", [1, 3]),
    (AT_MOST, {}, "101 (100) 99", []),
    # A level: from either side.
    (LEVEL, {}, "101", []),
    (LEVEL, {}, "99 101", [1]),
    (LEVEL, {}, "101 99", [1]),
    (LEVEL, {}, "99 101 99 101", [1, 2, 3]),
    (LEVEL, {}, "99 100 99", [2]),
    (LEVEL, {}, "99 100 101", [2]),
    (LEVEL, {}, "100 101", [1]),
    (LEVEL, {}, "100 100 100", []),
    (LEVEL, {"hysteresis": "5"}, "99 101 99 101", [1]),
    (LEVEL, {"hysteresis": "5"}, "99 105 99", [1, 2]),
    (LEVEL, {"hysteresis": "5"}, "99 101 96 95 101", [1, 4]),
    (LEVEL, {"hysteresis": "5"}, "99 101 105 104 99", [1, 4]),
    (LEVEL, {"cooldown": 3}, "99 101 99 101 99 101", [1, 4]),
    (LEVEL, {}, "99 (101) 99", [2]),
    # Within the band a crossing that did not fire counts as one that did.
    (LEVEL, {"hysteresis": "5"}, "99 (101) 99", []),
    (LEVEL, {"cooldown": 3, "hysteresis": "5"}, "99 101 105 99 101", [1]),
]


@pytest.mark.parametrize(("comparison", "settings", "values", "fires_at"), SEQUENCES)
def test_a_sequence_fires_where_the_table_says(
    comparison: str, settings: dict[str, object], values: str, fires_at: list[int]
) -> None:
    observations = one_a_minute(values)
    watched = watch(comparison, **settings)  # type: ignore[arg-type]  # each row names what it is about

    standing, crossings = follow(watched, Standing(), observations)

    assert [crossing.index for crossing in crossings] == fires_at
    assert [crossing.observation for crossing in crossings] == [observations[index] for index in fires_at]
    assert [crossing.old_value for crossing in crossings] == [observations[index - 1].value for index in fires_at]
    assert standing.value == (observations[-1].value if observations else None)


_watches = st.builds(
    Watch,
    comparison=st.sampled_from(Comparison),
    threshold=st.integers(3, 7).map(Decimal),
    hysteresis=st.integers(0, 3).map(Decimal),
    cooldown=st.sampled_from([0, 1, 5]).map(lambda minutes: timedelta(minutes=minutes)),
    expires_at=st.none() | st.integers(0, 30).map(at),
)
_sequences = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 10).map(Decimal), st.integers(0, 9).map(bool)), max_size=25
)


def timed(steps: Sequence[tuple[int, Decimal, bool]]) -> list[Observation]:
    """Observations so many minutes apart."""
    minute, observations = 0, []
    for pause, value, is_fresh in steps:
        minute += pause
        observations.append(Observation(at(minute), value, is_fresh))
    return observations


@given(_watches, _sequences)
def test_any_sequence_fires_where_the_reference_says(rule: Watch, steps: list[tuple[int, Decimal, bool]]) -> None:
    observations = timed(steps)

    assert [crossing.index for crossing in follow(rule, Standing(), observations)[1]] == reference(rule, observations)


@given(_watches, _sequences, st.lists(st.integers(0, 25), max_size=4).map(sorted))
def test_a_sequence_in_pieces_is_followed_as_the_whole_is(
    rule: Watch, steps: list[tuple[int, Decimal, bool]], cuts: list[int]
) -> None:
    observations, standing, fired = timed(steps), Standing(), []
    for begin, end in zip([0, *cuts], [*cuts, len(observations)], strict=True):
        standing, crossings = follow(rule, standing, observations[begin:end])
        fired += [(crossing.observation, crossing.old_value) for crossing in crossings]

    whole, crossings = follow(rule, Standing(), observations)
    assert standing == whole
    assert fired == [(crossing.observation, crossing.old_value) for crossing in crossings]


@given(_watches, _sequences, st.integers(0, 25))
def test_what_comes_too_late_settles_as_if_it_were_followed(
    rule: Watch, steps: list[tuple[int, Decimal, bool]], before: int
) -> None:
    observations = timed(steps)
    standing, _ = follow(rule, Standing(), observations[:before])
    late = [observation._replace(is_fresh=False) for observation in observations[before:]]

    for count in range(len(late) + 1):
        values = [observation.value for observation in late[:count]]
        assert settle(rule, standing, values) == follow(rule, standing, late[:count])[0]


@pytest.mark.parametrize("comparison", [ABOVE, LEVEL])
def test_what_is_settled_has_not_fired_though_it_is_fresh(comparison: str) -> None:
    """As what came before the rule did."""
    after = settle(watch(comparison, hysteresis="5"), Standing(), [Decimal(90), Decimal(101), Decimal(99)])

    assert after == Standing(State.TRIGGERED, Decimal(99))


@pytest.mark.parametrize(
    ("comparison", "value", "state"),
    [
        (ABOVE, "100", State.ARMED),
        (ABOVE, "100.01", State.TRIGGERED),
        (BELOW, "100", State.ARMED),
        (BELOW, "99.99", State.TRIGGERED),
        (AT_MOST, "100", State.TRIGGERED),
        (AT_MOST, "100.01", State.ARMED),
        (LEVEL, "100", State.ARMED),
    ],
)
def test_a_first_value_past_the_threshold_has_triggered_the_rule_already(
    comparison: str, value: str, state: State
) -> None:
    assert first_standing(watch(comparison), Decimal(value)) == Standing(state, Decimal(value))


def test_a_rule_knows_nothing_before_its_first_value() -> None:
    assert first_standing(watch(ABOVE), None) == Standing(State.UNKNOWN)
    assert follow(watch(ABOVE), Standing(), []) == (Standing(State.UNKNOWN), ())


@pytest.mark.parametrize(
    ("base", "value", "percent"),
    [
        ("100", "105", "5.000000"),
        ("100", "95", "-5.000000"),
        ("3", "4", "33.333333"),
        ("0", "4", None),
        ("5", "0", "-100.000000"),
        ("0.000000000000000001", "1000000000000000", "99999999999999999999999999999999900.000000"),
    ],
)
def test_a_change_is_in_percent_of_what_was_before(base: str, value: str, percent: str | None) -> None:
    assert change_in_percent(Decimal(base), Decimal(value)) == (None if percent is None else Decimal(percent))


def test_a_change_is_against_the_value_a_window_ago() -> None:
    prices = one_a_minute("100@0 110@10 99@19 120@20 (60)@31")

    changes = changes_over(timedelta(minutes=10), prices)

    assert changes == [
        Change(at(10), Decimal(10), Decimal(100)),
        Change(at(19), Decimal(-1), Decimal(100)),
        Change(at(20), Decimal("9.090909"), Decimal(110)),
        Change(at(31), Decimal(-50), Decimal(120), is_fresh=False),
    ]


@pytest.mark.parametrize(
    ("condition", "values", "fires_at"),
    [
        (Condition.RISES_BY, "100@0 104@10 110@20 100@30 106@40", [20, 40]),
        (Condition.FALLS_BY, "100@0 104@10 98@20 90@30 120@40 60@50", [20, 50]),
        (Condition.RISES_BY, "0@0 10@10 10@20 11@30", [30]),
    ],
)
def test_a_change_crosses_its_threshold_as_a_price_does(condition: Condition, values: str, fires_at: list[int]) -> None:
    changes = as_observations(condition, changes_over(timedelta(minutes=10), one_a_minute(values)))

    _, crossings = follow(watch(comparison_of(condition), threshold="5"), Standing(), changes)

    assert [crossing.observation.time for crossing in crossings] == [at(minute) for minute in fires_at]
