"""Takes a batch of points in: reads the rows, stores what is new, and brings candles and latest prices up to date."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.copy_lines import copy_lines
from app.core.database import Transaction
from app.ingestion.batch_rows import lines_of, read_object, refuse_other_fields
from app.ingestion.commands import ClaimedBatch, RejectedRow, is_overtaken, rejected_row
from app.ingestion.errors import BadRow
from app.ingestion.processing import IngestedRows
from app.prices.commands.change_only import forget_seen, last_sighting, mark_seen, moves_among, stored_around
from app.prices.commands.partitions import ensure_candle_partitions, ensure_point_partitions
from app.prices.commands.prune import kept_since
from app.prices.commands.read_rows import (
    SERIES_FIELDS,
    RowReader,
    SeriesName,
    digest_of,
    from_microseconds,
    in_microseconds,
    key_of_point,
    read_text,
)
from app.prices.commands.resolve_series import resolve_series
from app.prices.commands.roll_up import Point
from app.prices.commands.series_state import (
    LatestPrice,
    SeriesState,
    latest_of_points,
    lock_series,
    mark_points,
    move_latest,
    newer_prices,
    refuse_gone,
    show_changes,
)
from app.prices.commands.stored_candles import CandlePlanner, append_candles, bring_candles_up_to_date
from app.prices.commands.unresolved_rows import reject_unresolved
from app.prices.commands.valuations import mark_touched
from app.prices.models import SCHEMA, PricePoint, RetentionSubject
from app.prices.observations import Observations, ObservedSeries, Watcher, nobody, observed_series

# A batch has fewer rows than this, so the arrivals of two batches never meet.
ARRIVALS_PER_BATCH = 65_536
LONGEST_KEY = 200
FIELDS = SERIES_FIELDS | {"price", "quantity", "observedAt", "key"}
POINTS_IN_A_PIECE = 5_000

_POINT_COLUMNS = [column.name for column in PricePoint.__table__.columns]
_NULL = r"\N"


@dataclass(frozen=True, slots=True)
class _ReadRows:
    points: Mapping[SeriesName, Sequence[Point]]
    rejects: Sequence[RejectedRow]


@dataclass(slots=True)
class _SeriesPoints:
    """One series' points of a batch, in the order of time and arrival, each once.

    The `late` ones are not after the series' latest price and may be stored already; those `appended` cannot be. Where
    the source stores only moves, or did before, the last sighting of a price may be among these: no row of the batch.
    """

    series: SeriesState
    late: list[Point] = field(default_factory=list)
    appended: list[Point] = field(default_factory=list)
    has_sighting: bool = False

    @property
    def row_count(self) -> int:
        """How many rows of the batch these points are."""
        return len(self.late) + len(self.appended) - self.has_sighting


async def ingest_points(transaction: Transaction, batch: ClaimedBatch, *, watch: Watcher = nobody) -> IngestedRows:
    """Store the batch's new points, and update candles and the latest prices of their series.

    A point that is stored already (same series, time and key) changes nothing, nor does one whose price did not move
    where its source stores only moves. The series stay locked until the transaction ends, so that batches with the same
    series follow one another from here on. Whoever is to `watch` is told of the series whose latest price moved.
    """
    connection = transaction.connection
    rows = await asyncio.to_thread(_read, batch)
    resolved = await resolve_series(connection, rows.points.keys())
    rejects = [*rows.rejects, *reject_unresolved(batch.payload, _refused_rows(rows, resolved.refusals))]
    states = await lock_series(connection, set(resolved.ids.values()))
    refuse_gone(states, set(resolved.ids.values()))
    given = await asyncio.to_thread(_by_series, rows, resolved.ids, states)
    given = await _without_unmoved(connection, given)
    await _ensure_partitions(connection, given)

    replacing = await _store_late(transaction, batch, given)
    stored = sum(points.row_count for points in given) - len(replacing)
    await _store_points_and_candles(connection, given)

    changed = [points.series for points in given if points.late or points.appended]
    unsure = [points.series for points in given if _replaces_latest(points, replacing)]
    candidates = [*_newest(given), *await latest_of_points(connection, unsure)]
    latest = newer_prices(states | {series.id: replace(series, latest_arrival=None) for series in unsure}, candidates)
    await mark_points(connection, changed)
    await move_latest(connection, latest)
    await mark_touched(transaction, [series.id for series in changed])
    tell = await watch(transaction, Observations(batch.received_at, _observed(given, latest)))
    return IngestedRows(
        accepted=stored,
        duplicate=batch.row_count - len(rejects) - stored,
        rejects=rejects,
        last_step=partial(show_changes, prices=latest, then=tell),
    )


def _read(batch: ClaimedBatch) -> _ReadRows:
    """The rows that make sense. What is unique at its instant: the source's key of it, else its price and quantity."""
    reader = RowReader(accepted_at=batch.received_at)
    first_arrival = batch.sequence * ARRIVALS_PER_BATCH
    points: dict[SeriesName, list[Point]] = {}
    rejects: list[RejectedRow] = []
    for line_number, row_number, line in lines_of(batch.payload):
        try:
            row = read_object(line)
            name = reader.series_name(row)
            price = reader.amount(row, "price", line)
            quantity = reader.positive_amount(row, "quantity", line)
            microseconds, observed_at = reader.instant_or_acceptance(row, "observedAt")
            key = read_text(row, "key", longest=LONGEST_KEY)
            refuse_other_fields(row, FIELDS)
        except BadRow as bad:
            rejects.append(rejected_row(line_number, str(bad), line))
            continue
        digest = key_of_point(price, quantity) if key is None else digest_of(key)
        point = (microseconds, first_arrival + row_number, digest, price, quantity, observed_at)
        of_series = points.get(name)
        if of_series is None:
            points[name] = [point]
        else:
            of_series.append(point)
    return _ReadRows(points, rejects)


