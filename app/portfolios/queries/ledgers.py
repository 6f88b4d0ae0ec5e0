"""The trades of holdings as the ledger reads them, in its order."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import asyncpg_connection
from app.portfolios.ledger import Disposal, Ledger, LedgerTrade, LotChoice
from app.portfolios.models import TradeKind

# Trades that are applied in a few milliseconds.
FEW = 500
_NEVER = datetime.max.replace(tzinfo=UTC)
# By the driver itself, and numbers as text, which is read several times faster: a ledger may have 100,000 of them.
_TRADES = """
    SELECT holding_id, id, kind, occurred_at, CAST(quantity AS text), CAST(price AS text), CAST(fee AS text),
        CAST(exchange_rate AS text), may_lack_acquisitions
    FROM portfolios.trades WHERE holding_id = ANY($1) AND occurred_at < $2 ORDER BY holding_id, occurred_at, id
"""
_CHOICES = """
    SELECT choice.trade_id, choice.lot_id, choice.quantity
    FROM portfolios.trades JOIN portfolios.trade_lot_choices AS choice ON choice.trade_id = trades.id
    WHERE trades.holding_id = ANY($1) AND trades.occurred_at < $2 ORDER BY choice.trade_id, choice.lot_id
"""


async def ledger_trades(
    connection: AsyncConnection, holding_ids: Sequence[UUID], *, until: datetime | None = None
) -> Mapping[UUID, Sequence[LedgerTrade]]:
    """The trades of each holding before `until`, in the order of `(occurred_at, id)`; none for one without.

    The caller's transaction must have begun: by a statement of its own, or as a snapshot's.
    """
    driver = await asyncpg_connection(connection)
    asked = list(holding_ids), until or _NEVER
    choices: dict[UUID, list[LotChoice]] = {}
    for row in await driver.fetch(_CHOICES, *asked):
        choices.setdefault(row["trade_id"], []).append(LotChoice(row["lot_id"], row["quantity"]))
    trades: dict[UUID, list[LedgerTrade]] = {}
    for row in await driver.fetch(_TRADES, *asked):
        trades.setdefault(row["holding_id"], []).append(_read(row, choices))
    return trades


def _read(row: Any, choices: Mapping[UUID, Sequence[LotChoice]]) -> LedgerTrade:
    _, trade_id, kind, occurred_at, quantity, price, fee, exchange_rate, may_lack_acquisitions = row
    return LedgerTrade(
        trade_id,
        _KINDS[kind],
        occurred_at,
        Decimal(quantity),
        Decimal(price),
        Decimal(fee),
        Decimal(exchange_rate),
        may_lack_acquisitions,
        tuple(choices.get(trade_id, ())),
    )


async def apply_trades(
    ledgers: Mapping[UUID, Ledger], trades: Mapping[UUID, Sequence[LedgerTrade]]
) -> Mapping[UUID, Sequence[Disposal]]:
    """Apply the trades of each holding to its ledger; gives what they disposed of. Raises as the ledger does.

    Many are applied in a thread: whoever else is served by this process must not wait for seconds.
    """
    if sum(len(each) for each in trades.values()) > FEW:
        return await asyncio.to_thread(_apply, ledgers, trades)
    return _apply(ledgers, trades)


def _apply(
    ledgers: Mapping[UUID, Ledger], trades: Mapping[UUID, Sequence[LedgerTrade]]
) -> Mapping[UUID, Sequence[Disposal]]:
    return {
        holding_id: [part for trade in trades.get(holding_id, ()) for part in ledger.apply(trade)]
        for holding_id, ledger in ledgers.items()
    }


_KINDS = {kind.value: kind for kind in TradeKind}
