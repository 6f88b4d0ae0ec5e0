"""Trackers on a map: those of a box, gathered in the cells of a grid on the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, pi, radians, tan
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Text,
    Uuid,
    case,
    cast,
    collate,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among
from app.core.geography import WGS84
from app.trackers.models import TrackerStatus, tracker_positions
from app.trackers.queries.events import Box

# A map's tiles are 256 pixels wide, its clusters 64.
CELLS_PER_TILE = 4
# The grid is coarsened where a box holds more cells: no screen shows them.
MOST_CELLS = 4_096
# Where a map in the projection of Mercator ends.
END_OF_MERCATOR = 85.05112878


@dataclass(frozen=True, slots=True)
class WantedClusters:
    """Which trackers to gather, and how closely: at the zoom of a map of tiles, where 0 shows the world in one."""

    box: Box
    zoom: int
    client_id: UUID | None = None
    production_run_id: UUID | None = None
    statuses: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Trackers that lie in one cell: how many, their middle, their bounds, and the one where it is alone."""

    count: int
    latitude: float
    longitude: float
    bounds: Box
    by_status: Mapping[TrackerStatus, int]
    tracker_id: UUID | None


async def clusters_in_box(connection: AsyncConnection, wanted: WantedClusters) -> list[Cluster]:
    """The clusters of the viewer's trackers in a box, the largest first."""
    positions = tracker_positions.c
    # Behind an OFFSET everything is worked out once for each tracker, and not wherever it stands below.
    placed = (
        select(
            positions.id,
            positions.status,
            func.ST_X(positions.point).label("longitude"),
            func.ST_Y(positions.point).label("latitude"),
        )
        .where(_lies_in(wanted.box), *_narrowed(wanted))
        .offset(literal_column("0"))
        .subquery("placed")
    )
    longitude, latitude, status = placed.c.longitude, placed.c.latitude, placed.c.status
    cells = CELLS_PER_TILE * 2 ** _zoom_for(wanted)
    column = func.floor((longitude + 180) / literal(360 / cells, Double()))
    within = func.least(func.greatest(latitude, -END_OF_MERCATOR), END_OF_MERCATOR)
    row = func.floor(func.ln(func.tan(func.radians(within) / 2 + literal(pi / 4, Double()))) * (cells / (2 * pi)))
    # By status too, and the few that come of it put together: five counts that each look at all trackers take longer.
    counted = (
        select(
            column.label("cell_column"),
            row.label("cell_row"),
            status,
            func.count().label("trackers"),
            func.sum(latitude).label("latitudes"),
            func.sum(longitude).label("longitudes"),
            func.min(longitude).label("west"),
            func.min(latitude).label("south"),
            func.max(longitude).label("east"),
            func.max(latitude).label("north"),
            # Of a lone one it is its id. An array of all ids would have them sorted.
            func.min(collate(cast(placed.c.id, Text), "C")).label("tracker_id"),
        )
        .group_by(column, row, status)
        .subquery("counted")
    )
    count = func.sum(counted.c.trackers)
    found = await connection.execute(
        select(
            cast(count, BigInteger).label("trackers"),
            (func.sum(counted.c.latitudes) / count).label("latitude"),
            (func.sum(counted.c.longitudes) / count).label("longitude"),
            func.min(counted.c.west).label("west"),
            func.min(counted.c.south).label("south"),
            func.max(counted.c.east).label("east"),
            func.max(counted.c.north).label("north"),
            case((count == 1, cast(func.min(counted.c.tracker_id), Uuid))).label("tracker_id"),
            *(
                cast(func.coalesce(count.filter(counted.c.status == one.value), 0), BigInteger).label(f"of_{one.value}")
                for one in TrackerStatus
            ),
        )
        .group_by(counted.c.cell_column, counted.c.cell_row)
        .order_by(count.desc(), func.min(counted.c.west), func.min(counted.c.south))
    )
    return [
        Cluster(
            one.trackers,
            round(one.latitude, 7),
            round(one.longitude, 7),
            Box(one.west, one.south, one.east, one.north),
            {status: getattr(one, f"of_{status.value}") for status in TrackerStatus},
            one.tracker_id,
        )
        for one in found
    ]


def _narrowed(wanted: WantedClusters) -> list[ColumnElement[bool]]:
    positions = tracker_positions.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.client_id is not None:
        conditions.append(positions.client_id == wanted.client_id)
    if wanted.production_run_id is not None:
        conditions.append(positions.production_run_id == wanted.production_run_id)
    if wanted.statuses is not None:
        conditions.append(among(positions.status, wanted.statuses) if wanted.statuses else false())
    return conditions


def _lies_in(box: Box) -> ColumnElement[bool]:
    if box.west <= box.east:
        return _overlaps(box.west, box.south, box.east, box.north)
    return or_(_overlaps(box.west, box.south, 180, box.north), _overlaps(-180, box.south, box.east, box.north))


def _overlaps(west: float, south: float, east: float, north: float) -> ColumnElement[bool]:
    corners: list[ColumnElement[float]] = [literal(float(corner), Double()) for corner in (west, south, east, north)]
    # A point overlaps a box just where it lies in it; unlike ST_Intersects, the operator says so by the index alone.
    return tracker_positions.c.point.op("OPERATOR(public.&&)", is_comparison=True)(
        func.ST_MakeEnvelope(*corners, WGS84)
    )


def _zoom_for(wanted: WantedClusters) -> int:
    """The wanted zoom, or the nearest at which the box does not hold too many cells."""
    box = wanted.box
    width = (box.east - box.west) % 360 or 360.0 if box.east != box.west else 0.0
    height = _mercator(box.north) - _mercator(box.south)
    for zoom in range(wanted.zoom, 0, -1):
        cells = CELLS_PER_TILE * 2**zoom
        if (width / 360 * cells + 1) * (height / (2 * pi) * cells + 1) <= MOST_CELLS:
            return zoom
    return 0


def _mercator(latitude: float) -> float:
    within = max(min(latitude, END_OF_MERCATOR), -END_OF_MERCATOR)
    return log(tan(radians(within) / 2 + pi / 4))
