"""Takes a batch of candles in that a source provides: kept exactly as given, at their own resolution."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.ingestion.batch_rows import lines_of, read_object, refuse_other_fields
from app.ingestion.commands import ClaimedBatch, RejectedRow, rejected_row
from app.ingestion.errors import BadRow
from app.ingestion.processing import IngestedRows
from app.prices.commands.change_only import last_sighting, store_sighting
from app.prices.commands.ingest_points import ARRIVALS_PER_BATCH
from app.prices.commands.partitions import ensure_candle_partitions
from app.prices.commands.read_rows import (
    SERIES_FIELDS,
    Instant,
    RowReader,
    SeriesName,
    from_microseconds,
    in_microseconds,
    read_amount,
)
from app.prices.commands.resolve_series import resolve_series
from app.prices.commands.roll_up import MICROSECONDS
from app.prices.commands.series_state import (
    LatestPrice,
    SeriesState,
    lock_series,
    mark_provided,
    move_latest,
    newer_prices,
    refuse_gone,
    show_changes,
)
from app.prices.commands.stored_candles import CandlePlanner, bring_candles_up_to_date, stage_candles
from app.prices.commands.unresolved_rows import reject_unresolved
from app.prices.observations import (
    Observations,
    ObservedPrice,
    ObservedSeries,
    Watcher,
    nobody,
    observed_series,
)
from app.prices.resolutions import BUCKET_ORIGIN

LONGEST_RESOLUTION = 366 * 86_400
FIELDS = SERIES_FIELDS | {"resolution", "bucket", "open", "high", "low", "close", "volume", "turnover"}


class _Values(NamedTuple):
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    turnover: Decimal | None


class _Candle(NamedTuple):
    arrival: int
    resolution: int
    bucket: Instant
    values: _Values


_Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _ReadRows:
    candles: Mapping[SeriesName, Sequence[_Candle]]
    rejects: Sequence[RejectedRow]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The last candle for each place (series, resolution, bucket) and how many rows only repeated the one before."""

    candles: Mapping[_Place, _Candle]
    repeated: int
    replaced: int


async def ingest_candles(transaction: Transaction, batch: ClaimedBatch, *, watch: Watcher = nobody) -> IngestedRows:
    """Store the batch's candles as provided by their sources, over what was rolled up or provided before.

    A candle that is stored already with the same values changes nothing. The close of a series' newest candle is a
    price as of that candle's end, or of the batch's acceptance where the candle is still running. Whoever is to `watch`
    is told of the series whose latest price moved, with all closes that are newer than it was.
    """
    connection = transaction.connection
    rows = await asyncio.to_thread(_read, batch)
    resolved = await resolve_series(connection, rows.candles.keys())
    rejects = [*rows.rejects, *reject_unresolved(batch.payload, _refused_rows(rows, resolved.refusals))]
    states = await lock_series(connection, set(resolved.ids.values()))
    refuse_gone(states, set(resolved.ids.values()))
    kept = _last_of_each(rows, resolved.ids)
    years = {from_microseconds(candle.bucket[0]).year for candle in kept.candles.values()}
    await ensure_candle_partitions(connection, years)
    changed = await _store(connection, kept.candles)

    resolutions: dict[int, set[int]] = {}
    for series_id, resolution, _ in kept.candles:
        resolutions.setdefault(series_id, set()).add(resolution)
    await mark_provided(connection, resolutions)
    accepted_at = in_microseconds(batch.received_at)
    closes = [_price(place, kept.candles[place], accepted_at=accepted_at) for place in changed]
    latest = newer_prices(states, [*closes, *await _keep_later_sightings(connection, states, closes)])
    await move_latest(connection, latest)
    tell = await watch(transaction, Observations(batch.received_at, _observed(states, closes, latest)))
    return IngestedRows(
        accepted=len(changed) + kept.replaced,
        duplicate=kept.repeated + len(kept.candles) - len(changed),
        rejects=rejects,
        last_step=partial(show_changes, prices=latest, then=tell),
    )


async def _keep_later_sightings(
    connection: AsyncConnection, states: Mapping[int, SeriesState], closes: Iterable[LatestPrice]
) -> list[LatestPrice]:
    """Store the last sightings of series that get a newer close, where they came after it: they are newer still."""
    newest: dict[int, int] = {}
    for close in closes:
        if states[close.series_id].is_after_latest(close.observed_at):
            newest[close.series_id] = max(close.observed_at, newest.get(close.series_id, 0))
    planner = CandlePlanner()
    latest = []
    for series_id in sorted(newest):
        sighting = last_sighting(states[series_id])
        if sighting is not None and sighting[0] > newest[series_id]:
            await store_sighting(connection, series_id, sighting)
            planner.add(states[series_id], late=[sighting], appended=())
            latest.append(LatestPrice(series_id, sighting[0], sighting[1], sighting[3], None))
    await bring_candles_up_to_date(connection, planner.changes)
    return latest


