"""What portfolios were day by day, how they did, and how snapshots follow changed trades."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, update

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import new_id
from app.portfolios.commands.snapshots import due_portfolios, make_snapshots, mark_snapshots
from app.portfolios.models import Holding, Portfolio, Snapshot, SnapshotMark, Trade
from app.prices.commands.valuations import value_due_variants
from tests.catalogue.builders import coin, saved
from tests.graph.conftest import Graph
from tests.lock_waits import until_somebody_waits
from tests.portfolios.possessing import Deal, Owned, hold, portfolio_of_somebody
from tests.prices.builders import ingested, point

DAY = timedelta(days=1)
METHODS = ("TWR", "MODIFIED_DIETZ", "XIRR")
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
HISTORY = """
query ($id: ID!, $from: Date, $to: Date, $resolution: HistoryResolution! = DAY) {
  node(id: $id) { ... on Portfolio { history(from: $from, to: $to, resolution: $resolution) {
    day currency value { amount } cost { amount } unrealizedGain { amount } realizedGain { amount }
    netFlow { amount } holdingCount unpricedCount isPartial staleCount oldestObservedAt isProvisional
    parts(by: KIND) { key value cost holdingCount unpricedCount }
  } } }
}
"""
PERFORMANCE = """
query ($id: ID!, $from: Date, $to: Date, $method: ReturnMethod! = TWR) {
  node(id: $id) { ... on Portfolio { performance(from: $from, to: $to, method: $method) {
    method from to rate isAnnual reason currency startValue endValue netFlow isPartial isProvisional
  } } }
}
"""


def noon(day: int) -> datetime:
    """Noon, so many days after the first of January."""
    return BEGIN + day * DAY + timedelta(hours=12)


async def made(database: Database, owned: Owned, days: int, *, at_a_time: int = 100) -> int:
    """Make the snapshots of the days before the one that comes so many days after the first; gives how many."""
    async with database.transaction() as transaction:
        step = await make_snapshots(
            transaction, owned.id, until=BEGIN.date() + days * DAY, now=utc_now(), days=at_a_time
        )
    return step.made


async def history(graph: Graph, owned: Owned, **variables: Any) -> list[Any]:
    """What the portfolio was."""
    found = await graph.ask(HISTORY, owned.viewer, id=owned.public_id, **variables)
    return list(found["node"]["history"])


async def performance(graph: Graph, owned: Owned, **variables: Any) -> Any:
    """How it did."""
    found = await graph.ask(PERFORMANCE, owned.viewer, id=owned.public_id, **variables)
    return found["node"]["performance"]


async def vector(database: Database) -> Owned:
    """1000 at first, 1100 on day 15, when 500 are put in, and 1700 on day 30."""
    owned = await portfolio_of_somebody(database)
    await saved(database, coin("growth"), coin("calm"))
    prices = [("growth", "10", 0), ("growth", "11", 15), ("growth", "12", 30), ("calm", "10", 0)]
    await ingested(database, *(point(slug, price, currency="EUR", at=noon(day)) for slug, price, day in prices))
    await hold(database, owned, "growth", Deal("buy", "100", "10", at=noon(0)))
    await hold(database, owned, "calm", Deal("buy", "50", "10", at=noon(15)), position=1)
    assert await made(database, owned, 31) == 31
    return owned


async def test_the_vector_of_the_rules_comes_out_of_the_graph(database: Database, graph: Graph) -> None:
    owned = await vector(database)
    returns = {method: await performance(graph, owned, **{"from": "2024-01-01"}, method=method) for method in METHODS}
    assert returns["TWR"] == {
        "method": "TWR",
        "from": "2024-01-01",
        "to": "2024-01-31",
        "rate": "0.16875",
        "isAnnual": False,
        "reason": None,
        "currency": "EUR",
        "startValue": "1000",
        "endValue": "1700",
        "netFlow": "500",
        "isPartial": False,
        "isProvisional": False,
    }
    assert returns["MODIFIED_DIETZ"]["rate"] == "0.16"
    assert round(Decimal(returns["XIRR"]["rate"]) * 100, 2) == Decimal("16.12")
    whole = await performance(graph, owned)
    assert (whole["from"], whole["startValue"], whole["netFlow"], whole["rate"]) == (
        "2023-12-31",
        "0",
        "1500",
        "0.16875",
    )


async def test_a_boundary_without_a_value_makes_a_return_unavailable_and_says_why(
    database: Database, graph: Graph
) -> None:
    owned = await vector(database)
    ahead = await performance(graph, owned, **{"from": "2024-01-10"}, to="2024-02-10")
    assert (ahead["rate"], ahead["reason"], ahead["endValue"]) == (None, "NO_VALUE_AT_END", None)
    before = await performance(graph, owned, **{"from": "2023-11-01"}, to="2023-12-01")
    assert (before["rate"], before["reason"]) == (None, "NOTHING_INVESTED")
    empty = await portfolio_of_somebody(database)
    nothing = await performance(graph, empty, method="XIRR")
    assert (nothing["rate"], nothing["reason"], nothing["from"]) == (None, "NOTHING_INVESTED", None)
    unpriced = await portfolio_of_somebody(database)
    await saved(database, coin("unknown"))
    await hold(database, unpriced, "unknown", Deal("buy", "1", "5", at=noon(0)))
    await made(database, unpriced, 10)
    missing = await performance(graph, unpriced, **{"from": "2024-01-02"}, to="2024-01-05")
    assert (missing["rate"], missing["reason"], missing["startValue"]) == (None, "NO_VALUE_AT_START", None)
    refused = await graph.refusal(
        PERFORMANCE, owned.viewer, id=owned.public_id, **{"from": "2024-01-05", "to": "2024-01-05"}
    )
    assert refused["extensions"]["argument"] == "to"


async def test_a_history_has_the_last_day_of_each_week_or_month_and_what_flowed_in_it(
    database: Database, graph: Graph
) -> None:
    owned = await vector(database)
    days = await history(graph, owned)
    assert [day["day"] for day in days] == [(BEGIN + number * DAY).date().isoformat() for number in range(31)]
    assert days[15] == {
        "day": "2024-01-16",
        "currency": "EUR",
        "value": {"amount": "1600"},
        "cost": {"amount": "1500"},
        "unrealizedGain": {"amount": "100"},
        "realizedGain": {"amount": "0"},
        "netFlow": {"amount": "500"},
        "holdingCount": 2,
        "unpricedCount": 0,
        "isPartial": False,
        "staleCount": 0,
        "oldestObservedAt": noon(0).isoformat().replace("+00:00", "Z"),
        "isProvisional": False,
        "parts": [{"key": "coin", "value": "1600", "cost": "1500", "holdingCount": 2, "unpricedCount": 0}],
    }
    weeks = await history(graph, owned, resolution="WEEK")
    assert [week["day"][-2:] for week in weeks] == ["07", "14", "21", "28", "31"]
    assert [week["netFlow"]["amount"] for week in weeks] == ["1000", "0", "500", "0", "0"]
    (month,) = await history(graph, owned, resolution="MONTH")
    assert (month["day"], month["value"]["amount"], month["netFlow"]["amount"]) == ("2024-01-31", "1700", "1500")
    some = await history(graph, owned, **{"from": "2024-01-30", "to": "2024-03-01"})
    assert [day["day"] for day in some] == ["2024-01-30", "2024-01-31"]
    stranger = await portfolio_of_somebody(database)
    assert await graph.ask(HISTORY, stranger.viewer, id=owned.public_id) == {"node": None}
    refused = await graph.refusal(
        HISTORY, owned.viewer, id=owned.public_id, **{"from": "2024-02-01", "to": "2024-01-01"}
    )
    assert refused["extensions"]["code"] == "BAD_USER_INPUT"


async def test_what_is_given_flows_at_its_value_of_the_day_and_without_one_at_its_cost(
    database: Database, graph: Graph
) -> None:
    owned = await portfolio_of_somebody(database)
    await saved(database, coin("known"), coin("unknown"))
    await ingested(database, point("known", "20", currency="EUR", at=noon(0)))
    await hold(
        database,
        owned,
        "known",
        Deal("transfer_in", "3", "5", fee="1", at=noon(0)),
        Deal("gift_out", "1", at=noon(2)),
        Deal("fee", "0", fee="2", at=noon(3)),
        Deal("sell", "2", "30", fee="4", at=noon(4)),
        Deal("sell", "1", "30", at=noon(5), may_lack=True),
    )
    await hold(database, owned, "unknown", Deal("gift_in", "1", "7", at=noon(1)), position=1)
    await made(database, owned, 7)
    days = await history(graph, owned)
    assert [day["netFlow"]["amount"] for day in days] == ["60", "7", "-20", "2", "-56", "0", "0"]
    assert [day["value"] and day["value"]["amount"] for day in days] == ["60", "60", "40", "40", None, None, None]
    assert [day["unpricedCount"] for day in days] == [0, 1, 1, 1, 1, 1, 1]
    assert [day["isPartial"] for day in days] == [False, *[True] * 6]
    assert days[1]["unrealizedGain"] is None
    # 56 for two that had cost 16/3 each, less the fee of 2.
    assert round(Decimal(days[4]["realizedGain"]["amount"]), 6) == Decimal("43.333333")
    assert days[5]["realizedGain"] == days[4]["realizedGain"], "what was never acquired has no gain that is known"


@pytest.mark.parametrize("kind", ["transfer_out", "gift_out", "fee"])
async def test_a_fee_is_money_put_in_and_lost_whatever_it_is_paid_for(
    database: Database, graph: Graph, kind: str
) -> None:
    owned = await portfolio_of_somebody(database)
    await saved(database, coin("known"))
    await ingested(database, point("known", "20", currency="EUR", at=noon(0)))
    holding_id = await hold(
        database,
        owned,
        "known",
        Deal("buy", "3", "20", at=noon(0)),
        Deal(kind, "1", fee="7", at=noon(1)),
    )
    await made(database, owned, 3)
    days = await history(graph, owned)
    taken_out = 0 if kind == "fee" else 20
    assert [day["netFlow"]["amount"] for day in days] == ["60", str(7 - taken_out), "0"]
    async with database.transaction() as transaction:
        gain = await transaction.connection.scalar(select(Holding.realized_gain).where(Holding.id == holding_id))
    assert Decimal(days[1]["realizedGain"]["amount"]) == gain == (-27 if kind == "fee" else -7)


async def test_a_time_weighted_return_over_a_flow_that_lacks_a_value_is_partial(
    database: Database, graph: Graph
) -> None:
    owned = await portfolio_of_somebody(database)
    await saved(database, coin("known"), coin("late"))
    await ingested(database, point("known", "10", currency="EUR", at=noon(0)))
    await hold(database, owned, "known", Deal("buy", "100", "10", at=noon(0)))
    await hold(database, owned, "late", Deal("buy", "10", "10", at=noon(5)), position=1)
    await ingested(database, point("late", "10", currency="EUR", at=noon(7)))
    await made(database, owned, 10)
    asked = {"from": "2024-01-01"}
    assert [(await performance(graph, owned, **asked, method=method))["isPartial"] for method in METHODS] == [
        True,
        False,
        False,
    ]
    assert not (await performance(graph, owned, **asked, to="2024-01-05"))["isPartial"]


async def test_history_is_kept_from_1999_on_and_nothing_is_said_to_be_known_of_before(
    database: Database, graph: Graph
) -> None:
    owned = await portfolio_of_somebody(database)
    await saved(database, coin("old"))
    await hold(database, owned, "old", Deal("buy", "1", "5", at=datetime(1990, 1, 1, tzinfo=UTC)))
    async with database.transaction() as transaction:
        step = await make_snapshots(transaction, owned.id, until=date(1999, 1, 10), now=utc_now())
    assert (step.made, step.is_finished) == (6, True)
    assert (await history(graph, owned))[0]["day"] == "1999-01-04"
    whole = await performance(graph, owned)
    assert (whole["from"], whole["netFlow"]) == ("1999-01-04", "0")
    before = await performance(graph, owned, **{"from": "1995-01-01"})
    assert (before["startValue"], before["reason"]) == (None, "NO_VALUE_AT_START")
    nothing = await performance(graph, owned, **{"from": "1989-01-01"})
    assert (nothing["startValue"], nothing["reason"]) == ("0", "NO_VALUE_AT_END")


async def test_sales_value_the_past_as_they_were_told_or_would_have_been(database: Database, graph: Graph) -> None:
    owned = await portfolio_of_somebody(database)
    await saved(database, coin("sold"))
    now = utc_now()
    for days_ago, price in ((40, "10"), (30, "20"), (20, "60")):
        await ingested(database, point("sold", price, kind="sale", currency="EUR", at=now - days_ago * DAY))
    await hold(database, owned, "sold", Deal("buy", "1", "1", at=now - 35 * DAY))
    async with database.transaction() as transaction:
        # Told first 25 days ago: of the sale that came in later than it happened, nothing was known.
        await value_due_variants(transaction, now=now - 25 * DAY)
    await ingested(database, point("sold", "90", kind="sale", currency="EUR", at=now - 28 * DAY))
    async with database.transaction() as transaction:
        await make_snapshots(transaction, owned.id, until=now.date(), now=now, days=100)
    found = {day["day"]: day["value"]["amount"] for day in await history(graph, owned)}

    def on(days_ago: int) -> str:
        return str(found[(now - days_ago * DAY).date().isoformat()])

    # One sale; two, of which the newer weighs more; three; and what was told, which knew nothing of the last one.
    assert (on(33), on(29), on(27)) == ("10", "20", "20")
    assert on(24) == on(1) == "20"


async def test_a_trade_of_the_past_makes_snapshots_from_its_day_provisional_until_they_are_made_anew(
    database: Database, graph: Graph
) -> None:
    owned = await vector(database)

    async def provisional() -> list[str]:
        return [day["day"] for day in await history(graph, owned) if day["isProvisional"]]

    async with database.transaction() as transaction:
        trade = (
            await transaction.connection.execute(select(Trade.id).order_by(Trade.occurred_at).limit(1))
        ).scalar_one()
    assert await provisional() == []
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Trade).where(Trade.id == trade).values(occurred_at=noon(28)))
    assert len(await provisional()) == 31, "from the earlier of its days"
    assert (await performance(graph, owned))["isProvisional"]
    assert await made(database, owned, 31, at_a_time=10) == 10
    assert await provisional() == [f"2024-01-{day}" for day in range(26, 32)], "it is now that of day 15 that is first"
    while await made(database, owned, 31, at_a_time=4):
        pass
    assert await provisional() == []
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Trade).where(Trade.id == trade).values(occurred_at=noon(29)))
    assert len(await provisional()) == 3
    assert await made(database, owned, 31) == 3
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Portfolio).where(Portfolio.id == owned.id).values(method="lifo"))
    assert len(await provisional()) == 16


async def test_snapshots_made_twice_are_the_same_and_those_before_the_first_trade_go(
    database: Database, graph: Graph
) -> None:
    owned = await vector(database)
    before = await history(graph, owned)
    async with database.transaction() as transaction:
        assert await mark_snapshots(transaction, since=date(2020, 1, 1), portfolio_id=owned.id) == 1
    assert await made(database, owned, 31) == 31
    assert await history(graph, owned) == before
    assert await made(database, owned, 31) == 0
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(Trade).where(Trade.occurred_at == noon(0)))
    assert await made(database, owned, 31) == 16
    assert next(day["day"] for day in await history(graph, owned)) == "2024-01-16"
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(Trade))
    assert await made(database, owned, 31) == 0
    assert await history(graph, owned) == []


async def test_what_is_made_of_trades_that_change_meanwhile_is_dropped_and_made_again(
    database: Database, graph: Graph
) -> None:
    owned = await vector(database)
    async with database.transaction() as transaction:
        await mark_snapshots(transaction, since=BEGIN.date())
        holding: UUID = (
            await transaction.connection.execute(select(Trade.holding_id).where(Trade.occurred_at == noon(0)))
        ).scalar_one()
    async with database.transaction() as changing:
        await changing.connection.execute(
            insert(Trade).values(
                id=new_id(),
                owner_id=owned.owner_id,
                portfolio_id=owned.id,
                holding_id=holding,
                kind="fee",
                occurred_at=noon(20),
                quantity=0,
                price=0,
                fee=3,
                currency="EUR",
                exchange_rate=1,
            )
        )
        making = asyncio.create_task(made(database, owned, 31))
        # It waits for whoever holds the mark, and then sees that its trades are not those any more.
        done, _ = await asyncio.wait([making], timeout=1.5)
        assert not done
    assert await making == 0
    assert await made(database, owned, 31) == 31
    assert (await history(graph, owned))[20]["netFlow"] == {"amount": "3"}


async def test_snapshots_are_made_while_their_portfolio_is_shared_and_gets_another_method(database: Database) -> None:
    owned = await vector(database)
    async with database.transaction() as transaction:
        await mark_snapshots(transaction, since=BEGIN.date())
    changed = update(Portfolio).where(Portfolio.id == owned.id)
    async with database.transaction() as changing:
        # Its `shared_id` is unique, so that nothing can come to refer to it before this ends.
        await changing.connection.execute(changed.values(visibility="public"))
        making = asyncio.create_task(made(database, owned, 31))
        await until_somebody_waits(database)
        await changing.connection.execute(changed.values(method="lifo"))
    assert await making == 0
    assert await made(database, owned, 31) == 31


async def test_a_deleted_portfolio_leaves_neither_snapshots_nor_a_mark(database: Database) -> None:
    owned = await vector(database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(Portfolio).where(Portfolio.id == owned.id))
    async with database.transaction() as transaction:
        for table in (Snapshot, SnapshotMark):
            assert (await transaction.connection.execute(select(table.portfolio_id))).all() == []
        assert await due_portfolios(transaction, until=date(2030, 1, 1)) == []
