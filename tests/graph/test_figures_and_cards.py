"""Walks between items and what they belong to, and items that not everybody finds."""

from datetime import date
from decimal import Decimal

from app.catalogue.commands.save_rulings import save_rulings
from app.catalogue.new_items import (
    CardDetails,
    CoinDetails,
    FigureDetails,
    NewCardSet,
    NewItem,
    NewRelease,
    NewRuling,
    SkinDetails,
)
from app.core.database import Database
from app.identity.models import NsfwVisibility
from app.identity.viewer import ANYONE
from tests.catalogue.builders import saved
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of
from tests.prices.builders import ingested, point

WALK = """
query Walk($first: Int!) {
  series(first: $first) {
    totalCount
    nodes {
      name slug
      figures(first: 3) {
        totalCount
        nodes {
          name
          manufacturer { name figures(first: 3) { nodes { slug price { amount currency } } } }
          characters { name figures(first: 2) { nodes { slug manufacturer { slug } } } }
          sculptors { name }
          origins { slug }
          releases { releasedOn listPrice currency jan }
        }
      }
    }
  }
}
"""
FIND = """query ($slug: String!, $id: ID!) {
  items { totalCount nodes { slug isNsfw } }
  item(slug: $slug) { slug }
  node(id: $id) { ... on Item { slug } }
  manufacturers { nodes { figures { totalCount nodes { slug } } } }
}"""


def _figure(number: int) -> NewItem:
    return NewItem(
        slug=f"figure-{number:02}",
        name=f"Figure {number:02}",
        details=FigureDetails(
            manufacturer=f"Maker {number % 7}",
            scale="1/7",
            series=(f"Series {number:02}", f"Series {(number + 1) % 50:02}"),
            characters=(f"Character {number % 11}",),
            sculptors=("Wen",),
            releases=(NewRelease(date(2026, 5, 31), Decimal(18800), "JPY", f"{number:013}"),),
        ),
    )


async def test_the_walk_from_series_to_prices_costs_the_same_statements_for_one_series_and_for_fifty(
    database: Database, graph: Graph
) -> None:
    await saved(database, *(_figure(number) for number in range(50)))
    await ingested(database, *(point(f"figure-{number:02}", "10") for number in range(50)))
    for resolvers_only, at_most in ((False, 1), (True, 16)):
        one = await graph.statements(WALK, first=1, resolvers_only=resolvers_only)
        fifty = await graph.statements(WALK, first=50, resolvers_only=resolvers_only)
        assert one == fifty <= at_most
    data = (await graph.ask(WALK, first=50))["series"]
    assert data["totalCount"] == 50
    first = data["nodes"][0]
    assert (first["name"], first["slug"]) == ("Series 00", "series-00")
    assert first["figures"]["totalCount"] == 2
    figure = first["figures"]["nodes"][0]
    assert figure["manufacturer"]["name"] == "Maker 0"
    assert figure["manufacturer"]["figures"]["nodes"] == [
        {"slug": slug, "price": {"amount": "10", "currency": "USD"}} for slug in ("figure-00", "figure-07", "figure-14")
    ]
    assert figure["characters"] == [
        {
            "name": "Character 0",
            "figures": {
                "nodes": [
                    {"slug": "figure-00", "manufacturer": {"slug": "maker-0"}},
                    {"slug": "figure-11", "manufacturer": {"slug": "maker-4"}},
                ]
            },
        }
    ]
    assert figure["sculptors"] == [{"name": "Wen"}]
    assert figure["origins"] == [{"slug": "series-00"}, {"slug": "series-01"}]
    assert figure["releases"] == [
        {"releasedOn": "2026-05-31", "listPrice": "18800", "currency": "JPY", "jan": "0000000000000"}
    ]


