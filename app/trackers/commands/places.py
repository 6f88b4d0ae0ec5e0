"""Places of clients, kept by their operators. Each change of one has the histories that it bears on made anew."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, not_, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, among
from app.core.ids import new_id
from app.trackers.commands.creation_keys import claim_key
from app.trackers.commands.held import changed, count_of, hold_client, hold_of_client
from app.trackers.commands.production_runs import require_run
from app.trackers.commands.remake_histories import REMAKE_HISTORIES, ask_for_histories
from app.trackers.given import (
    Given,
    distinct,
    not_found,
    read_given,
    read_instant,
    read_name,
    read_number,
    refuse_long_list,
    refused,
    too_many,
)
from app.trackers.models import Place, ProductionRunPlace, Tracker
from app.trackers.shapes import Shape, read_shape, refused_shape

MOST_PLACES = 10_000
RADIUS_OF_A_CIRCLE = 100.0
LARGEST_RADIUS = 100_000
MOST_DWELL_FIXES = 100
LONGEST_DWELL_MINUTES = 10_080
SMALLEST_SQUARE_METERS, LARGEST_SQUARE_METERS = 1, 10**11

_READERS: dict[str, Any] = {
    "name": lambda value: read_name(value, "name"),
    "kind": lambda value: _read_kind(value),
    "dwell_fixes": lambda value: read_number(value, "dwellFixes", least=1, most=MOST_DWELL_FIXES),
    "dwell_minutes": lambda value: read_number(value, "dwellMinutes", least=0, most=LONGEST_DWELL_MINUTES),
    "active_from": lambda value: read_instant(value, "activeFrom"),
    "active_until": lambda value: read_instant(value, "activeUntil"),
}
_CHECK = text("""
    SELECT detail.valid AS is_valid, detail.reason AS reason, ST_AsText(detail.location, 7) AS location
    FROM ST_IsValidDetail(ST_GeomFromGeoJSON(CAST(:geojson AS text))) AS detail
""")
# Only of what is valid: the area of anything else may fail.
_MEASURE = text("""
    SELECT CAST(CAST(geometry AS geography) AS text) AS shape,
        CAST(ST_Centroid(CAST(geometry AS geography)) AS text) AS center,
        ST_Area(CAST(geometry AS geography)) AS square_meters
    FROM ST_SetSRID(ST_GeomFromGeoJSON(CAST(:geojson AS text)), 4326) AS geometry
""")


@dataclass(frozen=True, slots=True)
class Measured:
    """A shape as PostGIS holds it, its middle, and its area, 0 of a point."""

    shape: str
    center: str
    square_meters: float

    def reach_meters(self, radius_meters: float) -> float:
        """The radius of a circle as large as the shape, and the radius around it."""
        return math.sqrt(self.square_meters / math.pi) + radius_meters


async def create_place(
    transaction: Transaction, client_id: UUID, given: Given, *, user_id: UUID, idempotency_key: str | None = None
) -> UUID:
    """Make a place of a client: `name`, `kind`, `shape` as GeoJSON, and maybe `radius_meters`, `dwell_fixes`,
    `dwell_minutes`, `active_from`, `active_until` and `production_run_ids`; gives its key.

    Raises TrackerRefused.
    """
    connection = transaction.connection
    values = read_given(given, _READERS)
    shape = read_shape(given.get("shape"))
    radius = _read_radius(given.get("radius_meters"), shape.is_polygon)
    _refuse_end_before_start(values.get("active_from"), values.get("active_until"))
    run_ids = _distinct_runs(given.get("production_run_ids") or ())
    await hold_client(connection, client_id, user_id=user_id)
    request = {"client": client_id, **values, "shape": shape.geojson, "radius": radius, "runs": run_ids}
    place_id = new_id()
    first = await claim_key(
        connection,
        idempotency_key,
        request,
        user_id=user_id,
        made=Place.id,
        new_id=place_id,
        is_kept=Place.deleted_at.is_(None),
    )
    if first != place_id:
        return first
    is_there = (Place.client_id == client_id, Place.deleted_at.is_(None))
    if await count_of(connection, Place, *is_there) >= MOST_PLACES:
        raise too_many(f"The client has {MOST_PLACES:,} places, as many as it may.", "clientId")
    measured = await _measured(connection, shape)
    await connection.execute(
        insert(Place).values(
            id=place_id,
            client_id=client_id,
            **values,
            **_of_shape(measured, radius),
            is_changed=True,
        )
    )
    await _link_runs(connection, place_id, client_id, run_ids)
    transaction.enqueue(REMAKE_HISTORIES)
    return place_id


async def edit_place(
    transaction: Transaction, place_id: UUID, given: Given, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Change what is given of a place; the list of production runs takes the place of the one before.

    With another shape its radius becomes the default of that, unless it is given. Raises TrackerRefused.
    """
    connection = transaction.connection
    values = read_given(given, _READERS)
    shape = read_shape(given["shape"]) if "shape" in given else None
    run_ids = _distinct_runs(given["production_run_ids"] or ()) if "production_run_ids" in given else None
    held = await _hold_place(connection, place_id, user_id=user_id, expected_version=expected_version)
    _refuse_end_before_start(values.get("active_from", held.active_from), values.get("active_until", held.active_until))
    if shape is not None or "radius_meters" in given:
        measured = await _measured(connection, shape) if shape is not None else await _as_it_is(connection, place_id)
        is_polygon = shape.is_polygon if shape is not None else measured.square_meters > 0
        values |= _of_shape(measured, _read_radius(given.get("radius_meters"), is_polygon))
    await connection.execute(
        update(Place).where(Place.id == place_id).values(**values, **changed(Place), is_changed=True)
    )
    transaction.enqueue(REMAKE_HISTORIES)
    if run_ids is not None:
        await _exchange_runs(transaction, place_id, held.client_id, run_ids)


