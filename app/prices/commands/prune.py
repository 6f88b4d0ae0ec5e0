"""Deletes what is kept only for a while."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.prices.commands.series_state import lock_series
from app.prices.models import Candle, PriceChange, PriceSeries, RetentionMark, RetentionSubject
from app.prices.resolutions import BEGINNING_OF_TIME, Resolution, bucket_start

PRICE_CHANGES_KEPT_FOR = timedelta(days=7)
SERIES_AT_ONCE = 500

_RESOLUTIONS = {
    RetentionSubject.MINUTE_CANDLES: Resolution.ONE_MINUTE,
    RetentionSubject.HOUR_CANDLES: Resolution.ONE_HOUR,
}
_DROP_POINTS = text("SELECT prices.drop_points_before(:before)")


@dataclass(frozen=True, slots=True)
class PrunedCandles:
    """How many candles were deleted, and the series to go on after; None when all have been looked at."""

    count: int
    last_series_id: int | None


async def prune_price_changes(transaction: Transaction, *, now: datetime) -> int:
    """Delete the changes of latest prices that are older than seven days; gives how many there were."""
    deleted = await transaction.connection.execute(
        delete(PriceChange).where(PriceChange.recorded_at < now - PRICE_CHANGES_KEPT_FOR)
    )
    return deleted.rowcount


async def prune_points(transaction: Transaction, *, before: datetime) -> int:
    """Drop the points of all months that were over before then; gives how many months, or chunks, there were.

    The candles made of them stay. From here on they are not computed anew: see `kept_since`.
    """
    month = before.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    dropped = int(await transaction.connection.scalar(_DROP_POINTS, {"before": month}) or 0)
    if dropped:
        await _mark(transaction, RetentionSubject.POINTS, month)
    return dropped


async def prune_candles(
    transaction: Transaction, *, subject: RetentionSubject, before: datetime, after_series_id: int = 0
) -> PrunedCandles:
    """Delete the candles of the next few series that begin before that day, and were rolled up from points.

    What a source provided stays: nothing could bring it back.
    """
    ids = (
        await transaction.connection.scalars(
            select(PriceSeries.id)
            .where(PriceSeries.id > after_series_id, PriceSeries.has_points)
            .order_by(PriceSeries.id)
            .limit(SERIES_AT_ONCE)
        )
    ).all()
    if not ids:
        return PrunedCandles(0, None)
    # Who stores late points of them now counts on what is about to go, and is waited for.
    await lock_series(transaction.connection, ids)
    day = bucket_start(before, Resolution.ONE_DAY)
    await _mark(transaction, subject, day)
    deleted = await transaction.connection.execute(
        delete(Candle).where(
            Candle.series_id == PriceSeries.id,
            PriceSeries.id.between(ids[0], ids[-1]),
            Candle.resolution == int(_RESOLUTIONS[subject]),
            Candle.bucket < day,
            ~Candle.is_provided,
        )
    )
    return PrunedCandles(deleted.rowcount, ids[-1])


async def kept_since(connection: AsyncConnection) -> dict[RetentionSubject, datetime]:
    """Since when each subject is kept whole."""
    rows = await connection.execute(select(RetentionMark.subject, RetentionMark.kept_since))
    marks = {RetentionSubject(row.subject): row.kept_since for row in rows}
    return {subject: marks.get(subject, BEGINNING_OF_TIME) for subject in RetentionSubject}


async def _mark(transaction: Transaction, subject: RetentionSubject, instant: datetime) -> None:
    marked = insert(RetentionMark).values(subject=subject.value, kept_since=instant)
    await transaction.connection.execute(
        marked.on_conflict_do_update(
            index_elements=[RetentionMark.subject],
            set_={"kept_since": func.greatest(RetentionMark.kept_since, marked.excluded.kept_since)},
        )
    )
