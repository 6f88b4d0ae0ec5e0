"""Deliver rows by the durable path: each batch is accepted and committed, then processed."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select

from app.core.database import Database, is_database_away
from app.core.errors import ServiceUnavailable
from app.ingestion.commands import KINDS_IN_ORDER, MAXIMUM_ATTEMPTS, AcceptedBatch, accept_batch
from app.ingestion.file_rows import RejectedRow, RowBatch
from app.ingestion.models import BatchKind, BatchStatus, IngestReject
from app.ingestion.processing import BatchHandlers, FailedBatch, try_next_batch
from app.ingestion.queries import BatchRow, batches_by_id

REJECTS_TOLD = 10
SECONDS_BETWEEN_LOOKS = 0.05
# Between tries of what failed, in which the circumstances may become better.
SECONDS_BETWEEN_TRIES = 1.0


@dataclass(slots=True)
class Delivery:
    """What became of the delivered rows. `rejected` holds the first rejects of each batch; `repeated` counts rows
    of batches that were delivered before, which are duplicates too."""

    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected_count: int = 0
    repeated: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)

    def __add__(self, other: "Delivery") -> "Delivery":
        return Delivery(
            rows=self.rows + other.rows,
            accepted=self.accepted + other.accepted,
            duplicates=self.duplicates + other.duplicates,
            rejected_count=self.rejected_count + other.rejected_count,
            repeated=self.repeated + other.repeated,
            rejected=(self.rejected + other.rejected)[:REJECTS_TOLD],
        )


async def deliver(
    database: Database,
    handlers: BatchHandlers,
    *,
    kind: BatchKind,
    batches: Iterable[RowBatch],
    on_progress: Callable[[int], None] = lambda rows: None,
) -> Delivery:
    """Deliver batches one after the other; `on_progress` is told how many rows each had.

    A batch is known by its content, so delivering it again changes nothing. Only where rows of it were rejected it is
    processed anew: what they lacked, an item perhaps, may be there now. Raises ServiceUnavailable where a batch was
    given up, and BatchNotProcessed where the circumstances stay in its way; it waits for a worker then.
    """
    delivery = Delivery()
    processing = _Processing(database, handlers)
    for batch in batches:
        accepted = await _accept(database, kind, batch, idempotency_key=f"file:{sha256(batch.payload).hexdigest()}")
        outcome = await processing.of(accepted.id)
        is_repeat = accepted.is_repeat
        if is_repeat and outcome.rejected_count:
            accepted = await _accept(database, kind, batch, idempotency_key=None)
            outcome = await processing.of(accepted.id)
            is_repeat = False
        _count(delivery, outcome, is_repeat=is_repeat)
        if outcome.rejected_count:
            delivery.rejected += await _rejects(database, outcome.id, batch.numbers)
        on_progress(len(batch.numbers))
    return delivery


async def process_batches(database: Database, handlers: BatchHandlers, batch_ids: Iterable[UUID]) -> Delivery:
    """Process what waits until these batches, which are accepted already, are done; what became of their rows.

    The rejects are told by their numbers in their batches. Raises as `deliver` does.
    """
    delivery = Delivery()
    processing = _Processing(database, handlers)
    for batch_id in batch_ids:
        outcome = await processing.of(batch_id)
        _count(delivery, outcome, is_repeat=False)
        if outcome.rejected_count:
            delivery.rejected += await _rejects(database, batch_id, range(1, outcome.row_count + 1))
    return delivery


async def _accept(
    database: Database, kind: BatchKind, batch: RowBatch, *, idempotency_key: str | None
) -> AcceptedBatch:
    async with database.transaction() as transaction:
        return await accept_batch(transaction, kind=kind, payload=batch.payload, idempotency_key=idempotency_key)


class _Processing:
    """Processes what waits, in its order, until a certain batch is done, by us or by a worker.

    What failed is passed over. It is tried again, after a pause, only where the certain batch waits for it: others' are
    not given up because somebody imports a file.
    """

    def __init__(self, database: Database, handlers: BatchHandlers) -> None:
        self._database = database
        self._handlers = handlers
        self._failed: dict[UUID, FailedBatch] = {}

    async def of(self, batch_id: UUID) -> BatchRow:
        """What became of a batch."""
        postponed = 0
        while (batch := await _read(self._database, batch_id)).status == BatchStatus.RECEIVED:
            tried = await try_next_batch(self._database, self._handlers, excluding=self._failed)
            if isinstance(tried, FailedBatch):
                if is_database_away(tried.error.__cause__):
                    raise tried.error
                self._failed[tried.id] = tried
            elif tried is None and (in_its_way := self._in_the_way_of(batch)):
                if any(failed.status is None for failed in in_its_way):
                    postponed += 1
                if postponed == MAXIMUM_ATTEMPTS:
                    raise in_its_way[-1].error
                for failed in in_its_way:
                    del self._failed[failed.id]
                await asyncio.sleep(SECONDS_BETWEEN_TRIES)
            elif tried is None:
                # A worker holds it, or one that goes before it.
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        if batch.status == BatchStatus.FAILED:
            raise ServiceUnavailable(
                "A batch of the file could not be processed and was given up; importing the file again tries it again."
            )
        return batch

    def _in_the_way_of(self, batch: BatchRow) -> list[FailedBatch]:
        """What failed and must be tried again, or the batch waits for ever."""
        if batch.id in self._failed:
            return [self._failed[batch.id]]
        return list(self._failed.values()) if batch.kind in KINDS_IN_ORDER else []


async def _read(database: Database, batch_id: UUID) -> BatchRow:
    async with database.transaction() as transaction:
        return (await batches_by_id(transaction.connection, [batch_id]))[batch_id]


def _count(delivery: Delivery, outcome: BatchRow, *, is_repeat: bool) -> None:
    delivery.rows += outcome.row_count
    if is_repeat:
        delivery.repeated += outcome.row_count
        delivery.duplicates += outcome.row_count
        return
    delivery.accepted += outcome.accepted_count or 0
    delivery.duplicates += outcome.duplicate_count or 0
    delivery.rejected_count += outcome.rejected_count or 0


async def _rejects(database: Database, batch_id: UUID, numbers: Sequence[int]) -> list[RejectedRow]:
    async with database.transaction() as transaction:
        rejects = await transaction.connection.execute(
            select(IngestReject.row_number, IngestReject.reason)
            .where(IngestReject.batch_id == batch_id)
            .order_by(IngestReject.row_number)
            .limit(REJECTS_TOLD)
        )
    return [RejectedRow(numbers[reject.row_number - 1], reject.reason) for reject in rejects]
