"""What others see of somebody's portfolios: what its owner chose, and nothing more, however they ask."""

from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, combinations
from typing import Any

import pytest
from graphql import GraphQLObjectType
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, parse_public_id, public_id
from app.graph.schema import core_schema
from app.identity.models import User
from app.identity.viewer import ANYONE, Viewer
from app.portfolios.models import SharedPart, TradeKind
from tests.graph.conftest import Graph
from tests.graph.possessions import Collector, collector, rates, traded, variants
from tests.prices.builders import ingested, point
from tests.row_security import PUBLIC_VIEWS
from workers.erasure import erase_people

PARTS = [part.name for part in SharedPart]
EVERY_CHOICE = list(chain.from_iterable(combinations(PARTS, size) for size in range(len(PARTS) + 1)))
# All that there is to ask for, so that a field that is added is looked at, too.
HOLDING_FIELDS = {
    "position",
    "variant",
    "quantity",
    "condition",
    "grade",
    "grader",
    "floatValue",
    "pattern",
    "photos",
    "value",
}
PORTFOLIO_FIELDS = {"id", "name", "description", "baseCurrency", "sharedParts", "createdAt", "owner", "holdings"}
SHOWN = """
    name description baseCurrency sharedParts owner { username }
    holdings {
      totalCount
      nodes { position variant { id } quantity condition grade grader floatValue pattern
        value { currency quantity unitValue { amount } amount { amount } basis isStale reason }
      }
    }
"""
BY_ID = f"query ($id: ID!) {{ sharedPortfolio(id: $id) {{ id {SHOWN} }} }}"
BY_LINK = f"query ($link: String!) {{ sharedPortfolio(link: $link) {{ id {SHOWN} }} }}"
BY_NODE = f"query ($id: ID!) {{ node(id: $id) {{ ... on SharedPortfolio {{ id {SHOWN} }} }} }}"
OF_ADA = '{ user(username: "Ada") { sharedPortfolios { totalCount nodes { id name } } } }'


@dataclass(frozen=True, slots=True)
class Scene:
    """Ada's portfolio with a card that has everything, one that is archived, and one that was sold."""

    ada: Collector
    bob: Viewer
    portfolio_id: str
    variant_id: str

    @property
    def strangers(self) -> Sequence[Viewer]:
        """Everybody who is not Ada."""
        return (ANYONE, self.bob)

    async def share(self, visibility: str, *parts: str) -> Any:
        """The portfolio, shared so."""
        return await self.ada.done(
            "editPortfolio", id=self.portfolio_id, visibility=visibility, sharedParts=list(parts)
        )


@pytest.fixture
async def scene(graph: Graph, database: Database, api_database: Database) -> Scene:
    """The portfolio, still private."""
    ada = await collector(graph, database, api_database, "ada")
    bob = await collector(graph, database, api_database, "bob")
    coin, card = await variants(database)
    shelf = await ada.done("createPortfolio", name="Shelf", description="All mine", baseCurrency="USD")
    store = await ada.done("addStore", name="Kite & Kiln")
    details = {
        "condition": "near mint",
        "grade": "9.5",
        "grader": "PSA",
        "serial": "secret-serial",
        "floatValue": "0.07",
        "pattern": 661,
        "place": "secret-place",
        "storeId": store["id"],
        "notes": "secret-notes",
    }
    for variant, described in ((card, details), (coin, {"notes": "secret-archived"}), (coin, {})):
        holding = await ada.done("addHolding", portfolioId=shelf["id"], variantId=variant, details=described)
        parsed = parse_public_id(holding["id"])
        assert parsed is not None
        bought = utc_now() - timedelta(days=9)
        await traded(database, ada.viewer, parsed[1], TradeKind.BUY, "4321", "1234", occurred_at=bought)
        if described.get("notes") == "secret-archived":
            await ada.done("editHolding", id=holding["id"], isArchived=True)
        elif not described:
            await traded(database, ada.viewer, parsed[1], TradeKind.SELL, "4321", "8", occurred_at=utc_now())
    await ingested(database, point("lighthouse", "2.5", kind="market", at=utc_now()))
    return Scene(ada, bob.viewer, shelf["id"], card)


def test_every_field_that_others_may_ask_for_is_looked_at() -> None:
    for name, fields in (("SharedHolding", HOLDING_FIELDS), ("SharedPortfolio", PORTFOLIO_FIELDS)):
        graphql_type = core_schema.type_map[name]
        assert isinstance(graphql_type, GraphQLObjectType)
        assert set(graphql_type.fields) == fields


async def test_a_private_portfolio_is_nobody_elses_to_see(graph: Graph, scene: Scene) -> None:
    key = parse_public_id(scene.portfolio_id)
    assert key is not None
    for viewer in (*scene.strangers, scene.ada.viewer):
        for wrong in (scene.portfolio_id, public_id(PublicIdTag.SHARED_PORTFOLIO, key[1])):
            assert (await graph.ask(BY_ID, viewer, id=wrong))["sharedPortfolio"] is None
        assert (await graph.ask(OF_ADA, viewer))["user"]["sharedPortfolios"] == {"totalCount": 0, "nodes": []}


