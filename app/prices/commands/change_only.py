"""Of sources that store a price only when it moved: which points are stored, and when a price was last seen.

The stored points of such a series are the steps of a function of time, in the order of time and arrival: each price
stands until the next one. That the last price still stood later is known by a sighting that is not stored. New points
are held against the function in the same order: what changes it is stored, and so is the sighting where a change
before it would hide it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.commands.partitions import ensure_candle_partitions, ensure_point_partitions
from app.prices.commands.read_rows import from_microseconds, in_microseconds, key_of_point
from app.prices.commands.roll_up import Point
from app.prices.commands.series_state import SeriesState


class StoredPoint(NamedTuple):
    """A point that is stored; `observed_at` is in microseconds since 1970."""

    observed_at: int
    arrival: int
    key: str
    price: Decimal


def last_sighting(series: SeriesState) -> Point | None:
    """The latest price as a point at the instant when it was last seen; None where that is stored."""
    if series.latest_price is None or series.last_seen_at is None or series.last_seen_at <= (series.latest_at or 0):
        return None
    price = format(series.latest_price, "f")
    observed_at = from_microseconds(series.last_seen_at).isoformat()
    return series.last_seen_at, series.latest_arrival or 0, key_of_point(price, None), price, None, observed_at


def moves_among(series: SeriesState, points: Iterable[Point], stored: Sequence[StoredPoint]) -> list[Point]:
    """Those of the points that change what is known of the price, and the last sighting where they would hide it.

    `stored` has what is stored at the instants of the points and the last point before each, as far as they are not
    after the latest price. A point that is stored already (same time and key) is left out, but for one that arrived
    before the stored one: it takes that one's place.
    """
    sighting = last_sighting(series)
    arrival_of = {(point.observed_at, point.key): point.arrival for point in stored}
    if sighting is not None:
        arrival_of[sighting[0], sighting[2]] = sighting[1]
    new = [point for point in points if (arrival := arrival_of.get((point[0], point[2]))) is None or arrival > point[1]]
    taking_place = {(point[0], point[2]) for point in new} & arrival_of.keys()

    # Each with its price and, where it may come to be stored, the point.
    steps: list[tuple[int, int, Decimal, Point | None]] = [
        (point.observed_at, point.arrival, point.price, None)
        for point in (*stored, *_latest_besides(series, stored))
        if (point.observed_at, point.key) not in taking_place
    ]
    candidates = new if sighting is None else [*new, sighting]
    steps += [(point[0], point[1], Decimal(point[3]), point) for point in candidates]
    moves: list[Point] = []
    held: Decimal | None = None
    for _, _, price, point in sorted(steps, key=lambda step: step[:2]):
        if point is not None and (price != held or (point[0], point[2]) in taking_place):
            moves.append(point)
        held = price
    return moves


def _latest_besides(series: SeriesState, stored: Sequence[StoredPoint]) -> list[StoredPoint]:
    """The latest price, if it is not among these: they are far from it, or it is the close of a candle."""
    if series.latest_at is None or series.latest_price is None:
        return []
    arrival = series.latest_arrival or 0
    if any((point.observed_at, point.arrival) == (series.latest_at, arrival) for point in stored):
        return []
    return [StoredPoint(series.latest_at, arrival, "", series.latest_price)]


async def stored_around(
    connection: AsyncConnection, points: Collection[tuple[int, Point]]
) -> Mapping[int, Sequence[StoredPoint]]:
    """By the id of the series what is stored at the instants of points, given with that id, and last before each."""
    around: dict[int, list[StoredPoint]] = {}
    instants = sorted({(series_id, point[0]) for series_id, point in points})
    if instants:
        columns = {
            "ids": [series_id for series_id, _ in instants],
            "instants": [from_microseconds(instant) for _, instant in instants],
        }
        for row in await connection.execute(_STORED_AROUND, columns):
            point = StoredPoint(in_microseconds(row.observed_at), row.arrival, row.key.hex, row.price)
            around.setdefault(row.series_id, []).append(point)
    return around


async def store_sighting(connection: AsyncConnection, series_id: int, sighting: Point) -> None:
    """Store the last sighting of a locked series as a point, which is its latest from now on."""
    microseconds, arrival, key, price, _, _ = sighting
    seen_at = from_microseconds(microseconds)
    await ensure_point_partitions(connection, [(seen_at.year, seen_at.month)])
    await ensure_candle_partitions(connection, [seen_at.year])
    await connection.execute(
        _STORE_SIGHTING, {"id": series_id, "seen_at": seen_at, "key": key, "price": price, "arrival": arrival}
    )
    await connection.execute(_MOVE_TO_SIGHTING, {"id": series_id, "seen_at": seen_at})


async def mark_seen(connection: AsyncConnection, seen: Mapping[int, int]) -> None:
    """Note at which instant the prices of these locked series were seen; what was seen later stays."""
    if seen:
        columns = {"ids": list(seen), "instants": [from_microseconds(instant) for instant in seen.values()]}
        await connection.execute(_MARK_SEEN, columns)


async def forget_seen(connection: AsyncConnection, series_ids: Collection[int]) -> None:
    """Forget when the prices of these locked series were last seen: from now on their points tell."""
    if series_ids:
        await connection.execute(_FORGET_SEEN, {"ids": list(series_ids)})


_STORED_AROUND = text("""
    SELECT DISTINCT wanted.series_id, stored.observed_at, stored.arrival, stored.key, stored.price
    FROM unnest(CAST(:ids AS integer[]), CAST(:instants AS timestamptz[])) AS wanted (series_id, observed_at)
    CROSS JOIN LATERAL (
        SELECT point.observed_at, point.arrival, point.key, point.price
        FROM prices.price_points AS point
        WHERE point.series_id = wanted.series_id AND point.observed_at = wanted.observed_at
        UNION ALL (
            SELECT point.observed_at, point.arrival, point.key, point.price
            FROM prices.price_points AS point
            WHERE point.series_id = wanted.series_id AND point.observed_at < wanted.observed_at
            ORDER BY point.observed_at DESC, point.arrival DESC
            LIMIT 1
        )
    ) AS stored
""")
_STORE_SIGHTING = text("""
    INSERT INTO prices.price_points (series_id, observed_at, key, price, arrival)
    VALUES (:id, :seen_at, CAST(CAST(:key AS text) AS uuid), CAST(CAST(:price AS text) AS numeric), :arrival)
""")
_MOVE_TO_SIGHTING = text("""
    UPDATE prices.price_series SET latest_observed_at = :seen_at, latest_quantity = NULL, has_points = true
    WHERE id = :id
""")
_MARK_SEEN = text("""
    UPDATE prices.price_series
    SET last_seen_at = given.seen_at
    FROM unnest(CAST(:ids AS integer[]), CAST(:instants AS timestamptz[])) AS given (series_id, seen_at)
    WHERE id = given.series_id AND (last_seen_at IS NULL OR last_seen_at < given.seen_at)
""")
_FORGET_SEEN = text("UPDATE prices.price_series SET last_seen_at = NULL WHERE id = ANY (CAST(:ids AS integer[]))")
