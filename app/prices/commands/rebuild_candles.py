"""Computes stored candles anew from points, step by step: whoever goes on begins where the last step ended."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.errors import BadUserInput, NotFound
from app.prices.commands.partitions import ensure_candle_partitions
from app.prices.commands.prune import kept_since
from app.prices.commands.series_state import lock_series
from app.prices.models import CandleRebuild, PriceSeries, RetentionSubject
from app.prices.resolutions import (
    BEGINNING_OF_TIME,
    BUCKET_ORIGIN,
    END_OF_TIME,
    ROLLED_UP,
    Resolution,
    bucket_start,
    first_bucket_from,
    next_bucket,
)

_SUBJECTS = {
    Resolution.ONE_MINUTE: RetentionSubject.MINUTE_CANDLES,
    Resolution.ONE_HOUR: RetentionSubject.HOUR_CANDLES,
}


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """How far a rebuild has come: series that are done, candles that were wrong or missing, and that should not be."""

    id: int
    next_series_id: int
    changed: int
    removed: int
    is_finished: bool
    is_resumed: bool = False


async def begin_rebuild(
    transaction: Transaction,
    *,
    series_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> RebuildProgress:
    """A rebuild of one series or all, of the days that `since` and `until` lie in; one that was begun is gone on with.

    Raises `NotFound` for a series that is not there, and `BadUserInput` for a range that ends before it begins.
    """
    connection = transaction.connection
    if since is not None and until is not None and until < since:
        raise BadUserInput("The end lies before the beginning; a range ends after it begins.")
    if series_id is not None and await connection.scalar(select(PriceSeries.id).filter_by(id=series_id)) is None:
        raise NotFound("There is no such series; take the `id` of a series from the API.")
    since = None if since is None else bucket_start(since, Resolution.ONE_DAY)
    until = None if until is None else first_bucket_from(until, Resolution.ONE_DAY)
    values = {"series_id": series_id, "since": since, "until": until, "first": 0 if series_id is None else series_id}
    new = (await connection.execute(_BEGIN, values)).one_or_none()
    begun = (await connection.execute(_BEGUN, values)).one() if new is None else new
    return RebuildProgress(
        id=begun.id,
        next_series_id=begun.next_series_id,
        changed=begun.changed_count,
        removed=begun.removed_count,
        is_finished=False,
        is_resumed=new is None,
    )


async def continue_rebuild(transaction: Transaction, rebuild_id: int) -> RebuildProgress:
    """Do the next step of it: a month of one series at the most. What is done and the position are committed together.

    The series is locked meanwhile, as batches lock it. Several who do the same take turns.
    """
    connection = transaction.connection
    rebuild = (
        await connection.execute(select(CandleRebuild.__table__).filter_by(id=rebuild_id).with_for_update())
    ).one()
    if rebuild.finished_at is not None:
        return RebuildProgress(
            rebuild.id, rebuild.next_series_id, rebuild.changed_count, rebuild.removed_count, is_finished=True
        )
    series_id = await _next_series(connection, rebuild.next_series_id, only=rebuild.series_id)
    if series_id is None:
        return await _move(connection, rebuild_id, {"finished_at": func.now(), "next_instant": None})
    begins_series = series_id != rebuild.next_series_id or rebuild.next_instant is None
    await lock_series(connection, [series_id])
    kept = await kept_since(connection)
    # Where points have been dropped, the candles are all that is left of them.
    earliest = first_bucket_from(kept[RetentionSubject.POINTS], Resolution.ONE_DAY)
    since = max(rebuild.since or BEGINNING_OF_TIME, earliest)
    since = since if begins_series else max(since, rebuild.next_instant)
    first = await connection.scalar(
        _FIRST,
        {"series_id": series_id, "since": since, "until": rebuild.until or END_OF_TIME, "rolled_up": list(ROLLED_UP)},
    )
    if first is None:
        return await _move(connection, rebuild_id, {"next_series_id": series_id + 1, "next_instant": None})
    start = bucket_start(first.astimezone(UTC), Resolution.ONE_DAY)
    end = min(
        next_bucket(bucket_start(start, Resolution.ONE_MONTH), Resolution.ONE_MONTH), rebuild.until or END_OF_TIME
    )
    changed, removed = await rebuild_days(connection, series_id, start, end, kept)
    return await _move(
        connection,
        rebuild_id,
        {
            "next_series_id": series_id,
            "next_instant": end,
            "changed_count": CandleRebuild.changed_count + changed,
            "removed_count": CandleRebuild.removed_count + removed,
        },
    )


async def count_series_to_rebuild(connection: AsyncConnection, *, series_id: int | None, first: int = 0) -> int:
    """How many series there are to do, from `first` on."""
    counted = select(func.count()).select_from(PriceSeries).where(PriceSeries.has_points, PriceSeries.id >= first)
    if series_id is not None:
        counted = counted.where(PriceSeries.id == series_id)
    return int((await connection.execute(counted)).scalar_one())


async def _next_series(connection: AsyncConnection, first: int, *, only: int | None) -> int | None:
    found = select(func.min(PriceSeries.id)).where(PriceSeries.has_points, PriceSeries.id >= first)
    if only is not None:
        found = found.where(PriceSeries.id == only)
    series_id: int | None = await connection.scalar(found)
    return series_id


async def rebuild_days(
    connection: AsyncConnection,
    series_id: int,
    start: datetime,
    end: datetime,
    kept: dict[RetentionSubject, datetime],
) -> tuple[int, int]:
    """Make the candles of these whole days what the points say; gives how many were changed, and removed."""
    await ensure_candle_partitions(connection, {start.year})
    all_changed = all_removed = 0
    for resolution in ROLLED_UP:
        subject = _SUBJECTS.get(resolution)
        since = start if subject is None else max(start, kept[subject])
        if since >= end:
            continue
        values = {
            "series_id": series_id,
            "resolution": int(resolution),
            "width": timedelta(seconds=resolution),
            "bucket_origin": BUCKET_ORIGIN,
            "since": since,
            "until": end,
        }
        changed, removed = (await connection.execute(_REBUILD, values)).one()
        all_changed += changed
        all_removed += removed
    return all_changed, all_removed


async def _move(connection: AsyncConnection, rebuild_id: int, values: dict[str, object]) -> RebuildProgress:
    moved = await connection.execute(
        update(CandleRebuild)
        .where(CandleRebuild.id == rebuild_id)
        .values(values)
        .returning(
            CandleRebuild.id,
            CandleRebuild.next_series_id,
            CandleRebuild.changed_count,
            CandleRebuild.removed_count,
            CandleRebuild.finished_at.is_not(None),
        )
    )
    return RebuildProgress(*moved.one())


_BEGIN = text("""
    INSERT INTO prices.candle_rebuilds (series_id, since, until, next_series_id)
    VALUES (CAST(:series_id AS integer), CAST(:since AS timestamptz), CAST(:until AS timestamptz), :first)
    ON CONFLICT DO NOTHING
    RETURNING id, next_series_id, changed_count, removed_count
