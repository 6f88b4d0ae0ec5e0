"""Which rules the clock is to look at, and how far it is behind."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class RuleLook(StrEnum):
    """The looks of the clock, by what they look at."""

    SILENCES = "silences"
    PORTFOLIOS = "portfolios"
    CHANGES = "changes"


async def due_rule_ids(connection: AsyncConnection, look: RuleLook, *, now: datetime, limit: int) -> Sequence[UUID]:
    """The rules that a look would take, those first that are due for longest; up to so many."""
    rows = await connection.scalars(_DUE, {"look": look.value, "now": now, "limit": limit})
    return list(rows.all())


async def overdue_seconds(connection: AsyncConnection, *, now: datetime) -> Mapping[RuleLook, float]:
    """For how long the rule waits, of each look, that should have been looked at first; for roles that see all rows."""
    rows = await connection.execute(_OVERDUE, {"now": now})
    first = {RuleLook(row.look): row.first for row in rows}
    return {look: (now - first[look]).total_seconds() if look in first else 0.0 for look in RuleLook}


_LOOK_OF = """
    CASE WHEN portfolio_id IS NOT NULL THEN 'portfolios' WHEN condition = 'silent_for' THEN 'silences' ELSE 'changes'
    END
"""
# One that has expired is ended, and not looked at.
_IS_DUE = """
    is_active AND next_look_at <= CAST(:now AS timestamptz)
    AND (expires_at IS NULL OR expires_at > CAST(:now AS timestamptz))
"""
_DUE = text(f"""
    SELECT id FROM alerts.rules WHERE {_IS_DUE} AND {_LOOK_OF} = CAST(:look AS text)
    ORDER BY next_look_at, id LIMIT :limit
""")  # noqa: S608  # our own words
_OVERDUE = text(f"""
    SELECT {_LOOK_OF} AS look, min(next_look_at) AS first FROM alerts.rules WHERE {_IS_DUE} GROUP BY 1
""")  # noqa: S608  # our own words
