"""Prices through the graph: quotes, series, points, candles, and the door for small batches."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.clock import utc_now
from app.core.database import Database
from app.core.paging import encode_cursor
from app.ingestion.models import BatchKind
from app.ingestion.processing import process_next_batch
from app.prices.commands.price_batches import price_batches
from tests.catalogue.builders import coin, saved
from tests.graph.conftest import Graph
from tests.identity.builders import PARTNER
from tests.prices.builders import MONDAY, candle, ingested, point

HOUR = timedelta(hours=1)


async def test_a_quote_says_its_kind_source_and_age(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "12.345", at=utc_now() - timedelta(days=1, hours=2), quantity="3"))
    data = await graph.ask(
        '{ item(slug: "aurum") { price { amount currency minorUnits kind source staleness quantity } } }'
    )
    price = data["item"]["price"]
    assert price.pop("staleness").startswith("P1DT2H")
    assert price == {
        "amount": "12.345",
        "currency": "USD",
        "minorUnits": None,
        "kind": "MARKET",
        "source": "test-market",
        "quantity": "3",
    }


QUOTES: list[tuple[list[tuple[str, str, float]], str]] = [
    ([("sale", "10", 2), ("market", "11", 0.1), ("ask", "12", 0.1)], "10"),
    ([("market", "11", 2), ("ask", "12", 0.1)], "11"),
    ([("ask", "12", 2), ("list", "15", 0.1), ("bid", "9", 0.1)], "12"),
    ([("sale", "10", 40), ("ask", "12", 1)], "12"),
    ([("sale", "10", 40), ("ask", "12", 50)], "10"),
]


@pytest.mark.parametrize(
    ("amount", "currency", "minor_units"),
    [
        ("12.34", "USD", "1234"),
        ("12.345", "USD", None),
        ("500", "JPY", "500"),
        ("0.1", "KWD", "100"),
        ("1", "BTC", "100000000"),
        ("123456789012.123456789012345678", "ETH", "123456789012123456789012345678"),
    ],
)
async def test_an_amount_in_minor_units_is_exact_or_null(
    database: Database, graph: Graph, amount: str, currency: str, minor_units: str | None
) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", amount, currency=currency))
    data = await graph.ask('{ item(slug: "aurum") { price { amount minorUnits } } }')
    assert data["item"]["price"] == {"amount": amount, "minorUnits": minor_units}


@pytest.mark.parametrize(("observed", "best"), QUOTES)
async def test_the_best_quote_is_fresh_then_of_the_most_telling_kind(
    database: Database, graph: Graph, observed: list[tuple[str, str, float]], best: str
) -> None:
    await saved(database, coin("aurum"))
    await ingested(
        database,
        *(point("aurum", price, kind=kind, at=utc_now() - timedelta(days=days)) for kind, price, days in observed),
    )
    assert (await graph.ask('{ item(slug: "aurum") { price { amount } } }'))["item"]["price"]["amount"] == best


async def test_a_quote_can_be_asked_for_in_one_currency(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "10"), point("aurum", "9", currency="EUR", kind="ask"))
    prices = 'price(currency: "EUR") { amount minorUnits } none: price(currency: "JPY") { amount }'
    data = await graph.ask(f'{{ item(slug: "aurum") {{ {prices} }} }}')
    assert data["item"] == {"price": {"amount": "9", "minorUnits": "900"}, "none": None}


POINTS = """
query ($first: Int, $after: String, $last: Int, $before: String, $from: DateTime, $to: DateTime) {
  item(slug: "aurum") {
    series {
      points(first: $first, after: $after, last: $last, before: $before, from: $from, to: $to) {
        totalCount
        nodes { price }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }
  }
}
"""


async def points(graph: Graph, **variables: Any) -> dict[str, Any]:
    """The page of points of the only series."""
    (series,) = (await graph.ask(POINTS, **variables))["item"]["series"]
    return dict(series["points"])


async def test_points_are_paged_by_time_both_ways_with_ties_in_order_of_arrival(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, *(point("aurum", str(number), at=MONDAY + HOUR * (number // 2)) for number in range(6)))
    first = await points(graph, first=4)
    assert [node["price"] for node in first["nodes"]] == ["0", "1", "2", "3"]
    assert first["totalCount"] == 6
    second = await points(graph, first=4, after=first["pageInfo"]["endCursor"])
    assert [node["price"] for node in second["nodes"]] == ["4", "5"]
    assert not second["pageInfo"]["hasNextPage"]
    newest = await points(graph, last=3)
    assert [node["price"] for node in newest["nodes"]] == ["3", "4", "5"]
    older = await points(graph, last=10, before=newest["pageInfo"]["startCursor"])
    assert [node["price"] for node in older["nodes"]] == ["0", "1", "2"]
    assert not older["pageInfo"]["hasPreviousPage"]
    within = await points(graph, **{"from": "2024-01-01T01:00:00Z", "to": "2024-01-01T02:00:00Z"})
    assert [node["price"] for node in within["nodes"]] == ["2", "3"]
    assert within["totalCount"] == 2


CANDLES = """
query ($resolution: CandleResolution!, $from: DateTime, $to: DateTime, $last: Int! = 500) {
  item(slug: "aurum") {
    series {
      hasPoints
      providedResolutions
      candles(resolution: $resolution, from: $from, to: $to, last: $last) {
        start open high low close volume pointCount origin isComplete volumeWeightedAveragePrice
      }
      candleColumns(resolution: $resolution, from: $from, to: $to, last: $last) {
        start open high low close volume
      }
    }
  }
}
"""


async def candles(graph: Graph, resolution: str, **variables: Any) -> list[dict[str, Any]]:
    """The candles of the only series, the same as rows and as columns."""
    (series,) = (await graph.ask(CANDLES, resolution=resolution, **variables))["item"]["series"]
    columns = series["candleColumns"]
    assert columns == {name: [row[name] for row in series["candles"]] for name in columns}
    return list(series["candles"])


def prices_of(row: dict[str, Any]) -> str:
    """Open, high, low and close of a candle."""
    return f"{row['open']} {row['high']} {row['low']} {row['close']}"


async def test_candles_roll_up_from_points_at_every_resolution(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(
        database,
        point("aurum", "10", at=MONDAY, quantity="2"),
        point("aurum", "14", at=MONDAY + timedelta(minutes=3), quantity="1"),
        point("aurum", "9", at=MONDAY + timedelta(minutes=59, seconds=59)),
        point("aurum", "20", at=MONDAY + HOUR),
        point("aurum", "30", at=MONDAY + timedelta(days=7)),
    )
    (first, *_) = await candles(graph, "ONE_MINUTE")
    assert (first["start"], prices_of(first), first["pointCount"]) == ("2024-01-01T00:00:00Z", "10 10 10 10", 1)
    hours = await candles(graph, "ONE_HOUR")
    assert [(row["start"], prices_of(row)) for row in hours] == [
        ("2024-01-01T00:00:00Z", "10 14 9 9"),
        ("2024-01-01T01:00:00Z", "20 20 20 20"),
        ("2024-01-08T00:00:00Z", "30 30 30 30"),
    ]
    assert hours[0]["volume"] == "3"
    assert float(hours[0]["volumeWeightedAveragePrice"]) == pytest.approx((10 * 2 + 14) / 3)
    assert {row["origin"] for row in hours} == {"ROLLED_UP"}
    for resolution, expected in {
        "FIVE_MINUTES": ["10 14 10 14", "9 9 9 9", "20 20 20 20", "30 30 30 30"],
        "FOUR_HOURS": ["10 20 9 20", "30 30 30 30"],
        "ONE_DAY": ["10 20 9 20", "30 30 30 30"],
        "ONE_WEEK": ["10 20 9 20", "30 30 30 30"],
    }.items():
        assert [prices_of(row) for row in await candles(graph, resolution)] == expected


async def test_a_running_candle_is_incomplete(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "10", at=utc_now()), point("aurum", "9", at=utc_now() - timedelta(days=14)))
    assert [row["isComplete"] for row in await candles(graph, "ONE_WEEK")] == [True, False]


async def test_provided_candles_are_shown_as_given_and_coarser_ones_derive_from_the_finest(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    await ingested(
        database,
        candle("aurum", MONDAY, 4 * HOUR, "10 12.50 9 11", volume="5"),
        candle("aurum", MONDAY + 4 * HOUR, 4 * HOUR, "11 30 10.5 29", volume="7"),
        candle("aurum", MONDAY + 24 * HOUR, 4 * HOUR, "29 29 28 28"),
        candle("aurum", MONDAY, 24 * HOUR, "10 31 9 29.5"),
        kind=BatchKind.CANDLES,
    )
    assert [(prices_of(row), row["origin"]) for row in await candles(graph, "FOUR_HOURS")] == [
        ("10 12.50 9 11", "PROVIDED"),
        ("11 30 10.5 29", "PROVIDED"),
        ("29 29 28 28", "PROVIDED"),
    ]
    # The source's own day is shown as it is; the day that it did not give derives from its four-hour candles.
    assert [(prices_of(row), row["origin"]) for row in await candles(graph, "ONE_DAY")] == [
        ("10 31 9 29.5", "PROVIDED"),
        ("29 29 28 28", "DERIVED"),
    ]
    assert [(prices_of(row), row["origin"]) for row in await candles(graph, "ONE_WEEK")] == [("10 31 9 28", "DERIVED")]
    assert await candles(graph, "ONE_HOUR") == []
    (series,) = (await graph.ask('{ item(slug: "aurum") { series { hasPoints providedResolutions } } }'))["item"][
        "series"
    ]
    assert series == {"hasPoints": False, "providedResolutions": ["PT4H", "P1D"]}


async def test_finer_candles_fill_what_coarser_ones_leave_open_and_hide_nothing(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    minute = timedelta(minutes=1)
    await ingested(
        database,
        *(candle("aurum", MONDAY + 24 * HOUR * day, 24 * HOUR, "10 20 5 15") for day in range(13)),
        candle("aurum", MONDAY + 24 * HOUR * 12 + HOUR, minute, "1 999 1 1"),
        candle("aurum", MONDAY + 24 * HOUR * 13, minute, "15 40 15 33"),
        kind=BatchKind.CANDLES,
    )
    assert [prices_of(row) for row in await candles(graph, "ONE_WEEK")] == ["10 20 5 15", "10 40 5 33"]


async def test_points_fill_the_days_for_which_nothing_is_provided(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(
        database,
        *(
            point("aurum", price, at=MONDAY + 24 * HOUR * day, source="test-exchange")
            for day, price in enumerate(["10", "90", "3", "50", "50", "50", "70"])
        ),
    )
    await ingested(database, candle("aurum", MONDAY + 72 * HOUR, 24 * HOUR, "40 41 39 40"), kind=BatchKind.CANDLES)
    assert [(prices_of(row), row["origin"]) for row in await candles(graph, "ONE_WEEK")] == [("10 90 3 70", "DERIVED")]
    days = await candles(graph, "ONE_DAY")
    assert [(row["open"], row["origin"]) for row in days[2:5]] == [
        ("3", "ROLLED_UP"),
        ("40", "PROVIDED"),
        ("50", "ROLLED_UP"),
    ]


async def test_a_range_holds_whole_candles_and_last_the_newest_of_them(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, *(point("aurum", str(hour), at=MONDAY + HOUR * hour) for hour in range(48)))
    assert [row["open"] for row in await candles(graph, "ONE_HOUR", last=2)] == ["46", "47"]
    within = await candles(graph, "FOUR_HOURS", **{"from": "2024-01-01T01:00:00Z", "to": "2024-01-01T12:00:00Z"})
    assert [(row["open"], row["close"]) for row in within] == [("4", "7"), ("8", "11")]
    assert [row["open"] for row in await candles(graph, "ONE_WEEK", last=1)] == ["0"]
    assert [row["open"] for row in await candles(graph, "FOUR_HOURS", last=3)] == ["36", "40", "44"]


SEND = """
mutation ($points: [PricePointInput!]!, $key: String) {
  ingestPrices(input: {points: $points, idempotencyKey: $key}) {
    batch { id status rowCount acceptedCount }
    userErrors { field message code }
  }
}
"""
BATCH = """
query ($id: ID!) {
  ingestBatch(id: $id) {
    status acceptedCount duplicateCount rejectedCount processedAt
    rejects(first: 1) { totalCount nodes { rowNumber reason content } pageInfo { hasNextPage } }
  }
}
"""


async def test_a_small_batch_goes_in_by_mutation_and_tells_what_became_of_it(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    item = await graph.ask('{ item(slug: "aurum") { id } }')
    sent = await graph.ask(
        SEND,
        PARTNER,
        points=[
            {"slug": "aurum", "source": "shop", "currency": "USD", "price": "12.50", "kind": "SALE", "key": "1"},
            {"itemId": item["item"]["id"], "source": "shop", "currency": "USD", "price": "13"},
            {"slug": "missing", "source": "shop", "currency": "USD", "price": "1"},
            {"slug": "aurum", "source": "shop", "currency": "USD", "price": "-1"},
        ],
    )
    batch = sent["ingestPrices"]["batch"]
    assert batch == {"id": batch["id"], "status": "RECEIVED", "rowCount": 4, "acceptedCount": None}
    async with database.transaction() as transaction:
        await process_next_batch(transaction, price_batches())
    done = (await graph.ask(BATCH, PARTNER, id=batch["id"]))["ingestBatch"]
    assert (done["status"], done["acceptedCount"], done["rejectedCount"]) == ("PROCESSED", 2, 2)
    assert done["rejects"]["totalCount"] == 2
    assert done["rejects"]["nodes"][0]["rowNumber"] == 3
    assert "missing" in done["rejects"]["nodes"][0]["reason"]
    assert done["rejects"]["pageInfo"]["hasNextPage"]


async def test_a_repeated_key_gives_the_first_batch_and_another_content_is_refused(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    at = datetime(2024, 1, 1, tzinfo=UTC).isoformat()
    one = {"slug": "aurum", "source": "shop", "currency": "USD", "price": "1", "observedAt": at}
    first = await graph.ask(SEND, PARTNER, points=[one], key="abc")
    again = await graph.ask(SEND, PARTNER, points=[one], key="abc")
    assert again == first
    other = await graph.ask(SEND, PARTNER, points=[one | {"price": "2"}], key="abc")
    assert other["ingestPrices"]["batch"] is None
    assert other["ingestPrices"]["userErrors"][0]["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_retry_without_a_time_gives_the_first_batch(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    one = {"slug": "aurum", "source": "shop", "currency": "USD", "price": "1"}
    first = await graph.ask(SEND, PARTNER, points=[one], key="abc")
    assert await graph.ask(SEND, PARTNER, points=[one], key="abc") == first
    assert first["ingestPrices"]["userErrors"] == []


@pytest.mark.parametrize("names", [{}, {"slug": "aurum", "itemId": "x"}])
async def test_a_point_names_its_item_once(graph: Graph, names: dict[str, str]) -> None:
    good = {"slug": "aurum", "source": "shop", "currency": "USD", "price": "1"}
    bad = {"source": "shop", "currency": "USD", "price": "1", **names}
    sent = await graph.ask(SEND, PARTNER, points=[good, bad])
    assert sent["ingestPrices"]["userErrors"][0]["field"] == ["input", "points", "1"]


async def test_an_operation_has_a_budget_of_candles(database: Database, graph: Graph) -> None:
    await saved(database, *(coin(f"coin-{number}") for number in range(3)))
    await ingested(database, *(point(f"coin-{number}", "1") for number in range(3)))
    query = "{ items { nodes { series { candleColumns(resolution: ONE_DAY, last: 100000) { start } } } } }"
    response = await graph.respond(query)
    assert "data" not in response
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    assert "path" not in error


async def test_the_end_of_the_calendar_is_no_failure(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "1", at=MONDAY))
    last = "9999-12-31T23:59:59Z"
    assert await candles(graph, "ONE_WEEK", **{"from": last}) == []
    assert len(await candles(graph, "ONE_WEEK", to=last)) == 1


@pytest.mark.parametrize("position", [["2024-01-01T00:00:00+00:00", 2**63], ["0001-01-01T00:00:00+14:00", 1], ["x", 1]])
async def test_a_forged_cursor_is_refused(database: Database, graph: Graph, position: list[str | int]) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "1"))
    query = 'query ($c: String) { item(slug: "aurum") { series { points(after: $c) { totalCount } } } }'
    error = await graph.refusal(query, c=encode_cursor("price-points", position))
    assert (error["extensions"]["code"], error["extensions"]["argument"]) == ("BAD_USER_INPUT", "after")


@pytest.mark.parametrize("count", [0, 251])
async def test_a_batch_by_mutation_holds_1_to_250_points(graph: Graph, count: int) -> None:
    one = {"slug": "aurum", "source": "shop", "currency": "USD", "price": "1"}
    sent = await graph.ask(SEND, PARTNER, points=[one] * count)
    assert sent["ingestPrices"]["userErrors"][0]["field"] == ["input", "points"]


async def test_without_the_token_nothing_is_stored_or_shown(database: Database, graph: Graph) -> None:
    one = {"slug": "aurum", "source": "shop", "currency": "USD", "price": "1"}
    assert (await graph.refusal(SEND, points=[one]))["extensions"]["code"] == "UNAUTHENTICATED"
    stored = (await graph.ask(SEND, PARTNER, points=[one]))["ingestPrices"]["batch"]["id"]
    assert (await graph.refusal(BATCH, id=stored))["extensions"]["code"] == "UNAUTHENTICATED"
    assert (await graph.refusal("query ($id: ID!) { node(id: $id) { id } }", id=stored))["extensions"]["code"] == (
        "UNAUTHENTICATED"
    )


REFUSED: list[tuple[str, str]] = [
    ('points(from: "2024-02-01T00:00:00Z", to: "2024-01-01T00:00:00Z") { totalCount }', "to"),
    ("points(first: 1000) { totalCount }", "first"),
    ('points(after: "nonsense") { totalCount }', "after"),
    ("candles(resolution: ONE_DAY, last: 0) { start }", "last"),
    ("candles(resolution: ONE_DAY, last: 10001) { start }", "last"),
    ("candleColumns(resolution: ONE_DAY, last: 100001) { start }", "last"),
    ('candles(resolution: ONE_DAY, from: "2024-02-01T00:00:00Z", to: "2024-01-01T00:00:00Z") { start }', "to"),
]


@pytest.mark.parametrize(("field", "argument"), REFUSED)
async def test_bad_input_is_refused_naming_the_argument(
    database: Database, graph: Graph, field: str, argument: str
) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "1"))
    error = await graph.refusal(f'{{ item(slug: "aurum") {{ series {{ {field} }} }} }}')
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["argument"] == argument


@pytest.mark.parametrize("instant", ["2024-01-01", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z", "yesterday", 5])
async def test_a_time_without_an_offset_or_that_does_not_exist_is_refused(graph: Graph, instant: object) -> None:
    error = await graph.refusal(
        'query ($at: DateTime) { item(slug: "a") { series { candles(resolution: ONE_DAY, from: $at) { start } } } }',
        at=instant,
    )
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
