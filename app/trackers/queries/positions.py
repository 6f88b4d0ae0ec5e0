"""How places on the earth are told: degrees of WGS 84 with seven decimals, which is a centimetre."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Double, Integer, Numeric, Text, cast, func, literal_column, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement, Grouping

from app.core.database import OPERATION_TIME
from app.core.geography import WGS84, Geography, Geometry
from app.trackers.models import Place, Tracker, tracker_positions

DECIMALS = 7
# A point in a row: no table has it, and fields put their own expressions in its place.
POINT = select(
    literal_column("NULL", Double()).label("latitude"), literal_column("NULL", Double()).label("longitude")
).subquery("point")


def latitude_of(position: InstrumentedAttribute[Any]) -> ColumnElement[float]:
    """The latitude of a column of points, in degrees north."""
    return _degrees(func.ST_Y(cast(position, Geometry())))


def longitude_of(position: InstrumentedAttribute[Any]) -> ColumnElement[float]:
    """The longitude of a column of points, in degrees east."""
    return _degrees(func.ST_X(cast(position, Geometry())))


def geojson_of(shape: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """A column of shapes as the text of GeoJSON (RFC 7946)."""
    return cast(func.ST_AsGeoJSON(shape, DECIMALS), Text())


def _degrees(coordinate: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(func.round(cast(coordinate, Numeric()), DECIMALS), Double())


SHAPE_OF_PLACE = geojson_of(Place.shape)
HAS_FIX: ColumnElement[bool] = Tracker.last_fix_at.is_not(None)
# When a tracker was last heard of: when it was made, where it never was.
HEARD_OF: ColumnElement[datetime] = func.coalesce(Tracker.last_fix_at, Tracker.created_at)
SILENT_FOR: ColumnElement[Any] = OPERATION_TIME - HEARD_OF


# The type in which a point and the metres around it are bound.
LATITUDE_LONGITUDE_METERS: ColumnElement[Any] = literal_column("NULL", ARRAY(Double()))


def is_near(given: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the last position of a tracker lies near a point: an array of its latitude, longitude, and the metres."""
    values = Grouping(given)
    latitude, longitude, meters = (values[literal_column(str(place), Integer())] for place in (1, 2, 3))
    center = cast(func.ST_SetSRID(func.ST_Point(longitude, latitude), WGS84), Geography("Point"))
    return Tracker.id.in_(
        select(tracker_positions.c.id).where(func.ST_DWithin(tracker_positions.c.last_position, center, meters))
    )


def is_within(given: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the last position of a tracker lies within a polygon of GeoJSON, whose edges are straight on a map.

    What crosses itself holds what its line goes around.
    """
    # Not by ST_MakeValid: of a scribble of some hundred positions it takes minutes, and cannot be cancelled. Whether a
    # point lies within a polygon is told ring by ring, whatever crosses what.
    drawn = func.ST_SetSRID(func.ST_GeomFromGeoJSON(given), WGS84)
    # In a select of its own it is drawn once, and not for each tracker.
    polygon = select(type_coerce(drawn, Geometry())).scalar_subquery()
    return Tracker.id.in_(select(tracker_positions.c.id).where(func.ST_Intersects(tracker_positions.c.point, polygon)))
