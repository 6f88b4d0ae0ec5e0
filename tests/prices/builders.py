"""Prices for tests, brought in by the durable path that everything takes."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import orjson
from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database
from app.ingestion.commands import AcceptedBatch, accept_batch
from app.ingestion.models import BatchKind
from app.ingestion.processing import process_batch
from app.prices.commands.price_batches import price_batches
from tests.catalogue.builders import coin, saved

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
Line = Mapping[str, object]


def point(
    item: str,
    price: str,
    *,
    at: datetime | None = None,
    source: str = "test-market",
    kind: str = "market",
    currency: str = "USD",
    **more: object,
) -> Line:
    """A row of a batch of points; without a time it is a minute old."""
    observed_at = at or utc_now() - timedelta(minutes=1)
    return {
        "item": item,
        "source": source,
        "kind": kind,
        "currency": currency,
        "price": price,
        "observedAt": observed_at.isoformat(),
        **more,
    }


def candle(
    item: str,
    start: datetime,
    resolution: timedelta,
    open_high_low_close: str,
    *,
    volume: str | None = None,
    **more: object,
) -> Line:
    """A row of a batch of provided candles; the four prices are separated by spaces."""
    opened, high, low, closed = open_high_low_close.split()
    return {
        "item": item,
        "source": "test-exchange",
        "kind": "market",
        "currency": "USD",
        "resolution": int(resolution.total_seconds()),
        "bucket": start.isoformat(),
        "open": opened,
        "high": high,
        "low": low,
        "close": closed,
        "volume": volume,
        **more,
    }


async def accepted(
    database: Database, lines: Iterable[Line], kind: BatchKind = BatchKind.PRICE_POINTS, key: str | None = None
) -> AcceptedBatch:
    """A batch that is stored and waits."""
    async with database.transaction() as transaction:
        return await accept_batch(
            transaction, kind=kind, payload=b"\n".join(orjson.dumps(line) for line in lines), idempotency_key=key
        )


async def ingested(database: Database, *lines: Line, kind: BatchKind = BatchKind.PRICE_POINTS) -> AcceptedBatch:
    """A batch that is stored and processed."""
    batch = await accepted(database, lines, kind)
    async with database.transaction() as transaction:
        await process_batch(transaction, price_batches(), batch.id)
    return batch


async def change_only(database: Database) -> None:
    """Make an item `aurum`, and the source `test-market` one that stores only moves."""
    await saved(database, coin("aurum"))
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
        await transaction.connection.execute(
            text("INSERT INTO prices.sources (code, name, is_change_only) VALUES ('test-market', 'Test market', true)")
        )
