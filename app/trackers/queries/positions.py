"""How places on the earth are told: degrees of WGS 84 with seven decimals, which is a centimetre."""

from typing import Any

from sqlalchemy import Double, Numeric, Text, cast, func, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import UserDefinedType

from app.trackers.models import Place, Tracker

DECIMALS = 7
# A point in a row: no table has it, and fields put their own expressions in its place.
POINT = select(
    literal_column("NULL", Double()).label("latitude"), literal_column("NULL", Double()).label("longitude")
).subquery("point")


class _Geometry(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "geometry"


def latitude_of(position: InstrumentedAttribute[Any]) -> ColumnElement[float]:
    """The latitude of a column of points, in degrees north."""
    return _degrees(func.ST_Y(cast(position, _Geometry())))


def longitude_of(position: InstrumentedAttribute[Any]) -> ColumnElement[float]:
    """The longitude of a column of points, in degrees east."""
    return _degrees(func.ST_X(cast(position, _Geometry())))


def geojson_of(shape: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """A column of shapes as the text of GeoJSON (RFC 7946)."""
    return cast(func.ST_AsGeoJSON(shape, DECIMALS), Text())


def _degrees(coordinate: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(func.round(cast(coordinate, Numeric()), DECIMALS), Double())


SHAPE_OF_PLACE = geojson_of(Place.shape)
HAS_FIX: ColumnElement[bool] = Tracker.last_fix_at.is_not(None)
