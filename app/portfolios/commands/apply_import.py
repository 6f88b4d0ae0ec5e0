"""What was previewed goes into the portfolio, all of it or nothing; and out of it again, exactly that."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, among, asyncpg_connection
from app.portfolios.commands.holds import HeldPortfolio, hold_portfolio
from app.portfolios.commands.import_rows import RECORDED, BroughtRow, PlannedRow, RowRefused, record_rows
from app.portfolios.commands.recompute import recompute_holdings
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import TradeImpossible
from app.portfolios.models import (
    Holding,
    HoldingDetails,
    HoldingPhoto,
    HoldingTurntable,
    ImportChange,
    ImportRow,
    ImportStatus,
    PortfolioImport,
    Trade,
    TradeKind,
    TradeLotChoice,
)
from app.portfolios.texts import no_such

_STANDS = {
    ImportStatus.WAITING: "It is still being read; look again in a moment.",
    ImportStatus.FAILED: "It could not be read; preview it again.",
    ImportStatus.PREVIEWED: "It has not been applied.",
    ImportStatus.APPLIED: "It has been applied already.",
    ImportStatus.UNDONE: "It has been undone; preview it again.",
    ImportStatus.EXPIRED: "Its preview is older than a day; preview it again.",
}


async def apply_import(transaction: Transaction, import_id: UUID, *, owner_id: UUID) -> None:
    """Record what an import would bring, in one transaction.

    Raises `PortfolioRefused` where it has bad rows, was not previewed lately, or the portfolio has changed so that a
    row cannot be recorded any more; the transaction must then be rolled back.
    """
    connection = transaction.connection
    portfolio, found = await _hold_import(connection, import_id, owner_id=owner_id)
    _require(found, ImportStatus.PREVIEWED)
    if found.is_over:
        raise _conflict(_STANDS[ImportStatus.EXPIRED])
    if found.bad:
        raise await _has_bad_rows(connection, import_id, found.bad)
    numbers, rows = await _planned(connection, import_id)
    try:
        brought = await record_rows(transaction, portfolio, rows, source=found.source)
    except RowRefused as refused_row:
        row = rows[refused_row.place]
        where = f"Row {numbers[refused_row.place]:,}" if row.line is None else f"Line {row.line:,}"
        raise _conflict(
            f"{where} ({row.subject}): {refused_row.refusal.message} The portfolio has changed since; preview it again."
        ) from None
    await _note_brought(connection, import_id, numbers, brought)
    await connection.execute(
        update(PortfolioImport)
        .where(PortfolioImport.id == import_id)
        .values(status=ImportStatus.APPLIED.value, applied_at=func.now(), expires_at=None)
    )


async def undo_import(transaction: Transaction, import_id: UUID, *, owner_id: UUID) -> None:
    """Take out of the portfolio what an import has brought: its trades, and the holdings that it made for them.

    What was deleted meanwhile is left; a holding that its owner has described or archived stays. Raises
    `PortfolioRefused` where a trade was edited, or where later ones rest on what it brought; the transaction must then
    be rolled back.
    """
    connection = transaction.connection
    _, found = await _hold_import(connection, import_id, owner_id=owner_id)
    _require(found, ImportStatus.APPLIED)
    rows = await connection.execute(
        select(*Trade.__table__.columns)
        .join(ImportRow, ImportRow.trade_id == Trade.id)
        .where(ImportRow.import_id == import_id)
        .order_by(Trade.occurred_at, Trade.id)
    )
    trades = rows.all()
    _refuse_edited(trades)
    trade_ids = [row.id for row in trades]
    await _refuse_named(connection, trade_ids)
    await connection.execute(delete(TradeLotChoice).where(among(TradeLotChoice.trade_id, trade_ids)))
    await connection.execute(delete(Trade).where(among(Trade.id, trade_ids)))
    try:
        await recompute_holdings(connection, sorted({row.holding_id for row in trades}))
    except TradeImpossible as impossible:
        raise PortfolioRefused(
            impossible.reason, f"A later trade rests on what it brought. {impossible.message}", field=["id"]
        ) from None
    await _remove_made(connection, import_id)
    await connection.execute(
        update(PortfolioImport)
        .where(PortfolioImport.id == import_id)
        .values(status=ImportStatus.UNDONE.value, undone_at=func.now())
    )


async def _hold_import(
    connection: AsyncConnection, import_id: UUID, *, owner_id: UUID
) -> tuple[HeldPortfolio, Row[Any]]:
    """An import and its portfolio, held alone until the transaction ends."""
    columns: list[ColumnElement[Any]] = [*PortfolioImport.__table__.columns]
    columns.append((PortfolioImport.expires_at <= func.now()).label("is_over"))
    mine = select(*columns).where(PortfolioImport.id == import_id, PortfolioImport.owner_id == owner_id)
    found = (await connection.execute(mine)).one_or_none()
    if found is None:
        raise no_such("import", "id")
    portfolio = await hold_portfolio(connection, found.portfolio_id, owner_id=owner_id, field=["id"], alone=True)
    held = (await connection.execute(mine.with_for_update(key_share=True))).one_or_none()
    if held is None:
        raise no_such("import", "id")
    return portfolio, held


def _require(found: Row[Any], status: ImportStatus) -> None:
    if found.status != status:
        raise _conflict(_STANDS[ImportStatus(found.status)])


def _conflict(message: str) -> PortfolioRefused:
    return PortfolioRefused(PortfolioErrorCode.CONFLICT, message, field=["id"])


async def _has_bad_rows(connection: AsyncConnection, import_id: UUID, count: int) -> PortfolioRefused:
    first = (
        await connection.execute(
            select(ImportRow.line, ImportRow.number, ImportRow.reason)
            .where(ImportRow.import_id == import_id, ImportRow.change == ImportChange.BAD)
            .order_by(ImportRow.number)
            .limit(1)
        )
    ).one()
    where = f"row {first.number:,}" if first.line is None else f"line {first.line:,}"
    return PortfolioRefused(
        PortfolioErrorCode.HAS_BAD_ROWS,
        f"{count:,} of its rows cannot be, the first in {where}: {first.reason} Nothing was changed.",
        field=["id"],
    )


async def _planned(connection: AsyncConnection, import_id: UUID) -> tuple[list[int], list[PlannedRow]]:
    """The rows that bring something, in their order, and their numbers."""
    names = [each.name for each in fields(PlannedRow)]
    stored = await connection.execute(
        select(ImportRow.number, *(getattr(ImportRow, name) for name in names))
        .where(ImportRow.import_id == import_id, among(ImportRow.change, [change.value for change in RECORDED]))
        .order_by(ImportRow.number)
    )
    numbers, rows = [], []
    for row in stored:
        values = {name: getattr(row, name) for name in names}
        values |= {"change": ImportChange(row.change), "kind": TradeKind(row.kind), "tags": tuple(row.tags)}
        numbers.append(row.number)
        rows.append(PlannedRow(**values))
    return numbers, rows


async def _note_brought(
    connection: AsyncConnection, import_id: UUID, numbers: Sequence[int], brought: Sequence[BroughtRow]
) -> None:
    driver = await asyncpg_connection(connection)
    await driver.execute(
        _NOTE_BROUGHT,
        import_id,
        list(numbers),
        [each.trade_id for each in brought],
        [each.holding_id for each in brought],
        [each.made_holding for each in brought],
    )


_NOTE_BROUGHT = """
    UPDATE portfolios.import_rows
    SET trade_id = brought.trade_id, holding_id = brought.holding_id, made_holding = brought.made_holding
    FROM unnest(CAST($2 AS integer[]), CAST($3 AS uuid[]), CAST($4 AS uuid[]), CAST($5 AS boolean[]))
        AS brought (number, trade_id, holding_id, made_holding)
    WHERE import_rows.import_id = $1 AND import_rows.number = brought.number
