"""Columns of PostGIS: places on the earth, in degrees of WGS 84."""

from typing import Any

from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

WGS84 = 4326


class Geography(UserDefinedType[Any]):
    """`geography(kind, 4326)`: distances of it are in metres. Rows hold it as the driver gives it, hexadecimal EWKB.

    `kind` is a shape of PostGIS such as Point; Geometry is any.
    """

    cache_ok = True

    def __init__(self, kind: str = "Geometry", srid: str | int = WGS84) -> None:
        self.kind = kind
        self.srid = int(srid)

    def get_col_spec(self, **_: object) -> str:
        """The type as DDL names it."""
        return f"geography({self.kind},{self.srid})"


class Geometry(UserDefinedType[Any]):
    """`geometry`: coordinates on a plane, such as degrees as they stand on a map."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The type as DDL names it."""
        return "geometry"


# So that the comparison of models and migrations reads such columns.
ischema_names["geography"] = Geography
