"""Candles from a file: their labels become starts of buckets, repeats are dropped, and what does not fit is listed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import pairwise

import orjson

from app.ingestion.file_rows import CanonicalRow, RejectedRow
from app.prices.formats.durations import LONGEST_RESOLUTION, spell_resolution
from app.prices.formats.errors import FileNotUnderstood
from app.prices.formats.row_target import RowTarget
from app.prices.resolutions import bucket_start

# Of ten candles nine must fit a resolution before it is believed.
_SHARE_THAT_FITS = 0.9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Label(Enum):
    """Which instant of a candle the file names."""

    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class LabelledCandle:
    """A candle as it stands in the file: its number there, from 1, and its label in milliseconds since 1970."""

    number: int
    label: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    turnover: Decimal | None


@dataclass(frozen=True, slots=True)
class CandleFile:
    """What a file of candles holds: the candles ordered by time, and the rows that were left out."""

    name: str | None
    resolution: int
    candles: list[tuple[datetime, LabelledCandle]]
    duplicates: int
    rejected: list[RejectedRow]

    def rows(self, target: RowTarget) -> Iterator[CanonicalRow]:
        """The canonical rows of a `candles` batch, in the order of time."""
        fields: dict[str, str | int] = {**target.fields(), "resolution": self.resolution}
        for start, candle in self.candles:
            yield CanonicalRow(candle.number, orjson.dumps({**fields, **candle_fields(start, candle)}))


def candle_fields(start: datetime, candle: LabelledCandle) -> dict[str, str]:
    """The fields of a canonical row that tell a candle: its start, and its values as plain digits."""
    values = {
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "turnover": candle.turnover,
    }
    return {
        "bucket": start.isoformat().replace("+00:00", "Z"),
        **{name: format(value, "f") for name, value in values.items() if value is not None},
    }


def arrange(
    candles: Sequence[LabelledCandle],
    *,
    label: Label,
    name: str | None,
    resolution: int | None,
    rejected: list[RejectedRow],
) -> CandleFile:
    """Put labelled candles into their buckets.

    Without a `resolution` (seconds) the distances between the labels tell it; raises `FileNotUnderstood` when they do
    not. A candle of a bucket that has one already is a duplicate when it says the same, and rejected when it differs.
    """
    length = resolution or _resolution_of(candles, label)
    by_start: dict[datetime, LabelledCandle] = {}
    refused = list(rejected)
    duplicates = 0
    for candle in candles:
        start = _start_of(candle.label, label, length)
        if start is None:
            refused.append(RejectedRow(candle.number, _misfit(candle.label, label, length)))
            continue
        first = by_start.setdefault(start, candle)
        if first is candle:
            continue
        if replace(candle, number=first.number, label=first.label) == first:
            duplicates += 1
        else:
            refused.append(RejectedRow(candle.number, f"Row {first.number} has other values for the same candle."))
    return CandleFile(name, length, sorted(by_start.items()), duplicates, sorted(refused, key=lambda row: row.number))


def _resolution_of(candles: Sequence[LabelledCandle], label: Label) -> int:
    """The most frequent distance between neighbours; in a file full of gaps, the smallest one."""
    instants = sorted({candle.label for candle in candles})
    steps = Counter(round((later - earlier) / 1000) for earlier, later in pairwise(instants))
    steps = Counter({step: count for step, count in steps.items() if 0 < step <= LONGEST_RESOLUTION})
    if not steps:
        raise FileNotUnderstood(
            "These labels do not tell how long a candle is; say so with --resolution, for example --resolution 4h."
        )
    most_frequent = min(steps, key=lambda step: (-steps[step], step))
    for step in (most_frequent, min(steps)):
        fitting = sum(_start_of(instant, label, step) is not None for instant in instants)
        if fitting >= _SHARE_THAT_FITS * len(instants):
            return step
    raise FileNotUnderstood(
        f"Candles at even distances were expected; these are mostly {spell_resolution(most_frequent)} apart but do not "
        "begin at multiples of it; say how long they are with --resolution, for example --resolution 4h."
    )


def _start_of(milliseconds: int, label: Label, resolution: int) -> datetime | None:
    """The start of the candle, or None when the label is not the start (or end) of a bucket of this length."""
    instant = _EPOCH + milliseconds * _MILLISECOND
    if label is Label.START:
        return instant if bucket_start(instant, resolution) == instant else None
    start = bucket_start(instant - _MILLISECOND, resolution)
    end = start + timedelta(seconds=resolution)
    # Some services name the last millisecond of a candle, others the instant after it.
    return start if instant in {end, end - _MILLISECOND} else None


def _misfit(milliseconds: int, label: Label, resolution: int) -> str:
    instant = (_EPOCH + milliseconds * _MILLISECOND).isoformat().replace("+00:00", "Z")
    return f"{instant} is not the {label.value} of a candle of {spell_resolution(resolution)}."
