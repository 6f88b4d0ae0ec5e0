"""Stores what rules over prices have to remember of series."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class KnownPrice:
    """What a rule remembers of a series, as `PriceState` has it."""

    rule_id: UUID
    series_id: int
    subject_id: UUID
    owner_id: UUID
    is_triggered: bool
    value: Decimal | None
    observed_at: datetime
    fired_at: datetime | None


async def write_price_states(connection: AsyncConnection, states: Iterable[KnownPrice]) -> None:
    """Remember these, each in place of what was remembered before."""
    listed = sorted(states, key=lambda state: (state.rule_id, state.series_id, state.subject_id))
    if listed:
        columns: dict[str, object] = {
            "rules": [state.rule_id for state in listed],
            "series": [state.series_id for state in listed],
            "subjects": [state.subject_id for state in listed],
            "owners": [state.owner_id for state in listed],
            "triggered": [state.is_triggered for state in listed],
            "values": [state.value for state in listed],
            "observed": [state.observed_at for state in listed],
            "fired": [state.fired_at for state in listed],
        }
        await connection.execute(_WRITE, columns)


async def forget_price_states(connection: AsyncConnection, places: Collection[tuple[UUID, int, UUID]]) -> None:
    """Forget what rules remember of series, given by the ids of both and of the subject."""
    if places:
        rules, series, subjects = zip(*places, strict=True)
        await connection.execute(_FORGET, {"rules": list(rules), "series": list(series), "subjects": list(subjects)})


_WRITE = text("""
    INSERT INTO alerts.price_states
        (rule_id, series_id, subject_id, owner_id, is_triggered, value, observed_at, fired_at)
    SELECT * FROM unnest(
        CAST(:rules AS uuid[]), CAST(:series AS integer[]), CAST(:subjects AS uuid[]), CAST(:owners AS uuid[]),
        CAST(:triggered AS boolean[]), CAST(:values AS numeric[]), CAST(:observed AS timestamptz[]),
        CAST(:fired AS timestamptz[])
    )
    ON CONFLICT (rule_id, series_id, subject_id) DO UPDATE SET
        is_triggered = excluded.is_triggered, value = excluded.value, observed_at = excluded.observed_at,
        fired_at = excluded.fired_at
""")
_FORGET = text("""
    DELETE FROM alerts.price_states
    USING unnest(CAST(:rules AS uuid[]), CAST(:series AS integer[]), CAST(:subjects AS uuid[]))
        AS given (rule_id, series_id, subject_id)
    WHERE price_states.rule_id = given.rule_id AND price_states.series_id = given.series_id
        AND price_states.subject_id = given.subject_id
""")
