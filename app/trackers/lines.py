"""Lines over the earth as GeoJSON (RFC 7946), cut where they cross the antimeridian."""

from collections.abc import Sequence
from itertools import pairwise
from math import copysign
from typing import Any

Position = tuple[float, float]

HALF_TURN = 180.0
WHOLE_TURN = 360.0
DECIMALS = 7


def geojson_line(positions: Sequence[Position]) -> dict[str, Any] | None:
    """The line through positions, longitude first: a LineString, or a MultiLineString where it is cut.

    None through fewer than two positions. Each way is the shorter one around the earth.
    """
    if len(positions) <= 1:
        return None
    parts = [part for part in _cut(positions) if len(part) > 1]
    if not parts:
        return {"type": "LineString", "coordinates": [positions[0], positions[0]]}
    if len(parts) == 1:
        return {"type": "LineString", "coordinates": parts[0]}
    return {"type": "MultiLineString", "coordinates": parts}


def _cut(positions: Sequence[Position]) -> list[list[Position]]:
    """The parts of a line on one side of the antimeridian each, without standing still."""
    parts: list[list[Position]] = [[positions[0]]]
    for begin, end in pairwise(positions):
        if abs(end[0] - begin[0]) > HALF_TURN:
            edge = copysign(HALF_TURN, begin[0])
            latitude = _latitude_at(edge, begin, end)
            _go_to(parts[-1], (edge, latitude))
            parts.append([(-edge, latitude)])
        _go_to(parts[-1], end)
    return parts


def _go_to(part: list[Position], position: Position) -> None:
    if part[-1] != position:
        part.append(position)


def _latitude_at(edge: float, begin: Position, end: Position) -> float:
    """Where the straight line between two positions on both sides of the antimeridian crosses it."""
    width = end[0] + copysign(WHOLE_TURN, edge) - begin[0]
    share = (edge - begin[0]) / width if width else 0.0
    return round(begin[1] + (end[1] - begin[1]) * share, DECIMALS)
