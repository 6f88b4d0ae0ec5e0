"""The candles of a series: provided ones where there are any, else derived, else rolled up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    Interval,
    Numeric,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    text,
)
from sqlalchemy.sql.elements import ColumnElement

from app.core.database import OPERATION_TIME
from app.prices.resolutions import (
    BEGINNING_OF_TIME,
    BUCKET_ORIGIN,
    END_OF_TIME,
    LONGEST_MONTH_IN_DAYS,
    ROLLED_UP,
    Resolution,
    bucket_start,
    first_bucket_from,
    last_bucket_before,
)


class CandleOrigin(StrEnum):
    """How a candle came to be."""

    PROVIDED = "provided"
    DERIVED = "derived"
    ROLLED_UP = "rolled_up"
    FILLED = "filled"


class CandleFill(StrEnum):
    """What stands in a bucket without a price."""

    NONE = "none"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class CandleWindow:
    """Which candles of a series: those of the resolution that begin in `[since, until)`, the newest `limit` of them.

    With `CandleFill.PREVIOUS` each bucket after the first candle of the series has one, up to `until`, or to the bucket
    that runs `now`.
    """

    resolution: Resolution
    since: datetime | None
    until: datetime | None
    limit: int
    now: datetime
    fill: CandleFill = CandleFill.NONE


# Most series have one layer at the resolution asked for, all provided or all rolled up: those are plain, and their
# candles are read as they are stored. PostgreSQL decides the conditions on `layered` and `fills_gaps` once, before it
# runs anything of their branches.
#
# A bucket of the others is laid with tiles. Provided candles come first, the coarsest of them: a provided candle hides
# the finer ones inside of it, and finer ones fill what coarser ones leave open. Candles rolled up from points fill the
# rest: those that overlap no provided one, again the coarsest. A month is laid with tiles of a day at most, and is
# never plain: `resolution` is then that of a day, and `tiles_in_candle` the most days that a month has.
#
# `turnover` is what those tiles brought that have both it and a volume, and `sold` is their volume.
#
# Gaps are filled for the newest buckets alone, as many as there may be candles; no more candles than that lie among
# them, and with fewer the one before them is there, too, so that its close can be carried on.
_CANDLES = text("""
WITH series AS MATERIALIZED (
    SELECT id, has_points, ARRAY(
        SELECT resolution FROM unnest(provided_resolutions) AS resolution WHERE :resolution % resolution = 0
    ) AS provided
    FROM prices.price_series
    WHERE id = ANY(:series_ids)
), sorted_out AS (
    SELECT *, provided <> '{}' AS is_provided, NOT :is_by_month AND CASE provided
        WHEN '{}' THEN :resolution = :coarsest_rolled_up
        WHEN ARRAY[:resolution] THEN NOT has_points
        ELSE false
    END AS is_plain
    FROM series
    WHERE has_points OR provided <> '{}'
), layered AS (
    SELECT * FROM sorted_out WHERE NOT is_plain
), layer AS (
    SELECT id AS series_id, resolution, true AS is_provided, resolution * interval '1 second' AS width
    FROM layered CROSS JOIN unnest(provided) AS resolution
    UNION ALL
    SELECT id, resolution, false, resolution * interval '1 second'
    FROM layered CROSS JOIN unnest(CAST(:rolled_up AS integer[])) AS resolution
    WHERE has_points AND (provided <> '{}' OR resolution = :coarsest_rolled_up)
), stored AS MATERIALIZED (
    SELECT layer.resolution, layer.is_provided, layer.width, newest.*
    FROM layer CROSS JOIN LATERAL (
        SELECT series_id, bucket, open, high, low, close, volume, turnover, point_count
        FROM prices.candles
        WHERE series_id = layer.series_id AND resolution = layer.resolution AND is_provided = layer.is_provided
          AND bucket >= :since AND bucket < :until
        ORDER BY bucket DESC
        LIMIT least((:candle_limit + 1) * :tiles_in_candle * (:resolution / layer.resolution), :layer_limit)
    ) AS newest
), provided_tile AS (
    SELECT * FROM stored WHERE is_provided AND NOT EXISTS (
        SELECT FROM layer AS coarser JOIN prices.candles AS around
            ON around.series_id = coarser.series_id AND around.resolution = coarser.resolution
            AND around.bucket = date_bin(coarser.width, stored.bucket, :bucket_origin) AND around.is_provided
        WHERE coarser.series_id = stored.series_id AND coarser.is_provided AND coarser.resolution > stored.resolution
    )
), free AS MATERIALIZED (
    SELECT * FROM stored WHERE NOT is_provided AND NOT EXISTS (
        SELECT FROM layer AS other JOIN prices.candles AS overlapping
            ON overlapping.series_id = other.series_id AND overlapping.resolution = other.resolution
            AND overlapping.bucket >= date_bin(other.width, stored.bucket, :bucket_origin)
            AND overlapping.bucket < stored.bucket + stored.width AND overlapping.is_provided
        WHERE other.series_id = stored.series_id AND other.is_provided
    )
), tile AS (
    SELECT * FROM provided_tile
    UNION ALL
    SELECT * FROM free WHERE resolution = :coarsest_rolled_up OR NOT EXISTS (
        SELECT FROM unnest(CAST(:rolled_up AS integer[])) AS coarser (resolution) JOIN free AS around
            ON around.series_id = free.series_id AND around.resolution = coarser.resolution
            AND around.bucket = date_bin(coarser.resolution * interval '1 second', free.bucket, :bucket_origin)
        WHERE coarser.resolution > free.resolution
    )
), laid AS (
    SELECT series_id,
           CASE WHEN :is_by_month THEN date_trunc('month', bucket, 'UTC')
                ELSE date_bin(:width, bucket, :bucket_origin) END AS start,
           (array_agg(open ORDER BY bucket))[1] AS open,
           (array_agg(high ORDER BY high DESC, bucket))[1] AS high,
           (array_agg(low ORDER BY low, bucket))[1] AS low,
           (array_agg(close ORDER BY bucket DESC))[1] AS close,
           sum(volume) AS volume, sum(turnover) FILTER (WHERE volume IS NOT NULL) AS turnover,
           sum(volume) FILTER (WHERE turnover IS NOT NULL) AS sold,
           CASE WHEN bool_or(is_provided) THEN NULL ELSE sum(point_count) END AS point_count,
           bool_or(is_provided) AS is_provided, NOT :is_by_month AND max(resolution) = :resolution AS is_whole
    FROM tile
    GROUP BY series_id, start
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY series_id ORDER BY start DESC) AS newness FROM laid
), found AS NOT MATERIALIZED (
    SELECT plain.id AS series_id, newest.bucket AS start, open, high, low, close, volume, turnover,
           volume AS sold,
           CASE WHEN plain.is_provided THEN NULL ELSE CAST(point_count AS bigint) END AS point_count,
           plain.is_provided, true AS is_whole
    FROM sorted_out AS plain CROSS JOIN LATERAL (
        SELECT bucket, open, high, low, close, volume, turnover, point_count
        FROM prices.candles
        WHERE series_id = plain.id AND resolution = :resolution AND is_provided = plain.is_provided
          AND bucket >= :since AND bucket < :until
        ORDER BY bucket DESC
        LIMIT least(:candle_limit, :layer_limit)
    ) AS newest
    WHERE plain.is_plain
    UNION ALL
    SELECT series_id, start, open, high, low, close, volume, turnover, sold, point_count, is_provided,
           is_whole
    FROM numbered
    WHERE newness <= :candle_limit AND EXISTS (SELECT FROM layered)
), known AS MATERIALIZED (
    SELECT * FROM found WHERE :fills_gaps
), filled_range AS (
    SELECT series_id, greatest(min(start), :fill_since) AS earliest,
           least(greatest(max(start), :running), :fill_last) AS latest
    FROM known GROUP BY series_id
), grid AS (
    SELECT series_id, bucket.start
    FROM filled_range CROSS JOIN LATERAL (
        SELECT generate_series(
            latest, earliest, CASE WHEN :is_by_month THEN interval '-1 month' ELSE - :width END
        ) AS start
        LIMIT :candle_limit
    ) AS bucket
), stretched AS (
    SELECT *, grid.start IS NOT NULL AS is_wanted, known.start IS NULL AS is_gap,
           count(known.start) OVER (PARTITION BY series_id ORDER BY start) AS stretch
    FROM grid FULL JOIN known USING (series_id, start)
), carried AS (
    SELECT *, first_value(close) OVER stretch AS previous, first_value(is_provided) OVER stretch AS of_provided,
           first_value(is_whole) OVER stretch AS of_whole
    FROM stretched WINDOW stretch AS (PARTITION BY series_id, stretch ORDER BY start)
), filled AS (
    SELECT series_id, start, is_gap,
           coalesce(open, previous) AS open, coalesce(high, previous) AS high, coalesce(low, previous) AS low,
           coalesce(close, previous) AS close,
           CASE WHEN is_gap THEN 0 ELSE volume END AS volume, CASE WHEN is_gap THEN 0 ELSE turnover END AS turnover,
           sold,
           CASE WHEN is_gap THEN 0 ELSE point_count END AS point_count,
           of_provided AS is_provided, of_whole AS is_whole
    FROM carried WHERE is_wanted
)
SELECT series_id, start, open, high, low, close, volume, turnover, sold, point_count, is_provided,
       is_whole, false AS is_filled
