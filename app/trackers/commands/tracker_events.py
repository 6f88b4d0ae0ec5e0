"""Tells what became of trackers to those who follow them, and deletes what nobody can ask for any more."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, text

from app.core.clock import utc_now
from app.core.database import Transaction
from app.core.events import Event, Topic
from app.trackers.history_models import OrphanReport, TrackerEvent, TrackerEventKind
from app.trackers.models import TrackerStatus
from app.trackers.points import Point

# Held from the drawing of positions in tracker_events to the commit, so that positions become visible in their order.
TRACKER_EVENTS_LOCK = 7_209_463_141_902
TRACKER_EVENTS_KEPT_FOR = timedelta(days=7)
ORPHAN_REPORTS_KEPT_FOR = timedelta(days=90)


class NewTrackerEvent(NamedTuple):
    """Something to tell of a tracker: what, when it was so, its status then, at which place, and where it was seen.

    `is_by_report` says whether new reports told it, and not a history that was made anew from those that were known.
    """

    client_id: UUID
    tracker_id: UUID
    production_run_id: UUID | None
    kind: TrackerEventKind
    occurred_at: datetime
    status: TrackerStatus
    place_id: UUID | None = None
    point: Point | None = None
    accuracy_meters: float | None = None
    is_by_report: bool = True

    @property
    def key(self) -> tuple[UUID, str, datetime, UUID | None]:
        """What tells it from others: all but `moved`, which are told always, are told once of one."""
        return self.tracker_id, self.kind.value, self.occurred_at, self.place_id


# Does something about what is told for the first time, in the transaction that tells it; the time is when that was
# known, by the reports that it follows from.
WatchEvents = Callable[[Transaction, Sequence[NewTrackerEvent], datetime], Awaitable[None]]


async def record_events(
    transaction: Transaction,
    events: Collection[NewTrackerEvent],
    *,
    known_at: datetime | None = None,
    watch: WatchEvents | None = None,
) -> None:
    """Tell these, in their order; what was told before is not told again. Whoever watches is given what is new.

    The last step before the commit: others queue for its lock. `known_at` is now unless it is given.
    """
    if not events:
        return
    await transaction.connection.execute(_LOCK_EVENTS, {"lock": TRACKER_EVENTS_LOCK})
    recorded = await transaction.connection.execute(
        _RECORD_EVENTS,
        {
            "clients": [event.client_id for event in events],
            "trackers": [event.tracker_id for event in events],
            "runs": [event.production_run_id for event in events],
            "kinds": [event.kind.value for event in events],
            "instants": [event.occurred_at for event in events],
            "statuses": [event.status.value for event in events],
            "places": [event.place_id for event in events],
            "latitudes": [None if event.point is None else event.point.latitude for event in events],
            "longitudes": [None if event.point is None else event.point.longitude for event in events],
            "accuracies": [event.accuracy_meters for event in events],
        },
    )
    told_once = {(row.tracker_id, row.kind, row.occurred_at, row.place_id) for row in recorded}
    told = [event for event in events if event.kind is TrackerEventKind.MOVED or event.key in told_once]
    if told:
        transaction.announce(Event(Topic.TRACKERS_CHANGED))
    if told and watch is not None:
        await watch(transaction, told, known_at or utc_now())


async def prune_tracker_events(transaction: Transaction, *, now: datetime) -> int:
    """Delete the events that are older than seven days; gives how many there were."""
    deleted = await transaction.connection.execute(
        delete(TrackerEvent).where(TrackerEvent.recorded_at < now - TRACKER_EVENTS_KEPT_FOR)
    )
    return deleted.rowcount


async def prune_orphan_reports(transaction: Transaction, *, now: datetime) -> int:
    """Delete the reports of keys that no tracker had for ninety days; gives how many there were."""
    deleted = await transaction.connection.execute(
        delete(OrphanReport).where(OrphanReport.received_at < now - ORPHAN_REPORTS_KEPT_FOR)
    )
    return deleted.rowcount


_LOCK_EVENTS = text("SELECT pg_advisory_xact_lock(:lock)")
_RECORD_EVENTS = text("""
    WITH recorded AS (
        INSERT INTO trackers.tracker_events
            (client_id, tracker_id, production_run_id, kind, occurred_at, status, place_id, point, accuracy_meters)
        SELECT client_id, tracker_id, production_run_id, kind, occurred_at, status, place_id,
            CAST(ST_SetSRID(ST_MakePoint(longitude, latitude), 4326) AS geography), accuracy_meters
        FROM unnest(
            CAST(:clients AS uuid[]), CAST(:trackers AS uuid[]), CAST(:runs AS uuid[]), CAST(:kinds AS text[]),
            CAST(:instants AS timestamptz[]), CAST(:statuses AS text[]), CAST(:places AS uuid[]),
            CAST(:latitudes AS double precision[]), CAST(:longitudes AS double precision[]),
            CAST(:accuracies AS real[])
        ) WITH ORDINALITY AS given (
            client_id, tracker_id, production_run_id, kind, occurred_at, status, place_id, latitude, longitude,
            accuracy_meters, number
        )
        ORDER BY number
        ON CONFLICT DO NOTHING
        RETURNING tracker_id, kind, occurred_at, place_id
    )
    SELECT * FROM recorded WHERE kind <> 'moved'
""")
