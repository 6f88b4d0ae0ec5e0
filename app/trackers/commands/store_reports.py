"""Stores reports, each once however often it comes, and says which buckets of which trackers are touched by them."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among
from app.trackers.buckets import BUCKET
from app.trackers.commands.partitions import ensure_report_partitions
from app.trackers.models import Tracker
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
    """How many reports were new, and the buckets of trackers in which something is new, labelled by their starts."""

    count: int
    touched: Mapping[UUID, Set[datetime]]


async def store_reports(connection: AsyncConnection, given: Iterable[NewReport]) -> StoredReports:
    """Store what is new of reports whose trackers are locked.

    What makes a report one is who was reported, when and where. Of several such the one that tells most counts, however
    they come: which was first makes no difference.
    """
    reports = _each_once(given)
    if not reports:
        return StoredReports(0, {})
    months = {(one.report.reported_at.year, one.report.reported_at.month) for one in reports}
    await ensure_report_partitions(connection, (datetime(year, month, 1, tzinfo=UTC) for year, month in months))
    columns = _columns(reports)
    stored = (await connection.execute(_STORE, columns)).all()
    count = sum(row.reports for row in stored)
    touched: dict[UUID, set[datetime]] = {}
    for row in stored:
        touched.setdefault(row.tracker_id, set()).add(row.bucket)
    if count < len(reports):
        times = columns["reported_at"]
        bounds = {"earliest": min(times), "latest": max(times)}
        for row in await connection.execute(_TAKE_BETTER, {**columns, **bounds}):
            touched.setdefault(row.tracker_id, set()).add(row.bucket)
    return StoredReports(count, touched)


async def mark_received(connection: AsyncConnection, tracker_ids: Collection[UUID], *, at: datetime) -> None:
    """Note that reports of these trackers came in now."""
    await connection.execute(
        update(Tracker)
        .where(among(Tracker.id, tracker_ids))
        .values(last_report_received_at=func.greatest(Tracker.last_report_received_at, at))
    )


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


def _columns(reports: Sequence[NewReport]) -> dict[str, Any]:
    """The reports column by column; what many of them share stands once, and they have its number."""
    numbers: dict[tuple[Any, ...], int] = {}
    shared = [
        numbers.setdefault(
            (one.subject, one.tracker_id, one.client_id, one.report.source, one.received_at), len(numbers) + 1
        )
        for one in reports
    ]
    told = [one.report for one in reports]
    return {
        "shared": shared,
        "reported_at": [report.reported_at for report in told],
        "latitude_e7": [report.latitude_e7 for report in told],
        "longitude_e7": [report.longitude_e7 for report in told],
        "accuracy_meters": [report.accuracy_meters for report in told],
        "confidence": [report.confidence for report in told],
        "status_byte": [report.status_byte for report in told],
        "published_at": [report.published_at for report in told],
        "subject": [subject for subject, *_ in numbers],
        "tracker_id": [tracker_id for _, tracker_id, *_ in numbers],
        "client_id": [client_id for _, _, client_id, *_ in numbers],
        "source": [source.value for *_, source, _ in numbers],
        "received_at": [received_at for *_, received_at in numbers],
        "bucket_length": BUCKET,
    }


# Not by COPY, which PostgreSQL refuses where rows have policies.
_GIVEN = """
(
    SELECT shared.subject, told.reported_at, told.latitude_e7, told.longitude_e7, shared.tracker_id, shared.client_id,
        told.accuracy_meters, told.confidence, told.status_byte, shared.source, told.published_at, shared.received_at
    FROM unnest(
        CAST(:shared AS integer[]), CAST(:reported_at AS timestamptz[]), CAST(:latitude_e7 AS integer[]),
        CAST(:longitude_e7 AS integer[]), CAST(:accuracy_meters AS real[]), CAST(:confidence AS smallint[]),
        CAST(:status_byte AS smallint[]), CAST(:published_at AS timestamptz[])
    ) AS told (shared, reported_at, latitude_e7, longitude_e7, accuracy_meters, confidence, status_byte, published_at)
    JOIN unnest(
        CAST(:subject AS bytea[]), CAST(:tracker_id AS uuid[]), CAST(:client_id AS uuid[]), CAST(:source AS text[]),
        CAST(:received_at AS timestamptz[])
    ) WITH ORDINALITY AS shared (subject, tracker_id, client_id, source, received_at, number)
        ON shared.number = told.shared
) AS given
"""
_BUCKET = "date_bin(CAST(:bucket_length AS interval), reported_at, timestamptz '2000-01-01 00:00:00Z')"
_STORE = text(f"""
    WITH stored AS (
        INSERT INTO trackers.location_reports (subject, reported_at, latitude_e7, longitude_e7, tracker_id, client_id,
            accuracy_meters, confidence, status_byte, source, published_at, received_at)
        SELECT * FROM {_GIVEN}
        ON CONFLICT DO NOTHING RETURNING tracker_id, reported_at
    )
    SELECT tracker_id, {_BUCKET} AS bucket, count(*) AS reports FROM stored GROUP BY tracker_id, bucket
""")  # noqa: S608  # words of our own
_TAKE_BETTER = text(f"""
    WITH changed AS (
        UPDATE trackers.location_reports AS known
        SET accuracy_meters = given.accuracy_meters, confidence = given.confidence, status_byte = given.status_byte,
            source = given.source, published_at = given.published_at
        FROM {_GIVEN}
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
