"""Trackers whose reports are stored as they are told, and what their histories then hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.core.database import Database, Transaction
from app.core.ids import new_id
from app.trackers.buckets import bucket_of
from app.trackers.commands.partitions import ensure_report_partitions
from app.trackers.commands.recompute_histories import recompute_histories
from app.trackers.commands.tracker_events import NewTrackerEvent, WatchEvents, record_events

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
METERS_PER_DEGREE = 111_195.0


class Told(NamedTuple):
    """A report of a tracker, in degrees and metres."""

    tracker_id: UUID
    reported_at: datetime
    latitude: float
    longitude: float
    accuracy_meters: float | None = 10.0
    confidence: int | None = None


@dataclass(frozen=True, slots=True)
class TestPlace:
    """A place to be saved: a circle, unless `shape` is well-known text."""

    __test__ = False

    latitude: float
    longitude: float
    kind: str = "storage"
    radius_meters: float = 100.0
    dwell_fixes: int = 1
    dwell_minutes: int = 0
    active_from: datetime | None = None
    active_until: datetime | None = None
    production_run_ids: Sequence[UUID] = ()
    shape: str | None = None
    reach_meters: float | None = None
    id: UUID = field(default_factory=new_id)


def minutes(count: float) -> datetime:
    """So many minutes after Monday, eight o'clock."""
    return MONDAY + timedelta(minutes=count)


def north(meters: float) -> float:
    """Degrees of latitude."""
    return meters / METERS_PER_DEGREE


async def save_client(transaction: Transaction, *, silent_after_minutes: int = 1440) -> UUID:
    """A client without members."""
    client_id = new_id()
    await transaction.connection.execute(
        text("INSERT INTO trackers.clients (id, name, silent_after_minutes) VALUES (:id, 'Kontor', :minutes)"),
        {"id": client_id, "minutes": silent_after_minutes},
    )
    return client_id


async def save_run(transaction: Transaction, client_id: UUID) -> UUID:
    """A production run of a brand of its own."""
    brand_id, run_id = new_id(), new_id()
    await transaction.connection.execute(
        text("INSERT INTO trackers.brands (id, client_id, name) VALUES (:id, :client, :name)"),
        {"id": brand_id, "client": client_id, "name": str(brand_id)},
    )
    await transaction.connection.execute(
        text("""
            INSERT INTO trackers.production_runs (id, client_id, brand_id, description, started_at)
            VALUES (:id, :client, :brand, 'Boxes', now())
        """),
        {"id": run_id, "client": client_id, "brand": brand_id},
    )
    return run_id


async def save_tracker(
    transaction: Transaction, client_id: UUID, *, run_id: UUID | None = None, created_at: datetime = MONDAY
) -> UUID:
    """A tracker that was never heard of."""
    tracker_id = new_id()
    await transaction.connection.execute(
        text("""
            INSERT INTO trackers.trackers (id, client_id, production_run_id, name, created_at, status_since)
            VALUES (:id, :client, :run, 'Box', :created_at, :created_at)
        """),
        {"id": tracker_id, "client": client_id, "run": run_id, "created_at": created_at},
    )
    return tracker_id


async def save_place(transaction: Transaction, client_id: UUID, place: TestPlace) -> UUID:
    """The place, for its production runs, or for all trackers of the client."""
    center = f"POINT({place.longitude} {place.latitude})"
    await transaction.connection.execute(
        text("""
            INSERT INTO trackers.places (id, client_id, kind, name, shape, center, radius_meters, reach_meters,
                dwell_fixes, dwell_minutes, active_from, active_until)
            VALUES (:id, :client, :kind, 'Yard', ST_GeogFromText(:shape), ST_GeogFromText(:center), :radius, :reach,
                :dwell_fixes, :dwell_minutes, :active_from, :active_until)
        """),
        {
            "id": place.id,
            "client": client_id,
            "kind": place.kind,
            "shape": place.shape or center,
            "center": center,
            "radius": place.radius_meters,
            "reach": place.reach_meters or place.radius_meters,
            "dwell_fixes": place.dwell_fixes,
            "dwell_minutes": place.dwell_minutes,
            "active_from": place.active_from,
            "active_until": place.active_until,
        },
    )
    for run_id in place.production_run_ids:
        await transaction.connection.execute(
            text("INSERT INTO trackers.production_run_places VALUES (:run, :place, :client)"),
            {"run": run_id, "place": place.id, "client": client_id},
        )
    return place.id


