"""The scalars of the graph: how each is written on the wire and what is refused on the way in."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from app.core.money import MINOR_UNITS

CurrencyCode = NewType("CurrencyCode", str)
BigInt = NewType("BigInt", int)
URL = NewType("URL", str)
EmailAddress = NewType("EmailAddress", str)
JSON = NewType("JSON", object)
GeoJSON = NewType("GeoJSON", object)

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,40}(\.\d{1,40})?", re.ASCII)
# At least one amount, and after a T at least one of time.
_DURATION = re.compile(r"P(?!$)(?:(\d{1,9})D)?(?:T(?!$)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?", re.ASCII)
LONGEST_EMAIL_ADDRESS = 320
_BIG_INT = re.compile(r"-?\d{1,19}", re.ASCII)


def write_date_time(instant: datetime) -> str:
    """RFC 3339 in UTC with `Z`; microseconds only where there are any."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def read_date_time(value: Any) -> datetime:
    """An RFC 3339 string with an offset."""
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise GraphQLError('A DateTime is a string such as "2026-01-31T12:00:00Z": RFC 3339, with an offset.')
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise GraphQLError(f"{value} is not a date and time that exists.") from error


def write_date(day: date) -> str:
    """ISO 8601: year, month and day."""
    return day.isoformat()


def read_date(value: Any) -> date:
    """A string of year, month and day, in the calendar that there is."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise GraphQLError('A Date is a string such as "2026-01-31": year, month and day.')
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise GraphQLError(f"{value} is not a day that exists.") from error


def write_decimal(value: Decimal) -> str:
    """Plain digits, never an exponent."""
    return format(value, "f")


def read_decimal(value: Any) -> Decimal:
    """A string of digits; an integer is taken too, a float is not exact and is refused."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise GraphQLError('A Decimal is a string of digits such as "12.34", so that it stays exact.')
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise GraphQLError('A Decimal is a string of digits such as "12.34".') from error


def write_duration(duration: timedelta) -> str:
    """ISO 8601 in days, hours, minutes and whole seconds, such as `P1DT2H` or `PT0S`."""
    # Not by total_seconds, which is a float and rounds what lies thousands of years back.
    seconds = max(duration.days * 86_400 + duration.seconds, 0)
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    time = "".join(f"{amount}{unit}" for amount, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if amount)
    date = f"{days}D" if days else ""
    return f"P{date}{'T' + time if time else ''}" if date or time else "PT0S"


def read_duration(value: Any) -> timedelta:
    """ISO 8601 in days, hours, minutes and whole seconds, any of them; years and months have no fixed length."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise GraphQLError('A Duration is such as "P1DT2H30M": ISO 8601, in days, hours, minutes and whole seconds.')
    days, hours, minutes, seconds = (int(amount or 0) for amount in found.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError as error:
        raise GraphQLError("A Duration is no longer than a million years.") from error


def read_currency_code(value: Any) -> str:
    """A code that Trove knows, in capitals."""
    if not isinstance(value, str) or value not in MINOR_UNITS:
        raise GraphQLError(
            "A CurrencyCode is one of ISO 4217 in capitals, such as USD, or of a crypto currency, such as BTC."
        )
    return value


def write_big_int(value: int | Decimal) -> str:
    """Plain digits, also of an integer that the database gives as a decimal number."""
    return str(int(value))


def read_big_int(value: Any) -> int:
    """An integer of 64 bits, as a string or a number."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _BIG_INT.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise GraphQLError('A BigInt is a string of digits such as "42", of 64 bits at most.')
    return int(text)


def read_email_address(value: Any) -> str:
    """A text that may be an address; whether it is one, the command that gets it says."""
    if not isinstance(value, str) or "@" not in value or len(value) > LONGEST_EMAIL_ADDRESS:
        raise GraphQLError("An EmailAddress is such as somebody@example.org.")
    return value


def read_url(value: Any) -> str:
    """A text that may be an address; which ones are taken, the command that gets it says."""
    if not isinstance(value, str):
        raise GraphQLError("A URL is a string such as https://example.org/picture.png.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant: RFC 3339 with an offset on the way in, in UTC with `Z` on the way out.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=write_date_time,
        parse_value=read_date_time,
    ),
    date: strawberry.scalar(
        name="Date",
        description='A day of the calendar, without a time or a place: ISO 8601, such as `"2026-01-31"`.',
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=write_date,
        parse_value=read_date,
    ),
    timedelta: strawberry.scalar(
        name="Duration",
        description="A length of time in ISO 8601, in days, hours, minutes and whole seconds, such as `P1DT2H`.",
        serialize=write_duration,
        parse_value=read_duration,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number, as a string of plain digits such as `"12.34"`.',
        serialize=write_decimal,
        parse_value=read_decimal,
    ),
    CurrencyCode: strawberry.scalar(
        name="CurrencyCode",
        description="A currency: its code of ISO 4217, such as `USD`, or that of a crypto currency, such as `BTC`.",
        serialize=str,
        parse_value=read_currency_code,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer as a string, because JavaScript's numbers are not wide enough; 64 bits on the way in.",
        serialize=write_big_int,
        parse_value=read_big_int,
    ),
    URL: strawberry.scalar(
        name="URL",
        description="An absolute address of the web (RFC 3986).",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3986",
        serialize=str,
        parse_value=read_url,
    ),
    EmailAddress: strawberry.scalar(
        name="EmailAddress",
        description="An e-mail address (RFC 5321, 6531), such as `somebody@example.org`.",
        serialize=str,
        parse_value=read_email_address,
    ),
    GeoJSON: strawberry.scalar(
        name="GeoJSON",
        description="A shape on the earth as GeoJSON: an object with `type` and `coordinates`, longitude first.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc7946",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value, where the shape is truly free or somebody else's.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
}
