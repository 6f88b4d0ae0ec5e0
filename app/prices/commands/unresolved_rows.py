"""The rows of a batch of prices that name a series that there is none of."""

from collections.abc import Iterator, Mapping

from app.ingestion.batch_rows import lines_of
from app.ingestion.commands import RejectedRow, rejected_row


def reject_unresolved(payload: bytes, reasons: Mapping[int, str]) -> Iterator[RejectedRow]:
    """The rejects of rows, by their own numbers, that name a series that there is none of."""
    if reasons:
        for line_number, row_number, line in lines_of(payload):
            if row_number in reasons:
                yield rejected_row(line_number, reasons[row_number], line)
