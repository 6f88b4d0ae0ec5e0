"""Portfolios: collections of holdings in one base currency."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated

import strawberry
from strawberry import Parent

from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.context import Info
from app.graph.fields import resolved, show_enum
from app.graph.portfolios.errors import OWNER_ALONE, PORTFOLIOS_READ
from app.graph.portfolios.history import PortfolioPerformance, PortfolioSnapshot, history_of_portfolio
from app.graph.portfolios.holdings import HOLDING_ORDERS, Holding, HoldingFilter
from app.graph.portfolios.imports import IMPORT_ORDERS, PortfolioImport
from app.graph.portfolios.realized_gains import realized_gains_of_portfolio
from app.graph.portfolios.trades import (
    PORTFOLIO_REVISION_ORDERS,
    TRADE_ORDERS,
    Trade,
    TradeFilter,
    TradeRevision,
)
from app.graph.portfolios.values import (
    COST_OF_PORTFOLIO,
    VALUE_OF_PORTFOLIO,
    AllocationGroup,
    PortfolioCost,
    PortfolioValue,
    RealizedGain,
    UnrealizedGain,
    allocation_of_portfolio,
    sum_over_portfolio,
)
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import column, connection, shows
from app.graph.reads.layout import Row, value_of
from app.graph.relay import Connection, Node
from app.graph.scalars import CurrencyCode
from app.portfolios.models import CostBasisMethod, SharedPart, Visibility
from app.portfolios.models import Holding as HoldingRow
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.models import PortfolioImport as ImportTable
from app.portfolios.models import Trade as TradeRow
from app.portfolios.models import TradeRevision as RevisionRow
from app.portfolios.queries.history import AskedPeriod, PastPeriod, periods_of, reckoned_return
from app.portfolios.returns import Return, ReturnMethod, ReturnUnavailable

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
        "What `sharedPortfolio` takes to find it while it is shared by a link; null while it is not.",
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
    trade_revisions: Connection[TradeRevision] | None = connection(
        "What its trades were before they were edited or deleted one by one, the newest first: of those that were "
        "deleted, too.",
        on=PortfolioRow.id,
        to=RevisionRow.portfolio_id,
        orders=PORTFOLIO_REVISION_ORDERS,
    )
    imports: Connection[PortfolioImport] | None = connection(
        "What was imported into it, or is about to be, the newest first.",
        on=PortfolioRow.id,
        to=ImportTable.portfolio_id,
        orders=IMPORT_ORDERS,
    )
    realized_gains = realized_gains_of_portfolio
    value: PortfolioValue | None = sum_over_portfolio(
        "What all that is held in it is worth now, what was put aside among it.", VALUE_OF_PORTFOLIO
    )
    cost: PortfolioCost | None = sum_over_portfolio("What all that is held in it cost.", COST_OF_PORTFOLIO)
    unrealized_gain: UnrealizedGain | None = sum_over_portfolio(
        "What is held in it is worth now, less what it cost.", VALUE_OF_PORTFOLIO
    )
    realized_gain: RealizedGain | None = sum_over_portfolio("What was gained by its sales.", COST_OF_PORTFOLIO)
    allocation: list[AllocationGroup] = allocation_of_portfolio(
        "What its value is made of, the greatest part first: each holding of which something is held is in one group."
    )
    history: list[PortfolioSnapshot] = history_of_portfolio(
        "What it was at the ends of days that have passed, the oldest first, as snapshots that are made every day tell."
    )

    @resolved(
        "How it did from the end of one day to the end of another: `from` by default before its first trade, `to` the "
        "last day that has a snapshot, which is yesterday."
    )
    @staticmethod
    async def performance(
        root: Parent[Row],
        info: Info,
        from_: Annotated[date | None, strawberry.argument(name="from")] = None,
        to: date | None = None,
        method: ReturnMethod = ReturnMethod.TWR,
    ) -> PortfolioPerformance:
        if from_ is not None and to is not None and to <= from_:
            raise BadUserInput("`to` must lie after `from`.", argument="to", allowed=["a day after `from`"])
        asked = AskedPeriod(value_of(root, PortfolioRow.id), from_, to)
        (past,) = await info.context.loaders.several(periods_of, [asked])
        found = None if past is None else await reckoned_return(past.period, method)
        return _performance(past, found, asked, method, value_of(root, PortfolioRow.base_currency))


def _performance(
    past: PastPeriod | None, found: Return | None, asked: AskedPeriod, method: ReturnMethod, currency: str
) -> PortfolioPerformance:
    if past is None or found is None:
        return PortfolioPerformance(
            method=method,
            first=asked.first,
            last=asked.last,
            rate=None,
            is_annual=False,
            reason=ReturnUnavailable.NOTHING_INVESTED,
            currency=CurrencyCode(currency),
            start_value=None,
            end_value=None,
            net_flow=Decimal(0),
            is_partial=False,
            is_provisional=False,
        )
    period = past.period
    return PortfolioPerformance(
        method=method,
        first=period.first,
        last=period.last,
        rate=found.rate,
        is_annual=found.is_annual,
        reason=found.reason,
        currency=CurrencyCode(currency),
        start_value=period.values.get(period.first),
        end_value=period.values.get(period.last),
        net_flow=sum((flow.amount for flow in period.counted_flows), Decimal(0)),
        is_partial=past.is_partial or (method is ReturnMethod.TWR and past.is_partial_at_flows),
        is_provisional=past.is_provisional,
    )


@strawberry.type
class PortfolioQueries:
    portfolios: Connection[Portfolio] | None = connection(
        "One's own portfolios, the oldest first.", orders=PORTFOLIO_ORDERS, access=PORTFOLIOS_READ
    )
