"""A preorder arrives: it becomes a purchase in a portfolio."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, clock_of
from app.portfolios.commands.holds import HeldPortfolio, hold_portfolio
from app.portfolios.commands.preorders import Values, change_preorder, held_preorder, log_step
from app.portfolios.commands.record_trade import record_trade
from app.portfolios.errors import PortfolioRefused
from app.portfolios.given_wishes import read_notes, read_past
from app.portfolios.models import Holding, Portfolio, Store, TradeKind
from app.portfolios.new_trades import NewTrade
from app.portfolios.preorder_lifecycle import refuse_illegal_step
from app.portfolios.texts import no_such, refused
from app.portfolios.wish_models import Preorder, PreorderStatus


async def receive_preorder(
    transaction: Transaction,
    preorder_id: UUID,
    *,
    owner_id: UUID,
    portfolio_id: UUID | None = None,
    holding_id: UUID | None = None,
    received_at: datetime | None = None,
    note: str | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Record the purchase of one copy, at its price and with its shipping as the fee; gives the trade's key.

    It goes into the named holding, or into the only one of its variant in the portfolio: the named one, the one that it
    was meant for, or the default one; without such a holding one is made. The frozen rate goes along where it is to the
    portfolio's base currency. Raises PortfolioRefused where it is neither released nor shipped, or has no price; for
    what is not there; and as `record_trade` does. The transaction must then be rolled back.
    """
    connection = transaction.connection
    note = read_notes(note, "note")
    now = await clock_of(transaction)
    received_at = read_past(received_at, "receivedAt", now=now) or now
    portfolio = await _portfolio_for(connection, preorder_id, owner_id, portfolio_id, holding_id)
    stored = await held_preorder(connection, preorder_id, owner_id=owner_id, expected_version=expected_version)
    refuse_illegal_step(PreorderStatus(stored["status"]), PreorderStatus.RECEIVED, field="id")
    if stored["price"] is None:
        raise refused("Its price is not known; give it with `editPreorder`, 0 for what was free.", "id")
    if holding_id is not None:
        await _refuse_another_variant(connection, holding_id, stored["variant_id"])
    purchase = NewTrade(
        kind=TradeKind.BUY,
        occurred_at=received_at,
        quantity=Decimal(1),
        price=stored["price"],
        fee=stored["shipping"],
        currency=stored["currency"],
        holding_id=holding_id,
        variant_id=None if holding_id else stored["variant_id"],
        exchange_rate=_frozen_rate(stored, portfolio.base_currency),
        exchange=await _store_name(connection, stored["store_id"]),
    )
    try:
        trade_id = await record_trade(
            transaction, purchase, owner_id=owner_id, portfolio_id=None if holding_id else portfolio.id
        )
    except PortfolioRefused as refusal:
        # What it names of a trade is not what was sent.
        refusal.field = [name for name in refusal.field if name in ("holdingId", "portfolioId")] or ["id"]
        raise
    await log_step(connection, stored, PreorderStatus.RECEIVED, note)
    await change_preorder(
        connection,
        preorder_id,
        {"status": PreorderStatus.RECEIVED.value, "received_at": received_at, "trade_id": trade_id},
    )
    return trade_id


async def _portfolio_for(
    connection: AsyncConnection,
    preorder_id: UUID,
    owner_id: UUID,
    portfolio_id: UUID | None,
    holding_id: UUID | None,
) -> HeldPortfolio:
    """The portfolio, held alone before the preorder is: trades are recorded in this order."""
    meant = select(Preorder.id, Preorder.portfolio_id).where(Preorder.id == preorder_id, Preorder.owner_id == owner_id)
    preorder = (await connection.execute(meant)).one_or_none()
    if preorder is None:
        raise no_such("preorder", "id")
    field = "portfolioId"
    if holding_id is not None:
        field = "holdingId"
        of_holding = await connection.scalar(
            select(Holding.portfolio_id).where(Holding.id == holding_id, Holding.owner_id == owner_id)
        )
        if of_holding is None or portfolio_id not in (None, of_holding):
            raise no_such("holding among your own, or not in this portfolio", field)
        portfolio_id = of_holding
    chosen: UUID | None = portfolio_id or preorder.portfolio_id
    if chosen is None:
        chosen = await connection.scalar(
            select(Portfolio.id).where(Portfolio.owner_id == owner_id, Portfolio.is_default)
        )
    if chosen is None:
        raise refused("Name the portfolio that it goes into.", "portfolioId")
    return await hold_portfolio(connection, chosen, owner_id=owner_id, field=[field], alone=True)


async def _refuse_another_variant(connection: AsyncConnection, holding_id: UUID, variant_id: UUID) -> None:
    if await connection.scalar(select(Holding.variant_id).where(Holding.id == holding_id)) != variant_id:
        raise refused("The holding is of something else.", "holdingId")


def _frozen_rate(stored: Values, base_currency: str) -> Decimal | None:
    """The rate that the preorder froze, where it leads to this currency; None where the ledger is to find one."""
    if stored["rate_currency"] != base_currency or stored["currency"] == base_currency:
        return None
    rate: Decimal = stored["exchange_rate"]
    return rate


async def _store_name(connection: AsyncConnection, store_id: UUID | None) -> str | None:
    if store_id is None:
        return None
    name: str | None = await connection.scalar(select(Store.name).where(Store.id == store_id))
    return name
