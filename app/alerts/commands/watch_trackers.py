"""Holds rules against what became of trackers, in the transaction that tells it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from app.alerts.commands.subject_states import KnownState, write_states
from app.alerts.fired import Fired
from app.alerts.models import Condition, Rule, SubjectState
from app.core.database import Transaction, among
from app.trackers.commands.tracker_events import NewTrackerEvent

# Strangers' phones report hours late; what is older by then is no news.
LATEST_BY = timedelta(days=1)
WATCHED = frozenset(
    condition.value
    for condition in (Condition.ENTERED, Condition.LEFT, Condition.DELIVERED, Condition.MOVED_IN_STORAGE)
)


async def watch_trackers(
    transaction: Transaction, events: Sequence[NewTrackerEvent], *, known_at: datetime
) -> list[Fired]:
    """The rules that fire at these events, which are new: rules of the tracker, of the place, or of the production run.

    Whatever its time, what reports tell after the rule began is news to it: times are the beginnings of ten minutes,
    and phones report late. An event does not fire that is older than a day at `known_at`; nor one that is older than
    the rule and follows from reports that were known; nor one that only corrects when a tracker came or went that was
    told of. The trackers are held already, and the lock of their events; the rules are held from here on. Nobody who
    holds rules waits for that lock.
    """
    fresh = [event for event in events if event.kind.value in WATCHED and known_at - event.occurred_at <= LATEST_BY]
    if not fresh:
        return []
    candidates = (await transaction.connection.execute(_CANDIDATES, _arrays(fresh))).all()
    if not candidates:
        return []
    rules = await _hold(transaction, {row.rule_id for row in candidates})
    fired_at = await _last_fired(transaction, rules, {event.tracker_id for event in fresh})
    fired: list[Fired] = []
    for row in sorted(candidates, key=lambda row: fresh[row.number - 1].occurred_at):
        event, rule = fresh[row.number - 1], rules.get(row.rule_id)
        key = (row.rule_id, event.tracker_id)
        if rule is None or not _counts(rule, event, row) or _rests(rule, fired_at.get(key), event.occurred_at):
            continue
        fired_at[key] = max(event.occurred_at, fired_at.get(key, event.occurred_at))
        fired.append(_fired(rule.id, event))
    await write_states(
        transaction,
        [
            KnownState(
                rule_id=rule_id,
                subject_id=tracker_id,
                is_triggered=False,
                observed_at=at,
                fired_at=at,
            )
            for (rule_id, tracker_id), at in fired_at.items()
            if rules[rule_id].cooldown_minutes
        ],
    )
    return fired


def _arrays(events: Sequence[NewTrackerEvent]) -> dict[str, Any]:
    return {
        "clients": [event.client_id for event in events],
        "trackers": [event.tracker_id for event in events],
        "runs": [event.production_run_id for event in events],
        "kinds": [event.kind.value for event in events],
        "instants": [event.occurred_at for event in events],
        "places": [event.place_id for event in events],
    }


async def _hold(transaction: Transaction, rule_ids: set[UUID]) -> dict[UUID, Any]:
    """The rules that are still active, in the order in which everybody takes them."""
    held = (
        select(Rule)
        .with_only_columns(Rule.id, Rule.condition, Rule.cooldown_minutes, Rule.watches_from, Rule.expires_at)
        .where(among(Rule.id, rule_ids), Rule.is_active)
        .order_by(Rule.id)
        .with_for_update(key_share=True)
    )
    return {row.id: row for row in await transaction.connection.execute(held)}


async def _last_fired(
    transaction: Transaction, rules: Mapping[UUID, Any], tracker_ids: Collection[UUID]
) -> dict[tuple[UUID, UUID], datetime]:
    resting = [rule.id for rule in rules.values() if rule.cooldown_minutes]
    if not resting:
        return {}
    rows = await transaction.connection.execute(
        select(SubjectState.rule_id, SubjectState.subject_id, SubjectState.fired_at).where(
            among(SubjectState.rule_id, resting),
            among(SubjectState.subject_id, tracker_ids),
            SubjectState.fired_at.is_not(None),
        )
    )
    return {(row.rule_id, row.subject_id): row.fired_at for row in rows}


def _counts(rule: Any, event: NewTrackerEvent, found: Any) -> bool:
    """Whether the rule, which may have changed since it was found, was there for this, or it is news to the rule."""
    is_young = event.occurred_at < rule.watches_from
    return (
        rule.condition == event.kind.value
        and not (is_young and (found.was_told or not event.is_by_report))
        and (rule.expires_at is None or event.occurred_at < rule.expires_at)
    )


def _rests(rule: Any, fired_at: datetime | None, instant: datetime) -> bool:
    """Whether the rule fired so lately that it does not again; events may come in any order."""
    return fired_at is not None and abs(instant - fired_at) < timedelta(minutes=rule.cooldown_minutes)


def _fired(rule_id: UUID, event: NewTrackerEvent) -> Fired:
    return Fired(
        rule_id=rule_id,
        crossing=f"{event.kind.value}:{event.tracker_id}:{event.place_id}@{event.occurred_at.isoformat()}",
        observed_at=event.occurred_at,
        tracker_id=event.tracker_id,
        place_id=event.place_id,
    )


def _was_told(earlier: str, later: str) -> str:
    """Whether the same coming or going was told with another time: between the two times the tracker did not turn."""
    turned = "CASE given.kind WHEN 'left' THEN visit.arrived_at ELSE visit.departed_at END"
    return f"""
        given.kind <> 'moved_in_storage' AND EXISTS (
            SELECT FROM trackers.tracker_events AS told
            WHERE told.tracker_id = given.tracker_id AND told.kind = given.kind AND told.kind <> 'moved'
                AND told.place_id = given.place_id AND {earlier} < {later}
                AND NOT EXISTS (
                    SELECT FROM trackers.visits AS visit
                    WHERE visit.tracker_id = given.tracker_id AND visit.place_id = given.place_id
                        AND {turned} > {earlier} AND {turned} <= {later}
                )
        )
    """  # noqa: S608  # our own words


# A rule has one target, so each is found once for an event. Reports can show that a tracker came, or went, at another
# time than was told. Nothing here is of the kind `moved`, but the index leaves that out.
_CANDIDATES = text(f"""
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:clients AS uuid[]), CAST(:trackers AS uuid[]), CAST(:runs AS uuid[]), CAST(:kinds AS text[]),
            CAST(:instants AS timestamptz[]), CAST(:places AS uuid[])
        ) WITH ORDINALITY AS given (client_id, tracker_id, production_run_id, kind, occurred_at, place_id, number)
    ), found AS MATERIALIZED (
        SELECT given.number, rule.id AS rule_id, rule.owner_id
        FROM given JOIN alerts.rules AS rule ON rule.tracker_id = given.tracker_id AND rule.condition = given.kind
        WHERE rule.is_active
        UNION ALL
        SELECT given.number, rule.id, rule.owner_id
        FROM given JOIN alerts.rules AS rule ON rule.place_id = given.place_id AND rule.condition = given.kind
        WHERE rule.is_active
        UNION ALL
        SELECT given.number, rule.id, rule.owner_id
        FROM given JOIN alerts.rules AS rule
            ON rule.production_run_id = given.production_run_id AND rule.condition = given.kind
        WHERE rule.is_active
    )
    SELECT found.number, found.rule_id,
        {_was_told("told.occurred_at", "given.occurred_at")} AS was_told
    FROM found
    JOIN given ON given.number = found.number
    JOIN trackers.trackers AS tracker ON tracker.id = given.tracker_id AND tracker.retired_at IS NULL
    JOIN trackers.memberships AS member ON member.client_id = given.client_id AND member.user_id = found.owner_id
    WHERE NOT ({_was_told("given.occurred_at", "told.occurred_at")})
""")  # noqa: S608  # our own words
