"""Rules that are held against the prices of series: what comes of it, and what they remember."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.commands.price_states import KnownPrice, forget_price_states, write_price_states
from app.alerts.crossings import Standing, State, Watch, comparison_of
from app.alerts.fired import Fired
from app.alerts.models import Condition
from app.alerts.queries.price_rules import RuleOfSeries

_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Held:
    """What came of holding rules against prices; `versions` are of the rules that it writes of."""

    fired: list[Fired] = field(default_factory=list)
    states: list[KnownPrice] = field(default_factory=list)
    forgotten: list[tuple[UUID, int, UUID]] = field(default_factory=list)
    versions: dict[UUID, int] = field(default_factory=dict)


async def are_unchanged(connection: AsyncConnection, versions: Mapping[UUID, int]) -> bool:
    """Hold these rules until the transaction ends, and say whether all are there in these versions."""
    if not versions:
        return True
    rows = await connection.execute(_HOLD, {"rules": sorted(versions)})
    return {row.id: row.version for row in rows} == versions


async def write_states(connection: AsyncConnection, held: Held) -> None:
    """Remember what came of it."""
    await write_price_states(connection, held.states)
    await forget_price_states(connection, held.forgotten)


def watch_of(rule: RuleOfSeries) -> Watch:
    """What a rule watches for."""
    return Watch(
        comparison=comparison_of(Condition(rule.condition)),
        threshold=rule.threshold,
        hysteresis=rule.hysteresis,
        cooldown=rule.cooldown_minutes * _MINUTE,
        expires_at=rule.expires_at,
    )


def known_price(rule: RuleOfSeries, standing: Standing, at: datetime) -> KnownPrice:
    """What a rule is to remember of a series after an observation."""
    return KnownPrice(
        rule.rule_id,
        rule.series_id,
        rule.subject_id,
        rule.owner_id,
        standing.state is State.TRIGGERED,
        standing.value,
        at,
        standing.fired_at,
    )


def state_of(*, is_triggered: bool) -> State:
    """Its name."""
    return State.TRIGGERED if is_triggered else State.ARMED


# One look-up by its key for each rule, in the order given: of a thousand, all rules there are would be read instead.
_HOLD = text("""
    SELECT rule.id, rule.version
    FROM unnest(CAST(:rules AS uuid[])) AS given (id)
    CROSS JOIN LATERAL (
        SELECT id, version FROM alerts.rules WHERE id = given.id AND is_active FOR NO KEY UPDATE
    ) AS rule
""")
