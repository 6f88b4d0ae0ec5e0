"""Writes the histories of many trackers at once, each kind of row in one statement."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import TextClause, func, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among
from app.trackers.histories import Fix, StatusRow, TrackerBefore, VisitRow
from app.trackers.models import Tracker, TrackerStatus


class TrackerAfter(NamedTuple):
    """What of a tracker follows from its history."""

    id: UUID
    status: TrackerStatus
    status_since: datetime
    status_place_id: UUID | None
    last_fix: Fix
    silent_at: datetime
    journey: Mapping[str, Any]


async def write_fixes(connection: AsyncConnection, fixes: Sequence[tuple[TrackerBefore, Fix]]) -> None:
    """Store these fixes, in place of those of the same trackers and buckets. Their partitions are there."""
    if not fixes:
        return
    await connection.execute(
        _WRITE_FIXES,
        {
            "trackers": [tracker.id for tracker, _ in fixes],
            "clients": [tracker.client_id for tracker, _ in fixes],
            "checkpoints": [
                None if fix.checkpoint is None else orjson.dumps(fix.checkpoint).decode() for _, fix in fixes
            ],
            **_columns_of([fix for _, fix in fixes]),
            "buckets": [fix.bucket for _, fix in fixes],
            "counts": [fix.report_count for _, fix in fixes],
            "dropped": [fix.dropped_count for _, fix in fixes],
            "anomalous": [fix.is_anomalous for _, fix in fixes],
        },
    )


async def delete_fixes(connection: AsyncConnection, fixes: Sequence[tuple[UUID, datetime]]) -> None:
    """Delete the fixes of these trackers and buckets."""
    await _delete(connection, _DELETE_FIXES, fixes)


async def write_statuses(
    connection: AsyncConnection,
    written: Sequence[tuple[TrackerBefore, StatusRow]],
    deleted: Sequence[tuple[UUID, datetime]],
) -> None:
    """Delete status changes by their trackers and starts, and store these."""
    await _delete(connection, _DELETE_STATUSES, deleted)
    if written:
        await connection.execute(
            _WRITE_STATUSES,
            {
                "trackers": [tracker.id for tracker, _ in written],
                "clients": [tracker.client_id for tracker, _ in written],
                "starts": [row.started_at for _, row in written],
                "ends": [row.ended_at for _, row in written],
                "statuses": [row.status.value for _, row in written],
                "places": [row.place_id for _, row in written],
            },
        )


async def write_visits(
    connection: AsyncConnection,
    written: Sequence[tuple[TrackerBefore, VisitRow]],
    deleted: Sequence[tuple[UUID, datetime]],
) -> None:
    """Delete visits by their trackers and arrivals, and store these."""
    await _delete(connection, _DELETE_VISITS, deleted)
    if written:
        await connection.execute(
            _WRITE_VISITS,
            {
                "trackers": [tracker.id for tracker, _ in written],
                "clients": [tracker.client_id for tracker, _ in written],
                "arrivals": [row.arrived_at for _, row in written],
                "departures": [row.departed_at for _, row in written],
                "places": [row.place_id for _, row in written],
                "counts": [row.fix_count for _, row in written],
            },
        )


async def write_trackers(
    connection: AsyncConnection, trackers: Sequence[TrackerAfter], *, received_at: datetime | None = None
) -> None:
    """Note what follows from their histories with these locked trackers, and when reports of them came in."""
    if not trackers:
        return
    await connection.execute(
        _WRITE_TRACKERS,
        {
            "trackers": [tracker.id for tracker in trackers],
            "statuses": [tracker.status.value for tracker in trackers],
            "since": [tracker.status_since for tracker in trackers],
            "places": [tracker.status_place_id for tracker in trackers],
            "silent": [tracker.silent_at for tracker in trackers],
            "received": received_at,
            "journeys": [orjson.dumps(tracker.journey).decode() for tracker in trackers],
            **_columns_of([tracker.last_fix for tracker in trackers]),
            "buckets": [tracker.last_fix.bucket for tracker in trackers],
        },
    )


async def write_received(connection: AsyncConnection, tracker_ids: Collection[UUID], *, at: datetime) -> None:
    """Note that reports of these trackers came in then, where nothing follows from them for the trackers themselves."""
    if tracker_ids:
        await connection.execute(
            update(Tracker)
            .where(among(Tracker.id, tracker_ids))
            .values(last_report_received_at=func.greatest(Tracker.last_report_received_at, at))
        )


async def write_last_fixes(connection: AsyncConnection, fixes: Iterable[tuple[UUID, Fix]]) -> None:
    """Note what was reported of these trackers again, where nothing else follows from it."""
    listed = list(fixes)
    if listed:
        await connection.execute(
            _WRITE_LAST_FIXES,
            {
                "trackers": [tracker_id for tracker_id, _ in listed],
                "reported": [fix.last_reported_at for _, fix in listed],
                "confidences": [fix.confidence for _, fix in listed],
            },
        )


async def _delete(connection: AsyncConnection, delete: TextClause, pairs: Sequence[tuple[UUID, datetime]]) -> None:
    if pairs:
        ids, instants = zip(*pairs, strict=True)
        await connection.execute(delete, {"ids": list(ids), "instants": list(instants)})


def _columns_of(fixes: Sequence[Fix]) -> dict[str, list[Any]]:
    return {
        "latitudes": [fix.point.latitude for fix in fixes],
        "longitudes": [fix.point.longitude for fix in fixes],
        "accuracies": [fix.accuracy_meters for fix in fixes],
        "confidences": [fix.confidence for fix in fixes],
        "reported": [fix.last_reported_at for fix in fixes],
        "cities": [fix.city_id for fix in fixes],
    }


_POSITION = "CAST(ST_SetSRID(ST_MakePoint(given.longitude, given.latitude), 4326) AS geography)"

_WRITE_FIXES = text(f"""
    INSERT INTO trackers.location_fixes (
        tracker_id, client_id, bucket, position, accuracy_meters, confidence, last_reported_at, report_count,
        dropped_count, is_anomalous, city_id, checkpoint
    )
    SELECT tracker_id, client_id, bucket, {_POSITION}, accuracy_meters, confidence, last_reported_at, report_count,
        dropped_count, is_anomalous, city_id, CAST(checkpoint AS jsonb)
    FROM unnest(
        CAST(:trackers AS uuid[]), CAST(:clients AS uuid[]), CAST(:buckets AS timestamptz[]),
        CAST(:latitudes AS double precision[]), CAST(:longitudes AS double precision[]), CAST(:accuracies AS real[]),
        CAST(:confidences AS smallint[]), CAST(:reported AS timestamptz[]), CAST(:counts AS integer[]),
        CAST(:dropped AS integer[]), CAST(:anomalous AS boolean[]), CAST(:cities AS integer[]),
        CAST(:checkpoints AS text[])
    ) AS given (
        tracker_id, client_id, bucket, latitude, longitude, accuracy_meters, confidence, last_reported_at, report_count,
        dropped_count, is_anomalous, city_id, checkpoint
    )
    ON CONFLICT (tracker_id, bucket) DO UPDATE SET
        position = excluded.position, accuracy_meters = excluded.accuracy_meters, confidence = excluded.confidence,
        last_reported_at = excluded.last_reported_at, report_count = excluded.report_count,
        dropped_count = excluded.dropped_count, is_anomalous = excluded.is_anomalous, city_id = excluded.city_id,
        checkpoint = excluded.checkpoint
