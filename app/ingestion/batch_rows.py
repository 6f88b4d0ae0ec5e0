"""The lines of a batch, and what is the same of their rows whichever room they are for; what is wrong is a `BadRow`."""

import json
from collections.abc import Iterator, Set
from difflib import get_close_matches
from typing import Any

import orjson

from app.ingestion.errors import BadRow

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN_LENGTH = 60
_NDJSON = "send NDJSON: one whole JSON object a line, with no brackets around all of them and no commas between."


def lines_of(payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The rows of a batch: line number from 1 with blank lines counted, the row's own number from 1, and the line."""
    row_number = 0
    for line_number, line in enumerate(payload.removeprefix(_BYTE_ORDER_MARK).split(b"\n"), start=1):
        if line and not line.isspace():
            row_number += 1
            yield line_number, row_number, line


def read_object(line: bytes) -> dict[str, Any]:
    """The line's JSON object."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        no_number = _no_number_in(line)
        if no_number is not None:
            raise BadRow(f"The row holds {no_number}, which JSON does not have; leave the field out.") from None
        raise BadRow(f"The row is not valid JSON; {_NDJSON}") from None
    if type(row) is not dict:
        raise BadRow(f"The row is not a JSON object; {_NDJSON}")
    return row


def _no_number_in(line: bytes) -> str | None:
    """NaN or Infinity, where such a word is all that keeps the line from being JSON; some programs write them."""
    found: list[str] = []
    try:
        json.loads(line, parse_constant=found.append)
    except (ValueError, RecursionError):
        return None
    return found[0] if found else None


def refuse_other_fields(row: dict[str, Any], known: Set[str], *, others: Set[str] = frozenset()) -> None:
    """Refuse a row with a field that means nothing: it may be one that is spelt wrongly, and was meant to count.

    `others` are fields that rows of another kind have: this one has none of them, but one of them may be meant.
    """
    if row.keys() <= known:
        return
    other = next(field for field in row if field not in known)
    every = known | others
    if other in others:
        raise BadRow(f"`{other}` is no field of such a row, which has {', '.join(sorted(known))}.")
    alike = get_close_matches(other, every, n=1)
    meant = f"perhaps `{alike[0]}` was meant." if alike else f"a row has {', '.join(sorted(every))}."
    raise BadRow(f"`{other[:_SHOWN_LENGTH]}` is no field of a row; {meant}")


def shown(value: object) -> str:
    """A value of a row as the sentence about it shows it."""
    if value is None:
        return "missing"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = str(value)
    return f"“{text}”" if len(text) <= _SHOWN_LENGTH else f"“{text[:_SHOWN_LENGTH]}…”"
