"""Prices in another currency than their source's: by the rate of the day, which they tell, or not at all."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database
from app.prices.commands.import_exchange_rates import import_exchange_rates
from app.prices.exchange_rates import ReferenceRate
from tests.catalogue.builders import coin, saved
from tests.graph.conftest import Graph
from tests.prices.builders import ingested, point

PRICE = """
    amount currency kind minorUnits
    conversion { original { amount currency minorUnits } rate rateDate isStale source }
"""


async def known_rates(database: Database, *, days_ago: int = 0, **units_per_eur: str) -> str:
    """Publish what one euro bought so many days ago; gives the day."""
    day = utc_now().date() - timedelta(days=days_ago)
    rates = [ReferenceRate(currency, day, Decimal(units)) for currency, units in units_per_eur.items()]
    async with database.transaction() as transaction:
        await import_exchange_rates(transaction, rates)
    return day.isoformat()


async def price(graph: Graph, arguments: str) -> dict[str, Any] | None:
    found = (await graph.ask(f'{{ item(slug: "aurum") {{ price{arguments} {{ {PRICE} }} }} }}'))["item"]["price"]
    return None if found is None else dict(found)


async def test_a_price_is_converted_by_the_rate_of_the_day_and_says_so(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "12.34"))
    day = await known_rates(database, days_ago=1, USD="1.25", JPY="160")
    assert await price(graph, '(currency: "EUR")') == {
        "amount": "9.872",
        "currency": "EUR",
        "kind": "MARKET",
        "minorUnits": "987",
        "conversion": {
            "original": {"amount": "12.34", "currency": "USD", "minorUnits": "1234"},
            "rate": "0.8",
            "rateDate": day,
            "isStale": False,
            "source": "ECB",
        },
    }
    crossed = await price(graph, '(currency: "JPY")')
    assert crossed is not None
    assert (crossed["amount"], crossed["conversion"]["rate"]) == ("1579.52", "128")


async def test_what_the_source_shows_itself_is_not_converted(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "12.34"), point("aurum", "10", currency="EUR"))
    await known_rates(database, USD="1.25")
    for currency, amount in (("EUR", "10"), ("USD", "12.34")):
        found = await price(graph, f'(currency: "{currency}")')
        assert found is not None
        assert (found["amount"], found["currency"], found["conversion"]) == (amount, currency, None)
    unasked = await price(graph, "")
    assert unasked is not None
    assert unasked["conversion"] is None


async def test_a_more_telling_kind_counts_more_than_the_currency(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "12.50", kind="sale"), point("aurum", "99", kind="ask", currency="EUR"))
    await known_rates(database, USD="1.25")
    found = await price(graph, '(currency: "EUR")')
    assert found is not None
    assert (found["amount"], found["kind"]) == ("10", "SALE")
    asked = await price(graph, '(currency: "EUR", kinds: [ASK, LIST])')
    assert asked is not None
    assert (asked["amount"], asked["kind"], asked["conversion"]) == ("99", "ASK", None)
    assert await price(graph, '(currency: "EUR", kinds: [BID])') is None


async def test_without_a_rate_there_is_no_number(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "12.34"))
    assert await price(graph, '(currency: "EUR")') is None
    await known_rates(database, USD="1.25")
    assert await price(graph, '(currency: "CHF")') is None
    assert await price(graph, '(currency: "EUR")') is not None


async def test_a_rate_that_has_ended_is_said_to_be_stale(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "75.345", currency="HRK"))
    day = await known_rates(database, days_ago=400, HRK="7.5345")
    found = await price(graph, '(currency: "EUR")')
    assert found is not None
    assert (found["amount"], found["minorUnits"]) == ("10", "1000")
    assert (found["conversion"]["rateDate"], found["conversion"]["isStale"]) == (day, True)


async def test_a_coin_converts_by_its_own_series(database: Database, graph: Graph) -> None:
    yesterday = utc_now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    await saved(database, coin("aurum"), coin("bitcoin", symbol="BTC"))
    await ingested(database, point("aurum", "125"), point("bitcoin", "50000", at=yesterday))
    await known_rates(database, days_ago=2, USD="1.25")
    found = await price(graph, '(currency: "BTC")')
    assert found is not None
    assert (found["amount"], found["minorUnits"]) == ("0.0025", "250000")
    assert found["conversion"]["source"] == "ECB, test-market"
    await ingested(database, point("aurum", "2", currency="BTC", kind="sale"))
    in_dollars = await price(graph, '(currency: "USD")')
    assert in_dollars is not None
    assert (in_dollars["amount"], in_dollars["conversion"]["original"]["currency"]) == ("100000", "BTC")


async def test_a_sale_or_an_odd_currency_does_not_make_the_rate_of_a_coin(database: Database, graph: Graph) -> None:
    """Even where the bank's last day is before today, so that nothing but the euro has a rate of today."""
    await saved(database, coin("aurum"), coin("bitcoin", symbol="BTC"))
    await known_rates(database, days_ago=2, USD="1.25")
    yesterday = utc_now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    await ingested(database, point("aurum", "100"), point("bitcoin", "50000", at=yesterday))
    await ingested(database, point("bitcoin", "1", kind="sale", currency="EUR", source="somebodys-shop", at=yesterday))
    await ingested(database, point("bitcoin", "2", kind="mid", currency="EUR", source="another-shop", at=yesterday))
    found = await price(graph, '(currency: "BTC")')
    assert found is not None
    assert (found["amount"], found["conversion"]["source"]) == ("0.002", "ECB, test-market")


