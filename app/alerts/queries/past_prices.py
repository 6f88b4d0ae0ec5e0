"""What series were worth some time ago."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class Span(NamedTuple):
    """The time of a series of which each moment's price is wanted."""

    series_id: int
    since: datetime
    until: datetime


class PastPrice(NamedTuple):
    """A price in the series' currency, from its time on until the next one."""

    observed_at: datetime
    price: Decimal


class PastPrices:
    """The prices of series within spans of time."""

    def __init__(self, rows: Iterable[Sequence[Any]] = ()) -> None:
        """Each with the id of a series, and the times and the prices that it has, in the order of time."""
        self._series: dict[int, tuple[list[datetime], list[Decimal]]] = {
            series_id: (times, prices) for series_id, times, prices in rows
        }

    def between(self, series_id: int, since: datetime, until: datetime) -> Sequence[Decimal]:
        """What the series was worth from one instant to another, as `at` would say it of any in between."""
        times, prices = self._series.get(series_id, ((), ()))
        return prices[max(bisect_right(times, since) - 1, 0) : bisect_right(times, until)]

    def at(self, series_id: int, instant: datetime) -> PastPrice | None:
        """What the series was worth at an instant: its last price at or before it."""
        times, prices = self._series.get(series_id, ((), ()))
        place = bisect_right(times, instant)
        return PastPrice(times[place - 1], prices[place - 1]) if place else None


async def past_prices(connection: AsyncConnection, spans: Iterable[Span]) -> PastPrices:
    """The prices of the spans: by points, and by the closes of candles where there are none, each as of its end."""
    asked = sorted(set(spans))
    if not asked:
        return PastPrices()
    rows = await connection.execute(
        _PAST,
        {
            "series": [span.series_id for span in asked],
            "since": [span.since for span in asked],
            "until": [span.until for span in asked],
        },
    )
    return PastPrices(rows.all())


# Candles before points of the same moment, so that the point counts. A row for each series: they have many prices.
_PAST = text("""
    SELECT asked.series_id,
        array_agg(found.known_at ORDER BY found.known_at, found.arrival),
        array_agg(found.price ORDER BY found.known_at, found.arrival)
    FROM unnest(CAST(:series AS integer[]), CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[]))
        AS asked (series_id, since, until)
    JOIN prices.price_series AS series ON series.id = asked.series_id
    CROSS JOIN LATERAL (
        SELECT point.observed_at AS known_at, point.arrival, point.price
        FROM prices.price_points AS point
        WHERE point.series_id = asked.series_id
            AND point.observed_at > asked.since AND point.observed_at <= asked.until
        UNION ALL (
            SELECT point.observed_at, point.arrival, point.price
            FROM prices.price_points AS point
            WHERE point.series_id = asked.series_id AND point.observed_at <= asked.since
            ORDER BY point.observed_at DESC, point.arrival DESC
            LIMIT 1
        )
        UNION ALL
        SELECT candle.bucket + layer.width, CAST(0 AS bigint), candle.close
        FROM (
            SELECT resolution, resolution * interval '1 second' AS width, true AS is_provided
            FROM unnest(series.provided_resolutions) AS resolution
            UNION ALL
            SELECT 86400, interval '1 day', false WHERE series.has_points
        ) AS layer
        CROSS JOIN LATERAL (
            SELECT stored.bucket, stored.close
            FROM prices.candles AS stored
            WHERE stored.series_id = asked.series_id AND stored.resolution = layer.resolution
                AND stored.is_provided = layer.is_provided
                AND stored.bucket > asked.since - layer.width AND stored.bucket <= asked.until - layer.width
            UNION ALL (
                SELECT stored.bucket, stored.close
                FROM prices.candles AS stored
                WHERE stored.series_id = asked.series_id AND stored.resolution = layer.resolution
                    AND stored.is_provided = layer.is_provided AND stored.bucket <= asked.since - layer.width
                ORDER BY stored.bucket DESC
                LIMIT 1
            )
        ) AS candle
    ) AS found
    GROUP BY asked.series_id
""")
