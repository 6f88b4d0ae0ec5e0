"""Names, addresses and times as people give them, each read as what it must be, or refused with the path to it."""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import time
from functools import cache
from typing import TypeVar
from zoneinfo import available_timezones

from app.core.errors import BadUserInput
from app.notifications.errors import NotificationErrorCode, NotificationRefused
from app.notifications.webhook_urls import check_webhook_url
from app.portfolios import texts
from app.portfolios.errors import PortfolioRefused

LONGEST_NAME = 100
MOST_AT_ONCE = 250
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)

Value = TypeVar("Value")


def refused(message: str, *field: str) -> NotificationRefused:
    """The refusal of a value; `field` is the path to it as the graph has it."""
    return NotificationRefused(NotificationErrorCode.INVALID_INPUT, message, field=field)


def not_found(what: str, *field: str) -> NotificationRefused:
    """The refusal of an id that leads to nothing of the caller's."""
    return NotificationRefused(NotificationErrorCode.NOT_FOUND, f"You have no such {what}.", field=field)


def too_many(message: str, *field: str) -> NotificationRefused:
    """The refusal of one more than there may be."""
    return NotificationRefused(NotificationErrorCode.TOO_MANY, message, field=field)


def read_name(value: str | None, *field: str) -> str:
    """A name of one line that must be there, without spaces around it."""
    try:
        return texts.read_name(value, *field)
    except PortfolioRefused as refusal:
        raise refused(refusal.message, *refusal.field) from None


def read_optional_name(value: str | None, *field: str) -> str | None:
    """A name of one line, or None where nothing is left of it."""
    try:
        return texts.read_line(value, *field, longest=LONGEST_NAME)
    except PortfolioRefused as refusal:
        raise refused(refusal.message, *refusal.field) from None


def read_public_url(value: str | None, *field: str, is_development: bool = False) -> str:
    """The URL of a server that everybody can reach by https; on a developer's server also of this very machine."""
    return checked(lambda: check_webhook_url(value or "", is_development=is_development), *field)


def checked(check: Callable[[], Value], *field: str) -> Value:
    """What a check gives, whose refusal names the field at fault by the path that the graph has for it."""
    try:
        return check()
    except BadUserInput as refusal:
        raise refused(refusal.message, *field) from None


def read_time_of_day(value: str | None, *field: str) -> time | None:
    """A time of day to the minute, such as 22:30, or None."""
    if value is None:
        return None
    found = _TIME_OF_DAY.fullmatch(value)
    if found is None:
        raise refused("It is a time of day such as 22:30, from 00:00 to 23:59.", *field)
    return time(int(found[1]), int(found[2]))


def read_time_zone(value: str | None, *field: str) -> str:
    """The IANA name of a time zone."""
    if value is None or value not in _time_zones():
        raise refused("It is a time zone by its IANA name, such as Europe/Vienna.", *field)
    return value


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def present(value: Value | None, *field: str) -> Value:
    """A value that must not be null."""
    if value is None:
        raise refused("It cannot be null; leave it out, and it stays as it is.", *field)
    return value


def distinct(values: Sequence[Value]) -> list[Value]:
    """Each of the values once, in their order."""
    return list(dict.fromkeys(values))


def refuse_long_list(values: Collection[object], *field: str) -> None:
    """Refuse more than 250 of something at once."""
    if len(values) > MOST_AT_ONCE:
        raise too_many(f"There are {len(values):,}; send {MOST_AT_ONCE} at most at once.", *field)


def refuse_another_version(version: int, expected: int | None) -> None:
    """Refuse to change what somebody else has changed since it was looked at."""
    if expected is not None and version != expected:
        raise NotificationRefused(
            NotificationErrorCode.CONFLICT,
            f"It was changed meanwhile, and has version {version}: look at it again.",
            field=["expectedVersion"],
        )
