"""A file is read and compared with a portfolio: what it would bring is stored to be looked at, and nothing else."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import utc_now
from app.core.database import Transaction, among
from app.core.ids import PublicIdTag, new_id, parse_public_id
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.holds import HeldPortfolio, hold_owner, hold_portfolio
from app.portfolios.commands.import_rows import (
    COST_UNKNOWN,
    RECORDED,
    PlannedRow,
    RowRefused,
    counts_of,
    holdings_by_name,
    record_rows,
    store_rows,
    trade_of,
)
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.import_subjects import Unresolved, resolve_subjects
from app.portfolios.imports.files import read_file
from app.portfolios.imports.mappings import FileSource
from app.portfolios.imports.rows import FileRow, FileTrade, Subject
from app.portfolios.ledger import ACQUIRING
from app.portfolios.models import Holding, ImportChange, ImportStatus, PortfolioImport, Trade, TradeKind
from app.portfolios.new_trades import has_known_currency, refuse_impossible, refused

# Each keeps its rows until then.
PREVIEWS_KEPT_FOR = timedelta(days=1)
MOST_PREVIEWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToImport:
    """A file, and what is to be understood where it says nothing."""

    content: bytes = field(repr=False)
    source: FileSource
    currency: str | None = None
    may_lack_acquisitions: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """What the rows of a file are compared with."""

    variants: Mapping[Subject, UUID | Unresolved]
    trades: Collection[str]
    holdings: Mapping[str, tuple[UUID, UUID]]


async def preview_file(
    transaction: Transaction,
    portfolio_id: UUID,
    file: FileToImport,
    *,
    owner_id: UUID,
    idempotency_key: str | None = None,
) -> UUID:
    """Store what a file would bring into a portfolio; gives the id of the import.

    Every row that cannot be is named with its reason. A repeat with the same key and input within a day gives the first
    one again. Raises `PortfolioRefused` for a file that cannot be read.
    """
    connection = transaction.connection
    await hold_owner(connection, owner_id)
    portfolio = await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["portfolioId"], alone=True)
    request = {"portfolio_id": portfolio_id, **asdict(file), "content": sha256(file.content).hexdigest()}
    import_id = new_id()
    first = await claim_key(
        connection, idempotency_key, request, owner_id=owner_id, made=PortfolioImport.id, new_id=import_id
    )
    if first != import_id:
        return first
    await refuse_too_many(connection, owner_id)
    currency = file.currency or portfolio.base_currency
    if not has_known_currency(currency):
        raise refused("Give a currency by its code, such as EUR.", "currency")
    rows = await asyncio.to_thread(read_file, file.content, file.source, currency=currency)
    known = await _look_up(connection, portfolio, rows, file.source)
    planned = _plan(rows, portfolio, known, replace(file, currency=currency), now=utc_now())
    tried = await _tried(transaction, portfolio, planned, source=file.source.value)
    await store_preview(connection, portfolio, tried, import_id=import_id, source=file.source.value)
    return import_id


async def refuse_too_many(connection: AsyncConnection, owner_id: UUID) -> None:
    """Refuse another import while many wait to be applied."""
    waiting = await connection.scalar(
        select(func.count()).where(
            PortfolioImport.owner_id == owner_id,
            among(PortfolioImport.status, [ImportStatus.WAITING.value, ImportStatus.PREVIEWED.value]),
            PortfolioImport.created_at > func.now() - PREVIEWS_KEPT_FOR,
        )
    )
    if (waiting or 0) >= MOST_PREVIEWS:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY,
            f"{MOST_PREVIEWS} imports of yours wait to be applied, and no more may; each goes after a day.",
        )


async def store_preview(
    connection: AsyncConnection, portfolio: HeldPortfolio, rows: Sequence[PlannedRow], *, import_id: UUID, source: str
) -> None:
    """Store an import that can be looked at."""
    await connection.execute(
        insert(PortfolioImport).values(
            id=import_id,
            owner_id=portfolio.owner_id,
            portfolio_id=portfolio.id,
            source=source,
            status=ImportStatus.PREVIEWED.value,
            previewed_at=func.now(),
            expires_at=func.now() + PREVIEWS_KEPT_FOR,
            **counts_of(rows),
        )
    )
    await store_rows(connection, import_id, rows, owner_id=portfolio.owner_id)


async def _look_up(
    connection: AsyncConnection, portfolio: HeldPortfolio, rows: Sequence[FileRow], source: FileSource
) -> _Known:
    trades = [row.trade for row in rows if row.trade is not None]
    variants = await resolve_subjects(connection, {trade.subject for trade in trades})
    names = {trade.external_id for trade in trades}
    stored = await connection.scalars(
        select(Trade.external_id).where(
            Trade.portfolio_id == portfolio.id,
            Trade.external_source == source.value,
            among(Trade.external_id, names),
        )
    )
    known = {name for name in stored if name is not None}
    if source is FileSource.TROVE:
        known |= await _own_trades(connection, portfolio, names)
    labels = {trade.holding for trade in trades if trade.holding is not None}
    holdings = await holdings_by_name(connection, portfolio, labels, source.value)
    return _Known(variants, known, holdings | await _own_holdings(connection, portfolio, labels))


async def _own_trades(connection: AsyncConnection, portfolio: HeldPortfolio, names: Collection[str]) -> set[str]:
    """Those of these names that are ids of trades of the portfolio, which it wrote into an export itself."""
    ids = _keys_of(names, PublicIdTag.TRADE)
    rows = await connection.scalars(
        select(Trade.id).where(Trade.portfolio_id == portfolio.id, among(Trade.id, ids.values()))
    )
    there = set(rows)
    return {name for name, key in ids.items() if key in there}


async def _own_holdings(
    connection: AsyncConnection, portfolio: HeldPortfolio, names: Collection[str]
) -> dict[str, tuple[UUID, UUID]]:
    ids = _keys_of(names, PublicIdTag.HOLDING)
    rows = await connection.execute(
        select(Holding.id, Holding.variant_id).where(
            Holding.portfolio_id == portfolio.id, among(Holding.id, ids.values())
        )
    )
    there = {row.id: row.variant_id for row in rows}
    return {name: (key, there[key]) for name, key in ids.items() if key in there}


def _keys_of(names: Collection[str], tag: PublicIdTag) -> dict[str, UUID]:
    parsed = {name: parse_public_id(name) for name in names}
    return {name: key[1] for name, key in parsed.items() if key and key[0] is tag and isinstance(key[1], UUID)}


def _plan(
    rows: Sequence[FileRow], portfolio: HeldPortfolio, known: _Known, file: FileToImport, *, now: datetime
) -> list[PlannedRow]:
    planned: list[PlannedRow] = []
    lines: dict[str, int] = {}
    variants: dict[str, UUID] = {}
    for row in rows:
        if row.trade is None:
            change = ImportChange.SKIPPED if row.is_skipped else ImportChange.BAD
            planned.append(PlannedRow(change=change, line=row.line, reason=row.reason))
            continue
        before = lines.setdefault(row.trade.external_id, row.line)
        variant_id = known.variants[row.trade.subject]
        read = _as_planned(row.trade, row.line, file, now=now)
        if isinstance(variant_id, Unresolved):
            planned.append(_bad(read, variant_id.reason))
            continue
        read = replace(read, variant_id=variant_id)
        reason = (
            _double(before, row.line) or _another_rate(row.trade, portfolio) or _another_variant(read, known, variants)
        )
        if reason is not None:
            planned.append(_bad(read, reason))
        elif row.trade.external_id in known.trades:
            planned.append(replace(read, change=ImportChange.DUPLICATE, reason="The portfolio has this trade already."))
        else:
            planned.append(_checked(_with_holding(read, known), file.source.value, now=now))
    return planned


def _as_planned(trade: FileTrade, line: int, file: FileToImport, *, now: datetime) -> PlannedRow:
    """A row as it would be recorded, with what it leaves out."""
    lacks_cost = trade.price is None and trade.kind in ACQUIRING and trade.kind is not TradeKind.GIFT_IN
    return PlannedRow(
        change=ImportChange.TRADE,
        line=line,
        subject=str(trade.subject),
        holding_name=trade.holding,
        kind=trade.kind,
        occurred_at=trade.occurred_at or now,
        quantity=trade.quantity,
        price=trade.price or Decimal(0),
        fee=trade.fee or Decimal(0),
        currency=trade.currency or file.currency,
        exchange_rate=trade.exchange_rate,
        exchange=trade.exchange,
        tags=(*trade.tags, COST_UNKNOWN) if lacks_cost and COST_UNKNOWN not in trade.tags else trade.tags,
        notes=trade.notes,
        may_lack_acquisitions=trade.may_lack_acquisitions or file.may_lack_acquisitions,
        external_id=trade.external_id,
    )


def _bad(row: PlannedRow, reason: str) -> PlannedRow:
    return replace(row, change=ImportChange.BAD, reason=reason)


def _double(first_line: int, line: int) -> str | None:
    return None if first_line == line else f"Line {first_line:,} has the same id."


def _another_rate(trade: FileTrade, portfolio: HeldPortfolio) -> str | None:
    if trade.exchange_rate is None or trade.rate_currency in (None, portfolio.base_currency):
        return None
    return (
        f"Its rate leads to {trade.rate_currency}, and the portfolio is in {portfolio.base_currency}; leave the rate "
        "out, and that of its day is taken."
    )


def _another_variant(row: PlannedRow, known: _Known, variants: dict[str, UUID]) -> str | None:
    """What is wrong with the holding that a row names; `variants` are those of the rows before."""
    if row.holding_name is None or row.variant_id is None:
        return None
    stored = known.holdings.get(row.holding_name)
    first = variants.setdefault(row.holding_name, row.variant_id if stored is None else stored[1])
    return None if first == row.variant_id else f"The holding “{row.holding_name}” is of another item or variant."


def _with_holding(row: PlannedRow, known: _Known) -> PlannedRow:
    stored = None if row.holding_name is None else known.holdings.get(row.holding_name)
    return row if stored is None else replace(row, holding_id=stored[0])


def _checked(row: PlannedRow, source: str, *, now: datetime) -> PlannedRow:
    try:
        refuse_impossible(trade_of(row, source), now=now)
    except PortfolioRefused as refusal:
        return _bad(row, refusal.message)
    return row


async def _tried(
    transaction: Transaction, portfolio: HeldPortfolio, rows: Sequence[PlannedRow], *, source: str
) -> Sequence[PlannedRow]:
    """The rows, the first that cannot be recorded marked as bad: they are recorded, and that is taken back."""
    places = [place for place, row in enumerate(rows) if row.change in RECORDED]
    if not places or any(row.change is ImportChange.BAD for row in rows):
        return rows
    attempt = await transaction.connection.begin_nested()
    try:
        await record_rows(transaction, portfolio, [rows[place] for place in places], source=source)
    except RowRefused as refused_row:
        place = places[refused_row.place]
        return [*rows[:place], _bad(rows[place], refused_row.refusal.message), *rows[place + 1 :]]
    finally:
        await attempt.rollback()
    return rows
