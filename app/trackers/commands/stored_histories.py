"""Reads the stored histories of many trackers at once, each kind of row in one statement."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.trackers.best_fix import SeenAt
from app.trackers.cities.nearest import (
    RADIUS_OF_CELL_METERS,
    REACH_OF_CELL_METERS,
    Cell,
    CitiesOfCell,
    cell_of,
    middle_of,
)
from app.trackers.histories import FIXES_BEFORE, Fix, StatusRow, TrackerBefore, VisitRow
from app.trackers.journey import Nearness, PlaceRules
from app.trackers.models import PlaceKind, TrackerStatus
from app.trackers.points import Point


@dataclass(frozen=True, slots=True)
class PlaceOfRuns:
    """A place of a client, and the production runs that it is for: none means all trackers of the client."""

    client_id: UUID
    rules: PlaceRules
    production_run_ids: Collection[UUID]


async def lock_trackers(connection: AsyncConnection, ids: Collection[UUID]) -> list[TrackerBefore]:
    """Hold these trackers until the transaction ends, in the order of their ids so that writers never deadlock."""
    rows = await connection.execute(_LOCK_TRACKERS, {"ids": list(ids)})
    return [
        TrackerBefore._make(
            (
                *told,
                None if latitude_e7 is None else Point(latitude_e7, longitude_e7),
                TrackerStatus(status),
                status_since,
                status_place_id,
                None if journey is None else orjson.loads(journey),
            )
        )
        for *told, latitude_e7, longitude_e7, status, status_since, status_place_id, journey in rows
    ]


async def reports_of_buckets(
    connection: AsyncConnection, touched: Mapping[UUID, Collection[datetime]]
) -> dict[UUID, dict[datetime, list[SeenAt]]]:
    """What is reported of each tracker in these buckets."""
    pairs = [(tracker_id, bucket) for tracker_id, buckets in touched.items() for bucket in buckets]
    found: dict[UUID, dict[datetime, list[SeenAt]]] = {}
    if not pairs:
        return found
    ids, buckets = zip(*pairs, strict=True)
    seen: list[list[SeenAt]] = [[] for _ in pairs]
    rows = await connection.execute(_REPORTS, {"ids": list(ids), "buckets": list(buckets)})
    for number, reported_at, latitude_e7, longitude_e7, accuracy_meters, confidence in rows:
        report = SeenAt(reported_at, Point(latitude_e7, longitude_e7), accuracy_meters, confidence)
        seen[number - 1].append(report)
    for (tracker_id, bucket), reports in zip(pairs, seen, strict=True):
        if reports:
            found.setdefault(tracker_id, {})[bucket] = reports
    return found


async def fixes_around(connection: AsyncConnection, since: Mapping[UUID, datetime]) -> dict[UUID, list[Fix]]:
    """The fixes of each tracker since a bucket, and the ten before, in the order of time."""
    parameters = {"ids": list(since), "since": list(since.values()), "before": FIXES_BEFORE}
    return _by_tracker(await connection.execute(_FIXES_AROUND, parameters))


async def fixes_since_checkpoint(connection: AsyncConnection, before: Mapping[UUID, datetime]) -> dict[UUID, list[Fix]]:
    """The fixes of each tracker before a bucket, from the last that holds a checkpoint on, or from the first of all."""
    if not before:
        return {}
    parameters = {"ids": list(before), "before": list(before.values())}
    return _by_tracker(await connection.execute(_FIXES_SINCE_CHECKPOINT, parameters))


async def places_of_clients(connection: AsyncConnection, client_ids: Collection[UUID]) -> list[PlaceOfRuns]:
    """The places of these clients."""
    return [
        PlaceOfRuns(
            client_id=row.client_id,
            rules=PlaceRules(
                id=row.id,
                kind=PlaceKind(row.kind),
                radius_meters=row.radius_meters,
                reach_meters=row.reach_meters,
                dwell_fixes=row.dwell_fixes,
                dwell_minutes=row.dwell_minutes,
                active_from=row.active_from,
                active_until=row.active_until,
            ),
            production_run_ids=frozenset(row.production_run_ids),
        )
        for row in await connection.execute(_PLACES, {"clients": list(client_ids)})
    ]


async def nearness_of_fixes(
    connection: AsyncConnection, fixes: Sequence[tuple[UUID, Fix]], places: Sequence[PlaceOfRuns]
) -> list[list[Nearness]]:
    """How far each fix, told with its client, is from those places of the client that it may not be out of."""
    near: list[list[Nearness]] = [[] for _ in fixes]
    if not fixes or not places:
        return near
    reach = max(place.rules.farthest_meters for place in places)
    # Most are far from all places: whole cells of the earth are looked at first, which many fixes share.
    cells = [(client_id, cell_of(fix.point)) for client_id, fix in fixes]
    near_places = await _cells_near_places(connection, set(cells), reach)
    looked_at = [number for number, cell in enumerate(cells) if cell in near_places]
    if not looked_at:
        return near
    rows = await connection.execute(
        _NEARNESS,
        {
            "numbers": looked_at,
            "clients": [fixes[number][0] for number in looked_at],
            "latitudes": [fixes[number][1].point.latitude for number in looked_at],
            "longitudes": [fixes[number][1].point.longitude for number in looked_at],
            "farthest": reach,
        },
    )
    farthest = {place.rules.id: place.rules.farthest_meters for place in places}
    for row in rows:
        # One that was made in this moment has everything made anew.
        if row.shape_meters <= farthest.get(row.place_id, -1.0):
            near[row.number].append(Nearness(row.place_id, row.shape_meters, row.center_meters))
    return near


async def _cells_near_places(
    connection: AsyncConnection, cells: Set[tuple[UUID, Cell]], reach: float
) -> Set[tuple[UUID, Cell]]:
    """Those cells, told with a client, of which some point may be as near as this to a place of the client."""
    ordered = sorted(cells)
    rows = await connection.scalars(
        _CELLS_NEAR_PLACES,
        {
            "clients": [client_id for client_id, _ in ordered],
            "latitudes": [middle_of(cell).latitude for _, cell in ordered],
            "longitudes": [middle_of(cell).longitude for _, cell in ordered],
            "farthest": reach + RADIUS_OF_CELL_METERS,
        },
    )
    return {ordered[number - 1] for number in rows}


async def nearest_cities(connection: AsyncConnection, points: Sequence[Point]) -> list[int | None]:
    """The city nearest to each point, by its id; None where none is within 50 km."""
    if not points:
        return []
    cells = sorted({cell_of(point) for point in points})
    rows = await connection.execute(
        CITIES_OF_CELLS,
        {
            "latitudes": [middle_of(cell).latitude for cell in cells],
            "longitudes": [middle_of(cell).longitude for cell in cells],
            "farthest": REACH_OF_CELL_METERS,
        },
    )
    near = {
        cells[row.number - 1]: CitiesOfCell(cells[row.number - 1], row.ids, row.latitudes, row.longitudes)
        for row in rows
    }
    return await asyncio.to_thread(lambda: [_nearest(near.get(cell_of(point)), point) for point in points])


def _nearest(cities: CitiesOfCell | None, point: Point) -> int | None:
    return None if cities is None else cities.nearest(point)


async def stored_statuses(connection: AsyncConnection, since: Mapping[UUID, datetime]) -> dict[UUID, list[StatusRow]]:
    """The status changes of each tracker since an instant, and the last one before."""
    found: dict[UUID, list[StatusRow]] = {}
    for row in await connection.execute(_STATUSES, {"ids": list(since), "since": list(since.values())}):
        status = StatusRow(row.started_at, row.ended_at, TrackerStatus(row.status), row.place_id)
        found.setdefault(row.tracker_id, []).append(status)
    return found


async def stored_visits(connection: AsyncConnection, since: Mapping[UUID, datetime]) -> dict[UUID, list[VisitRow]]:
    """The visits of each tracker that began at an instant or later."""
    found: dict[UUID, list[VisitRow]] = {}
    for row in await connection.execute(_VISITS, {"ids": list(since), "since": list(since.values())}):
        visit = VisitRow(row.arrived_at, row.departed_at, row.place_id, row.fix_count)
        found.setdefault(row.tracker_id, []).append(visit)
    return found


def _by_tracker(rows: Iterable[Sequence[Any]]) -> dict[UUID, list[Fix]]:
    found: defaultdict[UUID, list[Fix]] = defaultdict(list)
    for tracker_id, bucket, latitude_e7, longitude_e7, *told, checkpoint in rows:
        known = None if checkpoint is None else orjson.loads(checkpoint)
        found[tracker_id].append(Fix._make((bucket, Point(latitude_e7, longitude_e7), *told, known)))
    return found


# Columns of a point in ten-millionths of a degree.
_E7 = """
    CAST(round(ST_Y(CAST({column} AS geometry)) * 10000000) AS integer) AS latitude_e7,
    CAST(round(ST_X(CAST({column} AS geometry)) * 10000000) AS integer) AS longitude_e7
