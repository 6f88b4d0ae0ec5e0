"""Takes the rules that the clock is to look at, some at a time, and ends those that are over."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.alerts.fired import Fired
from app.alerts.models import Condition
from app.core.database import Transaction

EXPIRED_AT_A_TIME = 1_000


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of looking at some rules: what fired, and whether more are due by now."""

    fired: Sequence[Fired] = field(default=())
    is_finished: bool = True


async def take_due_rules(
    transaction: Transaction,
    conditions: Collection[Condition],
    *,
    of_portfolios: bool,
    now: datetime,
    limit: int,
    only: Collection[UUID] | None = None,
) -> Sequence[Any]:
    """Up to `limit` rules that are due, those first that are due for longest, as rows of `rules`; they are held.

    Either those of portfolios or the others, of these ids alone where any are given. What another worker or their owner
    holds is passed over.
    """
    return (
        await transaction.connection.execute(
            _TAKE,
            {
                "conditions": [condition.value for condition in conditions],
                "of_portfolios": of_portfolios,
                "now": now,
                "limit": limit,
                "only": None if only is None else list(only),
            },
        )
    ).all()


async def look_again_at(transaction: Transaction, rule_ids: Collection[UUID], at: datetime) -> None:
    """Have the clock look at these rules at that time."""
    if rule_ids:
        await transaction.connection.execute(_LOOK_AGAIN, {"rules": list(rule_ids), "at": at})


async def end_expired_rules(transaction: Transaction, *, now: datetime, limit: int = EXPIRED_AT_A_TIME) -> int:
    """End rules that have expired, up to so many; gives how many there were."""
    return (await transaction.connection.execute(_END, {"now": now, "limit": limit})).rowcount


# Found by the index on when, and then taken in the order of ids, as everybody does.
_TAKE = text("""
    SELECT * FROM alerts.rules
    WHERE id IN (
        SELECT id FROM alerts.rules
        WHERE is_active AND next_look_at <= CAST(:now AS timestamptz) AND condition = ANY (CAST(:conditions AS text[]))
            AND (portfolio_id IS NOT NULL) = CAST(:of_portfolios AS boolean)
            AND (CAST(:only AS uuid[]) IS NULL OR id = ANY (CAST(:only AS uuid[])))
        ORDER BY next_look_at LIMIT :limit
    ) AND is_active AND next_look_at <= CAST(:now AS timestamptz) AND condition = ANY (CAST(:conditions AS text[]))
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")
_LOOK_AGAIN = text("""
    UPDATE alerts.rules SET next_look_at = CAST(:at AS timestamptz) WHERE id = ANY (CAST(:rules AS uuid[]))
""")
_END = text("""
    WITH over AS (
        SELECT id FROM alerts.rules WHERE is_active AND expires_at <= CAST(:now AS timestamptz)
        ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE alerts.rules AS rule SET is_active = false, ended_at = CAST(:now AS timestamptz)
    FROM over WHERE rule.id = over.id
""")
