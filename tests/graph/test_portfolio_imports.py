"""Imports through the graph: previewed as a diff, applied, undone; and nobody's but their owner's."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.graph.portfolios.import_changes import LARGEST_INLINE_BYTES
from app.identity.viewer import Viewer
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of
from tests.portfolios.builders import Possessions, possessions

ADA = "76561198000000001"
IMPORT = """
  id source status newTrades duplicates bad skipped appliedAt expiresAt
  rows(filter: {changes: [TRADE, BAD, DUPLICATE]}) {
    totalCount
    nodes {
      number line change subject reason kind quantity price { amount currency } variant { id } trade { id }
      holding { quantity }
    }
  }
  portfolio { holdings { nodes { quantity cost { amount } } } imports { totalCount nodes { id } } }
"""
PREVIEW = f"""
mutation ($input: PreviewImportInput!) {{
  previewImport(input: $input) {{ import {{ {IMPORT} }} userErrors {{ field message code }} }}
}}
"""
APPLY = f"""
mutation ($input: ApplyImportInput!) {{
  applyImport(input: $input) {{ import {{ {IMPORT} }} userErrors {{ field message code }} }}
}}
"""
UNDO = f"""
mutation ($input: UndoImportInput!) {{
  undoImport(input: $input) {{ import {{ {IMPORT} }} userErrors {{ field message code }} }}
}}
"""
SHOWN = f"query ($id: ID!) {{ portfolioImport(id: $id) {{ {IMPORT} }} }}"
GOOD = """kind;occurred_at;item;quantity;price;currency
buy;2024-01-01;aurum;2;10.50;USD
sell;2024-01-02;aurum;0.5;20;USD
"""
BAD = GOOD.replace("aurum", "argentum")
BOB = "76561198000000002"
STEAM: dict[str, Any] = {"source": "STEAM", "content": None, "steamId": ADA}


@pytest.fixture
async def own(database: Database) -> Possessions:
    """Somebody's empty portfolio in dollars."""
    return await possessions(database)


@pytest.fixture
async def viewer(api_database: Database, own: Possessions) -> Viewer:
    """Its owner."""
    return await session_of(api_database, own.owner_id)


async def preview(graph: Graph, viewer: Viewer, own: Possessions, content: str | None = GOOD, **more: Any) -> Any:
    """The payload of a preview of a file in the strict shape."""
    portfolio_id = public_id(PublicIdTag.PORTFOLIO, own.portfolio_id)
    values = {"portfolioId": portfolio_id, "source": "TROVE", "content": content} | more
    return (await graph.ask(PREVIEW, viewer, input=values))["previewImport"]


async def refused(graph: Graph, viewer: Viewer, mutation: str, **input: Any) -> tuple[str, list[str], str]:
    """Why a mutation was refused."""
    (payload,) = (await graph.ask(mutation, viewer, input=input)).values()
    assert payload["import"] is None
    (error,) = payload["userErrors"]
    return error["code"], error["field"], error["message"]


async def test_a_file_is_previewed_applied_and_undone(graph: Graph, viewer: Viewer, own: Possessions) -> None:
    shown = (await preview(graph, viewer, own))["import"]
    assert (shown["status"], shown["newTrades"], shown["bad"]) == ("PREVIEWED", 2, 0)
    assert shown["portfolio"] == {
        "holdings": {"nodes": []},
        "imports": {"totalCount": 1, "nodes": [{"id": shown["id"]}]},
    }
    assert [row["kind"] for row in shown["rows"]["nodes"]] == ["BUY", "SELL"]
    assert shown["rows"]["nodes"][0] | {"variant": None} == {
        "number": 1,
        "line": 2,
        "change": "TRADE",
        "subject": "aurum",
        "reason": None,
        "kind": "BUY",
        "quantity": "2",
        "price": {"amount": "10.50", "currency": "USD"},
        "variant": None,
        "trade": None,
        "holding": None,
    }
    done = (await graph.ask(APPLY, viewer, input={"id": shown["id"]}))["applyImport"]
    assert done["userErrors"] == []
    assert done["import"]["status"] == "APPLIED"
    assert done["import"]["portfolio"]["holdings"]["nodes"] == [{"quantity": "1.5", "cost": {"amount": "15.75"}}]
    assert all(row["trade"] and row["holding"] == {"quantity": "1.5"} for row in done["import"]["rows"]["nodes"])
    again = (await preview(graph, viewer, own))["import"]
    assert (again["newTrades"], again["duplicates"]) == (0, 2)
    undone = (await graph.ask(UNDO, viewer, input={"id": shown["id"]}))["undoImport"]["import"]
    assert undone["status"] == "UNDONE"
    assert undone["portfolio"]["holdings"]["nodes"] == []
    assert all(row["trade"] is row["holding"] is None for row in undone["rows"]["nodes"])
    assert (await graph.ask(SHOWN, viewer, id=shown["id"]))["portfolioImport"]["status"] == "UNDONE"