"""

_LOCK_TRACKERS = text(f"""
    SELECT tracker.id, tracker.client_id, tracker.production_run_id, tracker.created_at, client.silent_after_minutes,
        tracker.last_fix_at, tracker.last_accuracy_meters, {_E7.format(column="tracker.last_position")}, tracker.status,
        tracker.status_since, tracker.status_place_id, CAST(tracker.journey AS text) AS journey
    FROM trackers.trackers AS tracker JOIN trackers.clients AS client ON client.id = tracker.client_id
    WHERE tracker.id = ANY (CAST(:ids AS uuid[]))
    ORDER BY tracker.id
    FOR NO KEY UPDATE OF tracker
""")  # noqa: S608  # constants of ours
# OFFSET 0 keeps each look-up one of the index: the planner would join with all reports there are.
_REPORTS = text("""
    SELECT given.number, report.*
    FROM unnest(CAST(:ids AS uuid[]), CAST(:buckets AS timestamptz[]))
        WITH ORDINALITY AS given (tracker_id, bucket, number)
    CROSS JOIN LATERAL (
        SELECT reported_at, latitude_e7, longitude_e7, accuracy_meters, confidence
        FROM trackers.location_reports
        WHERE tracker_id = given.tracker_id
            AND reported_at >= given.bucket AND reported_at < given.bucket + interval '10 minutes'
        OFFSET 0
    ) AS report