@pytest.mark.parametrize("parts", EVERY_CHOICE, ids=lambda parts: "+".join(parts) or "nothing")
async def test_a_public_portfolio_shows_what_its_owner_chose_and_nothing_more(
    graph: Graph, scene: Scene, parts: Sequence[str]
) -> None:
    await scene.share("PUBLIC", *parts)
    for viewer in scene.strangers:
        response = await graph.respond(BY_ID, viewer, id=scene.portfolio_id)
        shown = response["data"]["sharedPortfolio"]
        assert shown == {
            "id": shown["id"],
            "name": "Shelf",
            "description": "All mine",
            "baseCurrency": "USD" if "VALUES" in parts else None,
            "sharedParts": list(parts),
            "owner": {"username": "ada"},
            "holdings": {"totalCount": 1, "nodes": [_holding(scene, parts)]},
        }
        for secret in ("secret", "1234") + (() if "QUANTITIES" in parts else ("4321",)):
            assert secret not in str(response)
        assert (await graph.ask(BY_NODE, viewer, id=shown["id"]))["node"] == shown
        listed = (await graph.ask(OF_ADA, viewer))["user"]["sharedPortfolios"]
        assert listed == {"totalCount": 1, "nodes": [{"id": shown["id"], "name": "Shelf"}]}


def _holding(scene: Scene, parts: Sequence[str]) -> dict[str, Any]:
    quantity = "4321" if "QUANTITIES" in parts else None
    details = {"condition": "near mint", "grade": "9.5", "grader": "PSA", "floatValue": "0.07", "pattern": 661}
    return {
        "position": 0,
        "variant": {"id": scene.variant_id},
        "quantity": quantity,
        "value": _value(quantity) if "VALUES" in parts else None,
        **(details if "DETAILS" in parts else dict.fromkeys(details)),
    }


def _value(quantity: str | None) -> dict[str, Any]:
    """A value of all that is held would tell how much that is: 2.5 for each of 4321."""
    return {
        "currency": "USD",
        "quantity": quantity or "1",
        "unitValue": {"amount": "2.5"},
        "amount": {"amount": "10802.5" if quantity else "2.5"},
        "basis": "MARKET",
        "isStale": False,
        "reason": None,
    }


async def test_values_are_told_in_another_currency_or_say_why_not(
    graph: Graph, scene: Scene, database: Database
) -> None:
    await scene.share("PUBLIC", "VALUES")
    await rates(database, on=utc_now().date(), USD="1.25")
    query = """
    query ($id: ID!, $currency: CurrencyCode) { sharedPortfolio(id: $id) { holdings { nodes {
      value(currency: $currency) { currency amount { amount currency } basis reason }
    } } } }
    """
    found = {}
    for currency in ("EUR", "JPY"):
        shown = (await graph.ask(query, ANYONE, id=scene.portfolio_id, currency=currency))["sharedPortfolio"]
        found[currency] = shown["holdings"]["nodes"][0]["value"]
    assert found == {
        "EUR": {"currency": "EUR", "amount": {"amount": "2", "currency": "EUR"}, "basis": "MARKET", "reason": None},
        "JPY": {"currency": "JPY", "amount": None, "basis": "NONE", "reason": "NO_EXCHANGE_RATE"},
    }


async def test_a_portfolio_shared_by_link_is_found_by_its_link_alone(graph: Graph, scene: Scene) -> None:
    shared = await scene.share("LINK", "DETAILS")
    link = shared["linkKey"]
    for viewer in scene.strangers:
        shown = (await graph.ask(BY_LINK, viewer, link=link))["sharedPortfolio"]
        assert (shown["name"], shown["holdings"]["totalCount"]) == ("Shelf", 1)
        assert (await graph.ask(BY_NODE, viewer, id=shown["id"]))["node"] == shown
        assert (await graph.ask(BY_ID, viewer, id=scene.portfolio_id))["sharedPortfolio"] is None
        assert (await graph.ask(OF_ADA, viewer))["user"]["sharedPortfolios"]["nodes"] == []
        for wrong in (link.upper(), link[:-1], link + "0", "0" * 32, "", "ſ" * 32, scene.portfolio_id):
            assert (await graph.ask(BY_LINK, viewer, link=wrong))["sharedPortfolio"] is None
    renewed = await scene.ada.done("renewPortfolioLink", id=scene.portfolio_id)
    for query, variables in ((BY_LINK, {"link": link}), (BY_ID, {"id": shown["id"]})):
        assert (await graph.ask(query, ANYONE, **variables))["sharedPortfolio"] is None
    found = (await graph.ask(BY_LINK, ANYONE, link=renewed["linkKey"]))["sharedPortfolio"]
    assert found["id"] != shown["id"]
    await scene.share("PRIVATE")
    assert (await graph.ask(BY_LINK, ANYONE, link=renewed["linkKey"]))["sharedPortfolio"] is None