async def test_a_bad_row_is_named_and_nothing_goes_in(graph: Graph, viewer: Viewer, own: Possessions) -> None:
    shown = (await preview(graph, viewer, own, GOOD + "sell;2024-01-03;aurum;7;20;USD\n"))["import"]
    assert [(row["line"], row["change"]) for row in shown["rows"]["nodes"]] == [(2, "TRADE"), (3, "TRADE"), (4, "BAD")]
    code, field, message = await refused(graph, viewer, APPLY, id=shown["id"])
    assert (code, field) == ("HAS_BAD_ROWS", ["input", "id"])
    assert "line 4" in message
    assert (await graph.ask(SHOWN, viewer, id=shown["id"]))["portfolioImport"]["portfolio"]["holdings"]["nodes"] == []


async def test_what_cannot_be_previewed_is_refused_by_its_field(graph: Graph, viewer: Viewer, own: Possessions) -> None:
    portfolio = {"portfolioId": public_id(PublicIdTag.PORTFOLIO, own.portfolio_id)}
    cases: list[tuple[dict[str, Any], tuple[str, str]]] = [
        (portfolio | {"source": "TROVE"}, ("INVALID_INPUT", "content")),
        (portfolio | {"source": "TROVE", "content": "a,b\n1,2\n"}, ("INVALID_INPUT", "content")),
        (portfolio | {"source": "TROVE", "content": GOOD, "steamId": "1"}, ("INVALID_INPUT", "content")),
        (portfolio | {"source": "KRAKEN", "content": GOOD}, ("INVALID_INPUT", "content")),
        (portfolio | {"source": "TROVE", "content": "x" * (LARGEST_INLINE_BYTES + 1)}, ("INVALID_INPUT", "content")),
        (portfolio | {"source": "STEAM", "content": GOOD}, ("INVALID_INPUT", "steamId")),
        (portfolio | {"source": "STEAM", "steamId": "12"}, ("INVALID_INPUT", "steamId")),
        ({"portfolioId": "x", "source": "TROVE", "content": GOOD}, ("NOT_FOUND", "portfolioId")),
        (
            {
                "portfolioId": public_id(PublicIdTag.PORTFOLIO, new_id()),
                "source": "STEAM",
                "steamId": ADA,
            },
            ("NOT_FOUND", "portfolioId"),
        ),
    ]
    for values, (code, name) in cases:
        assert (await refused(graph, viewer, PREVIEW, **values))[:2] == (code, ["input", name])


@pytest.mark.parametrize(
    ("asked", "other"),
    [({"content": GOOD}, {"content": BAD}), (STEAM, STEAM | {"steamId": BOB})],
    ids=["a file", "an inventory"],
)
async def test_a_repeat_under_the_same_key_gives_the_first_import(
    graph: Graph, viewer: Viewer, own: Possessions, asked: dict[str, Any], other: dict[str, Any]
) -> None:
    first, again = [await preview(graph, viewer, own, **asked, idempotencyKey="once") for _ in range(2)]
    assert first["import"]["id"] == again["import"]["id"]
    assert again["import"]["portfolio"]["imports"]["totalCount"] == 1
    (error,) = (await preview(graph, viewer, own, **other, idempotencyKey="once"))["userErrors"]
    assert (error["code"], error["field"]) == ("IDEMPOTENCY_KEY_REUSED", ["input", "idempotencyKey"])
    assert (await preview(graph, viewer, own, **asked, idempotencyKey="twice"))["import"]["id"] != first["import"]["id"]


async def test_an_inventory_waits_until_a_worker_has_read_it(graph: Graph, viewer: Viewer, own: Possessions) -> None:
    payload = await preview(graph, viewer, own, None, source="STEAM", steamId=ADA)
    assert payload["userErrors"] == []
    assert (payload["import"]["status"], payload["import"]["source"]) == ("WAITING", "STEAM")
    code, field, message = await refused(graph, viewer, APPLY, id=payload["import"]["id"])
    assert (code, field, message) == (
        *("CONFLICT", ["input", "id"]),
        "It is still being read; look again in a moment.",
    )


async def test_an_import_of_somebody_elses_is_not_there(
    graph: Graph, viewer: Viewer, own: Possessions, api_database: Database, owner: AsyncEngine
) -> None:
    shown = (await preview(graph, viewer, own))["import"]
    async with owner.begin() as connection:
        stranger_id = await add_person(connection)
    stranger = await session_of(api_database, stranger_id)
    assert (await graph.ask(SHOWN, stranger, id=shown["id"]))["portfolioImport"] is None
    for mutation in (APPLY, UNDO):
        assert (await refused(graph, stranger, mutation, id=shown["id"]))[:2] == ("NOT_FOUND", ["input", "id"])
    assert (await graph.ask(SHOWN, viewer, id=shown["id"]))["portfolioImport"]["status"] == "PREVIEWED"
