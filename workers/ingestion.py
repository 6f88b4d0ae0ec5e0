"""Processes accepted batches."""

import asyncio
from uuid import UUID

import structlog

from app.core.database import Database
from app.core.secrets import Secrets
from app.core.telemetry import INGEST_BATCHES_WAITING, INGEST_LAG_SECONDS, INGEST_ROWS
from app.ingestion.models import BatchStatus
from app.ingestion.processing import BatchHandlers, FailedBatch, ProcessedBatch, try_next_batch
from app.ingestion.queries import waiting_batches
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from app.notifications.commands.tracker_alerts import tell_of_trackers
from app.trackers.commands.location_batches import location_batches
from workers.runner import Runner

logger = structlog.get_logger(__name__)


class BatchRunner(Runner):
    """Processes all waiting batches."""

    def __init__(self, database: Database, secrets: Secrets) -> None:
        super().__init__()
        self._database = database
        self._handlers: BatchHandlers = {**WATCHED_PRICE_BATCHES, **location_batches(secrets, tell_of_trackers)}

    async def work(self, stopping: asyncio.Event) -> None:
        """Process what waits now."""
        await process_waiting_batches(self._database, self._handlers, stopping=stopping)
        await measure_waiting(self._database)


async def process_waiting_batches(
    database: Database, handlers: BatchHandlers, *, stopping: asyncio.Event | None = None
) -> int:
    """Process batches of these kinds, each in a transaction of its own, until none waits; gives how many were done.

    A batch that fails is passed over until the next call. Raises what the database driver raises when it is away.
    """
    # One at a time: overtaking an earlier batch would turn its points into late ones, which cost more.
    failed: set[UUID] = set()
    done = 0
    while stopping is None or not stopping.is_set():
        tried = await try_next_batch(database, handlers, excluding=failed)
        if tried is None:
            break
        if isinstance(tried, FailedBatch):
            failed.add(tried.id)
            _tell(tried)
        else:
            _count(tried)
            done += 1
    return done


def _tell(failed: FailedBatch) -> None:
    if failed.status is None:
        logger.warning("batch_postponed", batch=str(failed.id), reason=failed.reason)
        return
    log = logger.error if failed.status is BatchStatus.FAILED else logger.warning
    log("batch_not_processed", batch=str(failed.id), status=failed.status.value, reason=failed.reason)


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
