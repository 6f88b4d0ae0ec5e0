"""Processes accepted batches."""

import asyncio
from uuid import UUID

import structlog
from asyncpg.exceptions import InterfaceError

from app.core.database import Database, is_database_away
from app.core.telemetry import INGEST_BATCHES_WAITING, INGEST_LAG_SECONDS, INGEST_ROWS
from app.ingestion.commands import record_failure
from app.ingestion.errors import BatchNotProcessed
from app.ingestion.models import BatchStatus
from app.ingestion.queries import waiting_batches
from app.prices.commands.process import ProcessedBatch, process_next_batch
from app.prices.errors import SeriesGone
from workers.runner import Runner

logger = structlog.get_logger(__name__)

# SQLSTATE classes that blame the circumstances and not the batch, beside those of an absent database: the server
# rolled back for the good of others (a deadlock), or its system failed. A reference that leads nowhere (23503) is of a
# variant that was merged into another in that moment.
_CIRCUMSTANCES = ("40", "58", "23503")


class BatchRunner(Runner):
    """Processes all waiting batches."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def work(self, stopping: asyncio.Event) -> None:
        """Process what waits now."""
        await process_waiting_batches(self._database, stopping=stopping)
        await measure_waiting(self._database)


async def process_waiting_batches(database: Database, *, stopping: asyncio.Event | None = None) -> int:
    """Process batches, each in a transaction of its own, until none waits; gives how many were done.

    A batch that fails is passed over until the next call. Raises what the database driver raises when it is away.
    """
    # One at a time: overtaking an earlier batch would turn its points into late ones, which cost more.
    failed: set[UUID] = set()
    done = 0
    while stopping is None or not stopping.is_set():
        try:
            async with database.transaction() as transaction:
                processed = await process_next_batch(transaction, excluding=failed)
        except BatchNotProcessed as error:
            failed.add(error.batch_id)
            await _note_failure(database, error)
            continue
        if processed is None:
            break
        _count(processed)
        done += 1
    return done


async def _note_failure(database: Database, error: BatchNotProcessed) -> None:
    cause = error.__cause__
    reason = f"{type(cause).__name__}: {cause}"
    if _is_of_circumstances(cause):
        logger.warning("batch_postponed", batch=str(error.batch_id), reason=reason)
        return
    async with database.transaction() as transaction:
        status = await record_failure(transaction, error.batch_id, reason=reason)
    log = logger.error if status is BatchStatus.FAILED else logger.warning
    log("batch_not_processed", batch=str(error.batch_id), status=status.value, reason=reason)


def _is_of_circumstances(cause: BaseException | None) -> bool:
    """Whether the same batch may well succeed later, so that the attempt does not count."""
    if is_database_away(cause) or isinstance(cause, OSError | SeriesGone):
        return True
    state = getattr(getattr(cause, "orig", cause), "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_CIRCUMSTANCES)
    # The driver says so when COPY finds the connection closed.
    return isinstance(cause, InterfaceError) and not isinstance(cause, ValueError)


def _count(processed: ProcessedBatch) -> None:
    counts = processed.counts
    INGEST_ROWS.labels("accepted").inc(counts.accepted)
    INGEST_ROWS.labels("duplicate").inc(counts.duplicate)
    INGEST_ROWS.labels("rejected").inc(counts.rejected)
    logger.info(
        "batch_processed",
        batch=str(processed.id),
        kind=processed.kind.value,
        accepted=counts.accepted,
        duplicate=counts.duplicate,
        rejected=counts.rejected,
    )


async def measure_waiting(database: Database) -> None:
    """Bring the gauges of waiting batches up to date."""
    snapshot = database.snapshot()
    try:
        waiting = await snapshot.read(waiting_batches)
    finally:
        await snapshot.close()
    INGEST_BATCHES_WAITING.set(waiting.count)
    INGEST_LAG_SECONDS.set(waiting.oldest_age_seconds)
