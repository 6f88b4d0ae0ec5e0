"""The city nearest to a point, found among those around a cell of the earth: many points of one cell share the search.

A cell is a quarter of a degree high and wide, so no point of it is farther than 20 km from its middle.
"""

from collections.abc import Sequence
from math import cos, radians, sin
from typing import NamedTuple

from app.trackers.history_models import TEN_MILLIONTHS
from app.trackers.points import Point, distance_meters

NEAR_A_CITY_METERS = 50_000
CELL_E7 = TEN_MILLIONTHS // 4
RADIUS_OF_CELL_METERS = 20_000
HIGHEST_LATITUDE_E7, HIGHEST_LONGITUDE_E7 = 90 * TEN_MILLIONTHS, 180 * TEN_MILLIONTHS
# With room for how the database measures.
REACH_OF_CELL_METERS = NEAR_A_CITY_METERS + RADIUS_OF_CELL_METERS + 1_000

Cell = tuple[int, int]


class _Known(NamedTuple):
    """A city: the direction from the middle of the earth to it, and its place."""

    x: float
    y: float
    z: float
    id: int
    point: Point


def cell_of(point: Point) -> Cell:
    """The cell that a point is in."""
    return point.latitude_e7 // CELL_E7, point.longitude_e7 // CELL_E7


def middle_of(cell: Cell) -> Point:
    """The middle of a cell; of those that begin at the end of the earth, their beginning."""
    latitude_e7, longitude_e7 = (number * CELL_E7 + CELL_E7 // 2 for number in cell)
    return Point(min(latitude_e7, HIGHEST_LATITUDE_E7), min(longitude_e7, HIGHEST_LONGITUDE_E7))


class CitiesOfCell:
    """The cities that a point of the cell may be nearest to, given all within `REACH_OF_CELL_METERS` of its middle."""

    def __init__(self, cell: Cell, ids: Sequence[int], latitudes: Sequence[float], longitudes: Sequence[float]) -> None:
        middle = middle_of(cell)
        known = [(distance_meters(city.point, middle), city) for city in map(_known, ids, latitudes, longitudes)]
        # What is nearest to any point of the cell is at most the whole cell farther from its middle.
        farthest = min(distance for distance, _ in known) + 2 * RADIUS_OF_CELL_METERS
        # By their ids: of those at one place the first counts.
        self._cities = sorted((city for distance, city in known if distance <= farthest), key=lambda city: city.id)

    def nearest(self, point: Point) -> int | None:
        """The id of the city nearest to a point of the cell; None where none is within 50 km."""
        latitude, longitude = radians(point.latitude), radians(point.longitude)
        x, y, z = cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)
        closeness = [city[0] * x + city[1] * y + city[2] * z for city in self._cities]
        city = self._cities[closeness.index(max(closeness))]
        return city.id if distance_meters(city.point, point) <= NEAR_A_CITY_METERS else None


def _known(city_id: int, latitude: float, longitude: float) -> _Known:
    north, east = radians(latitude), radians(longitude)
    point = Point(round(latitude * TEN_MILLIONTHS), round(longitude * TEN_MILLIONTHS))
    return _Known(cos(north) * cos(east), cos(north) * sin(east), sin(north), city_id, point)
