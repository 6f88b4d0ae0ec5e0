"""Measures the ingestion of reports of trackers: the door and one worker, against a bare COPY and INSERT."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from asyncpg.connection import Connection
from rich.console import Console

from app.core.clock import utc_now
from app.core.ids import PublicIdTag, parse_public_id, public_id
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.scopes import Scope
from app.identity.tokens import new_token
from tests.bench.data import Databases
from tests.bench.peers import trove_environment
from tests.bench.processes import cpu_seconds, peak_memory_mebibytes, running, serving
from tests.bench.tracked import OPERATOR_ID, REPORTED_CLIENT_ID, reported_tracker_key

SECONDS_BETWEEN_LOOKS = 0.01
LONGEST_BATCH_SECONDS = 180.0
SECONDS_APART = 120
DAYS_BACK = 6
BYTES_PER_MEBIBYTE = 2**20
# A batch covers the first half of its time; late reports fall into the other.
TIMES_AS_LONG = 2
SENDER = new_token(API_TOKEN)
COLUMNS = [
    "subject",
    "reported_at",
    "latitude_e7",
    "longitude_e7",
    "tracker_id",
    "client_id",
    "accuracy_meters",
    "confidence",
    "source",
    "received_at",
]


@dataclass(frozen=True, slots=True)
class Spread:
    """How the reports of a batch spread over trackers, two minutes apart: five to a fix."""

    trackers: int
    reports_each: int

    @property
    def rows(self) -> int:
        """Reports of one batch."""
        return self.trackers * self.reports_each

    @property
    def length(self) -> timedelta:
        """The time that a batch covers."""
        return timedelta(seconds=SECONDS_APART * self.reports_each)


SPREADS = (Spread(1_000, 50), Spread(10_000, 5))
QUICK_SPREADS = (Spread(200, 50), Spread(2_000, 5))


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A report of a batch; the tracker counts from 1."""

    tracker: int
    reported_at: str
    latitude: float
    longitude: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class LocationFigures:
    """Medians of the batches of one spread, in order or late; the ratio is the bare peer's time by Trove's."""

    trackers: int
    rows: int
    is_late: bool
    batches: int
    processed_seconds: float
    bare_seconds: float
    worker_cpu_seconds: float | None
    ratio: float
    worker_peak_memory: float | None


@dataclass(frozen=True, slots=True)
class StoredSizes:
    """Mebibytes of tables with their indexes, for a million reports that came in."""

    reports: float
    fixes: float
    events: float


