"""Staff edit the catalogue through the graph; what is gone is found under what it became."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.catalogue.new_items import NewVariant
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.identity.models import Role
from app.identity.scopes import PERMISSIONS_OF_ROLES, Scope
from app.identity.viewer import ANYONE, Viewer
from tests.catalogue.builders import card, coin, saved, skin
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of
from tests.prices.builders import MONDAY, ingested, point

CREATE = """
mutation ($input: CreateItemInput!) {
  createItem(input: $input) { item { __typename id slug name } userErrors { field message code } }
}
"""
EDIT = """
mutation ($input: EditItemInput!) {
  editItem(input: $input) {
    item { slug name imageUrl ... on Card { set { code } artist } ... on Skin { floatMinimum floatMaximum } }
    userErrors { field code }
  }
}
"""
MERGE = """
mutation ($winner: ID!, $loser: ID!) {
  mergeItems(input: {winnerId: $winner, loserId: $loser}) { item { id slug } userErrors { field code } }
}
"""
# What the API may write of what is everybody's, with the first column of each table.
WRITES = """
SELECT table_schema || '.' || table_name AS name, attname AS column_name, privilege_type
FROM information_schema.role_table_grants
JOIN pg_class ON relname = table_name AND relnamespace = CAST(table_schema AS regnamespace) AND NOT relrowsecurity
CROSS JOIN LATERAL (
    SELECT attname FROM pg_attribute
    WHERE attrelid = pg_class.oid AND attnum > 0 AND CAST(attidentity AS text) = '' ORDER BY attnum LIMIT 1
) AS first_column
WHERE grantee = 'trove_api' AND table_schema IN ('catalogue', 'prices') AND privilege_type <> 'SELECT'
"""
REVISIONS = """
query ($slug: String!) {
  item(slug: $slug) {
    revisions(first: 10) { totalCount nodes { number action changes editor { username } } }
  }
}
"""


@pytest.fixture
async def moderator(owner: AsyncEngine, api_database: Database) -> Viewer:
    """Somebody of the staff."""
    async with owner.begin() as connection:
        permissions = PERMISSIONS_OF_ROLES[Role.MODERATOR]
        user_id = await add_person(connection, permissions=permissions, username="moss")
    return await session_of(api_database, user_id)


async def done(graph: Graph, mutation: str, viewer: Viewer, **variables: Any) -> Any:
    """The payload of a mutation that was not refused."""
    ((payload),) = (await graph.ask(mutation, viewer, **variables)).values()
    assert payload["userErrors"] == []
    return payload


async def errors(graph: Graph, mutation: str, viewer: Viewer, **variables: Any) -> list[tuple[str, list[str]]]:
    """The codes and fields of a payload that has nothing but errors."""
    ((payload),) = (await graph.ask(mutation, viewer, **variables)).values()
    assert payload["item"] is None
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


def key(item_id: UUID) -> str:
    """The id of an item as the public knows it."""
    return public_id(PublicIdTag.ITEM, item_id)


async def test_staff_make_an_item_of_each_kind(graph: Graph, database: Database, moderator: Viewer) -> None:
    await saved(database, card("in-a-set"))
    sets = await graph.ask('{ cardSets(code: "TW1") { nodes { id } } }')
    details = {
        "Skin": {"skin": {"marketHashName": "Tide", "isStattrak": True, "floatMinimum": 0.5}},
        "Coin": {"coin": {"symbol": "LAN", "decimals": None}},
        "Card": {"card": {"game": "Tidewatch", "setId": sets["cardSets"]["nodes"][0]["id"], "finishes": ["foil"]}},
        "Figure": {
            "figure": {
                "manufacturer": "Hollow Pine",
                "releases": [{"listPrice": "120.50", "currency": "JPY", "releasedOn": "2024-05-01"}],
            }
        },
    }
    for kind, given in details.items():
        payload = await done(graph, CREATE, moderator, input={"name": f"New {kind}", "details": given})
        assert payload["item"]["__typename"] == kind
        assert payload["item"]["slug"] == f"new-{kind.lower()}"
    shown = await graph.ask(
        """{
          item(slug: "new-figure") { ... on Figure { manufacturer { name } releases { listPrice releasedOn } } }
          skin: item(slug: "new-skin") { ... on Skin { isStattrak isSouvenir floatMinimum } }
          search(query: "new") { totalCount }
        }"""
    )
    assert shown["item"] == {
        "manufacturer": {"name": "Hollow Pine"},
        "releases": [{"listPrice": "120.50", "releasedOn": "2024-05-01"}],
    }
    assert shown["skin"] == {"isStattrak": True, "isSouvenir": False, "floatMinimum": 0.5}


async def test_the_same_idempotency_key_gives_the_same_item(graph: Graph, moderator: Viewer) -> None:
    given = {"name": "Lantern", "details": {"coin": {"symbol": "LAN"}}, "idempotencyKey": "monday"}
    first = await done(graph, CREATE, moderator, input=given)
    assert await done(graph, CREATE, moderator, input=given) == first
    other = given | {"name": "Lamp"}
    assert await errors(graph, CREATE, moderator, input=other) == [
        ("IDEMPOTENCY_KEY_REUSED", ["input", "idempotencyKey"])
    ]
    assert await errors(graph, CREATE, moderator, input=other | {"idempotencyKey": ""}) == [
        ("INVALID_INPUT", ["input", "idempotencyKey"])
    ]


async def test_staff_change_what_they_name_and_nothing_else(
    graph: Graph, database: Database, moderator: Viewer
) -> None:
    ids = await saved(database, card("lighthouse"))
    changed = {
        "id": key(ids["lighthouse"]),
        "expectedRevision": 0,
        "name": "Beacon",
        "details": {"card": {"artist": "A"}},
    }
    payload = await done(graph, EDIT, moderator, input=changed)
    assert payload["item"] == {
        "slug": "lighthouse",
        "name": "Beacon",
        "imageUrl": None,
        "set": {"code": "TW1"},
        "artist": "A",
    }
    cleared = {"id": key(ids["lighthouse"]), "details": {"card": {"setId": None, "artist": None}}}
    payload = await done(graph, EDIT, moderator, input=cleared)
    assert (payload["item"]["set"], payload["item"]["artist"]) == (None, None)
    assert await errors(graph, EDIT, moderator, input=changed) == [("CONFLICT", ["input", "expectedRevision"])]


async def test_bad_input_is_refused_with_the_path_to_it(graph: Graph, database: Database, moderator: Viewer) -> None:
    ids = await saved(database, skin("tide", "Tide"), coin("lantern"))
    tide = {"id": key(ids["tide"])}
    variant = {"id": public_id(PublicIdTag.ITEM_VARIANT, ids["tide"])}
    reversed_floats = {"skin": {"floatMinimum": 0.9, "floatMaximum": 0.1}}
    cases: list[tuple[dict[str, Any], str, list[str]]] = [
        (tide | {"slug": "lantern"}, "SLUG_TAKEN", ["slug"]),
        (tide | {"name": ""}, "INVALID_INPUT", ["name"]),
        (tide | {"imageUrl": "ftp://p.example/a"}, "INVALID_INPUT", ["imageUrl"]),
        (tide | {"details": reversed_floats}, "INVALID_INPUT", ["details", "skin", "floatMinimum"]),
        (tide | {"details": {"coin": {"symbol": "A"}}}, "WRONG_KIND", ["details", "coin"]),
        (variant, "NOT_FOUND", ["id"]),
        ({"id": "nonsense"}, "NOT_FOUND", ["id"]),
    ]
    for given, code, field in cases:
        assert await errors(graph, EDIT, moderator, input=given) == [(code, ["input", *field])]
    unknown_set = {"name": "A", "details": {"card": {"game": "Tidewatch", "setId": key(ids["tide"])}}}
    assert await errors(graph, CREATE, moderator, input=unknown_set) == [
        ("NOT_FOUND", ["input", "details", "card", "setId"])
    ]
    wrong_jan = {"name": "A", "details": {"figure": {"releases": [{"jan": "4901234567890"}]}}}
    assert await errors(graph, CREATE, moderator, input=wrong_jan) == [
        ("INVALID_INPUT", ["input", "details", "figure", "releases", "0", "jan"])
    ]
    taken = {"name": "A", "details": {"figure": {"releases": [{"jan": "4580000000010"}]}}}
    await done(graph, CREATE, moderator, input=taken)
    assert await errors(graph, CREATE, moderator, input=taken | {"name": "B"}) == [
        ("JAN_TAKEN", ["input", "details", "figure", "releases", "0", "jan"])
    ]


async def test_two_kinds_of_details_at_once_are_refused(graph: Graph, moderator: Viewer) -> None:
    both = {"name": "A", "details": {"coin": {"symbol": "A"}, "card": {"game": "B"}}}
    refusal = await graph.refusal(CREATE, moderator, input=both)
    assert refusal["extensions"]["code"] == "BAD_USER_INPUT"


async def test_variants_are_added_and_named(graph: Graph, database: Database, moderator: Viewer) -> None:
    ids = await saved(database, coin("lantern"))
    added = await graph.ask(
        """mutation ($item: ID!) {
          addItemVariant(input: {itemId: $item, key: "foil", name: "A"}) { variant { id key } userErrors { code } }
          again: addItemVariant(input: {itemId: $item, key: "foil", name: "B"}) { variant { id } userErrors { code } }
        }""",
        moderator,
        item=key(ids["lantern"]),
    )
    assert added["addItemVariant"]["variant"]["key"] == "foil"
    assert added["again"] == {"variant": None, "userErrors": [{"code": "KEY_TAKEN"}]}
    edited = await graph.ask(
        """mutation ($id: ID!) {
          editItemVariant(input: {id: $id, name: "Shiny", position: 0}) { variant { name } userErrors { code } }
        }""",
        moderator,
        id=added["addItemVariant"]["variant"]["id"],
    )
    assert edited["editItemVariant"] == {"variant": {"name": "Shiny"}, "userErrors": []}


async def test_staff_see_the_history_and_nobody_else_does(
    graph: Graph, database: Database, moderator: Viewer, owner: AsyncEngine
) -> None:
    given = {"name": "Lantern", "details": {"coin": {"symbol": "LAN"}}}
    made = (await done(graph, CREATE, moderator, input=given))["item"]
    await done(graph, EDIT, moderator, input={"id": made["id"], "name": "Lamp"})
    history = (await graph.ask(REVISIONS, moderator, slug="lantern"))["item"]["revisions"]
    assert history["totalCount"] == 2
    edited, created = history["nodes"]
    assert edited == {
        "number": 2,
        "action": "EDITED",
        "changes": {"name": {"before": "Lantern", "after": "Lamp"}},
        "editor": {"username": "moss"},
    }
    assert (created["number"], created["action"]) == (1, "CREATED")
    async with owner.begin() as connection:
        support = await add_person(connection, permissions=PERMISSIONS_OF_ROLES[Role.SUPPORT])
    others = (
        ANYONE,
        await session_of(database, support),
        replace(await session_of(database, support), scopes=frozenset(Scope)),
        replace(moderator, user_id=support),
    )
    for viewer in others:
        shown = await graph.ask(REVISIONS, viewer, slug="lantern")
        assert shown["item"]["revisions"] == {"totalCount": 0, "nodes": []}
    without_the_scope = replace(moderator, scopes=frozenset({Scope.ACCOUNT_READ}))
    own = (await graph.ask(REVISIONS, without_the_scope, slug="lantern"))["item"]["revisions"]
    assert own["totalCount"] == 2


async def test_a_grant_that_was_taken_back_lets_nobody_edit(
    graph: Graph, database: Database, moderator: Viewer, owner: AsyncEngine
) -> None:
    ids = await saved(database, coin("lantern"))
    async with owner.begin() as connection:
        await connection.execute(text("UPDATE identity.role_grants SET revoked_at = now()"))
    change = {"id": key(ids["lantern"]), "name": "Lamp"}
    assert await errors(graph, EDIT, moderator, input=change) == [("NOT_GRANTED", [])]


async def test_the_api_writes_the_catalogue_and_prices_for_nobody_without_the_permission(
    api_database: Database, owner: AsyncEngine
) -> None:
    async with owner.connect() as connection:
        granted = await connection.execute(text(WRITES))
        writes = [(row.name, row.column_name, row.privilege_type) for row in granted]
    assert {("catalogue.items", "id", "DELETE"), ("prices.price_points", "series_id", "UPDATE")} <= set(writes)
    for table, column, privilege in writes:
        statement = {
            "DELETE": f"DELETE FROM {table}",
            "UPDATE": f"UPDATE {table} SET {column} = {column}",
            "INSERT": f"INSERT INTO {table} DEFAULT VALUES",
        }[privilege]
        with pytest.raises(DBAPIError) as refused:
            async with api_database.transaction() as transaction:
                await transaction.connection.execute(text(statement))
        assert getattr(refused.value.orig, "sqlstate", None) == "42501", (table, privilege)


FOUND = """
query ($id: ID!, $slug: String!) {
  bySlug: item(slug: $slug) { slug }
  byId: item(id: $id) { slug }
  node(id: $id) { ... on Item { slug } }
  nodes(ids: [$id, $id]) { ... on Item { slug } }
}
"""


async def test_what_was_merged_is_found_by_its_old_id_and_slug(
    graph: Graph, database: Database, moderator: Viewer
) -> None:
    ids = await saved(database, coin("lantern", variants=(NewVariant("foil", "Foil"),)), coin("lamp"), coin("torch"))
    assert await done(graph, MERGE, moderator, winner=key(ids["lamp"]), loser=key(ids["torch"]))
    payload = await done(graph, MERGE, moderator, winner=key(ids["lantern"]), loser=key(ids["lamp"]))
    assert payload["item"] == {"id": key(ids["lantern"]), "slug": "lantern"}
    lantern = {"slug": "lantern"}
    for slug in ("lantern", "lamp", "torch"):
        found = await graph.ask(FOUND, id=key(ids[slug]), slug=slug)
        assert found == {"bySlug": lantern, "byId": lantern, "node": lantern, "nodes": [lantern, lantern]}
    assert await graph.ask('{ item(slug: "nothing") { slug } }') == {"item": None}
    assert await errors(graph, MERGE, moderator, winner=key(ids["lantern"]), loser=key(ids["torch"])) == [
        ("ALREADY_MERGED", ["input", "loserId"])
    ]


async def test_an_edited_slug_still_leads_to_its_item(graph: Graph, database: Database, moderator: Viewer) -> None:
    ids = await saved(database, coin("lantern"))
    await done(graph, EDIT, moderator, input={"id": key(ids["lantern"]), "slug": "lamp"})
    for slug in ("lantern", "lamp"):
        assert await graph.ask("query ($slug: String!) { item(slug: $slug) { slug } }", slug=slug) == {
            "item": {"slug": "lamp"}
        }
    # Where something has a resolver of its own, what is above it is read by resolvers.
    mixed = '{ item(slug: "lantern") { slug series { candles(resolution: ONE_DAY) { open } } } }'
    assert await graph.ask(mixed) == {"item": {"slug": "lamp", "series": []}}


async def test_what_is_found_costs_no_second_statement(graph: Graph, database: Database, moderator: Viewer) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    await done(graph, MERGE, moderator, winner=key(ids["lantern"]), loser=key(ids["lamp"]))
    query = "query ($slug: String!) { item(slug: $slug) { slug } }"
    for resolvers_only in (False, True):
        assert await graph.statements(query, slug="lantern", resolvers_only=resolvers_only) == 1
        assert await graph.statements(query, slug="lamp", resolvers_only=resolvers_only) == 3


async def test_a_redirect_shows_nobody_what_they_chose_not_to_see(
    graph: Graph, database: Database, moderator: Viewer
) -> None:
    ids = await saved(database, replace(coin("lantern"), is_nsfw=True), coin("lamp"))
    merged = await graph.ask(MERGE, moderator, winner=key(ids["lantern"]), loser=key(ids["lamp"]))
    assert merged["mergeItems"]["userErrors"] == []
    nothing = {"bySlug": None, "byId": None, "node": None, "nodes": [None, None]}
    assert await graph.ask(FOUND, id=key(ids["lamp"]), slug="lamp") == nothing


async def test_prices_follow_a_merge_by_staff(graph: Graph, database: Database, moderator: Viewer) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    await ingested(database, point("lantern", "10", at=MONDAY), point("lantern", "1", at=MONDAY, kind="sale"))
    await ingested(database, point("lamp", "20", at=MONDAY.replace(minute=5)), point("lamp", "2", kind="sale"))
    await done(graph, MERGE, moderator, winner=key(ids["lantern"]), loser=key(ids["lamp"]))
    shown = await graph.ask(
        """{ item(slug: "lamp") { series(kind: MARKET) {
          latest { amount } points(first: 5) { nodes { price } }
          candles(resolution: ONE_DAY, from: "2024-01-01T00:00:00Z", to: "2024-01-02T00:00:00Z") { high }
        } } }"""
    )
    (series,) = shown["item"]["series"]
    assert series["latest"] == {"amount": "20"}
    assert len(series["points"]["nodes"]) == 2
    assert series["candles"] == [{"high": "20"}]


async def test_only_staff_edit(graph: Graph, database: Database, owner: AsyncEngine) -> None:
    ids = await saved(database, coin("lantern"))
    async with owner.begin() as connection:
        user_id = await add_person(connection)
    somebody = await session_of(database, user_id)
    change = {"id": key(ids["lantern"]), "name": "Lamp"}
    assert (await graph.refusal(EDIT, somebody, input=change))["extensions"]["code"] == "FORBIDDEN"
    assert (await graph.refusal(EDIT, input=change))["extensions"]["code"] == "UNAUTHENTICATED"