def _refused_rows(rows: _ReadRows, refusals: Mapping[SeriesName, str]) -> dict[int, str]:
    return {
        arrival % ARRIVALS_PER_BATCH: reason
        for name, reason in refusals.items()
        for _, arrival, *_ in rows.points[name]
    }


def _by_series(
    rows: _ReadRows, ids: Mapping[SeriesName, int], states: Mapping[int, SeriesState]
) -> list[_SeriesPoints]:
    points_of: dict[int, list[Point]] = {}
    for name, series_id in ids.items():
        points_of.setdefault(series_id, []).extend(rows.points[name])
    given: list[_SeriesPoints] = []
    for series_id in sorted(points_of):
        of_series = _SeriesPoints(states[series_id])
        latest_at = -1 if of_series.series.latest_at is None else of_series.series.latest_at
        for point in _each_once(points_of[series_id]):
            (of_series.appended if point[0] > latest_at else of_series.late).append(point)
        given.append(of_series)
    return given


def _each_once(points: list[Point]) -> Iterable[Point]:
    """The points in order; of those with the same time and key the first to arrive."""
    points.sort()
    instant, first_key = -1, ""
    keys: set[str] = set()
    for point in points:
        if point[0] != instant:
            instant = point[0]
            first_key = point[2]
            keys.clear()
            yield point
        elif point[2] != first_key and point[2] not in keys:
            keys.add(point[2])
            yield point


async def _without_unmoved(connection: AsyncConnection, given: list[_SeriesPoints]) -> list[_SeriesPoints]:
    """The points that are to be stored: of sources that want only those, the ones where the price moved."""
    unmoving = [points for points in given if points.series.is_change_only]
    await mark_seen(connection, {points.series.id: (points.appended or points.late)[-1][0] for points in unmoving})
    late = [(points.series.id, point) for points in unmoving for point in points.late]
    stored = await stored_around(connection, late)
    for points in unmoving:
        moves = moves_among(points.series, (*points.late, *points.appended), stored.get(points.series.id, ()))
        _take(points, moves)
    await _add_sightings(connection, given)
    return [points for points in given if points.late or points.appended]


async def _add_sightings(connection: AsyncConnection, given: Iterable[_SeriesPoints]) -> None:
    """Add the last sighting where the source stores only moves no longer: each of its points is stored from now on."""
    no_longer = [
        points for points in given if not points.series.is_change_only and points.series.last_seen_at is not None
    ]
    for points in no_longer:
        sighting = last_sighting(points.series)
        known = {(point[0], point[2]) for point in points.appended}
        if sighting is not None and (sighting[0], sighting[2]) not in known:
            _take(points, [*points.late, *sorted((*points.appended, sighting))])
    await forget_seen(connection, [points.series.id for points in no_longer])


def _take(points: _SeriesPoints, chosen: Sequence[Point]) -> None:
    """Store these points, in their order, in place of those that the batch has."""
    given = {point[1] for point in (*points.late, *points.appended)}
    is_after_latest = points.series.is_after_latest
    points.has_sighting = any(point[1] not in given for point in chosen)
    points.late = [point for point in chosen if not is_after_latest(point[0])]
    points.appended = [point for point in chosen if is_after_latest(point[0])]


async def _ensure_partitions(connection: AsyncConnection, given: Iterable[_SeriesPoints]) -> None:
    months: set[tuple[int, int]] = set()
    for points in given:
        ordered = [*points.late, *points.appended]
        ends = {_month(ordered[0]), _month(ordered[-1])}
        months |= ends if len(ends) == 1 else {_month(point) for point in ordered}
    await ensure_point_partitions(connection, months)
    await ensure_candle_partitions(connection, {year for year, _ in months})


def _month(point: Point) -> tuple[int, int]:
    instant = from_microseconds(point[0])
    return instant.year, instant.month


