"""Portfolios: collections of holdings in one base currency."""

from datetime import datetime
from enum import Enum

import strawberry

from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.fields import show_enum
from app.graph.portfolios.errors import OWNER_ALONE, PORTFOLIOS_READ
from app.graph.portfolios.holdings import HOLDING_ORDERS, Holding, HoldingFilter
from app.graph.portfolios.imports import IMPORT_ORDERS, PortfolioImport
from app.graph.portfolios.realized_gains import realized_gains_of_portfolio
from app.graph.portfolios.trades import TRADE_ORDERS, Trade, TradeFilter
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import column, connection, shows
from app.graph.relay import Connection, Node
from app.graph.scalars import CurrencyCode
from app.portfolios.models import CostBasisMethod, SharedPart, Visibility
from app.portfolios.models import Holding as HoldingRow
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.models import PortfolioImport as ImportTable
from app.portfolios.models import Trade as TradeRow

show_enum(
    Visibility,
    "Who finds a portfolio, beside its owner.",
    {
        Visibility.PRIVATE: "Nobody.",
        Visibility.LINK: "Who has its link.",
        Visibility.PUBLIC: "Everybody.",
    },
)
show_enum(
    SharedPart,
    "What others see of a portfolio that they find, beside which items are in it.",
    {
        SharedPart.QUANTITIES: "How much is held.",
        SharedPart.DETAILS: "Condition, grade and the like; never notes, places, stores and serial numbers.",
        SharedPart.PHOTOS: "Its owner's photos.",
        SharedPart.VALUES: "What it is worth; never what it cost.",
    },
)


class PortfolioOrder(Enum):
    """What portfolios are ordered by."""

    CREATED_AT = "created_at"


PORTFOLIO_ORDERS = Orders("portfolios", {PortfolioOrder.CREATED_AT: PortfolioRow.created_at}, tie=PortfolioRow.id)


@strawberry.type(description="A collection of what somebody owns, valued in one currency.")
@private(OWNER_ALONE)
@shows(PortfolioRow, PublicIdTag.PORTFOLIO)
class Portfolio(Node):
    name: str = column(PortfolioRow.name, "Its name.")
    description: str | None = column(PortfolioRow.description, "What its owner says of it.")
    base_currency: CurrencyCode = column(PortfolioRow.base_currency, "The currency in which costs and gains are told.")
    method: CostBasisMethod = column(PortfolioRow.method, "Which lots a disposal takes from.")
    visibility: Visibility = column(PortfolioRow.visibility, "Who finds it, beside its owner.")
    shared_parts: list[SharedPart] = column(PortfolioRow.shared_parts, "What they see of it.")
    link_key: str | None = column(
        PortfolioRow.link_key,
        "What `sharedPortfolio` takes to find it while it is shared by a link; null where it never was.",
    )
    is_default: bool = column(PortfolioRow.is_default, "Whether it is meant where none is named.")
    version: int = column(PortfolioRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(PortfolioRow.created_at, "When it was made.")
    updated_at: datetime = column(PortfolioRow.updated_at, "When it was last changed.")
    holdings: Connection[Holding] | None = connection(
        "What is in it, in the order that its owner gave unless ordered otherwise.",
        on=PortfolioRow.id,
        to=HoldingRow.portfolio_id,
        orders=HOLDING_ORDERS,
        filter=HoldingFilter,
    )
    trades: Connection[Trade] | None = connection(
        "What happened to all that is in it, the newest first.",
        on=PortfolioRow.id,
        to=TradeRow.portfolio_id,
        orders=TRADE_ORDERS,
        filter=TradeFilter,
    )
    imports: Connection[PortfolioImport] | None = connection(
        "What was imported into it, or is about to be, the newest first.",
        on=PortfolioRow.id,
        to=ImportTable.portfolio_id,
        orders=IMPORT_ORDERS,
    )
    realized_gains = realized_gains_of_portfolio


@strawberry.type
class PortfolioQueries:
    portfolios: Connection[Portfolio] | None = connection(
        "One's own portfolios, the oldest first.", orders=PORTFOLIO_ORDERS, access=PORTFOLIOS_READ
    )
