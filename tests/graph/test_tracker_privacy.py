"""Another client's members see nothing of a client by any way, and a token sees no more than its scopes."""

from collections.abc import Sequence
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from app.catalogue.models import ItemVariant
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE, Viewer
from app.portfolios.wish_models import Preorder
from app.trackers.models import Membership, TrackerAttachment, TrackerKey
from tests.catalogue.builders import coin, saved
from tests.graph.changing import change, done
from tests.graph.conftest import Graph
from tests.trackers.builders import Organisation, attachment_of, organisation

NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
LISTS = """{
  clients(first: 50) { totalCount nodes { name members { role } brands { totalCount } productionRuns { totalCount } } }
  trackers(first: 50) { totalCount nodes { name } }
  places(first: 50) { totalCount nodes { name } }
  trackersInBox(box: { west: -180, south: -85, east: 180, north: 85 }, zoom: 1) { count }
}"""
# The client of the stranger has nothing.
EMPTY = {
    "clients": {
        "totalCount": 1,
        "nodes": [
            {
                "name": "Tidewatch",
                "members": [{"role": "OWNER"}],
                "brands": {"totalCount": 0},
                "productionRuns": {"totalCount": 0},
            }
        ],
    },
    "trackers": {"totalCount": 0, "nodes": []},
    "places": {"totalCount": 0, "nodes": []},
    "trackersInBox": [],
}
NARROWED = """query ($client: ID!, $run: ID!) {
  byClient: trackers(first: 5, filter: { clientId: $client }) { totalCount }
  byRun: trackers(first: 5, filter: { productionRunId: $run }) { totalCount }
  places(first: 5, filter: { clientId: $client }) { totalCount }
  trackersInBox(
    box: { west: -180, south: -85, east: 180, north: 85 }, zoom: 1, filter: { clientId: $client }
  ) { count }
}"""


@pytest.fixture
async def scene(graph: Graph, database: Database) -> Organisation:
    """A client with something of everything."""
    made = await organisation(database)
    async with database.transaction() as transaction:
        await attachment_of(transaction.connection, made.client_id, made.tracker_id, run_id=made.run_id)
    return made


async def ids_of(database: Database, scene: Organisation) -> Sequence[str]:
    """The ids of all that the client has."""
    ids = [scene.client, scene.brand, scene.run, scene.warehouse, scene.customer, scene.tracker]
    tables: dict[PublicIdTag, Any] = {
        PublicIdTag.MEMBERSHIP: Membership,
        PublicIdTag.TRACKER_KEY: TrackerKey,
        PublicIdTag.TRACKER_ATTACHMENT: TrackerAttachment,
    }
    async with database.transaction() as transaction:
        for tag, table in tables.items():
            keys = await transaction.connection.scalars(select(table.id).where(table.client_id == scene.client_id))
            ids += [public_id(tag, key) for key in keys]
    return ids


