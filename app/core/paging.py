"""Keyset paging: page requests checked once, opaque cursors bound to their order."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import orjson

from app.core.errors import BadUserInput

MAXIMUM_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 25
LARGEST_CURSOR_INTEGER = 2**62

CursorValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page of a connection: `limit` rows after a position or, when `backward`, the last ones before it."""

    limit: int
    after: str | None
    before: str | None
    backward: bool


def page_request(*, first: int | None, after: str | None, last: int | None, before: str | None) -> PageRequest:
    """Check the four paging arguments; a combination without a meaning is refused, naming the allowed ones."""
    if first is not None and last is not None:
        raise BadUserInput(
            "Give `first` or `last`, not both.", argument="last", allowed=["first with after", "last with before"]
        )
    if last is not None and after is not None:
        raise BadUserInput(
            "`last` goes with `before`; to page forward from a cursor use `first` with `after`.",
            argument="after",
            allowed=["first with after", "last with before"],
        )
    if last is None and before is not None:
        raise BadUserInput(
            "`before` goes with `last`; to page forward use `first` with `after`.",
            argument="before",
            allowed=["first with after", "last with before"],
        )
    size, name = (last, "last") if last is not None else (first, "first")
    if size is not None and not 0 <= size <= MAXIMUM_PAGE_SIZE:
        raise BadUserInput(
            f"`{name}` must be from 0 to {MAXIMUM_PAGE_SIZE}, and is {size}.",
            argument=name,
            allowed=[f"0..{MAXIMUM_PAGE_SIZE}"],
        )
    return PageRequest(
        limit=DEFAULT_PAGE_SIZE if size is None else size, after=after, before=before, backward=last is not None
    )


def encode_cursor(order: str, position: Sequence[CursorValue]) -> str:
    """The opaque cursor of a row: the name of the order and the row's position in it."""
    return base64.urlsafe_b64encode(orjson.dumps([order, *position])).rstrip(b"=").decode()


def decode_cursor(cursor: str, *, order: str, argument: str, types: Sequence[type]) -> list[CursorValue]:
    """The position that `encode_cursor` put in; refuses a malformed cursor and one of another list or order."""
    malformed = _malformed(argument)
    try:
        decoded = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise malformed from error
    if not isinstance(decoded, list) or len(decoded) != len(types) + 1 or decoded[0] != order:
        raise malformed
    position = decoded[1:]
    if not all(type(value) is expected for value, expected in zip(position, types, strict=True)):
        raise malformed
    if any(isinstance(value, int) and abs(value) > LARGEST_CURSOR_INTEGER for value in position):
        raise malformed
    return position


def instant_in_cursor(value: CursorValue, *, argument: str) -> datetime:
    """An instant that a cursor holds as ISO 8601; refuses what no list can have put there."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _malformed(argument) from error


def key_in_cursor(value: CursorValue, *, argument: str) -> UUID:
    """A primary key that a cursor holds; refuses what no list can have put there."""
    try:
        return UUID(str(value))
    except ValueError as error:
        raise _malformed(argument) from error


def _malformed(argument: str) -> BadUserInput:
    return BadUserInput(
        f"`{argument}` is not a cursor of this list in this order; use one that the list gave you.",
        argument=argument,
        allowed=["a cursor of this list in this order"],
    )
