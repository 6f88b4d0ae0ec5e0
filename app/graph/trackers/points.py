"""Points on the earth."""

from collections.abc import Mapping

import strawberry

from app.core.errors import BadUserInput
from app.graph.reads.fields import column, shows
from app.trackers.errors import TrackerRefused
from app.trackers.queries.events import Box
from app.trackers.queries.positions import POINT
from app.trackers.shapes import read_shape


@strawberry.type(description="A point on the earth, in degrees of WGS 84 with seven decimals at most.")
@shows(POINT)
class LatLng:
    latitude: float = column(POINT.c.latitude, "Degrees north, from -90 to 90.", present=True)
    longitude: float = column(POINT.c.longitude, "Degrees east, from -180 to 180.", present=True)


@strawberry.input(
    description="A box on the earth, in degrees. Where `west` is greater than `east` it lies across the antimeridian."
)
class BoundingBox:
    west: float = strawberry.field(description="Its western meridian, from -180 to 180.")
    south: float = strawberry.field(description="Its southern parallel, from -90 to 90.")
    east: float = strawberry.field(description="Its eastern meridian, from -180 to 180.")
    north: float = strawberry.field(description="Its northern parallel, from -90 to 90; not below the southern.")


def box_of(given: BoundingBox, argument: str) -> Box:
    """The box that a client gave; refuses one that is not on earth."""
    longitudes, latitudes = (given.west, given.east), (given.south, given.north)
    if not all(-180 <= longitude <= 180 for longitude in longitudes) or not all(
        -90 <= latitude <= 90 for latitude in latitudes
    ):
        raise BadUserInput(
            f"`{argument}` has a meridian beyond 180 or a parallel beyond 90 degrees.",
            argument=argument,
            allowed=["west, east: -180..180", "south, north: -90..90"],
        )
    if given.south > given.north:
        raise BadUserInput(
            f"`{argument}` has its south above its north; change them.", argument=argument, allowed=["south <= north"]
        )
    return Box(given.west, given.south, given.east, given.north)


@strawberry.input(description="Near a point of the earth.")
class Near:
    latitude: float = strawberry.field(description="Degrees north, from -90 to 90.")
    longitude: float = strawberry.field(description="Degrees east, from -180 to 180.")
    meters: float = strawberry.field(description="Within how many metres, 0 to 20,000,000.")


def near_in(given: Mapping[str, float], path: str) -> list[float]:
    """Latitude, longitude and metres of what a client gave; refuses what is not on earth."""
    latitude, longitude, meters = given["latitude"], given["longitude"], given["meters"]
    if not -90 <= latitude <= 90 or not -180 <= longitude <= 180 or not 0 <= meters <= 20_000_000:
        raise BadUserInput(
            f"`{path}` is not on earth: latitudes are up to 90, longitudes up to 180 degrees, metres from 0 to "
            "20,000,000.",
            argument=path,
            allowed=["latitude: -90..90", "longitude: -180..180", "meters: 0..20000000"],
        )
    return [latitude, longitude, meters]


def polygon_in(given: object, path: str) -> str:
    """The polygon that a client gave, as GeoJSON; refuses any other shape, and one that does not lie on a map."""
    try:
        shape = read_shape(given, each="ask once")
    except TrackerRefused as refusal:
        raise BadUserInput(f"`{path}` is no polygon: {refusal.message}", argument=path) from None
    if not shape.is_polygon:
        raise BadUserInput(
            f"`{path}` is a {shape.kind}; give a Polygon, or use `near`.", argument=path, allowed=["Polygon"]
        )
    return shape.geojson
