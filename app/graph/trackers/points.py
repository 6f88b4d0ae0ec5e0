"""Points on the earth."""

import strawberry

from app.graph.reads.fields import column, shows
from app.trackers.queries.positions import POINT


@strawberry.type(description="A point on the earth, in degrees of WGS 84 with seven decimals at most.")
@shows(POINT)
class LatLng:
    latitude: float = column(POINT.c.latitude, "Degrees north, from -90 to 90.", present=True)
    longitude: float = column(POINT.c.longitude, "Degrees east, from -180 to 180.", present=True)