""")
_FIX_COLUMNS = f"""
    tracker_id, bucket, {_E7.format(column="position")}, accuracy_meters, confidence, last_reported_at, report_count,
    dropped_count, is_anomalous, city_id, CAST(checkpoint AS text) AS checkpoint
"""
_FIXES_AROUND = text(f"""
    SELECT fix.*
    FROM unnest(CAST(:ids AS uuid[]), CAST(:since AS timestamptz[])) AS given (tracker_id, since)
    CROSS JOIN LATERAL (
        (
            SELECT {_FIX_COLUMNS} FROM trackers.location_fixes
            WHERE tracker_id = given.tracker_id AND bucket < given.since
            ORDER BY bucket DESC LIMIT :before
        )
        UNION ALL
        (
            SELECT {_FIX_COLUMNS} FROM trackers.location_fixes
            WHERE tracker_id = given.tracker_id AND bucket >= given.since
            OFFSET 0
        )
    ) AS fix
    ORDER BY fix.tracker_id, fix.bucket
""")  # noqa: S608  # constants of ours
_FIXES_SINCE_CHECKPOINT = text(f"""
    SELECT fix.*
    FROM unnest(CAST(:ids AS uuid[]), CAST(:before AS timestamptz[])) AS given (tracker_id, before)
    LEFT JOIN LATERAL (
        SELECT bucket FROM trackers.location_fixes
        WHERE tracker_id = given.tracker_id AND bucket < given.before AND checkpoint IS NOT NULL
        ORDER BY bucket DESC LIMIT 1
    ) AS last_checkpoint ON true
    CROSS JOIN LATERAL (
        SELECT {_FIX_COLUMNS} FROM trackers.location_fixes
        WHERE tracker_id = given.tracker_id AND bucket < given.before
            AND bucket >= COALESCE(last_checkpoint.bucket, '-infinity')
        OFFSET 0
    ) AS fix
    ORDER BY fix.tracker_id, fix.bucket
