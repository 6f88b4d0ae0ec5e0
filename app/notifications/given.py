"""Names, addresses and times as people give them, each read as what it must be, or refused with the path to it."""

import re
from collections.abc import Collection, Sequence
from datetime import time
from functools import cache
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from app.core.public_addresses import is_public
from app.core.secure_urls import is_secure_url
from app.notifications.errors import NotificationErrorCode, NotificationRefused
from app.portfolios import texts
from app.portfolios.errors import PortfolioRefused

LONGEST_NAME = 100
LONGEST_URL = 2_000
MOST_AT_ONCE = 250
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
# Names that lead to this machine or to a network of one's own, wherever they are asked for.
_LOCAL_NAMES = ("localhost", "local", "internal", "localdomain", "lan", "home.arpa")

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


def read_public_url(value: str | None, *field: str) -> str:
    """The address of a server that everybody can reach, by https. Where its name leads, who sends to it finds out."""
    if value is None or len(value) > LONGEST_URL or not value.startswith("https://") or not is_secure_url(value):
        raise refused(
            f"It is an address that begins with https:// and has {LONGEST_URL:,} characters at most, without a name, a "
            "password or a fragment.",
            *field,
        )
    if not _may_be_public((urlsplit(value).hostname or "").rstrip(".").lower()):
        raise refused("It leads to an address that is not public; give one that everybody can reach.", *field)
    return value


def _may_be_public(host: str) -> bool:
    try:
        return is_public(ip_address(host))
    except ValueError:
        pass
    labels = host.split(".")
    # What ends in a number is an address, in one of the ways that programs read it, such as 2130706433 or 0x7f.1.
    is_number = labels[-1].isdigit() or labels[-1].startswith("0x")
    is_local = any(host == name or host.endswith(f".{name}") for name in _LOCAL_NAMES)
    return len(labels) > 1 and all(labels) and not is_number and not is_local


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
