"""Batches that came in through a door, as the graph shows them."""

from datetime import datetime
from enum import Enum

import strawberry
from strawberry import UNSET

from app.core.ids import PublicIdTag
from app.graph.access import Privacy, private
from app.graph.fields import show_enum
from app.graph.reads.arguments import OperationContext, Orders, graphql_argument, narrow
from app.graph.reads.fields import Reference, column, connection, refer, reference, shows
from app.graph.relay import Connection, Node, key_of
from app.identity.access import needs
from app.identity.scopes import Scope
from app.ingestion import models
from app.ingestion.models import BatchStatus

show_enum(
    BatchStatus,
    "How far a batch has come.",
    {
        BatchStatus.RECEIVED: "Stored and acknowledged; a worker will process it.",
        BatchStatus.PROCESSED: "Done; the counts are final.",
        BatchStatus.FAILED: "Given up after repeated errors; what it held is kept.",
    },
    name="IngestBatchStatus",
)

OF_SENDER = Privacy(f"who sent the batch, and staff with `{Scope.INGESTION_READ}`")
BATCHES_READ = needs(Scope.PRICES_WRITE, Scope.LOCATIONS_WRITE, Scope.INGESTION_READ)


class RejectOrder(Enum):
    """What the refused rows are ordered by."""

    ROW_NUMBER = "row_number"


class BatchOrder(Enum):
    """What batches are ordered by."""

    RECEIVED_AT = "received_at"


BATCH_ORDERS = Orders(
    "ingest-batches",
    {BatchOrder.RECEIVED_AT: models.IngestBatch.received_at},
    tie=models.IngestBatch.id,
    newest_first=True,
)
REJECT_ORDERS = Orders(
    "ingest-rejects", {RejectOrder.ROW_NUMBER: models.IngestReject.row_number}, tie=models.IngestReject.row_number
)


@strawberry.type(description="A row of a batch that was not taken in.")
@private(OF_SENDER)
@shows(models.IngestReject)
class IngestReject:
    row_number: int = column(
        models.IngestReject.row_number, "The row's number in its batch, from 1, blank lines counted."
    )
    reason: str = column(models.IngestReject.reason, "Why it was refused, and what would be taken.")
    content: str = column(models.IngestReject.content, "The row as it was sent, its first 500 characters.")


@strawberry.type(description="A batch of observations, stored before it is acknowledged and processed by a worker.")
@private(OF_SENDER)
@shows(models.IngestBatch, PublicIdTag.INGEST_BATCH)
class IngestBatch(Node):
    row_count: int = column(models.IngestBatch.row_count, "Rows that were sent.")
    accepted_count: int | None = column(
        models.IngestBatch.accepted_count, "Rows that were new and are stored now; null until processed."
    )
    duplicate_count: int | None = column(
        models.IngestBatch.duplicate_count,
        "Rows of which nothing new was stored: it is stored already, came twice in the batch, or is a price that had "
        "not moved, of a source that stores only moves. Null until processed.",
    )
    rejected_count: int | None = column(
        models.IngestBatch.rejected_count, "Rows that were refused; null until processed."
    )
    received_at: datetime = column(models.IngestBatch.received_at, "When the batch was stored.")
    processed_at: datetime | None = column(models.IngestBatch.processed_at, "When it was processed; null until then.")
    status: BatchStatus = column(models.IngestBatch.status, "How far the batch has come.")
    rejects: Connection[IngestReject] | None = connection(
        "The rows that were refused, by their number.",
        on=models.IngestBatch.id,
        to=models.IngestReject.batch_id,
        orders=REJECT_ORDERS,
    )


@strawberry.input(description="Which batches to list; what is left out does not narrow the list.")
class IngestBatchFilter:
    status: BatchStatus | None = narrow(
        "Only batches that have come this far.",
        models.IngestBatch.status,
        lambda status: models.IngestBatch.status == status,
    )
    has_rejects: bool | None = narrow(
        "Only processed batches that have refused rows, or that have none.",
        models.IngestBatch.rejected_count > 0,
        lambda has_rejects: (models.IngestBatch.rejected_count > 0) == has_rejects,
    )


@strawberry.type
class IngestionQueries:
    @reference(
        "A batch that was sent in; null when there is none, or it is somebody else's.",
        [graphql_argument("id", strawberry.ID, default=UNSET)],
        type=IngestBatch | None,
        access=BATCHES_READ,
    )
    @staticmethod
    def ingest_batch(context: OperationContext, id: str) -> Reference | None:
        key = key_of(id, PublicIdTag.INGEST_BATCH, argument="id")
        return None if key is None else refer(IngestBatch, key)
