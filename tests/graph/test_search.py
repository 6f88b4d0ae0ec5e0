"""Search and suggestions as clients ask for them."""

from decimal import Decimal
from typing import Any

import pytest

from app.catalogue.new_items import CardDetails, FigureDetails, NewCardSet, NewItem, SkinDetails
from app.core.clock import utc_now
from app.core.database import Database
from app.identity.models import NsfwVisibility
from app.identity.viewer import ANYONE
from app.prices.commands.import_exchange_rates import import_exchange_rates
from app.prices.exchange_rates import ReferenceRate
from tests.catalogue.builders import coin, saved
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of
from tests.prices.builders import ingested, point

SEARCH = """
query ($words: String!, $kinds: [ItemKind!], $filter: SearchFilter, $first: Int, $after: String) {
  search(query: $words, kinds: $kinds, filter: $filter, first: $first, after: $after) {
    totalCount totalCountIsExact
    pageInfo { hasNextPage endCursor startCursor hasPreviousPage }
    nodes { name }
    edges { cursor score node { slug price { amount } } highlights { field text ranges { start end } } }
    facets {
      kinds { value count } rarities { value count } wears { value count }
      sets { set { id name } count } manufacturers { manufacturer { id name } count }
      series { series { id slug } count }
    }
  }
}
"""
NAMES = """
query ($words: String!, $filter: SearchFilter, $kinds: [ItemKind!]) {
  search(query: $words, filter: $filter, kinds: $kinds) { nodes { slug } }
}
"""
SUGGEST = """
query ($prefix: String!, $first: Int! = 10) { suggest(prefix: $prefix, first: $first) { text item { slug } } }
"""


def _skin(slug: str, name: str, wear: str) -> NewItem:
    return NewItem(slug=slug, name=name, details=SkinDetails(market_hash_name=name, wear=wear, rarity="Covert"))


WORLD = (
    _skin("fn", "★ Karambit | Doppler (Factory New)", "Factory New"),
    _skin("mw", "★ Karambit | Doppler (Minimal Wear)", "Minimal Wear"),
    _skin("slate", "AK-47 | Slate (Factory New)", "Factory New"),
    NewItem(slug="ember", name="Ember", details=CardDetails(game="g", card_set=NewCardSet("g", "DP", "Doppler Isle"))),
    NewItem(
        slug="ayo",
        name="Ayo of the Lanterns",
        details=FigureDetails(manufacturer="Hollow Pine", series=("Doppler Days",)),
    ),
)


async def _slugs(graph: Graph, query: str, **variables: Any) -> list[str]:
    found = await graph.ask(NAMES, words=query, **variables)
    return [node["slug"] for node in found["search"]["nodes"]]


async def test_a_page_shows_what_was_found_where_and_what_it_can_be_narrowed_by(
    database: Database, graph: Graph
) -> None:
    await saved(database, *WORLD)
    await ingested(database, point("fn", "900"))
    found = (await graph.ask(SEARCH, words="doppler", first=3))["search"]
    assert (found["totalCount"], found["totalCountIsExact"]) == (4, True)
    assert [edge["node"]["slug"] for edge in found["edges"]] == ["fn", "mw", "ayo"]
    assert [edge["score"] for edge in found["edges"]] == [0.5, 0.5, 0.25]
    assert found["edges"][0]["node"]["price"] == {"amount": "900"}
    assert found["edges"][0]["highlights"] == [
        {"field": "NAME", "text": WORLD[0].name, "ranges": [{"start": 13, "end": 20}]}
    ]
    assert [each["field"] for each in found["edges"][2]["highlights"]] == ["SERIES"]
    assert found["facets"]["kinds"] == [
        {"value": "SKIN", "count": 2},
        {"value": "CARD", "count": 1},
        {"value": "FIGURE", "count": 1},
    ]
    assert found["facets"]["wears"] == [{"value": "Factory New", "count": 1}, {"value": "Minimal Wear", "count": 1}]
    assert found["facets"]["sets"][0]["set"]["name"] == "Doppler Isle"
    assert found["facets"]["manufacturers"][0]["manufacturer"]["name"] == "Hollow Pine"
    assert found["facets"]["series"][0]["series"]["slug"] == "doppler-days"
    assert found["pageInfo"]["hasNextPage"]
    after = found["pageInfo"]["endCursor"]
    rest = (await graph.ask(SEARCH, words="Döppler", first=3, after=after))["search"]
    assert [node["name"] for node in rest["nodes"]] == ["Ember"]
    assert not rest["pageInfo"]["hasNextPage"]


