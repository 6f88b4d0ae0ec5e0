"""Measures the ingestion of prices: the door and one worker, against a bare COPY and INSERT of the same rows."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5
from itertools import chain, pairwise
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from asyncpg.connection import Connection
from rich.console import Console

from app.core.clock import utc_now
from app.core.database import create_engine
from app.core.ids import parse_public_id
from tests.bench.data import Databases, item_slug
from tests.bench.peers import trove_environment
from tests.bench.processes import Server, cpu_seconds, peak_memory_mebibytes, running, serving
from tests.identity.builders import PARTNER_TOKEN, add_partner

DAYS_BACK = 40
MONTHS_OF_PARTITIONS = 3
SECONDS_BETWEEN_LOOKS = 0.01
LONGEST_BATCH_SECONDS = 120.0
POINT_COLUMNS = ["series_id", "observed_at", "key", "price", "quantity", "arrival"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How the rows of a batch spread over series and time; each batch continues where the one before it ended."""

    name: str
    series: int
    points_per_series: int
    seconds_apart: int

    @property
    def rows(self) -> int:
        """Rows of one batch."""
        return self.series * self.points_per_series

    @property
    def meaning(self) -> str:
        """The shape in words."""
        return (
            f"{self.rows:,} rows: {self.series:,} series, {self.points_per_series:,} points of each, "
            f"{self.seconds_apart} seconds apart"
        )


