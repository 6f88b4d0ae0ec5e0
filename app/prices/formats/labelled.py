"""Rows of a JSON list of candles, read by the names that the format has for their fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from app.ingestion.file_rows import RejectedRow
from app.prices.formats.candles import LabelledCandle
from app.prices.formats.errors import FileNotUnderstood
from app.prices.formats.json_files import decimal_of, describe

# The year 3000: what lies beyond is another unit of time, or no time at all.
_END_OF_TIME = 32_503_680_000_000


@dataclass(frozen=True, slots=True)
class CandleFields:
    """The names of a format's fields; `milliseconds` is the length of the label's unit."""

    label: str
    milliseconds: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str | None = None


class _Unreadable(Exception):
    """A field of one row is missing or no number; the text is the reason."""


def read_candles(
    rows: Sequence[object], fields: CandleFields, *, expected: str
) -> tuple[list[LabelledCandle], list[RejectedRow]]:
    """The candles of the list and the rows that are none; raises `FileNotUnderstood` when there is no candle at all."""
    candles: list[LabelledCandle] = []
    rejected: list[RejectedRow] = []
    for number, row in enumerate(rows, start=1):
        try:
            candles.append(_candle(number, row, fields))
        except _Unreadable as error:
            rejected.append(RejectedRow(number, str(error)))
    if not candles:
        found = f"row 1 says: {rejected[0].reason}" if rejected else "the list is empty."
        raise FileNotUnderstood(f"{expected} expects at least one candle, and none can be read: {found}")
    return candles, rejected


def _candle(number: int, row: object, fields: CandleFields) -> LabelledCandle:
    if not isinstance(row, dict):
        raise _Unreadable(f"A candle is an object; this is {describe(row)}.")
    volume = None if row.get(fields.volume) is None else _number(row, fields.volume)
    turnover = None if fields.turnover is None or row.get(fields.turnover) is None else _number(row, fields.turnover)
    return LabelledCandle(
        number=number,
        label=_label(row, fields),
        open=_number(row, fields.open),
        high=_number(row, fields.high),
        low=_number(row, fields.low),
        close=_number(row, fields.close),
        volume=volume,
        # Writers that do not know the turnover write zero; only without volume is that the truth.
        turnover=None if turnover == 0 and volume != 0 else turnover,
    )


def _number(row: dict[str, object], field: str) -> Decimal:
    number = decimal_of(row.get(field))
    if number is None:
        missing = "is missing" if field not in row else "is not a number"
        raise _Unreadable(f"`{field}` {missing}.")
    return number


def _label(row: dict[str, object], fields: CandleFields) -> int:
    label = _number(row, fields.label)
    milliseconds = label * fields.milliseconds
    if label != label.to_integral_value() or not 0 < milliseconds < _END_OF_TIME:
        unit = "seconds" if fields.milliseconds == 1000 else "milliseconds"
        raise _Unreadable(f"`{fields.label}` is not a time in {unit} since 1970.")
    return int(milliseconds)
