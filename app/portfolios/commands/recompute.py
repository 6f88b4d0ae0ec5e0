"""Lots, disposals and totals are written as they follow from trades."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among, asyncpg_connection
from app.portfolios.commands.holds import HeldHolding, hold_holdings
from app.portfolios.ledger import ACQUIRING, Disposal, Ledger, LedgerLot, LedgerTrade, Totals, plain
from app.portfolios.models import CostBasisMethod, Holding, Lot, Portfolio
from app.portfolios.queries.ledgers import apply_trades, ledger_trades

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
    await _change_lots(connection, (lot for lot in lots if lot.remaining_quantity != before[lot.id]))
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
    disposals = await apply_trades(ledgers, trades)
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
    await _run_on_rows(
        connection,
        _INSERT_LOTS,
        (
            (
                *(lot.id, holding_id, lot.acquired_at, _text(lot.quantity), _text(lot.cost)),
                *(_text(lot.remaining_quantity), _text(lot.remaining_cost)),
            )
            for holding_id, opened in lots.items()
            for lot in opened
        ),
    )


async def _change_lots(connection: AsyncConnection, lots: Iterable[LedgerLot]) -> None:
    rows = ((lot.id, _text(lot.remaining_quantity), _text(lot.remaining_cost)) for lot in lots)
    await _run_on_rows(connection, _CHANGE_LOTS, rows)


async def _insert_disposals(connection: AsyncConnection, disposals: Mapping[UUID, Sequence[Disposal]]) -> None:
    await _run_on_rows(
        connection,
        _INSERT_DISPOSALS,
        (
            (
                *(part.trade_id, part.number, holding_id, part.lot_id, part.acquired_at, part.disposed_at),
                *(_text(part.quantity), _text(part.cost), _text(part.proceeds), _text(part.gain)),
            )
            for holding_id, parts in disposals.items()
            for part in parts
        ),
    )


async def _write_totals(connection: AsyncConnection, totals: Mapping[UUID, Totals]) -> None:
    await _run_on_rows(
        connection,
        _WRITE_TOTALS,
        (
            (
                *(holding_id, _text(each.quantity), _text(each.cost)),
                *(_text(each.realized_gain), _text(each.missing_quantity)),
            )
            for holding_id, each in totals.items()
        ),
    )


async def _run_on_rows(connection: AsyncConnection, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
    """Run a statement that takes the columns of rows as arrays."""
    driver = await asyncpg_connection(connection)
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        await driver.execute(statement, *zip(*chunk, strict=True))


def _text(amount: Decimal | None) -> str | None:
    # The driver is several times faster with text than with numbers.
    return None if amount is None else str(plain(amount))


_INSERT_LOTS = """
    INSERT INTO portfolios.lots
        (id, owner_id, portfolio_id, holding_id, acquired_at, quantity, cost, remaining_quantity, remaining_cost)
    SELECT lot.id, holdings.owner_id, holdings.portfolio_id, holdings.id, lot.acquired_at, lot.quantity, lot.cost,
        lot.remaining_quantity, lot.remaining_cost
    FROM unnest(
        CAST($1 AS uuid[]), CAST($2 AS uuid[]), CAST($3 AS timestamptz[]), CAST(CAST($4 AS text[]) AS numeric[]),
        CAST(CAST($5 AS text[]) AS numeric[]), CAST(CAST($6 AS text[]) AS numeric[]),
        CAST(CAST($7 AS text[]) AS numeric[])
    ) AS lot (id, holding_id, acquired_at, quantity, cost, remaining_quantity, remaining_cost)
    JOIN portfolios.holdings ON holdings.id = lot.holding_id
"""
_CHANGE_LOTS = """
    UPDATE portfolios.lots SET remaining_quantity = changed.remaining_quantity, remaining_cost = changed.remaining_cost
    FROM unnest(
        CAST($1 AS uuid[]), CAST(CAST($2 AS text[]) AS numeric[]), CAST(CAST($3 AS text[]) AS numeric[])
    ) AS changed (id, remaining_quantity, remaining_cost)
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
        CAST($6 AS timestamptz[]), CAST(CAST($7 AS text[]) AS numeric[]), CAST(CAST($8 AS text[]) AS numeric[]),
        CAST(CAST($9 AS text[]) AS numeric[]), CAST(CAST($10 AS text[]) AS numeric[])
    ) AS part (
        trade_id, number, holding_id, lot_id, acquired_at, disposed_at, quantity, cost, proceeds, gain
    )
    JOIN portfolios.holdings ON holdings.id = part.holding_id
"""
_WRITE_TOTALS = """
    UPDATE portfolios.holdings SET quantity = total.quantity, cost = total.cost, realized_gain = total.realized_gain,
        missing_quantity = total.missing_quantity, updated_at = now()
    FROM unnest(
        CAST($1 AS uuid[]), CAST(CAST($2 AS text[]) AS numeric[]), CAST(CAST($3 AS text[]) AS numeric[]),
        CAST(CAST($4 AS text[]) AS numeric[]), CAST(CAST($5 AS text[]) AS numeric[])
    ) AS total (id, quantity, cost, realized_gain, missing_quantity)
    WHERE holdings.id = total.id
"""