def _read(batch: ClaimedBatch) -> _ReadRows:
    reader = RowReader(accepted_at=batch.received_at)
    first_arrival = batch.sequence * ARRIVALS_PER_BATCH
    candles: dict[SeriesName, list[_Candle]] = {}
    rejects: list[RejectedRow] = []
    for line_number, row_number, line in lines_of(batch.payload):
        try:
            row = read_object(line)
            name = reader.series_name(row)
            resolution = _resolution(row)
            bucket = _bucket(reader, row, resolution)
            values = _values(row, line)
            refuse_other_fields(row, FIELDS)
        except BadRow as bad:
            rejects.append(rejected_row(line_number, str(bad), line))
        else:
            candles.setdefault(name, []).append(_Candle(first_arrival + row_number, resolution, bucket, values))
    return _ReadRows(candles, rejects)


def _resolution(row: dict[str, Any]) -> int:
    value = row.get("resolution")
    if type(value) is not int or not 1 <= value <= LONGEST_RESOLUTION:
        raise BadRow(f"`resolution` must be a whole number of seconds from 1 to {LONGEST_RESOLUTION}, such as 3600.")
    return value


def _bucket(reader: RowReader, row: dict[str, Any], resolution: int) -> Instant:
    bucket = reader.instant(row, "bucket")
    if (bucket[0] - in_microseconds(BUCKET_ORIGIN)) % (resolution * MICROSECONDS):
        raise BadRow(
            f"`bucket` is {row['bucket']}, which no bucket of {resolution} seconds begins at; give its start in UTC, "
            f"counted from {BUCKET_ORIGIN:%Y-%m-%d}."
        )
    return bucket


def _values(row: dict[str, Any], line: bytes) -> _Values:
    open_, high, low, close = (Decimal(read_amount(row, name, line)) for name in ("open", "high", "low", "close"))
    if not (low <= open_ <= high and low <= close <= high):
        raise BadRow(f"`open` {open_} and `close` {close} must lie between `low` {low} and `high` {high}.")
    volume, turnover = (
        None if row.get(name) is None else Decimal(read_amount(row, name, line)) for name in ("volume", "turnover")
    )
    return _Values(open_, high, low, close, volume, turnover)


def _refused_rows(rows: _ReadRows, refusals: Mapping[SeriesName, str]) -> dict[int, str]:
    return {
        candle.arrival % ARRIVALS_PER_BATCH: reason
        for name, reason in refusals.items()
        for candle in rows.candles[name]
    }


def _last_of_each(rows: _ReadRows, ids: Mapping[SeriesName, int]) -> _Kept:
    kept: dict[_Place, _Candle] = {}
    repeated = replaced = 0
    for name, series_id in ids.items():
        for candle in rows.candles[name]:
            place = (series_id, candle.resolution, candle.bucket[0])
            before = kept.get(place)
            if before is not None and before.values == candle.values:
                repeated += 1
                continue
            if before is not None:
                replaced += 1
            if before is None or candle.arrival > before.arrival:
                kept[place] = candle
    return _Kept(kept, repeated, replaced)


async def _store(connection: AsyncConnection, candles: Mapping[_Place, _Candle]) -> list[_Place]:
    """Store the candles; gives the places of those that are new or different now."""
    lines = [_line(place, candles[place]) for place in sorted(candles)]
    await stage_candles(connection, lines)
    rows = await connection.execute(_STORE_STAGED)
    return [(row.series_id, row.resolution, in_microseconds(row.bucket)) for row in rows]


def _line(place: _Place, candle: _Candle) -> str:
    amounts = "\t".join(r"\N" if value is None else format(value, "f") for value in candle.values)
    return f"{place[0]}\t{candle.resolution}\t{candle.bucket[1]}\t{amounts}\t\\N\tt\n"


def _price(place: _Place, candle: _Candle, *, accepted_at: int) -> LatestPrice:
    start = candle.bucket[0]
    end = start + candle.resolution * MICROSECONDS
    # A source's clock may be ahead of ours: never before the candle's own start.
    observed_at = min(end, max(accepted_at, start))
    return LatestPrice(place[0], observed_at, candle.arrival, format(candle.values.close, "f"), None)


def _observed(
    states: Mapping[int, SeriesState], closes: Iterable[LatestPrice], latest: Iterable[LatestPrice]
) -> list[ObservedSeries]:
    prices_of: dict[int, list[ObservedPrice]] = {}
    for close in sorted(closes):
        prices_of.setdefault(close.series_id, []).append((close.observed_at, close.arrival, close.price))
    return [observed_series(states[last.series_id], prices_of.get(last.series_id, ()), last) for last in latest]


_STORE_STAGED = text("""
    INSERT INTO prices.candles AS stored (
        series_id, resolution, bucket, open, high, low, close, volume, turnover,
        point_count, is_provided
    )
    SELECT
        series_id, resolution, bucket, open, high, low, close, volume, turnover,
        point_count, is_provided
    FROM staged_candles ORDER BY series_id, resolution, bucket
    ON CONFLICT (series_id, resolution, bucket) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, turnover = excluded.turnover, point_count = NULL, is_provided = true
    WHERE NOT stored.is_provided
        OR (stored.open, stored.high, stored.low, stored.close, stored.volume, stored.turnover)
            IS DISTINCT FROM
            (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.turnover)
    RETURNING series_id, resolution, bucket
""")
