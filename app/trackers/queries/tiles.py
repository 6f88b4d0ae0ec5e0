"""Mapbox Vector Tiles of a map: the viewer's trackers, gathered in the cells of a grid, and places."""

from dataclasses import dataclass
from math import atan, degrees, pi, sinh

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.ids import PublicIdTag
from app.trackers.queries.clusters import CELLS_PER_TILE, END_OF_MERCATOR

MOST_ZOOM = 22
# From here on trackers are gathered only where a map could not show them side by side.
APART_FROM_ZOOM = 14
CELLS_APART = 64
# From here on places are shown in their shape, before that as their middle.
SHAPES_FROM_ZOOM = 10
# So that no tracker on an edge is missed for the last digit of a float, in degrees; cells decide which tile has it.
MARGIN = 1e-6
WHOLE_TURN, QUARTER_TURN = 360.0, 90.0


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of a map in the projection of Mercator: of `2**zoom` columns from the west and rows from the north."""

    zoom: int
    x: int
    y: int

    @property
    def is_on_map(self) -> bool:
        """Whether there is such a tile."""
        across = 2 ** max(self.zoom, 0)
        return 0 <= self.zoom <= MOST_ZOOM and 0 <= self.x < across and 0 <= self.y < across

    @property
    def west(self) -> float:
        """Its western meridian, in degrees."""
        return self._meridian(self.x)

    @property
    def east(self) -> float:
        """Its eastern meridian, in degrees."""
        return self._meridian(self.x + 1)

    @property
    def north(self) -> float:
        """Its northern parallel, in degrees; the pole where it is of the first row, for what lies beyond the map."""
        return QUARTER_TURN if self.y == 0 else self._parallel(self.y)

    @property
    def south(self) -> float:
        """Its southern parallel, in degrees; the pole where it is of the last row."""
        return -QUARTER_TURN if self.y + 1 == 2**self.zoom else self._parallel(self.y + 1)

    def _meridian(self, column: int) -> float:
        return column / (1 << self.zoom) * WHOLE_TURN - WHOLE_TURN / 2

    def _parallel(self, row: int) -> float:
        return degrees(atan(sinh(pi * (1 - 2 * row / (1 << self.zoom)))))


# A tracker belongs to one cell of the world, and so to one tile. Behind an OFFSET everything is worked out once for
# each tracker, and not wherever it stands below; and they are counted by status too, as in `clusters_in_box`.
_TILE = text("""
WITH tile AS (
    SELECT ST_TileEnvelope(:zoom, :x, :y) AS bounds,
        ST_MakeEnvelope(:west, :south, :east, :north, 4326) AS envelope
), placed AS (
    SELECT positions.id, positions.status, ST_X(positions.point) AS longitude,
        least(greatest(ST_Y(positions.point), -CAST(:end AS float8)), CAST(:end AS float8)) AS latitude
    FROM trackers.tracker_positions AS positions
    WHERE positions.point && (SELECT envelope FROM tile)
    OFFSET 0
), celled AS (
    SELECT placed.*,
        least(floor((longitude + 180) / 360 * CAST(:cells AS float8)), CAST(:cells AS float8) - 1) AS cell_column,
        least(greatest(
            floor((0.5 - ln(tan(radians(45 + latitude / 2))) / (2 * pi())) * CAST(:cells AS float8)), 0
        ), CAST(:cells AS float8) - 1) AS cell_row
    FROM placed
    OFFSET 0
), counted AS (
    SELECT cell_column, cell_row, status, count(*) AS count, sum(longitude) AS longitudes, sum(latitude) AS latitudes,
        min(CAST(id AS text) COLLATE "C") AS tracker_id
    FROM celled
    WHERE cell_column >= CAST(:first_column AS float8)
        AND cell_column < CAST(:first_column AS float8) + CAST(:of_tile AS float8)
        AND cell_row >= CAST(:first_row AS float8) AND cell_row < CAST(:first_row AS float8) + CAST(:of_tile AS float8)
    GROUP BY cell_column, cell_row, status
), gathered AS (
    SELECT CAST(sum(count) AS bigint) AS count, sum(longitudes) / sum(count) AS longitude,
        sum(latitudes) / sum(count) AS latitude,
        CASE WHEN sum(count) = 1 THEN CAST(min(tracker_id) AS uuid) END AS tracker_id,
        CAST(coalesce(sum(count) FILTER (WHERE status = 'created'), 0) AS bigint) AS created,
        CAST(coalesce(sum(count) FILTER (WHERE status = 'in_storage'), 0) AS bigint) AS in_storage,
        CAST(coalesce(sum(count) FILTER (WHERE status = 'in_transit'), 0) AS bigint) AS in_transit,
        CAST(coalesce(sum(count) FILTER (WHERE status = 'delivered'), 0) AS bigint) AS delivered,
        CAST(coalesce(sum(count) FILTER (WHERE status = 'silent'), 0) AS bigint) AS silent
    FROM counted GROUP BY cell_column, cell_row
), tracker_features AS (
    SELECT ST_AsMVTGeom(
            ST_Transform(ST_SetSRID(ST_MakePoint(gathered.longitude, gathered.latitude), 4326), 3857), tile.bounds
        ) AS geometry,
        translate(encode(CAST(:tracker_tag AS bytea) || uuid_send(tracker.id), 'base64'), '+/', '-_') AS id,
        tracker.name, upper(tracker.status) AS status, gathered.count, gathered.created, gathered.in_storage,
        gathered.in_transit, gathered.delivered, gathered.silent
    FROM gathered CROSS JOIN tile LEFT JOIN trackers.trackers AS tracker ON tracker.id = gathered.tracker_id
    ORDER BY gathered.count DESC, gathered.longitude, gathered.latitude
), near_places AS MATERIALIZED (
    SELECT place.*, CASE
            WHEN NOT :has_shapes THEN NULL
            WHEN radius_meters = 0 THEN CAST(shape AS geometry)
            ELSE CAST(ST_Buffer(shape, radius_meters) AS geometry)
        END AS outline
    FROM trackers.places AS place CROSS JOIN tile
    WHERE deleted_at IS NULL AND ST_Expand(
        CAST(shape AS geometry),
        radius_meters / (111000 * greatest(cos(radians(ST_Y(CAST(center AS geometry)))), 0.01)),
        radius_meters / 111000
    ) && tile.envelope
), place_features AS (
    SELECT ST_AsMVTGeom(
            ST_Transform(CASE
                WHEN ST_XMax(outline) - ST_XMin(outline) < 180
                    AND ST_YMax(outline) < CAST(:end AS float8) AND ST_YMin(outline) > -CAST(:end AS float8)
                THEN outline
                ELSE ST_SetSRID(ST_MakePoint(
                    ST_X(CAST(center AS geometry)),
                    least(greatest(ST_Y(CAST(center AS geometry)), -CAST(:end AS float8)), CAST(:end AS float8))
                ), 4326)
            END, 3857), tile.bounds
        ) AS geometry,
        translate(encode(CAST(:place_tag AS bytea) || uuid_send(id), 'base64'), '+/', '-_') AS id,
        name, upper(kind) AS kind, radius_meters
    FROM near_places CROSS JOIN tile
    ORDER BY name, id
)
SELECT (SELECT ST_AsMVT(feature, 'trackers', 4096, 'geometry') FROM tracker_features AS feature)
    || (SELECT ST_AsMVT(feature, 'places', 4096, 'geometry') FROM place_features AS feature WHERE geometry IS NOT NULL)
    AS tile
""")


async def vector_tile(connection: AsyncConnection, tile: Tile) -> bytes:
    """The tile with what the viewer sees of it, in layers `trackers` and `places`; empty where there is nothing."""
    of_tile = CELLS_APART if tile.zoom >= APART_FROM_ZOOM else CELLS_PER_TILE
    values = {
        "zoom": tile.zoom,
        "x": tile.x,
        "y": tile.y,
        "west": tile.west - MARGIN,
        "south": tile.south - MARGIN,
        "east": tile.east + MARGIN,
        "north": tile.north + MARGIN,
        "end": END_OF_MERCATOR,
        "cells": of_tile * 2**tile.zoom,
        "of_tile": of_tile,
        "first_column": tile.x * of_tile,
        "first_row": tile.y * of_tile,
        "has_shapes": tile.zoom >= SHAPES_FROM_ZOOM,
        "tracker_tag": PublicIdTag.TRACKER.value.encode(),
        "place_tag": PublicIdTag.PLACE.value.encode(),
    }
    return bytes((await connection.execute(_TILE, values)).scalar_one())