async def save_cities(transaction: Transaction, cities: Mapping[int, tuple[str, float, float]]) -> None:
    """Cities by their ids: name, latitude and longitude."""
    for city_id, (name, latitude, longitude) in cities.items():
        await transaction.connection.execute(
            text("INSERT INTO trackers.cities VALUES (:id, :name, 'Nowhere', 1000, ST_Point(:longitude, :latitude))"),
            {"id": city_id, "name": name, "longitude": longitude, "latitude": latitude},
        )


async def take_in(
    database: Database, reports: Iterable[Told], *, now: datetime, watch: WatchEvents | None = None
) -> list[NewTrackerEvent]:
    """Store the reports that are new, and what follows from them, in one transaction; gives what was to tell."""
    listed = list(reports)
    async with database.transaction() as transaction:
        connection = transaction.connection
        await ensure_report_partitions(connection, {report.reported_at for report in listed})
        touched: dict[UUID, set[datetime]] = {}
        for report in sorted(listed):
            stored = await connection.execute(
                _STORE,
                {
                    "subject": report.tracker_id.bytes,
                    "tracker": report.tracker_id,
                    "reported_at": report.reported_at,
                    "latitude": round(report.latitude * 10_000_000),
                    "longitude": round(report.longitude * 10_000_000),
                    "accuracy": report.accuracy_meters,
                    "confidence": report.confidence,
                },
            )
            if stored.rowcount:
                touched.setdefault(report.tracker_id, set()).add(bucket_of(report.reported_at))
        events = await recompute_histories(transaction, touched, now=now)
        await record_events(transaction, events, known_at=now, watch=watch)
    return events


_STORE = text("""
    INSERT INTO trackers.location_reports
        (subject, reported_at, latitude_e7, longitude_e7, tracker_id, client_id, accuracy_meters, confidence, source)
    SELECT :subject, :reported_at, :latitude, :longitude, id, client_id, :accuracy, :confidence, 'partner'
    FROM trackers.trackers WHERE id = :tracker
    ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """All that follows from the reports of a tracker, to the last digit, without the checkpoints on the way."""

    fixes: Sequence[tuple[Any, ...]]
    statuses: Sequence[tuple[Any, ...]]
    visits: Sequence[tuple[Any, ...]]
    tracker: Sequence[tuple[Any, ...]]


async def history_of(database: Database, tracker_id: UUID) -> StoredHistory:
    """The history of a tracker as it is stored."""
    async with database.transaction() as transaction:
        parts = [
            [tuple(row) for row in await transaction.connection.execute(text(statement), {"id": tracker_id})]
            for statement in (_FIXES, _STATUSES, _VISITS, _TRACKER)
        ]
    return StoredHistory(*parts)


_FIXES = """
    SELECT bucket, ST_AsText(position, 17), accuracy_meters, confidence, last_reported_at, report_count, dropped_count,
        is_anomalous, city_id, CAST(checkpoint AS text)
    FROM trackers.location_fixes WHERE tracker_id = :id ORDER BY bucket
"""
_STATUSES = """
    SELECT started_at, ended_at, status, place_id FROM trackers.status_changes WHERE tracker_id = :id
    ORDER BY started_at
"""
_VISITS = """
    SELECT arrived_at, departed_at, place_id, fix_count FROM trackers.visits WHERE tracker_id = :id ORDER BY arrived_at
"""
_TRACKER = """
    SELECT status, status_since, status_place_id, last_fix_at, last_reported_at, ST_AsText(last_position, 17),
        last_accuracy_meters, last_confidence, last_city_id, silent_at, CAST(journey AS text)
    FROM trackers.trackers WHERE id = :id
"""
