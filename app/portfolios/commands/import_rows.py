"""Rows of imports: planned, recorded as trades, and stored."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, among, insert_at_once
from app.core.ids import new_id
from app.portfolios.commands.holds import HeldPortfolio
from app.portfolios.commands.record_trade import record_trades
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import ZERO
from app.portfolios.models import Holding, ImportChange, ImportRow, TradeKind
from app.portfolios.new_trades import NewTrade

RECORDED = frozenset({ImportChange.TRADE, ImportChange.ACQUIRED, ImportChange.GONE})
# Marks what came without a price: that it cost nothing is not known.
COST_UNKNOWN = "cost-unknown"
# Under which of the counts of an import a row stands.
COUNTS = {
    ImportChange.TRADE: "trades",
    ImportChange.ACQUIRED: "acquired",
    ImportChange.GONE: "gone",
    ImportChange.MOVED: "moved",
    ImportChange.UNCHANGED: "unchanged",
    ImportChange.DUPLICATE: "duplicates",
    ImportChange.SKIPPED: "skipped",
    ImportChange.BAD: "bad",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A row as it is stored with an import; see `ImportRow`."""

    change: ImportChange
    line: int | None = None
    subject: str | None = None
    reason: str | None = None
    variant_id: UUID | None = None
    holding_name: str | None = None
    holding_id: UUID | None = None
    trade_id: UUID | None = None
    asset_id: str | None = None
    context: int | None = None
    kind: TradeKind | None = None
    occurred_at: datetime | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    currency: str | None = None
    exchange_rate: Decimal | None = None
    exchange: str | None = None
    tags: Sequence[str] = ()
    notes: str | None = field(default=None, repr=False)
    may_lack_acquisitions: bool = False
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class BroughtRow:
    """What a row has brought into the portfolio."""

    trade_id: UUID
    holding_id: UUID
    made_holding: bool


def trade_of(row: PlannedRow, source: str) -> NewTrade:
    """The trade that a row would bring, of its holding if that is known, else of its variant."""
    if row.kind is None or row.occurred_at is None or row.quantity is None or row.currency is None:
        raise ValueError("a row without these brings no trade")
    return NewTrade(
        kind=row.kind,
        occurred_at=row.occurred_at,
        quantity=row.quantity,
        currency=row.currency,
        price=ZERO if row.price is None else row.price,
        fee=ZERO if row.fee is None else row.fee,
        holding_id=row.holding_id,
        variant_id=row.variant_id if row.holding_id is None else None,
        exchange_rate=row.exchange_rate,
        exchange=row.exchange,
        tags=row.tags,
        notes=row.notes,
        may_lack_acquisitions=row.may_lack_acquisitions,
        external_source=None if row.external_id is None else source,
        external_id=row.external_id,
    )


class RowRefused(Exception):
    """A row cannot be recorded: its place, and the refusal in words that do not name the place again."""

    def __init__(self, place: int, refusal: PortfolioRefused) -> None:
        super().__init__(refusal.message)
        self.place = place
        self.refusal = refusal


async def record_rows(
    transaction: Transaction, portfolio: HeldPortfolio, rows: Sequence[PlannedRow], *, source: str
) -> Sequence[BroughtRow]:
    """Record the trades of rows, and make the holdings that they name; the portfolio is held alone.

    Raises `RowRefused`; whatever was done must then be rolled back.
    """
    connection = transaction.connection
    before = set(await connection.scalars(select(Holding.id).where(Holding.portfolio_id == portfolio.id)))
    named = await _named_holdings(connection, portfolio, rows, source)
    trades = [
        trade_of(row if row.holding_name is None else replace(row, holding_id=named[row.holding_name]), source)
        for row in rows
    ]
    try:
        recorded = await record_trades(transaction, portfolio.id, trades, owner_id=portfolio.owner_id)
    except PortfolioRefused as refusal:
        raise _at_row(refusal) from None
    for place, trade in enumerate(recorded):
        if not trade.is_new:
            raise RowRefused(
                place, PortfolioRefused(PortfolioErrorCode.CONFLICT, "The portfolio has this trade meanwhile.")
            )
    return [BroughtRow(trade.id, trade.holding_id, trade.holding_id not in before) for trade in recorded]


def external_name(portfolio_id: UUID, holding_name: str, source: str) -> str:
    """What a holding that an import names is known by: assets by their own ids, labels within their portfolio."""
    return holding_name if source == "steam" else f"{portfolio_id.hex}/{holding_name}"


async def holdings_by_name(
    connection: AsyncConnection, portfolio: HeldPortfolio, names: Iterable[str], source: str
) -> dict[str, tuple[UUID, UUID]]:
    """The holdings that an import has named before, in any portfolio of the owner's, each with its variant."""
    by_external = {external_name(portfolio.id, name, source): name for name in names}
    rows = await connection.execute(
        select(Holding.external_id, Holding.id, Holding.variant_id).where(
            Holding.owner_id == portfolio.owner_id,
            Holding.external_source == source,
            among(Holding.external_id, by_external),
        )
    )
    return {by_external[row[0]]: (row[1], row[2]) for row in rows if row[0] is not None}


async def _named_holdings(
    connection: AsyncConnection, portfolio: HeldPortfolio, rows: Sequence[PlannedRow], source: str
) -> dict[str, UUID]:
    """The holding of each name; new ones are made, behind the others."""
    asked: dict[str, PlannedRow] = {}
    for row in rows:
        if row.holding_name is not None:
            asked.setdefault(row.holding_name, row)
    found = {name: held[0] for name, held in (await holdings_by_name(connection, portfolio, asked, source)).items()}
    found |= {name: row.holding_id for name, row in asked.items() if row.holding_id is not None}
    lacking = [name for name in asked if name not in found]
    if lacking:
        made = {name: new_id() for name in lacking}
        first = await connection.scalar(
            select(func.coalesce(func.max(Holding.position) + 1, 0)).where(Holding.portfolio_id == portfolio.id)
        )
        await insert_at_once(
            connection,
            Holding,
            [
                {
                    "id": made[name],
                    "owner_id": portfolio.owner_id,
                    "portfolio_id": portfolio.id,
                    "variant_id": asked[name].variant_id,
                    "position": (first or 0) + place,
                    "external_source": source,
                    "external_id": external_name(portfolio.id, name, source),
                }
                for place, name in enumerate(lacking)
            ],
        )
        found |= made
    return found


def _at_row(refusal: PortfolioRefused) -> Exception:
    """The refusal of a row; of anything else the refusal itself."""
    match refusal.field:
        case ["trades", place, *_] if place.isdecimal():
            _, _, message = refusal.message.partition(": ")
            return RowRefused(int(place), PortfolioRefused(refusal.reason, message))
    return refusal


async def store_rows(
    connection: AsyncConnection, import_id: UUID, rows: Sequence[PlannedRow], *, owner_id: UUID
) -> None:
    """Store the rows of an import, in their order."""
    names = [each.name for each in fields(PlannedRow)]
    values = [
        {"import_id": import_id, "number": number, "owner_id": owner_id}
        | {name: getattr(row, name) for name in names}
        | {"tags": list(row.tags)}
        for number, row in enumerate(rows, 1)
    ]
    await insert_at_once(connection, ImportRow, values)


def counts_of(rows: Sequence[PlannedRow]) -> dict[str, int]:
    """The counts of an import, by the names of its columns."""
    found = Counter(row.change for row in rows)
    return {name: found[change] for change, name in COUNTS.items()}
