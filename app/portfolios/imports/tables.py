"""Delimited text: bytes become a header and rows of cells, or are refused as a whole."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.imports.mappings import FileMapping
from app.portfolios.imports.rows import LARGEST_FILE_BYTES, MOST_ROWS

DELIMITERS = (",", ";", "\t")
# Some exporters write of the account before they write the header.
HEADER_WITHIN_ROWS = 12


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of cells, and the line on which it begins, from 1."""

    line: int
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class FileTable:
    """The names of the columns, in lower case, and the rows below them that are not blank."""

    columns: Sequence[str]
    rows: Sequence[TableRow]


def read_table(content: bytes, mapping: FileMapping) -> FileTable:
    """The table in a file of a source: UTF-8, with commas, semicolons or tabs. Raises `PortfolioRefused`."""
    text = _text_of(content)
    for delimiter in DELIMITERS:
        rows = _rows_of(text, delimiter)
        header = _header_of(rows, mapping)
        if header is not None:
            return _table_of(rows, *header)
    missing = ", ".join(f"`{mapping.columns[name][0]}`" for name in mapping.required)
    raise unreadable(
        f"This is no file of {mapping.name}: its header has at least {missing}, parted by commas, semicolons or tabs."
    )


def unreadable(message: str, reason: PortfolioErrorCode = PortfolioErrorCode.INVALID_INPUT) -> PortfolioRefused:
    """The refusal of a whole file."""
    return PortfolioRefused(reason, message, field=["content"])


def _text_of(content: bytes) -> str:
    if len(content) > LARGEST_FILE_BYTES:
        raise unreadable(f"A file has at most {LARGEST_FILE_BYTES // 1024 // 1024} MB; import it in parts.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise unreadable(f"Line {line:,} is not UTF-8; save the file as “CSV UTF-8”.") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise unreadable(f"Line {line:,} holds a null character; save the file as “CSV UTF-8”.")
    return text


def _rows_of(text: str, delimiter: str) -> Iterator[TableRow]:
    """The rows that are not blank, read as they are asked for; raises `PortfolioRefused` for what is no CSV."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield TableRow(line, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise unreadable(
            f"Line {line:,} cannot be read as CSV ({error}); is a quotation mark in it left open?"
        ) from None


def _header_of(rows: Iterator[TableRow], mapping: FileMapping) -> tuple[TableRow, Sequence[str]] | None:
    needed = [{name.casefold() for name in mapping.columns[word]} for word in mapping.required]
    for _ in range(HEADER_WITHIN_ROWS):
        row = _next(rows)
        if row is None:
            return None
        names = _names_of(row.cells)
        if all(not known.isdisjoint(names) for known in needed):
            return row, names
    return None


def _next(rows: Iterator[TableRow]) -> TableRow | None:
    try:
        return next(rows, None)
    except PortfolioRefused:
        # By another delimiter it may be CSV all the same.
        return None


def _names_of(cells: Sequence[str]) -> list[str]:
    """The names of columns; the second of one name is `name (2)`."""
    seen: Counter[str] = Counter()
    names = []
    for cell in cells:
        name = cell.strip().casefold()
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _table_of(rows: Iterator[TableRow], header: TableRow, names: Sequence[str]) -> FileTable:
    found: list[TableRow] = []
    for row in rows:
        if len(found) == MOST_ROWS:
            raise unreadable(f"A file has at most {MOST_ROWS:,} rows; import it in parts.", PortfolioErrorCode.TOO_MANY)
        found.append(row)
    if not found:
        raise unreadable(f"There are no rows below the header in line {header.line:,}.")
    return FileTable(names, found)
