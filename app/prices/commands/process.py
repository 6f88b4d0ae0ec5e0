"""Processes waiting batches, each in the transaction that claims it: it is done as a whole, or waits as before."""

import gc
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from app.core.database import Transaction
from app.ingestion.commands import BatchCounts, ClaimedBatch, claim_batch, claim_next_batch, finish_batch
from app.ingestion.errors import BatchNotProcessed
from app.ingestion.models import BatchKind
from app.prices.commands.ingest_candles import ingest_candles
from app.prices.commands.ingest_points import ingest_points
from app.prices.commands.ingested import IngestedRows
from app.prices.commands.series_state import record_changes

_INGEST: Mapping[BatchKind, Callable[[Transaction, ClaimedBatch], Awaitable[IngestedRows]]] = {
    BatchKind.PRICE_POINTS: ingest_points,
    BatchKind.CANDLES: ingest_candles,
}


@dataclass(frozen=True, slots=True)
class ProcessedBatch:
    """A batch that is done, and what became of its rows."""

    id: UUID
    kind: BatchKind
    counts: BatchCounts


async def process_next_batch(transaction: Transaction, *, excluding: Collection[UUID] = ()) -> ProcessedBatch | None:
    """Process the waiting batch that was accepted first and that nobody holds; None when there is none.

    One batch a transaction, and nothing after it: others queue for the lock that it ends with. Raises
    `BatchNotProcessed`, whatever went wrong: roll back, and tell `record_failure` in a transaction of its own.
    """
    batch = await claim_next_batch(transaction, excluding=excluding)
    return None if batch is None else await _process(transaction, batch)


async def process_batch(transaction: Transaction, batch_id: UUID) -> ProcessedBatch | None:
    """Process one batch, as `process_next_batch` does; None when another worker has done it already."""
    batch = await claim_batch(transaction, batch_id)
    return None if batch is None else await _process(transaction, batch)


async def _process(transaction: Transaction, batch: ClaimedBatch) -> ProcessedBatch:
    collecting = gc.isenabled()
    # A batch makes some hundred thousand objects and not one cycle: looking for cycles takes a fifth of its time.
    gc.disable()
    try:
        rows = await _INGEST[batch.kind](transaction, batch)
        counts = await finish_batch(
            transaction, batch, accepted=rows.accepted, duplicate=rows.duplicate, rejects=rows.rejects
        )
        await record_changes(transaction, rows.latest)
    except Exception as error:
        raise BatchNotProcessed(batch.id) from error
    finally:
        if collecting:
            gc.enable()
    return ProcessedBatch(batch.id, batch.kind, counts)
