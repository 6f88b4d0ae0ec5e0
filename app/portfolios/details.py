"""What a collector says of a holding, each value read as what it must be, or refused with the path to it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from app.portfolios.texts import Given, read_decimal, read_line, read_text, refused

LONGEST_WORD = 60
LONGEST_LINE = 200
HIGHEST_GRADE = 100
HIGHEST_PATTERN = 100_000
GRADE_PLACES = 4
FLOAT_PLACES = 30


def read_details(given: Given) -> dict[str, Any]:
    """The columns of the details that are given, each as it is kept; null says nothing.

    Which store it is remains to be found. Raises PortfolioRefused for what they cannot be.
    """
    return {name: _READERS[name](value) for name, value in given.items()}


def _line(field: str, longest: int) -> Callable[[str | None], str | None]:
    def read(value: str | None) -> str | None:
        return read_line(value, "details", field, longest=longest)

    return read


def _grade(value: Decimal | None) -> Decimal | None:
    return read_decimal(value, "details", "grade", most=HIGHEST_GRADE, decimal_places=GRADE_PLACES)


def _float_value(value: Decimal | None) -> Decimal | None:
    return read_decimal(value, "details", "floatValue", most=1, decimal_places=FLOAT_PLACES)


def _pattern(value: int | None) -> int | None:
    if value is not None and not 0 <= value <= HIGHEST_PATTERN:
        raise refused(f"A pattern is a whole number from 0 to {HIGHEST_PATTERN:,}.", "details", "pattern")
    return value


def _notes(value: str | None) -> str | None:
    return read_text(value, "details", "notes")


def _as_given(value: Any) -> Any:
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "condition": _line("condition", LONGEST_WORD),
    "grade": _grade,
    "grader": _line("grader", LONGEST_WORD),
    "serial": _line("serial", LONGEST_LINE),
    "float_value": _float_value,
    "pattern": _pattern,
    "place": _line("place", LONGEST_LINE),
    "store_id": _as_given,
    "acquired_on": _as_given,
    "notes": _notes,
}