async def measure_locations(
    databases: Databases, redis_url: str, *, spreads: Sequence[Spread], batches: int, console: Console
) -> tuple[list[LocationFigures], StoredSizes]:
    """All spreads, in order and then late, with one API process and one worker process."""
    environment = trove_environment(databases, redis_url)
    connection = await asyncpg.connect(databases.plain_url, server_settings={"jit": "off", "timezone": "UTC"})
    figures: list[LocationFigures] = []
    try:
        await connection.execute(
            _API_TOKEN, OPERATOR_ID, SENDER.shown_prefix, SENDER.hash, [Scope.LOCATIONS_WRITE.value]
        )
        await connection.execute(await _bare_tables(connection))
        before = await _sizes(connection)
        with (
            serving("app.cli.main", "api", environment=environment) as api,
            running("app.cli.main", "worker", environment=environment) as worker,
        ):
            begin = utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS_BACK)
            async with httpx.AsyncClient(
                base_url=api.url,
                headers={"Authorization": f"Bearer {SENDER.text}"},
                timeout=LONGEST_BATCH_SECONDS,
            ) as door:
                for spread in spreads:
                    run = _Run(spread, begin, door, connection, worker.pid)
                    await run.batch(0, is_late=False)
                    for is_late in (False, True):
                        figures.append(await run.measure(batches, is_late=is_late))
                        console.print(f"  {figures[-1]}", highlight=False)
                    begin += spread.length * TIMES_AS_LONG * (batches + 1)
        return figures, await _sizes_of_a_million(connection, before)
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class _Run:
    """Batches of one spread, each continuing where the one before it ended."""

    spread: Spread
    begin: datetime
    door: httpx.AsyncClient
    connection: "Connection[Any]"
    worker_id: int

    async def measure(self, batches: int, *, is_late: bool) -> LocationFigures:
        """The medians of so many batches."""
        processed, bare, cpu = [], [], []
        for number in range(1, batches + 1):
            before = cpu_seconds(self.worker_id)
            seconds, bare_seconds = await self.batch(number, is_late=is_late)
            after = cpu_seconds(self.worker_id)
            processed.append(seconds)
            bare.append(bare_seconds)
            if before is not None and after is not None:
                cpu.append(after - before)
        counts = await self.connection.fetchrow(_COUNTS)
        if counts is None or counts["trove"] != counts["bare"]:
            raise AssertionError(f"The peers did not store the same number of rows: {counts}")
        return LocationFigures(
            self.spread.trackers,
            self.spread.rows,
            is_late,
            batches,
            processed_seconds=round(median(processed), 3),
            bare_seconds=round(median(bare), 3),
            worker_cpu_seconds=round(median(cpu), 2) if cpu else None,
            ratio=round(median(bare) / median(processed), 3),
            worker_peak_memory=peak_memory_mebibytes(self.worker_id),
        )

    async def batch(self, number: int, *, is_late: bool) -> tuple[float, float]:
        """The seconds of one batch, from the first byte until it is committed, and of the bare peer."""
        starts_at = self.begin + self.spread.length * (TIMES_AS_LONG * number + is_late)
        # The time after the last batch is not over yet: what is late lies before that.
        if is_late:
            starts_at -= self.spread.length * TIMES_AS_LONG
        rows = list(_reports(self.spread, starts_at, self.begin))
        payload = b"\n".join(map(_line, rows))
        began = time.perf_counter()
        response = await self.door.post("/ingest/locations", content=payload)
        parsed = parse_public_id(response.raise_for_status().json()["batchId"])
        if parsed is None or not isinstance(parsed[1], UUID):
            raise AssertionError(f"The door gave an id that is none: {response.text}")
        await self._wait_for(parsed[1])
        processed = time.perf_counter() - began
        return processed, await _store_bare(self.connection, rows)

    async def _wait_for(self, batch_id: UUID) -> None:
        async with asyncio.timeout(LONGEST_BATCH_SECONDS):
            while True:
                batch = await self.connection.fetchrow(_LOOK, batch_id)
                if batch is not None and batch["status"] != "received":
                    break
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        if batch["accepted_count"] != self.spread.rows:
            raise AssertionError(f"Of {self.spread.rows} rows not all were taken in: {dict(batch)}")


