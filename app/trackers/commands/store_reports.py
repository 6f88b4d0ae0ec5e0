"""Stores reports, each once however often it comes, and says which buckets of which trackers are touched by them."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.copy_lines import copy_lines
from app.trackers.best_fix import BestFix, FixesOfBuckets, SeenAt, best_fix
from app.trackers.buckets import BUCKET, bucket_of
from app.trackers.commands.partitions import ensure_report_partitions
from app.trackers.points import Point
from app.trackers.reports import Report


class NewReport(NamedTuple):
    """A report of a tracker, under the hashed key or the id by which it was named."""

    subject: bytes
    tracker_id: UUID
    client_id: UUID
    received_at: datetime
    report: Report


@dataclass(frozen=True, slots=True)
class StoredReports:
    """How many reports were new, and the buckets of trackers in which something is new, labelled by their starts.

    `fixes` are of buckets of which every given report was new: what follows from those where no others were there.
    """

    count: int
    touched: Mapping[UUID, Set[datetime]]
    fixes: FixesOfBuckets = field(default_factory=dict)


async def store_reports(connection: AsyncConnection, given: Iterable[NewReport]) -> StoredReports:
    """Store what is new of reports whose trackers are locked.

    What makes a report one is who was reported, when and where. Of several such the one that tells most counts, however
    they come: which was first makes no difference.
    """
    reports = await asyncio.to_thread(_each_once, given)
    if not reports:
        return StoredReports(0, {})
    times = {one.report.reported_at for one in reports}
    await ensure_report_partitions(connection, {datetime(time.year, time.month, 1, tzinfo=UTC) for time in times})
    await connection.execute(_MAKE_STAGED)
    await connection.execute(_EMPTY_STAGED)
    lines = await asyncio.to_thread(lambda: list(_lines(reports)))
    await copy_lines(connection, lines, table="staged_location_reports", columns=_COLUMNS)
    # Worked out while PostgreSQL is busy storing.
    working_out = asyncio.create_task(asyncio.to_thread(_fixes_of, reports))
    stored = (await connection.execute(_STORE, {"bucket_length": BUCKET})).all()
    fixes = await working_out
    touched: dict[UUID, set[datetime]] = defaultdict(set)
    new: dict[UUID, dict[datetime, BestFix]] = defaultdict(dict)
    count = 0
    for tracker_id, bucket, report_count in stored:
        count += report_count
        touched[tracker_id].add(bucket)
        fix = fixes[tracker_id][bucket]
        if fix.report_count == report_count:
            new[tracker_id][bucket] = fix
    if count < len(reports):
        parameters = {"bucket_length": BUCKET, "earliest": min(times), "latest": max(times)}
        for tracker_id, bucket in await connection.execute(_TAKE_BETTER, parameters):
            touched[tracker_id].add(bucket)
    return StoredReports(count, touched, new)


def _each_once(given: Iterable[NewReport]) -> Sequence[NewReport]:
    chosen: dict[tuple[Any, ...], NewReport] = {}
    for one in given:
        report = one.report
        identity = (one.subject, report.reported_at, report.latitude_e7, report.longitude_e7)
        other = chosen.get(identity)
        if other is None or _rank(report) < _rank(other.report):
            chosen[identity] = one
    # In the order of the primary key, in which storing takes a third less.
    return [chosen[identity] for identity in sorted(chosen)]


def _rank(report: Report) -> tuple[float, int]:
    """The less the better: as `_TAKE_BETTER` has it."""
    return (
        inf if report.accuracy_meters is None else report.accuracy_meters,
        1 if report.confidence is None else -report.confidence,
    )


def _lines(reports: Iterable[NewReport]) -> Iterator[str]:
    """The reports as lines of COPY, in the order of `_COLUMNS`."""
    beginnings: dict[tuple[bytes, UUID, UUID, datetime], str] = {}
    times: dict[datetime, str] = {}
    for subject, tracker_id, client_id, received_at, report in reports:
        known = (subject, tracker_id, client_id, received_at)
        beginning = beginnings.get(known)
        if beginning is None:
            beginning = beginnings[known] = (
                f"\\\\x{subject.hex()}\t{tracker_id}\t{client_id}\t{received_at.isoformat()}"
            )
        latitude_e7, longitude_e7, reported_at, accuracy_meters, confidence, status_byte, source, published_at = report
        time = times.get(reported_at)
        if time is None:
            time = times[reported_at] = reported_at.isoformat()
        yield (
            f"{beginning}\t{time}\t{latitude_e7}\t{longitude_e7}\t"
            f"{_NULL if accuracy_meters is None else accuracy_meters}\t"
            f"{_NULL if confidence is None else confidence}\t{_NULL if status_byte is None else status_byte}\t"
            f"{_NULL if published_at is None else published_at.isoformat()}\t{source.value}\n"
        )


def _fixes_of(reports: Iterable[NewReport]) -> FixesOfBuckets:
    """What follows from these reports alone, for each tracker and bucket."""
    buckets: dict[datetime, datetime] = {}
    seen: defaultdict[UUID, defaultdict[datetime, list[SeenAt]]] = defaultdict(lambda: defaultdict(list))
    for _, tracker_id, _, _, report in reports:
        latitude_e7, longitude_e7, reported_at, accuracy_meters, confidence, *_ = report
        bucket = buckets.get(reported_at)
        if bucket is None:
            bucket = buckets[reported_at] = bucket_of(reported_at)
        point = Point(latitude_e7, longitude_e7)
        seen[tracker_id][bucket].append(SeenAt(reported_at, point, accuracy_meters, confidence))
    return {
        tracker_id: {bucket: best_fix(together) for bucket, together in of_tracker.items()}
        for tracker_id, of_tracker in seen.items()
    }


_COLUMNS = (
    "subject",
    "tracker_id",
    "client_id",
    "received_at",
    "reported_at",
    "latitude_e7",
    "longitude_e7",
    "accuracy_meters",
    "confidence",
    "status_byte",
    "published_at",
    "source",
)
_NULL = r"\N"
# By way of a table of the session: PostgreSQL refuses COPY where rows have policies.
_MAKE_STAGED = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_location_reports (LIKE trackers.location_reports) ON COMMIT DELETE ROWS
""")
_EMPTY_STAGED = text("DELETE FROM staged_location_reports")
_BUCKET = "date_bin(CAST(:bucket_length AS interval), reported_at, timestamptz '2000-01-01 00:00:00Z')"
_STORE = text(f"""
    WITH stored AS (
        INSERT INTO trackers.location_reports ({", ".join(_COLUMNS)})
        SELECT {", ".join(_COLUMNS)} FROM staged_location_reports
        ON CONFLICT DO NOTHING RETURNING tracker_id, reported_at
    )
    SELECT tracker_id, {_BUCKET} AS bucket, count(*) AS reports FROM stored GROUP BY tracker_id, bucket
""")  # noqa: S608  # words of our own
_TAKE_BETTER = text(f"""
    WITH changed AS (
        UPDATE trackers.location_reports AS known
        SET accuracy_meters = given.accuracy_meters, confidence = given.confidence, status_byte = given.status_byte,
            source = given.source, published_at = given.published_at
        FROM staged_location_reports AS given
        WHERE known.subject = given.subject AND known.reported_at = given.reported_at
            AND known.reported_at BETWEEN :earliest AND :latest
            AND known.latitude_e7 = given.latitude_e7 AND known.longitude_e7 = given.longitude_e7
            AND known.tracker_id = given.tracker_id
            AND (coalesce(given.accuracy_meters, 'Infinity'), coalesce(-given.confidence, 1))
                < (coalesce(known.accuracy_meters, 'Infinity'), coalesce(-known.confidence, 1))
        RETURNING known.tracker_id, known.reported_at
    )
    SELECT DISTINCT tracker_id, {_BUCKET} AS bucket FROM changed
""")  # noqa: S608  # words of our own
