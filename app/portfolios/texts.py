"""Names, notes and numbers as people give them, each read as what it must be, or refused with the path to it."""

import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused

LONGEST_NAME = 100
LONGEST_NOTES = 5_000
LONGEST_KEY = 200

Given = Mapping[str, Any]

# Neither what breaks lines, nor what turns the direction of what follows, nor half of a letter.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINE_BREAKS = frozenset("\n\t")
_UNSEEN_CATEGORIES = _FORBIDDEN_CATEGORIES | {"Cf", "Zs"}
# Letters and signs by their category, and blank all the same.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def refused(message: str, *field: str) -> PortfolioRefused:
    """The refusal of a value; `field` is the path to it as the graph has it."""
    return PortfolioRefused(PortfolioErrorCode.INVALID_INPUT, message, field=field)


def not_found(message: str, *field: str) -> PortfolioRefused:
    """The refusal of an id that leads to nothing of the caller's."""
    return PortfolioRefused(PortfolioErrorCode.NOT_FOUND, message, field=field)


def no_such(what: str, *field: str) -> PortfolioRefused:
    """The same, by what it should lead to."""
    return not_found(f"You have no such {what}.", *field)


def read_name(value: str | None, *field: str) -> str:
    """A name of one line that must be there and be seen, without spaces around it."""
    name = read_line(value, *field, longest=LONGEST_NAME)
    if name is None:
        raise refused(f"A name has 1 to {LONGEST_NAME} characters, and one that can be seen.", *field)
    return name


def read_line(value: str | None, *field: str, longest: int) -> str | None:
    """One line of text, without spaces around it; None where nothing is left."""
    return _read(value or "", field, longest, allowed=frozenset())


def read_text(value: str | None, *field: str, longest: int = LONGEST_NOTES) -> str | None:
    """A text of several lines, without spaces around it; None where nothing is left."""
    return _read((value or "").replace("\r\n", "\n").replace("\r", "\n"), field, longest, allowed=_LINE_BREAKS)


def _read(value: str, field: tuple[str, ...], longest: int, *, allowed: frozenset[str]) -> str | None:
    if not can_be_shown("".join(letter for letter in value if letter not in allowed)):
        raise refused("It holds a character that cannot be shown, such as a control character; leave it out.", *field)
    text = unicodedata.normalize("NFC", value).strip()
    if len(text) > longest:
        raise refused(f"It has {len(text):,} characters, and may have {longest:,}.", *field)
    return None if is_blank(text) else text


def can_be_shown(line: str) -> bool:
    """Whether a text breaks no line, turns no direction and holds no half of a letter; of any script and any emoji."""
    return not any(
        unicodedata.category(letter) in _FORBIDDEN_CATEGORIES or letter in _TURNS_DIRECTION for letter in line
    )


def is_blank(text: str) -> bool:
    """Whether nothing of a text is seen: spaces, and letters without a width or a picture."""
    return not any(_is_seen(letter) for letter in text)


def _is_seen(letter: str) -> bool:
    return unicodedata.category(letter) not in _UNSEEN_CATEGORIES and letter not in _BLANK


def read_key(value: str) -> str:
    """An idempotency key."""
    if not 1 <= len(value) <= LONGEST_KEY or not value.isprintable():
        raise refused(f"An idempotency key has from 1 to {LONGEST_KEY} characters that can be shown.", "idempotencyKey")
    return value


def read_decimal(value: Decimal | None, *field: str, most: int, decimal_places: int) -> Decimal | None:
    """A number from 0 to `most` with so many decimal places, exactly as given."""
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    is_sane = isinstance(exponent, int) and -decimal_places <= exponent <= len(str(most))
    if not is_sane or not 0 <= value <= most:
        raise refused(f"It is a number from 0 to {most:,} with at most {decimal_places} decimal places.", *field)
    return value
