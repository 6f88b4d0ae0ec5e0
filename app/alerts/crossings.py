"""When a rule fires: how it follows the values of one sequence, such as the prices of one series.

A rule is armed or triggered, and not known before its first observation, which never fires. It fires when an
observation finds it armed and is past the threshold, and is armed again once the value is back by the hysteresis.
"""

import operator
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from enum import StrEnum
from typing import NamedTuple

from app.alerts.models import Condition

NO_TIME = timedelta(0)
# A change is rounded to so many decimal places of a percent.
_PERCENT_PLACES = Decimal("0.000001")
_EXACT = Context(prec=80)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Wide enough for the change from the smallest amount to the largest, each at a rate of its own.
_WIDE = Context(prec=240)
_HUNDRED = Decimal(100)
_NOTHING = Decimal(0)


class State(StrEnum):
    """What a rule is for one sequence of values."""

    UNKNOWN = "unknown"
    ARMED = "armed"
    TRIGGERED = "triggered"


class Comparison(StrEnum):
    """How a value is held against a threshold."""

    CROSSES_ABOVE = "crosses_above"
    CROSSES_BELOW = "crosses_below"
    CROSSES_LEVEL = "crosses_level"
    AT_OR_BELOW = "at_or_below"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is watched for. From `expires_at` on no observation fires."""

    comparison: Comparison
    threshold: Decimal
    hysteresis: Decimal = _NOTHING
    cooldown: timedelta = NO_TIME
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a rule knows of one sequence: its state, the last value, and the time of the observation that fired last."""

    state: State = State.UNKNOWN
    value: Decimal | None = None
    fired_at: datetime | None = None


class Observation(NamedTuple):
    """A value and its time; one that is not fresh was known too late to fire."""

    time: datetime
    value: Decimal
    is_fresh: bool = True


@dataclass(frozen=True, slots=True)
class Crossing:
    """An observation that fired: which one of those given it is, from 0, and the value before it."""

    index: int
    observation: Observation
    old_value: Decimal


def comparison_of(condition: Condition) -> Comparison:
    """How a condition over prices holds values against its threshold; see `changes_over` for those over changes."""
    return _COMPARISONS[condition]


def first_standing(watch: Watch, value: Decimal | None) -> Standing:
    """What a rule knows after its first observation; without one it knows nothing."""
    if value is None:
        return Standing()
    return Standing(State.TRIGGERED if _is_past(watch, value) else State.ARMED, value)


def follow(
    watch: Watch, standing: Standing, observations: Sequence[Observation]
) -> tuple[Standing, Sequence[Crossing]]:
    """Hold the observations, in order of time, against what is watched for; gives what is known then, and what fired.

    A rule that is to fire once fires at the first of these.
    """
    if not observations:
        return standing, ()
    skipped = 0
    if standing.value is None or standing.state is State.UNKNOWN:
        first = first_standing(watch, observations[0].value)
        standing = Standing(first.state, first.value, standing.fired_at)
        skipped = 1
    follower = _follow_level if watch.comparison is Comparison.CROSSES_LEVEL else _follow_side
    return follower(watch, standing, observations, skipped)


def settle(watch: Watch, standing: Standing, values: Sequence[Decimal]) -> Standing:
    """What is known after these values, in order of time, as `follow` would say it were none of them fresh.

    It looks at the last of them only, as far back as one leaves no doubt: years of prices may come in at once.
    """
    if not values:
        return standing
    begin = 0
    if standing.value is None or standing.state is State.UNKNOWN:
        standing = Standing(first_standing(watch, values[0]).state, values[0], standing.fired_at)
        begin = 1
    if watch.comparison is Comparison.CROSSES_LEVEL:
        return _settle_level(watch, standing, values, begin)
    is_past, is_back = _SIDES[watch.comparison]
    back = _back(watch)
    for place in range(len(values) - 1, begin - 1, -1):
        value = values[place]
        if is_past(value, watch.threshold):
            return Standing(State.TRIGGERED, values[-1], standing.fired_at)
        if is_back(value, back):
            return Standing(State.ARMED, values[-1], standing.fired_at)
    return Standing(standing.state, values[-1], standing.fired_at)


