"""The trades of holdings that go, with all that follows from them."""

from uuid import UUID

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.portfolios.models import Holding, Lot, LotDisposal, Trade, TradeLotChoice


async def remove_trades(connection: AsyncConnection, holdings: Select[UUID]) -> None:
    """Delete the holdings that a select gives, and all their trades.

    Step by step: left to the references alone, a lot that a later sale names could not go before that sale.
    """
    trades = select(Trade.id).where(Trade.holding_id.in_(holdings))
    await connection.execute(delete(TradeLotChoice).where(TradeLotChoice.trade_id.in_(trades)))
    for table in (LotDisposal, Lot, Trade):
        await connection.execute(delete(table).where(table.__table__.c.holding_id.in_(holdings)))
    await connection.execute(delete(Holding).where(Holding.id.in_(holdings)))
