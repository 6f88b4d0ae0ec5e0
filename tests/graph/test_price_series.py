"""What is derived from a series when it is read: weeks and months, filled gaps, statistics, movers."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import log, sqrt
from statistics import stdev
from typing import Any

import pytest

from app.core.clock import utc_now
from app.core.database import Database
from app.ingestion.models import BatchKind
from tests.catalogue.builders import coin, saved, skin
from tests.graph.conftest import Graph
from tests.prices.builders import MONDAY, candle, change_only, ingested, point

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

CANDLES = """
query ($resolution: CandleResolution!, $from: DateTime, $to: DateTime, $last: Int! = 500, $fill: CandleFill! = NONE) {
  item(slug: "aurum") {
    series {
      candles(resolution: $resolution, from: $from, to: $to, last: $last, fill: $fill) {
        start open high low close volume pointCount origin isComplete isFilled volumeWeightedAveragePrice
      }
      candleColumns(resolution: $resolution, from: $from, to: $to, last: $last, fill: $fill) {
        start open high low close volume isFilled
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


def shown(rows: list[dict[str, Any]]) -> list[str]:
    """Day or time of the start, open, high, low and close, and a mark where it is filled."""
    return [
        f"{row['start'].removesuffix('T00:00:00Z')} {row['open']} {row['high']} {row['low']} {row['close']}"
        + (" filled" if row["isFilled"] else "")
        for row in rows
    ]


async def test_months_are_those_of_the_calendar_in_utc(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(
        database,
        point("aurum", "10", at=datetime(2024, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC), quantity="2"),
        point("aurum", "14", at=datetime(2024, 2, 1, tzinfo=UTC)),
        point("aurum", "9", at=datetime(2024, 2, 29, 23, 59, tzinfo=UTC), quantity="1"),
        point("aurum", "20", at=datetime(2024, 12, 31, tzinfo=UTC)),
        point("aurum", "21", at=datetime(2025, 1, 1, tzinfo=UTC)),
    )
    assert shown(await candles(graph, "ONE_MONTH")) == [
        "2024-01-01 10 10 10 10",
        "2024-02-01 14 14 9 9",
        "2024-12-01 20 20 20 20",
        "2025-01-01 21 21 21 21",
    ]
    ranged = await candles(graph, "ONE_MONTH", **{"from": "2024-01-01T00:00:01Z", "to": "2025-01-01T00:00:00Z"})
    assert shown(ranged) == ["2024-02-01 14 14 9 9", "2024-12-01 20 20 20 20"]
    assert [row["start"] for row in await candles(graph, "ONE_MONTH", last=1)] == ["2025-01-01T00:00:00Z"]
    assert ranged[0]["pointCount"] == 2
    assert {row["isComplete"] for row in ranged} == {True}


async def test_months_come_from_the_finest_that_is_provided_and_from_points_beside_it(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    await ingested(
        database,
        candle("aurum", MONDAY, DAY, "10 12 9 11"),
        candle("aurum", MONDAY + 40 * DAY, HOUR, "20 50 20 30"),
        candle("aurum", MONDAY + 28 * DAY, 7 * DAY, "1 999 1 1"),
        kind=BatchKind.CANDLES,
    )
    await ingested(database, point("aurum", "60", at=MONDAY + 41 * DAY, source="test-exchange"))
    months = await candles(graph, "ONE_MONTH")
    assert shown(months) == ["2024-01-01 10 12 9 11", "2024-02-01 20 60 20 60"]
    assert {row["origin"] for row in months} == {"DERIVED"}


async def test_weeks_begin_on_monday_across_the_new_year(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    sunday = datetime(2024, 12, 29, 23, 59, 59, tzinfo=UTC)
    await ingested(
        database,
        *(point("aurum", str(day), at=sunday + timedelta(seconds=1) + day * DAY) for day in range(8)),
        point("aurum", "100", at=sunday),
    )
    assert shown(await candles(graph, "ONE_WEEK")) == [
        "2024-12-23 100 100 100 100",
        "2024-12-30 0 6 0 6",
        "2025-01-06 7 7 7 7",
    ]


async def test_gaps_stay_gaps_unless_they_are_filled(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(
        database,
        point("aurum", "10", at=MONDAY + HOUR, quantity="2"),
        point("aurum", "12", at=MONDAY + HOUR + MINUTE, quantity="2"),
        point("aurum", "9", at=MONDAY + 4 * HOUR),
    )
    until = {"to": "2024-01-01T06:00:00Z"}
    assert len(await candles(graph, "ONE_HOUR", **until)) == 2
    filled = await candles(graph, "ONE_HOUR", fill="PREVIOUS", **until)
    assert shown(filled) == [
        "2024-01-01T01:00:00Z 10 12 10 12",
        "2024-01-01T02:00:00Z 12 12 12 12 filled",
        "2024-01-01T03:00:00Z 12 12 12 12 filled",
        "2024-01-01T04:00:00Z 9 9 9 9",
        "2024-01-01T05:00:00Z 9 9 9 9 filled",
    ]
    assert [(row["volume"], row["pointCount"], row["origin"]) for row in filled[:2]] == [
        ("4", 2, "ROLLED_UP"),
        ("0", 0, "FILLED"),
    ]
    assert [row["volumeWeightedAveragePrice"] for row in filled[:2]] == ["11", None]


@pytest.mark.parametrize("resolution", ["ONE_HOUR", "FOUR_HOURS", "ONE_DAY", "ONE_WEEK", "ONE_MONTH"])
async def test_a_smaller_window_shows_the_same_filled_candles_as_a_larger_one(
    database: Database, graph: Graph, resolution: str
) -> None:
    await saved(database, coin("aurum"))
    hours = (1, 2, 5, 9, 47, 48, 200, 1_000, 3_000)
    await ingested(database, *(point("aurum", str(hour), at=MONDAY + hour * HOUR) for hour in hours))
    until = {"to": "2024-06-01T00:00:00Z"}
    everything = await candles(graph, resolution, fill="PREVIOUS", last=5_000, **until)
    assert [row for row in everything if not row["isFilled"]] == await candles(graph, resolution, last=5_000, **until)
    for count in (1, 3, len(everything)):
        assert await candles(graph, resolution, fill="PREVIOUS", last=count, **until) == everything[-count:]
    late = {"from": everything[-2]["start"]}
    assert await candles(graph, resolution, fill="PREVIOUS", **until, **late) == everything[-2:]


async def test_gaps_are_filled_up_to_the_bucket_that_runs_now_and_not_before_the_first(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    now = utc_now()
    await ingested(database, point("aurum", "10", at=now - 3 * DAY))
    days = await candles(graph, "ONE_DAY", fill="PREVIOUS", to="9999-12-31T23:59:59Z")
    assert [row["isFilled"] for row in days] == [False, True, True, True]
    assert [row["isComplete"] for row in days] == [True, True, True, False]
    assert await candles(graph, "ONE_DAY", fill="PREVIOUS", to="0001-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "of_second_hour", [{"volume": "10"}, {"turnover": "5000"}, {}], ids=["no turnover", "no volume", "neither"]
)
async def test_an_average_price_leaves_out_what_has_no_turnover_or_no_volume(
    database: Database, graph: Graph, of_second_hour: dict[str, str]
) -> None:
    await saved(database, coin("aurum"))
    monday = utc_now().replace(hour=0, minute=0, second=0, microsecond=0) - 7 * DAY
    await ingested(
        database,
        candle("aurum", monday, HOUR, "10 12 10 12", volume="10", turnover="110"),
        candle("aurum", monday + HOUR, HOUR, "10 12 10 12", **of_second_hour),
        kind=BatchKind.CANDLES,
    )
    (day,) = await candles(graph, "ONE_DAY")
    assert (day["volumeWeightedAveragePrice"], day["origin"]) == ("11", "DERIVED")
    assert [row["volumeWeightedAveragePrice"] for row in await candles(graph, "ONE_HOUR")] == ["11", None]
    assert (await statistics(graph, "P10D"))["volumeWeightedAveragePrice"] == "11"


STATISTICS = """
query ($window: Duration!) {
  item(slug: "aurum") {
    series {
      statistics(window: $window) {
        resolution from to change changePercent high low volume volumeWeightedAveragePrice volatility
        allTimeHigh allTimeHighStart distanceFromAllTimeHigh
      }
    }
  }
}
"""


async def statistics(graph: Graph, window: str) -> dict[str, Any]:
    """The statistics of the only series."""
    (series,) = (await graph.ask(STATISTICS, window=window))["item"]["series"]
    return dict(series["statistics"])


async def test_statistics_tell_change_range_volume_and_distance_from_the_highest(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    closes = [Decimal(price) for price in ("100", "110", "99", "120", "90", "80")]
    await ingested(
        database,
        point("aurum", "400", at=today - 300 * DAY, kind="sale"),
        *(
            point("aurum", str(price), at=today - (6 - day) * DAY, kind="sale", quantity=str(day + 1))
            for day, price in enumerate(closes)
        ),
        point("aurum", "60", at=today - 40 * DAY, kind="sale"),
    )
    found = await statistics(graph, "P20D")
    assert (found["resolution"], found["from"], found["to"]) == ("P1D", "60", "80")
    assert (found["change"], found["changePercent"]) == ("20", "33.333333")
    assert (found["high"], found["low"], found["volume"]) == ("120", "80", "21")
    # Σ price·quantity / Σ quantity = (100 + 220 + 297 + 480 + 450 + 480) / 21
    assert Decimal(found["volumeWeightedAveragePrice"]) == pytest.approx(Decimal(2027) / 21)
    returns = [log(after / before) for before, after in pairwise(closes)]
    assert float(found["volatility"]) == pytest.approx(stdev(returns) * sqrt(365), abs=1e-6)
    assert (found["allTimeHigh"], found["distanceFromAllTimeHigh"]) == ("400", "-80")
    assert found["allTimeHighStart"] == (today - 300 * DAY).isoformat().replace("+00:00", "Z")


async def test_what_the_data_do_not_tell_is_null_and_never_zero(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "10", at=utc_now() - 100 * DAY, kind="ask", quantity="3"))
    found = await statistics(graph, "P30D")
    # It was last seen before the window: nothing is known of what happened in it.
    known = {"from": "10", "allTimeHigh": "10", "distanceFromAllTimeHigh": "0", "resolution": "P1D"}
    unknown = ["to", "change", "changePercent", "high", "low", "volume", "volumeWeightedAveragePrice", "volatility"]
    assert {name: found[name] for name in known} == known
    assert {name: found[name] for name in unknown} == dict.fromkeys(unknown)
    # What is asked is no sale, whatever its quantity.
    asked = await statistics(graph, "P200D")
    assert (asked["volume"], asked["volumeWeightedAveragePrice"], asked["from"], asked["change"]) == (
        "3",
        None,
        None,
        None,
    )


async def test_returns_over_a_gap_do_not_count_for_volatility(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = {9: "10", 8: "20", 5: "1000", 4: "500", 3: "500"}
    await ingested(database, *(point("aurum", price, at=today - day * DAY) for day, price in days.items()))
    returns = [log(2), log(0.5), 0.0]
    assert float((await statistics(graph, "P20D"))["volatility"]) == pytest.approx(stdev(returns) * sqrt(365), abs=1e-6)


async def test_statistics_are_made_of_what_reaches_back_to_the_beginning_of_the_window(
    database: Database, graph: Graph
) -> None:
    await saved(database, coin("aurum"))
    now = utc_now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    await ingested(
        database,
        *(candle("aurum", today - day * DAY, DAY, f"{day} {day} {day} {day}", volume="1") for day in range(3, 60)),
        kind=BatchKind.CANDLES,
    )
    await ingested(database, point("aurum", "7", at=now - 2 * HOUR, source="test-exchange", quantity="1"))
    # Within ten days hours would be fine enough, but there are none before the points.
    found = await statistics(graph, "P10D")
    assert (found["resolution"], found["high"], found["low"], found["to"]) == ("P1D", "9", "3", "7")
    assert found["volume"] == "8"
    recent = await statistics(graph, "PT1H")
    assert (recent["from"], recent["to"], recent["high"]) == ("7", None, None)


async def test_statistics_of_many_series_take_as_many_statements_as_of_one(database: Database, graph: Graph) -> None:
    fields = 'series { statistics(window: "P30D") { change } }'
    query = '{ items(first: 50, filter: {nameContains: "%s"}) { nodes { ' + fields + " } } }"
    names = [f"coin-{number}" for number in range(50)]
    await saved(database, *(coin(name) for name in names))
    await ingested(database, *(point(name, "1") for name in names))
    data = await graph.ask(query % "coin")
    assert sum(len(item["series"]) for item in data["items"]["nodes"]) == 50
    for resolvers_only in (False, True):
        of_all = await graph.statements(query % "coin", resolvers_only=resolvers_only)
        assert of_all == await graph.statements(query % "coin-49", resolvers_only=resolvers_only)


async def test_statistics_of_a_price_that_stands_tell_that_it_was_seen(database: Database, graph: Graph) -> None:
    await change_only(database)
    now = utc_now()
    for days in (20, 10, 1):
        await ingested(database, point("aurum", "10", at=now - days * DAY))
    found = await statistics(graph, "P7D")
    assert (found["from"], found["to"], found["change"], found["changePercent"]) == ("10", "10", "0", "0")
    assert (await statistics(graph, "PT1H"))["to"] is None


async def test_extremes_are_written_without_zeros_at_the_end(database: Database, graph: Graph) -> None:
    await saved(database, coin("aurum"))
    now = utc_now()
    days_and_prices = ((3, "0.00"), (2, "0"), (1, "5.50"), (0.5, "5.5000"))
    await ingested(database, *(point("aurum", price, at=now - days * DAY) for days, price in days_and_prices))
    found = await statistics(graph, "P7D")
    assert (found["low"], found["high"], found["allTimeHigh"]) == ("0", "5.5", "5.5")


@pytest.mark.parametrize("window", ["PT0S", "PT59S", "P3661D"])
async def test_a_window_is_of_a_minute_to_ten_years(database: Database, graph: Graph, window: str) -> None:
    await saved(database, coin("aurum"))
    await ingested(database, point("aurum", "1"))
    for query in (STATISTICS, "query ($window: Duration!) { movers(window: $window) { percent } }"):
        error = await graph.refusal(query, window=window)
        assert (error["extensions"]["code"], error["extensions"]["argument"]) == ("BAD_USER_INPUT", "window")


MOVERS = """
query ($window: Duration!, $kind: ItemKind, $first: Int! = 10, $direction: MoverDirection! = EITHER) {
  movers(window: $window, kind: $kind, first: $first, direction: $direction) {
    item { slug price { amount } } series { kind } currency from to change percent
  }
}
"""


async def moved(graph: Graph, **variables: Any) -> list[str]:
    """The movers, each as its slug and percent."""
    found = (await graph.ask(MOVERS, **{"window": "P7D", **variables}))["movers"]
    assert all(mover["to"] == mover["item"]["price"]["amount"] for mover in found)
    return [f"{mover['item']['slug']} {mover['percent']}" for mover in found]


async def test_movers_are_the_items_whose_best_price_changed_the_most(database: Database, graph: Graph) -> None:
    now = utc_now()
    await saved(database, *(coin(name) for name in ("rises", "falls", "stays", "unseen", "new", "stale")), skin("skin"))

    def prices(item: str, before: str, after: str, *, days: float = 10, **more: object) -> list[Any]:
        return [point(item, before, at=now - days * DAY, **more), point(item, after, at=now - HOUR, **more)]  # type: ignore[arg-type]  # words of `point`

    await ingested(
        database,
        *prices("rises", "10", "15"),
        # Its best price is the sale, whatever is asked.
        *prices("falls", "10", "4", kind="sale"),
        *prices("falls", "10", "900", kind="ask"),
        *prices("stays", "10", "10"),
        point("unseen", "10", at=now - 12 * DAY),
        point("unseen", "90", at=now - 9 * DAY),
        *prices("new", "10", "90", days=3),
        *prices("stale", "10", "90", days=60),
        *prices("skin", "3", "4"),
    )
    assert await moved(graph) == ["falls -60", "rises 50", "skin 33.333333"]
    assert await moved(graph, direction="UP") == ["rises 50", "skin 33.333333"]
    assert await moved(graph, direction="DOWN") == ["falls -60"]
    assert await moved(graph, first=1) == ["falls -60"]
    assert await moved(graph, kind="SKIN") == ["skin 33.333333"]
    # Two days ago `new` had its first price already.
    assert (await moved(graph, window="P2D"))[0] == "new 800"
    (falls,) = (await graph.ask(MOVERS, window="P7D", first=1))["movers"]
    assert (falls["series"]["kind"], falls["currency"], falls["from"], falls["to"]) == ("SALE", "USD", "10", "4")


async def test_a_price_that_stood_for_long_and_moved_is_a_mover(database: Database, graph: Graph) -> None:
    await change_only(database)
    await saved(database, coin("argentum"))
    now = utc_now()
    for days in (60, 30, 5):
        await ingested(database, point("aurum", "10", at=now - days * DAY), point("argentum", "7", at=now - days * DAY))
    await ingested(database, point("aurum", "20", at=now - HOUR), point("argentum", "7", at=now - HOUR))
    assert await moved(graph, window="P1D") == ["aurum 100"]


@pytest.mark.parametrize("first", [0, 101])
async def test_one_to_a_hundred_movers_can_be_asked_for(graph: Graph, first: int) -> None:
    error = await graph.refusal(MOVERS, window="P7D", first=first)
    assert (error["extensions"]["code"], error["extensions"]["argument"]) == ("BAD_USER_INPUT", "first")


async def test_movers_take_as_many_statements_as_one(database: Database, graph: Graph) -> None:
    now = utc_now()
    names = [f"coin-{number}" for number in range(20)]
    await saved(database, *(coin(name) for name in names))
    await ingested(
        database,
        *(point(name, "10", at=now - 9 * DAY) for name in names),
        *(point(name, str(11 + number), at=now - HOUR) for number, name in enumerate(names)),
    )
    query = (
        'query ($first: Int!) { movers(window: "P7D", first: $first) { item { name } series { currency } percent } }'
    )
    assert len((await graph.ask(query, first=20))["movers"]) == 20
    for resolvers_only in (False, True):
        of_all = await graph.statements(query, resolvers_only=resolvers_only, first=20)
        assert of_all == await graph.statements(query, resolvers_only=resolvers_only, first=1)
