"""Accept, claim, finish and give up batches; what their rows mean is for the room that a batch is for."""

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Select, Text, case, exists, func, literal, not_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.core.clock import utc_now
from app.core.database import Transaction, among
from app.core.errors import BadUserInput
from app.core.ids import new_id
from app.core.jobs import Job
from app.ingestion.errors import BatchIsEmpty, BatchIsNotText, BatchTooLarge, IdempotencyKeyTaken
from app.ingestion.models import BatchKind, BatchStatus, IngestBatch, IngestReject

MAXIMUM_ROWS = 50_000
MAXIMUM_BYTES = 16 * 1024 * 1024
MAXIMUM_IDEMPOTENCY_KEY_LENGTH = 200
MAXIMUM_ATTEMPTS = 5
REJECT_CONTENT_LENGTH = 500
PROCESS_BATCHES = Job("process_ingest_batches")
# A provided candle overwrites the one before it, so the order of acceptance must be the order of processing.
KINDS_IN_ORDER = (BatchKind.CANDLES,)

_CLAIMABLE = select(
    IngestBatch.id,
    IngestBatch.sequence,
    IngestBatch.kind,
    IngestBatch.sender_id,
    IngestBatch.payload,
    IngestBatch.received_at,
    IngestBatch.row_count,
)


@dataclass(frozen=True, slots=True)
class AcceptedBatch:
    """A stored batch; `is_repeat` when it was stored before under the same idempotency key."""

    id: UUID
    row_count: int
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """A batch that this transaction holds; no other one processes it meanwhile. `sender_id` is None of the operator."""

    id: UUID
    sequence: int
    kind: BatchKind
    sender_id: UUID | None
    payload: bytes
    received_at: datetime
    row_count: int


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was not taken in: its line's number in the batch (from 1), why, and the line's beginning."""

    row_number: int
    reason: str
    content: str


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """What became of a batch's rows."""

    accepted: int
    duplicate: int
    rejected: int


@dataclass(frozen=True, slots=True)
class _Contents:
    row_count: int
    content_hash: bytes


async def accept_batch(
    transaction: Transaction,
    *,
    kind: BatchKind,
    payload: bytes,
    idempotency_key: str | None,
    sender_id: UUID | None = None,
) -> AcceptedBatch:
    """Store a batch of NDJSON and ask for its processing; once this commits, nothing of it can get lost.

    Without `sender_id` it is the operator's own. The same key of the same sender with the same content gives the batch
    that was stored first. Raises `BatchTooLarge` (more than 50,000
    rows or 16 MiB), `BatchIsNotText`, `BatchIsEmpty`, `IdempotencyKeyTaken` (same key, other content), and
    `BadUserInput` for a key that is empty or longer than 200 characters.
    """
    _check_key(idempotency_key)
    contents = await asyncio.to_thread(_inspect, payload)
    statement = (
        insert(IngestBatch)
        .values(
            id=new_id(),
            sender_id=sender_id,
            kind=kind.value,
            idempotency_key=idempotency_key,
            content_hash=contents.content_hash,
            payload=payload,
            row_count=contents.row_count,
        )
        .on_conflict_do_nothing()
        .returning(IngestBatch.id)
    )
    batch_id = (await transaction.connection.execute(statement)).scalar_one_or_none()
    if batch_id is None:
        return await _repeated(
            transaction, kind=kind, contents=contents, idempotency_key=idempotency_key, sender_id=sender_id
        )
    transaction.enqueue(PROCESS_BATCHES)
    return AcceptedBatch(batch_id, contents.row_count, is_repeat=False)


async def claim_next_batch(
    transaction: Transaction, *, kinds: Collection[BatchKind], excluding: Collection[UUID] = ()
) -> ClaimedBatch | None:
    """Take the waiting batch of these kinds that was accepted first, held by nobody else, until this transaction ends.

    Of the kinds where the last word counts, only the first of all that wait is taken.
    """
    earlier = aliased(IngestBatch)
    must_wait = exists().where(
        among(IngestBatch.kind, KINDS_IN_ORDER),
        earlier.kind == IngestBatch.kind,
        earlier.status == BatchStatus.RECEIVED,
        earlier.sequence < IngestBatch.sequence,
    )
    return await _claim(
        transaction,
        _CLAIMABLE.where(
            IngestBatch.status == BatchStatus.RECEIVED,
            among(IngestBatch.kind, kinds),
            not_(among(IngestBatch.id, excluding)),
            not_(must_wait),
        )
        .order_by(IngestBatch.sequence)
        .limit(1)
        .with_for_update(skip_locked=True, of=IngestBatch),
    )


async def claim_batch(transaction: Transaction, batch_id: UUID) -> ClaimedBatch | None:
    """Take one batch, waiting for whoever holds it; None when it waits no longer.

    Of the kinds where the last word counts, the caller takes those that wait before it first.
    """
    return await _claim(
        transaction,
        _CLAIMABLE.where(IngestBatch.id == batch_id, IngestBatch.status == BatchStatus.RECEIVED).with_for_update(),
    )


async def is_overtaken(transaction: Transaction, batch: ClaimedBatch) -> bool:
    """Whether a batch that was accepted later is processed already."""
    later = select(IngestBatch.id).where(
        IngestBatch.sequence > batch.sequence, IngestBatch.status == BatchStatus.PROCESSED
    )
    return bool(await transaction.connection.scalar(select(exists(later))))


