"""What the graph answers of exchange rates: each with its day and who published it; null where none is known."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.database import Database
from app.demo.world import load_rates
from app.identity.viewer import ANYONE
from app.prices.commands.import_exchange_rates import import_exchange_rates
from app.prices.exchange_rates import ReferenceRate
from app.prices.rate_import import import_rates, open_rates
from tests.graph.conftest import Graph

FRIDAY, MONDAY = date(2024, 3, 1), date(2024, 3, 4)
RATES = [
    ReferenceRate("USD", FRIDAY, Decimal("1.0813")),
    ReferenceRate("GBP", FRIDAY, Decimal("0.85595")),
    ReferenceRate("USD", MONDAY, Decimal("1.0846")),
    ReferenceRate("HRK", date(2022, 12, 30), Decimal("7.5365")),
]
ASK = """
query ($given: CurrencyCode!, $got: CurrencyCode!, $on: Date) {
  exchangeRate(from: $given, to: $got, on: $on) { from to rate date isStale source }
}
"""


async def store(database: Database, rates: list[ReferenceRate]) -> None:
    async with database.transaction() as transaction:
        await import_exchange_rates(transaction, rates)


async def test_a_cross_on_a_weekend_is_answered_with_its_day(database: Database, graph: Graph) -> None:
    await store(database, RATES)
    answer = await graph.ask(ASK, given="USD", got="GBP", on="2024-03-02")
    assert answer["exchangeRate"] == {
        "from": "USD",
        "to": "GBP",
        "rate": "0.791593452325904004439101082",
        "date": "2024-03-01",
        "isStale": False,
        "source": "ECB",
    }


async def test_without_a_day_it_is_today(database: Database, graph: Graph) -> None:
    today = datetime.now(UTC).date()
    await store(database, [ReferenceRate("USD", today - timedelta(days=1), Decimal("1.1"))])
    answer = await graph.ask(ASK, given="EUR", got="USD")
    assert (answer["exchangeRate"]["rate"], answer["exchangeRate"]["isStale"]) == ("1.1", False)
    assert answer["exchangeRate"]["date"] == str(today - timedelta(days=1))


async def test_what_is_not_known_is_null(graph: Graph) -> None:
    assert await graph.ask(ASK, given="USD", got="GBP") == {"exchangeRate": None}
    assert await graph.ask(ASK, given="EUR", got="BTC") == {"exchangeRate": None}


async def test_many_rates_are_read_by_one_statement(database: Database, graph: Graph) -> None:
    await store(database, RATES)
    one = '{ a: exchangeRate(from: EUR_, to: USD_, on: "2024-03-04") { rate } }'
    many = (
        '{ a: exchangeRate(from: EUR_, to: USD_, on: "2024-03-04") { rate } '
        'b: exchangeRate(from: USD_, to: GBP_, on: "2024-03-02") { rate } '
        'c: exchangeRate(from: GBP_, to: USD_, on: "2024-03-01") { rate } '
        "d: exchangeRate(from: USD_, to: HRK_) { rate } }"
    )
    asked = [re.sub(r"([A-Z]{3})_", r'"\1"', query) for query in (one, many)]
    assert [await graph.statements(query) for query in asked] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"given": "usd", "got": "EUR"}, "A CurrencyCode is one of ISO 4217"),
        ({"given": "USD", "got": "EUR", "on": "2024-02-30"}, "2024-02-30 is not a day that exists."),
        ({"given": "USD", "got": "EUR", "on": "2024-3-1"}, "A Date is a string such as"),
        ({"given": "USD", "got": "EUR", "on": "2024-03-01T00:00:00Z"}, "A Date is a string such as"),
    ],
)
async def test_what_is_no_currency_or_day_is_refused(graph: Graph, arguments: dict[str, str], said: str) -> None:
    assert said in (await graph.refusal(ASK, ANYONE, **arguments))["message"]


async def test_the_real_history_answers_with_its_days(trove_data: Path, database: Database, graph: Graph) -> None:
    opened = open_rates(trove_data / "fx" / "eurofxref-hist_2021-2024.csv", today=date(2026, 4, 20))
    await import_rates(database, opened)
    # Sunday, 1 January 2023: the kuna had ended, the last rate of the year was Friday's.
    answer = await graph.ask(ASK, given="EUR", got="HRK", on="2023-01-01")
    assert answer["exchangeRate"] == {
        "from": "EUR", "to": "HRK", "rate": "7.5365", "date": "2022-12-30", "isStale": False, "source": "ECB",
    }  # fmt: skip
    answer = await graph.ask(ASK, given="HRK", got="USD", on="2024-12-31")
    assert (answer["exchangeRate"]["date"], answer["exchangeRate"]["isStale"]) == ("2022-12-30", True)
    # N/A in the file all the time, and before the first day of the file.
    for currency, day in (("TRY", "2020-12-31"), ("BGN", "2021-01-03")):
        answer = await graph.ask(ASK, given="EUR", got=currency, on=day)
        assert answer["exchangeRate"] is None


async def test_the_demo_answers_and_says_that_its_rates_are_its_own(database: Database, graph: Graph) -> None:
    now = datetime.now(UTC)
    async with database.transaction() as transaction:
        first = await load_rates(transaction, now=now)
        again = await load_rates(transaction, now=now)
    assert first is not None
    assert again is not None
    assert (first.inserted, again.inserted, again.updated) == (again.unchanged, 0, 0)
    answer = (await graph.ask(ASK, given="JPY", got="USD"))["exchangeRate"]
    assert (answer["source"], answer["isStale"]) == ("demo", False)
    assert Decimal("0.001") < Decimal(answer["rate"]) < Decimal("0.1")
    # Real rates are not mixed with more of the demo's.
    await store(database, RATES)
    async with database.transaction() as transaction:
        assert await load_rates(transaction, now=now + timedelta(days=5)) is None