async def test_a_member_of_another_client_sees_nothing_by_any_root(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    ids = await ids_of(database, scene)
    assert len(ids) == 11
    seen = await graph.ask(NODES, scene.viewer, ids=ids)
    assert [node["id"] for node in seen["nodes"]] == ids
    hidden = await graph.ask(NODES, scene.stranger, ids=ids)
    assert hidden["nodes"] == [None] * len(ids)
    assert await graph.ask(LISTS, scene.stranger) == EMPTY
    narrowed = await graph.ask(NARROWED, scene.stranger, client=scene.client, run=scene.run)
    nothing = {"totalCount": 0}
    assert narrowed == {"byClient": nothing, "byRun": nothing, "places": nothing, "trackersInBox": []}


async def test_what_is_anothers_is_refused_like_what_there_never_was(graph: Graph, scene: Organisation) -> None:
    for name, tag, foreign in (
        ("editClient", PublicIdTag.CLIENT, scene.client),
        ("editBrand", PublicIdTag.BRAND, scene.brand),
        ("editPlace", PublicIdTag.PLACE, scene.warehouse),
        ("editTracker", PublicIdTag.TRACKER, scene.tracker),
    ):
        anothers = await change(graph, scene.stranger, name, "__typename", id=foreign, name="X")
        nobodys = await change(graph, scene.stranger, name, "__typename", id=public_id(tag, UUID(int=7)), name="X")
        assert anothers == nobodys
        assert "Grey Quay" not in str(anothers)


async def test_things_of_one_client_are_not_joined_to_another_ones(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    mine = public_id(PublicIdTag.CLIENT, scene.strangers_client_id)
    trackers = {"clientId": mine, "productionRunId": scene.run, "trackers": [{"name": "X"}]}
    place = {
        "clientId": mine,
        "kind": "STORAGE",
        "name": "X",
        "shape": {"type": "Point", "coordinates": [1, 2]},
        "productionRunIds": [scene.run],
    }
    for name, given in (("createTrackers", trackers), ("createPlace", place)):
        (error,) = (await change(graph, scene.stranger, name, "__typename", **given))["userErrors"]
        assert error["code"] == "NOT_FOUND"
        assert error["field"][1].startswith("productionRunId")
    assert await graph.ask(LISTS, scene.stranger) == EMPTY


@pytest.mark.parametrize("field", ["clients", "trackers", "places"])
async def test_a_token_without_the_scope_is_refused_and_nobody_is_asked_to_sign_in(
    graph: Graph, scene: Organisation, field: str
) -> None:
    query = f"{{ {field}(first: 1) {{ totalCount }} }}"
    lacking = Viewer(user_id=scene.owner.user_id, scopes=scene.owner.scopes - {Scope.TRACKERS_READ})
    assert (await graph.refusal(query, lacking))["extensions"]["code"] == "FORBIDDEN"
    assert (await graph.refusal(query, ANYONE))["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("name", "tag", "shown"),
    [
        ("editClient", PublicIdTag.CLIENT, "client { name members { user { username } } }"),
        ("editBrand", PublicIdTag.BRAND, "brand { name }"),
        ("editProductionRun", PublicIdTag.PRODUCTION_RUN, "productionRun { description }"),
        ("editPlace", PublicIdTag.PLACE, "place { center { latitude } }"),
        ("editTracker", PublicIdTag.TRACKER, "tracker { lastFix { position { latitude } } }"),
    ],
)
async def test_a_token_that_may_only_write_is_shown_nothing_by_what_it_changes(
    graph: Graph, scene: Organisation, name: str, tag: PublicIdTag, shown: str
) -> None:
    ids = {
        PublicIdTag.CLIENT: scene.client,
        PublicIdTag.BRAND: scene.brand,
        PublicIdTag.PRODUCTION_RUN: scene.run,
        PublicIdTag.PLACE: scene.warehouse,
        PublicIdTag.TRACKER: scene.tracker,
    }
    token = Viewer(user_id=scene.owner.user_id, scopes=frozenset({Scope.TRACKERS_WRITE}))
    query = f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ {shown} }} }}"
    response = await graph.respond(query, token, input={"id": ids[tag]})
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert "`trackers:read`" in error["message"]
    assert list(response["data"][name].values()) == [None]
    # The change itself is made.
    assert await change(graph, token, name, "__typename", id=ids[tag]) == {"__typename": ANY, "userErrors": []}


async def test_a_preorder_and_its_tracker_are_walked_both_ways_with_the_scopes_of_both(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    await saved(database, coin("aurum"))
    preorder_id = new_id()
    async with database.transaction() as transaction:
        variant_id = await transaction.connection.scalar(select(ItemVariant.id))
        await transaction.connection.execute(
            insert(Preorder).values(
                id=preorder_id, owner_id=scene.operator.user_id, variant_id=variant_id, status="shipped"
            )
        )
    preorder = public_id(PublicIdTag.PREORDER, preorder_id)
    await done(graph, scene.operator, "detachTracker", "tracker { id }", trackerId=scene.tracker)
    await done(
        graph, scene.operator, "attachTracker", "attachment { id }", trackerId=scene.tracker, preorderId=preorder
    )
    there = "query ($id: ID!) { node(id: $id) { ... on Preorder { trackers { id } } } }"
    back = "query ($id: ID!) { node(id: $id) { ... on Tracker { carrying { preorder { id } } } } }"
    assert (await graph.ask(there, scene.operator, id=preorder))["node"] == {"trackers": [{"id": scene.tracker}]}
    carried = {"carrying": {"preorder": {"id": preorder}}}
    assert (await graph.ask(back, scene.operator, id=scene.tracker))["node"] == carried
    assert (await graph.ask(back, scene.owner, id=scene.tracker))["node"] == {"carrying": None}
    for query, node_id, lacking in (
        (there, preorder, Scope.TRACKERS_READ),
        (back, scene.tracker, Scope.PORTFOLIOS_READ),
    ):
        token = Viewer(user_id=scene.operator.user_id, scopes=scene.operator.scopes - {lacking})
        assert (await graph.refusal(query, token, id=node_id))["extensions"]["code"] == "FORBIDDEN"
