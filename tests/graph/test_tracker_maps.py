"""Trackers by where they are: near a point, within a polygon, silent for long, and gathered in boxes of a map."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE
from app.trackers.models import Tracker
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.trackers.builders import CUSTOMER, MONDAY, WAREHOUSE, Organisation, organisation
from tests.trackers.map_builders import located
from tests.trackers.plans import plans_of, spread_trackers

TRACKERS = "query ($filter: TrackerFilter) { trackers(filter: $filter) { totalCount nodes { name } } }"
IN_BOX = """
query ($box: BoundingBox!, $zoom: Int!, $filter: MapFilter) {
  trackersInBox(box: $box, zoom: $zoom, filter: $filter) {
    count latitude longitude bounds { west south east north } statuses { status count } tracker { name }
  }
}
"""
WORLD = {"west": -180, "south": -90, "east": 180, "north": 90}
FIJI_AND_SAMOA = {"west": 170, "south": -30, "east": -165, "north": 0}
HAMBURG = {"west": 9.7, "south": 53.3, "east": 10.4, "north": 53.8}


def square(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """A box as a polygon of GeoJSON."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


async def add(database: Database, client_id: UUID, /, **places: tuple[float, float]) -> None:
    """Trackers by their names, where they were last heard of."""
    async with database.transaction() as transaction:
        for name, at in places.items():
            await located(transaction.connection, client_id, at, name)


async def named(graph: Graph, known: Organisation, **wanted: Any) -> list[str]:
    """The names of the trackers that a filter leaves, on both paths."""
    data = await graph.ask(TRACKERS, known.viewer, filter=wanted)
    names = [tracker["name"] for tracker in data["trackers"]["nodes"]]
    assert data["trackers"]["totalCount"] == len(names)
    return names


async def clusters(
    graph: Graph, known: Organisation, box: Mapping[str, float], zoom: int, **wanted: Any
) -> list[dict[str, Any]]:
    """The clusters of a box."""
    data = await graph.ask(IN_BOX, known.viewer, box=box, zoom=zoom, filter=wanted or None)
    found: list[dict[str, Any]] = data["trackersInBox"]
    return found


async def test_trackers_near_a_point_are_found_also_across_the_antimeridian_and_at_a_pole(
    database: Database, graph: Graph
) -> None:
    known = await organisation(database)
    await add(database, known.client_id, Port=WAREHOUSE, East=(0, 179.999), West=(0, -179.999), Pole=(90, 12))
    await add(database, known.strangers_client_id, Foreign=WAREHOUSE)

    async def near(latitude: float, longitude: float, meters: float) -> list[str]:
        return await named(graph, known, near={"latitude": latitude, "longitude": longitude, "meters": meters})

    assert await near(*WAREHOUSE, 100) == ["Port"]
    assert await near(*WAREHOUSE, 0) == ["Port"]
    assert await near(0, 180, 112) == ["East", "West"]
    assert await near(0, 180, 111) == []
    assert await near(90, -100, 1) == ["Pole"]
    # The other side of the earth is a little farther than may be asked for.
    assert await near(0, 0, 20_000_000) == ["Box 1", "Pole", "Port"]


async def test_trackers_within_a_polygon_are_found_also_on_its_edge_and_of_one_that_crosses_itself(
    database: Database, graph: Graph
) -> None:
    known = await organisation(database)
    await add(database, known.client_id, Inside=(1, 1), Edge=(0, 1), Hole=(1.5, 1.5), Outside=(3, 3))
    holed = square(0, 0, 2, 2)
    holed["coordinates"].append(square(1.4, 1.4, 1.6, 1.6)["coordinates"][0])
    assert await named(graph, known, within=holed) == ["Edge", "Inside"]
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}
    assert await named(graph, known, within=bow_tie) == ["Hole", "Inside"]
    # Around the inner turn it goes twice.
    turns = [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0], [1.2, 1.2], [1.8, 1.2], [1.8, 1.8], [1.2, 1.8], [1.2, 1.2], [0, 0]]
    twice = {"type": "Polygon", "coordinates": [turns]}
    assert "Hole" in await named(graph, known, within=twice)
    assert await named(graph, known, within=square(2.5, 2.5, 4, 4), statuses=["SILENT"]) == []
    both = {"latitude": 1, "longitude": 1, "meters": 10}
    assert await named(graph, known, within=square(0, 0, 2, 2), near=both) == ["Inside"]


