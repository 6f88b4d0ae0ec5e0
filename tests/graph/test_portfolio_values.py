"""What holdings and portfolios are worth now: the one rule, and what is said where it finds nothing."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from app.core.clock import utc_now
from app.core.database import Database
from app.prices.commands.valuations import value_due_variants
from app.prices.models import StoredExchangeRate
from tests.catalogue.builders import card, coin, figure, saved, skin
from tests.graph.conftest import Graph
from tests.portfolios.possessing import Deal, Owned, hold, portfolio_of_somebody
from tests.prices.builders import ingested, point

DAY = timedelta(days=1)
BUY = Deal("buy", "2", "10")
VALUE = """
query ($id: ID!, $currency: CurrencyCode) {
  node(id: $id) { ... on Portfolio { holdings { nodes {
    quantity
    value(currency: $currency) {
      currency basis observedAt staleness isStale gainShare reason
      unitValue { amount currency } amount { amount } cost { amount } gain { amount }
      conversion { original { amount currency } rate rateDate isStale source }
    }
  } } } }
}
"""
SUMS = """
query ($id: ID!, $currency: CurrencyCode) {
  node(id: $id) { ... on Portfolio {
    value(currency: $currency) {
      currency amount { amount } cost { amount } isPartial holdingCount unpricedCount staleCount oldestObservedAt
    }
    cost(currency: $currency) { currency amount { amount } holdingCount }
    unrealizedGain(currency: $currency) { currency amount { amount } share isPartial }
    realizedGain(currency: $currency) { currency amount { amount } isPartial incompleteCount }
  } }
}
"""
ALLOCATION = """
query ($id: ID!, $by: AllocationBy!, $currency: CurrencyCode) {
  node(id: $id) { ... on Portfolio { allocation(by: $by, currency: $currency) {
    key name value { amount } cost { amount } share holdingCount unpricedCount isPartial
  } } }
}
"""


async def rates(database: Database, **units: str) -> None:
    """Say how many units of each currency a euro bought yesterday."""
    day = (utc_now() - DAY).date()
    async with database.transaction() as transaction:
        for currency, amount in units.items():
            await transaction.connection.execute(
                insert(StoredExchangeRate).values(
                    currency=currency, rate_date=day, units_per_eur=Decimal(amount), source="ECB"
                )
            )


async def values(graph: Graph, owned: Owned, **variables: Any) -> list[Any]:
    """What each holding is worth, in their order."""
    found = await graph.ask(VALUE, owned.viewer, id=owned.public_id, **variables)
    return [holding["value"] for holding in found["node"]["holdings"]["nodes"]]


async def sums(graph: Graph, owned: Owned, **variables: Any) -> Any:
    """What the portfolio comes to."""
    return (await graph.ask(SUMS, owned.viewer, id=owned.public_id, **variables))["node"]


async def groups(graph: Graph, owned: Owned, by: str, **variables: Any) -> dict[str | None, Any]:
    """The groups of the portfolio by their keys."""
    found = await graph.ask(ALLOCATION, owned.viewer, id=owned.public_id, by=by, **variables)
    return {group["key"]: group for group in found["node"]["allocation"]}


@pytest.fixture
async def owned(database: Database) -> Owned:
    """Somebody's portfolio in euros, with two of a coin bought at 10 €."""
    owned = await portfolio_of_somebody(database)
    await saved(database, coin("aurum"))
    await hold(database, owned, "aurum", BUY)
    return owned


async def test_the_first_basis_that_there_is_says_what_a_unit_is_worth(
    database: Database, graph: Graph, owned: Owned
) -> None:
    bases = ["NONE"]
    for kind in ("bid", "low", "high", "list", "ask", "mid", "market", "sale"):
        price = str(100 + len(bases))
        await ingested(database, point("aurum", price, kind=kind, currency="EUR"))
        if kind == "sale":
            async with database.transaction() as transaction:
                await value_due_variants(transaction, now=utc_now())
        (value,) = await values(graph, owned)
        bases.append(value["basis"])
        if value["basis"] != "NONE":
            assert value["unitValue"] == {"amount": price, "currency": "EUR"}
    assert bases == ["NONE", "NONE", "NONE", "NONE", "LIST", "ASK", "MID", "MARKET", "SALES"]


async def test_a_value_says_its_gain_and_what_it_rests_on(database: Database, graph: Graph, owned: Owned) -> None:
    await ingested(database, point("aurum", "12.5", currency="EUR"))
    (value,) = await values(graph, owned)
    assert value.pop("observedAt")
    assert value.pop("staleness").startswith("PT")
    assert value == {
        "currency": "EUR",
        "basis": "MARKET",
        "isStale": False,
        "gainShare": "0.25",
        "reason": None,
        "unitValue": {"amount": "12.5", "currency": "EUR"},
        "amount": {"amount": "25"},
        "cost": {"amount": "20"},
        "gain": {"amount": "5"},
        "conversion": None,
    }


