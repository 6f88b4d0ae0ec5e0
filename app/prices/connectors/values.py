"""The values in answers of providers, each read as what it must be, or refused with the reason."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal

from app.core.money import MAXIMUM_AMOUNT, MAXIMUM_DECIMAL_PLACES, MINOR_UNITS
from app.prices.commands.read_rows import EARLIEST, EPOCH
from app.prices.connectors.interface import AnswerNotUnderstood
from app.prices.formats.json_files import MOST_DIGITS, decimal_of, describe

_NO_PRICE = {"", "-", "--", "—", "–"}
_SECONDS_UNTIL_3000 = 32_503_680_000
# Before and behind the point; with fewer digits it would be rounded before it is measured.
_EXACT = Context(prec=2 * MOST_DIGITS + 2)


def amount_of(value: object, name: str) -> Decimal | None:
    """An amount above zero, spelled as a number or a text; None for null, blank, a dash and zero, which say none."""
    if value is None or (isinstance(value, str) and value.strip() in _NO_PRICE):
        return None
    amount = decimal_of(value.strip() if isinstance(value, str) else value)
    if amount is None:
        raise AnswerNotUnderstood(f"`{name}` is {_shown(value)}, and not an amount.")
    if amount < 0:
        raise AnswerNotUnderstood(f"`{name}` is {_shown(value)}, below zero.")
    exponent = amount.normalize(_EXACT).as_tuple().exponent
    if amount > MAXIMUM_AMOUNT or (isinstance(exponent, int) and -exponent > MAXIMUM_DECIMAL_PLACES):
        raise AnswerNotUnderstood(f"`{name}` is {_shown(value)}, beyond what a price can be.")
    return amount or None


def instant_of(value: object, name: str, *, per_second: int, latest: datetime) -> datetime:
    """A time in units since 1970, so many of them a second; a clock that is ahead of `latest` is set back to it."""
    number = decimal_of(value)
    if number is None or not 0 < number / per_second < _SECONDS_UNTIL_3000:
        raise AnswerNotUnderstood(f"`{name}` is {_shown(value)}, and not a time since 1970.")
    return _bounded(EPOCH + timedelta(microseconds=int(number * 1_000_000 / per_second)), name, latest)


def spelled_instant(value: object, name: str, *, latest: datetime) -> datetime:
    """A time as RFC 3339 spells it, or a day as `2022/11/01`; bounded as `instant_of`."""
    if not isinstance(value, str):
        raise AnswerNotUnderstood(f"`{name}` is {_shown(value)}, and not a time.")
    try:
        instant = datetime.fromisoformat(value.replace("/", "-"))
    except ValueError:
        raise AnswerNotUnderstood(f"`{name}` is {_shown(value)}, and not a time.") from None
    return _bounded(instant.replace(tzinfo=instant.tzinfo or UTC), name, latest)


def object_of(value: object, name: str) -> Mapping[str, object]:
    """An object."""
    if not isinstance(value, dict):
        raise AnswerNotUnderstood(f"{name} should be an object, and is {describe(value)}.")
    return value


def list_of(value: object, name: str) -> Sequence[object]:
    """A list."""
    if not isinstance(value, list):
        raise AnswerNotUnderstood(f"{name} should be a list, and is {describe(value)}.")
    return value


def text_of(value: object, name: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise AnswerNotUnderstood(f"`{name}` is {_shown(value)}, and not a text.")
    return value


def currency_of(value: object, name: str) -> str:
    """A currency that Trove knows."""
    code = text_of(value, name).upper()
    if code not in MINOR_UNITS:
        raise AnswerNotUnderstood(f"`{name}` is {_shown(value)}, which is no currency that Trove knows.")
    return code


def by_name(rows: Iterable[object], field: str, name: str) -> dict[str, list[Mapping[str, object]]]:
    """The objects of a list by the text of a field; raises where one is no object or lacks it."""
    found: dict[str, list[Mapping[str, object]]] = {}
    for row in rows:
        one = object_of(row, name)
        found.setdefault(text_of(one.get(field), field), []).append(one)
    return found


def _bounded(instant: datetime, name: str, latest: datetime) -> datetime:
    if instant < EARLIEST:
        raise AnswerNotUnderstood(f"`{name}` is {instant.isoformat()}, before the year 2000.")
    return min(instant, latest)


def _shown(value: object) -> str:
    return "missing" if value is None else f"“{str(value)[:40]}”"
