"""The candles of a series: provided ones where there are any, else derived, else rolled up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Integer, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.resolutions import BUCKET_ORIGIN, ROLLED_UP, first_bucket_from


class CandleOrigin(StrEnum):
    """How a candle came to be."""

    PROVIDED = "provided"
    DERIVED = "derived"
    ROLLED_UP = "rolled_up"


@dataclass(frozen=True, slots=True)
class CandleRow:
    """Open, high, low and close of the bucket that begins at `start` and lasts `resolution` seconds."""

    start: datetime
    resolution: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    turnover: Decimal | None
    point_count: int | None
    origin: CandleOrigin


@dataclass(frozen=True, slots=True)
class CandleWindow:
    """Which candles of a series: those of the resolution that begin in `[since, until)`, the newest `limit` of them."""

    resolution: int
    since: datetime | None
    until: datetime | None
    limit: int


# One row per series and stored resolution that can answer, best first: what the source itself provides at this
# resolution, what derives from the finest that it provides, what rolls up from points.
_CANDLES = text("""
WITH answering AS (
    SELECT series.id AS series_id, provided.resolution, true AS is_provided,
           CASE WHEN provided.resolution = :resolution THEN 0 ELSE 1 END AS rank
    FROM prices.price_series AS series
    CROSS JOIN LATERAL (
        SELECT DISTINCT ON (resolution = :resolution) resolution
        FROM unnest(series.provided_resolutions) AS resolution
        WHERE :resolution % resolution = 0
        ORDER BY resolution = :resolution, resolution
    ) AS provided
    WHERE series.id = ANY(:series_ids)
    UNION ALL
    SELECT id, :rolled_up_resolution, false, 2
    FROM prices.price_series
    WHERE id = ANY(:series_ids) AND has_points AND :rolled_up_resolution IS NOT NULL
), stored AS (
    SELECT answering.rank, newest.*, date_bin(:width, newest.bucket, :bucket_origin) AS start
    FROM answering
    CROSS JOIN LATERAL (
        SELECT series_id, bucket, open, high, low, close, volume, turnover, point_count
        FROM prices.candles
        WHERE series_id = answering.series_id AND resolution = answering.resolution
          AND is_provided = answering.is_provided
          AND bucket >= :since AND bucket < :until
        ORDER BY bucket DESC
        LIMIT (:candle_limit + 1) * (:resolution / answering.resolution)
    ) AS newest
), merged AS (
    SELECT series_id, start, rank,
           (array_agg(open ORDER BY bucket))[1] AS open, max(high) AS high, min(low) AS low,
           (array_agg(close ORDER BY bucket DESC))[1] AS close,
           sum(volume) AS volume, sum(turnover) AS turnover, sum(point_count) AS point_count
    FROM stored
    GROUP BY series_id, start, rank
), best AS (
    SELECT DISTINCT ON (series_id, start) * FROM merged ORDER BY series_id, start, rank
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY series_id ORDER BY start DESC) AS newness FROM best
)
SELECT series_id, start, open, high, low, close, volume, turnover, point_count, rank
FROM numbered
WHERE newness <= :candle_limit
ORDER BY series_id, start
""").bindparams(
    bindparam("series_ids", type_=ARRAY(Integer)),
    bindparam("resolution", type_=Integer),
    bindparam("rolled_up_resolution", type_=Integer),
    bindparam("candle_limit", type_=BigInteger),
)

_BEGINNING_OF_TIME = BUCKET_ORIGIN.replace(year=1)
_END_OF_TIME = BUCKET_ORIGIN.replace(year=9999)


async def candles_by_series(
    connection: AsyncConnection, series_ids: Sequence[int], *, window: CandleWindow
) -> Mapping[int, Sequence[CandleRow]]:
    """The candles of each series by time: provided ones where there are any, else derived, else rolled up."""
    rolled_up = max((stored for stored in ROLLED_UP if window.resolution % stored == 0), default=None)
    # Whole buckets only: a range that begins inside of a bucket begins with the next one.
    since = first_bucket_from(window.since, window.resolution) if window.since else _BEGINNING_OF_TIME
    until = first_bucket_from(window.until, window.resolution) if window.until else _END_OF_TIME
    rows = await connection.execute(
        _CANDLES,
        {
            "series_ids": list(series_ids),
            "resolution": window.resolution,
            "rolled_up_resolution": rolled_up,
            "width": timedelta(seconds=window.resolution),
            "bucket_origin": BUCKET_ORIGIN,
            "since": since,
            "until": until,
            "candle_limit": window.limit,
        },
    )
    candles: dict[int, list[CandleRow]] = {}
    for row in rows:
        candles.setdefault(row.series_id, []).append(_candle(row, window.resolution))
    return candles


def _candle(row: Any, resolution: int) -> CandleRow:
    origin = (CandleOrigin.PROVIDED, CandleOrigin.DERIVED, CandleOrigin.ROLLED_UP)[row.rank]
    point_count = None if row.point_count is None else int(row.point_count)
    return CandleRow(
        start=row.start,
        resolution=resolution,
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
        turnover=row.turnover,
        point_count=point_count,
        origin=origin,
    )
