"""Brings the stored candles up to date with new points. What a source provides is never overwritten from here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.commands.copy_rows import copy_rows
from app.prices.commands.read_rows import from_microseconds
from app.prices.commands.roll_up import MICROSECONDS, Bucket, Point, roll_up
from app.prices.commands.series_state import SeriesState
from app.prices.models import Candle
from app.prices.resolutions import ROLLED_UP, Resolution

CANDLE_COLUMNS = (
    "series_id resolution bucket open high low close volume turnover point_count is_provided".split()  # noqa: SIM905
)


@dataclass(slots=True)
class CandleChanges:
    """What new points mean for candles, as lines for COPY.

    `new` buckets begin after everything that was stored of their series. `extended` ones got points after all that
    they held. `touched` ones got points in between, and are computed anew.
    """

    new: list[str] = field(default_factory=list)
    extended: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    years: set[int] = field(default_factory=set)


class CandlePlanner:
    """Sorts out what the new points of one batch mean for candles; remembers how buckets are written."""

    def __init__(self) -> None:
        self.changes = CandleChanges()
        self._starts: dict[tuple[int, int], str] = {}

    def add(self, series: SeriesState, *, late: Sequence[Point], appended: Sequence[Point]) -> None:
        """Take in a series' stored points: `late` ones not after what was its latest, and those `appended` after it."""
        touched = self._touched(late)
        for resolution, numbers in touched.items():
            source = series.source_of_coarser(resolution)
            for number in sorted(numbers):
                self.changes.touched.append(
                    f"{series.id}\t{resolution}\t{self._start(resolution, number)}\t{source}\n"
                )
        for resolution, buckets in roll_up(appended):
            self._add_buckets(series, resolution, buckets, touched.get(resolution, set()))

    def _touched(self, late: Iterable[Point]) -> Mapping[int, set[int]]:
        return {
            resolution: {point.microseconds // (resolution * MICROSECONDS) for point in late} for resolution in ROLLED_UP
        }

    def _add_buckets(self, series: SeriesState, resolution: int, buckets: Iterable[Bucket], touched: set[int]) -> None:
        begun = series.last_begun_bucket(resolution)
        for bucket in buckets:
            number = bucket.number
            if number in touched:
                continue
            line = (
                f"{series.id}\t{resolution}\t{self._start(resolution, number)}\t{bucket.open}\t{bucket.high}\t{bucket.low}"
                f"\t{bucket.close}\t{_or_null(bucket.volume)}\t{_or_null(bucket.turnover)}\t{bucket.point_count}\tf\n"
            )
            (self.changes.new if number > begun else self.changes.extended).append(line)

    def _start(self, resolution: int, number: int) -> str:
        start = self._starts.get((resolution, number))
        if start is None:
            instant = from_microseconds(number * resolution * MICROSECONDS)
            self.changes.years.add(instant.year)
            start = self._starts[resolution, number] = instant.isoformat()
        return start


def _or_null(value: object) -> object:
    return r"\N" if value is None else value


async def store_candles(connection: AsyncConnection, changes: CandleChanges) -> None:
    """Write the changes; the caller holds the locks of their series, and has stored the points."""
    await copy_rows(connection, Candle.__table__, CANDLE_COLUMNS, changes.new)
