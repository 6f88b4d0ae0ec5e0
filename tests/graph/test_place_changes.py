"""Places through the graph: shapes that are taken, mended and refused, and that each change is noticed."""

import math
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, parse_public_id, public_id
from app.trackers.commands.places import MOST_PLACES
from app.trackers.models import Place, Tracker
from tests.graph.changing import change, code_of, done
from tests.graph.conftest import Graph
from tests.trackers.builders import (
    WAREHOUSE,
    Organisation,
    organisation,
    place_of_client,
    point,
    run_of,
    tracker_of,
)

SQUARE = [[9.9, 53.5], [10.0, 53.5], [10.0, 53.6], [9.9, 53.6], [9.9, 53.5]]
HOLE = [[9.94, 53.54], [9.94, 53.55], [9.95, 53.55], [9.95, 53.54], [9.94, 53.54]]
SHOWN = "place { id name kind shape radiusMeters center { latitude longitude } version productionRuns { id } }"


@pytest.fixture
async def scene(graph: Graph, database: Database) -> Organisation:
    """A client with places."""
    return await organisation(database)


def polygon(*rings: Any) -> dict[str, Any]:
    """GeoJSON of a polygon."""
    return {"type": "Polygon", "coordinates": list(rings)}


def circle(longitude: Any, latitude: Any) -> dict[str, Any]:
    """GeoJSON of a point."""
    return {"type": "Point", "coordinates": [longitude, latitude]}


def place(scene: Organisation, shape: Any, **more: Any) -> dict[str, Any]:
    """The input of a new place."""
    return {"clientId": scene.client, "kind": "STORAGE", "name": "Yard", "shape": shape} | more


async def row_of(database: Database, public_id: str) -> Any:
    """What is stored of a place."""
    parsed = parse_public_id(public_id)
    assert parsed is not None
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(Place.reach_meters, Place.is_changed, Place.deleted_at).where(Place.id == parsed[1])
        )
        return found.one()