""")  # noqa: S608  # constants of ours
_WRITE_STATUSES = text("""
    INSERT INTO trackers.status_changes (tracker_id, client_id, started_at, ended_at, status, place_id)
    SELECT * FROM unnest(
        CAST(:trackers AS uuid[]), CAST(:clients AS uuid[]), CAST(:starts AS timestamptz[]),
        CAST(:ends AS timestamptz[]), CAST(:statuses AS text[]), CAST(:places AS uuid[])
    )
    ON CONFLICT (tracker_id, started_at) DO UPDATE SET
        ended_at = excluded.ended_at, status = excluded.status, place_id = excluded.place_id
""")
_WRITE_VISITS = text("""
    INSERT INTO trackers.visits (tracker_id, client_id, arrived_at, departed_at, place_id, fix_count)
    SELECT * FROM unnest(
        CAST(:trackers AS uuid[]), CAST(:clients AS uuid[]), CAST(:arrivals AS timestamptz[]),
        CAST(:departures AS timestamptz[]), CAST(:places AS uuid[]), CAST(:counts AS integer[])
    )
    ON CONFLICT (tracker_id, arrived_at) DO UPDATE SET
        departed_at = excluded.departed_at, place_id = excluded.place_id, fix_count = excluded.fix_count
""")
_WRITE_TRACKERS = text(f"""
    UPDATE trackers.trackers AS tracker
    SET status = given.status, status_since = given.status_since, status_place_id = given.place_id,
        last_fix_at = given.bucket, last_reported_at = given.last_reported_at, last_position = {_POSITION},
        last_accuracy_meters = given.accuracy_meters, last_confidence = given.confidence,
        last_city_id = given.city_id, silent_at = given.silent_at, journey = CAST(given.journey AS jsonb),
        last_report_received_at = greatest(tracker.last_report_received_at, CAST(:received AS timestamptz))
    FROM unnest(
        CAST(:trackers AS uuid[]), CAST(:statuses AS text[]), CAST(:since AS timestamptz[]), CAST(:places AS uuid[]),
        CAST(:buckets AS timestamptz[]), CAST(:reported AS timestamptz[]), CAST(:latitudes AS double precision[]),
        CAST(:longitudes AS double precision[]), CAST(:accuracies AS double precision[]),
        CAST(:confidences AS integer[]), CAST(:cities AS integer[]), CAST(:silent AS timestamptz[]),
        CAST(:journeys AS text[])
    ) AS given (
        tracker_id, status, status_since, place_id, bucket, last_reported_at, latitude, longitude, accuracy_meters,
        confidence, city_id, silent_at, journey
    )
    WHERE tracker.id = given.tracker_id