""")
_BEGUN = text("""
    SELECT id, next_series_id, changed_count, removed_count FROM prices.candle_rebuilds
    WHERE finished_at IS NULL AND series_id IS NOT DISTINCT FROM CAST(:series_id AS integer)
        AND since IS NOT DISTINCT FROM CAST(:since AS timestamptz)
        AND until IS NOT DISTINCT FROM CAST(:until AS timestamptz)
""")
_FIRST = text("""
    SELECT least((
        SELECT observed_at FROM prices.price_points
        WHERE series_id = :series_id AND observed_at >= :since AND observed_at < :until
        ORDER BY observed_at LIMIT 1
    ), (
        SELECT min(bucket) FROM prices.candles
        WHERE series_id = :series_id AND resolution = ANY (CAST(:rolled_up AS integer[])) AND NOT is_provided
            AND bucket >= :since AND bucket < :until
    ))
""")
_REBUILD = text("""
    WITH rolled AS MATERIALIZED (
        SELECT date_bin(:width, observed_at, :bucket_origin) AS bucket,
            (min(place))[3] AS open, max(price) AS high, min(price) AS low, (max(place))[3] AS close,
            sum(quantity) AS volume, sum(price * quantity) AS turnover, CAST(count(*) AS integer) AS point_count
        FROM (
            SELECT observed_at, price, quantity, ARRAY[extract(epoch FROM observed_at), arrival, price] AS place
            FROM prices.price_points
            WHERE series_id = :series_id AND observed_at >= :since AND observed_at < :until
        ) AS point
        GROUP BY 1
    ), changed AS (
        INSERT INTO prices.candles AS stored (
            series_id, resolution, bucket, open, high, low, close, volume, turnover, point_count, is_provided
        )
        SELECT :series_id, :resolution, bucket, open, high, low, close, volume, turnover, point_count, false
        FROM rolled
        ON CONFLICT (series_id, resolution, bucket) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, turnover = excluded.turnover, point_count = excluded.point_count
        WHERE NOT stored.is_provided
            AND (stored.open, stored.high, stored.low, stored.close, stored.volume, stored.turnover, stored.point_count)
                IS DISTINCT FROM (
                    excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.turnover,
                    excluded.point_count
                )
        RETURNING 1
    ), removed AS (
        DELETE FROM prices.candles AS stored
        WHERE series_id = :series_id AND resolution = :resolution AND bucket >= :since AND bucket < :until
            AND NOT is_provided AND NOT EXISTS (SELECT FROM rolled WHERE rolled.bucket = stored.bucket)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM changed), (SELECT count(*) FROM removed)
""")