async def test_a_slip_finds_what_was_meant_and_marks_it(database: Database, graph: Graph) -> None:
    await saved(database, *WORLD)
    found = (await graph.ask(SEARCH, words="karambti doppler"))["search"]
    assert [edge["node"]["slug"] for edge in found["edges"]] == ["fn", "mw"]
    assert found["edges"][0]["score"] < 0.25
    assert found["edges"][0]["highlights"][0]["ranges"] == [{"start": 2, "end": 10}, {"start": 13, "end": 20}]


async def test_a_search_is_narrowed_by_what_its_facets_say(database: Database, graph: Graph) -> None:
    await saved(database, *WORLD)
    facets = (await graph.ask(SEARCH, words="doppler"))["search"]["facets"]
    set_id = facets["sets"][0]["set"]["id"]
    maker_id = facets["manufacturers"][0]["manufacturer"]["id"]
    series_id = facets["series"][0]["series"]["id"]
    assert await _slugs(graph, "doppler", filter={"setId": set_id}) == ["ember"]
    assert await _slugs(graph, "doppler", filter={"manufacturerId": maker_id, "seriesId": series_id}) == ["ayo"]
    assert await _slugs(graph, "doppler", filter={"wear": "Minimal Wear", "rarity": "Covert"}) == ["mw"]
    assert await _slugs(graph, "doppler", kinds=["CARD", "FIGURE"]) == ["ayo", "ember"]


async def test_a_range_of_prices_goes_by_the_price_that_items_show(database: Database, graph: Graph) -> None:
    await saved(database, *WORLD)
    await ingested(database, point("fn", "900"), point("mw", "700"), point("ember", "5"))
    for bounds, slugs in (
        ({}, ["fn", "mw", "ember"]),
        ({"minimum": "700"}, ["fn", "mw"]),
        ({"maximum": "700"}, ["mw", "ember"]),
        ({"minimum": "6", "maximum": "899.99"}, ["mw"]),
    ):
        assert await _slugs(graph, "doppler", filter={"price": {"currency": "USD", **bounds}}) == slugs
    assert await _slugs(graph, "doppler", filter={"price": {"currency": "EUR"}}) == []
    assert Decimal((await graph.ask(SEARCH, words="ember"))["search"]["edges"][0]["node"]["price"]["amount"]) == 5


async def test_a_facet_of_prices_gives_ranges_to_narrow_by(database: Database, graph: Graph) -> None:
    await saved(database, *WORLD)
    await ingested(database, point("fn", "900"), point("mw", "700"), point("ember", "5"), point("ayo", "4.99"))
    asked = """query ($currency: CurrencyCode!) {
      search(query: "doppler") { facets { prices(currency: $currency) { minimum maximum count } } }
    }"""
    ranges = (await graph.ask(asked, currency="USD"))["search"]["facets"]["prices"]
    assert ranges == [
        {"minimum": "4.99", "maximum": "4.99", "count": 1},
        {"minimum": "5", "maximum": "5", "count": 1},
        {"minimum": "700", "maximum": "900", "count": 2},
    ]
    bounds = {"currency": "USD", "minimum": ranges[2]["minimum"], "maximum": ranges[2]["maximum"]}
    assert await _slugs(graph, "doppler", filter={"price": bounds}) == ["fn", "mw"]
    assert (await graph.ask(asked, currency="EUR"))["search"]["facets"]["prices"] == []
    async with database.transaction() as transaction:
        rate = ReferenceRate("USD", utc_now().date(), Decimal("1.25"))
        await import_exchange_rates(transaction, [rate])
    converted = (await graph.ask(asked, currency="EUR"))["search"]["facets"]["prices"]
    assert converted == [
        {"minimum": "3.992", "maximum": "4", "count": 2},
        {"minimum": "560", "maximum": "720", "count": 2},
    ]
    assert await _slugs(graph, "doppler", filter={"price": {"currency": "EUR", "minimum": "720"}}) == ["fn"]


