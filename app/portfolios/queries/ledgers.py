"""The trades of holdings as the ledger reads them, in its order."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import asyncpg_connection
from app.portfolios.ledger import LedgerTrade, LotChoice
from app.portfolios.models import TradeKind

# By the driver itself: a ledger may have 100,000 of them.
_TRADES = """
    SELECT holding_id, id, kind, occurred_at, quantity, price, fee, exchange_rate, may_lack_acquisitions
    FROM portfolios.trades WHERE holding_id = ANY($1) ORDER BY holding_id, occurred_at, id
"""
_CHOICES = """
    SELECT choice.trade_id, choice.lot_id, choice.quantity
    FROM portfolios.trades JOIN portfolios.trade_lot_choices AS choice ON choice.trade_id = trades.id
    WHERE trades.holding_id = ANY($1) ORDER BY choice.trade_id, choice.lot_id
"""


async def ledger_trades(
    connection: AsyncConnection, holding_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[LedgerTrade]]:
    """The trades of each holding in the order of `(occurred_at, id)`; none for one without.

    The caller's transaction must have begun: by a statement of its own, or as a snapshot's.
    """
    driver = await asyncpg_connection(connection)
    choices: dict[UUID, list[LotChoice]] = {}
    for row in await driver.fetch(_CHOICES, list(holding_ids)):
        choices.setdefault(row["trade_id"], []).append(LotChoice(row["lot_id"], row["quantity"]))
    trades: dict[UUID, list[LedgerTrade]] = {}
    for row in await driver.fetch(_TRADES, list(holding_ids)):
        trades.setdefault(row["holding_id"], []).append(_read(row, choices))
    return trades


def _read(row: Any, choices: Mapping[UUID, Sequence[LotChoice]]) -> LedgerTrade:
    _, trade_id, kind, occurred_at, quantity, price, fee, exchange_rate, may_lack_acquisitions = row
    return LedgerTrade(
        trade_id,
        _KINDS[kind],
        occurred_at,
        quantity,
        price,
        fee,
        exchange_rate,
        may_lack_acquisitions,
        tuple(choices.get(trade_id, ())),
    )


_KINDS = {kind.value: kind for kind in TradeKind}
