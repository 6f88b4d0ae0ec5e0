"""Cells as they are written, each read as what it must be; what cannot be is said in a sentence."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from app.portfolios.imports.mappings import Amounts, Sign
from app.prices.formats.price_texts import PriceTextNotUnderstood, read_price_text

LONGEST_NUMBER = 60
_SHOWN = 40
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
# A comma that does not part thousands may part the fraction: whoever writes so means another number.
_PARTED_BY_COMMAS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?", re.ASCII)
# What begins with a sign and is no formula.
_NEGATIVE = re.compile(r"-[0-9]+(?:\.[0-9]+)?", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
# What a spreadsheet would take for a formula, and how often it was guarded before.
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_TO_GUARD = re.compile(r"'*[=+\-@\t\r]")
_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"", "no", "false", "0"})


class CellNotUnderstood(Exception):
    """A cell says something that cannot be; the message says what it must be."""


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula, which a negative number is not; `unguarded` takes it back."""
    return f"'{text}" if _TO_GUARD.match(text) and not _NEGATIVE.fullmatch(text) else text


def unguarded(text: str) -> str:
    """The text that was guarded; any other as it is."""
    return text[1:] if _GUARDED.match(text) else text


def read_number(cell: str, name: str) -> Decimal:
    """A number of plain digits with a point; raises CellNotUnderstood."""
    if not _PLAIN.fullmatch(cell) or len(cell) > LONGEST_NUMBER:
        raise CellNotUnderstood(f"{_shown(cell)} in `{name}` is no plain number such as 1234.5.")
    return Decimal(cell)


def read_quantity(cell: str, name: str, sign: Sign, amounts: Amounts) -> Decimal:
    """A quantity, its sign left out where the source writes one; raises CellNotUnderstood."""
    unsigned = cell.removeprefix("-").strip() if sign is Sign.IGNORED else cell
    is_parted = amounts is Amounts.PRINTED and _PARTED_BY_COMMAS.fullmatch(unsigned)
    return read_number(unsigned.replace(",", "") if is_parted else unsigned, name)


def read_amount(cell: str, name: str, amounts: Amounts, sign: Sign, currency: str | None) -> Decimal | None:
    """An amount of money in a currency; None where it says that there is none. Raises CellNotUnderstood."""
    unsigned = cell.replace("-", "", 1).strip() if sign is Sign.IGNORED else cell
    if amounts is Amounts.PLAIN or _PLAIN.fullmatch(unsigned):
        return read_number(unsigned, name)
    try:
        price = read_price_text(unsigned, currency=currency)
    except PriceTextNotUnderstood as error:
        raise CellNotUnderstood(f"`{name}`: {error.message}") from None
    return None if price is None else price.amount


def read_time(cell: str, name: str, formats: Sequence[str]) -> datetime:
    """A moment in UTC by the first format that fits; without an offset it is of UTC. Raises CellNotUnderstood."""
    for format_ in formats:
        try:
            if format_ == "rfc3339":
                if not _RFC_3339.fullmatch(cell):
                    continue
                # In UTC, where a year before the first or after the last is seen.
                return datetime.fromisoformat(cell.upper()).astimezone(UTC)
            return datetime.strptime(cell, format_).replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    example = (
        "2024-03-01T18:30:00Z"
        if "rfc3339" in formats
        else datetime(2024, 3, 1, 18, 30, tzinfo=UTC).strftime(formats[0])
    )
    raise CellNotUnderstood(f"{_shown(cell)} in `{name}` is no time such as {example}.")


def read_choice(cell: str, name: str) -> bool:
    """Yes or no; raises CellNotUnderstood."""
    word = cell.casefold()
    if word not in _YES | _NO:
        raise CellNotUnderstood(f"{_shown(cell)} in `{name}` is neither yes nor no.")
    return word in _YES


def _shown(cell: str) -> str:
    return f"“{cell[:_SHOWN]}{'…' if len(cell) > _SHOWN else ''}”"
