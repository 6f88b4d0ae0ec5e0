"""Measures what rules over prices cost: a batch against many of them, in alternation with one that nobody watches."""

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from asyncpg.connection import Connection
from rich.console import Console

from app.core.clock import utc_now
from app.core.database import Database
from app.core.settings import Settings
from app.core.worker_database import worker_database
from app.ingestion.commands import accept_batch
from app.ingestion.models import BatchKind
from app.ingestion.processing import BatchHandlers, process_batch
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from app.prices.commands.price_batches import price_batches
from tests.bench.data import Databases, item_slug
from tests.bench.ingestion import Shape

RULES, QUICK_RULES = 100_000, 10_000
ROUNDS, QUICK_ROUNDS = 9, 2
MANY_SERIES = Shape("watched series", series=1_000, points_per_series=50, seconds_apart=72)
QUICK_SERIES = Shape("watched series", series=1_000, points_per_series=5, seconds_apart=720)


@dataclass(frozen=True, slots=True)
class AlertFigures:
    """Medians of batches: seconds, and of those of the processor, watched by all rules and by nobody; their ratios.

    Alerts are those of all watched batches.
    """

    rules: int
    rows: int
    rounds: int
    watched_seconds: float
    unwatched_seconds: float
    ratio: float
    watched_cpu_seconds: float
    unwatched_cpu_seconds: float
    cpu_ratio: float
    alerts: int