async def delete_place(
    transaction: Transaction, place_id: UUID, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Delete a place: nothing is there any more, nor ever was. Raises TrackerRefused."""
    connection = transaction.connection
    await _hold_place(connection, place_id, user_id=user_id, expected_version=expected_version)
    await connection.execute(
        update(Place).where(Place.id == place_id).values(deleted_at=func.now(), is_changed=True, **changed(Place))
    )
    transaction.enqueue(REMAKE_HISTORIES)


async def _hold_place(
    connection: AsyncConnection, place_id: UUID, *, user_id: UUID, expected_version: int | None
) -> Any:
    held = await hold_of_client(
        connection, Place, place_id, "place", user_id=user_id, expected_version=expected_version
    )
    if held.deleted_at is not None:
        raise not_found("place", "id")
    return held


async def _link_runs(connection: AsyncConnection, place_id: UUID, client_id: UUID, run_ids: Sequence[UUID]) -> None:
    rows = [
        {
            "production_run_id": await require_run(connection, run_id, client_id, "productionRunIds", str(number)),
            "place_id": place_id,
            "client_id": client_id,
        }
        for number, run_id in enumerate(run_ids)
    ]
    if rows:
        await connection.execute(insert(ProductionRunPlace), rows)


async def _exchange_runs(transaction: Transaction, place_id: UUID, client_id: UUID, run_ids: Sequence[UUID]) -> None:
    """Have the place be for these production runs, and no longer for those before."""
    connection = transaction.connection
    of_place = delete(ProductionRunPlace).where(ProductionRunPlace.place_id == place_id)
    before = (await connection.scalars(of_place.returning(ProductionRunPlace.production_run_id))).all()
    await _link_runs(connection, place_id, client_id, run_ids)
    if not run_ids:
        return
    # A batch that is being taken in may have a tracker of another run arrive here yet. Who looks at the place later
    # would not know of it: neither by the runs, nor by a visit that is not committed.
    run_id = Tracker.production_run_id
    went = among(run_id, set(before) - set(run_ids)) if before else run_id.is_(None) | not_(among(run_id, run_ids))
    await ask_for_histories(transaction, (Tracker.client_id == client_id) & went)


async def _measured(connection: AsyncConnection, shape: Shape) -> Measured:
    checked = (await connection.execute(_CHECK, {"geojson": shape.geojson})).one()
    if not checked.is_valid:
        raise refused_shape(
            f"It is no polygon: {checked.reason} at {checked.location}. A line of it must not cross or touch another, "
            "and holes lie within: move the positions there, or make a place for each part."
        )
    row = (await connection.execute(_MEASURE, {"geojson": shape.geojson})).one()
    if shape.is_polygon and not SMALLEST_SQUARE_METERS <= row.square_meters <= LARGEST_SQUARE_METERS:
        raise refused_shape(
            f"The polygon has {row.square_meters:,.0f} m²; it may have from {SMALLEST_SQUARE_METERS} m² to "
            f"{LARGEST_SQUARE_METERS // 10**6:,} km²."
        )
    return Measured(row.shape, row.center, row.square_meters)


async def _as_it_is(connection: AsyncConnection, place_id: UUID) -> Measured:
    row = await connection.execute(
        text(
            "SELECT CAST(shape AS text) AS shape, CAST(center AS text) AS center, ST_Area(shape) AS square_meters "
            "FROM trackers.places WHERE id = :id"
        ),
        {"id": place_id},
    )
    return Measured(*row.one())


def _of_shape(measured: Measured, radius_meters: float) -> dict[str, Any]:
    return {
        "shape": measured.shape,
        "center": measured.center,
        "radius_meters": radius_meters,
        "reach_meters": measured.reach_meters(radius_meters),
    }


def _read_radius(value: float | None, is_polygon: bool) -> float:
    if value is None:
        return 0.0 if is_polygon else RADIUS_OF_A_CIRCLE
    return read_number(value, "radiusMeters", least=0 if is_polygon else 1, most=LARGEST_RADIUS)


def _read_kind(value: Any) -> str:
    if value is None:
        raise refused("A place is one of storage or of delivery.", "kind")
    return str(value)


def _distinct_runs(run_ids: Sequence[UUID]) -> Sequence[UUID]:
    refuse_long_list(run_ids, "productionRunIds")
    return distinct(run_ids)


def _refuse_end_before_start(active_from: datetime | None, active_until: datetime | None) -> None:
    if active_from is not None and active_until is not None and active_until <= active_from:
        raise refused("It counts until a time after the one from which it counts.", "activeUntil")
