"""Lots, disposals and totals are written as they follow from trades."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among, asyncpg_connection
from app.portfolios.commands.held import HeldHolding, hold_holdings
from app.portfolios.ledger import ACQUIRING, Disposal, Ledger, LedgerLot, LedgerTrade, Totals
from app.portfolios.models import CostBasisMethod, Holding, Lot, Portfolio
from app.portfolios.queries.ledgers import ledger_trades

# Of holdings whose trades are in memory at once, and of rows in one statement.
HOLDINGS_AT_ONCE = 200
ROWS_AT_ONCE = 20_000


async def recompute_portfolio(connection: AsyncConnection, portfolio_id: UUID) -> None:
    """Compute all that follows from the trades of a portfolio anew; the caller holds the portfolio.

    Raises `TradeImpossible` where a trade takes what is not there.
    """
    rows = await connection.execute(select(Holding.id).where(Holding.portfolio_id == portfolio_id).order_by(Holding.id))
    await recompute_holdings(connection, list(rows.scalars()))


async def recompute_holdings(connection: AsyncConnection, holding_ids: Sequence[UUID]) -> None:
    """Compute lots, disposals and totals of holdings anew from their trades; the caller holds their portfolios.

    Raises `TradeImpossible` where a trade takes what is not there; the transaction must then be rolled back.
    """
    remaining = iter(sorted(set(holding_ids)))
    while chunk := list(islice(remaining, HOLDINGS_AT_ONCE)):
        held = [holding.id for holding in await hold_holdings(connection, chunk)]
        await _recompute(connection, held)


async def append_trade(
    connection: AsyncConnection, holding: HeldHolding, method: CostBasisMethod, trade: LedgerTrade
) -> None:
    """Apply a trade that is later than all others of its holding, to the lots that still hold something."""
    lots = [] if trade.kind in ACQUIRING else await _open_lots(connection, holding.id, trade)
    before = {lot.id: lot.remaining_quantity for lot in lots}
    ledger = Ledger(method, totals=holding.totals, lots=lots)
    disposals = ledger.apply(trade)
    new = {holding.id: [lot for lot in ledger.lots.values() if lot.id not in before]}
    await _insert_lots(connection, new)
    changed = [lot for lot in lots if lot.remaining_quantity != before[lot.id]]
    if changed:
        await (await asyncpg_connection(connection)).execute(
            _CHANGE_LOTS,
            [lot.id for lot in changed],
            [lot.remaining_quantity for lot in changed],
            [lot.remaining_cost for lot in changed],
        )
    await _insert_disposals(connection, {holding.id: disposals})
    await _write_totals(connection, {holding.id: ledger.totals})


async def _recompute(connection: AsyncConnection, holding_ids: Sequence[UUID]) -> None:
    methods = await connection.execute(
        select(Holding.id, Portfolio.method)
        .join(Portfolio, Portfolio.id == Holding.portfolio_id)
        .where(among(Holding.id, holding_ids))
    )
    ledgers = {row.id: Ledger(CostBasisMethod(row.method)) for row in methods}
    trades = await ledger_trades(connection, holding_ids)
    disposals = {
        holding_id: [part for trade in trades.get(holding_id, ()) for part in ledger.apply(trade)]
        for holding_id, ledger in ledgers.items()
    }
    driver = await asyncpg_connection(connection)
    for table in ("lots", "lot_disposals"):
        await driver.execute(f"DELETE FROM portfolios.{table} WHERE holding_id = ANY($1)", holding_ids)  # noqa: S608
    await _insert_lots(connection, {holding_id: ledger.lots.values() for holding_id, ledger in ledgers.items()})
    await _insert_disposals(connection, disposals)
    await _write_totals(connection, {holding_id: ledger.totals for holding_id, ledger in ledgers.items()})


async def _open_lots(connection: AsyncConnection, holding_id: UUID, trade: LedgerTrade) -> Sequence[LedgerLot]:
    """Lots that something is left of, and those that the trade names, in the order of being acquired."""
    named = among(Lot.id, [choice.lot_id for choice in trade.choices])
    rows = await connection.execute(
        select(Lot.id, Lot.acquired_at, Lot.quantity, Lot.cost, Lot.remaining_quantity, Lot.remaining_cost)
        .where(Lot.holding_id == holding_id, (Lot.remaining_quantity > 0) | named)
        .order_by(Lot.acquired_at, Lot.id)
    )
    return [LedgerLot(*row) for row in rows]


async def _insert_lots(connection: AsyncConnection, lots: Mapping[UUID, Iterable[LedgerLot]]) -> None:
    driver = await asyncpg_connection(connection)
    rows = (
        (lot.id, holding_id, lot.acquired_at, lot.quantity, lot.cost, lot.remaining_quantity, lot.remaining_cost)
        for holding_id, opened in lots.items()
        for lot in opened
    )
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        await driver.execute(_INSERT_LOTS, *zip(*chunk, strict=True))


async def _insert_disposals(connection: AsyncConnection, disposals: Mapping[UUID, Sequence[Disposal]]) -> None:
    driver = await asyncpg_connection(connection)
    rows = (
        (
            *(part.trade_id, part.number, holding_id, part.lot_id, part.acquired_at, part.disposed_at),
            *(part.quantity, part.cost, part.proceeds, part.gain),
        )
        for holding_id, parts in disposals.items()
        for part in parts
    )
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        await driver.execute(_INSERT_DISPOSALS, *zip(*chunk, strict=True))


async def _write_totals(connection: AsyncConnection, totals: Mapping[UUID, Totals]) -> None:
    if len(totals) == 1:
        ((holding_id, only),) = totals.items()
        await connection.execute(
            update(Holding)
            .where(Holding.id == holding_id)
            .values(
                quantity=only.quantity,
                cost=only.cost,
                realized_gain=only.realized_gain,
                missing_quantity=only.missing_quantity,
            )
        )
        return
    if totals:
        driver = await asyncpg_connection(connection)
        await driver.execute(
            _WRITE_TOTALS,
            list(totals),
            [each.quantity for each in totals.values()],
            [each.cost for each in totals.values()],
            [each.realized_gain for each in totals.values()],
            [each.missing_quantity for each in totals.values()],
        )


_INSERT_LOTS = """
    INSERT INTO portfolios.lots
        (id, owner_id, portfolio_id, holding_id, acquired_at, quantity, cost, remaining_quantity, remaining_cost)
    SELECT lot.id, holdings.owner_id, holdings.portfolio_id, holdings.id, lot.acquired_at, lot.quantity, lot.cost,
        lot.remaining_quantity, lot.remaining_cost
    FROM unnest(
        CAST($1 AS uuid[]), CAST($2 AS uuid[]), CAST($3 AS timestamptz[]), CAST($4 AS numeric[]), CAST($5 AS numeric[]),
        CAST($6 AS numeric[]), CAST($7 AS numeric[])
    ) AS lot (id, holding_id, acquired_at, quantity, cost, remaining_quantity, remaining_cost)
    JOIN portfolios.holdings ON holdings.id = lot.holding_id