"""


def _refuse_edited(trades: Sequence[Row[Any]]) -> None:
    edited = [row for row in trades if row.version > 1]
    if edited:
        raise _conflict(
            f"{len(edited):,} of its trades were edited since, the first of {edited[0].occurred_at:%Y-%m-%d}; delete "
            "them to undo the rest."
        )


async def _refuse_named(connection: AsyncConnection, trade_ids: Sequence[UUID]) -> None:
    """Refuse to take away lots that trades name which stay."""
    named = await connection.scalar(
        select(func.min(Trade.occurred_at))
        .join(TradeLotChoice, TradeLotChoice.trade_id == Trade.id)
        .where(among(TradeLotChoice.lot_id, trade_ids), ~among(TradeLotChoice.trade_id, trade_ids))
    )
    if named is not None:
        raise PortfolioRefused(
            PortfolioErrorCode.UNKNOWN_LOT,
            f"The trade of {named:%Y-%m-%d} names a lot that it brought; change that trade first.",
            field=["id"],
        )


async def _remove_made(connection: AsyncConnection, import_id: UUID) -> None:
    """Delete the holdings that an import made, unless their owner has done something with them."""
    made = select(ImportRow.holding_id).where(ImportRow.import_id == import_id, ImportRow.made_holding)
    await connection.execute(
        delete(Holding).where(
            Holding.id.in_(made),
            Holding.version == 1,
            ~exists().where(Trade.holding_id == Holding.id),
            ~exists().where(HoldingDetails.holding_id == Holding.id),
            ~exists().where(HoldingPhoto.holding_id == Holding.id),
            ~exists().where(HoldingTurntable.holding_id == Holding.id),
        )
    )
