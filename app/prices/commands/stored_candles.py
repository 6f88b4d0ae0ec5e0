"""Brings the stored candles up to date with new points. What a source provides is never overwritten from here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.copy_lines import copy_lines
from app.prices.commands.read_rows import from_microseconds
from app.prices.commands.roll_up import MICROSECONDS, Bucket, Point, roll_up
from app.prices.commands.series_state import SeriesState
from app.prices.models import SCHEMA, Candle
from app.prices.resolutions import ROLLED_UP

CANDLE_COLUMNS = [column.name for column in Candle.__table__.columns]

_BUCKET_COLUMNS = ["series_id", "resolution", "bucket", "rolls_up_from"]


@dataclass(slots=True)
class CandleChanges:
    """What new points mean for candles, as lines for COPY.

    `new` buckets begin after everything that was stored of their series. `extended` ones got points after all that
    they held. `touched` ones got points in between, and are computed anew. `widened` ones did so, too, but some of
    their points have been dropped: what is stored of them stays, and takes the new points in as far as it can.
    """

    new: list[str] = field(default_factory=list)
    extended: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    widened: list[str] = field(default_factory=list)


class CandlePlanner:
    """Sorts out what the new points of one batch mean for candles; remembers how buckets are written.

    Points are kept since `points_kept_since`, in microseconds since 1970.
    """

    def __init__(self, *, points_kept_since: int = 0) -> None:
        self.changes = CandleChanges()
        self._points_kept_since = points_kept_since
        self._starts: dict[int, dict[int, str]] = {resolution: {} for resolution in ROLLED_UP}

    def add(self, series: SeriesState, *, late: Sequence[Point], appended: Sequence[Point]) -> None:
        """Take in a series' stored points: `late` ones not after what was its latest, and those `appended` after it."""
        widening = [point for point in late if point[0] < self._points_kept_since]
        touched = self._touched(late[len(widening) :])
        for resolution, buckets in roll_up(widening):
            self.changes.widened += self._lines(series, resolution, buckets)
        for resolution, numbers in touched.items():
            source = series.rolls_up_from(resolution) or r"\N"
            for number in sorted(numbers):
                self.changes.touched.append(f"{series.id}\t{resolution}\t{self._start(resolution, number)}\t{source}\n")
        for resolution, buckets in roll_up(appended):
            self._add_buckets(series, resolution, buckets, touched.get(resolution, set()))

    def take_new(self) -> list[str]:
        """The new candles since this was last asked for."""
        new, self.changes.new = self.changes.new, []
        return new

    def _touched(self, late: Iterable[Point]) -> Mapping[int, set[int]]:
        instants = [microseconds for microseconds, *_ in late]
        return {resolution: {at // (resolution * MICROSECONDS) for at in instants} for resolution in ROLLED_UP}

    def _add_buckets(self, series: SeriesState, resolution: int, buckets: Iterable[Bucket], touched: set[int]) -> None:
        begun = series.last_begun_bucket(resolution)
        new, extended = self.changes.new, self.changes.extended
        remaining = [bucket for bucket in buckets if bucket[0] not in touched] if touched else list(buckets)
        for bucket, line in zip(remaining, self._lines(series, resolution, remaining), strict=True):
            (new if bucket[0] > begun else extended).append(line)

    def _lines(self, series: SeriesState, resolution: int, buckets: Iterable[Bucket]) -> Iterator[str]:
        beginning = f"{series.id}\t{resolution}\t"
        starts = self._starts[resolution]
        for number, open_, _, high, _, low, close, volume, turnover, point_count in buckets:
            start = starts.get(number) or self._start(resolution, number)
            sums = f"{volume}\t{turnover}" if volume is not None else "\\N\t\\N"
            yield f"{beginning}{start}\t{open_}\t{high}\t{low}\t{close}\t{sums}\t{point_count}\tf\n"

    def _start(self, resolution: int, number: int) -> str:
        starts = self._starts[resolution]
        start = starts.get(number)
        if start is None:
            instant = from_microseconds(number * resolution * MICROSECONDS)
            start = starts[number] = instant.isoformat()
        return start


async def append_candles(connection: AsyncConnection, lines: Sequence[str]) -> None:
    """Copy candles of new buckets in; the caller holds the locks of their series."""
    if lines:
        await copy_lines(connection, lines, table=Candle.__tablename__, columns=CANDLE_COLUMNS, schema=SCHEMA)


async def bring_candles_up_to_date(connection: AsyncConnection, changes: CandleChanges) -> None:
    """Write what changes in buckets that had begun; the caller has stored all points and the candles of new buckets."""
    if changes.extended:
        await stage_candles(connection, changes.extended)
        await connection.execute(_EXTEND)
    if changes.widened:
        await stage_candles(connection, changes.widened)
        await connection.execute(_WIDEN)
    if changes.touched:
        await connection.execute(_MAKE_STAGED_BUCKETS)
        await connection.execute(_EMPTY_STAGED_BUCKETS)
        await copy_lines(connection, changes.touched, table="staged_buckets", columns=_BUCKET_COLUMNS)
        await connection.execute(_SKIP_WHAT_IS_NOT_KEPT)
        await connection.execute(_ROLL_UP_POINTS)
        for finer in ROLLED_UP[:-1]:
            await connection.execute(_ROLL_UP_CANDLES, {"finer": int(finer)})


async def stage_candles(connection: AsyncConnection, lines: Sequence[str]) -> None:
    """Put candles into the temporary table `staged_candles` and nothing else."""
    await connection.execute(_MAKE_STAGED_CANDLES)
    await connection.execute(_EMPTY_STAGED_CANDLES)
    await copy_lines(connection, lines, table="staged_candles", columns=CANDLE_COLUMNS)


_MAKE_STAGED_CANDLES = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_candles (LIKE prices.candles) ON COMMIT DELETE ROWS
""")
_EMPTY_STAGED_CANDLES = text("DELETE FROM staged_candles")
_MAKE_STAGED_BUCKETS = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_buckets (
        series_id integer NOT NULL, resolution integer NOT NULL, bucket timestamptz NOT NULL, rolls_up_from integer
    ) ON COMMIT DELETE ROWS
""")
_EMPTY_STAGED_BUCKETS = text("DELETE FROM staged_buckets")

_EXTEND = text("""
    INSERT INTO prices.candles AS stored (
        series_id, resolution, bucket, open, high, low, close, volume, turnover,
        point_count, is_provided
    )
    SELECT
        series_id, resolution, bucket, open, high, low, close, volume, turnover,
        point_count, is_provided
    FROM staged_candles ORDER BY series_id, resolution, bucket
    ON CONFLICT (series_id, resolution, bucket) DO UPDATE SET
        high = greatest(stored.high, excluded.high),
        low = least(stored.low, excluded.low),
        close = excluded.close,
        volume = coalesce(stored.volume + excluded.volume, stored.volume, excluded.volume),
        turnover = coalesce(stored.turnover + excluded.turnover, stored.turnover, excluded.turnover),
        point_count = stored.point_count + excluded.point_count
    WHERE NOT stored.is_provided
""")
# Where in the bucket the new points lie among those that are gone, nobody knows: open and close stay.
_WIDEN = text("""
    INSERT INTO prices.candles AS stored (
        series_id, resolution, bucket, open, high, low, close, volume, turnover,
        point_count, is_provided
    )
    SELECT
        series_id, resolution, bucket, open, high, low, close, volume, turnover,
        point_count, is_provided
    FROM staged_candles ORDER BY series_id, resolution, bucket
    ON CONFLICT (series_id, resolution, bucket) DO UPDATE SET
        high = greatest(stored.high, excluded.high),
        low = least(stored.low, excluded.low),
        volume = coalesce(stored.volume + excluded.volume, stored.volume, excluded.volume),
        turnover = coalesce(stored.turnover + excluded.turnover, stored.turnover, excluded.turnover),
        point_count = stored.point_count + excluded.point_count
    WHERE NOT stored.is_provided
""")
# Minutes, and hours, of the past may have been deleted: what they would make is made from points.
_SKIP_WHAT_IS_NOT_KEPT = text("""
    UPDATE staged_buckets SET rolls_up_from = NULL
    FROM prices.retention_marks AS mark
    WHERE bucket < mark.kept_since
        AND (subject, rolls_up_from) IN (('minute_candles', 60), ('hour_candles', 3600))
""")
# The lateral makes it one look-up in the index per bucket, however many points there are, whatever is estimated.
_ROLL_UP_POINTS = text("""
    INSERT INTO prices.candles AS stored (
        series_id, resolution, bucket, open, high, low, close, volume, turnover,
        point_count, is_provided
    )
    SELECT touched.series_id, touched.resolution, touched.bucket, rolled.*, false
    FROM staged_buckets AS touched CROSS JOIN LATERAL (
        SELECT (min(place))[3], max(price), min(price), (max(place))[3],
            sum(quantity), sum(price * quantity), CAST(count(*) AS integer)
        FROM (
            SELECT price, quantity, ARRAY[extract(epoch FROM observed_at), arrival, price] AS place
            FROM prices.price_points
            WHERE series_id = touched.series_id AND observed_at >= touched.bucket
                AND observed_at < touched.bucket + touched.resolution * interval '1 second'
            OFFSET 0
        ) AS point
        HAVING count(*) > 0
    ) AS rolled
    WHERE touched.rolls_up_from IS NULL
    ON CONFLICT (series_id, resolution, bucket) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, turnover = excluded.turnover, point_count = excluded.point_count
    WHERE NOT stored.is_provided
""")
_ROLL_UP_CANDLES = text("""
    INSERT INTO prices.candles AS stored (
        series_id, resolution, bucket, open, high, low, close, volume, turnover,
        point_count, is_provided
    )
    SELECT touched.series_id, touched.resolution, touched.bucket, rolled.*, false
    FROM staged_buckets AS touched CROSS JOIN LATERAL (
        SELECT (array_agg(open ORDER BY bucket))[1], max(high), min(low), (array_agg(close ORDER BY bucket DESC))[1],
            sum(volume), sum(turnover), CAST(sum(point_count) AS integer)
        FROM prices.candles
        WHERE series_id = touched.series_id AND resolution = :finer AND bucket >= touched.bucket
            AND bucket < touched.bucket + touched.resolution * interval '1 second'
        HAVING count(*) > 0
    ) AS rolled
    WHERE touched.rolls_up_from = :finer
    ON CONFLICT (series_id, resolution, bucket) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, turnover = excluded.turnover, point_count = excluded.point_count
    WHERE NOT stored.is_provided
""")
