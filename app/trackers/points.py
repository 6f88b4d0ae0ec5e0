"""Points on the earth in ten-millionths of a degree, as reports have them, and how far they are from each other."""

from math import asin, cos, pi, sin, sqrt
from struct import pack, unpack
from typing import NamedTuple

from app.trackers.history_models import TEN_MILLIONTHS

EARTH_RADIUS_METERS = 6_371_008.8
EARTH_DIAMETER_METERS = 2 * EARTH_RADIUS_METERS
LONGITUDES_E7 = 360 * TEN_MILLIONTHS
RADIANS = pi / (180 * TEN_MILLIONTHS)


class Point(NamedTuple):
    """A place on the earth: latitude and longitude in ten-millionths of a degree."""

    latitude_e7: int
    longitude_e7: int

    @property
    def latitude(self) -> float:
        """In degrees."""
        return self.latitude_e7 / TEN_MILLIONTHS

    @property
    def longitude(self) -> float:
        """In degrees."""
        return self.longitude_e7 / TEN_MILLIONTHS


def distance_meters(first: Point, second: Point) -> float:
    """The distance over a round earth, right to half a percent; the same whichever point is named first."""
    first_latitude_e7, first_longitude_e7 = first
    second_latitude_e7, second_longitude_e7 = second
    if first_latitude_e7 == second_latitude_e7 and first_longitude_e7 == second_longitude_e7:
        return 0.0
    first_latitude, second_latitude = first_latitude_e7 * RADIANS, second_latitude_e7 * RADIANS
    across = sin((second_latitude - first_latitude) / 2)
    along = sin((second_longitude_e7 - first_longitude_e7) * RADIANS / 2)
    chord = across * across + cos(first_latitude) * cos(second_latitude) * (along * along)
    return EARTH_DIAMETER_METERS * asin(sqrt(chord) if chord < 1 else 1.0)


def wrapped_longitude_e7(longitude_e7: int) -> int:
    """The same meridian from -180 degrees to less than 180."""
    half = LONGITUDES_E7 // 2
    return (longitude_e7 + half) % LONGITUDES_E7 - half


def as_stored(meters: float) -> float:
    """Metres in the single precision in which they are stored, so that equal there is equal here."""
    stored: float = unpack("f", pack("f", meters))[0]
    return stored