async def test_sets_lead_to_their_cards_and_cards_to_their_set(database: Database, graph: Graph) -> None:
    first = NewCardSet("Tidewatch", "TW1", "First Tide", date(2024, 5, 1), 128, "https://images.example/tw1.svg")
    await saved(
        database,
        NewItem("one", "One", CardDetails("Tidewatch", first, "001", "Rare", "Beast", "Mo", "en", ("foil", "nonfoil"))),
        NewItem("two", "Two", CardDetails("Tidewatch", first, "002")),
        NewItem("three", "Three", CardDetails("Tidewatch", NewCardSet("Tidewatch", "TW2"))),
        NewItem("loose", "Loose", CardDetails("Other Game")),
    )
    data = await graph.ask(
        """{
          all: cardSets { totalCount }
          cardSets(game: "Tidewatch", code: "TW1") {
            nodes { game code slug name releasedOn cardCount iconUrl
              cards { totalCount nodes { slug number rarity typeLine artist language finishes set { code } } } }
          }
          item(slug: "loose") { ... on Card { game set { code } finishes } }
        }"""
    )
    assert data["all"] == {"totalCount": 2}
    (card_set,) = data["cardSets"]["nodes"]
    cards = card_set.pop("cards")
    assert card_set == {
        "game": "Tidewatch",
        "code": "TW1",
        "slug": "tidewatch-first-tide",
        "name": "First Tide",
        "releasedOn": "2024-05-01",
        "cardCount": 128,
        "iconUrl": "https://images.example/tw1.svg",
    }
    assert cards["totalCount"] == 2
    assert cards["nodes"][0] == {
        "slug": "one",
        "number": "001",
        "rarity": "Rare",
        "typeLine": "Beast",
        "artist": "Mo",
        "language": "en",
        "finishes": ["foil", "nonfoil"],
        "set": {"code": "TW1"},
    }
    assert data["item"] == {"game": "Other Game", "set": None, "finishes": None}


async def test_a_set_tells_how_much_of_it_is_known(database: Database, graph: Graph) -> None:
    counted, uncounted = NewCardSet("Tidewatch", "TW1", card_count=4), NewCardSet("Tidewatch", "TW2")
    await saved(
        database,
        NewItem("one", "One", CardDetails("Tidewatch", counted, "001", language="en")),
        NewItem("eins", "Eins", CardDetails("Tidewatch", counted, "001", language="de")),
        NewItem("two", "Two", CardDetails("Tidewatch", counted, "002")),
        NewItem("promo", "Promo", CardDetails("Tidewatch", counted)),
        NewItem("three", "Three", CardDetails("Tidewatch", uncounted, "1")),
        *(
            NewItem(
                f"empty-{number}", "Of a set", CardDetails("Isles", NewCardSet("Isles", f"I{number}", None, None, 0))
            )
            for number in range(30)
        ),
    )
    asked = "query ($first: Int!) { cardSets(first: $first) { nodes { code completion { knownCount share } } } }"
    nodes = (await graph.ask(asked, first=100))["cardSets"]["nodes"]
    known = {node["code"]: node["completion"] for node in nodes}
    assert known["TW1"] == {"knownCount": 3, "share": 0.75}
    assert known["TW2"] == {"knownCount": 1, "share": None}
    assert known["I0"] == {"knownCount": 1, "share": None}
    for resolvers_only, at_most in ((False, 1), (True, 2)):
        one = await graph.statements(asked, first=1, resolvers_only=resolvers_only)
        assert one == await graph.statements(asked, first=32, resolvers_only=resolvers_only) <= at_most


async def test_skins_and_coins_show_what_their_collectors_ask_for(database: Database, graph: Graph) -> None:
    skin = SkinDetails("Tide", collection="The Tide Collection", crates=("Tide Case", "Wave Case"))
    await saved(
        database,
        NewItem("tide", "Tide", skin),
        NewItem("token", "Token", CoinDetails("TKN", 18, "ethereum", "0xabc")),
    )
    data = await graph.ask(
        """{ skin: item(slug: "tide") { ... on Skin { collection crates } }
             coin: item(slug: "token") { ... on Coin { chain contractAddress } } }"""
    )
    assert data == {
        "skin": {"collection": "The Tide Collection", "crates": ["Tide Case", "Wave Case"]},
        "coin": {"chain": "ethereum", "contractAddress": "0xabc"},
    }