"""
_CHANGE_LOTS = """
    UPDATE portfolios.lots SET remaining_quantity = changed.remaining_quantity, remaining_cost = changed.remaining_cost
    FROM unnest(CAST($1 AS uuid[]), CAST($2 AS numeric[]), CAST($3 AS numeric[]))
        AS changed (id, remaining_quantity, remaining_cost)
    WHERE lots.id = changed.id
"""
_INSERT_DISPOSALS = """
    INSERT INTO portfolios.lot_disposals (
        trade_id, number, owner_id, portfolio_id, holding_id, lot_id, acquired_at, disposed_at, quantity, cost,
        proceeds, gain
    )
    SELECT part.trade_id, part.number, holdings.owner_id, holdings.portfolio_id, holdings.id, part.lot_id,
        part.acquired_at, part.disposed_at, part.quantity, part.cost, part.proceeds, part.gain
    FROM unnest(
        CAST($1 AS uuid[]), CAST($2 AS integer[]), CAST($3 AS uuid[]), CAST($4 AS uuid[]), CAST($5 AS timestamptz[]),
        CAST($6 AS timestamptz[]), CAST($7 AS numeric[]), CAST($8 AS numeric[]), CAST($9 AS numeric[]),
        CAST($10 AS numeric[])
    ) AS part (
        trade_id, number, holding_id, lot_id, acquired_at, disposed_at, quantity, cost, proceeds, gain
    )
    JOIN portfolios.holdings ON holdings.id = part.holding_id
"""
_WRITE_TOTALS = """
    UPDATE portfolios.holdings SET quantity = total.quantity, cost = total.cost, realized_gain = total.realized_gain,
        missing_quantity = total.missing_quantity
    FROM unnest(CAST($1 AS uuid[]), CAST($2 AS numeric[]), CAST($3 AS numeric[]), CAST($4 AS numeric[]),
        CAST($5 AS numeric[])) AS total (id, quantity, cost, realized_gain, missing_quantity)
    WHERE holdings.id = total.id
"""