MANY_SERIES = Shape("many series", series=1_000, points_per_series=50, seconds_apart=72)
ONE_MINUTE_APART = Shape("one minute apart", series=50, points_per_series=1_000, seconds_apart=60)
QUICK_SHAPES = (
    Shape("many series", series=1_000, points_per_series=5, seconds_apart=720),
    Shape("one minute apart", series=50, points_per_series=100, seconds_apart=60),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One price of a batch; the series counts from 1."""

    series: int
    observed_at: str
    price: str
    quantity: str


@dataclass(frozen=True, slots=True)
class BatchRound:
    """Seconds of one batch: until it was acknowledged, and from the first byte sent until it was committed."""

    acknowledged: float
    processed: float
    bare: float
    worker_cpu: float | None


@dataclass(frozen=True, slots=True)
class IngestFigures:
    """What came of one shape; the ratios are Trove's rows per second as a share of the bare peer's."""

    shape: str
    meaning: str
    rounds: Sequence[BatchRound]
    trove_rows_per_second: float
    bare_rows_per_second: float
    ratio: float
    queued_batches: int
    queued_rows_per_second: float
    queued_ratio: float
    worker_peak_memory: float | None


async def measure_ingestion(
    databases: Databases, redis_url: str, *, shapes: Sequence[Shape], batches: int, console: Console
) -> list[IngestFigures]:
    """All shapes, one after another, with one API process and one worker process."""
    environment = trove_environment(databases, redis_url)
    await add_partner_to(databases)
    connection = await asyncpg.connect(databases.plain_url, server_settings={"jit": "off", "timezone": "UTC"})
    try:
        with (
            serving("app.cli.main", "api", environment=environment) as api,
            running("app.cli.main", "worker", environment=environment) as worker,
        ):
            figures = []
            for shape in shapes:
                console.print(f"Ingestion, {shape.name}: {shape.meaning}")
                door = _Door(api, connection, source=f"bench-{shape.name.replace(' ', '-')}")
                figures.append(await _measure(shape, door, connection, worker.pid, batches, console))
            return figures
    finally:
        await connection.close()


async def add_partner_to(databases: Databases) -> None:
    """Somebody who may send prices, with an API token; the database is made anew for each run."""
    engine = create_engine(databases.trove_url, role=None, pool_size=1, application_name="trove-bench")
    async with engine.begin() as connection:
        await add_partner(connection)
    await engine.dispose()


async def _measure(
    shape: Shape, door: "_Door", connection: "Connection[Any]", worker_id: int, batches: int, console: Console
) -> IngestFigures:
    await connection.execute(_MAKE_BARE_TABLES)
    source = _batches(shape)
    warm_up = next(source)
    await door.process(warm_up)
    await _store_bare(connection, warm_up, first_arrival=0)
    rounds = []
    for number in range(batches):
        rows = next(source)
        before = cpu_seconds(worker_id)
        acknowledged, processed = await door.process(rows)
        after = cpu_seconds(worker_id)
        bare = await _store_bare(connection, rows, first_arrival=(number + 1) * shape.rows)
        used = None if before is None or after is None else round(after - before, 2)
        rounds.append(BatchRound(round(acknowledged, 3), round(processed, 3), round(bare, 3), used))
        console.print(f"  batch {number + 1} of {batches}: {processed:.2f} s, bare {bare:.2f} s")
    await _require_same_rows(connection, door.source)
    queued = [next(source) for _ in range(batches)]
    queued_rate = shape.rows * batches / await door.process_queued(queued)
    trove_rate = shape.rows / median(round_.processed for round_ in rounds)
    bare_rate = shape.rows / median(round_.bare for round_ in rounds)
    return IngestFigures(
        shape.name,
        shape.meaning,
        rounds,
        trove_rows_per_second=round(trove_rate),
        bare_rows_per_second=round(bare_rate),
        ratio=round(trove_rate / bare_rate, 3),
        queued_batches=batches,
        queued_rows_per_second=round(queued_rate),
        queued_ratio=round(queued_rate / bare_rate, 3),
        worker_peak_memory=peak_memory_mebibytes(worker_id),
    )


def _batches(shape: Shape) -> Iterator[list[Row]]:
    """Batches with ever later times, each in the order of time, as a feed gives them."""
    observed_at = utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS_BACK)
    number = 0
    while True:
        rows = []
        for _ in range(shape.points_per_series):
            shown = observed_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            for series in range(1, shape.series + 1):
                number += 1
                cents = 1_000 + (number * 7_919 + series * 104_729) % 5_000
                rows.append(Row(series, shown, f"{cents / 100:.2f}", str(1 + number % 9)))
            observed_at += timedelta(seconds=shape.seconds_apart)
        yield rows


class _Door:
    """The ingest door, and the database where one sees that a batch is done."""

    def __init__(self, api: Server, connection: "Connection[Any]", *, source: str) -> None:
        self.source = source
        self._connection = connection
        self._http = httpx.AsyncClient(
            base_url=api.url,
            headers={"Authorization": f"Bearer {PARTNER_TOKEN.text}"},
            timeout=LONGEST_BATCH_SECONDS,
        )

    async def process(self, rows: Sequence[Row]) -> tuple[float, float]:
        """Send a batch; the seconds until it was acknowledged, and until it was committed."""
        payload = self._payload(rows)
        began = time.perf_counter()
        batch_id = await self._send(payload)
        acknowledged = time.perf_counter() - began
        await self._wait_for(batch_id, len(rows))
        return acknowledged, time.perf_counter() - began

    async def process_queued(self, batches: Sequence[Sequence[Row]]) -> float:
        """Send batches without waiting for any; the seconds from the first byte until all were committed."""
        payloads = [self._payload(rows) for rows in batches]
        began = time.perf_counter()
        batch_ids = [await self._send(payload) for payload in payloads]
        for batch_id, rows in zip(batch_ids, batches, strict=True):
            await self._wait_for(batch_id, len(rows))
        return time.perf_counter() - began

    def _payload(self, rows: Sequence[Row]) -> bytes:
        return b"\n".join(
            orjson.dumps(
                {
                    "item": item_slug(row.series),
                    "source": self.source,
                    "currency": "USD",
                    "price": row.price,
                    "quantity": row.quantity,
                    "observedAt": row.observed_at,
                }
            )
            for row in rows
        )

    async def _send(self, payload: bytes) -> UUID:
        response = await self._http.post("/ingest/prices", content=payload)
        parsed = parse_public_id(response.raise_for_status().json()["batchId"])
        if parsed is None or not isinstance(parsed[1], UUID):
            raise AssertionError(f"The door gave an id that is none: {response.text}")
        return parsed[1]

    async def _wait_for(self, batch_id: UUID, rows: int) -> None:
        async with asyncio.timeout(LONGEST_BATCH_SECONDS):
            while True:
                batch = await self._connection.fetchrow(_LOOK, batch_id)
                if batch is not None and batch["status"] != "received":
                    break
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        if batch["accepted_count"] != rows:
            raise AssertionError(f"Of {rows} rows {batch['accepted_count']} were taken in: {dict(batch)}")


async def _store_bare(connection: "Connection[Any]", rows: Sequence[Row], *, first_arrival: int) -> float:
    """The seconds to copy the rows into a staging table and insert what is new; the rows are written out before."""
    content = "".join(_line(row, first_arrival + number) for number, row in enumerate(rows)).encode()
    began = time.perf_counter()
    async with connection.transaction():
        await connection.copy_to_table("staged_bench_points", columns=POINT_COLUMNS, source=_in_one_piece(content))
        await connection.execute(_STORE_BARE)
    return time.perf_counter() - began


def _line(row: Row, arrival: int) -> str:
    key = md5(f"{row.price}|{row.quantity}".encode(), usedforsecurity=False).hexdigest()
    return f"{row.series}\t{row.observed_at}\t{key}\t{row.price}\t{row.quantity}\t{arrival}\n"


async def _in_one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _require_same_rows(connection: "Connection[Any]", source: str) -> None:
    counts = await connection.fetchrow(_COUNTS, source)
    if counts is None or counts["trove"] != counts["bare"]:
        raise AssertionError(f"The peers did not store the same number of rows: {counts}")


def _months_of(first: datetime, count: int) -> list[tuple[datetime, datetime]]:
    """The beginning and end of so many months from this one on."""
    begins = [first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)]
    for _ in range(count):
        begins.append((begins[-1] + timedelta(days=31)).replace(day=1))
    return list(pairwise(begins))


def _bare_partitions() -> Iterator[str]:
    first = utc_now() - timedelta(days=DAYS_BACK)
    for begin, end in _months_of(first, MONTHS_OF_PARTITIONS):
        yield (
            f"CREATE TABLE bench.points_{begin:%Y%m} PARTITION OF bench.points "
            f"FOR VALUES FROM ('{begin.isoformat()}') TO ('{end.isoformat()}')"
        )


_LOOK = "SELECT status, accepted_count, rejected_count, last_error FROM ingestion.ingest_batches WHERE id = $1"
_COUNTS = """
    SELECT
        (
            SELECT count(*)
            FROM prices.price_points AS point
            JOIN prices.price_series AS series ON series.id = point.series_id
            JOIN prices.sources AS source ON source.id = series.source_id
            WHERE source.code = $1
        ) AS trove,
        (SELECT count(*) FROM bench.points) AS bare
"""
# The same columns, checks, key and partitions as the table that Trove stores the points in.
_MAKE_BARE_TABLES = ";\n".join(
    chain(
        (
            "DROP SCHEMA IF EXISTS bench CASCADE",
            "CREATE SCHEMA bench",
            "CREATE TABLE bench.points (LIKE prices.price_points INCLUDING ALL) PARTITION BY RANGE (observed_at)",
            "CREATE TEMPORARY TABLE IF NOT EXISTS staged_bench_points (LIKE prices.price_points) ON COMMIT DELETE ROWS",
        ),
        _bare_partitions(),
    )
)
_STORE_BARE = """
    INSERT INTO bench.points (series_id, observed_at, key, price, quantity, arrival)
    SELECT series_id, observed_at, key, price, quantity, arrival FROM staged_bench_points
    ON CONFLICT DO NOTHING
"""