async def test_what_is_not_safe_for_work_is_found_by_those_alone_who_chose_to_see_it(
    database: Database, graph: Graph
) -> None:
    details = FigureDetails(manufacturer="Kite & Kiln")
    await saved(database, NewItem("plain", "Plain", details), NewItem("daring", "Daring", details, is_nsfw=True))
    await ingested(database, point("daring", "10"))
    viewers = {}
    async with database.transaction() as transaction:
        for visibility in NsfwVisibility:
            viewers[visibility] = await add_person(transaction.connection, nsfw_visibility=visibility.value)
    shown = await session_of(database, viewers[NsfwVisibility.SHOWN])
    known = (await graph.ask('{ item(slug: "daring") { id defaultVariant { id } series { id } } }', viewer=shown))[
        "item"
    ]
    asked = {"slug": "daring", "id": known["id"]}
    everything = {
        "items": {
            "totalCount": 2,
            "nodes": [{"slug": "daring", "isNsfw": True}, {"slug": "plain", "isNsfw": False}],
        },
        "item": {"slug": "daring"},
        "node": {"slug": "daring"},
        "manufacturers": {"nodes": [{"figures": {"totalCount": 2, "nodes": [{"slug": "daring"}, {"slug": "plain"}]}}]},
    }
    safe = {
        "items": {"totalCount": 1, "nodes": [{"slug": "plain", "isNsfw": False}]},
        "item": None,
        "node": None,
        "manufacturers": {"nodes": [{"figures": {"totalCount": 1, "nodes": [{"slug": "plain"}]}}]},
    }
    hidden = await session_of(database, viewers[NsfwVisibility.HIDDEN])
    blurred = await session_of(database, viewers[NsfwVisibility.BLURRED])
    for viewer, answer in ((ANYONE, safe), (hidden, safe), (blurred, everything), (shown, everything), (ANYONE, safe)):
        assert await graph.ask(FIND, viewer=viewer, **asked) == answer
    movers = '{ movers(window: "P30D", direction: EITHER) { item { slug } } }'
    for viewer in (ANYONE, shown):
        assert await graph.ask(movers, viewer=viewer) == {"movers": []}
    # Who holds a thing of it, or watches its price, still learns what it is of.
    variant = "query ($id: ID!) { node(id: $id) { ... on ItemVariant { item { slug } } } }"
    assert (await graph.ask(variant, id=known["defaultVariant"]["id"]))["node"] == {"item": {"slug": "daring"}}


async def test_all_prints_of_a_card_have_its_rulings_the_earliest_first(database: Database, graph: Graph) -> None:
    await saved(
        database,
        NewItem("first-print", "One", CardDetails("Tidewatch", oracle_id="o-1")),
        NewItem("second-print", "One", CardDetails("Tidewatch", oracle_id="o-1")),
        NewItem("another", "Two", CardDetails("Tidewatch", oracle_id="o-2")),
        NewItem("unknown", "Three", CardDetails("Tidewatch")),
    )
    async with database.transaction() as transaction:
        await save_rulings(
            transaction.connection,
            [
                NewRuling("o-1", date(2020, 1, 1), "wotc", "It may."),
                NewRuling("o-1", date(2016, 6, 8), "wotc", "It may not."),
                NewRuling("o-3", date(2016, 6, 8), "wotc", "Of a card that nobody knows."),
            ],
        )
    data = await graph.ask("{ items { nodes { slug ... on Card { rulings { publishedOn source comment } } } } }")
    of_one = [
        {"publishedOn": "2016-06-08", "source": "wotc", "comment": "It may not."},
        {"publishedOn": "2020-01-01", "source": "wotc", "comment": "It may."},
    ]
    assert {node["slug"]: node["rulings"] for node in data["items"]["nodes"]} == {
        "first-print": of_one,
        "second-print": of_one,
        "another": [],
        "unknown": [],
    }
