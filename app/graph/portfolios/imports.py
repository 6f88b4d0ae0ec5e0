"""Imports: what a file or an inventory would bring into a portfolio, or has brought."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import UNSET

from app.catalogue.models import ItemVariant as VariantRow
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.catalogue.items import ItemVariant
from app.graph.fields import show_enum
from app.graph.portfolios.errors import OWNER_ALONE, PORTFOLIOS_READ
from app.graph.portfolios.holdings import Holding
from app.graph.portfolios.inputs import key_of
from app.graph.portfolios.trades import Trade
from app.graph.prices.money import Money
from app.graph.reads.arguments import OperationContext, Orders, graphql_argument, narrow_to_any
from app.graph.reads.fields import Reference, column, connection, edge, embedded, refer, reference, shows
from app.graph.relay import Connection, Node
from app.portfolios.models import Holding as HoldingRow
from app.portfolios.models import ImportChange, ImportSource, ImportStatus, TradeKind
from app.portfolios.models import ImportRow as RowTable
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.models import PortfolioImport as ImportTable
from app.portfolios.models import Trade as TradeRow
from app.prices.queries.quotes import MONEY

if TYPE_CHECKING:
    from app.graph.portfolios.portfolios import Portfolio

show_enum(
    ImportSource,
    "Where what is imported comes from; the documentation tells what each file looks like.",
    {
        ImportSource.TROVE: "A CSV file in the strict shape, as exports of Trove have it.",
        ImportSource.COINBASE: "The transaction history of Coinbase.",
        ImportSource.KRAKEN: "The trades of Kraken.",
        ImportSource.MYFIGURECOLLECTION: "The collection manager of MyFigureCollection.",
        ImportSource.TCGPLAYER: "A list of cards, as TCGplayer and sites like it write it.",
        ImportSource.STEAM: "The Counter-Strike inventory of a public Steam profile.",
    },
)
show_enum(
    ImportStatus,
    "How far an import has come.",
    {
        ImportStatus.WAITING: "It is being read; look again in a moment.",
        ImportStatus.FAILED: "It could not be read; `failure` says why.",
        ImportStatus.PREVIEWED: "It can be looked at, and applied until `expiresAt`. Nothing was changed.",
        ImportStatus.APPLIED: "It was applied, and can be undone.",
        ImportStatus.UNDONE: "It was applied and undone again.",
        ImportStatus.EXPIRED: "It was not applied within a day, or made room for newer ones; its rows are gone.",
    },
)
show_enum(
    ImportChange,
    "What a row of an import would do.",
    {
        ImportChange.TRADE: "It brings a trade.",
        ImportChange.ACQUIRED: "It is in the inventory, and was not held: it is transferred in.",
        ImportChange.GONE: "It was held, and is not in the inventory any more: it is transferred out.",
        ImportChange.MOVED: "It is held, and now somewhere else in the inventory; nothing is recorded.",
        ImportChange.UNCHANGED: "It is held already.",
        ImportChange.DUPLICATE: "The portfolio has this trade already.",
        ImportChange.SKIPPED: "It is nothing that Trove keeps; `reason` says why.",
        ImportChange.BAD: "It cannot be; `reason` says why. Nothing goes in while there is one.",
    },
)


class ImportOrder(Enum):
    """What imports are ordered by."""

    CREATED_AT = "created_at"


class ImportRowOrder(Enum):
    """What the rows of an import are ordered by."""

    NUMBER = "number"


IMPORT_ORDERS = Orders(
    "portfolio-imports", {ImportOrder.CREATED_AT: ImportTable.created_at}, tie=ImportTable.id, newest_first=True
)
ROW_ORDERS = Orders("portfolio-import-rows", {ImportRowOrder.NUMBER: RowTable.number}, tie=RowTable.import_id)
_HAS_PRICE = RowTable.price.is_not(None) & RowTable.currency.is_not(None)
_HAS_FEE = RowTable.fee.is_not(None) & RowTable.currency.is_not(None)


@strawberry.input(description="Which rows to list; what is left out does not narrow the list.")
class ImportRowFilter:
    changes: list[ImportChange] | None = narrow_to_any("Only rows that would do one of these.", RowTable.change)


@strawberry.type(description="A row of an import: what it would bring, or why it brings nothing.")
@private(OWNER_ALONE)
@shows(RowTable)
class ImportRow:
    number: int = column(RowTable.number, "Its place in the import, from 1.")
    change: ImportChange = column(RowTable.change, "What it would do.")
    line: int | None = column(RowTable.line, "The line of the file on which it begins, from 1; null of an inventory.")
    subject: str | None = column(RowTable.subject, "How it names what it is about; null where that cannot be read.")
    reason: str | None = column(RowTable.reason, "Why it is bad or brings nothing; null otherwise.")
    asset_id: str | None = column(RowTable.asset_id, "Its number in the inventory; null of a file.")
    context: int | None = column(
        RowTable.context, "Where in the inventory it is: 2, or 16 while it is protected after a trade; null of a file."
    )
    kind: TradeKind | None = column(RowTable.kind, "The kind of the trade that it brings.")
    occurred_at: datetime | None = column(RowTable.occurred_at, "When that happened, or was seen.")
    quantity: Decimal | None = column(RowTable.quantity, "How much it moves.")
    price: Money | None = embedded(
        "The price of one unit; 0 where it is not known.",
        when=_HAS_PRICE,
        instead={MONEY.c.amount: RowTable.price, MONEY.c.currency: RowTable.currency},
    )
    fee: Money | None = embedded(
        "The fee for the whole trade.",
        when=_HAS_FEE,
        instead={MONEY.c.amount: RowTable.fee, MONEY.c.currency: RowTable.currency},
    )
    exchange_rate: Decimal | None = column(
        RowTable.exchange_rate, "The rate to the base currency that it gives; null where that of its day is taken."
    )
    exchange: str | None = column(RowTable.exchange, "Where it happened, as it says.")
    tags: list[str] = column(RowTable.tags, "The words of its trade; `cost-unknown` where it gives no price.")
    notes: str | None = column(RowTable.notes, "What it notes.")
    may_lack_acquisitions: bool = column(RowTable.may_lack_acquisitions, "Whether it may dispose of more than is held.")
    external_id: str | None = column(RowTable.external_id, "The name of its trade, by which it is known again.")
    made_holding: bool = column(RowTable.made_holding, "Whether it was applied, and made the holding.")
    variant: ItemVariant | None = edge(
        "What it is about; null where that is not known.", on=RowTable.variant_id, to=VariantRow.id
    )
    holding: Holding | None = edge(
        "The holding that it is of, where there is one.", on=RowTable.holding_id, to=HoldingRow.id
    )
    trade: Trade | None = edge(
        "The trade that it has brought; null until it is applied, and once the trade is deleted.",
        on=RowTable.trade_id,
        to=TradeRow.id,
    )


@strawberry.type(
    description="What a file or an inventory would bring into a portfolio. Nothing is changed until it is applied."
)
@private(OWNER_ALONE)
@shows(ImportTable, PublicIdTag.PORTFOLIO_IMPORT)
class PortfolioImport(Node):
    source: ImportSource = column(ImportTable.source, "Where it comes from.")
    steam_id: str | None = column(ImportTable.steam_id, "Whose inventory it is; null of a file.")
    status: ImportStatus = column(ImportTable.status, "How far it has come.")
    failure: str | None = column(ImportTable.failure, "Why it could not be read; null unless it failed.")
    new_trades: int = column(ImportTable.trades, "How many rows of a file bring a trade.")
    acquired: int = column(ImportTable.acquired, "How many things of an inventory are new.")
    gone: int = column(ImportTable.gone, "How many things are not in the inventory any more.")
    moved: int = column(ImportTable.moved, "How many things are somewhere else in the inventory.")
    unchanged: int = column(ImportTable.unchanged, "How many things are where they were.")
    duplicates: int = column(ImportTable.duplicates, "How many rows the portfolio has already.")
    skipped: int = column(ImportTable.skipped, "How many rows are nothing that Trove keeps.")
    bad: int = column(ImportTable.bad, "How many rows cannot be. Nothing goes in while there is one.")
    created_at: datetime = column(ImportTable.created_at, "When it was asked for.")
    previewed_at: datetime | None = column(ImportTable.previewed_at, "When it was compared with the portfolio.")
    applied_at: datetime | None = column(ImportTable.applied_at, "When it was applied.")
    undone_at: datetime | None = column(ImportTable.undone_at, "When it was undone.")
    expires_at: datetime | None = column(
        ImportTable.expires_at, "Until when it can be applied; null unless it is previewed."
    )
    portfolio: Annotated["Portfolio", strawberry.lazy("app.graph.portfolios.portfolios")] | None = edge(
        "The portfolio that it is for.", on=ImportTable.portfolio_id, to=PortfolioRow.id
    )
    rows: Connection[ImportRow] | None = connection(
        "Its rows in their order.",
        on=ImportTable.id,
        to=RowTable.import_id,
        orders=ROW_ORDERS,
        filter=ImportRowFilter,
    )


@strawberry.type
class ImportQueries:
    @reference(
        "One of one's own imports; null where there is none.",
        [graphql_argument("id", strawberry.ID, default=UNSET)],
        type=PortfolioImport | None,
        access=PORTFOLIOS_READ,
    )
    @staticmethod
    def portfolio_import(_: OperationContext, id: str) -> Reference | None:
        key = key_of(id, PublicIdTag.PORTFOLIO_IMPORT)
        return None if key is None else refer(PortfolioImport, key)