def _reports(spread: Spread, starts_at: datetime, begin: datetime) -> Iterator[SeenRow]:
    """Every second tracker stands still, the others go north; each is seen some 20 m off."""
    random = Random(starts_at.timestamp())  # no secret
    for step in range(spread.reports_each):
        seen_at = starts_at + timedelta(seconds=SECONDS_APART * step)
        shown = seen_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        north = (seen_at - begin) / timedelta(days=1) * 0.5
        for tracker in range(1, spread.trackers + 1):
            yield SeenRow(
                tracker,
                shown,
                round(45 + tracker % 100 * 0.05 + tracker % 2 * north + random.gauss(0, 0.0002), 7),
                round(5 + tracker // 100 * 0.05 + random.gauss(0, 0.0002), 7),
                round(5 + random.random() * 50, 1),
            )


def _line(row: SeenRow) -> bytes:
    return orjson.dumps(
        {
            "tracker": public_id(PublicIdTag.TRACKER, reported_tracker_key(row.tracker)),
            "latitude": row.latitude,
            "longitude": row.longitude,
            "accuracy": row.accuracy,
            "confidence": 1 + row.tracker % 3,
            "reportedAt": row.reported_at,
        }
    )


async def _store_bare(connection: "Connection[Any]", rows: Sequence[SeenRow]) -> float:
    """The seconds to copy the rows into a staging table and insert what is new; the rows are written out before."""
    received_at = utc_now().isoformat()
    content = "".join(
        f"\\\\x{key.hex}\t{row.reported_at}\t{round(row.latitude * 1e7)}\t{round(row.longitude * 1e7)}\t{key}\t"
        f"{REPORTED_CLIENT_ID}\t{row.accuracy}\t{1 + row.tracker % 3}\tpartner\t{received_at}\n"
        for row, key in ((row, reported_tracker_key(row.tracker)) for row in rows)
    ).encode()
    began = time.perf_counter()
    async with connection.transaction():
        await connection.copy_to_table("staged_bench_reports", columns=COLUMNS, source=_in_one_piece(content))
        await connection.execute(_STORE_BARE)
    return time.perf_counter() - began


async def _in_one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _bare_tables(connection: "Connection[Any]") -> str:
    """A table with the columns, checks, keys and partitions of the one that Trove stores reports in."""
    partitions = await connection.fetch(_PARTITIONS)
    return ";\n".join(
        (
            "DROP SCHEMA IF EXISTS bench CASCADE",
            "CREATE SCHEMA bench",
            _BARE_TABLE,
            "CREATE TEMPORARY TABLE staged_bench_reports (LIKE trackers.location_reports) ON COMMIT DELETE ROWS",
            *(f"CREATE TABLE bench.{each['name']} PARTITION OF bench.reports {each['bound']}" for each in partitions),
        )
    )


async def _sizes(connection: "Connection[Any]") -> StoredSizes:
    sizes: dict[str, int] = dict(await connection.fetch(_SIZES))
    return StoredSizes(sizes["location_reports"], sizes["location_fixes"], sizes["tracker_events"])


async def _sizes_of_a_million(connection: "Connection[Any]", before: StoredSizes) -> StoredSizes:
    after = await _sizes(connection)
    millions: float = await connection.fetchval("SELECT count(*) / 1e6::float8 FROM trackers.location_reports")
    unit = millions * BYTES_PER_MEBIBYTE
    return StoredSizes(
        round((after.reports - before.reports) / unit, 1),
        round((after.fixes - before.fixes) / unit, 1),
        round((after.events - before.events) / unit, 1),
    )


_API_TOKEN = """
    INSERT INTO identity.api_tokens (id, user_id, name, prefix, token_hash, scopes)
    VALUES (gen_random_uuid(), $1, 'Bench', $2, $3, $4)
"""
_LOOK = "SELECT status, accepted_count, rejected_count, last_error FROM ingestion.ingest_batches WHERE id = $1"
_COUNTS = """
    SELECT (SELECT count(*) FROM trackers.location_reports) AS trove, (SELECT count(*) FROM bench.reports) AS bare
"""
_PARTITIONS = """
    SELECT relname AS name, pg_get_expr(relpartbound, oid) AS bound
    FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE inhparent = 'trackers.location_reports'::regclass
"""
_BARE_TABLE = """
    CREATE TABLE bench.reports (LIKE trackers.location_reports INCLUDING ALL) PARTITION BY RANGE (reported_at)
"""
_STORE_BARE = "INSERT INTO bench.reports SELECT * FROM staged_bench_reports ON CONFLICT DO NOTHING"
_SIZES = """
    SELECT name, pg_total_relation_size('trackers.' || name) + (
        SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)
        FROM pg_inherits WHERE inhparent = ('trackers.' || name)::regclass
    )::bigint
    FROM unnest(ARRAY['location_reports', 'location_fixes', 'tracker_events']) AS name
"""