def _settle_level(watch: Watch, standing: Standing, values: Sequence[Decimal], begin: int) -> Standing:
    threshold, previous = watch.threshold, standing.value
    is_triggered = standing.state is State.TRIGGERED
    place = len(values) - 1
    while place >= begin and abs(values[place] - threshold) < watch.hysteresis:
        place -= 1
    if place >= begin:
        is_triggered, previous = False, values[place]
    for value in values[max(place + 1, begin) :]:
        is_triggered = is_triggered or _is_across(threshold, previous, value)
        is_triggered = is_triggered and abs(value - threshold) < watch.hysteresis
        previous = value
    return Standing(_state(is_triggered=is_triggered), previous, standing.fired_at)


def _follow_side(
    watch: Watch, standing: Standing, observations: Sequence[Observation], skipped: int
) -> tuple[Standing, Sequence[Crossing]]:
    is_past, is_back = _SIDES[watch.comparison]
    threshold, back = watch.threshold, _back(watch)
    is_triggered = standing.state is State.TRIGGERED
    fired_at, crossings = standing.fired_at, []
    # A hundred thousand rules go through here within one transaction: nothing is made but for what fires.
    for index in range(skipped, len(observations)):
        value = observations[index].value
        if is_triggered:
            is_triggered = not is_back(value, back)
        elif is_past(value, threshold):
            is_triggered = True
            if _may_fire(watch, fired_at, observations[index]):
                crossings.append(_crossing(standing, observations, index))
                fired_at = observations[index].time
    return Standing(_state(is_triggered=is_triggered), observations[-1].value, fired_at), crossings


def _follow_level(
    watch: Watch, standing: Standing, observations: Sequence[Observation], skipped: int
) -> tuple[Standing, Sequence[Crossing]]:
    threshold, previous = watch.threshold, standing.value
    is_triggered = standing.state is State.TRIGGERED
    fired_at, crossings = standing.fired_at, []
    for index in range(skipped, len(observations)):
        value = observations[index].value
        if not is_triggered and _is_across(threshold, previous, value):
            is_triggered = True
            if _may_fire(watch, fired_at, observations[index]):
                crossings.append(_crossing(standing, observations, index))
                fired_at = observations[index].time
        if is_triggered:
            is_triggered = abs(value - threshold) < watch.hysteresis
        previous = value
    return Standing(_state(is_triggered=is_triggered), previous, fired_at), crossings


def _is_across(threshold: Decimal, previous: Decimal | None, value: Decimal) -> bool:
    """Whether the value lies beyond the threshold, from where the one before it lay."""
    return previous is not None and (previous <= threshold < value or previous >= threshold > value)


def _crossing(standing: Standing, observations: Sequence[Observation], index: int) -> Crossing:
    old_value = observations[index - 1].value if index else standing.value
    if old_value is None:
        raise ValueError("a first observation never fires")
    return Crossing(index, observations[index], old_value)


def _may_fire(watch: Watch, fired_at: datetime | None, observation: Observation) -> bool:
    return (
        observation.is_fresh
        and (fired_at is None or observation.time - fired_at >= watch.cooldown)
        and (watch.expires_at is None or observation.time < watch.expires_at)
    )


def _state(*, is_triggered: bool) -> State:
    return State.TRIGGERED if is_triggered else State.ARMED


def _is_past(watch: Watch, value: Decimal) -> bool:
    """Whether a rule that begins at this value begins triggered; of a level there is no such side."""
    if watch.comparison is Comparison.CROSSES_LEVEL:
        return False
    return _SIDES[watch.comparison][0](value, watch.threshold)


def _back(watch: Watch) -> Decimal:
    """The value at which a rule is armed again."""
    is_upwards = watch.comparison is Comparison.CROSSES_ABOVE
    low, high = reach_of(watch)
    return low if is_upwards else high


