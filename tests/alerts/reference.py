"""When a rule fires, written to be read."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from app.alerts.crossings import Comparison, Observation, Watch

_CROSSES: dict[Comparison, Callable[[Decimal, Decimal, Decimal], bool]] = {
    Comparison.CROSSES_ABOVE: lambda before, now, level: before <= level < now,
    Comparison.CROSSES_BELOW: lambda before, now, level: before >= level > now,
    Comparison.AT_OR_BELOW: lambda before, now, level: before > level >= now,
    Comparison.CROSSES_LEVEL: lambda before, now, level: before <= level < now or before >= level > now,
}
_IS_BACK: dict[Comparison, Callable[[Decimal, Decimal, Decimal], bool]] = {
    Comparison.CROSSES_ABOVE: lambda now, level, by: now <= level - by,
    Comparison.CROSSES_BELOW: lambda now, level, by: now >= level + by,
    Comparison.AT_OR_BELOW: lambda now, level, by: now > level + by,
    Comparison.CROSSES_LEVEL: lambda now, level, by: abs(now - level) >= by,
}
_BEGINS_ARMED: dict[Comparison, Callable[[Decimal, Decimal], bool]] = {
    Comparison.CROSSES_ABOVE: lambda first, level: first <= level,
    Comparison.CROSSES_BELOW: lambda first, level: first >= level,
    Comparison.AT_OR_BELOW: lambda first, level: first > level,
    Comparison.CROSSES_LEVEL: lambda first, level: True,
}


def reference(rule: Watch, observations: Sequence[Observation]) -> list[int]:
    """Where the rule fires."""
    kind, level = rule.comparison, rule.threshold
    fired: list[int] = []
    is_armed = bool(observations) and _BEGINS_ARMED[kind](observations[0].value, level)
    for index in range(1, len(observations)):
        (_, before, _), (time, now, is_fresh) = observations[index - 1 : index + 1]
        crosses = is_armed and _CROSSES[kind](before, now, level)
        is_cool = not fired or time >= observations[fired[-1]].time + rule.cooldown
        if crosses and is_fresh and is_cool and (rule.expires_at is None or time < rule.expires_at):
            fired.append(index)
        is_armed = (is_armed and not crosses) or _IS_BACK[kind](now, level, rule.hysteresis)
    return fired
