"""What a variant is worth, through the graph: as stored, as of an instant, and as it changed."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database
from app.graph.scalars import write_date_time
from app.prices.commands.prune import prune_points
from app.prices.commands.valuations import SHORTEST_INTERVAL, value_due_variants
from tests.catalogue.builders import coin, saved
from tests.graph.conftest import Graph
from tests.prices.builders import ingested, point

DAY = timedelta(days=1)
VALUATION = """
fragment all on Valuation {
  currency basis sampleSize confidence excludedCount explanation
  value { amount currency minorUnits } median { amount } interval { low high }
  excluded { price observedAt source reason score }
}
query ($asOf: DateTime, $currency: CurrencyCode) {
  item(slug: "aurum") { defaultVariant { valuation(asOf: $asOf, currency: $currency) { ...all } } }
}
"""
VECTORS = {
    ("10", "11", "11.5", "12", "12", "12.5", "13", "95"): ("12", "95", "74.64"),
    ("10", "10", "10", "10", "10", "10", "10", "100"): ("10", "100", "6.38"),
}


async def valued(database: Database, **later: Any) -> None:
    """Value what is due, now or so much later."""
    async with database.transaction() as transaction:
        await value_due_variants(transaction, now=utc_now() + timedelta(**later))


async def valuation(graph: Graph, **variables: Any) -> Any:
    """The valuation of the only item."""
    return (await graph.ask(VALUATION, **variables))["item"]["defaultVariant"]["valuation"]


async def test_a_stored_valuation_and_one_as_of_now_say_the_same(database: Database, graph: Graph) -> None:
    for number, (prices, (value, outlier, score)) in enumerate(VECTORS.items()):
        slug = "aurum" if number else "argentum"
        await saved(database, coin(slug))
        at = utc_now() - DAY
        await ingested(
            database, *(point(slug, price, kind="sale", at=at, key=str(key)) for key, price in enumerate(prices))
        )
        await valued(database)
        query = VALUATION.replace("aurum", slug)
        variables: list[dict[str, Any]] = [{}, {"currency": "USD"}, {"asOf": write_date_time(utc_now())}]
        answers = [await graph.ask(query, **given) for given in variables]
        assert answers[0] == answers[1] == answers[2]
        said = answers[0]["item"]["defaultVariant"]["valuation"]
        assert said["value"] == {"amount": value, "currency": "USD", "minorUnits": f"{value}00"}
        assert (said["basis"], said["sampleSize"], said["confidence"]) == ("SALES", 7, "MEDIUM")
        (excluded,) = said["excluded"]
        assert excluded == {
            "price": outlier,
            "observedAt": write_date_time(at),
            "source": "test-market",
            "reason": "OUTLIER",
            "score": score,
        }
        assert said["explanation"].startswith("Median of 7 sales in the last 90 days")


async def test_as_of_an_instant_only_what_had_been_observed_by_then_counts(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    now = utc_now()
    await ingested(
        database,
        point("aurum", "10", kind="sale", at=now - 20 * DAY),
        point("aurum", "30", kind="sale", at=now - 10 * DAY),
        point("aurum", "50", kind="sale", at=now - 5 * DAY, currency="EUR"),
    )
    assert await valuation(graph) is None, "it was not valued yet"
    await valued(database)
    assert (await valuation(graph))["sampleSize"] == 2
    early = await valuation(graph, asOf=write_date_time(now - 15 * DAY))
    assert (early["value"]["amount"], early["sampleSize"]) == ("10", 1)
    none = await valuation(graph, asOf=write_date_time(now - 25 * DAY))
    assert (none["basis"], none["value"], none["median"], none["interval"]) == ("NONE", None, None, None)
    euros = await valuation(graph, asOf=write_date_time(now), currency="EUR")
    assert euros["value"] == {"amount": "50", "currency": "EUR", "minorUnits": "5000"}
    assert await valuation(graph, currency="JPY") is None
    assert await valuation(graph, asOf=write_date_time(now), currency="JPY") is None


async def test_as_of_an_instant_whose_sales_are_dropped_is_refused(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    now = utc_now()
    await ingested(
        database,
        *(point("aurum", "10", kind="sale", at=now - days * DAY) for days in (185, 180)),
        point("aurum", "30", kind="sale", at=now - DAY),
    )
    asked = {"asOf": write_date_time(now - 120 * DAY)}
    assert (await valuation(graph, **asked))["sampleSize"] == 2
    async with database.transaction() as transaction:
        await prune_points(transaction, before=now - 90 * DAY)
        kept_since = (
            await transaction.connection.execute(text("SELECT kept_since FROM prices.retention_marks"))
        ).scalar_one()
    earliest = kept_since + 90 * DAY
    error = await graph.refusal(VALUATION, asOf=asked["asOf"])
    assert write_date_time(earliest) in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["argument"] == "asOf"
    await graph.refusal(VALUATION, asOf=write_date_time(earliest - timedelta(microseconds=1)))
    assert (await valuation(graph, asOf=write_date_time(earliest)))["sampleSize"] == 0
    assert (await valuation(graph, asOf=write_date_time(now)))["sampleSize"] == 1


async def test_the_history_has_each_change_the_newest_first_page_by_page(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    for number, price in enumerate(("10", "20", "30")):
        at = utc_now() - (3 - number) * DAY
        await ingested(database, point("aurum", price, kind="sale", at=at))
        await valued(database, seconds=number * (SHORTEST_INTERVAL.total_seconds() + 1))
    await ingested(database, point("aurum", "7", kind="sale", currency="EUR"))
    await valued(database, minutes=10)
    query = """
    query ($after: String, $currency: CurrencyCode) {
      item(slug: "aurum") { defaultVariant {
        valuationHistory(first: 2, after: $after, currency: $currency) {
          totalCount nodes { sampleSize asOf computedAt } pageInfo { endCursor hasNextPage }
        }
      } }
    }
    """

    async def page(**variables: Any) -> dict[str, Any]:
        found = (await graph.ask(query, **variables))["item"]["defaultVariant"]["valuationHistory"]
        return dict(found)

    first = await page(currency="USD")
    assert (first["totalCount"], [node["sampleSize"] for node in first["nodes"]]) == (3, [3, 2])
    second = await page(currency="USD", after=first["pageInfo"]["endCursor"])
    assert [node["sampleSize"] for node in second["nodes"]] == [1]
    assert (await page())["totalCount"] == 4


async def test_fifty_variants_cost_as_many_statements_as_one(database: Database, graph: Graph) -> None:
    slugs = [f"coin-{number}" for number in range(50)]
    await saved(database, *(coin(slug) for slug in slugs))
    await ingested(database, *(point(slug, "10", kind="sale") for slug in slugs))
    await valued(database)
    as_of = write_date_time(utc_now())

    async def costs(arguments: str, fields: str) -> set[tuple[int, int]]:
        query = f"{{ items(first: %d) {{ nodes {{ defaultVariant {{ valuation{arguments} {{ {fields} }} }} }} }} }}"
        return {
            (await graph.statements(query % count), await graph.statements(query % count, resolvers_only=True))
            for count in (1, 50)
        }

    ((compiled, _),) = await costs("", "value { amount minorUnits }")
    assert compiled == 1
    assert len(await costs("", "excluded { price }")) == 1
    assert len(await costs(f'(asOf: "{as_of}")', "value { amount minorUnits } excluded { price }")) == 1


async def test_an_operation_values_250_variants_as_of_instants_and_no_more(database: Database, graph: Graph) -> None:
    slugs = [f"coin-{number}" for number in range(51)]
    await saved(database, *(coin(slug) for slug in slugs))
    names = ("one", "two", "three", "four", "five")
    fields = " ".join(
        f'{name}: valuation(asOf: "2026-01-0{day}T00:00:00Z") {{ basis }}' for day, name in enumerate(names, 1)
    )
    query = f"{{ items(first: %d) {{ nodes {{ defaultVariant {{ {fields} }} }} }} }}"
    assert len((await graph.ask(query % 50))["items"]["nodes"]) == 50
    errors = (await graph.respond(query % 51))["errors"]
    assert {error["extensions"]["code"] for error in errors} == {"QUERY_TOO_COMPLEX"}


async def test_only_an_instant_that_is_given_or_may_be_keeps_a_document_from_being_compiled(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "10", kind="sale"))
    await valued(database)
    for arguments, path in (("", "compiled"), ("(asOf: null)", "compiled"), ("(asOf: $asOf)", "mixed")):
        declared = "query ($asOf: DateTime) " if "$" in arguments else ""
        query = f'{declared}{{ item(slug: "aurum") {{ defaultVariant {{ valuation{arguments} {{ sampleSize }} }} }} }}'
        response = await graph.respond(query)
        assert response["data"]["item"]["defaultVariant"]["valuation"] == {"sampleSize": 1}
        assert response["extensions"]["trove"]["path"] in {path, "resolvers" if path == "mixed" else path}


async def test_an_ask_stands_in_where_nothing_was_sold_and_says_so(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "12.5", kind="ask", currency="JPY"))
    await valued(database)
    said = await valuation(graph)
    assert (said["basis"], said["confidence"], said["sampleSize"], said["median"]) == ("ASK", "LOW", 0, None)
    assert said["value"] == {"amount": "12.5", "currency": "JPY", "minorUnits": None}
    assert said["explanation"] == "No sale in the last 90 days: the lowest current ask, of test-market."
