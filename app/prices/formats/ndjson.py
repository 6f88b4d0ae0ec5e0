"""`ndjson`: one canonical row a line, as the ingest doors take them; a target fills in what the rows leave out."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from app.ingestion.file_rows import CanonicalRow, RejectedRow
from app.ingestion.models import BatchKind
from app.prices.formats.errors import FileNotUnderstood
from app.prices.formats.json_files import describe
from app.prices.formats.row_target import RowTarget

MOST_BYTES_A_LINE = 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOT_AN_OBJECT = "A row is one JSON object on one line; this is {found}."


class NdjsonFile:
    """A stream of rows, read as they are asked for. Lines that are no JSON object gather in `rejected`."""

    def __init__(self, stream: BinaryIO, target: RowTarget) -> None:
        """Read the first row, which tells the kind of all; raises `FileNotUnderstood` when it is none."""
        self._lines = _lines(stream)
        self._target = target.fields()
        self.rejected: list[RejectedRow] = []
        self._first = next(self._lines, None)
        if self._first is None:
            raise FileNotUnderstood("ndjson expects one JSON object a line, and this file is empty.")
        try:
            first = _row(self._first[1])
            self._complete(first)
        except ValueError as error:
            raise FileNotUnderstood(
                f"ndjson expects one JSON object a line, and line {self._first[0]} is none: {error}"
            ) from error
        self.kind = BatchKind.CANDLES if "bucket" in first or "resolution" in first else BatchKind.PRICE_POINTS

    def rows(self) -> Iterator[CanonicalRow]:
        """The rows of the file in their order, once."""
        if self._first is not None:
            first, self._first = self._first, None
            yield CanonicalRow(first[0], self._complete(_row(first[1])))
        for number, line in self._lines:
            try:
                content = self._complete(_row(line))
            except ValueError as error:
                self.rejected.append(RejectedRow(number, str(error)))
            else:
                yield CanonicalRow(number, content)

    def _complete(self, row: dict[str, Any]) -> bytes:
        names_an_item = "item" in row or "externalId" in row
        missing = {
            name: value
            for name, value in self._target.items()
            if name not in row and not (names_an_item and name in {"item", "externalId"})
        }
        try:
            return orjson.dumps({**row, **missing})
        except orjson.JSONEncodeError as error:
            raise ValueError(_NOT_AN_OBJECT.format(found="nested too deeply, or holds half a character")) from error


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1."""
    number = 0
    while line := stream.readline(MOST_BYTES_A_LINE + 1):
        number += 1
        if len(line) > MOST_BYTES_A_LINE:
            raise FileNotUnderstood(
                f"ndjson expects one JSON object a line, and line {number} has more than a megabyte."
            )
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            yield number, line


def _row(line: bytes) -> dict[str, Any]:
    """The object on a line, its numbers as texts just as they are spelled; raises ValueError with a sentence."""
    try:
        row = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except UnicodeDecodeError as error:
        raise ValueError(_NOT_AN_OBJECT.format(found="not text in UTF-8")) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(_NOT_AN_OBJECT.format(found="not JSON")) from error
    if not isinstance(row, dict):
        raise ValueError(_NOT_AN_OBJECT.format(found=describe(row)))  # noqa: TRY004 - the content is wrong, not a type
    # Of all fields only this one is a whole number and no decimal.
    if str(row.get("resolution", "")).isdecimal():
        row["resolution"] = int(row["resolution"])
    return row
