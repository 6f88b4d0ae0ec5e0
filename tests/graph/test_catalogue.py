"""Items and their walks through the graph."""

from typing import Any

import pytest

from app.catalogue.new_items import NewVariant
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from tests.catalogue.builders import card, coin, figure, saved, skin
from tests.graph.conftest import Graph
from tests.identity.builders import PARTNER_ID
from tests.prices.builders import ingested, point

FOUR_LEVELS = """
query Walk($first: Int!) {
  items(first: $first) {
    totalCount
    edges { cursor }
    nodes {
      id slug name kind createdAt
      ... on Coin { symbol decimals }
      ... on Skin { weapon wear }
      externalIds { provider id }
      price { amount currency }
      defaultVariant { id key }
      variants {
        id key
        item { id name }
        price { amount }
        series {
          id kind currency
          source { code name }
          latest { amount staleness }
          variant { id item { slug } }
          points(first: 3) { totalCount nodes { price observedAt } }
          candles(resolution: ONE_HOUR, last: 3) { start close isComplete origin }
        }
      }
    }
  }
}
"""


async def test_each_kind_of_item_shows_its_details(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum", symbol="AUR"), skin("ak-tide"), card("tidecaller"), figure("lantern"))
    data = await graph.ask(
        """{ items { nodes { __typename kind slug
          ... on Coin { symbol } ... on Skin { weapon isStattrak } ... on Card { game number }
          ... on Figure { manufacturer { name } scale } } } }"""
    )
    assert data["items"]["nodes"] == [
        {"__typename": "Skin", "kind": "SKIN", "slug": "ak-tide", "weapon": "AK-47", "isStattrak": False},
        {"__typename": "Coin", "kind": "COIN", "slug": "aurum", "symbol": "AUR"},
        {
            "__typename": "Figure",
            "kind": "FIGURE",
            "slug": "lantern",
            "manufacturer": {"name": "Hollow Pine"},
            "scale": "1/7",
        },
        {"__typename": "Card", "kind": "CARD", "slug": "tidecaller", "game": "Tidewatch", "number": "7"},
    ]


async def test_a_walk_of_four_levels_costs_the_same_statements_for_one_item_and_for_fifty(
    database: Database, graph: Graph
) -> None:
    slugs = [f"coin-{number:02}" for number in range(50)]
    await saved(database, *(coin(slug, variants=(NewVariant("proof", "Proof"),)) for slug in slugs))
    await ingested(
        database,
        *(point(slug, "10", variant=variant) for slug in slugs for variant in ("default", "proof")),
        *(point(slug, "11", kind="ask") for slug in slugs),
    )
    one = await graph.statements(FOUR_LEVELS, first=1)
    fifty = await graph.statements(FOUR_LEVELS, first=50)
    assert one == fifty
    assert fifty <= 14
    data = await graph.ask(FOUR_LEVELS, first=50)
    assert sum(len(variant["series"]) for item in data["items"]["nodes"] for variant in item["variants"]) == 150


async def test_items_are_found_by_slug_by_id_and_by_part_of_their_name(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum", "Aurum Éclair"), coin("argent", "Argent 100%"))
    by_slug = await graph.ask('{ item(slug: "aurum") { id name } }')
    by_id = await graph.ask("query ($id: ID!) { item(id: $id) { slug } }", id=by_slug["item"]["id"])
    assert by_id == {"item": {"slug": "aurum"}}
    for text, found in (
        ("éclair", ["aurum"]),
        ("0%", ["argent"]),
        ("%", ["argent"]),
        ("_", []),
        ("r", ["argent", "aurum"]),
    ):
        data = await graph.ask("query ($t: String!) { items(filter: {nameContains: $t}) { nodes { slug } } }", t=text)
        assert [node["slug"] for node in data["items"]["nodes"]] == found
    data = await graph.ask(
        '{ items(filter: {slugs: ["argent", "missing"], kind: COIN}) { totalCount nodes { slug } } }'
    )
    assert data["items"] == {"totalCount": 1, "nodes": [{"slug": "argent"}]}


async def test_what_is_not_there_is_null(graph: Graph) -> None:
    assert await graph.ask('{ item(slug: "nothing") { id } }') == {"item": None}


async def page_through(graph: Graph, arguments: str, cursor_name: str) -> list[str]:
    """Every slug of the list, page by page."""
    size, cursor = ("first: 3", "endCursor") if cursor_name == "after" else ("last: 3", "startCursor")
    query = (
        f"query ($cursor: String) {{ items({size}, {cursor_name}: $cursor, {arguments}) "
        "{ nodes { slug } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
    )
    slugs: list[str] = []
    position = None
    while True:
        page = (await graph.ask(query, cursor=position))["items"]
        found = [node["slug"] for node in page["nodes"]]
        slugs = slugs + found if cursor_name == "after" else found + slugs
        position = page["pageInfo"][cursor]
        if not page["pageInfo"]["hasNextPage" if cursor_name == "after" else "hasPreviousPage"]:
            return slugs


@pytest.mark.parametrize("field", ["NAME", "CREATED_AT"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_pages_forward_and_backward_hold_every_item_once_in_order(
    database: Database, graph: Graph, field: str, direction: str
) -> None:
    await saved(database, *(coin(f"coin-{number}", f"Coin {number % 3}") for number in range(8)))
    order = f"orderBy: [{{field: {field}, direction: {direction}}}]"
    whole = (await graph.ask(f"{{ items({order}) {{ nodes {{ slug }} }} }}"))["items"]["nodes"]
    slugs = [node["slug"] for node in whole]
    assert sorted(slugs) == [f"coin-{number}" for number in range(8)]
    assert await page_through(graph, order, "after") == slugs
    assert await page_through(graph, order, "before") == slugs


async def test_nodes_come_back_in_the_order_asked_for(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"), coin("argent"))
    await ingested(database, point("aurum", "10"))
    data = await graph.ask(
        '{ item(slug: "aurum") { id defaultVariant { id } series { id } } argent: item(slug: "argent") { id } }'
    )
    ids = [
        data["item"]["series"][0]["id"],
        data["argent"]["id"],
        data["item"]["defaultVariant"]["id"],
        data["item"]["id"],
    ]
    found = await graph.ask(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Item { slug } } }", ids=[*ids, ids[0]]
    )
    assert [node["id"] for node in found["nodes"]] == [*ids, ids[0]]
    assert [node["__typename"] for node in found["nodes"]] == [
        "PriceSeries",
        "Coin",
        "ItemVariant",
        "Coin",
        "PriceSeries",
    ]


async def test_an_id_of_several_that_is_refused_leaves_the_others_answered(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    aurum = (await graph.ask('{ item(slug: "aurum") { id } }'))["item"]["id"]
    account = public_id(PublicIdTag.ACCOUNT, PARTNER_ID)
    response = await graph.respond(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } items { totalCount } }", ids=[account, aurum, "AAAA"]
    )
    assert response["data"] == {"nodes": [None, {"id": aurum}, None], "items": {"totalCount": 1}}
    assert [(error["path"], error["extensions"]["code"]) for error in response["errors"]] == [
        (["nodes", 0], "UNAUTHENTICATED"),
        (["nodes", 2], "BAD_USER_INPUT"),
    ]


REFUSED: list[tuple[str, str]] = [
    ("items(first: 1000) { nodes { id } }", "first"),
    ("items(first: -1) { nodes { id } }", "first"),
    ("items(last: 101) { nodes { id } }", "last"),
    ('items(last: 3, after: "x") { nodes { id } }', "after"),
    ('items(first: 3, before: "x") { nodes { id } }', "before"),
    ("items(first: 3, last: 3) { nodes { id } }", "last"),
    ('items(after: "x") { nodes { id } }', "after"),
    ('items(after: "W10") { nodes { id } }', "after"),
    ('items(filter: {nameContains: ""}) { nodes { id } }', "filter.nameContains"),
    ("items(orderBy: [{field: NAME}, {field: CREATED_AT}]) { nodes { id } }", "orderBy"),
    ('item(id: "x", slug: "y") { id }', "id"),
    ("item { id }", "id"),
    ('item(id: "not an id") { id }', "id"),
    ('node(id: "AAAA") { id }', "id"),
    ('nodes(ids: ["é"]) { id }', "ids"),
]


@pytest.mark.parametrize(("field", "argument"), REFUSED)
async def test_bad_input_is_refused_naming_the_argument(graph: Graph, field: str, argument: str) -> None:
    error = await graph.refusal(f"{{ {field} }}")
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["argument"] == argument
    assert "allowed" in error["extensions"] or argument == "after"


async def test_a_cursor_of_another_order_is_refused(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    data: Any = await graph.ask("{ items { pageInfo { endCursor } } }")
    error = await graph.refusal(
        "query ($after: String) { items(after: $after, orderBy: [{field: CREATED_AT}]) { nodes { id } } }",
        after=data["items"]["pageInfo"]["endCursor"],
    )
    assert error["extensions"]["argument"] == "after"
