"""Portfolios and trades for tests, written by the commands that everybody's go through."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import ItemVariant
from app.core.database import Database
from app.core.ids import new_id
from app.portfolios.commands.record_trade import record_trade
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import LedgerTrade, LotChoice
from app.portfolios.models import CostBasisMethod, Holding, Lot, LotDisposal, Portfolio, Trade, TradeKind
from app.portfolios.new_trades import NewTrade
from tests.catalogue.builders import coin, saved
from tests.identity.builders import add_person

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Possessions:
    """Somebody's portfolio, and a variant to put into it."""

    owner_id: UUID
    portfolio_id: UUID
    variant_id: UUID


def said(kind: TradeKind, quantity: str, price: str = "0", *, day: int = 0, **more: Any) -> NewTrade:
    """A trade in dollars at the beginning of a day, counted from Monday."""
    values: dict[str, Any] = {"currency": "USD", "fee": Decimal(0)} | more
    values["fee"] = Decimal(values["fee"])
    return NewTrade(
        kind=kind,
        occurred_at=MONDAY + timedelta(days=day),
        quantity=Decimal(quantity),
        price=Decimal(price),
        **values,
    )


def buy(quantity: str, price: str, **more: Any) -> NewTrade:
    """A purchase."""
    return said(TradeKind.BUY, quantity, price, **more)


def sell(quantity: str, price: str, **more: Any) -> NewTrade:
    """A sale."""
    return said(TradeKind.SELL, quantity, price, **more)


def as_read(trade: NewTrade, place: int, choices: Sequence[LotChoice] = ()) -> LedgerTrade:
    """A trade as the ledger reads it; its id is its place."""
    return LedgerTrade(
        id=UUID(int=place),
        kind=trade.kind,
        occurred_at=trade.occurred_at,
        quantity=trade.quantity,
        price=trade.price,
        fee=trade.fee,
        exchange_rate=trade.exchange_rate or Decimal(1),
        may_lack_acquisitions=trade.may_lack_acquisitions,
        choices=tuple(choices),
    )


async def portfolio_of(
    connection: AsyncConnection,
    owner_id: UUID,
    *,
    method: CostBasisMethod = CostBasisMethod.FIFO,
    base_currency: str = "USD",
) -> UUID:
    """An empty portfolio of somebody."""
    portfolio_id = new_id()
    await connection.execute(
        insert(Portfolio).values(
            id=portfolio_id, owner_id=owner_id, name="Things", base_currency=base_currency, method=method.value
        )
    )
    return portfolio_id


async def possessions(
    database: Database,
    *,
    method: CostBasisMethod = CostBasisMethod.FIFO,
    base_currency: str = "USD",
    slug: str = "aurum",
) -> Possessions:
    """Somebody with an empty portfolio, and a coin in the catalogue."""
    item_ids = await saved(database, coin(slug))
    async with database.transaction() as transaction:
        connection = transaction.connection
        owner_id = await add_person(connection)
        portfolio_id = await portfolio_of(connection, owner_id, method=method, base_currency=base_currency)
        variant_id = await connection.scalar(select(ItemVariant.id).where(ItemVariant.item_id == item_ids[slug]))
    assert variant_id is not None
    return Possessions(owner_id, portfolio_id, variant_id)


async def recorded(database: Database, own: Possessions, *trades: NewTrade) -> list[UUID]:
    """Trades of the only holding of the variant, each recorded on its own."""
    ids = []
    for trade in trades:
        async with database.transaction() as transaction:
            named = trade if trade.holding_id else with_variant(trade, own.variant_id)
            portfolio_id = None if trade.holding_id else own.portfolio_id
            ids.append(await record_trade(transaction, named, owner_id=own.owner_id, portfolio_id=portfolio_id))
    return ids


def with_variant(trade: NewTrade, variant_id: UUID) -> NewTrade:
    """The same trade, of this variant."""
    values = {name: getattr(trade, name) for name in NewTrade.__dataclass_fields__}
    return NewTrade(**(values | {"variant_id": variant_id}))


async def stored(database: Database) -> Mapping[str, Any]:
    """All that follows from trades as it is stored, in a fixed order."""
    async with database.transaction() as transaction:
        connection = transaction.connection
        totals = await connection.execute(
            select(
                Holding.id, Holding.quantity, Holding.cost, Holding.realized_gain, Holding.missing_quantity
            ).order_by(Holding.id)
        )
        lots = await connection.execute(select(*Lot.__table__.columns).order_by(Lot.id))
        disposals = await connection.execute(
            select(*LotDisposal.__table__.columns).order_by(LotDisposal.trade_id, LotDisposal.number)
        )
        return {"totals": totals.all(), "lots": lots.all(), "disposals": disposals.all()}


async def refusal_of(change: Awaitable[object]) -> tuple[PortfolioErrorCode, list[str], str]:
    """Why something was refused, of what field, and the sentence."""
    with pytest.raises(PortfolioRefused) as refused:
        await change
    return refused.value.reason, refused.value.field, refused.value.message


async def trades_of(database: Database) -> list[Any]:
    """All trades."""
    async with database.transaction() as transaction:
        return list(await transaction.connection.execute(select(*Trade.__table__.columns).order_by(Trade.id)))


async def change(database: Database, command: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """What a command gives, in a transaction of its own."""
    async with database.transaction() as transaction:
        return await command(transaction, *args, **kwargs)
