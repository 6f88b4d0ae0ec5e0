"""Rows of trades and of the lots that they name, as they are written."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among
from app.portfolios.commands.frozen_rates import FrozenRate, Paid
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import LedgerTrade, LotChoice, TradeImpossible
from app.portfolios.models import CostBasisMethod, Trade, TradeLotChoice
from app.portfolios.new_trades import NewTrade, refused

# What is stored of a trade as it is said; its rate and its holding are found out.
STORED_AS_SAID = (
    *("kind", "occurred_at", "quantity", "price", "fee", "currency", "exchange", "notes", "may_lack_acquisitions"),
    *("external_source", "external_id"),
)


def trade_values(trade: NewTrade, rate: FrozenRate) -> dict[str, Any]:
    """The columns of a trade that its owner decides."""
    values = {name: getattr(trade, name) for name in STORED_AS_SAID}
    return values | {
        "kind": trade.kind.value,
        "tags": list(dict.fromkeys(trade.tags)),
        "exchange_rate": rate.rate,
        "rate_date": rate.rate_date,
    }


def paid_in(trade: NewTrade) -> Paid:
    """What decides on the rate of a trade."""
    return Paid(trade.currency, trade.occurred_at, trade.exchange_rate)


def ledger_trade(trade: NewTrade, trade_id: UUID, rate: FrozenRate) -> LedgerTrade:
    """A new trade as the ledger reads it once it is stored."""
    return LedgerTrade(
        id=trade_id,
        kind=trade.kind,
        occurred_at=trade.occurred_at,
        quantity=trade.quantity,
        price=trade.price,
        fee=trade.fee,
        exchange_rate=rate.rate,
        may_lack_acquisitions=trade.may_lack_acquisitions,
        choices=tuple(sorted(trade.lots, key=lambda choice: choice.lot_id.bytes)),
    )


async def replace_choices(
    connection: AsyncConnection, trade_id: UUID, lots: Sequence[LotChoice], *, owner_id: UUID
) -> None:
    """Store which lots a trade names, and no others."""
    await connection.execute(delete(TradeLotChoice).where(TradeLotChoice.trade_id == trade_id))
    await insert_choices(connection, {trade_id: lots}, owner_id=owner_id)


async def insert_choices(
    connection: AsyncConnection, lots: Mapping[UUID, Sequence[LotChoice]], *, owner_id: UUID
) -> None:
    """Store which lots new trades name."""
    rows = [
        {"trade_id": trade_id, "lot_id": choice.lot_id, "owner_id": owner_id, "quantity": choice.quantity}
        for trade_id, choices in lots.items()
        for choice in choices
    ]
    if rows:
        await connection.execute(insert(TradeLotChoice), rows)


def refuse_lots_unless_specific(trade: NewTrade, method: CostBasisMethod) -> None:
    """Refuse lots that are named where none are looked at."""
    if trade.lots and method is not CostBasisMethod.SPECIFIC:
        raise refused(
            f"This portfolio takes from lots by {method.value.upper()}; change its method to SPECIFIC to name them.",
            "lots",
        )


async def refuse_unknown_lots(connection: AsyncConnection, lots: Sequence[LotChoice], holding_id: UUID) -> None:
    """Refuse lots that are not of the holding."""
    if not lots:
        return
    asked = [choice.lot_id for choice in lots]
    rows = await connection.execute(select(Trade.id).where(among(Trade.id, asked), Trade.holding_id == holding_id))
    known = set(rows.scalars())
    for place, lot_id in enumerate(asked):
        if lot_id not in known:
            raise PortfolioRefused(
                PortfolioErrorCode.UNKNOWN_LOT, "The holding has no such lot.", field=["lots", str(place), "lotId"]
            )


def at_its_field(impossible: TradeImpossible, trade_id: UUID, lots: Sequence[LotChoice] = ()) -> PortfolioRefused:
    """The refusal, with the field that is at fault where it is of this trade itself and not of a later one."""
    if impossible.trade_id == trade_id:
        places = {choice.lot_id: place for place, choice in enumerate(lots)}
        place = None if impossible.lot_id is None else places.get(impossible.lot_id)
        impossible.field = ["quantity"] if place is None else ["lots", str(place)]
    return impossible
