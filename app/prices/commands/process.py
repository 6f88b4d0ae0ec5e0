"""Processes waiting batches, each in the transaction that claims it: it is done as a whole, or waits as before."""

import gc
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from asyncpg.exceptions import InterfaceError

from app.core.database import Database, Transaction, is_database_away
from app.ingestion.commands import (
    BatchCounts,
    ClaimedBatch,
    claim_batch,
    claim_next_batch,
    finish_batch,
    record_failure,
)
from app.ingestion.errors import BatchNotProcessed
from app.ingestion.models import BatchKind, BatchStatus
from app.prices.commands.ingest_candles import ingest_candles
from app.prices.commands.ingest_points import ingest_points
from app.prices.commands.ingested import IngestedRows
from app.prices.commands.series_state import record_changes
from app.prices.errors import SeriesGone

_INGEST: Mapping[BatchKind, Callable[[Transaction, ClaimedBatch], Awaitable[IngestedRows]]] = {
    BatchKind.PRICE_POINTS: ingest_points,
    BatchKind.CANDLES: ingest_candles,
}


# SQLSTATE classes that blame the circumstances and not the batch, beside those of an absent database: the server
# rolled back for the good of others (a deadlock), or its system failed. A reference that leads nowhere (23503) is of a
# variant that was merged into another in that moment.
_CIRCUMSTANCES = ("40", "58", "23503")


@dataclass(frozen=True, slots=True)
class ProcessedBatch:
    """A batch that is done, and what became of its rows."""

    id: UUID
    kind: BatchKind
    counts: BatchCounts


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A batch whose processing was rolled back, why, and its status by now; None where the attempt does not count."""

    error: BatchNotProcessed
    reason: str
    status: BatchStatus | None

    @property
    def id(self) -> UUID:
        """The batch that failed."""
        return self.error.batch_id


async def try_next_batch(
    database: Database, *, excluding: Collection[UUID] = ()
) -> ProcessedBatch | FailedBatch | None:
    """Process the waiting batch that was accepted first and that nobody holds, in a transaction of its own.

    None when there is none. A failure is counted, unless the circumstances are to blame; whoever calls passes over the
    batch for a while, by `excluding` it. Raises what the database driver raises when it is away.
    """
    try:
        async with database.transaction() as transaction:
            return await process_next_batch(transaction, excluding=excluding)
    except BatchNotProcessed as error:
        failure = error
    cause = failure.__cause__
    reason = f"{type(cause).__name__}: {cause}"
    if _is_of_circumstances(cause):
        return FailedBatch(failure, reason, status=None)
    async with database.transaction() as transaction:
        return FailedBatch(failure, reason, await record_failure(transaction, failure.batch_id, reason=reason))


async def process_next_batch(transaction: Transaction, *, excluding: Collection[UUID] = ()) -> ProcessedBatch | None:
    """Process the waiting batch that was accepted first and that nobody holds; None when there is none.

    One batch a transaction, and nothing after it: others queue for the lock that it ends with. Raises
    `BatchNotProcessed`, whatever went wrong: roll back; `try_next_batch` does, and counts the failure.
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


def _is_of_circumstances(cause: BaseException | None) -> bool:
    """Whether the same batch may well succeed later, so that the attempt does not count."""
    if is_database_away(cause) or isinstance(cause, OSError | SeriesGone):
        return True
    state = getattr(getattr(cause, "orig", cause), "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_CIRCUMSTANCES)
    # The driver says so when COPY finds the connection closed.
    return isinstance(cause, InterfaceError) and not isinstance(cause, ValueError)