def reach_of(watch: Watch) -> tuple[Decimal, Decimal]:
    """From which value to which the state can change: what stays below or above all of it changes nothing."""
    return _EXACT.subtract(watch.threshold, watch.hysteresis), _EXACT.add(watch.threshold, watch.hysteresis)


class Change(NamedTuple):
    """How a value differs from the one a window before it, in percent of that `base`; a fall is negative."""

    time: datetime
    percent: Decimal
    base: Decimal
    is_fresh: bool = True


def change_in_percent(base: Decimal, value: Decimal) -> Decimal | None:
    """By how many percent of the base the value is more; None where the base is nothing."""
    if not base:
        return None
    percent = _EXACT.divide(_EXACT.multiply(_EXACT.subtract(value, base), _HUNDRED), base)
    return percent.quantize(_PERCENT_PLACES, context=_WIDE)


def largest_change(condition: Condition, bases: Collection[Decimal], values: Collection[Decimal]) -> Decimal | None:
    """The most that any of the values differs from any of the bases, in percent, as `as_observations` counts it.

    None where one of the bases is nothing.
    """
    lowest = min(bases)
    if not lowest:
        return None
    if condition is Condition.FALLS_BY:
        change = change_in_percent(max(bases), min(values))
        return None if change is None else -change
    return change_in_percent(lowest, max(values))


def changes_over(window: timedelta, observations: Sequence[Observation]) -> list[Change]:
    """The change of each observation against the last one at or before its time less the window, if there is one.

    The observations are in order of time.
    """
    times = [observation.time for observation in observations]
    changes: list[Change] = []
    for time, value, is_fresh in observations:
        count_before = bisect_right(times, time - window)
        if count_before:
            base = observations[count_before - 1].value
            percent = change_in_percent(base, value)
            if percent is not None:
                changes.append(Change(time, percent, base, is_fresh))
    return changes


def looked_at(
    window: timedelta, observations: Sequence[Observation], *, every: timedelta, until: datetime
) -> list[Observation]:
    """The observations, and the last value again wherever the clock finds that the one a window before is another.

    The clock looks at multiples of `every`. The observations are in order of time.
    """
    times = [observation.time for observation in observations]
    looks = sorted({time - (time - _EPOCH) % -every for time in (time + window for time in times)} - set(times))
    again = [Observation(time, observations[bisect_right(times, time) - 1].value) for time in looks if time <= until]
    return sorted([*observations, *again], key=lambda observation: observation.time)


def as_observations(condition: Condition, changes: Iterable[Change]) -> list[Observation]:
    """Changes as values that cross a threshold upwards: of a rule over falls a fall counts as more than nothing."""
    sign = -1 if condition is Condition.FALLS_BY else 1
    return [Observation(change.time, sign * change.percent, change.is_fresh) for change in changes]


_Compare = Callable[[Decimal, Decimal], bool]
# For each: is the value past the threshold, and is it back?
_SIDES: dict[Comparison, tuple[_Compare, _Compare]] = {
    Comparison.CROSSES_ABOVE: (operator.gt, operator.le),
    Comparison.CROSSES_BELOW: (operator.lt, operator.ge),
    Comparison.AT_OR_BELOW: (operator.le, operator.gt),
}
_COMPARISONS = {
    Condition.CROSSES_ABOVE: Comparison.CROSSES_ABOVE,
    Condition.CROSSES_BELOW: Comparison.CROSSES_BELOW,
    Condition.CROSSES_LEVEL: Comparison.CROSSES_LEVEL,
    Condition.AT_OR_BELOW: Comparison.AT_OR_BELOW,
    Condition.WANT_MET: Comparison.AT_OR_BELOW,
    Condition.RISES_BY: Comparison.CROSSES_ABOVE,
    Condition.FALLS_BY: Comparison.CROSSES_ABOVE,
}
