"""Statistics of a series over a window that ends now."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, Column, DateTime, Integer, Interval, Numeric, bindparam, text

from app.prices.resolutions import BUCKET_ORIGIN, ROLLED_UP, Resolution

SHORTEST_WINDOW = timedelta(minutes=1)
LONGEST_WINDOW = timedelta(days=3660)
# Candles that are fine enough for a window, up to this long: not fewer than a hundred, and not more than a thousand
# unless the source has no coarser ones.
_FINE_ENOUGH = ((timedelta(hours=12), Resolution.ONE_MINUTE), (timedelta(days=14), Resolution.ONE_HOUR))

# What the candles of one resolution say. It is the one that reaches back to the beginning of the window, then the
# finest that is not finer than the window needs; none is longer than a day where there is a shorter one. The value at
# the beginning of the window comes from all of them: the close of the candle that ended last by then.
#
# Of a source that stores only moves a price that stood since before the window was seen in it, as `last_seen_at` tells.
#
# Extremes are without zeros at the end: 0 and 0.00 are equally low, and which of them is met first nobody knows.
#
# What is of all time comes from days, which are kept forever, and from what the source provides. It stands in the list
# of columns, so that PostgreSQL leaves it out where nobody asks for it.
_STATISTICS = text("""
WITH series AS (
    SELECT id, kind, latest_price, greatest(latest_observed_at, last_seen_at) AS seen_at, provided_resolutions || CASE
        WHEN has_points THEN CAST(:rolled_up AS integer[]) ELSE '{}' END AS resolutions,
        provided_resolutions || CASE WHEN has_points THEN :one_day END AS kept
    FROM prices.price_series
    WHERE id = ANY(:series_ids)
), chosen AS (
    SELECT series.*, fitting.resolution, fitting.resolution * interval '1 second' AS width
    FROM series LEFT JOIN LATERAL (
        SELECT possible.resolution
        FROM unnest(resolutions) AS possible (resolution) CROSS JOIN LATERAL (
            SELECT bucket FROM prices.candles
            WHERE series_id = series.id AND resolution = possible.resolution
            ORDER BY bucket LIMIT 1
        ) AS earliest
        ORDER BY possible.resolution <= :one_day DESC,
            greatest(date_bin(interval '1 day', earliest.bucket, :bucket_origin), :window_start),
            possible.resolution >= :fine_enough DESC, abs(possible.resolution - :fine_enough)
        LIMIT 1
    ) AS fitting ON true
)
SELECT chosen.id AS series_id, chosen.width AS resolution, earlier.close AS price_before,
    CASE WHEN earlier.close IS NOT NULL AND seen_at > :window_start THEN latest_price END AS price_after,
    CASE WHEN seen_at > :window_start THEN latest_price - earlier.close END AS change,
    CASE WHEN seen_at > :window_start AND earlier.close <> 0
        THEN trim_scale(round((latest_price - earlier.close) / earlier.close * 100, 6)) END AS change_percent,
    within.high, within.low, within.volume,
    CASE WHEN kind IN ('sale', 'market') AND within.sold <> 0
        THEN trim_scale(within.turnover / within.sold) END AS volume_weighted_average_price,
    trim_scale(round(CAST(within.deviation * sqrt(31536000.0 / chosen.resolution) AS numeric), 6)) AS volatility,
    (SELECT trim_scale(max(of_layer.high)) FROM unnest(chosen.kept) AS kept (resolution) CROSS JOIN LATERAL (
        SELECT max(high) AS high FROM prices.candles WHERE series_id = chosen.id AND resolution = kept.resolution
    ) AS of_layer) AS all_time_high,
    (SELECT of_layer.bucket FROM unnest(chosen.kept) AS kept (resolution) CROSS JOIN LATERAL (
        SELECT high, bucket FROM prices.candles WHERE series_id = chosen.id AND resolution = kept.resolution
        ORDER BY high DESC, bucket LIMIT 1
    ) AS of_layer ORDER BY of_layer.high DESC, of_layer.bucket LIMIT 1) AS all_time_high_start,
    (SELECT trim_scale(round((chosen.latest_price / nullif(max(of_layer.high), 0) - 1) * 100, 6))
    FROM unnest(chosen.kept) AS kept (resolution) CROSS JOIN LATERAL (
        SELECT max(high) AS high FROM prices.candles WHERE series_id = chosen.id AND resolution = kept.resolution
    ) AS of_layer) AS distance_from_all_time_high
