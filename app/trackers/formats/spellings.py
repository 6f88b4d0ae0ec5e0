"""Numbers and times as programs spell them in texts; what cannot be read is a BadReport."""

import re
from datetime import UTC, datetime

from app.ingestion.batch_rows import shown
from app.trackers.errors import BadReport

# Seconds since 1970 stay below this for longer than anybody tracks anything; milliseconds are above it since 1971.
_FIRST_MILLISECONDS = 100_000_000_000
_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,16}(?:\.[0-9]{0,9})?", re.ASCII)
# The plus of an offset that nobody escaped is a space by now.
_LOST_PLUS = re.compile(r"(.*T.*) ([0-9]{2}:?[0-9]{2})")
_CALENDAR = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}.*", re.ASCII)


def read_decimal(text: str, *, name: str) -> float:
    """A decimal number in plain digits."""
    if _DECIMAL.fullmatch(text) is None:
        raise BadReport(f"`{name}` is {shown(text)}, and not a decimal number.")
    return float(text)


def read_instant(value: object, *, name: str) -> datetime:
    """Seconds or milliseconds since 1970, or a date and time as ISO 8601 has it; one without an offset is in UTC."""
    try:
        if type(value) is int or type(value) is float:
            return _since_1970(value)
        if type(value) is str:
            return _spelled(value.strip())
    except (ValueError, OverflowError, OSError):
        pass
    raise BadReport(f"`{name}` is {shown(value)}, and not a time such as 1767323045 or 2026-01-02T03:04:05Z.")


def _spelled(text: str) -> datetime:
    if _DIGITS.fullmatch(text):
        return _since_1970(float(text))
    if _CALENDAR.fullmatch(text) is None:
        raise ValueError
    instant = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text))
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)).astimezone(UTC)


def _since_1970(number: float) -> datetime:
    return datetime.fromtimestamp(number / 1000 if number >= _FIRST_MILLISECONDS else number, UTC)