async def test_what_is_not_safe_for_work_is_found_by_who_chose_to_see_it(database: Database, graph: Graph) -> None:
    await saved(database, NewItem("daring", "Daring Tide", FigureDetails(), is_nsfw=True), coin("plain", "Plain Tide"))
    async with database.transaction() as transaction:
        people = [
            await add_person(transaction.connection, nsfw_visibility=visibility.value)
            for visibility in (NsfwVisibility.HIDDEN, NsfwVisibility.SHOWN)
        ]
    both = """{
      search(query: "tide") { totalCount nodes { slug } facets { kinds { count } } }
      suggest(prefix: "ti") { text }
    }"""
    for viewer, names in (
        (ANYONE, ["plain"]),
        (await session_of(database, people[0]), ["plain"]),
        (await session_of(database, people[1]), ["daring", "plain"]),
    ):
        answer = await graph.ask(both, viewer=viewer)
        assert [node["slug"] for node in answer["search"]["nodes"]] == names
        assert answer["search"]["totalCount"] == len(answer["suggest"]) == len(names)
        assert sum(facet["count"] for facet in answer["search"]["facets"]["kinds"]) == len(names)


async def test_suggestions_are_names_that_the_text_may_become(database: Database, graph: Graph) -> None:
    await saved(database, *WORLD)
    suggested = (await graph.ask(SUGGEST, prefix="kara"))["suggest"]
    assert suggested == [
        {"text": WORLD[0].name, "item": {"slug": "fn"}},
        {"text": WORLD[1].name, "item": {"slug": "mw"}},
    ]
    assert len((await graph.ask(SUGGEST, prefix="kara", first=1))["suggest"]) == 1
    for first in (0, 51):
        assert (await graph.refusal(SUGGEST, prefix="kara", first=first))["extensions"]["argument"] == "first"


@pytest.mark.parametrize(
    ("variables", "argument"),
    [
        ({"words": ""}, "query"),
        ({"words": "★"}, "query"),
        ({"words": "x" * 201}, "query"),
        ({"words": "a\0"}, "query"),
        ({"first": 101}, "first"),
        ({"after": "garbage"}, "after"),
        ({"filter": {"setId": "garbage"}}, "filter.setId"),
        ({"filter": {"rarity": "\0"}}, "filter.rarity"),
        ({"filter": {"price": {"currency": "USD", "minimum": "2", "maximum": "1"}}}, "filter.price.minimum"),
    ],
)
async def test_what_cannot_be_searched_for_is_refused(graph: Graph, variables: dict[str, Any], argument: str) -> None:
    refusal = await graph.refusal(SEARCH, **{"words": "tide", **variables})
    assert refusal["extensions"]["code"] == "BAD_USER_INPUT"
    assert refusal["extensions"]["argument"] == argument


async def test_a_cursor_belongs_to_its_search(database: Database, graph: Graph) -> None:
    await saved(database, *WORLD)
    cursor = (await graph.ask(SEARCH, words="doppler", first=1))["search"]["pageInfo"]["endCursor"]
    refusal = await graph.refusal(SEARCH, words="karambit", after=cursor)
    assert refusal["extensions"]["argument"] == "after"


async def test_a_page_takes_as_many_statements_for_many_items_as_for_one(database: Database, graph: Graph) -> None:
    await saved(database, *(coin(f"tide-{number}", f"Tide {number}") for number in range(30)))
    query = 'query ($first: Int!) { search(query: "tide", first: $first) { nodes { name price { amount } } } }'
    assert await graph.statements(query, first=1) == await graph.statements(query, first=25) <= 4
