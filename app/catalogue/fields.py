"""The fields of a row that others wrote, each read as what it must be, or refused with the reason."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

from app.catalogue.errors import RowNotUnderstood
from app.core.money import MAXIMUM_DECIMAL_PLACES, is_amount

MOST_CHARACTERS = 500
MOST_SHOWN = 40
LARGEST_INTEGER = 2**31 - 1
_DAY = re.compile(r"[0-9]{4}([-/])[0-9]{2}\1[0-9]{2}", re.ASCII)
_NO_AMOUNT = {"", "-", "--", "—", "–"}


class Fields:
    """An object of a file: what is missing, null, blank or without anything to see is None.

    Each field that is of another type than asked for raises `RowNotUnderstood`.
    """

    def __init__(self, row: object) -> None:
        if not isinstance(row, Mapping):
            raise RowNotUnderstood("it is not an object")
        self._row: Mapping[object, object] = row

    def names(self) -> tuple[str, ...]:
        """The names of the fields, in the order of the file; each has to be such that it could be stored as a text."""
        names = tuple(str(name) for name in self._row)
        for name in names:
            _text("the name of a field", name)
        return names

    def text(self, name: str, *, most: int = MOST_CHARACTERS) -> str | None:
        """A text without outer spaces, of at most so many characters."""
        value = self._row.get(name)
        return None if value is None else _text(name, value, most)

    def required_text(self, name: str, *, most: int = MOST_CHARACTERS) -> str:
        """A text that must be there."""
        value = self.text(name, most=most)
        if value is None:
            raise RowNotUnderstood(f"it has no {name}")
        return value

    def identifier(self, name: str) -> str | None:
        """A number or text that names something elsewhere, as text."""
        value = self._row.get(name)
        return _text(name, str(value)) if type(value) is int else self.text(name)

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of texts, each once."""
        value = self._row.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise RowNotUnderstood(f"{name} is not a list")
        return tuple(dict.fromkeys(text for one in value if (text := _text(name, one)) is not None))

    def day(self, name: str) -> date | None:
        """A day as `2017-04-28` or `2017/04/28`."""
        value = self.text(name)
        if value is None:
            return None
        try:
            # Else the days of weeks, as 2017W175, would do.
            return date.fromisoformat(value.replace("/", "-") if _DAY.fullmatch(value) else "")
        except ValueError as error:
            raise RowNotUnderstood(f"{name} “{value}” is not a day such as 2017-04-28") from error

    def required_day(self, name: str) -> date:
        """A day that must be there."""
        value = self.day(name)
        if value is None:
            raise RowNotUnderstood(f"it has no {name}")
        return value

    def count(self, name: str) -> int | None:
        """A whole number from 0."""
        value = self._row.get(name)
        if value is None:
            return None
        if type(value) is not int or not 0 <= value <= LARGEST_INTEGER:
            raise RowNotUnderstood(f"{name} is not a whole number from 0")
        return value

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self._row.get(name)
        if value is not None and not isinstance(value, bool):
            raise RowNotUnderstood(f"{name} is not true or false")
        return value

    def amount(self, name: str) -> Decimal | None:
        """An amount of money, as a text or a number; a dash says that there is none."""
        value = self._row.get(name)
        if value is None or (isinstance(value, str) and value.strip() in _NO_AMOUNT):
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise RowNotUnderstood(f"{name} is not an amount")
        spelled = str(value).strip()
        shown = spelled if len(spelled) <= MOST_SHOWN else f"{spelled[:MOST_SHOWN]}…"
        try:
            # Else “1_000” and digits of other scripts would do.
            amount = Decimal(spelled if spelled.isascii() and "_" not in spelled else "none")
        except InvalidOperation as error:
            raise RowNotUnderstood(f"{name} “{shown}” is not an amount") from error
        if not amount.is_finite() or amount < 0:
            raise RowNotUnderstood(f"{name} “{shown}” is not an amount from 0")
        if not is_amount(amount):
            raise RowNotUnderstood(
                f"{name} “{shown}” is above 10^15, or has more than {MAXIMUM_DECIMAL_PLACES} decimal places"
            )
        return amount

    def share(self, name: str) -> float | None:
        """A number from 0 to 1."""
        value = self._row.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise RowNotUnderstood(f"{name} is not a number from 0 to 1")
        return float(value)

    def is_text(self, name: str) -> bool:
        """Whether it is a text, where an object may stand instead."""
        return isinstance(self._row.get(name), str)

    def holds_texts(self, name: str) -> bool:
        """Whether it is a list of texts, where one of objects may stand instead."""
        value = self._row.get(name)
        return isinstance(value, list) and all(isinstance(one, str) for one in value)

    def object(self, name: str) -> "Fields | None":
        """An object within this one."""
        value = self._row.get(name)
        return None if value is None else Fields(value)

    def objects(self, name: str) -> list["Fields"]:
        """A list of objects; none where there is no list."""
        value = self._row.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise RowNotUnderstood(f"{name} is not a list")
        return [Fields(one) for one in value]


def _text(name: str, value: object, most: int = MOST_CHARACTERS) -> str | None:
    if not isinstance(value, str):
        raise RowNotUnderstood(f"{name} is not a text")
    if len(value) > most:
        raise RowNotUnderstood(f"{name} has {len(value):,} characters, more than {most:,}")
    if "\0" in value or not _is_unicode(value):
        raise RowNotUnderstood(f"{name} holds a character that is not text")
    text = value.strip()
    # What has no width, and spaces, say nothing.
    return text if any(sign.isprintable() and sign != " " for sign in text) else None


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
