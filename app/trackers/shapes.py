"""Shapes of places as GeoJSON (RFC 7946): a Point, or a Polygon that is checked ring by ring and mended in its winding.

What only PostGIS can tell of a polygon, such as that it crosses itself, is checked where it is measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import orjson

from app.trackers.errors import TrackerErrorCode, TrackerRefused

MOST_POSITIONS = 1_000
FEWEST_IN_A_RING = 4
HALF_TURN = 180.0
QUARTER_TURN = 90.0
# Beyond it there is nothing that could be meant, such as an altitude.
LARGEST_NUMBER = 1e9
FIELD = ("shape",)

Position = tuple[float, float]
Ring = Sequence[Position]


@dataclass(frozen=True, slots=True)
class Shape:
    """A Point or Polygon, its coordinates in degrees, longitude first."""

    kind: str
    coordinates: Position | Sequence[Ring]

    @property
    def is_polygon(self) -> bool:
        """Whether it is more than a point."""
        return self.kind == "Polygon"

    @property
    def geojson(self) -> str:
        """The shape as PostGIS reads it."""
        return orjson.dumps({"type": self.kind, "coordinates": self.coordinates}).decode()


def refused_shape(message: str) -> TrackerRefused:
    """The refusal of what is no shape of a place."""
    return TrackerRefused(TrackerErrorCode.INVALID_SHAPE, message, field=FIELD)


def read_shape(value: object, *, each: str = "make a place") -> Shape:
    """The shape in a value of GeoJSON; raises TrackerRefused that says what is wrong and what to send instead.

    `each` is what to do with each part of what is no single polygon.
    """
    if not isinstance(value, Mapping):
        raise refused_shape('It is an object such as {"type": "Point", "coordinates": [9.99, 53.55]}.')
    if "crs" in value:
        raise refused_shape("GeoJSON is in WGS 84, and has no `crs`: send degrees of longitude and latitude.")
    match value.get("type"):
        case "Point":
            return Shape("Point", _position(value.get("coordinates")))
        case "Polygon":
            return Shape("Polygon", _rings(value.get("coordinates"), each))
        case "Feature" | "FeatureCollection":
            raise refused_shape("It is a feature; send the `geometry` that is in it.")
        case "MultiPolygon" | "GeometryCollection":
            raise refused_shape(f"It is more than one polygon: {each} for each part.")
    raise refused_shape("Its `type` is `Point` for a circle, or `Polygon`.")


def _position(value: object) -> Position:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) not in (2, 3):
        raise refused_shape("A position is [longitude, latitude].")
    numbers = [_number(number) for number in value]
    longitude, latitude = numbers[0], numbers[1]
    if QUARTER_TURN < abs(latitude) <= HALF_TURN and abs(longitude) <= QUARTER_TURN:
        raise refused_shape(f"[{longitude}, {latitude}] has its numbers the wrong way round: longitude comes first.")
    if abs(longitude) > HALF_TURN or abs(latitude) > QUARTER_TURN:
        raise refused_shape(
            f"[{longitude}, {latitude}] is not on the earth: longitude is from -180 to 180, latitude from -90 to 90."
        )
    # Without the sign of a zero.
    return longitude + 0.0, latitude + 0.0


def _number(value: object) -> float:
    # A whole number may be longer than any of those with a point, and NaN is within no bounds.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_NUMBER:
        raise refused_shape("A position is made of numbers: [longitude, latitude].")
    return float(value)


def _rings(value: object, each: str) -> Sequence[Ring]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
        raise refused_shape("The `coordinates` of a polygon are rings of positions, the outer one first.")
    if sum(len(ring) for ring in value if isinstance(ring, Sequence)) > MOST_POSITIONS:
        raise refused_shape(f"A polygon has {MOST_POSITIONS:,} positions at most; simplify it.")
    rings = [_ring(ring, each) for ring in value]
    longitudes = [longitude for longitude, _ in rings[0]]
    if max(longitudes) - min(longitudes) > HALF_TURN:
        raise refused_shape("The polygon goes more than half around the earth, or around a pole: send a smaller one.")
    # The outer ring goes against the clock, holes go with it.
    return [_turned(ring, is_outer=number == 0) for number, ring in enumerate(rings)]


def _ring(value: object, each: str) -> Ring:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise refused_shape("A ring is a list of positions.")
    ring = [_position(position) for position in value]
    if len(ring) < FEWEST_IN_A_RING:
        raise refused_shape(f"A ring has {FEWEST_IN_A_RING} positions at least, the last one the same as the first.")
    if ring[0] != ring[-1]:
        raise refused_shape("A ring is closed: repeat its first position as the last one.")
    if any(abs(latitude) == QUARTER_TURN for _, latitude in ring):
        raise refused_shape("The polygon touches a pole, where a longitude means nothing: end it short of it.")
    if any(abs(one[0] - other[0]) > HALF_TURN for one, other in pairwise(ring)):
        raise refused_shape(f"The polygon crosses the antimeridian (longitude 180): {each} for each side of it.")
    return ring


def _turned(ring: Ring, *, is_outer: bool) -> Ring:
    twice_the_area = sum(one[0] * other[1] - other[0] * one[1] for one, other in pairwise(ring))
    is_against_the_clock = twice_the_area > 0
    return ring if is_against_the_clock == is_outer else list(reversed(ring))
