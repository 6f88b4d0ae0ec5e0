"""Batches that came in through a door, as the graph shows them."""

from datetime import datetime
from functools import partial

import strawberry
from strawberry import Parent

from app.core.paging import PageRequest, decode_cursor, encode_cursor, page_request
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum
from app.graph.relay import Connection, Node, Page, page_of, shown_from
from app.ingestion import queries
from app.ingestion.models import BatchStatus
from app.ingestion.queries import BatchRow, RejectRow

REJECT_ORDER = "ingest-rejects"
# More lines than a batch can have.
LARGEST_ROW_NUMBER = 2**31 - 1


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


@strawberry.type(description="A row of a batch that was not taken in.")
class IngestReject:
    row_number: int = attribute("The row's number in its batch, from 1, blank lines counted.")
    reason: str = attribute("Why it was refused, and what would be taken.")
    content: str = attribute("The row as it was sent, its first 500 characters.")


@strawberry.type(description="A batch of observations, stored before it is acknowledged and processed by a worker.")
class IngestBatch(Node):
    is_type_of = shown_from(BatchRow)

    row_count: int = attribute("Rows that were sent.")
    accepted_count: int | None = attribute("Rows that were new and are stored now; null until processed.")
    duplicate_count: int | None = attribute("Rows that were stored already, and changed nothing; null until processed.")
    rejected_count: int | None = attribute("Rows that were refused; null until processed.")
    received_at: datetime = attribute("When the batch was stored.")
    processed_at: datetime | None = attribute("When it was processed; null until then.")

    @resolved("How far the batch has come.")
    @staticmethod
    def status(root: Parent[BatchRow]) -> BatchStatus:
        return BatchStatus(root.status)

    @resolved("The rows that were refused, by their number.", type=Connection[IngestReject] | None)
    @staticmethod
    async def rejects(
        root: Parent[BatchRow],
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Page[RejectRow]:
        request = page_request(first=first, after=after, last=last, before=before)
        rows = await info.context.loaders.many(
            queries.rejects_by_batch,
            root.id,
            beyond=_row_number(request),
            backward=request.backward,
            limit=request.limit + 1,
        )
        return page_of(rows, request, cursor=_cursor, count=partial(_count, root))


async def _count(batch: BatchRow) -> int:
    return batch.rejected_count or 0


def _cursor(reject: RejectRow) -> str:
    return encode_cursor(REJECT_ORDER, [reject.row_number])


def _row_number(request: PageRequest) -> int | None:
    cursor = request.before if request.backward else request.after
    if cursor is None:
        return None
    (row_number,) = decode_cursor(
        cursor, order=REJECT_ORDER, argument="before" if request.backward else "after", types=[int]
    )
    return min(int(row_number or 0), LARGEST_ROW_NUMBER)
