"""Looks by the clock which trackers were not heard of for as long as rules say."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.alerts.commands.due_rules import Looked, take_due_rules
from app.alerts.commands.subject_states import KnownState, write_states
from app.alerts.fired import Fired
from app.alerts.models import Condition
from app.core.database import Transaction
from app.trackers.buckets import BUCKET

RULES_AT_A_TIME = 20
TRACKERS_AT_A_TIME = 5_000
# A tracker that joins a run, or is heard of late, falls silent before those that were looked at.
LOOKED_AT_LEAST_EVERY = timedelta(hours=1)


async def look_at_silences(
    transaction: Transaction,
    *,
    now: datetime,
    limit: int = RULES_AT_A_TIME,
    most_trackers: int = TRACKERS_AT_A_TIME,
    only: Collection[UUID] | None = None,
) -> Looked:
    """Look at rules over silences that are due, of these alone where any are given.

    A tracker is silent once its last fix's bucket and the rule's duration have passed. A rule fires once for each
    silence that becomes so long after the rule began, of a tracker in use whose client its owner belongs to. A late
    report of before a silence was told makes no other of it.
    """
    rules = {
        rule.id: rule
        for rule in await take_due_rules(
            transaction, [Condition.SILENT_FOR], of_portfolios=False, now=now, limit=limit, only=only
        )
    }
    if not rules:
        return Looked()
    parameters = {"rules": list(rules), "bucket": BUCKET, "now": now}
    changed = (await transaction.connection.execute(_CHANGED, {**parameters, "limit": most_trackers})).all()
    fired = [_fired(row) for row in changed if _fires(rules[row.rule_id], row)]
    firing = {(one.rule_id, one.tracker_id) for one in fired}
    await write_states(
        transaction,
        [
            KnownState(
                rule_id=row.rule_id,
                subject_id=row.tracker_id,
                is_triggered=row.is_silent,
                observed_at=row.last_fix_at,
                fired_at=row.silent_at if (row.rule_id, row.tracker_id) in firing else row.fired_at,
            )
            for row in changed
        ],
    )
    if len(changed) == most_trackers:
        # The rules stay due for the rest.
        return Looked(fired, is_finished=False)
    await transaction.connection.execute(_LOOK_AGAIN, {**parameters, "at_least_every": LOOKED_AT_LEAST_EVERY})
    return Looked(fired, is_finished=len(rules) < limit)


def _fires(rule: Any, row: Any) -> bool:
    rests = timedelta(minutes=rule.cooldown_minutes)
    return (
        row.is_silent
        and row.silent_at > rule.watches_from
        and (rule.expires_at is None or row.silent_at < rule.expires_at)
        and (row.fired_at is None or _is_another_silence(row))
        and (row.fired_at is None or row.silent_at - row.fired_at >= rests)
    )


def _is_another_silence(row: Any) -> bool:
    """Whether the tracker was heard after the silence that was told; what came late of before only moves its beginning.

    Strangers' phones report hours late: else each of their reports would have the same silence told again.
    """
    return bool(row.last_fix_at > row.fired_at)


def _fired(row: Any) -> Fired:
    return Fired(
        rule_id=row.rule_id,
        crossing=f"silent_for:{row.tracker_id}@{row.silent_at.isoformat()}",
        observed_at=row.silent_at,
        tracker_id=row.tracker_id,
    )


_WATCHED = """
    WITH watched AS (
        SELECT rule.id AS rule_id, rule.owner_id, rule.duration_minutes, tracker.id AS tracker_id, tracker.client_id,
            tracker.last_fix_at, tracker.retired_at
        FROM alerts.rules AS rule JOIN trackers.trackers AS tracker ON tracker.id = rule.tracker_id
        WHERE rule.id = ANY (CAST(:rules AS uuid[]))
        UNION ALL
        SELECT rule.id, rule.owner_id, rule.duration_minutes, tracker.id, tracker.client_id, tracker.last_fix_at,
            tracker.retired_at
        FROM alerts.rules AS rule
        JOIN trackers.trackers AS tracker ON tracker.production_run_id = rule.production_run_id
        WHERE rule.id = ANY (CAST(:rules AS uuid[]))
    ), found AS (
        SELECT watched.rule_id, watched.tracker_id, watched.last_fix_at,
            watched.last_fix_at + CAST(:bucket AS interval) + make_interval(mins => watched.duration_minutes)
                AS silent_at
        FROM watched
        JOIN trackers.memberships AS member
            ON member.client_id = watched.client_id AND member.user_id = watched.owner_id
        WHERE watched.retired_at IS NULL AND watched.last_fix_at IS NOT NULL
    )
"""
_CHANGED = text(f"""
    {_WATCHED}
    SELECT found.*, found.silent_at <= CAST(:now AS timestamptz) AS is_silent, state.fired_at
    FROM found
    LEFT JOIN alerts.subject_states AS state
        ON state.rule_id = found.rule_id AND state.subject_id = found.tracker_id
    WHERE CASE WHEN found.silent_at <= CAST(:now AS timestamptz)
        THEN state.is_triggered IS NOT TRUE OR state.observed_at IS DISTINCT FROM found.last_fix_at
        ELSE state.is_triggered IS NOT FALSE END
    ORDER BY found.rule_id, found.tracker_id LIMIT :limit
""")  # noqa: S608  # our own words
_LOOK_AGAIN = text(f"""
    {_WATCHED}, soonest AS (
        SELECT rule_id, min(silent_at) AS silent_at FROM found
        WHERE silent_at > CAST(:now AS timestamptz) GROUP BY rule_id
    )
    UPDATE alerts.rules AS rule SET next_look_at = least(
        soonest.silent_at,
        CAST(:now AS timestamptz)
            + least(make_interval(mins => rule.duration_minutes), CAST(:at_least_every AS interval))
    )
    FROM alerts.rules AS held LEFT JOIN soonest ON soonest.rule_id = held.id
    WHERE held.id = ANY (CAST(:rules AS uuid[])) AND rule.id = held.id
""")  # noqa: S608  # our own words
