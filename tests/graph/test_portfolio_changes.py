"""Making, changing and deleting portfolios, holdings and stores through the graph, as their owner and nobody else."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type
from sqlalchemy import func, insert, select

from app.core.database import Database
from app.core.ids import new_id, parse_public_id
from app.graph.access import access_of, privacy_of
from app.graph.portfolios.errors import OWNER_ALONE, PORTFOLIOS_READ
from app.graph.schema import core_schema
from app.identity.scopes import OWN, Scope
from app.portfolios.commands.portfolios import MOST_PORTFOLIOS
from app.portfolios.commands.stores import MOST_STORES
from app.portfolios.models import Holding, Lot, LotDisposal, Portfolio, Store, Trade, TradeKind, TradeLotChoice
from tests.graph.conftest import Graph
from tests.graph.possessions import MONDAY, Collector, collector, rates, traded, variants

MINE = "{ portfolios(first: 100) { nodes { name isDefault version } } }"
ORDER = """
query ($id: ID!) { node(id: $id) { ... on Portfolio { holdings(first: 100) { nodes { id } } } } }
"""


@pytest.fixture
async def ada(graph: Graph, database: Database, api_database: Database) -> Collector:
    """Somebody who collects."""
    found: Collector = await collector(graph, database, api_database, "ada", currency="CHF")
    return found


@pytest.fixture
async def bob(graph: Graph, database: Database, api_database: Database) -> Collector:
    """Somebody else."""
    found: Collector = await collector(graph, database, api_database, "bob")
    return found


@pytest.fixture
async def things(database: Database) -> Sequence[str]:
    """The variants of a coin and of a card."""
    return await variants(database)


def key(public: str) -> Any:
    """The key behind an id."""
    parsed = parse_public_id(public)
    assert parsed is not None
    return parsed[1]


async def count(database: Database, table: Any) -> int:
    """How many rows a table has."""
    async with database.transaction() as transaction:
        return int((await transaction.connection.execute(select(func.count()).select_from(table))).scalar_one())


async def test_the_first_portfolio_is_the_default_one_and_there_is_always_one(ada: Collector) -> None:
    shelf = await ada.done("createPortfolio", name="  Shelf ", isDefault=False)
    assert shelf == {
        "id": shelf["id"],
        "name": "Shelf",
        "description": None,
        "baseCurrency": "CHF",
        "method": "FIFO",
        "visibility": "PRIVATE",
        "sharedParts": [],
        "linkKey": None,
        "isDefault": True,
        "version": 1,
    }
    vault = await ada.done(
        "createPortfolio", name="Vault", baseCurrency="EUR", method="HIFO", description=" All\nof it "
    )
    assert (vault["isDefault"], vault["baseCurrency"], vault["method"]) == (False, "EUR", "HIFO")
    assert vault["description"] == "All\nof it"
    assert await ada.refusal("editPortfolio", id=shelf["id"], isDefault=False) == (
        "INVALID_INPUT",
        ["input", "isDefault"],
    )
    await ada.done("editPortfolio", id=vault["id"], isDefault=True)
    attic = await ada.done("createPortfolio", name="Attic", isDefault=True)
    assert [one["isDefault"] for one in (await ada.ask(MINE))["portfolios"]["nodes"]] == [False, False, True]
    await ada.done("deletePortfolio", id=attic["id"])
    left = (await ada.ask(MINE))["portfolios"]["nodes"]
    assert [(one["name"], one["isDefault"]) for one in left] == [("Shelf", True), ("Vault", False)]


async def test_an_edit_changes_what_is_given_and_counts_versions(ada: Collector) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf", description="Mine", sharedParts=["VALUES"])
    edited = await ada.done("editPortfolio", id=shelf["id"], expectedVersion=1, name="Board")
    assert edited == shelf | {"name": "Board", "version": 2}
    edited = await ada.done("editPortfolio", id=shelf["id"], description=None, sharedParts=["VALUES", "DETAILS"])
    assert (edited["description"], edited["sharedParts"]) == (None, ["DETAILS", "VALUES"])
    assert await ada.done("editPortfolio", id=shelf["id"], name="Board") == edited
    stale = ("CONFLICT", ["input", "expectedVersion"])
    assert await ada.refusal("editPortfolio", id=shelf["id"], expectedVersion=2, name="Late") == stale
    assert await ada.refusal("deletePortfolio", id=shelf["id"], expectedVersion=2) == stale
    null = await ada.refusal("editPortfolio", id=shelf["id"], baseCurrency=None)
    assert null == ("INVALID_INPUT", ["input", "baseCurrency"])


async def test_of_two_who_edit_at_once_one_is_told_to_look_again(ada: Collector) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    payloads = await asyncio.gather(
        *(ada.change("editPortfolio", id=shelf["id"], expectedVersion=1, name=name) for name in ("One", "Two"))
    )
    codes = [[error["code"] for error in payload["userErrors"]] for payload in payloads]
    assert sorted(codes) == [[], ["CONFLICT"]]


async def test_of_many_first_portfolios_at_once_one_is_the_default(ada: Collector) -> None:
    await asyncio.gather(*(ada.done("createPortfolio", name=f"Shelf {number}") for number in range(4)))
    nodes = (await ada.ask(MINE))["portfolios"]["nodes"]
    assert sorted(one["isDefault"] for one in nodes) == [False, False, False, True]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", " \u200b"),
        ("name", "a" * 101),
        ("name", "a\x00b"),
        ("name", "two\nlines"),
        ("name", "turned \u202eback"),
        ("name", "\u200b\u2060"),
        ("name", "\u3164"),
        ("description", "a" * 2_001),
        ("description", "a\x07b"),
        ("idempotencyKey", ""),
        ("idempotencyKey", "a" * 201),
    ],
)
async def test_what_a_portfolio_cannot_have_is_refused(
    ada: Collector, database: Database, field: str, value: str
) -> None:
    given = {"name": "Shelf"} | {field: value}
    assert await ada.refusal("createPortfolio", **given) == ("INVALID_INPUT", ["input", field])
    assert await count(database, Portfolio) == 0


async def test_a_repeat_under_one_key_makes_nothing_more(ada: Collector, database: Database, things: Any) -> None:
    first = await ada.done("createPortfolio", name="Shelf", idempotencyKey="one")
    assert await ada.done("createPortfolio", name="Shelf", idempotencyKey="one") == first
    reused = ("IDEMPOTENCY_KEY_REUSED", ["input", "idempotencyKey"])
    assert await ada.refusal("createPortfolio", name="Other", idempotencyKey="one") == reused
    held = {"portfolioId": first["id"], "variantId": things[0], "details": {"grade": "9.5"}, "idempotencyKey": "two"}
    both = await asyncio.gather(*(ada.done("addHolding", **held) for _ in range(2)))
    assert both[0] == both[1]
    assert await ada.refusal("addHolding", **held | {"idempotencyKey": "one"}) == reused
    store = await ada.done("addStore", name="Kite & Kiln", idempotencyKey="three")
    assert await ada.done("addStore", name="Kite & Kiln", idempotencyKey="three") == store
    assert await ada.refusal("addStore", name="Other", idempotencyKey="three") == reused
    assert (await count(database, Portfolio), await count(database, Holding)) == (1, 1)


async def test_the_same_request_makes_anew_what_was_deleted(ada: Collector, things: Sequence[str]) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf", idempotencyKey="one")
    held = {"portfolioId": shelf["id"], "variantId": things[0], "idempotencyKey": "two"}
    first = await ada.done("addHolding", **held)
    await ada.done("deleteHolding", id=first["id"])
    again = await ada.done("addHolding", **held)
    assert again["id"] != first["id"]
    await ada.done("deletePortfolio", id=shelf["id"], deletesTrades=True)
    assert (await ada.done("createPortfolio", name="Shelf", idempotencyKey="one"))["id"] != shelf["id"]


async def test_a_person_has_so_many_portfolios_and_stores_and_no_more(ada: Collector, database: Database) -> None:
    owner_id = ada.viewer.own_id
    columns = {"owner_id": owner_id, "base_currency": "EUR"}
    async with database.transaction() as transaction:
        many = [columns | {"id": new_id(), "name": str(number)} for number in range(MOST_PORTFOLIOS - 1)]
        await transaction.connection.execute(insert(Portfolio), many)
        stores = [
            {"id": new_id(), "owner_id": owner_id, "name": str(number), "slug": str(number)}
            for number in range(MOST_STORES - 1)
        ]
        await transaction.connection.execute(insert(Store), stores)
    await ada.done("createPortfolio", name="The last one")
    await ada.done("addStore", name="The last one")
    assert await ada.refusal("createPortfolio", name="One more") == ("TOO_MANY", [])
    assert await ada.refusal("addStore", name="One more") == ("TOO_MANY", [])


async def test_details_are_kept_as_given_and_cleared_one_by_one(ada: Collector, things: Sequence[str]) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    store = await ada.done("addStore", name="Kite & Kiln", url="https://kite.example/shop")
    assert store["slug"] == "kite-kiln"
    details = {
        "condition": "near mint",
        "grade": "9.50",
        "grader": "PSA",
        "serial": "48-1",
        "floatValue": "0.070000001234567890123",
        "pattern": 661,
        "place": "Cabinet 2",
        "storeId": store["id"],
        "acquiredOn": "2023-05-06",
        "notes": "First line\nsecond",
    }
    holding = await ada.done("addHolding", portfolioId=shelf["id"], variantId=things[1], details=details)
    shown = {name: value for name, value in details.items() if name != "storeId"}
    assert holding["details"] == shown | {"store": {"id": store["id"], "name": "Kite & Kiln"}}
    assert (holding["quantity"], holding["position"], holding["variant"]) == ("0", 0, {"id": things[1]})
    edited = await ada.done(
        "editHolding", id=holding["id"], expectedVersion=1, details={"storeId": None, "grade": None, "place": " "}
    )
    cleared = {"store": None, "grade": None, "place": None}
    assert edited == holding | {"version": 2, "details": holding["details"] | cleared}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grade", "100.1"),
        ("grade", "-1"),
        ("grade", "9.12345"),
        ("floatValue", "1.1"),
        ("floatValue", "0." + "1" * 40),
        ("pattern", 100_001),
        ("pattern", -1),
        ("condition", "a" * 61),
        ("serial", "a\tb"),
        ("notes", "a" * 5_001),
        ("storeId", "nonsense"),
    ],
)
async def test_details_that_cannot_be_are_refused_by_their_field(
    ada: Collector, database: Database, things: Sequence[str], field: str, value: object
) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    code, path = await ada.refusal("addHolding", portfolioId=shelf["id"], variantId=things[0], details={field: value})
    assert (code, path) == ("NOT_FOUND" if field == "storeId" else "INVALID_INPUT", ["input", "details", field])
    assert await count(database, Holding) == 0


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400"])
async def test_what_is_no_number_never_reaches_a_holding(ada: Collector, things: Sequence[str], value: str) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    response = await ada.graph.respond(
        "mutation ($input: AddHoldingInput!) { addHolding(input: $input) { holding { id } } }",
        ada.viewer,
        input={"portfolioId": shelf["id"], "variantId": things[0], "details": {"grade": value}},
    )
    assert "A Decimal is a string of digits" in response["errors"][0]["message"]


async def test_holdings_are_moved_before_and_behind_others(ada: Collector, things: Sequence[str]) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    one, two, three, four = [
        (await ada.done("addHolding", portfolioId=shelf["id"], variantId=things[0]))["id"] for _ in range(4)
    ]

    async def order() -> list[str]:
        return [node["id"] for node in (await ada.ask(ORDER, id=shelf["id"]))["node"]["holdings"]["nodes"]]

    moved = await ada.done("editHolding", id=four, beforeId=two)
    assert (moved["position"], moved["version"]) == (1, 2)
    assert await order() == [one, four, two, three]
    await ada.done("editHolding", id=one, afterId=three)
    assert await order() == [four, two, three, one]
    invalid = "INVALID_INPUT"
    assert await ada.refusal("editHolding", id=one, beforeId=one) == (invalid, ["input", "beforeId"])
    assert await ada.refusal("editHolding", id=one, beforeId=two, afterId=three) == (invalid, ["input", "afterId"])
    other = await ada.done("createPortfolio", name="Vault")
    elsewhere = await ada.done("addHolding", portfolioId=other["id"], variantId=things[0])
    assert await ada.refusal("editHolding", id=one, afterId=elsewhere["id"]) == ("NOT_FOUND", ["input", "afterId"])
    assert await order() == [four, two, three, one]


async def test_holdings_are_paged_by_what_they_cost(ada: Collector, things: Sequence[str]) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    added = [(await ada.done("addHolding", portfolioId=shelf["id"], variantId=things[0]))["id"] for _ in range(3)]
    query = """
    query ($id: ID!, $after: String) { node(id: $id) { ... on Portfolio {
      holdings(first: 1, after: $after, orderBy: { field: COST }) { nodes { id } pageInfo { endCursor } }
    } } }
    """
    found, after = [], None
    for _ in added:
        page = (await ada.ask(query, id=shelf["id"], after=after))["node"]["holdings"]
        found += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert found == added


async def test_holdings_that_are_moved_at_once_all_have_a_place(ada: Collector, things: Sequence[str]) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    added = [(await ada.done("addHolding", portfolioId=shelf["id"], variantId=things[0]))["id"] for _ in range(4)]
    await asyncio.gather(
        *(ada.done("editHolding", id=mover, beforeId=target) for mover, target in zip(added[1:], added, strict=False))
    )
    holdings = "query ($id: ID!) { node(id: $id) { ... on Portfolio { holdings { nodes { position } } } } }"
    nodes = (await ada.ask(holdings, id=shelf["id"]))["node"]["holdings"]["nodes"]
    assert [node["position"] for node in nodes] == [0, 1, 2, 3]


async def test_a_holding_is_archived_and_taken_back(ada: Collector, things: Sequence[str]) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    holding = await ada.done("addHolding", portfolioId=shelf["id"], variantId=things[0])
    archived = await ada.done("editHolding", id=holding["id"], isArchived=True)
    assert archived["archivedAt"] is not None
    again = await ada.done("editHolding", id=holding["id"], isArchived=True)
    assert again == archived
    back = await ada.done("editHolding", id=holding["id"], isArchived=False, expectedVersion=2)
    assert (back["archivedAt"], back["version"]) == (None, 3)
    assert await ada.refusal("editHolding", id=holding["id"], isArchived=True, expectedVersion=2) == (
        "CONFLICT",
        ["input", "expectedVersion"],
    )


async def test_what_has_trades_goes_only_when_told_and_then_with_all_of_them(
    ada: Collector, database: Database, things: Sequence[str]
) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf", baseCurrency="USD", method="SPECIFIC")
    kept, gone = [
        await ada.done("addHolding", portfolioId=shelf["id"], variantId=variant) for variant in (things[0], things[1])
    ]
    for holding in (kept, gone):
        await traded(database, ada.viewer, key(holding["id"]), TradeKind.BUY, "2", "10")
        later = MONDAY + timedelta(days=1)
        await traded(database, ada.viewer, key(holding["id"]), TradeKind.SELL, "1", "15", occurred_at=later)
    # A sale that names its lot, which cannot go before the sale.
    async with database.transaction() as transaction:
        lots = (await transaction.connection.execute(select(Lot.id, Lot.holding_id))).all()
        sales = dict(
            (await transaction.connection.execute(select(Trade.holding_id, Trade.id).where(Trade.kind == "sell"))).all()
        )
        await transaction.connection.execute(
            insert(TradeLotChoice),
            [
                {"trade_id": sales[lot.holding_id], "lot_id": lot.id, "owner_id": ada.viewer.own_id, "quantity": 1}
                for lot in lots
            ],
        )
    assert await ada.refusal("deleteHolding", id=gone["id"]) == ("NOT_EMPTY", ["input", "id"])
    assert await ada.refusal("deletePortfolio", id=shelf["id"]) == ("NOT_EMPTY", ["input", "id"])
    assert await ada.done("deleteHolding", id=gone["id"], deletesTrades=True) == gone["id"]
    assert [await count(database, table) for table in (Trade, Lot, LotDisposal, TradeLotChoice)] == [2, 1, 1, 1]
    assert await ada.done("deletePortfolio", id=shelf["id"], deletesTrades=True) == shelf["id"]
    tables = (Portfolio, Holding, Trade, Lot, LotDisposal, TradeLotChoice)
    assert [await count(database, table) for table in tables] == [0] * 6


async def test_another_base_currency_freezes_every_rate_anew_for_its_day(
    ada: Collector, database: Database, things: Sequence[str]
) -> None:
    await rates(database, on=MONDAY.date(), USD="1.25", CHF="0.95")
    await rates(database, on=date(2024, 1, 2), USD="1.25", CHF="0.80")
    shelf = await ada.done("createPortfolio", name="Shelf", baseCurrency="USD")
    holding = await ada.done("addHolding", portfolioId=shelf["id"], variantId=things[0])
    await traded(database, ada.viewer, key(holding["id"]), TradeKind.BUY, "1", "110")
    tuesday = MONDAY + timedelta(days=1)
    await traded(
        database, ada.viewer, key(holding["id"]), TradeKind.BUY, "1", "90", currency="CHF", occurred_at=tuesday
    )
    cost = "query ($id: ID!) { node(id: $id) { ... on Holding { cost { amount currency } } } }"
    assert (await ada.ask(cost, id=holding["id"]))["node"]["cost"] == {"amount": "250.625", "currency": "USD"}
    edited = await ada.done("editPortfolio", id=shelf["id"], baseCurrency="EUR", expectedVersion=1)
    assert (edited["baseCurrency"], edited["version"]) == ("EUR", 2)
    # 110 USD at 1.25 and 90 CHF at 0.80, of the day of each.
    shown = (await ada.ask(cost, id=holding["id"]))["node"]["cost"]
    assert shown == {"amount": "200.5", "currency": "EUR"}
    refused = await ada.refusal("editPortfolio", id=shelf["id"], baseCurrency="JPY", name="Yen")
    assert refused == ("NO_EXCHANGE_RATE", ["input", "baseCurrency"])
    assert (await ada.ask(cost, id=holding["id"]))["node"]["cost"] == shown
    assert (await ada.ask(MINE))["portfolios"]["nodes"][0] == {"name": "Shelf", "isDefault": True, "version": 2}


async def test_another_method_computes_all_lots_anew(ada: Collector, database: Database, things: Sequence[str]) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf", baseCurrency="USD")
    holding = await ada.done("addHolding", portfolioId=shelf["id"], variantId=things[0])
    for day, price in enumerate(("100", "300", "200")):
        at = MONDAY + timedelta(days=day)
        await traded(database, ada.viewer, key(holding["id"]), TradeKind.BUY, "1", price, occurred_at=at)
    sold = MONDAY + timedelta(days=3)
    await traded(database, ada.viewer, key(holding["id"]), TradeKind.SELL, "1", "500", occurred_at=sold)
    gain = "query ($id: ID!) { node(id: $id) { ... on Holding { realizedGain { amount } cost { amount } } } }"
    found = {}
    for method in ("FIFO", "LIFO", "HIFO", "AVERAGE"):
        await ada.done("editPortfolio", id=shelf["id"], method=method)
        shown = (await ada.ask(gain, id=holding["id"]))["node"]
        found[method] = (shown["realizedGain"]["amount"], shown["cost"]["amount"])
    assert found == {"FIFO": ("400", "500"), "LIFO": ("300", "400"), "HIFO": ("200", "300"), "AVERAGE": ("300", "400")}


async def test_a_store_is_there_once_however_it_is_spelled(ada: Collector, bob: Collector) -> None:
    first = await ada.done("addStore", name="Kite & Kiln")
    taken = ("NAME_TAKEN", ["input", "name"])
    assert await ada.refusal("addStore", name="KITE  kiln") == taken
    # Where nothing of a name can be spelled in ASCII, it is told apart all the same.
    japanese = [await ada.done("addStore", name=name) for name in ("まんだらけ 2", "駿河屋 2")]
    assert japanese[0]["slug"] != japanese[1]["slug"]
    assert await ada.refusal("addStore", name="駿河屋 2") == taken
    assert await ada.refusal("editStore", id=japanese[0]["id"], name="Kite Kiln") == taken
    renamed = await ada.done("editStore", id=first["id"], name="KITE KILN", url="https://kite.example")
    assert renamed == {"id": first["id"], "name": "KITE KILN", "slug": "kite-kiln", "url": "https://kite.example"}
    assert (await ada.done("editStore", id=first["id"], url=None))["url"] is None
    for url in ("http://kite.example", "https://u:p@kite.example", "https://kite.example/" + "a" * 2_000):
        assert await ada.refusal("addStore", name="Other", url=url) == ("INVALID_INPUT", ["input", "url"])
    assert (await bob.done("addStore", name="Kite & Kiln"))["slug"] == "kite-kiln"


async def test_a_store_goes_from_holdings_only_when_told(ada: Collector, things: Sequence[str]) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    store = await ada.done("addStore", name="Kite & Kiln")
    holding = await ada.done(
        "addHolding", portfolioId=shelf["id"], variantId=things[0], details={"storeId": store["id"], "notes": "Mine"}
    )
    assert await ada.refusal("removeStore", id=store["id"]) == ("NOT_EMPTY", ["input", "id"])
    assert await ada.done("removeStore", id=store["id"], clearsHoldings=True) == store["id"]
    kept = await ada.done("editHolding", id=holding["id"])
    assert (kept["details"]["store"], kept["details"]["notes"]) == (None, "Mine")
    assert await ada.refusal("removeStore", id=store["id"]) == ("NOT_FOUND", ["input", "id"])


async def test_a_token_that_may_only_write_reads_nothing_in_the_answer(graph: Graph, ada: Collector) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf", description="secret")
    writer = replace(ada.viewer, scopes=frozenset(OWN - {Scope.PORTFOLIOS_READ}), is_session=False)
    query = """
    mutation ($id: ID!) {
      editPortfolio(input: { id: $id, name: "Case" }) { portfolio { description } userErrors { code } }
    }
    """
    response = await graph.respond(query, writer, id=shelf["id"])
    assert response["data"]["editPortfolio"] == {"portfolio": None, "userErrors": []}
    assert [error["extensions"]["code"] for error in response["errors"]] == ["FORBIDDEN"]
    assert (await ada.done("editPortfolio", id=shelf["id"]))["name"] == "Case"


def test_no_payload_shows_what_is_somebodys_own_without_the_scope_to_read_it() -> None:
    assert core_schema.mutation_type is not None
    shown = {
        f"{name}.{field_name}": access_of(field)
        for name, mutation in core_schema.mutation_type.fields.items()
        if isinstance(payload := get_named_type(mutation.type), GraphQLObjectType)
        for field_name, field in payload.fields.items()
        if privacy_of(get_named_type(field.type)) == OWNER_ALONE
    }
    assert {"recordTrade.trade", "addWant.want", "receivePreorder.preorder"} <= shown.keys()
    assert set(shown.values()) == {PORTFOLIOS_READ}


async def test_what_is_somebody_elses_or_nothing_is_not_found(
    ada: Collector, bob: Collector, database: Database, things: Sequence[str]
) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf")
    holding = await ada.done("addHolding", portfolioId=shelf["id"], variantId=things[0])
    store = await ada.done("addStore", name="Kite & Kiln")
    own = await bob.done("createPortfolio", name="Bob's")
    bobs = await bob.done("addHolding", portfolioId=own["id"], variantId=things[0])
    for wrong in (shelf["id"], bobs["id"], "nonsense", ""):
        for mutation in ("editPortfolio", "renewPortfolioLink", "deletePortfolio"):
            assert await bob.refusal(mutation, id=wrong) == ("NOT_FOUND", ["input", "id"])
        refused = await bob.refusal("addHolding", portfolioId=wrong, variantId=things[0])
        assert refused == ("NOT_FOUND", ["input", "portfolioId"])
    for mutation in ("editHolding", "deleteHolding"):
        assert await bob.refusal(mutation, id=holding["id"]) == ("NOT_FOUND", ["input", "id"])
    for mutation in ("editStore", "removeStore"):
        assert await bob.refusal(mutation, id=store["id"]) == ("NOT_FOUND", ["input", "id"])
    foreign = await bob.refusal("editHolding", id=bobs["id"], details={"storeId": store["id"]})
    assert foreign == ("NOT_FOUND", ["input", "details", "storeId"])
    assert await bob.refusal("editHolding", id=bobs["id"], afterId=holding["id"]) == ("NOT_FOUND", ["input", "afterId"])
    unknown = await bob.refusal("addHolding", portfolioId=own["id"], variantId=own["id"])
    assert unknown == ("NOT_FOUND", ["input", "variantId"])
    assert (await count(database, Portfolio), await count(database, Holding), await count(database, Store)) == (2, 2, 1)


async def test_a_link_is_renewed_while_there_is_one(ada: Collector) -> None:
    shelf = await ada.done("createPortfolio", name="Shelf", visibility="LINK")
    assert len(shelf["linkKey"]) == 32
    renewed = await ada.done("renewPortfolioLink", id=shelf["id"], expectedVersion=1)
    assert renewed["linkKey"] != shelf["linkKey"]
    public = await ada.done("editPortfolio", id=shelf["id"], visibility="PUBLIC")
    assert public["linkKey"] is None
    assert await ada.refusal("renewPortfolioLink", id=shelf["id"]) == ("INVALID_INPUT", ["input", "id"])
    again = await ada.done("editPortfolio", id=shelf["id"], visibility="LINK")
    assert again["linkKey"] not in (None, shelf["linkKey"], renewed["linkKey"])
