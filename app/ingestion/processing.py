"""Processes waiting batches, each in the transaction that claims it: it is done as a whole, or waits as before."""

import gc
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg.exceptions import InterfaceError

from app.core.database import Database, Transaction, is_database_away
from app.ingestion.commands import (
    BatchCounts,
    ClaimedBatch,
    RejectedRow,
    claim_batch,
    claim_next_batch,
    finish_batch,
    record_failure,
)
from app.ingestion.errors import BatchNotProcessed, BatchPostponed
from app.ingestion.models import BatchKind, BatchStatus


@dataclass(frozen=True, slots=True)
class IngestedRows:
    """How many rows of a batch were new and how many stored already, and those refused.

    `last_step` shows what is new to those who follow it. It is the last before the commit: others queue for its lock.
    """

    accepted: int
    duplicate: int
    rejects: Sequence[RejectedRow]
    last_step: Callable[[Transaction], Awaitable[None]]


# What each kind of batch is taken in by; a room offers those of its own kinds.
BatchHandlers = Mapping[BatchKind, Callable[[Transaction, ClaimedBatch], Awaitable[IngestedRows]]]

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
    database: Database, handlers: BatchHandlers, *, excluding: Collection[UUID] = ()
) -> ProcessedBatch | FailedBatch | None:
    """Process the waiting batch of these kinds that was accepted first and that nobody holds, in its own transaction.

    None when there is none. A failure is counted, unless the circumstances are to blame; whoever calls passes over the
    batch for a while, by `excluding` it. Raises what the database driver raises when it is away.
    """
    try:
        async with database.transaction() as transaction:
            return await process_next_batch(transaction, handlers, excluding=excluding)
    except BatchNotProcessed as error:
        failure = error
    cause = failure.__cause__
    reason = f"{type(cause).__name__}: {cause}"
    if _is_of_circumstances(cause):
        return FailedBatch(failure, reason, status=None)
    async with database.transaction() as transaction:
        return FailedBatch(failure, reason, await record_failure(transaction, failure.batch_id, reason=reason))


async def process_next_batch(
    transaction: Transaction, handlers: BatchHandlers, *, excluding: Collection[UUID] = ()
) -> ProcessedBatch | None:
    """Process the waiting batch of these kinds that was accepted first and that nobody holds; None without one.

    One batch a transaction, and nothing after it: others queue for the lock that it ends with. Raises
    `BatchNotProcessed`, whatever went wrong: roll back; `try_next_batch` does, and counts the failure.
    """
    batch = await claim_next_batch(transaction, kinds=handlers, excluding=excluding)
    return None if batch is None else await _process(transaction, handlers, batch)


async def process_batch(transaction: Transaction, handlers: BatchHandlers, batch_id: UUID) -> ProcessedBatch | None:
    """Process one batch, as `process_next_batch` does; None when another worker has done it already."""
    batch = await claim_batch(transaction, batch_id)
    return None if batch is None else await _process(transaction, handlers, batch)


async def _process(transaction: Transaction, handlers: BatchHandlers, batch: ClaimedBatch) -> ProcessedBatch:
    collecting = gc.isenabled()
    # A batch makes some hundred thousand objects and not one cycle: looking for cycles takes a fifth of its time.
    gc.disable()
    try:
        rows = await handlers[batch.kind](transaction, batch)
        counts = await finish_batch(
            transaction, batch, accepted=rows.accepted, duplicate=rows.duplicate, rejects=rows.rejects
        )
        await rows.last_step(transaction)
    except Exception as error:
        raise BatchNotProcessed(batch.id) from error
    finally:
        if collecting:
            gc.enable()
    return ProcessedBatch(batch.id, batch.kind, counts)


def _is_of_circumstances(cause: BaseException | None) -> bool:
    """Whether the same batch may well succeed later, so that the attempt does not count."""
    if is_database_away(cause) or isinstance(cause, OSError | BatchPostponed):
        return True
    state = getattr(getattr(cause, "orig", cause), "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_CIRCUMSTANCES)
    # The driver says so when COPY finds the connection closed.
    return isinstance(cause, InterfaceError) and not isinstance(cause, ValueError)
