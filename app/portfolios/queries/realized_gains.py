"""What the disposals of a portfolio brought, by any method, computed from its trades; nothing is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from itertools import islice
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.errors import BadUserInput
from app.portfolios.ledger import EXACT, LEAVING, ZERO, Disposal, Ledger, LedgerTrade, fee_of, plain
from app.portfolios.models import CostBasisMethod, Holding, Trade
from app.portfolios.queries.ledgers import apply_trades, ledger_trades

HOLDINGS_AT_ONCE = 200
# So many are computed in a few seconds.
MOST_TRADES = 200_000


@dataclass(frozen=True, slots=True)
class RealizedDisposal:
    """A part of a trade by which something was sold, or that was never acquired."""

    holding_id: UUID
    disposal: Disposal


@dataclass(frozen=True, slots=True)
class RealizedGains:
    """What disposals brought and had cost, in the base currency, and each of them in the order of time.

    `proceeds` and `cost` are of what had been acquired; `gain` is their difference less `fees`, which are those of
    trades that sold nothing. `missing` are the disposals of what was never acquired: nothing of them is in the sums.
    """

    proceeds: Decimal
    cost: Decimal
    fees: Decimal
    gain: Decimal
    disposals: Sequence[RealizedDisposal]
    missing: Sequence[RealizedDisposal]


async def realized_gains(
    connection: AsyncConnection,
    portfolio_id: UUID,
    method: CostBasisMethod,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> RealizedGains:
    """What was realised from `since` and before `until`; the lots that it is taken from are of all trades before.

    Raises `BadUserInput` for more than `MOST_TRADES` trades, and `TradeImpossible` where a trade names lots that this
    method does not find.
    """
    await _refuse_too_many(connection, portfolio_id, until)
    holding_ids = iter((await connection.scalars(select(Holding.id).where(Holding.portfolio_id == portfolio_id))).all())
    fees = ZERO
    parts: list[RealizedDisposal] = []
    while chunk := list(islice(holding_ids, HOLDINGS_AT_ONCE)):
        trades = await ledger_trades(connection, chunk, until=until)
        disposals = await apply_trades({holding_id: Ledger(method) for holding_id in trades}, trades)
        fees = EXACT.add(fees, _fees_since(since, [trade for each in trades.values() for trade in each]))
        parts += [
            RealizedDisposal(holding_id, part)
            for holding_id, found in disposals.items()
            for part in found
            if (since is None or part.disposed_at >= since) and (part.lot_id is None or part.proceeds is not None)
        ]
    parts.sort(key=position_of)
    return _sum(parts, fees)


def position_of(part: RealizedDisposal) -> tuple[datetime, UUID, int]:
    """The place of a part among all: by time, then by trade and number."""
    return part.disposal.disposed_at, part.disposal.trade_id, part.disposal.number


def _sum(parts: Sequence[RealizedDisposal], fees: Decimal) -> RealizedGains:
    known = [part.disposal for part in parts if part.disposal.lot_id is not None]
    with localcontext(EXACT):
        proceeds = sum((part.proceeds for part in known if part.proceeds is not None), ZERO)
        cost = sum((part.cost for part in known if part.cost is not None), ZERO)
        return RealizedGains(
            proceeds=plain(proceeds),
            cost=plain(cost),
            fees=plain(fees),
            gain=plain(proceeds - cost - fees),
            disposals=parts,
            missing=[part for part in parts if part.disposal.lot_id is None],
        )


def _fees_since(since: datetime | None, trades: Sequence[LedgerTrade]) -> Decimal:
    with localcontext(EXACT):
        return sum(
            (
                fee_of(trade)
                for trade in trades
                if (trade.kind in LEAVING or not trade.quantity) and (since is None or trade.occurred_at >= since)
            ),
            ZERO,
        )


async def _refuse_too_many(connection: AsyncConnection, portfolio_id: UUID, until: datetime | None) -> None:
    query = select(Trade.id).where(Trade.portfolio_id == portfolio_id)
    if until is not None:
        query = query.where(Trade.occurred_at < until)
    count = await connection.scalar(select(func.count()).select_from(query.limit(MOST_TRADES + 1).subquery()))
    if count is not None and count > MOST_TRADES:
        raise BadUserInput(
            f"There are more than {MOST_TRADES:,} trades in this portfolio before `to`; ask for an earlier time.",
            argument="to",
        )
