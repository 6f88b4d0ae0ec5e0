"""The live value of a portfolio: at once, then as prices and holdings move, to its owner alone."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import delete

from app.core.clock import utc_now
from app.core.database import Database
from app.graph.execution import Request
from app.graph.transports.answers import Answers
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE, Caller, Viewer
from app.portfolios.commands.record_trade import record_trade
from app.portfolios.models import Portfolio, TradeKind
from app.portfolios.new_trades import NewTrade
from tests.catalogue.builders import coin, saved
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.portfolios.possessing import Deal, Owned, hold, portfolio_of_somebody
from tests.prices.builders import ingested, point

FOLLOW = "subscription ($id: ID!) { portfolioValue(portfolioId: $id) { value { amount { amount } isPartial } } }"


@asynccontextmanager
async def following(graph: Graph, owned: Owned, viewer: Viewer) -> AsyncIterator[AsyncIterator[Any]]:
    """What a subscriber is sent, as over every transport."""
    operation = graph.engine.prepare(Request(FOLLOW, {"id": owned.public_id}))
    async with aclosing(Answers(graph.engine).stream(operation, Caller(viewer))) as answers:
        yield (orjson.loads(answer.json) async for answer in answers)


async def next_value(answers: AsyncIterator[Any]) -> Any:
    """The value that comes next."""
    return (await anext(answers))["data"]["portfolioValue"]["value"]


async def test_the_value_comes_at_once_and_then_as_prices_and_holdings_move(database: Database, graph: Graph) -> None:
    owned = await portfolio_of_somebody(database)
    await saved(database, coin("aurum"), coin("argentum"))
    await ingested(database, point("aurum", "10", currency="EUR"))
    await hold(database, owned, "aurum", Deal("buy", "2", "1"))
    async with following(graph, owned, owned.viewer) as values:
        assert await next_value(values) == {"amount": {"amount": "20"}, "isPartial": False}
        # Many prices within a second are one, and what is not held moves nothing.
        for price in range(11, 31):
            await ingested(database, point("aurum", str(price), currency="EUR", at=utc_now()))
            await ingested(database, point("argentum", str(price), currency="EUR", at=utc_now()))
        seen = [await next_value(values)]
        while seen[-1]["amount"]["amount"] != "60":
            seen.append(await next_value(values))
        assert len(seen) < 20
        holding_id = await hold(database, owned, "argentum", Deal("buy", "1", "1"), position=1)
        assert await next_value(values) == {"amount": {"amount": "90"}, "isPartial": False}
        sale = NewTrade(
            kind=TradeKind.SELL,
            occurred_at=utc_now(),
            quantity=Decimal(1),
            currency="EUR",
            holding_id=holding_id,
        )
        async with database.transaction() as transaction:
            await record_trade(transaction, sale, owner_id=owned.owner_id)
        assert await next_value(values) == {"amount": {"amount": "60"}, "isPartial": False}
        async with database.transaction() as transaction:
            await transaction.connection.execute(delete(Portfolio).where(Portfolio.id == owned.id))
        assert [value async for value in values] == []


async def test_nobody_else_follows_a_portfolio(database: Database, graph: Graph) -> None:
    owned = await portfolio_of_somebody(database)
    other = await portfolio_of_somebody(database)
    without = await session_of(database, owned.owner_id, scopes=[Scope.ACCOUNT_READ])
    for viewer, code in ((other.viewer, "NOT_FOUND"), (ANYONE, "UNAUTHENTICATED"), (without, "FORBIDDEN")):
        async with following(graph, owned, viewer) as answers:
            (refused,) = [answer async for answer in answers]
        assert [error["extensions"]["code"] for error in refused["errors"]] == [code]