async def test_what_is_held_is_told_apart_by_another_word_under_each_link(graph: Graph, scene: Scene) -> None:
    query = """
    query ($link: String!, $after: String) {
      sharedPortfolio(link: $link) { holdings(first: 1, after: $after) { edges { cursor } } }
    }
    """
    holdings = "query ($id: ID!) { node(id: $id) { ... on Portfolio { holdings { nodes { id } } } } }"
    owned = (await scene.ada.ask(holdings, id=scene.portfolio_id))["node"]["holdings"]["nodes"]
    keys = [parsed[1] for node in owned if (parsed := parse_public_id(node["id"])) is not None]
    shared, cursors = await scene.share("LINK"), []
    for _ in range(2):
        (edge,) = (await graph.ask(query, ANYONE, link=shared["linkKey"]))["sharedPortfolio"]["holdings"]["edges"]
        cursors.append(urlsafe_b64decode(edge["cursor"] + "==").decode())
        behind = await graph.ask(query, ANYONE, link=shared["linkKey"], after=edge["cursor"])
        assert behind["sharedPortfolio"]["holdings"]["edges"] == []
        shared = await scene.ada.done("renewPortfolioLink", id=scene.portfolio_id)
    assert cursors[0] != cursors[1]
    assert len(keys) == 3
    assert not any(str(key) in cursor for key in keys for cursor in cursors)


async def test_either_an_id_or_a_link_is_asked_for(graph: Graph) -> None:
    for arguments in ("", '(id: "x", link: "y")', "(link: null)"):
        refusal = await graph.refusal(f"{{ sharedPortfolio{arguments} {{ id }} }}")
        assert refusal["message"] == "Give `id` or `link`, one of them."


async def test_what_is_not_safe_for_work_is_shown_to_who_chose_to_see_it(
    graph: Graph, scene: Scene, database: Database
) -> None:
    await scene.share("PUBLIC")
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE catalogue.items SET is_nsfw = true"))
        await transaction.connection.execute(
            update(User).where(User.id == scene.bob.own_id).values(nsfw_visibility="shown")
        )
    found = {}
    for viewer in scene.strangers:
        shown = (await graph.ask(BY_ID, viewer, id=scene.portfolio_id))["sharedPortfolio"]
        found[viewer] = shown["holdings"]["totalCount"]
    assert found == {ANYONE: 0, scene.bob: 1}


async def test_the_portfolios_of_who_was_erased_are_gone(graph: Graph, scene: Scene, database: Database) -> None:
    shared = await scene.share("PUBLIC", *PARTS)
    assert (await graph.ask(BY_ID, ANYONE, id=shared["id"]))["sharedPortfolio"] is not None
    async with database.transaction() as transaction:
        gone = update(User).where(User.id == scene.ada.viewer.own_id)
        await transaction.connection.execute(gone.values(deleted_at=utc_now()))
    assert (await graph.ask(BY_ID, ANYONE, id=shared["id"]))["sharedPortfolio"] is None
    async with database.transaction() as transaction:
        due = {"deletion_requested_at": utc_now() - timedelta(days=31), "erase_after": utc_now() - timedelta(days=1)}
        await transaction.connection.execute(gone.values(deleted_at=None, **due))
    assert await erase_people(database) == 1
    async with database.transaction() as transaction:
        for table in ("portfolios", "stores", "holdings", "holding_details", "trades", "lots", "lot_disposals"):
            left = await transaction.connection.scalar(text(f"SELECT count(*) FROM portfolios.{table}"))
            assert left == 0, table


async def test_the_views_show_the_columns_that_are_listed_and_no_others(owner: AsyncEngine) -> None:
    columns = text(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema || '.' || table_name = :name ORDER BY ordinal_position"
    )
    async with owner.connect() as connection:
        for name in PUBLIC_VIEWS.keys() - {"identity.public_profiles"}:
            found = (await connection.scalars(columns, {"name": name})).all()
            assert tuple(found) == PUBLIC_VIEWS[name]


async def test_a_page_of_portfolios_with_their_holdings_costs_the_same_for_one_and_for_many(
    graph: Graph, scene: Scene
) -> None:
    await scene.share("PUBLIC")
    query = '{ user(username: "ada") { sharedPortfolios { nodes { name holdings { nodes { variant { id } } } } } } }'
    for resolvers_only in (False, True):
        one = await graph.statements(query, resolvers_only=resolvers_only)
        await scene.ada.done("createPortfolio", name="Board", visibility="PUBLIC")
        assert await graph.statements(query, resolvers_only=resolvers_only) == one