async def _store_late(transaction: Transaction, batch: ClaimedBatch, given: Iterable[_SeriesPoints]) -> set[int]:
    """Store the late points that are new, and forget the others.

    Of a point that is stored already, from a batch accepted later but processed earlier, the one that arrived first
    counts: it takes the other's place. Gives the arrivals of those.
    """
    connection = transaction.connection
    lines = [_line(points.series.id, point) for points in given for point in points.late]
    if not lines:
        return set()
    await connection.execute(_MAKE_STAGED_POINTS)
    await connection.execute(_EMPTY_STAGED_POINTS)
    await copy_lines(connection, lines, table="staged_points", columns=_POINT_COLUMNS)
    replacing: set[int] = set()
    if await is_overtaken(transaction, batch):
        replacing = set((await connection.execute(_REPLACE_LATER_POINTS)).scalars())
    arrivals = replacing | set((await connection.execute(_STORE_STAGED_POINTS)).scalars())
    for points in given:
        points.late = [point for point in points.late if point[1] in arrivals]
    return replacing


def _replaces_latest(points: _SeriesPoints, replacing: Set[int]) -> bool:
    newest = points.late[-1] if points.late else None
    return (
        newest is not None
        and newest[0] == points.series.latest_at
        and any(point[1] in replacing for point in points.late if point[0] == newest[0])
    )


async def _store_points_and_candles(connection: AsyncConnection, given: Sequence[_SeriesPoints]) -> None:
    """Store what is appended, and bring the candles of all points up to date.

    Goes piece by piece, so that the next one is worked out while the database takes the one before it in.
    """
    planner = CandlePlanner(points_kept_since=await _points_kept_since(connection, given))
    working = asyncio.create_task(asyncio.to_thread(_work_out, planner, ()))
    for piece in [*_pieces(given), ()]:
        points, candles = await working
        working = asyncio.create_task(asyncio.to_thread(_work_out, planner, piece))
        # Nothing as new as these is stored of their locked series: no conflict to look for.
        if points:
            await copy_lines(connection, points, table=PricePoint.__tablename__, columns=_POINT_COLUMNS, schema=SCHEMA)
        await append_candles(connection, candles)
    await working
    await bring_candles_up_to_date(connection, planner.changes)


async def _points_kept_since(connection: AsyncConnection, given: Iterable[_SeriesPoints]) -> int:
    """In microseconds since 1970; only late points ask for it."""
    if not any(points.late for points in given):
        return 0
    return in_microseconds((await kept_since(connection))[RetentionSubject.POINTS])


def _pieces(given: Iterable[_SeriesPoints]) -> Iterator[list[_SeriesPoints]]:
    piece: list[_SeriesPoints] = []
    count = 0
    for points in given:
        piece.append(points)
        count += len(points.appended)
        if count >= POINTS_IN_A_PIECE:
            yield piece
            piece, count = [], 0
    yield piece


def _work_out(planner: CandlePlanner, piece: Iterable[_SeriesPoints]) -> tuple[list[str], list[str]]:
    for points in piece:
        planner.add(points.series, late=points.late, appended=points.appended)
    return [_line(points.series.id, point) for points in piece for point in points.appended], planner.take_new()


def _line(series_id: int, point: Point) -> str:
    _, arrival, key, price, quantity, observed_at = point
    return f"{series_id}\t{observed_at}\t{key}\t{price}\t{quantity or _NULL}\t{arrival}\n"


def _newest(given: Collection[_SeriesPoints]) -> Iterable[LatestPrice]:
    for points in given:
        for listed in (points.late, points.appended):
            if listed:
                microseconds, arrival, _, price, quantity, _ = listed[-1]
                yield LatestPrice(points.series.id, microseconds, arrival, price, quantity)


def _observed(given: Iterable[_SeriesPoints], latest: Iterable[LatestPrice]) -> list[ObservedSeries]:
    points_of = {points.series.id: points for points in given}
    observed = []
    for last in latest:
        points = points_of[last.series_id]
        prices = [(point[0], point[1], point[3]) for point in chain(points.late, points.appended)]
        observed.append(observed_series(points.series, prices, last))
    return observed


_MAKE_STAGED_POINTS = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_points (LIKE prices.price_points) ON COMMIT DELETE ROWS
""")
_EMPTY_STAGED_POINTS = text("DELETE FROM staged_points")
_REPLACE_LATER_POINTS = text("""
    UPDATE prices.price_points AS stored
    SET price = staged.price, quantity = staged.quantity, arrival = staged.arrival
    FROM staged_points AS staged
    WHERE stored.series_id = staged.series_id AND stored.observed_at = staged.observed_at
        AND stored.key = staged.key AND stored.arrival > staged.arrival
    RETURNING stored.arrival
""")
_STORE_STAGED_POINTS = text("""
    INSERT INTO prices.price_points (series_id, observed_at, key, price, quantity, arrival)
    SELECT series_id, observed_at, key, price, quantity, arrival FROM staged_points
    ON CONFLICT DO NOTHING RETURNING arrival
""")
