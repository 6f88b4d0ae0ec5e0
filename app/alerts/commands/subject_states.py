"""What rules remember of trackers, portfolios and the like, between two observations."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text

from app.core.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownState:
    """A row of `subject_states` as it is to be."""

    rule_id: UUID
    subject_id: UUID
    is_triggered: bool
    value: Decimal | None = None
    observed_at: datetime | None = None
    fired_at: datetime | None = None
    subject_version: int | None = None


async def write_states(transaction: Transaction, states: Collection[KnownState]) -> None:
    """Write what rules remember, each of a rule and a subject once; whoever calls holds the rules."""
    if not states:
        return
    await transaction.connection.execute(
        _WRITE,
        {
            "rules": [state.rule_id for state in states],
            "subjects": [state.subject_id for state in states],
            "triggered": [state.is_triggered for state in states],
            "amounts": [state.value for state in states],
            "observed": [state.observed_at for state in states],
            "fired": [state.fired_at for state in states],
            "versions": [state.subject_version for state in states],
        },
    )


_WRITE = text("""
    INSERT INTO alerts.subject_states AS state
        (rule_id, subject_id, owner_id, is_triggered, value, observed_at, fired_at, subject_version)
    SELECT given.rule_id, given.subject_id, rule.owner_id, given.is_triggered, given.value, given.observed_at,
        given.fired_at, given.subject_version
    FROM unnest(
        CAST(:rules AS uuid[]), CAST(:subjects AS uuid[]), CAST(:triggered AS boolean[]), CAST(:amounts AS numeric[]),
        CAST(:observed AS timestamptz[]), CAST(:fired AS timestamptz[]), CAST(:versions AS integer[])
    ) AS given (rule_id, subject_id, is_triggered, value, observed_at, fired_at, subject_version)
    JOIN alerts.rules AS rule ON rule.id = given.rule_id
    ON CONFLICT (rule_id, subject_id) DO UPDATE SET
        is_triggered = excluded.is_triggered, value = excluded.value, observed_at = excluded.observed_at,
        fired_at = excluded.fired_at, subject_version = excluded.subject_version
""")
