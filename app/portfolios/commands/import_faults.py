"""Every row of an import that cannot be recorded, so that one preview tells them all.

Nothing is recorded here: how much is held of each holding is followed from trade to trade.
"""

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.money import is_amount
from app.portfolios.commands.frozen_rates import rate_to_freeze, rates_to_freeze
from app.portfolios.commands.holdings_of_variants import holdings_of_variants
from app.portfolios.commands.holds import HeldPortfolio
from app.portfolios.commands.import_rows import PlannedRow, trade_of
from app.portfolios.commands.record_trade import only_holding
from app.portfolios.commands.trade_rows import paid_in
from app.portfolios.errors import PortfolioRefused
from app.portfolios.ledger import ACQUIRING, Ledger, LedgerTrade, TradeImpossible
from app.portfolios.models import CostBasisMethod, ImportChange
from app.portfolios.queries.ledgers import ledger_trades

_Deal = tuple[int | None, LedgerTrade]


async def mark_faults(
    connection: AsyncConnection, portfolio: HeldPortfolio, rows: Sequence[PlannedRow], *, source: str
) -> list[PlannedRow]:
    """The rows, as bad those without a rate or a holding of their own, and those that take more than is held.

    What bad rows acquire counts as held, where they say so much: their owner will mend them. What they take does not.
    """
    priced = await _with_rates(connection, portfolio, rows, source)
    return await _held_enough(connection, portfolio, priced)


async def _with_rates(
    connection: AsyncConnection, portfolio: HeldPortfolio, rows: Sequence[PlannedRow], source: str
) -> list[PlannedRow]:
    paid = {place: paid_in(trade_of(row, source)) for place, row in enumerate(rows) if row.change is ImportChange.TRADE}
    rates = await rates_to_freeze(connection, paid.values(), portfolio.base_currency)
    marked = list(rows)
    for place, each in paid.items():
        try:
            rate_to_freeze(each, portfolio.base_currency, rates)
        except PortfolioRefused as refusal:
            marked[place] = _bad(rows[place], refusal)
    return marked


async def _held_enough(
    connection: AsyncConnection, portfolio: HeldPortfolio, rows: Sequence[PlannedRow]
) -> list[PlannedRow]:
    marked = list(rows)
    followed = {place: row for place, row in enumerate(rows) if _is_followed(row)}
    variants = {row.variant_id for row in followed.values() if row.variant_id is not None}
    stored = await holdings_of_variants(connection, portfolio.id, variants)
    deals: dict[Hashable, list[_Deal]] = {}
    for place, row in followed.items():
        try:
            holding = _holding_of(row, stored)
        except PortfolioRefused as refusal:
            marked[place] = _bad(row, refusal)
        else:
            deals.setdefault(holding, []).append((place, _read(row)))
    known = await ledger_trades(connection, [holding for holding in deals if isinstance(holding, UUID)])
    for holding, trades in known.items():
        deals[holding].extend((None, trade) for trade in trades)
    for place, impossible in await asyncio.to_thread(_impossible, list(deals.values())):
        marked[place] = _bad(marked[place], impossible)
    return marked


def _is_followed(row: PlannedRow) -> bool:
    if row.kind is None or row.variant_id is None or row.occurred_at is None or row.quantity is None:
        return False
    is_bad_acquisition = row.change is ImportChange.BAD and row.kind in ACQUIRING and is_amount(row.quantity)
    return row.change is ImportChange.TRADE or is_bad_acquisition


def _holding_of(row: PlannedRow, stored: dict[UUID, list[UUID]]) -> Hashable:
    """What is one for all rows of one holding: its id, else what it will be made by."""
    if row.holding_id is not None or row.variant_id is None:
        return row.holding_id
    if row.holding_name is not None:
        return "name", row.holding_name
    return only_holding(row.variant_id, stored, {row.variant_id}, name="holding") or ("variant", row.variant_id)


def _read(row: PlannedRow) -> LedgerTrade:
    """A row as the ledger reads it, as far as it is about quantities."""
    if row.kind is None or row.occurred_at is None or row.quantity is None:
        raise ValueError("a row without these brings no trade")
    return LedgerTrade(
        id=_NO_TRADE,
        kind=row.kind,
        occurred_at=row.occurred_at,
        quantity=row.quantity,
        price=Decimal(0),
        fee=Decimal(0),
        exchange_rate=Decimal(1),
        may_lack_acquisitions=row.may_lack_acquisitions,
    )


_NO_TRADE = UUID(int=0)


def _impossible(holdings: Sequence[Sequence[_Deal]]) -> list[tuple[int, TradeImpossible]]:
    """The rows that take more than is held then; what they ask for is not taken."""
    found: list[tuple[int, TradeImpossible]] = []
    for deals in holdings:
        # How much is held depends on no method, and so no lots are looked for that a trade names.
        ledger = Ledger(CostBasisMethod.FIFO)
        # At the same time those come first that were recorded before, then those of the file in its order.
        for place, trade in sorted(deals, key=lambda deal: (deal[1].occurred_at, deal[0] is not None, deal[0] or 0)):
            try:
                ledger.apply(trade)
            except TradeImpossible as impossible:
                if place is not None:
                    found.append((place, impossible))
    return found


def _bad(row: PlannedRow, refusal: PortfolioRefused) -> PlannedRow:
    """The row as bad; the reason that it is bad for already stays."""
    return row if row.change is ImportChange.BAD else replace(row, change=ImportChange.BAD, reason=refusal.message)
