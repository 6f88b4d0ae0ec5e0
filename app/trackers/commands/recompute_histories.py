"""Works the histories of trackers out anew: from their reports, their places, the silence of their clients, and now.

Nothing else bears on a history, so whichever way reports come it ends the same. All that follows from a batch is
written in the transaction that stores it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.trackers.best_fix import FixesOfBuckets, best_fix
from app.trackers.commands.partitions import ensure_fix_partitions
from app.trackers.commands.stored_histories import (
    PlaceOfRuns,
    fixes_around,
    fixes_since_checkpoint,
    lock_trackers,
    nearest_cities,
    nearness_of_fixes,
    places_of_clients,
    reports_of_buckets,
    stored_statuses,
    stored_visits,
)
from app.trackers.commands.tracker_events import NewTrackerEvent
from app.trackers.commands.written_histories import (
    TrackerAfter,
    delete_fixes,
    write_fixes,
    write_last_fixes,
    write_received,
    write_statuses,
    write_trackers,
    write_visits,
)
from app.trackers.histories import History, TrackerBefore
from app.trackers.journey import Nearness, PlaceRules, StatusSpan


class _Remade(NamedTuple):
    """A history whose journey was gone along again, its statuses since then, and what to note with the tracker."""

    history: History
    spans: Sequence[StatusSpan]
    after: TrackerAfter


async def recompute_histories(
    transaction: Transaction,
    touched: Mapping[UUID, Set[datetime]],
    *,
    now: datetime,
    received_at: datetime | None = None,
    fixes: FixesOfBuckets | None = None,
) -> list[NewTrackerEvent]:
    """Bring the histories of trackers up to date with reports of these buckets, which are stored; gives what to tell.

    `touched` has the starts of buckets, as `bucket_of` gives them. `received_at`, when the reports came in, is noted
    with the trackers. These stay locked until the transaction ends. `fixes` are what follows from the new reports of
    touched buckets by themselves, where that is known: where there was no fix before, they are all reports there are.
    """
    return await work_out_anew(transaction, touched, since={}, now=now, received_at=received_at, fixes=fixes)


async def work_out_anew(
    transaction: Transaction,
    touched: Mapping[UUID, Set[datetime]],
    *,
    since: Mapping[UUID, datetime],
    now: datetime,
    received_at: datetime | None = None,
    fixes: FixesOfBuckets | None = None,
) -> list[NewTrackerEvent]:
    """As `recompute_histories`; journeys are gone along again from `since` on, even where no report changed."""
    connection = transaction.connection
    trackers = await lock_trackers(connection, touched.keys() | since.keys())
    if not trackers:
        return []
    histories = await _begin(connection, trackers, touched, since, fixes or {})
    await _add_cities(connection, histories)
    remade = await _go(connection, [history for history in histories if history.is_remade], now)
    # Worked out while PostgreSQL writes.
    telling = asyncio.create_task(asyncio.to_thread(_events, remade, now))
    await _write(connection, histories, remade, received_at)
    return await telling


async def _begin(
    connection: AsyncConnection,
    trackers: Sequence[TrackerBefore],
    touched: Mapping[UUID, Set[datetime]],
    since: Mapping[UUID, datetime],
    fixes: FixesOfBuckets,
) -> list[History]:
    first = {
        tracker.id: min([*touched.get(tracker.id, ()), *([since[tracker.id]] if tracker.id in since else [])])
        for tracker in trackers
        if touched.get(tracker.id) or tracker.id in since
    }
    stored = await fixes_around(connection, first)
    histories = [
        History(tracker, {fix.bucket: fix for fix in stored.get(tracker.id, ())})
        for tracker in trackers
        if tracker.id in first
    ]
    best = {
        history.tracker.id: {
            bucket: fix for bucket, fix in fixes.get(history.tracker.id, {}).items() if bucket not in history.stored
        }
        for history in histories
    }
    reports = await reports_of_buckets(
        connection,
        {
            tracker_id: unknown
            for tracker_id, buckets in touched.items()
            if (unknown := buckets - best.get(tracker_id, {}).keys())
        },
    )

    def merge(history: History) -> None:
        tracker_id = history.tracker.id
        of_buckets = {bucket: best_fix(seen) for bucket, seen in reports.get(tracker_id, {}).items()}
        history.merge(
            best[tracker_id] | of_buckets,
            touched.get(tracker_id, frozenset()),
            remade_since=since.get(tracker_id),
        )

    await _each(merge, histories)
    late = {history.tracker.id: history for history in histories if history.needs_earlier}
    earlier = await fixes_since_checkpoint(connection, {key: late[key].fixes[0].bucket for key in late})
    for tracker_id, history in late.items():
        history.add_earlier(earlier.get(tracker_id, []))
    return histories


async def _add_cities(connection: AsyncConnection, histories: Iterable[History]) -> None:
    wanted = [(history, fixes) for history in histories if (fixes := history.without_city())]
    found = iter(await nearest_cities(connection, [fix.point for _, fixes in wanted for fix in fixes]))
    for history, fixes in wanted:
        history.set_cities({fix.bucket: next(found) for fix in fixes})


async def _go(connection: AsyncConnection, histories: Sequence[History], now: datetime) -> list[_Remade]:
    if not histories:
        return []
    places = await places_of_clients(connection, {history.tracker.client_id for history in histories})
    along = [(history, fix) for history in histories for fix in history.along()]
    found = await nearness_of_fixes(connection, [(history.tracker.client_id, fix) for history, fix in along], places)
    near: dict[UUID, dict[datetime, list[Nearness]]] = {}
    for (history, fix), of_fix in zip(along, found, strict=True):
        if of_fix:
            near.setdefault(history.tracker.id, {})[fix.bucket] = of_fix
    rules = _RulesOfTrackers(places)
    remade: list[_Remade] = []

    def go(history: History) -> None:
        history.go(rules.of(history.tracker), near.get(history.tracker.id, {}))
        remade.append(_remade(history, now))

    await _each(go, histories)
    return remade


class _RulesOfTrackers:
    """The places that each tracker may be at: those of its run, and those that are for all trackers of its client."""

    def __init__(self, places: Sequence[PlaceOfRuns]) -> None:
        self._places = places
        self._known: dict[tuple[UUID, UUID | None], dict[UUID, PlaceRules]] = {}

    def of(self, tracker: TrackerBefore) -> dict[UUID, PlaceRules]:
        key = (tracker.client_id, tracker.production_run_id)
        if key not in self._known:
            self._known[key] = {
                place.rules.id: place.rules
                for place in self._places
                if place.client_id == tracker.client_id
                and (not place.production_run_ids or tracker.production_run_id in place.production_run_ids)
            }
        return self._known[key]


def _remade(history: History, now: datetime) -> _Remade:
    journey, last_fix = history.journey, history.last_fix
    if journey is None or journey.silent_at is None or last_fix is None:
        raise RuntimeError(f"the history of {history.tracker.id} has no fix")
    spans = journey.statuses(created_at=history.tracker.created_at, now=now)
    return _Remade(
        history,
        spans,
        TrackerAfter(
            id=history.tracker.id,
            status=spans[-1].status,
            status_since=spans[-1].started_at,
            status_place_id=spans[-1].place_id,
            last_fix=last_fix,
            silent_at=journey.silent_at,
            journey=journey.state().as_json(),
        ),
    )


def _events(remade: Iterable[_Remade], now: datetime) -> list[NewTrackerEvent]:
    return [event for one in remade for event in one.history.events(one.spans, now=now)]


async def _write(
    connection: AsyncConnection, histories: Sequence[History], remade: Sequence[_Remade], received_at: datetime | None
) -> None:
    fixes = [(history.tracker, fix) for history in histories for fix in history.fixes_to_write()]
    await ensure_fix_partitions(connection, {fix.bucket for _, fix in fixes})
    await delete_fixes(connection, [(one.tracker.id, bucket) for one in histories for bucket in one.deleted])
    await write_fixes(connection, fixes)
    status_since = await _write_statuses(connection, [one for one in remade if not one.history.is_as_before(one.spans)])
    await _write_visits(connection, [one for one in remade if not one.history.is_nowhere_as_before(one.spans)])
    after = [
        one.after._replace(status_since=status_since.get(one.after.id, one.history.tracker.status_since))
        for one in remade
    ]
    await write_trackers(connection, after, received_at=received_at)
    repeated = {history.tracker.id: history.last_fix for history in histories if not history.is_remade}
    if received_at is not None:
        await write_received(connection, repeated, at=received_at)
    written = {tracker.id for tracker, _ in fixes}
    await write_last_fixes(connection, [(key, fix) for key, fix in repeated.items() if fix and key in written])


async def _write_statuses(connection: AsyncConnection, remade: Sequence[_Remade]) -> dict[UUID, datetime]:
    """Write what changed, and give since when each of these trackers has had its last status."""
    if not remade:
        return {}
    stored = await stored_statuses(connection, {one.after.id: one.history.statuses_from for one in remade})
    changes = [
        (one.history.tracker, one.history.statuses_to_write(one.spans, stored.get(one.after.id, ()))) for one in remade
    ]
    await write_statuses(
        connection,
        [(tracker, row) for tracker, of_tracker in changes for row in of_tracker.written],
        [(tracker.id, instant) for tracker, of_tracker in changes for instant in of_tracker.deleted],
    )
    return {tracker.id: of_tracker.last_since for tracker, of_tracker in changes}


async def _write_visits(connection: AsyncConnection, remade: Sequence[_Remade]) -> None:
    if not remade:
        return
    stored = await stored_visits(connection, {one.after.id: one.history.visits_from for one in remade})
    changes = [(one.history.tracker, one.history.visits_to_write(stored.get(one.after.id, ()))) for one in remade]
    await write_visits(
        connection,
        [(tracker, row) for tracker, of_tracker in changes for row in of_tracker.written],
        [(tracker.id, instant) for tracker, of_tracker in changes for instant in of_tracker.deleted],
    )


async def _each(work: Callable[[History], None], histories: Sequence[History]) -> None:
    """Do this for each history, beside the event loop."""

    def work_on_all() -> None:
        for history in histories:
            work(history)

    await asyncio.to_thread(work_on_all)
