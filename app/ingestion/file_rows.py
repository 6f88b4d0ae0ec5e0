"""The canonical rows: one JSON object a line, each with its number in the file that it came from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.ingestion.commands import MAXIMUM_BYTES, MAXIMUM_ROWS


@dataclass(frozen=True, slots=True)
class CanonicalRow:
    """A row to send: its number in the file, from 1, and its JSON object in UTF-8 without a line break."""

    number: int
    content: bytes


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was left out: its number in the file, from 1, and the reason in a sentence."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows that fit into one ingest batch: the NDJSON payload, and for each line the row's number in the file."""

    payload: bytes
    numbers: list[int]


def in_batches(
    rows: Iterable[CanonicalRow], *, most_rows: int = MAXIMUM_ROWS, most_bytes: int = MAXIMUM_BYTES
) -> Iterator[RowBatch]:
    """Cut the rows, in their order, into batches of at most so many rows and bytes."""
    lines: list[bytes] = []
    numbers: list[int] = []
    size = 0
    for row in rows:
        added = len(row.content) + 1
        if lines and (len(lines) >= most_rows or size + added > most_bytes):
            yield RowBatch(b"".join(lines), numbers)
            lines, numbers, size = [], [], 0
        lines.append(row.content + b"\n")
        numbers.append(row.number)
        size += added
    if lines:
        yield RowBatch(b"".join(lines), numbers)
