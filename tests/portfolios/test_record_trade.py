"""A trade is recorded with all that follows from it, or refused with nothing left behind."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core.database import Database
from app.portfolios.commands.recompute import recompute_portfolio
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import CostBasisMethod, Holding, Trade, TradeKind
from tests.portfolios.builders import (
    buy,
    possessions,
    recorded,
    said,
    sell,
    stored,
)

FIFO, LIFO, HIFO, AVERAGE, SPECIFIC = CostBasisMethod


async def refusal_of(change: Awaitable[object]) -> tuple[PortfolioErrorCode, list[str], str]:
    """Why something was refused, of what field, and the sentence."""
    with pytest.raises(PortfolioRefused) as refused:
        await change
    return refused.value.reason, refused.value.field, refused.value.message


async def trades_of(database: Database) -> list[Any]:
    """All trades."""
    async with database.transaction() as transaction:
        return list(await transaction.connection.execute(select(*Trade.__table__.columns).order_by(Trade.id)))


@pytest.mark.parametrize("method", CostBasisMethod)
async def test_trades_in_their_order_come_to_what_a_replay_comes_to(
    database: Database, method: CostBasisMethod
) -> None:
    own = await possessions(database, method=method)
    await recorded(
        database,
        own,
        buy("3", "100", fee="1"),
        buy("7", "33.333333333333333333", day=1),
        sell("4", "120", fee="0.01", day=2),
        said(TradeKind.TRANSFER_OUT, "0.7", day=3),
        said(TradeKind.GIFT_IN, "2", day=4),
        said(TradeKind.FEE, "0", fee="5", day=5),
        said(TradeKind.FEE, "0.1", day=6),
        sell("1", "90", day=7),
    )
    appended = await stored(database)
    async with database.transaction() as transaction:
        await recompute_portfolio(transaction.connection, own.portfolio_id)
    assert await stored(database) == appended
    ((_, quantity, *_),) = appended["totals"]
    assert quantity == Decimal("6.2")


async def test_an_earlier_trade_changes_what_comes_after_it(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "300", day=1), sell("1", "500", day=3))
    ((_, _, _, gain, _),) = (await stored(database))["totals"]
    assert gain == 200
    await recorded(database, own, buy("1", "100"))
    ((_, quantity, cost, gain, _),) = (await stored(database))["totals"]
    assert (quantity, cost, gain) == (1, 300, 400)


async def test_trades_at_one_time_are_in_the_order_of_being_recorded(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "100"), buy("1", "300"), sell("1", "500"))
    assert [row.gain for row in (await stored(database))["disposals"]] == [400]


async def test_a_variant_without_a_holding_gets_one_behind_the_others(database: Database) -> None:
    own, other = await possessions(database), await possessions(database, slug="argentum")
    own_other = replace(own, variant_id=other.variant_id)
    await recorded(database, own, buy("1", "1"), buy("1", "1"))
    await recorded(database, own_other, buy("1", "1"))
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(Holding.variant_id, Holding.position, Holding.quantity).order_by(Holding.position)
        )
        assert [tuple(row) for row in rows] == [(own.variant_id, 0, 2), (other.variant_id, 1, 1)]


async def test_two_first_trades_of_a_variant_at_once_make_one_holding(database: Database) -> None:
    own = await possessions(database)
    await asyncio.gather(*(recorded(database, own, buy("1", "1", day=day)) for day in range(3)))
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(func.count()).select_from(Holding)) == 1
        assert await transaction.connection.scalar(select(Holding.quantity)) == 3


async def test_of_two_sales_of_one_lot_at_once_one_wins(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "100"))
    both = await asyncio.gather(
        *(recorded(database, own, sell("1", "500", day=day)) for day in (1, 1)), return_exceptions=True
    )
    (refused,) = [result for result in both if isinstance(result, BaseException)]
    assert isinstance(refused, PortfolioRefused)
    assert refused.reason is PortfolioErrorCode.INSUFFICIENT_QUANTITY
    state = await stored(database)
    assert [lot.remaining_quantity for lot in state["lots"]] == [0]
    assert [part.quantity for part in state["disposals"]] == [1]
    assert len(await trades_of(database)) == 2