async def measure_alerts(
    databases: Databases, redis_url: str, *, rules: int, shape: Shape, rounds: int, console: Console
) -> AlertFigures:
    """Take the same batches in twice, as prices of two sources, of which rules watch one."""
    connection = await asyncpg.connect(databases.plain_url, server_settings={"jit": "off", "timezone": "UTC"})
    settings = Settings(DATABASE_URL=databases.trove_url, REDIS_URL=redis_url)
    try:
        async with worker_database(settings, application_name="trove-bench") as database:
            run = _Run(database, connection, shape)
            warm_up = next(run.batches)
            for source in ("bench-watched", "bench-unwatched"):
                await run.take_in(warm_up, source, price_batches())
            await connection.execute(_MAKE_RULES, rules, shape.series)
            await connection.execute("VACUUM ANALYZE alerts.rules")
            console.print(f"Prices against {rules:,} rules: {shape.meaning}")
            watched, unwatched = [], []
            for batch in (next(run.batches) for _ in range(rounds)):
                watched.append(await run.take_in(batch, "bench-watched", WATCHED_PRICE_BATCHES))
                unwatched.append(await run.take_in(batch, "bench-unwatched", price_batches()))
                console.print(
                    f"  {watched[-1].seconds:.2f} s watched, {unwatched[-1].seconds:.2f} s not", highlight=False
                )
            alerts = await connection.fetchval("SELECT count(*) FROM alerts.alerts")
    finally:
        await connection.close()
    seconds, bare = median(one.seconds for one in watched), median(one.seconds for one in unwatched)
    cpu, bare_cpu = median(one.cpu_seconds for one in watched), median(one.cpu_seconds for one in unwatched)
    return AlertFigures(
        rules=rules,
        rows=shape.rows,
        rounds=rounds,
        watched_seconds=round(seconds, 3),
        unwatched_seconds=round(bare, 3),
        ratio=round(seconds / bare, 3),
        watched_cpu_seconds=round(cpu, 3),
        unwatched_cpu_seconds=round(bare_cpu, 3),
        cpu_ratio=round(cpu / bare_cpu, 3),
        alerts=alerts,
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    """What it took to take a batch in; the processor's seconds are those of this process."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows without their source, and when they are accepted: as the last of them is observed."""

    rows: list[dict[str, str]]
    accepted_at: datetime


class _Run:
    """Batches of one shape, each continuing where the one before it ended."""

    def __init__(self, database: Database, connection: "Connection[Any]", shape: Shape) -> None:
        self.batches = _batches(shape)
        self._database = database
        self._connection = connection

    async def take_in(self, batch: _Batch, source: str, handlers: BatchHandlers) -> _Taken:
        """Accept a batch as prices of a source, and measure how it is taken in."""
        payload = b"\n".join(orjson.dumps({**row, "source": source}) for row in batch.rows)
        batch_id = await self._accept(payload, batch.accepted_at)
        await asyncio.sleep(0)
        began, cpu_began = time.perf_counter(), time.process_time()
        async with self._database.transaction() as transaction:
            done = await process_batch(transaction, handlers, batch_id)
        taken = _Taken(time.perf_counter() - began, time.process_time() - cpu_began)
        if done is None or done.counts.accepted != len(batch.rows):
            raise AssertionError(f"Of {len(batch.rows)} rows this was taken in: {done}")
        return taken

    async def _accept(self, payload: bytes, accepted_at: datetime) -> UUID:
        async with self._database.transaction() as transaction:
            accepted = await accept_batch(
                transaction, kind=BatchKind.PRICE_POINTS, payload=payload, idempotency_key=None
            )
        await self._connection.execute(
            "UPDATE ingestion.ingest_batches SET received_at = $2 WHERE id = $1", accepted.id, accepted_at
        )
        return accepted.id


def _batches(shape: Shape) -> Iterator[_Batch]:
    """Prices that go up and down by half a percent around those of the rules."""
    observed_at = utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
    step = 0
    while True:
        rows: list[dict[str, str]] = []
        for _ in range(shape.points_per_series):
            shown = observed_at.isoformat()
            for series in range(1, shape.series + 1):
                swing = 0.005 * math.sin(step / 30 + series) + 0.0004 * (step % 2)
                rows.append(
                    {
                        "item": item_slug(series),
                        "currency": "USD",
                        "price": f"{(10 + series) * (1.004 + swing):.4f}",
                        "observedAt": shown,
                    }
                )
            step += 1
            observed_at += timedelta(seconds=shape.seconds_apart)
        yield _Batch(rows, datetime.fromisoformat(rows[-1]["observedAt"]))


# For each series thresholds from half its price to one and a half of it. One in a hundred is over changes; a third has
# hysteresis, and a third a cooldown.
_MAKE_RULES = """
    INSERT INTO alerts.rules (
        id, owner_id, target, variant_id, item_id, condition, threshold, currency, hysteresis, cooldown_minutes,
        window_minutes, reach_low, reach_high, next_look_at, source_id, watches_from
    )
    SELECT gen_random_uuid(), owners.id,
        CASE WHEN given.number % 3 = 0 THEN 'item' ELSE 'variant' END,
        CASE WHEN given.number % 3 = 0 THEN NULL ELSE variant.id END,
        CASE WHEN given.number % 3 = 0 THEN item.id END,
        given.condition, given.threshold, 'USD', given.hysteresis, CASE given.place % 3 WHEN 1 THEN 60 ELSE 0 END,
        CASE WHEN given.is_change THEN 60 END,
        CASE WHEN NOT given.is_change THEN given.threshold - given.hysteresis END,
        CASE WHEN NOT given.is_change THEN given.threshold + given.hysteresis END,
        CASE WHEN given.is_change THEN now() END,
        source.id, now() - interval '1 year'
    FROM (
        SELECT number, place, series, is_change,
            CASE WHEN is_change THEN 'rises_by'
                ELSE (ARRAY['crosses_above', 'crosses_below', 'crosses_level', 'at_or_below'])[1 + place % 4]
            END AS condition,
            CASE WHEN is_change THEN 5 ELSE round((10 + series) * (0.5 + place * 1.0 / places), 6) END AS threshold,
            CASE place % 3 WHEN 0 THEN (10 + series) * 0.002 ELSE 0 END AS hysteresis
        FROM (
            SELECT number, number / $2 AS place, 1 + number % $2 AS series, $1 / $2 AS places,
                number / $2 = 0 AS is_change
            FROM generate_series(0, $1 - 1) AS number
        ) AS numbered
    ) AS given
    JOIN catalogue.items AS item ON item.slug = 'bench-item-' || lpad(CAST(given.series AS text), 5, '0')
    JOIN catalogue.item_variants AS variant ON variant.item_id = item.id AND variant.is_default
    JOIN prices.sources AS source ON source.code = 'bench-watched'
    JOIN LATERAL (
        SELECT id FROM identity.users WHERE username = 'collector-' || (1 + given.number % 200)
    ) AS owners ON true
"""