FROM found WHERE NOT :fills_gaps
UNION ALL
SELECT series_id, start, open, high, low, close, volume, turnover, sold, point_count, is_provided,
       is_whole, is_gap
FROM filled WHERE :fills_gaps
""").bindparams(
    bindparam("series_ids", type_=ARRAY(Integer)),
    bindparam("resolution", type_=Integer),
    bindparam("rolled_up", type_=ARRAY(Integer)),
    bindparam("coarsest_rolled_up", type_=Integer),
    bindparam("candle_limit", type_=BigInteger),
    bindparam("layer_limit", type_=BigInteger),
    bindparam("width", type_=Interval),
    bindparam("bucket_origin", type_=DateTime(timezone=True)),
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("until", type_=DateTime(timezone=True)),
    bindparam("is_by_month", type_=Boolean),
    bindparam("tiles_in_candle", type_=BigInteger),
    bindparam("fills_gaps", type_=Boolean),
    bindparam("fill_since", type_=DateTime(timezone=True)),
    bindparam("fill_last", type_=DateTime(timezone=True)),
    bindparam("running", type_=DateTime(timezone=True)),
)
# The candles of the series in `series_ids`, as the other parameters ask for them: see `candle_values`.
CANDLES = _CANDLES.columns(
    Column("series_id", Integer, nullable=False),
    Column("start", DateTime(timezone=True), nullable=False),
    Column("open", Numeric, nullable=False),
    Column("high", Numeric, nullable=False),
    Column("low", Numeric, nullable=False),
    Column("close", Numeric, nullable=False),
    Column("volume", Numeric),
    Column("turnover", Numeric),
    Column("sold", Numeric),
    Column("point_count", Numeric),
    Column("is_provided", Boolean, nullable=False),
    Column("is_whole", Boolean, nullable=False),
    Column("is_filled", Boolean, nullable=False),
).subquery("candle")
SERIES_IDS = "series_ids"
_candle = CANDLES.c
POINT_COUNT: ColumnElement[Any] = cast(_candle.point_count, BigInteger)
# Without the zeros that division leaves at the end.
VOLUME_WEIGHTED_AVERAGE_PRICE: ColumnElement[Any] = case(
    (_candle.sold != 0, func.trim_scale(_candle.turnover / _candle.sold))
)
ORIGIN: ColumnElement[Any] = case(
    (_candle.is_filled, CandleOrigin.FILLED.value),
    (~_candle.is_provided, CandleOrigin.ROLLED_UP.value),
    (_candle.is_whole, CandleOrigin.PROVIDED.value),
    else_=CandleOrigin.DERIVED.value,
)
_WIDTH: ColumnElement[Any] = case(
    (bindparam("is_by_month", type_=Boolean), literal_column("interval '1 month'", Interval())),
    else_=bindparam("width", type_=Interval),
)
IS_COMPLETE: ColumnElement[bool] = _candle.start + _WIDTH <= OPERATION_TIME

# Stored candles read of one layer of one series; a week of minutes is 10,080 of them.
LARGEST_LAYER = 1_000_000


def candle_values(window: CandleWindow) -> dict[str, Any]:
    """The parameters of `CANDLES` beside the series: as provided, else derived from provided ones and from points."""
    is_by_month = window.resolution is Resolution.ONE_MONTH
    resolution = int(Resolution.ONE_DAY if is_by_month else window.resolution)
    rolled_up = [int(stored) for stored in ROLLED_UP if resolution % stored == 0]
    # Whole buckets only: a range that begins inside of a bucket begins with the next one.
    since = first_bucket_from(window.since, window.resolution) if window.since else BEGINNING_OF_TIME
    until = first_bucket_from(window.until, window.resolution) if window.until else END_OF_TIME
    fills_gaps = window.fill is CandleFill.PREVIOUS
    return {
        "resolution": resolution,
        "rolled_up": rolled_up,
        "coarsest_rolled_up": max(rolled_up, default=None),
        "layer_limit": LARGEST_LAYER,
        "width": timedelta(seconds=window.resolution),
        "bucket_origin": BUCKET_ORIGIN,
        # What is carried on may have begun before the range.
        "since": BEGINNING_OF_TIME if fills_gaps else since,
        "until": until,
        "candle_limit": window.limit,
        "is_by_month": is_by_month,
        "tiles_in_candle": LONGEST_MONTH_IN_DAYS if is_by_month else 1,
        "fills_gaps": fills_gaps,
        "fill_since": since,
        "fill_last": last_bucket_before(until, window.resolution),
        "running": bucket_start(window.now, window.resolution),
    }
