"""Reads the fields that rows of points and of candles share; whatever is wrong with one raises `BadRow`.

Amounts stay text from the row to the database, so no digit passes through binary floating point.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import md5
from typing import Any, NamedTuple
from uuid import UUID

from app.core.ids import PublicIdTag, parse_public_id
from app.core.money import MAXIMUM_AMOUNT, MAXIMUM_DECIMAL_PLACES, MINOR_UNITS
from app.ingestion.batch_rows import shown
from app.ingestion.errors import BadRow
from app.prices.models import PriceKind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(minutes=5)
DEFAULT_KIND = PriceKind.MARKET.value
# What every row may have, whatever it tells of its series.
SERIES_FIELDS = frozenset({"item", "itemId", "externalId", "variant", "source", "kind", "currency"})

_KINDS = {spelling: kind.value for kind in PriceKind for spelling in (kind.value, kind.value.upper())}
_SOURCE_CODE = re.compile(r"[a-z0-9][a-z0-9-]{1,39}")
_USUAL_AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,18})?")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_FLAT_NUMBER = re.compile(rb'"([a-zA-Z]+)"\s*:\s*(-?[0-9][^\s,}]*)')
_LONGEST_NUMBER = 100
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
# With at most this many characters, the time has no more than the six decimal places that PostgreSQL keeps.
_LONGEST_PLAIN_INSTANT = len("2000-01-01T00:00:00.000000Z")
_MICROSECONDS_PER_SECOND = 1_000_000


# An item as rows name it: by its slug, by provider and id, or by its own id.
ItemName = str | tuple[str, str] | UUID


class SeriesName(NamedTuple):
    """A series as rows name it; the variant by its key, or the item's default one."""

    item: ItemName
    variant: str | None
    source: str
    kind: str
    currency: str


# A point in time: microseconds since 1970, and the same as text for PostgreSQL.
Instant = tuple[int, str]


class RowReader:
    """Reads the rows of one batch and remembers what repeats in them."""

    def __init__(self, *, accepted_at: datetime) -> None:
        self._accepted = in_microseconds(accepted_at), accepted_at.astimezone(UTC).isoformat()
        self._latest = in_microseconds(accepted_at + CLOCK_TOLERANCE)
        self._earliest = in_microseconds(EARLIEST)
        self._series_names: dict[tuple[Any, ...], SeriesName] = {}
        self._instants: dict[str, Instant] = {}
        self._amounts: set[str] = set()

    def series_name(self, row: dict[str, Any]) -> SeriesName:
        """The series that the row is for."""
        get = row.get
        item = (get("item"), get("externalId"), get("itemId"))
        named = (item, get("variant"), get("source"), get("kind"), get("currency"))
        try:
            return self._series_names[named]
        except (KeyError, TypeError):
            name = _series_name(row)
        self._series_names[named] = name
        return name

    def instant_or_acceptance(self, row: dict[str, Any], field: str) -> Instant:
        """As `instant`; where the row has none, the time at which the batch was accepted."""
        return self._accepted if row.get(field) is None else self.instant(row, field)

    def instant(self, row: dict[str, Any], field: str) -> Instant:
        """An RFC 3339 time with an offset, not before 2000 and not more than 5 minutes after the acceptance."""
        value: Any = row.get(field)
        try:
            return self._instants[value]
        except (KeyError, TypeError):
            instant = self._read_instant(value, field)
        self._instants[value] = instant
        return instant

    def amount(self, row: dict[str, Any], field: str, line: bytes) -> str:
        """As `read_amount`."""
        value = row.get(field)
        if type(value) is str and value in self._amounts:
            return value
        text = read_amount(row, field, line)
        self._amounts.add(text)
        return text

    def positive_amount(self, row: dict[str, Any], field: str, line: bytes) -> str | None:
        """As `amount`, but above zero, or None when the row has none."""
        if row.get(field) is None:
            return None
        text = self.amount(row, field, line)
        if text[0] == "0" and not text.strip("0."):
            raise BadRow(f"`{field}` is zero; leave it out where it is not known.")
        return text

    def _read_instant(self, value: Any, field: str) -> Instant:
        if type(value) is not str or (match := _INSTANT.fullmatch(value)) is None:
            raise BadRow(f"`{field}` is {shown(value)}, and not a time such as 2026-01-31T12:00:00Z.")
        if match[1] is None:
            raise BadRow(f"`{field}` is {shown(value)}, which lacks an offset from UTC; add Z or one like +02:00.")
        try:
            instant = datetime.fromisoformat(value)
            microseconds = in_microseconds(instant)
        except (ValueError, OverflowError):
            raise BadRow(f"`{field}` is {shown(value)}, a date or time that does not exist.") from None
        if microseconds < self._earliest:
            raise BadRow(f"`{field}` is {shown(value)}, before the year 2000.")
        if microseconds > self._latest:
            raise BadRow(f"`{field}` is {shown(value)}, in the future.")
        if value[-1] == "Z" and value[10] == "T" and len(value) <= _LONGEST_PLAIN_INSTANT:
            return microseconds, value
        return microseconds, instant.astimezone(UTC).isoformat()