async def test_without_a_price_there_is_no_value_and_never_a_zero(
    database: Database, graph: Graph, owned: Owned
) -> None:
    await ingested(database, point("aurum", "9", kind="bid", currency="EUR"))
    (value,) = await values(graph, owned)
    assert value["amount"] is value["unitValue"] is value["gain"] is value["gainShare"] is value["observedAt"] is None
    assert (value["basis"], value["reason"], value["isStale"]) == ("NONE", "NO_PRICE", False)
    assert value["cost"] == {"amount": "20"}
    whole = await sums(graph, owned)
    assert whole["value"]["amount"] is None
    assert (whole["value"]["isPartial"], whole["value"]["unpricedCount"]) == (True, 1)
    assert whole["value"]["cost"] == whole["cost"]["amount"] == {"amount": "20"}
    assert whole["unrealizedGain"]["amount"] is whole["unrealizedGain"]["share"] is None


async def test_a_currency_without_a_rate_gives_no_number(database: Database, graph: Graph, owned: Owned) -> None:
    await ingested(database, point("aurum", "9", currency="USD"))
    (value,) = await values(graph, owned)
    assert (value["amount"], value["basis"], value["reason"]) == (None, "NONE", "NO_EXCHANGE_RATE")
    (in_dollars,) = await values(graph, owned, currency="USD")
    assert (in_dollars["amount"], in_dollars["reason"]) == ({"amount": "18"}, None)
    assert in_dollars["cost"] is in_dollars["gain"] is None, "the cost is in euros"
    whole = await sums(graph, owned, currency="USD")
    assert whole["value"]["amount"] == {"amount": "18"}
    assert whole["value"]["cost"] is whole["cost"]["amount"] is whole["unrealizedGain"]["amount"] is None
    assert whole["realizedGain"]["amount"] is None


async def test_a_quote_of_another_currency_is_converted_by_todays_rate(
    database: Database, graph: Graph, owned: Owned
) -> None:
    await rates(database, USD="1.25")
    await ingested(database, point("aurum", "15", currency="USD"))
    (value,) = await values(graph, owned)
    assert value["unitValue"] == {"amount": "12", "currency": "EUR"}
    assert value["conversion"] == {
        "original": {"amount": "15", "currency": "USD"},
        "rate": "0.8",
        "rateDate": (utc_now() - DAY).date().isoformat(),
        "isStale": False,
        "source": "ECB",
    }
    (in_dollars,) = await values(graph, owned, currency="USD")
    assert (in_dollars["amount"], in_dollars["cost"]) == ({"amount": "30"}, {"amount": "25"})
    assert (in_dollars["gain"], in_dollars["gainShare"]) == ({"amount": "5"}, "0.2")
    whole = await sums(graph, owned, currency="USD")
    assert whole["value"]["amount"] == {"amount": "30"}
    assert whole["unrealizedGain"]["share"] == "0.2"
    # As good a quote that needs no conversion comes first, and one without a rate last.
    await ingested(
        database,
        point("aurum", "11", currency="EUR", at=utc_now() - DAY),
        point("aurum", "7", currency="GBP", kind="market"),
    )
    assert [value["unitValue"]["amount"] for value in await values(graph, owned)] == ["11"]
    assert [value["unitValue"]["amount"] for value in await values(graph, owned, currency="USD")] == ["15"]


async def test_an_old_quote_counts_where_there_is_no_newer_one_and_says_that_it_is_stale(
    database: Database, graph: Graph, owned: Owned
) -> None:
    await ingested(database, point("aurum", "9", currency="EUR", at=utc_now() - 31 * DAY))
    (value,) = await values(graph, owned)
    assert (value["amount"], value["isStale"], value["basis"]) == ({"amount": "18"}, True, "MARKET")
    whole = await sums(graph, owned)
    assert (whole["value"]["staleCount"], whole["value"]["isPartial"]) == (1, False)
    assert whole["value"]["oldestObservedAt"] == value["observedAt"]
    await ingested(database, point("aurum", "14", kind="list", currency="EUR", at=utc_now() - 29 * DAY))
    (value,) = await values(graph, owned)
    assert (value["amount"], value["isStale"], value["basis"]) == ({"amount": "28"}, False, "LIST")


