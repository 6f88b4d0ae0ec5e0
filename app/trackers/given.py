"""Names, addresses, numbers and times as members of clients give them, each read as what it must be, or refused."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from app.core.secure_urls import is_secure_url
from app.portfolios import texts
from app.portfolios.errors import PortfolioRefused
from app.trackers.errors import TrackerErrorCode, TrackerRefused

LONGEST_NAME = 100
LONGEST_URL = 2_000
MOST_AT_ONCE = 250
# The first and the last instant that Python has stand for infinity in the database, and come back without a zone.
FIRST_YEAR, LAST_YEAR = 2, 9_998

Given = Mapping[str, Any]
Read = TypeVar("Read")


def refused(message: str, *field: str) -> TrackerRefused:
    """The refusal of a value; `field` is the path to it as the graph has it."""
    return TrackerRefused(TrackerErrorCode.INVALID_INPUT, message, field=field)


def not_found(what: str, *field: str) -> TrackerRefused:
    """The refusal of an id that leads to nothing of the caller's clients."""
    return TrackerRefused(TrackerErrorCode.NOT_FOUND, f"Your clients have no such {what}.", field=field)


def too_many(message: str, *field: str) -> TrackerRefused:
    """The refusal of one more than there may be."""
    return TrackerRefused(TrackerErrorCode.TOO_MANY, message, field=field)


def read_name(value: str | None, *field: str, longest: int = LONGEST_NAME) -> str:
    """A name of one line that must be there, without spaces around it."""
    try:
        name = texts.read_line(value, *field, longest=longest)
    except PortfolioRefused as refusal:
        raise refused(refusal.message, *refusal.field) from None
    if name is None:
        raise refused(f"It has 1 to {longest} characters.", *field)
    return name


def read_url(value: str | None, *field: str) -> str | None:
    """The address of a picture, or None."""
    if value is not None and (len(value) > LONGEST_URL or not is_secure_url(value)):
        raise refused(f"It is an address that begins with https:// and has {LONGEST_URL:,} characters at most.", *field)
    return value


def read_number(value: float | None, *field: str, least: int, most: int) -> float:
    """A number within bounds that must be there."""
    # NaN is within none.
    if value is None or not least <= value <= most:
        raise refused(f"It is a number from {least:,} to {most:,}.", *field)
    return value


def read_instant(value: datetime | None, *field: str) -> datetime | None:
    """A time, or None."""
    if value is not None and not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise refused(f"It is a time of the years {FIRST_YEAR} to {LAST_YEAR:,}.", *field)
    return value


def read_given(given: Given, readers: Mapping[str, Callable[[Any], Read]]) -> dict[str, Read]:
    """Those of the values that are given, each read by its reader."""
    return {name: read(given[name]) for name, read in readers.items() if name in given}


def refuse_long_list(values: Collection[object], *field: str) -> None:
    """Refuse more than 250 of something at once."""
    if len(values) > MOST_AT_ONCE:
        raise too_many(f"There are {len(values):,}; send {MOST_AT_ONCE} at most at once.", *field)


def refuse_another_version(version: int, expected: int | None) -> None:
    """Refuse to change what somebody else has changed since it was looked at."""
    if expected is not None and version != expected:
        raise TrackerRefused(
            TrackerErrorCode.CONFLICT,
            f"It was changed meanwhile, and has version {version}: look at it again.",
            field=["expectedVersion"],
        )


def distinct(values: Sequence[Read]) -> list[Read]:
    """Each of the values once, in their order."""
    return list(dict.fromkeys(values))