def read_amount(row: dict[str, Any], field: str, line: bytes) -> str:
    """A decimal from 0 to 10¹⁵ with at most 18 places, as plain digits; a JSON number's own digits count."""
    value = row.get(field)
    if type(value) is str:
        text = value
    elif type(value) is int:
        text = str(value)
    elif type(value) is float:
        text = _digits_of(field, line)
    elif value is None:
        raise BadRow(f'`{field}` is missing; give a decimal such as "12.34".')
    else:
        raise BadRow(f'`{field}` is {shown(value)}, and not a decimal such as "12.34".')
    return text if _USUAL_AMOUNT.fullmatch(text) else _unusual_amount(field, text)


def read_text(row: dict[str, Any], field: str, *, longest: int) -> str | None:
    """A text of 1 to `longest` characters, or None when the row has none."""
    value = row.get(field)
    if value is None:
        return None
    if type(value) is not str or not 1 <= len(value) <= longest:
        raise BadRow(f"`{field}` is {shown(value)}, and not a text of 1 to {longest} characters.")
    return value


def in_microseconds(instant: datetime) -> int:
    """Microseconds since 1970, exactly."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * _MICROSECONDS_PER_SECOND + since.microseconds


def from_microseconds(microseconds: int) -> datetime:
    """The instant that `in_microseconds` counted to."""
    return EPOCH + timedelta(microseconds=microseconds)


def _series_name(row: dict[str, Any]) -> SeriesName:
    return SeriesName(
        item=_item(row),
        variant=read_text(row, "variant", longest=200),
        source=_source(row),
        kind=_kind(row),
        currency=_currency(row),
    )


def _item(row: dict[str, Any]) -> ItemName:
    slug = read_text(row, "item", longest=200)
    external_id = read_text(row, "externalId", longest=400)
    public = read_text(row, "itemId", longest=200)
    given = sum(name is not None for name in (slug, external_id, public))
    if given > 1:
        raise BadRow("The row names its item more than once; give one of `item`, `externalId` and `itemId`.")
    if slug is not None:
        return slug
    if external_id is not None:
        return _external_id(external_id)
    if public is not None:
        return _item_id(public)
    raise BadRow("The row names no item; give `item` (a slug), `externalId` (`provider:id`) or `itemId`.")


def _item_id(value: str) -> UUID:
    match parse_public_id(value):
        case (PublicIdTag.ITEM, UUID() as key):
            return key
    raise BadRow(f"`itemId` is {shown(value)}, and not the id of an item.")


def _external_id(value: str) -> tuple[str, str]:
    provider, separator, identifier = value.partition(":")
    if not provider or not separator or not identifier:
        raise BadRow(f"`externalId` is {shown(value)}, and not of the form `provider:id`.")
    return provider, identifier


def _source(row: dict[str, Any]) -> str:
    value = row.get("source")
    if type(value) is not str or _SOURCE_CODE.fullmatch(value) is None:
        raise BadRow(
            f"`source` is {shown(value)}, and not a code of 2 to 40 lower-case letters, digits and hyphens "
            "such as steam-market."
        )
    return value


def _kind(row: dict[str, Any]) -> str:
    value = row.get("kind")
    if value is None:
        return DEFAULT_KIND
    kind = _KINDS.get(value) if type(value) is str else None
    if kind is None:
        raise BadRow(f"`kind` is {shown(value)}, and not one of {', '.join(PriceKind)}.")
    return kind


def _currency(row: dict[str, Any]) -> str:
    value = row.get("currency")
    if type(value) is not str or value not in MINOR_UNITS:
        raise BadRow(f"`currency` is {shown(value)}, and not a code that Trove knows such as USD.")
    return value


def _digits_of(field: str, line: bytes) -> str:
    """The digits of a number as they stand in the line, which parsing it as a float would round."""
    # In an object without nesting and escapes, a quoted word before a colon is a key; of equal keys the last counts.
    if line.count(b"{") == 1 and b"\\" not in line:
        numbers: dict[bytes, bytes] = dict(_FLAT_NUMBER.findall(line))
        return numbers[field.encode()].decode()
    try:
        return str(json.loads(line, parse_float=str)[field])
    except RecursionError:
        raise BadRow("The row is nested too deeply; send one flat JSON object a line.") from None


def _unusual_amount(field: str, text: str) -> str:
    if len(text) > _LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
        raise BadRow(f'`{field}` is {shown(text)}, and not a decimal such as "12.34".')
    amount = Decimal(text)
    if amount < 0:
        raise BadRow(f"`{field}` is {shown(text)}, below zero.")
    if amount > MAXIMUM_AMOUNT:
        raise BadRow(f"`{field}` is {shown(text)}, above 10^15.")
    whole, _, fraction = format(abs(amount), "f").partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > MAXIMUM_DECIMAL_PLACES:
        raise BadRow(f"`{field}` is {shown(text)}, with more than {MAXIMUM_DECIMAL_PLACES} decimal places.")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole


def key_of_point(price: str, quantity: str | None) -> str:
    """What makes a point unique at its instant where its source gives no key: its price and its quantity."""
    return digest_of(f"{_trimmed(price)}|{_trimmed(quantity or '')}")


def digest_of(key: str) -> str:
    """A key as it is stored."""
    return md5(key.encode(), usedforsecurity=False).hexdigest()


def _trimmed(amount: str) -> str:
    return amount.rstrip("0").rstrip(".") if "." in amount else amount
