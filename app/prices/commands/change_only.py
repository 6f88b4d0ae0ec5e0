"""Of sources that store a price only when it moved: which points are moves, and when a price was last seen."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.commands.read_rows import from_microseconds, in_microseconds, key_of_point
from app.prices.commands.roll_up import Point
from app.prices.commands.series_state import SeriesState

# The instant of a point in microseconds since 1970, and its price.
Seen = tuple[int, Decimal]


def moves_after_latest(series: SeriesState, points: Sequence[Point]) -> list[Point]:
    """Those of the points after the series' latest price that say something else than what was seen before them.

    Where one of them lies before the latest price was last seen, that sighting is a move too: the price came back.
    """
    held = series.latest_price
    seen = list(points)
    if held is not None and series.last_seen_at is not None and series.last_seen_at > (series.latest_at or 0):
        seen.append(_sighting(series, held, series.last_seen_at))
    moves: list[Point] = []
    for point in sorted(seen):
        if Decimal(point[3]) != held:
            held = Decimal(point[3])
            moves.append(point)
    return moves


def _sighting(series: SeriesState, price: Decimal, seen_at: int) -> Point:
    written = format(price, "f")
    observed_at = from_microseconds(seen_at).isoformat()
    return seen_at, series.latest_arrival or 0, key_of_point(written, None), written, None, observed_at


def moves_among_stored(points: Sequence[Point], before: Mapping[int, Seen]) -> list[Point]:
    """Those of the points not after the latest price that differ from what is stored, or moved to, just before them.

    `before` has by the arrival of each point the stored one at its instant or the last one before it.
    """
    moves: list[Point] = []
    for point in points:
        stored = before.get(point[1])
        if moves and (stored is None or stored[0] < moves[-1][0]):
            stored = (moves[-1][0], Decimal(moves[-1][3]))
        if stored is None or Decimal(point[3]) != stored[1]:
            moves.append(point)
    return moves


async def stored_before(connection: AsyncConnection, points: Collection[tuple[int, Point]]) -> dict[int, Seen]:
    """By the arrival of each point, given with the id of its series: the stored one at its instant or before it."""
    if not points:
        return {}
    columns = {
        "ids": [series_id for series_id, _ in points],
        "instants": [from_microseconds(point[0]) for _, point in points],
        "arrivals": [point[1] for _, point in points],
    }
    rows = await connection.execute(_STORED_BEFORE, columns)
    return {row.arrival: (in_microseconds(row.observed_at), row.price) for row in rows}


async def mark_seen(connection: AsyncConnection, seen: Mapping[int, int]) -> None:
    """Note at which instant the prices of these locked series were seen; what was seen later stays."""
    if seen:
        columns = {"ids": list(seen), "instants": [from_microseconds(instant) for instant in seen.values()]}
        await connection.execute(_MARK_SEEN, columns)


_STORED_BEFORE = text("""
    SELECT wanted.arrival, stored.observed_at, stored.price
    FROM unnest(CAST(:ids AS integer[]), CAST(:instants AS timestamptz[]), CAST(:arrivals AS bigint[]))
        AS wanted (series_id, observed_at, arrival)
    CROSS JOIN LATERAL (
        SELECT point.observed_at, point.price
        FROM prices.price_points AS point
        WHERE point.series_id = wanted.series_id AND point.observed_at <= wanted.observed_at
        ORDER BY point.observed_at DESC, point.arrival DESC
        LIMIT 1
    ) AS stored
""")
_MARK_SEEN = text("""
    UPDATE prices.price_series
    SET last_seen_at = given.seen_at
    FROM unnest(CAST(:ids AS integer[]), CAST(:instants AS timestamptz[])) AS given (series_id, seen_at)
    WHERE id = given.series_id AND (last_seen_at IS NULL OR last_seen_at < given.seen_at)
""")
