"""Sources of prices through the graph: who sees them, who changes them, and what changes with them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database
from app.graph.scalars import write_date_time
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from tests.catalogue.builders import coin, saved
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of
from tests.prices.builders import ingested, point

EDIT = """
mutation ($input: EditPriceSourceInput!) {
  editPriceSource(input: $input) { priceSource { code name isChangeOnly } userErrors { field code message } }
}
"""
SOURCES = "{ priceSources { nodes { code name isChangeOnly } } }"


@pytest.fixture
async def operator(database: Database, api_database: Database) -> Viewer:
    """Somebody who may change what runs."""
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, permissions=[Scope.OPERATIONS_WRITE])
    return await session_of(api_database, user_id)


async def edited(graph: Graph, viewer: Viewer, **input: Any) -> dict[str, Any]:
    payload: dict[str, Any] = (await graph.ask(EDIT, viewer, input=input))["editPriceSource"]
    return payload


async def test_sources_are_listed_and_changed(database: Database, graph: Graph, operator: Viewer) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "10"), point("aurum", "11", source="other-shop"))
    payload = await edited(graph, operator, code="test-market", name=" Test market ", isChangeOnly=True)
    assert payload == {
        "priceSource": {"code": "test-market", "name": "Test market", "isChangeOnly": True},
        "userErrors": [],
    }
    assert (await graph.ask(SOURCES))["priceSources"]["nodes"] == [
        {"code": "other-shop", "name": "other-shop", "isChangeOnly": False},
        {"code": "test-market", "name": "Test market", "isChangeOnly": True},
    ]
    await edited(graph, operator, code="test-market", isChangeOnly=False)
    assert (await graph.ask(SOURCES))["priceSources"]["nodes"][1]["name"] == "Test market"


async def test_the_database_itself_changes_a_source_only_for_who_may(
    database: Database, api_database: Database, operator: Viewer
) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "10"))
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection)
    says_so = await session_of(api_database, user_id, scopes=[Scope.OPERATIONS_WRITE])
    without_scope = replace(operator, scopes=frozenset())
    for viewer, may in ((Viewer(), False), (says_so, False), (without_scope, False), (operator, True)):
        async with api_database.transaction(viewer=viewer.in_database) as transaction:
            found = await transaction.connection.scalar(text("SELECT prices.edit_source('test-market', 'Mine', true)"))
        async with database.transaction() as transaction:
            name = await transaction.connection.scalar(text("SELECT name FROM prices.sources"))
        assert (found, name == "Mine") == (may, may)


@pytest.mark.parametrize(
    ("input", "field", "code"),
    [
        ({"code": "nobody"}, "code", "NOT_FOUND"),
        ({"code": "no\0body"}, "code", "NOT_FOUND"),
        ({"code": "test-market", "name": "  "}, "name", "INVALID_NAME"),
        ({"code": "test-market", "name": "n" * 101}, "name", "INVALID_NAME"),
        ({"code": "test-market", "name": "a\nb"}, "name", "INVALID_NAME"),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    database: Database, graph: Graph, operator: Viewer, input: dict[str, Any], field: str, code: str
) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "10"))
    before = await graph.ask(SOURCES)
    payload = await edited(graph, operator, **input)
    assert payload["priceSource"] is None
    assert [(error["field"], error["code"]) for error in payload["userErrors"]] == [(["input", field], code)]
    assert await graph.ask(SOURCES) == before


async def test_a_price_that_stands_is_told_by_when_it_was_last_seen(
    database: Database, graph: Graph, operator: Viewer
) -> None:
    await saved(database, coin("aurum"))
    first_seen = utc_now() - timedelta(days=400)
    await ingested(database, point("aurum", "10", at=first_seen))
    await ingested(database, point("aurum", "8", kind="ask", source="other-shop"))
    asked = '{ item(slug: "aurum") { price { amount observedAt lastSeenAt staleness } } }'
    assert (await graph.ask(asked))["item"]["price"]["amount"] == "8"
    await edited(graph, operator, code="test-market", isChangeOnly=True)
    await ingested(database, point("aurum", "10"))
    price = (await graph.ask(asked))["item"]["price"]
    assert price["amount"] == "10"
    assert price["observedAt"] == write_date_time(first_seen)
    assert utc_now() - datetime.fromisoformat(price["lastSeenAt"]) < timedelta(minutes=2)
    assert price["staleness"].startswith("PT1M")
