"""People correct what they recorded: what comes after it follows anew, and what it was before is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.given import name_in_graph
from app.core.clock import utc_now
from app.core.database import Transaction
from app.core.ids import PublicIdTag, public_id
from app.portfolios.commands.frozen_rates import FrozenRate, frozen_rate
from app.portfolios.commands.holds import HeldPortfolio, hold_holdings, hold_portfolio, refuse_another_version
from app.portfolios.commands.recompute import recompute_holdings
from app.portfolios.commands.trade_rows import (
    at_its_field,
    paid_in,
    refuse_lots_unless_specific,
    refuse_unknown_lots,
    replace_choices,
    trade_values,
)
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import LotChoice, TradeImpossible, plain
from app.portfolios.models import Trade, TradeKind, TradeLotChoice, TradeRevision, TradeRevisionAction
from app.portfolios.new_trades import NewTrade, refuse_impossible, refused
from app.portfolios.texts import no_such

# What its owner may change; whose it is and where it came from stays.
EDITABLE = frozenset(each.name for each in fields(NewTrade)) - {
    *("holding_id", "variant_id", "external_source", "external_id"),
}
# None takes these away; of the rest it says nothing.
REMOVABLE = frozenset({"exchange_rate", "exchange", "notes"})
_NOT_IN_REVISIONS = frozenset({"id", "owner_id", "portfolio_id", "holding_id"})
# What nothing follows from.
_REMARKS = frozenset({"exchange", "tags", "notes", "rate_date"})


async def edit_trade(
    transaction: Transaction,
    trade_id: UUID,
    changes: Mapping[str, Any],
    *,
    owner_id: UUID,
    expected_version: int | None = None,
) -> None:
    """Change what is given of a trade, by the names of `NewTrade`; what changes nothing leaves no revision.

    Its rate stays unless its currency changes or `exchange_rate` is given; None there freezes that of its day anew.
    Raises `PortfolioRefused`, for a later trade too that then has nothing left; the transaction must be rolled back.
    """
    connection = transaction.connection
    portfolio, row = await _hold_trade(connection, trade_id, owner_id=owner_id, expected_version=expected_version)
    lots = await _choices_of(connection, trade_id)
    edited = _edited(row, lots, changes)
    refuse_impossible(edited, now=utc_now())
    if "lots" in changes:
        refuse_lots_unless_specific(edited, portfolio.method)
        await refuse_unknown_lots(connection, edited.lots, row.holding_id)
    values = trade_values(edited, await _rate_of(connection, row, edited, changes, portfolio))
    different = {name for name, value in values.items() if value != getattr(row, name)}
    has_other_lots = set(edited.lots) != set(lots)
    if not different and not has_other_lots:
        return
    await _write_revision(connection, row, lots, TradeRevisionAction.EDITED)
    written = {name: values[name] for name in different} | {"version": Trade.version + 1, "updated_at": func.now()}
    await connection.execute(update(Trade).where(Trade.id == trade_id).values(written))
    if has_other_lots:
        await replace_choices(connection, trade_id, edited.lots, owner_id=owner_id)
    if has_other_lots or different - _REMARKS:
        await _recompute(connection, row.holding_id, trade_id, edited.lots)


async def delete_trade(
    transaction: Transaction, trade_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> UUID:
    """Take a trade out of the ledger; gives its holding. What it was is kept.

    Raises `PortfolioRefused`, for a later trade too that then has nothing left; the transaction must be rolled back.
    """
    connection = transaction.connection
    _, row = await _hold_trade(connection, trade_id, owner_id=owner_id, expected_version=expected_version)
    await _refuse_named(connection, trade_id)
    lots = await _choices_of(connection, trade_id)
    await _write_revision(connection, row, lots, TradeRevisionAction.DELETED)
    await connection.execute(delete(Trade).where(Trade.id == trade_id))
    await _recompute(connection, row.holding_id, trade_id, ())
    holding_id: UUID = row.holding_id
    return holding_id


async def _hold_trade(
    connection: AsyncConnection, trade_id: UUID, *, owner_id: UUID, expected_version: int | None
) -> tuple[HeldPortfolio, Row[Any]]:
    """A trade, with its portfolio and its holding held until the transaction ends."""
    mine = select(*Trade.__table__.columns).where(Trade.id == trade_id, Trade.owner_id == owner_id)
    found = (await connection.execute(mine)).one_or_none()
    if found is None:
        raise no_such("trade", "id")
    portfolio = await hold_portfolio(connection, found.portfolio_id, owner_id=owner_id, field=["id"])
    await hold_holdings(connection, [found.holding_id])
    # What was waited for may have changed it.
    row = (await connection.execute(mine)).one_or_none()
    if row is None:
        raise no_such("trade", "id")
    refuse_another_version(row.version, expected_version)
    return portfolio, row


async def _choices_of(connection: AsyncConnection, trade_id: UUID) -> list[LotChoice]:
    rows = await connection.execute(
        select(TradeLotChoice.lot_id, TradeLotChoice.quantity)
        .where(TradeLotChoice.trade_id == trade_id)
        .order_by(TradeLotChoice.lot_id)
    )
    return [LotChoice(row.lot_id, row.quantity) for row in rows]


def _edited(row: Row[Any], lots: Sequence[LotChoice], changes: Mapping[str, Any]) -> NewTrade:
    stored = {name: getattr(row, name) for name in EDITABLE - {"lots", "exchange_rate", "kind"}}
    before = NewTrade(kind=TradeKind(row.kind), lots=lots, **stored)
    for name, value in changes.items():
        if name not in EDITABLE:
            raise ValueError(f"{name} of a trade cannot be changed")
        if value is None and name not in REMOVABLE:
            raise refused("This cannot be null; leave it out, and it stays as it is.", name_in_graph(name))
    return replace(before, **changes)


async def _rate_of(
    connection: AsyncConnection,
    row: Row[Any],
    edited: NewTrade,
    changes: Mapping[str, Any],
    portfolio: HeldPortfolio,
) -> FrozenRate:
    if edited.currency == row.currency and "exchange_rate" not in changes:
        return FrozenRate(row.exchange_rate, row.rate_date)
    return await frozen_rate(connection, paid_in(edited), portfolio.base_currency)


async def _refuse_named(connection: AsyncConnection, trade_id: UUID) -> None:
    """Refuse to take away a lot that another trade names."""
    occurred_at: datetime | None = await connection.scalar(
        select(Trade.occurred_at)
        .join(TradeLotChoice, TradeLotChoice.trade_id == Trade.id)
        .where(TradeLotChoice.lot_id == trade_id)
        .order_by(Trade.occurred_at, Trade.id)
        .limit(1)
    )
    if occurred_at is not None:
        raise PortfolioRefused(
            PortfolioErrorCode.UNKNOWN_LOT,
            f"The trade of {occurred_at:%Y-%m-%d} names the lot that this one opened; change that one first.",
            field=["id"],
        )


async def _write_revision(
    connection: AsyncConnection, row: Row[Any], lots: Sequence[LotChoice], action: TradeRevisionAction
) -> None:
    last = await connection.scalar(select(func.max(TradeRevision.number)).where(TradeRevision.trade_id == row.id))
    before = {
        name_in_graph(name): _in_json(value) for name, value in row._mapping.items() if name not in _NOT_IN_REVISIONS
    }
    before |= {
        "kind": row.kind.upper(),
        "holdingId": public_id(PublicIdTag.HOLDING, row.holding_id),
        "lots": [
            {"lotId": public_id(PublicIdTag.LOT, choice.lot_id), "quantity": _in_json(choice.quantity)}
            for choice in lots
        ],
    }
    await connection.execute(
        insert(TradeRevision).values(
            owner_id=row.owner_id,
            portfolio_id=row.portfolio_id,
            trade_id=row.id,
            number=(last or 0) + 1,
            action=action.value,
            before=before,
        )
    )


def _in_json(value: Any) -> Any:
    """A value as the graph shows it: numbers as strings of plain digits, so that they stay exact."""
    if isinstance(value, Decimal):
        return format(plain(value), "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


async def _recompute(connection: AsyncConnection, holding_id: UUID, trade_id: UUID, lots: Sequence[LotChoice]) -> None:
    try:
        await recompute_holdings(connection, [holding_id])
    except TradeImpossible as impossible:
        raise at_its_field(impossible, trade_id, lots) from None