async def test_a_scribble_of_as_many_positions_as_there_may_be_is_answered(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    drawn = Random(7)
    scribble = [[round(drawn.uniform(-80, 80), 3), round(drawn.uniform(-80, 80), 3)] for _ in range(999)]
    polygon = {"type": "Polygon", "coordinates": [[*scribble, scribble[0]]]}
    assert await named(graph, known, within=polygon) == ["Box 1"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"within": {"type": "Point", "coordinates": [1, 2]}}, "near"),
        ({"within": {"type": "MultiPolygon", "coordinates": []}}, "ask once for each part"),
        ({"within": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}}, "4 positions"),
        ({"within": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}}, "closed"),
        (
            {"within": {"type": "Polygon", "coordinates": [[[179, 0], [-179, 0], [-179, 1], [179, 0]]]}},
            "ask once for each side",
        ),
        ({"within": {"type": "Polygon", "coordinates": [[[0, 0], [1, 91], [181, 91], [0, 0]]]}}, "wrong way round"),
        ({"within": {"type": "Polygon", "coordinates": [[[0, 0]] * 1_001]}}, "1,000"),
        ({"within": "here"}, "object"),
        ({"near": {"latitude": 91, "longitude": 0, "meters": 1}}, "not on earth"),
        ({"near": {"latitude": 0, "longitude": 0, "meters": -1}}, "metres from 0 to"),
    ],
)
async def test_what_is_no_polygon_and_no_point_is_refused_with_what_would_be(
    database: Database, graph: Graph, given: dict[str, Any], says: str
) -> None:
    known = await organisation(database)
    response = await graph.respond(TRACKERS, known.viewer, filter=given)
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["argument"] == f"filter.{next(iter(given))}"
    assert says in error["message"]