async def test_a_sum_leaves_out_what_has_no_value_and_says_so(database: Database, graph: Graph, owned: Owned) -> None:
    await saved(database, skin("tide"))
    await ingested(database, point("aurum", "12", currency="EUR"))
    await hold(database, owned, "tide", Deal("buy", "1", "100", fee="1"), position=1, archived_at=utc_now())
    # What was sold whole counts by what it brought alone.
    await hold(database, owned, "tide", Deal("buy", "1", "100"), Deal("sell", "1", "130", fee="5"), position=2)
    await hold(database, owned, "tide", Deal("sell", "1", "50", may_lack=True), position=3)
    whole = await sums(graph, owned)
    assert whole["value"] | {"oldestObservedAt": None} == {
        "currency": "EUR",
        "amount": {"amount": "24"},
        "cost": {"amount": "121"},
        "isPartial": True,
        "holdingCount": 2,
        "unpricedCount": 1,
        "staleCount": 0,
        "oldestObservedAt": None,
    }
    assert whole["cost"] == {"currency": "EUR", "amount": {"amount": "121"}, "holdingCount": 2}
    assert whole["unrealizedGain"] == {
        "currency": "EUR",
        "amount": {"amount": "4"},
        "share": "0.2",
        "isPartial": True,
    }
    assert whole["realizedGain"] == {
        "currency": "EUR",
        "amount": {"amount": "25"},
        "isPartial": True,
        "incompleteCount": 1,
    }


async def test_an_empty_portfolio_is_worth_nothing_and_that_is_known(database: Database, graph: Graph) -> None:
    owned = await portfolio_of_somebody(database, base_currency="JPY")
    whole = await sums(graph, owned)
    assert whole["value"]["amount"] == whole["value"]["cost"] == whole["cost"]["amount"] == {"amount": "0"}
    assert (whole["value"]["isPartial"], whole["value"]["holdingCount"]) == (False, 0)
    assert (whole["unrealizedGain"]["amount"], whole["unrealizedGain"]["share"]) == ({"amount": "0"}, None)
    assert await groups(graph, owned, "KIND") == {}


async def test_every_holding_is_in_one_group_whatever_they_are_put_together_by(
    database: Database, graph: Graph, owned: Owned
) -> None:
    await saved(database, skin("tide"), card("wave"), figure("lantern"))
    await rates(database, USD="2")
    await ingested(
        database,
        point("aurum", "10", currency="EUR"),
        point("tide", "40", currency="USD"),
        point("wave", "60", currency="EUR"),
    )
    await hold(database, owned, "tide", Deal("buy", "1", "5"), position=1, place="Safe")
    await hold(database, owned, "wave", Deal("buy", "1", "6"), position=2, place="Safe")
    await hold(database, owned, "lantern", Deal("buy", "3", "7"), position=3)
    expected = {
        "KIND": {"coin": "20", "skin": "20", "card": "60", "figure": None},
        "SET": {"tidewatch-tw1": "60", None: "40"},
        "SERIES": {"lanterns": None, None: "100"},
        "MAKER": {"hollow-pine": None, None: "100"},
        "PLACE": {"Safe": "80", None: "20"},
        "CURRENCY": {"EUR": "80", "USD": "20", None: None},
    }
    for by, amounts in expected.items():
        found = await groups(graph, owned, by)
        assert {key: group["value"] and group["value"]["amount"] for key, group in found.items()} == amounts, by
        assert sum(group["holdingCount"] for group in found.values()) == 4
        assert sum(group["unpricedCount"] for group in found.values()) == 1
        assert sum(Decimal(group["cost"]["amount"]) for group in found.values()) == 52
        assert sum(Decimal(group["share"] or 0) for group in found.values()) == 1
        shares = [Decimal(group["share"] or -1) for group in found.values()]
        assert shares == sorted(shares, reverse=True), "the greatest first"
    assert (await groups(graph, owned, "SET"))["tidewatch-tw1"]["name"] == "TW1"
    in_dollars = await groups(graph, owned, "KIND", currency="USD")
    assert in_dollars["card"]["value"] == {"amount": "120"}
    assert in_dollars["card"]["share"] == "0.6"


async def test_others_see_nothing_of_what_a_portfolio_is_worth(database: Database, graph: Graph, owned: Owned) -> None:
    await ingested(database, point("aurum", "12", currency="EUR"))
    somebody = await portfolio_of_somebody(database)
    assert await graph.ask(SUMS, somebody.viewer, id=owned.public_id) == {"node": None}


async def test_a_page_of_values_is_one_statement(database: Database, graph: Graph, owned: Owned) -> None:
    await rates(database, USD="1.25")
    await ingested(database, point("aurum", "15", currency="USD"))
    response = await graph.respond(VALUE, owned.viewer, id=owned.public_id, currency="USD")
    assert response["extensions"]["trove"] == {"path": "compiled", "statements": 1}
