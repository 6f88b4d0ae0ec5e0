"""What ingestion keeps of a person: that they sent batches. What they sent in is prices, and stays."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, update

from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.ingestion.models import IngestBatch, IngestReject

SENDER_ERASED = "It was refused. The account that sent it was erased, and what it held with it."


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Take out of a person's batches what they wrote themselves: their keys, and rows that were no prices.

    Who sent a batch stays, as an account without a name: a ledger keeps its references.
    """
    of_person = select(IngestBatch.id).where(IngestBatch.sender_id == user_id)
    await transaction.connection.execute(
        update(IngestReject).where(IngestReject.batch_id.in_(of_person)).values(reason=SENDER_ERASED, content="")
    )
    await transaction.connection.execute(
        update(IngestBatch)
        .where(IngestBatch.sender_id == user_id, IngestBatch.idempotency_key.is_not(None))
        .values(idempotency_key=None)
    )


def _batches(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            IngestBatch.id,
            IngestBatch.kind,
            IngestBatch.idempotency_key,
            IngestBatch.status,
            IngestBatch.row_count,
            IngestBatch.accepted_count,
            IngestBatch.duplicate_count,
            IngestBatch.rejected_count,
            IngestBatch.received_at,
            IngestBatch.processed_at,
        )
        .where(IngestBatch.sender_id == user_id)
        .order_by(IngestBatch.sequence)
    )


def _rejects(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            IngestBatch.id,
            IngestReject.row_number,
            IngestReject.reason,
            IngestReject.content,
        )
        .join(IngestBatch, IngestBatch.id == IngestReject.batch_id)
        .where(IngestBatch.sender_id == user_id)
        .order_by(IngestBatch.sequence, IngestReject.row_number)
    )


PERSONAL_DATA = PersonalData(
    "ingestion",
    erase,
    (
        ExportPart(
            "batches.json",
            "The batches of prices that you sent.",
            table_of(IngestBatch),
            _batches,
            PublicIdTag.INGEST_BATCH,
        ),
        ExportPart(
            "refused-rows.json",
            "The rows of your batches that were refused, by the id of their batch.",
            table_of(IngestReject),
            _rejects,
            PublicIdTag.INGEST_BATCH,
        ),
    ),
)
