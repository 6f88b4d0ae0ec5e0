"""Reads of ingest batches and of the rows of them that were refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among
from app.core.ids import PublicIdTag, public_id
from app.ingestion.models import BatchStatus, IngestBatch


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch without its payload; the counts are None until it is processed."""

    id: UUID
    kind: str
    status: str
    row_count: int
    accepted_count: int | None
    duplicate_count: int | None
    rejected_count: int | None
    received_at: datetime
    processed_at: datetime | None

    @property
    def public_id(self) -> str:
        """The opaque id that the public knows it by."""
        return public_id(PublicIdTag.INGEST_BATCH, self.id)


@dataclass(frozen=True, slots=True)
class WaitingBatches:
    """How many batches wait to be processed, and the age of the oldest of them in seconds (0 when none waits)."""

    count: int
    oldest_age_seconds: float


async def waiting_batches(connection: AsyncConnection) -> WaitingBatches:
    """How far processing is behind accepting."""
    age = func.extract("epoch", func.now() - func.min(IngestBatch.received_at))
    row = await connection.execute(
        select(func.count(), func.coalesce(age, 0)).where(IngestBatch.status == BatchStatus.RECEIVED.value)
    )
    count, oldest = row.one()
    return WaitingBatches(count, float(oldest))


async def batches_by_id(connection: AsyncConnection, ids: Sequence[UUID]) -> Mapping[UUID, BatchRow]:
    """Batches by primary key."""
    rows = await connection.execute(
        select(
            IngestBatch.id,
            IngestBatch.kind,
            IngestBatch.status,
            IngestBatch.row_count,
            IngestBatch.accepted_count,
            IngestBatch.duplicate_count,
            IngestBatch.rejected_count,
            IngestBatch.received_at,
            IngestBatch.processed_at,
        ).where(among(IngestBatch.id, ids))
    )
    return {row.id: BatchRow(*row) for row in rows}