async def test_trackers_are_found_that_were_not_heard_of_for_long(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    now = MONDAY + timedelta(days=10)
    async with database.transaction() as transaction:
        await located(transaction.connection, known.client_id, CUSTOMER, "Hours", last_fix_at=now - timedelta(hours=5))
        await located(
            transaction.connection,
            known.client_id,
            CUSTOMER,
            "Never",
            last_fix_at=None,
            last_position=None,
            created_at=now - timedelta(days=3),
        )
    with patch("tests.graph.conftest.utc_now", lambda: now):
        assert await named(graph, known, silentFor="PT5H") == ["Box 1", "Hours", "Never"]
        assert await named(graph, known, silentFor="PT5H1S") == ["Box 1", "Never"]
        assert await named(graph, known, silentFor="P3DT1S") == ["Box 1"]


async def test_near_and_a_box_of_a_map_use_the_spatial_indexes(
    database: Database, graph: Graph, api_database: Database, owner: AsyncEngine
) -> None:
    known = await organisation(database)
    await spread_trackers(owner, known.client_id, known.strangers_client_id)
    viewer = known.viewer.in_database

    async def ask_near() -> None:
        await graph.ask(TRACKERS, known.viewer, filter={"near": {"latitude": 1, "longitude": 1, "meters": 100_000}})

    async def ask_within() -> None:
        await graph.ask(TRACKERS, known.viewer, filter={"within": square(1, 1, 4, 4)})

    async def ask_box() -> None:
        assert len(await clusters(graph, known, {"west": -30, "south": -30, "east": 30, "north": 30}, 4)) > 10

    assert "trackers_by_last_position" in await plans_of(api_database, viewer, ask_near)
    assert "trackers_by_last_point" in await plans_of(api_database, viewer, ask_within)
    assert "trackers_by_last_point" in await plans_of(api_database, viewer, ask_box)


async def test_a_map_of_the_world_gathers_what_a_map_of_a_city_shows_apart(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    await add(database, known.client_id, One=WAREHOUSE, Two=(53.56, 10.1), Three=(53.5, 9.98), Far=(-33.9, 151.2))
    await add(database, known.strangers_client_id, Foreign=WAREHOUSE)
    europe, far = await clusters(graph, known, WORLD, 0)
    assert (europe["count"], europe["tracker"]) == (4, None)
    assert europe["statuses"] == [{"status": "IN_TRANSIT", "count": 3}, {"status": "DELIVERED", "count": 1}]
    assert europe["bounds"] == {"west": 9.9661, "south": CUSTOMER[0], "east": CUSTOMER[1], "north": 53.56}
    assert europe["latitude"] == pytest.approx((53.5461 + 53.56 + 53.5 + CUSTOMER[0]) / 4)
    assert (far["count"], far["tracker"]) == (1, {"name": "Far"})
    apart = await clusters(graph, known, HAMBURG, 12)
    assert Counter(cluster["tracker"]["name"] for cluster in apart) == Counter(["One", "Two", "Three"])
    # What is alone is told just where it is.
    (one,) = [cluster for cluster in apart if cluster["tracker"]["name"] == "One"]
    assert (one["latitude"], one["longitude"]) == WAREHOUSE


async def test_all_zooms_count_the_same_trackers_once(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    places = {
        f"T{latitude}{longitude}": (latitude, longitude)
        for latitude in (-90.0, -85.1, -0.0, 12.5, 90.0)
        for longitude in (-180.0, -1e-7, 33.0, 179.9999999, 180.0)
    }
    await add(database, known.client_id, **places)
    for zoom in (0, 1, 2, 5, 11, 22):
        assert sum(cluster["count"] for cluster in await clusters(graph, known, WORLD, zoom)) == len(places) + 1


async def test_a_box_holds_what_lies_on_its_edges_and_may_lie_across_the_antimeridian(
    database: Database, graph: Graph
) -> None:
    known = await organisation(database)
    await add(database, known.client_id, Fiji=(-18, 178), Samoa=(-14, -172), Line=(-10, 180), Sydney=(-33.9, 151.2))
    across = await clusters(graph, known, FIJI_AND_SAMOA, 5)
    assert sorted(cluster["tracker"]["name"] for cluster in across) == ["Fiji", "Line", "Samoa"]
    for name, (latitude, longitude) in (("Fiji", (-18, 178)), ("Sydney", (-33.9, 151.2))):
        dot = {"west": longitude, "east": longitude, "south": latitude, "north": latitude}
        assert [cluster["tracker"] for cluster in await clusters(graph, known, dot, 22)] == [{"name": name}]
    assert await clusters(graph, known, {"west": 1, "south": 1, "east": 2, "north": 2}, 3) == []


async def test_a_map_is_narrowed_by_client_run_and_status_and_leaves_out_what_is_put_away(
    database: Database, graph: Graph
) -> None:
    known = await organisation(database)
    await add(database, known.client_id, Box=WAREHOUSE, Retired=WAREHOUSE)
    await add(database, known.strangers_client_id, Foreign=WAREHOUSE)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(Tracker).where(Tracker.name == "Retired").values(retired_at=utc_now())
        )

    async def shown(**wanted: Any) -> int:
        return sum(cluster["count"] for cluster in await clusters(graph, known, WORLD, 3, **wanted))

    assert await shown() == 2
    assert await shown(clientId=known.client) == 2
    assert await shown(productionRunId=known.run) == 1
    assert await shown(statuses=["IN_TRANSIT"]) == 1
    assert await shown(statuses=["SILENT", "DELIVERED"], productionRunId=known.run) == 1
    assert await shown(statuses=[]) == 0
    assert await shown(clientId=public_id(PublicIdTag.CLIENT, known.strangers_client_id)) == 0
    assert await shown(productionRunId=known.brand) == 0


async def test_a_box_of_too_many_cells_is_gathered_more_coarsely(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    await add(database, known.client_id, One=WAREHOUSE, Two=(WAREHOUSE[0] + 0.001, WAREHOUSE[1]))
    near = {"west": 9.96, "south": 53.54, "east": 9.97, "north": 53.55}
    assert len(await clusters(graph, known, near, 18)) == 2
    assert len(await clusters(graph, known, HAMBURG, 18)) == 1


@pytest.mark.parametrize(
    ("box", "zoom", "argument"),
    [
        (WORLD, -1, "zoom"),
        (WORLD, 23, "zoom"),
        (WORLD | {"west": -181}, 3, "box"),
        (WORLD | {"north": 91}, 3, "box"),
        (WORLD | {"south": 10, "north": 9}, 3, "box"),
    ],
)
async def test_a_zoom_and_a_box_that_are_on_no_map_are_refused(
    database: Database, graph: Graph, box: dict[str, float], zoom: int, argument: str
) -> None:
    known = await organisation(database)
    refused = await graph.refusal(IN_BOX, known.viewer, box=box, zoom=zoom)
    assert refused["extensions"]["argument"] == argument


async def test_nobody_but_members_with_the_scope_sees_a_map(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    assert known.viewer.user_id is not None
    without = await session_of(database, known.viewer.user_id, scopes=[Scope.ACCOUNT_READ])
    asked = {"box": WORLD, "zoom": 0}
    assert await graph.ask(IN_BOX, known.stranger, **asked) == {"trackersInBox": []}
    assert (await graph.ask(TRACKERS, known.stranger, filter={"within": square(-50, -50, 60, 60)}))["trackers"][
        "nodes"
    ] == []
    for viewer, code in ((ANYONE, "UNAUTHENTICATED"), (without, "FORBIDDEN")):
        for query, variables in ((IN_BOX, asked), (TRACKERS, {"filter": {"silentFor": "P1D"}})):
            assert (await graph.refusal(query, viewer, **variables))["extensions"]["code"] == code
