"""Trades through the graph: the vectors of the rules, what is refused, and what is kept of changes."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.identity.viewer import Viewer
from app.portfolios.models import CostBasisMethod
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of
from tests.portfolios.builders import Possessions, possessions

RECORD = """
mutation ($input: RecordTradeInput!) {
  recordTrade(input: $input) {
    trade { id version holding { id quantity cost { amount currency } realizedGain { amount } isGainComplete } }
    userErrors { field message code }
  }
}
"""
EDIT = """
mutation ($input: EditTradeInput!) {
  editTrade(input: $input) {
    trade { id version notes holding { quantity realizedGain { amount } } revisions { nodes { number action before } } }
    userErrors { field message code }
  }
}
"""
DELETE = """
mutation ($input: DeleteTradeInput!) {
  deleteTrade(input: $input) { deletedId holding { quantity } userErrors { field message code } }
}
"""
GAINS = """
query ($id: ID!, $method: CostBasisMethod, $from: DateTime, $to: DateTime, $first: Int, $after: String) {
  node(id: $id) {
    ... on Portfolio {
      realizedGains(method: $method, from: $from, to: $to, first: $first, after: $after) {
        method currency proceeds cost fees gain isComplete missingCount totalCount
        missingAcquisitions { quantity cost gain proceeds trade { id } lot { id } }
        nodes { quantity cost proceeds gain disposedAt acquiredAt trade { kind } holding { id } lot { quantity } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}
"""


@pytest.fixture
async def own(database: Database) -> Possessions:
    """Somebody's empty portfolio in dollars."""
    return await possessions(database)


@pytest.fixture
async def viewer(api_database: Database, own: Possessions) -> Viewer:
    """Its owner."""
    return await session_of(api_database, own.owner_id)


def trade(own: Possessions, kind: str, quantity: str, price: str = "0", *, day: int = 1, **more: Any) -> dict[str, Any]:
    """The input of a trade on a day of January."""
    return {
        "portfolioId": public_id(PublicIdTag.PORTFOLIO, own.portfolio_id),
        "variantId": public_id(PublicIdTag.ITEM_VARIANT, own.variant_id),
        "kind": kind,
        "occurredAt": f"2024-01-{day:02}T00:00:00Z",
        "quantity": quantity,
        "price": price,
        "currency": "USD",
    } | more


async def record(graph: Graph, viewer: Viewer, *trades: dict[str, Any]) -> list[Any]:
    """Trades that are recorded one after another."""
    done = []
    for one in trades:
        payload = (await graph.ask(RECORD, viewer, input=one))["recordTrade"]
        assert payload["userErrors"] == []
        done.append(payload["trade"])
    return done


async def errors(graph: Graph, viewer: Viewer, mutation: str, **input: Any) -> list[tuple[str, list[str]]]:
    """The codes and fields of a payload that has nothing but errors."""
    (payload,) = (await graph.ask(mutation, viewer, input=input)).values()
    assert [value for name, value in payload.items() if name != "userErrors"].count(None) == len(payload) - 1
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


async def gains(graph: Graph, viewer: Viewer, own: Possessions, **arguments: Any) -> Any:
    """What was realised."""
    portfolio_id = public_id(PublicIdTag.PORTFOLIO, own.portfolio_id)
    return (await graph.ask(GAINS, viewer, id=portfolio_id, **arguments))["node"]["realizedGains"]


async def test_one_of_three_lots_is_sold_by_each_method(
    database: Database, api_database: Database, graph: Graph
) -> None:
    expected = {"FIFO": 400, "LIFO": 300, "HIFO": 200, "AVERAGE": 300}
    for method, gain in expected.items():
        own = await possessions(database, method=CostBasisMethod(method.lower()), slug=f"of-{method.lower()}")
        viewer = await session_of(api_database, own.owner_id)
        *_, sold = await record(
            graph,
            viewer,
            trade(own, "BUY", "1", "100"),
            trade(own, "BUY", "1", "300", day=2),
            trade(own, "BUY", "1", "200", day=3),
            trade(own, "SELL", "1", "500", day=4),
        )
        assert Decimal(sold["holding"]["realizedGain"]["amount"]) == gain
        assert Decimal(sold["holding"]["cost"]["amount"]) == 100 + gain
        for other, other_gain in expected.items():
            found = await gains(graph, viewer, own, method=other)
            assert (found["method"], found["currency"], found["isComplete"]) == (other, "USD", True)
            assert Decimal(found["gain"]) == other_gain
        assert (await gains(graph, viewer, own))["method"] == method


async def test_the_average_moves_with_what_is_held(graph: Graph, database: Database, api_database: Database) -> None:
    own = await possessions(database, method=CostBasisMethod.AVERAGE)
    viewer = await session_of(api_database, own.owner_id)
    trades = [("BUY", "10", "100"), ("SELL", "5", "120"), ("BUY", "5", "200")]
    *_, last = await record(graph, viewer, *(trade(own, *one, day=day) for day, one in enumerate(trades, 1)))
    assert Decimal(last["holding"]["cost"]["amount"]) / Decimal(last["holding"]["quantity"]) == 150


async def test_what_was_realised_is_told_for_a_time_and_page_by_page(
    graph: Graph, viewer: Viewer, own: Possessions
) -> None:
    await record(
        graph,
        viewer,
        trade(own, "BUY", "3", "100", fee="3"),
        trade(own, "SELL", "1", "150", day=2, fee="1"),
        trade(own, "TRANSFER_OUT", "1", day=3, fee="2"),
        trade(own, "FEE", "0", day=4, fee="0.5"),
        trade(own, "SELL", "4", "200", day=5, mayLackAcquisitions=True),
    )
    found = await gains(graph, viewer, own)
    amounts = {name: Decimal(found[name]) for name in ("proceeds", "cost", "fees", "gain")}
    assert amounts == {"proceeds": 349, "cost": 202, "fees": Decimal("2.5"), "gain": Decimal("144.5")}
    assert (found["isComplete"], found["missingCount"], found["totalCount"]) == (False, 1, 3)
    ((missing,),) = [found["missingAcquisitions"]]
    assert (missing["quantity"], missing["cost"], missing["gain"], missing["lot"]) == ("3", None, None, None)
    assert [node["trade"]["kind"] for node in found["nodes"]] == ["SELL"] * 3
    assert [node["gain"] for node in found["nodes"]] == ["48", "99", None]
    assert [node["lot"] and node["lot"]["quantity"] for node in found["nodes"]] == ["3", "3", None]
    later = await gains(graph, viewer, own, **{"from": "2024-01-03T00:00:00Z", "to": "2024-01-05T00:00:00Z"})
    assert (later["gain"], later["fees"], later["totalCount"], later["isComplete"]) == ("-2.5", "2.5", 0, True)
    page, pages = await gains(graph, viewer, own, first=2), []
    while True:
        pages.append([node["quantity"] for node in page["nodes"]])
        if not page["pageInfo"]["hasNextPage"]:
            break
        page = await gains(graph, viewer, own, first=2, after=page["pageInfo"]["endCursor"])
    assert pages == [["1", "1"], ["3"]]


async def test_times_in_the_wrong_order_are_refused(graph: Graph, viewer: Viewer, own: Possessions) -> None:
    portfolio_id = public_id(PublicIdTag.PORTFOLIO, own.portfolio_id)
    times = {"from": "2024-01-03T00:00:00Z", "to": "2024-01-02T00:00:00Z"}
    error = await graph.refusal(GAINS, viewer, id=portfolio_id, **times)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


BAD: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"quantity": "0"}, "INVALID_INPUT", ["input", "quantity"]),
    ({"quantity": "-1"}, "INVALID_INPUT", ["input", "quantity"]),
    ({"quantity": "1" * 40}, "INVALID_INPUT", ["input", "quantity"]),
    ({"price": "0." + "1" * 40}, "INVALID_INPUT", ["input", "price"]),
    ({"fee": "-0.01"}, "INVALID_INPUT", ["input", "fee"]),
    ({"currency": "GBP"}, "NO_EXCHANGE_RATE", ["input", "currency"]),
    ({"exchangeRate": "2"}, "INVALID_INPUT", ["input", "exchangeRate"]),
    ({"kind": "SELL"}, "INSUFFICIENT_QUANTITY", ["input", "quantity"]),
    ({"occurredAt": "2999-01-01T00:00:00Z"}, "IN_THE_FUTURE", ["input", "occurredAt"]),
    ({"occurredAt": "0001-01-01T00:00:00Z"}, "INVALID_INPUT", ["input", "occurredAt"]),
    ({"portfolioId": "garbage"}, "NOT_FOUND", ["input", "portfolioId"]),
    ({"portfolioId": public_id(PublicIdTag.PORTFOLIO, new_id())}, "NOT_FOUND", ["input", "portfolioId"]),
    ({"variantId": public_id(PublicIdTag.ITEM_VARIANT, new_id())}, "NOT_FOUND", ["input", "variantId"]),
    ({"variantId": None}, "INVALID_INPUT", ["input", "variantId"]),
    ({"variantId": None, "portfolioId": None}, "INVALID_INPUT", ["input", "holdingId"]),
    ({"lots": [{"lotId": "garbage", "quantity": "1"}]}, "NOT_FOUND", ["input", "lots", "0", "lotId"]),
    ({"tags": ["x"] * 251}, "INVALID_INPUT", ["input", "tags"]),
]


async def test_bad_trades_are_user_errors_and_change_nothing(graph: Graph, viewer: Viewer, own: Possessions) -> None:
    for values, code, field in BAD:
        found = await errors(graph, viewer, RECORD, **trade(own, "BUY", "1", "1") | values)
        assert found == [(code, field)], values
    for quantity in ("NaN", "Infinity", 0.5):
        response = await graph.respond(RECORD, viewer, input=trade(own, "BUY", "1") | {"quantity": quantity})
        assert "data" not in response
    assert (await gains(graph, viewer, own))["totalCount"] == 0


async def test_what_is_anothers_is_not_found(
    graph: Graph, viewer: Viewer, own: Possessions, owner: AsyncEngine, api_database: Database
) -> None:
    ((bought),) = await record(graph, viewer, trade(own, "BUY", "1", "1"))
    async with owner.begin() as connection:
        stranger_id = await add_person(connection)
    stranger = await session_of(api_database, stranger_id)
    theirs = trade(own, "BUY", "1", "1", day=2)
    assert await errors(graph, stranger, RECORD, **theirs) == [("NOT_FOUND", ["input", "portfolioId"])]
    by_holding = {name: value for name, value in theirs.items() if name not in {"portfolioId", "variantId"}}
    by_holding["holdingId"] = bought["holding"]["id"]
    assert await errors(graph, stranger, RECORD, **by_holding) == [("NOT_FOUND", ["input", "holdingId"])]
    assert await errors(graph, stranger, EDIT, id=bought["id"], price="2") == [("NOT_FOUND", ["input", "id"])]
    assert await errors(graph, stranger, DELETE, id=bought["id"]) == [("NOT_FOUND", ["input", "id"])]
    (mine,) = await record(graph, viewer, by_holding)
    assert mine["holding"]["quantity"] == "2"


async def test_a_trade_is_edited_and_deleted_with_what_it_was(graph: Graph, viewer: Viewer, own: Possessions) -> None:
    bought, sold = await record(
        graph, viewer, trade(own, "BUY", "1", "100", notes="First."), trade(own, "SELL", "1", "500", day=3)
    )
    assert await errors(graph, viewer, EDIT, id=bought["id"], quantity="0.5") == [("INSUFFICIENT_QUANTITY", [])]
    assert await errors(graph, viewer, DELETE, id=bought["id"]) == [("INSUFFICIENT_QUANTITY", [])]
    changes = {"id": bought["id"], "price": "50", "notes": None, "expectedVersion": 1}
    edited = (await graph.ask(EDIT, viewer, input=changes))["editTrade"]["trade"]
    assert (edited["version"], edited["notes"], edited["holding"]["realizedGain"]["amount"]) == (2, None, "450")
    ((revision),) = edited["revisions"]["nodes"]
    assert (revision["number"], revision["action"]) == (1, "EDITED")
    assert revision["before"]["price"] == "100"
    assert revision["before"]["holdingId"] == bought["holding"]["id"]
    assert await errors(graph, viewer, EDIT, **changes) == [("CONFLICT", ["input", "expectedVersion"])]
    late = {"id": sold["id"], "expectedVersion": 7}
    assert await errors(graph, viewer, DELETE, **late) == [("CONFLICT", ["input", "expectedVersion"])]
    deleted = (await graph.ask(DELETE, viewer, input={"id": sold["id"]}))["deleteTrade"]
    assert (deleted["deletedId"], deleted["holding"]) == (sold["id"], {"quantity": "1"})
    assert deleted["userErrors"] == []
    kept = "{ portfolios { nodes { tradeRevisions { nodes { action before trade { id } } } } } }"
    of_sale, of_purchase = (await graph.ask(kept, viewer))["portfolios"]["nodes"][0]["tradeRevisions"]["nodes"]
    assert (of_sale["action"], of_sale["before"]["price"], of_sale["trade"]) == ("DELETED", "500", None)
    assert (of_purchase["action"], of_purchase["trade"]) == ("EDITED", {"id": bought["id"]})


async def test_a_repeat_with_the_same_key_gives_the_first_trade(graph: Graph, viewer: Viewer, own: Possessions) -> None:
    once = trade(own, "BUY", "1", "100", idempotencyKey="once")
    first, again = await record(graph, viewer, once, once)
    assert first == again
    other = once | {"quantity": "2"}
    assert await errors(graph, viewer, RECORD, **other) == [("IDEMPOTENCY_KEY_REUSED", ["input", "idempotencyKey"])]


async def test_a_sale_names_its_lots(graph: Graph, database: Database, api_database: Database) -> None:
    own = await possessions(database, method=CostBasisMethod.SPECIFIC)
    viewer = await session_of(api_database, own.owner_id)
    await record(graph, viewer, trade(own, "BUY", "1", "100"), trade(own, "BUY", "1", "300", day=2))
    lots = await graph.ask("{ portfolios { nodes { holdings { nodes { lots { nodes { id } } } } } } }", viewer)
    (holding,) = lots["portfolios"]["nodes"][0]["holdings"]["nodes"]
    (_, second) = (lot["id"] for lot in holding["lots"]["nodes"])
    named = trade(own, "SELL", "1", "500", day=3, lots=[{"lotId": second, "quantity": "1"}])
    (sold,) = await record(graph, viewer, named)
    assert sold["holding"]["realizedGain"]["amount"] == "200"
    assert await errors(graph, viewer, RECORD, **named) == [("INSUFFICIENT_QUANTITY", ["input", "lots", "0"])]