async def finish_batch(
    transaction: Transaction, batch: ClaimedBatch, *, accepted: int, duplicate: int, rejects: Sequence[RejectedRow]
) -> BatchCounts:
    """Store what became of a claimed batch's rows, and let go of its payload."""
    if rejects:
        # Not by COPY, which PostgreSQL refuses where rows have policies.
        rows = (
            func.unnest(
                literal([reject.row_number for reject in rejects], ARRAY(Integer)),
                literal([reject.reason for reject in rejects], ARRAY(Text)),
                literal([reject.content for reject in rejects], ARRAY(Text)),
            )
            .table_valued("row_number", "reason", "content")
            .render_derived()
        )
        await transaction.connection.execute(
            insert(IngestReject).from_select(
                ["batch_id", "row_number", "reason", "content"],
                select(literal(batch.id), rows.c.row_number, rows.c.reason, rows.c.content),
            )
        )
    await transaction.connection.execute(
        update(IngestBatch)
        .where(IngestBatch.id == batch.id)
        .values(
            status=BatchStatus.PROCESSED.value,
            payload=None,
            accepted_count=accepted,
            duplicate_count=duplicate,
            rejected_count=len(rejects),
            processed_at=utc_now(),
        )
    )
    return BatchCounts(accepted, duplicate, len(rejects))


async def record_failure(transaction: Transaction, batch_id: UUID, *, reason: str) -> BatchStatus:
    """Count a failed attempt at a batch that still waits; the fifth gives it up, with its payload kept."""
    attempts = IngestBatch.attempts + 1
    status = await transaction.connection.scalar(
        update(IngestBatch)
        .where(IngestBatch.id == batch_id, IngestBatch.status == BatchStatus.RECEIVED)
        .values(
            attempts=attempts,
            last_error=reason.replace("\x00", "")[:REJECT_CONTENT_LENGTH],
            status=case((attempts >= MAXIMUM_ATTEMPTS, BatchStatus.FAILED.value), else_=IngestBatch.status),
        )
        .returning(IngestBatch.status)
    )
    return BatchStatus.PROCESSED if status is None else BatchStatus(status)


def rejected_row(row_number: int, reason: str, line: bytes) -> RejectedRow:
    """A refused line of a batch; what text in PostgreSQL cannot hold is replaced."""
    content = line.decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return RejectedRow(row_number, reason.replace("\x00", "\N{REPLACEMENT CHARACTER}"), content[:REJECT_CONTENT_LENGTH])


def _check_key(idempotency_key: str | None) -> None:
    if idempotency_key is None:
        return
    if not 1 <= len(idempotency_key) <= MAXIMUM_IDEMPOTENCY_KEY_LENGTH or "\x00" in idempotency_key:
        raise BadUserInput(
            f"An idempotency key has from 1 to {MAXIMUM_IDEMPOTENCY_KEY_LENGTH} characters.",
            argument="idempotencyKey",
        )


def _inspect(payload: bytes) -> _Contents:
    if len(payload) > MAXIMUM_BYTES:
        raise BatchTooLarge(
            f"A batch has at most {MAXIMUM_BYTES // 1024 // 1024} MiB, and this one is larger; send it as several."
        )
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise BatchIsNotText(f"A batch is UTF-8, and this one is not: see its byte {error.start}.") from None
    row_count = sum(1 for line in payload.split(b"\n") if line and not line.isspace())
    if row_count == 0:
        raise BatchIsEmpty("The batch has no row; send one JSON object a line.")
    if row_count > MAXIMUM_ROWS:
        raise BatchTooLarge(
            f"A batch has at most {MAXIMUM_ROWS:,} rows, and this one has {row_count:,}; send it as several."
        )
    return _Contents(row_count, hashlib.sha256(payload).digest())


async def _repeated(
    transaction: Transaction,
    *,
    kind: BatchKind,
    contents: _Contents,
    idempotency_key: str | None,
    sender_id: UUID | None,
) -> AcceptedBatch:
    stored = (
        await transaction.connection.execute(
            select(IngestBatch.id, IngestBatch.row_count, IngestBatch.content_hash, IngestBatch.status).where(
                IngestBatch.kind == kind,
                IngestBatch.idempotency_key == idempotency_key,
                IngestBatch.sender_id.is_not_distinct_from(sender_id),
            )
        )
    ).one()
    if stored.content_hash != contents.content_hash:
        raise IdempotencyKeyTaken(
            "This idempotency key was used for another content; use a new key for a new batch.",
            argument="idempotencyKey",
        )
    if stored.status == BatchStatus.FAILED:
        # Whoever sends a batch again that was given up wants it tried again.
        await transaction.connection.execute(text("SELECT ingestion.try_again(:id)"), {"id": stored.id})
        transaction.enqueue(PROCESS_BATCHES)
    return AcceptedBatch(stored.id, stored.row_count, is_repeat=True)


async def _claim(
    transaction: Transaction, statement: Select[UUID, int, str, UUID | None, bytes | None, datetime, int]
) -> ClaimedBatch | None:
    row = (await transaction.connection.execute(statement)).one_or_none()
    if row is None:
        return None
    return ClaimedBatch(
        row.id, row.sequence, BatchKind(row.kind), row.sender_id, row.payload or b"", row.received_at, row.row_count
    )