async def test_a_price_in_another_coin_makes_no_rate(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"), coin("bitcoin", symbol="BTC"), coin("tether", symbol="USDT"))
    await known_rates(database, USD="1.25")
    await ingested(database, point("aurum", "100"), point("tether", "1"), point("bitcoin", "50000", currency="USDT"))
    assert await price(graph, '(currency: "BTC")') is None
    assert await price(graph, '(currency: "USDT")') is not None


async def test_what_a_source_still_shows_is_no_stale_rate(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"), coin("tether", symbol="USDT"))
    day = await known_rates(database, days_ago=1, USD="1.25")
    await ingested(database, point("aurum", "3"), point("tether", "1", at=utc_now() - timedelta(days=30)))
    found = await price(graph, '(currency: "USDT")')
    assert found is not None
    assert found["conversion"]["isStale"] is True
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE prices.price_series SET last_seen_at = now()"))
    found = await price(graph, '(currency: "USDT")')
    assert found is not None
    assert (found["amount"], found["conversion"]["isStale"], found["conversion"]["rateDate"]) == ("3", False, day)


async def test_a_very_small_price_is_not_shown_as_nothing(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "0.0000000012"))
    await known_rates(database, USD="100000")
    found = await price(graph, '(currency: "EUR")')
    assert found is not None
    assert found["amount"] == "0.000000000000012"


async def test_a_converted_amount_has_eighteen_decimal_places_at_most(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "1"))
    await known_rates(database, USD="3")
    found = await price(graph, '(currency: "EUR")')
    assert found is not None
    assert found["amount"] == "0.333333333333333333"


async def test_a_search_by_price_goes_by_the_very_amount_that_is_shown(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "110572.64"))
    await known_rates(database, USD="1.1712", IDR="29170.7501")
    shown = await price(graph, '(currency: "IDR")')
    assert shown is not None
    exactly = f'{{currency: "IDR", minimum: "{shown["amount"]}", maximum: "{shown["amount"]}"}}'
    found = await graph.ask(
        f"""{{ search(query: "aurum", filter: {{price: {exactly}}}) {{
            nodes {{ slug }} facets {{ prices(currency: "IDR") {{ minimum maximum count }} }}
        }} }}"""
    )
    assert found["search"]["nodes"] == [{"slug": "aurum"}]
    assert found["search"]["facets"]["prices"] == [{"minimum": shown["amount"], "maximum": shown["amount"], "count": 1}]


async def test_converted_prices_of_a_list_cost_the_same_for_one_and_for_fifty(database: Database, graph: Graph) -> None:
    await known_rates(database, USD="1.25")
    asked = f'query ($first: Int!) {{ items(first: $first) {{ nodes {{ price(currency: "EUR") {{ {PRICE} }} }} }} }}'
    await saved(database, *(coin(f"coin-{number}", symbol=f"C{number}") for number in range(50)))
    await ingested(database, *(point(f"coin-{number}", "5") for number in range(50)))
    for first in (1, 50):
        nodes = (await graph.ask(asked, first=first))["items"]["nodes"]
        assert [node["price"]["amount"] for node in nodes] == ["4"] * first
        assert await graph.statements(asked, first=first) == 1
        assert await graph.statements(asked, resolvers_only=True, first=first) == 2