async def settled(database: Database) -> None:
    """As if all changes had been noticed."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Place).values(is_changed=False))


async def test_a_circle_has_100_metres_unless_told(graph: Graph, scene: Organisation, database: Database) -> None:
    new = place(scene, circle(9.9661, 53.5461), idempotencyKey="yard")
    made = (await done(graph, scene.operator, "createPlace", SHOWN, **new))["place"]
    assert (made["shape"], made["radiusMeters"], made["version"]) == (new["shape"], 100, 1)
    assert made["center"] == {"latitude": 53.5461, "longitude": 9.9661}
    assert await row_of(database, made["id"]) == (100, True, None)
    again = (await done(graph, scene.operator, "createPlace", SHOWN, **new))["place"]
    assert again == made
    await done(graph, scene.operator, "deletePlace", "deletedId", id=made["id"])
    anew = (await done(graph, scene.operator, "createPlace", SHOWN, **new))["place"]
    assert anew["shape"] == new["shape"]
    assert anew["id"] != made["id"]
    wider = await done(graph, scene.operator, "createPlace", SHOWN, **place(scene, circle(1, 2), radiusMeters=2_500.5))
    assert wider["place"]["radiusMeters"] == 2_500.5


async def test_a_polygon_is_as_large_as_it_is_and_its_winding_is_mended(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    backwards = polygon(SQUARE[::-1], HOLE[::-1])
    made = (await done(graph, scene.operator, "createPlace", SHOWN, **place(scene, backwards)))["place"]
    assert made["shape"] == polygon(SQUARE, HOLE)
    assert made["radiusMeters"] == 0
    # About 6.6 km by 11.1 km.
    reach = (await row_of(database, made["id"])).reach_meters
    assert math.isclose(reach, math.sqrt(6_620 * 11_130 / math.pi), rel_tol=0.02)
    edited = await done(graph, scene.operator, "editPlace", SHOWN, id=made["id"], radiusMeters=50)
    assert edited["place"]["radiusMeters"] == 50
    assert math.isclose((await row_of(database, made["id"])).reach_meters, reach + 50)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("Hamburg", "It is an object"),
        ({}, "Its `type` is `Point`"),
        ({"type": "Feature", "geometry": circle(1, 2)}, "send the `geometry`"),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE]]}, "make a place for each part"),
        (circle(1, 2) | {"crs": {"type": "name"}}, "no `crs`"),
        ({"type": "Point"}, "[longitude, latitude]"),
        (circle("1", 2), "made of numbers"),
        (circle(True, 2), "made of numbers"),
        (circle(1, 1e999), "made of numbers"),
        (circle(53.5, 99.9), "wrong way round"),
        (circle(181, 2), "not on the earth"),
        (circle(-120, 91), "not on the earth"),
        # Changed round it would be no place either.
        (circle(10, 181), "not on the earth"),
        ({"type": "Polygon", "coordinates": []}, "rings of positions"),
        (polygon([]), "4 positions at least"),
        (polygon(SQUARE[:4]), "A ring is closed"),
        (polygon([[0, 0], [1, 1], [0, 0]]), "4 positions at least"),
        (polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]), "Self-intersection"),
        (polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]), "move the positions there"),
        (polygon([[0, 0], [1, 0], [2, 0], [0, 0]]), "It is no polygon"),
        (polygon(SQUARE, [[20, 20], [21, 20], [21, 21], [20, 20]]), "Hole lies outside shell"),
        (polygon([[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]), "make a place for each side"),
        (polygon([[-170, 80], [-50, 80], [60, 80], [170, 80], [60, 85], [-50, 85], [-170, 80]]), "around a pole"),
        (polygon([[0, 80], [60, 90], [60, 80], [0, 80]]), "touches a pole"),
        (polygon([[0, 0], [1e-7, 0], [0, 1e-7], [0, 0]]), "1 m²"),
        (polygon([[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]]), "100,000 km²"),
        (polygon([[0, 0], *([number / 1_000, 1] for number in range(999)), [0, 0]]), "1,000 positions"),
    ],
)
async def test_what_is_no_shape_of_a_place_is_refused_with_what_to_do(
    graph: Graph, scene: Organisation, shape: Any, said: str
) -> None:
    if shape == circle(1, 1e999):
        # JSON has no infinity; a document has such a number.
        shape = circle(1, 2**2000)
    payload = await change(graph, scene.operator, "createPlace", "place { id }", **place(scene, shape))
    (error,) = payload["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID_SHAPE", ["input", "shape"])
    assert said in error["message"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"radiusMeters": 0}, "INVALID_INPUT"),
        ({"radiusMeters": 100_001}, "INVALID_INPUT"),
        ({"radiusMeters": -1}, "INVALID_INPUT"),
        ({"dwellFixes": 0}, "INVALID_INPUT"),
        ({"dwellMinutes": 10_081}, "INVALID_INPUT"),
        ({"name": ""}, "INVALID_INPUT"),
        ({"activeFrom": "2026-01-02T00:00:00Z", "activeUntil": "2026-01-02T00:00:00Z"}, "INVALID_INPUT"),
        ({"activeFrom": "0001-01-01T00:00:00Z"}, "INVALID_INPUT"),
        ({"activeUntil": "9999-12-31T23:59:59.999999Z"}, "INVALID_INPUT"),
        ({"productionRunIds": ["garbage"]}, "NOT_FOUND"),
        ({"productionRunIds": ["garbage"] * 251}, "TOO_MANY"),
    ],
)
async def test_what_a_place_cannot_have_is_refused(
    graph: Graph, scene: Organisation, more: dict[str, Any], code: str
) -> None:
    assert await code_of(graph, scene.operator, "createPlace", **place(scene, circle(1, 2), **more)) == code


async def test_each_change_of_a_place_is_noticed(graph: Graph, scene: Organisation, database: Database) -> None:
    await settled(database)
    shown = await done(graph, scene.operator, "editPlace", SHOWN, id=scene.customer, productionRunIds=[scene.run])
    assert shown["place"]["productionRuns"] == [{"id": scene.run}]
    assert (await row_of(database, scene.customer)).is_changed
    await settled(database)
    moved = {"id": scene.customer, "shape": polygon(SQUARE), "expectedVersion": 2}
    shown = await done(graph, scene.operator, "editPlace", SHOWN, **moved)
    assert (shown["place"]["radiusMeters"], shown["place"]["version"]) == (0, 3)
    assert (await row_of(database, scene.customer)).is_changed
    assert await code_of(graph, scene.operator, "editPlace", **moved) == "CONFLICT"
    await settled(database)
    await done(graph, scene.operator, "deletePlace", "deletedId", id=scene.customer)
    stored = await row_of(database, scene.customer)
    assert stored.is_changed
    assert stored.deleted_at is not None
    assert await code_of(graph, scene.operator, "editPlace", id=scene.customer, name="X") == "NOT_FOUND"
    listed = await graph.ask("{ places(first: 9) { nodes { name } } }", scene.viewer)
    assert listed["places"]["nodes"] == [{"name": "Warehouse"}]


@pytest.mark.parametrize(
    ("before", "after", "is_remade"),
    [
        (["run"], ["other"], True),
        (["run"], ["run", "other"], False),
        (["run"], [], False),
        ([], ["other"], True),
        ([], ["run"], False),
    ],
)
async def test_trackers_that_a_place_is_no_longer_for_are_made_anew_though_no_visit_of_theirs_is_stored_yet(
    graph: Graph,
    scene: Organisation,
    database: Database,
    before: list[str],
    after: list[str],
    is_remade: bool,
) -> None:
    async with database.transaction() as transaction:
        connection = transaction.connection
        runs = {"run": scene.run_id, "other": await run_of(connection, scene.client_id, scene.brand_id, "Second")}
        loose = await tracker_of(connection, scene.client_id)
        yard = await place_of_client(connection, scene.client_id, "Yard", *(runs[run] for run in before))
    await done(
        graph,
        scene.operator,
        "editPlace",
        "place { id }",
        id=public_id(PublicIdTag.PLACE, yard),
        productionRunIds=[public_id(PublicIdTag.PRODUCTION_RUN, runs[run]) for run in after],
    )
    async with database.transaction() as transaction:
        asked = await transaction.connection.scalars(select(Tracker.id).where(Tracker.recompute_from.is_not(None)))
        expected = ({scene.tracker_id} if is_remade else set()) | ({loose} if after and not before else set())
        assert set(asked) == expected


async def test_a_client_has_10_000_places_at_most(graph: Graph, scene: Organisation, database: Database) -> None:
    at = point(*WAREHOUSE)
    row = {"client_id": scene.client_id, "kind": "storage", "shape": at, "center": at, "reach_meters": 1}
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Place), [row | {"id": new_id(), "name": f"{number}"} for number in range(MOST_PLACES - 2)]
        )
    assert await code_of(graph, scene.operator, "createPlace", **place(scene, circle(1, 2))) == "TOO_MANY"
