"""Batches as they came in, and the rows of them that were refused."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.ids import new_id
from app.identity.models import User

SCHEMA = "ingestion"


class BatchKind(StrEnum):
    """Which room a batch is for, and so what its rows mean."""

    PRICE_POINTS = "price_points"
    CANDLES = "candles"
    LOCATION_REPORTS = "location_reports"


class BatchStatus(StrEnum):
    """`received` is accepted and waiting; `processed` is done; `failed` was given up after repeated errors."""

    RECEIVED = "received"
    PROCESSED = "processed"
    FAILED = "failed"


class IngestBatch(Base):
    """One accepted batch: `sender_id` is who sent it (none for files imported by the operator), `sequence` the order of
    acceptance, `payload` NDJSON, kept until it is processed."""

    __tablename__ = "ingest_batches"
    __table_args__ = (
        UniqueConstraint("sender_id", "kind", "idempotency_key"),
        Index(
            "ingest_batches_unique_key_without_sender",
            "kind",
            "idempotency_key",
            unique=True,
            postgresql_where=text("sender_id IS NULL"),
        ),
        UniqueConstraint("sequence"),
        CheckConstraint("kind IN ('price_points', 'candles', 'location_reports')", name="kind_is_known"),
        CheckConstraint("status IN ('received', 'processed', 'failed')", name="status_is_known"),
        Index("ingest_batches_by_sender", "sender_id", "received_at", "id"),
        Index("ingest_batches_waiting", "sequence", postgresql_where=text("status = 'received'")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    kind: Mapped[str]
    sender_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    idempotency_key: Mapped[str | None]
    content_hash: Mapped[bytes]
    payload: Mapped[bytes | None]
    status: Mapped[str] = mapped_column(server_default=text("'received'"))
    row_count: Mapped[int]
    accepted_count: Mapped[int | None]
    duplicate_count: Mapped[int | None]
    rejected_count: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    processed_at: Mapped[datetime | None]


class IngestReject(Base):
    """A row that was not taken in: its number in the batch (from 1) and the reason, in a sentence."""

    __tablename__ = "ingest_rejects"
    __table_args__ = ({"schema": SCHEMA},)

    batch_id: Mapped[UUID] = mapped_column(
        ForeignKey(f"{SCHEMA}.ingest_batches.id", ondelete="CASCADE"), primary_key=True
    )
    row_number: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str]
    content: Mapped[str]