FROM chosen
LEFT JOIN LATERAL (
    SELECT trim_scale(max(high)) AS high, trim_scale(min(low)) AS low, sum(volume) AS volume,
        sum(turnover) FILTER (WHERE volume IS NOT NULL) AS turnover,
        sum(volume) FILTER (WHERE turnover IS NOT NULL) AS sold,
        stddev_samp(log_return) AS deviation
    FROM (
        SELECT high, low, volume, turnover,
            CASE WHEN bucket + chosen.width <= :now AND lag(bucket) OVER by_time = bucket - chosen.width
                    AND close > 0 AND lag(close) OVER by_time > 0
                THEN ln(CAST(close AS double precision)) - ln(CAST(lag(close) OVER by_time AS double precision))
            END AS log_return
        FROM prices.candles
        WHERE series_id = chosen.id AND resolution = chosen.resolution
            AND bucket >= :window_start AND bucket <= :now
        WINDOW by_time AS (ORDER BY bucket)
    ) AS candle
) AS within ON true
LEFT JOIN LATERAL (
    SELECT ended.close
    FROM unnest(chosen.resolutions) AS possible (resolution) CROSS JOIN LATERAL (
        SELECT close, bucket + possible.resolution * interval '1 second' AS ended_at
        FROM prices.candles
        WHERE series_id = chosen.id AND resolution = possible.resolution
            AND bucket <= :window_start - possible.resolution * interval '1 second'
        ORDER BY bucket DESC LIMIT 1
    ) AS ended
    ORDER BY ended.ended_at DESC, possible.resolution
    LIMIT 1
) AS earlier ON true
""").bindparams(
    bindparam("series_ids", type_=ARRAY(Integer)),
    bindparam("rolled_up", type_=ARRAY(Integer)),
    bindparam("one_day", type_=Integer),
    bindparam("fine_enough", type_=Integer),
    bindparam("bucket_origin", type_=DateTime(timezone=True)),
    bindparam("window_start", type_=DateTime(timezone=True)),
    bindparam("now", type_=DateTime(timezone=True)),
)
# One row for each of the series in `series_ids`; the other parameters are those of `statistics_values`.
STATISTICS = _STATISTICS.columns(
    Column("series_id", Integer, nullable=False),
    Column("resolution", Interval),
    Column("price_before", Numeric),
    Column("price_after", Numeric),
    Column("change", Numeric),
    Column("change_percent", Numeric),
    Column("high", Numeric),
    Column("low", Numeric),
    Column("volume", Numeric),
    Column("volume_weighted_average_price", Numeric),
    Column("volatility", Numeric),
    Column("all_time_high", Numeric),
    Column("all_time_high_start", DateTime(timezone=True)),
    Column("distance_from_all_time_high", Numeric),
).subquery("price_statistics")


def statistics_values(window: timedelta, *, now: datetime) -> dict[str, Any]:
    """The parameters of `STATISTICS` beside the series, for the window that ends now."""
    fine_enough = next((resolution for longest, resolution in _FINE_ENOUGH if window <= longest), Resolution.ONE_DAY)
    return {
        "rolled_up": [int(resolution) for resolution in ROLLED_UP],
        "one_day": int(Resolution.ONE_DAY),
        "fine_enough": int(fine_enough),
        "bucket_origin": BUCKET_ORIGIN,
        "window_start": now - window,
        "now": now,
    }