""")  # noqa: S608  # constants of ours
_WRITE_LAST_FIXES = text("""
    UPDATE trackers.trackers AS tracker
    SET last_reported_at = given.last_reported_at, last_confidence = given.confidence
    FROM unnest(
        CAST(:trackers AS uuid[]), CAST(:reported AS timestamptz[]), CAST(:confidences AS integer[])
    ) AS given (tracker_id, last_reported_at, confidence)
    WHERE tracker.id = given.tracker_id
""")
_DELETE_FIXES = text("""
    DELETE FROM trackers.location_fixes AS stored
    USING unnest(CAST(:ids AS uuid[]), CAST(:instants AS timestamptz[])) AS given (tracker_id, instant)
    WHERE stored.tracker_id = given.tracker_id AND stored.bucket = given.instant
""")
_DELETE_STATUSES = text("""
    DELETE FROM trackers.status_changes AS stored
    USING unnest(CAST(:ids AS uuid[]), CAST(:instants AS timestamptz[])) AS given (tracker_id, instant)
    WHERE stored.tracker_id = given.tracker_id AND stored.started_at = given.instant
""")
_DELETE_VISITS = text("""
    DELETE FROM trackers.visits AS stored
    USING unnest(CAST(:ids AS uuid[]), CAST(:instants AS timestamptz[])) AS given (tracker_id, instant)
    WHERE stored.tracker_id = given.tracker_id AND stored.arrived_at = given.instant
""")
