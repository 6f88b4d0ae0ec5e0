"""What came of the rows of a batch, whatever their kind."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.ingestion.commands import RejectedRow, rejected_row
from app.prices.commands.read_rows import lines_of
from app.prices.commands.series_state import LatestPrice


@dataclass(frozen=True, slots=True)
class IngestedRows:
    """How many rows were new and how many stored already, those refused, and the latest prices that they made."""

    accepted: int
    duplicate: int
    rejects: Sequence[RejectedRow]
    latest: Sequence[LatestPrice]


def reject_unresolved(payload: bytes, reasons: Mapping[int, str]) -> Iterator[RejectedRow]:
    """The rejects of rows, by their own numbers, that name a series that there is none of."""
    if reasons:
        for line_number, row_number, line in lines_of(payload):
            if row_number in reasons:
                yield rejected_row(line_number, reasons[row_number], line)