""")  # noqa: S608  # constants of ours
_PLACES = text("""
    SELECT place.id, place.client_id, place.kind, place.radius_meters, place.reach_meters, place.dwell_fixes,
        place.dwell_minutes, place.active_from, place.active_until,
        ARRAY(
            SELECT production_run_id FROM trackers.production_run_places AS of_run WHERE of_run.place_id = place.id
        ) AS production_run_ids
    FROM trackers.places AS place
    WHERE place.client_id = ANY (CAST(:clients AS uuid[])) AND place.deleted_at IS NULL
    ORDER BY place.id
""")
_NEARNESS = text("""
    SELECT given.number, place.id AS place_id, ST_Distance(place.shape, given.position) AS shape_meters,
        ST_Distance(place.center, given.position) AS center_meters
    FROM (
        SELECT number, client_id, CAST(ST_SetSRID(ST_MakePoint(longitude, latitude), 4326) AS geography) AS position
        FROM unnest(
            CAST(:numbers AS integer[]), CAST(:clients AS uuid[]), CAST(:latitudes AS double precision[]),
            CAST(:longitudes AS double precision[])
        ) AS given (number, client_id, latitude, longitude)
        OFFSET 0
    ) AS given
    JOIN trackers.places AS place ON place.client_id = given.client_id AND place.deleted_at IS NULL
        AND ST_DWithin(place.shape, given.position, CAST(:farthest AS double precision))
    ORDER BY given.number, place.id
""")
_CELLS_NEAR_PLACES = text("""
    SELECT given.number
    FROM (
        SELECT number, client_id, CAST(ST_SetSRID(ST_MakePoint(longitude, latitude), 4326) AS geography) AS middle
        FROM unnest(
            CAST(:clients AS uuid[]), CAST(:latitudes AS double precision[]), CAST(:longitudes AS double precision[])
        ) WITH ORDINALITY AS given (client_id, latitude, longitude, number)
        OFFSET 0
    ) AS given
    WHERE EXISTS (
        SELECT FROM trackers.places AS place
        WHERE place.client_id = given.client_id AND place.deleted_at IS NULL
            AND ST_DWithin(place.shape, given.middle, CAST(:farthest AS double precision))
    )
""")
# Rounded outwards, as this is measured on a sphere.
CITIES_OF_CELLS = text("""
    SELECT given.number, array_agg(city.id) AS ids,
        array_agg(ST_Y(CAST(city.position AS geometry))) AS latitudes,
        array_agg(ST_X(CAST(city.position AS geometry))) AS longitudes
    FROM (
        SELECT number, CAST(ST_SetSRID(ST_MakePoint(longitude, latitude), 4326) AS geography) AS position
        FROM unnest(CAST(:latitudes AS double precision[]), CAST(:longitudes AS double precision[]))
            WITH ORDINALITY AS given (latitude, longitude, number)
        OFFSET 0
    ) AS given
    JOIN trackers.cities AS city
        ON ST_DWithin(city.position, given.position, CAST(:farthest AS double precision), false)
    GROUP BY given.number
""")
_STATUSES = text("""
    SELECT stored.*
    FROM unnest(CAST(:ids AS uuid[]), CAST(:since AS timestamptz[])) AS given (tracker_id, since)
    CROSS JOIN LATERAL (
        SELECT tracker_id, started_at, ended_at, status, place_id FROM trackers.status_changes
        WHERE tracker_id = given.tracker_id AND started_at >= COALESCE(
            (
                SELECT max(started_at) FROM trackers.status_changes
                WHERE tracker_id = given.tracker_id AND started_at < given.since
            ),
            '-infinity'
        )
        OFFSET 0
    ) AS stored
""")
_VISITS = text("""
    SELECT stored.*
    FROM unnest(CAST(:ids AS uuid[]), CAST(:since AS timestamptz[])) AS given (tracker_id, since)
    CROSS JOIN LATERAL (
        SELECT tracker_id, arrived_at, departed_at, place_id, fix_count FROM trackers.visits
        WHERE tracker_id = given.tracker_id AND arrived_at >= given.since
        OFFSET 0
    ) AS stored
""")
