"""Trades, and the lots and disposals that follow from them."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.fields import show_enum
from app.graph.portfolios.errors import OWNER_ALONE
from app.graph.prices.money import Money
from app.graph.reads.arguments import Orders, narrow, narrow_to_any
from app.graph.reads.fields import column, connection, edge, embedded, shows
from app.graph.reads.tables import join
from app.graph.relay import Connection, Node
from app.graph.scalars import JSON, CurrencyCode
from app.portfolios.models import Holding as HoldingRow
from app.portfolios.models import Lot as LotRow
from app.portfolios.models import LotDisposal as DisposalRow
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.models import Trade as TradeRow
from app.portfolios.models import TradeKind, TradeRevisionAction
from app.portfolios.models import TradeRevision as RevisionRow
from app.portfolios.queries.amounts import REMAINING_COST
from app.portfolios.queries.revisions import BEFORE
from app.prices.queries.quotes import MONEY

if TYPE_CHECKING:
    from app.graph.portfolios.holdings import Holding

show_enum(
    TradeKind,
    "What happened to a holding.",
    {
        TradeKind.BUY: "It was bought: opens a lot that cost the price and the fee.",
        TradeKind.SELL: "It was sold: takes from lots, and brings the price less the fee.",
        TradeKind.TRANSFER_IN: "It came from elsewhere: opens a lot that cost what is given.",
        TradeKind.TRANSFER_OUT: "It went elsewhere: takes from lots, whose cost goes with it, without a gain.",
        TradeKind.GIFT_IN: "It was given to one: opens a lot that cost what is given, nothing as a rule.",
        TradeKind.GIFT_OUT: "It was given away: takes from lots, whose cost goes with it, without a gain.",
        TradeKind.FEE: "A fee for keeping it: in money it lowers the realised gain, in kind it takes from lots.",
    },
)


show_enum(
    TradeRevisionAction,
    "What became of a trade.",
    {
        TradeRevisionAction.EDITED: "Its owner edited it.",
        TradeRevisionAction.DELETED: "Its owner deleted it.",
    },
)


class TradeOrder(Enum):
    """What trades are ordered by."""

    OCCURRED_AT = "occurred_at"


class LotOrder(Enum):
    """What lots are ordered by."""

    ACQUIRED_AT = "acquired_at"


class DisposalOrder(Enum):
    """What the disposals from a lot are ordered by."""

    DISPOSED_AT = "disposed_at"


class TradeRevisionOrder(Enum):
    """What the revisions of a trade are ordered by."""

    NUMBER = "number"


class PortfolioRevisionOrder(Enum):
    """What the revisions of all trades of a portfolio are ordered by."""

    CREATED_AT = "created_at"


class PartOrder(Enum):
    """What the parts of a trade are ordered by."""

    NUMBER = "number"


TRADE_ORDERS = Orders("trades", {TradeOrder.OCCURRED_AT: TradeRow.occurred_at}, tie=TradeRow.id, newest_first=True)
LOT_ORDERS = Orders("lots", {LotOrder.ACQUIRED_AT: LotRow.acquired_at}, tie=LotRow.id)
# A trade takes from a lot once.
DISPOSAL_ORDERS = Orders(
    "lot-disposals", {DisposalOrder.DISPOSED_AT: DisposalRow.disposed_at}, tie=DisposalRow.trade_id, newest_first=True
)
PART_ORDERS = Orders("trade-disposals", {PartOrder.NUMBER: DisposalRow.number}, tie=DisposalRow.trade_id)
REVISION_ORDERS = Orders(
    "trade-revisions", {TradeRevisionOrder.NUMBER: RevisionRow.number}, tie=RevisionRow.id, newest_first=True
)
PORTFOLIO_REVISION_ORDERS = Orders(
    "portfolio-trade-revisions",
    {PortfolioRevisionOrder.CREATED_AT: RevisionRow.created_at},
    tie=RevisionRow.id,
    newest_first=True,
)
OF_LOTS_PORTFOLIO = join(PortfolioRow, PortfolioRow.id == LotRow.portfolio_id)
OF_LOTS_HOLDING = join(HoldingRow, HoldingRow.id == LotRow.holding_id)
OF_DISPOSALS_PORTFOLIO = join(PortfolioRow, PortfolioRow.id == DisposalRow.portfolio_id)


@strawberry.input(description="Which trades to list; what is left out does not narrow the list.")
class TradeFilter:
    kinds: list[TradeKind] | None = narrow_to_any("Only trades of these kinds.", TradeRow.kind)
    from_: datetime | None = narrow(
        "Only trades at this time or later.",
        TradeRow.occurred_at,
        lambda since: TradeRow.occurred_at >= since,
        name="from",
    )
    to: datetime | None = narrow(
        "Only trades before this time.", TradeRow.occurred_at, lambda until: TradeRow.occurred_at < until
    )


@strawberry.type(description="One thing that happened to a holding. Everything else of it follows from its trades.")
@private(OWNER_ALONE)
@shows(TradeRow, PublicIdTag.TRADE)
class Trade(Node):
    kind: TradeKind = column(TradeRow.kind, "What happened.")
    occurred_at: datetime = column(TradeRow.occurred_at, "When it happened.")
    quantity: Decimal = column(TradeRow.quantity, "How much of the variant it moved; 0 of a fee in money.")
    price: Money = embedded(
        "The price of one unit, without the fee.",
        instead={MONEY.c.amount: TradeRow.price, MONEY.c.currency: TradeRow.currency},
    )
    fee: Money = embedded(
        "The fee for the whole trade.", instead={MONEY.c.amount: TradeRow.fee, MONEY.c.currency: TradeRow.currency}
    )
    currency: CurrencyCode = column(TradeRow.currency, "The currency of the price and the fee.")
    exchange_rate: Decimal = column(
        TradeRow.exchange_rate,
        "What one unit of that currency was in the base currency of the portfolio, frozen when it was recorded.",
    )
    rate_date: date | None = column(
        TradeRow.rate_date,
        "The day whose rate it is; null where its owner gave the rate or a preorder had frozen it, and for the base "
        "currency.",
    )
    exchange: str | None = column(TradeRow.exchange, "Where it happened, such as an exchange or a shop.")
    tags: list[str] = column(TradeRow.tags, "The words that its owner gave it.")
    notes: str | None = column(TradeRow.notes, "What its owner noted.")
    may_lack_acquisitions: bool = column(
        TradeRow.may_lack_acquisitions, "Whether it may dispose of more than is held, for acquisitions are missing."
    )
    external_source: str | None = column(TradeRow.external_source, "Where it was imported from; null otherwise.")
    external_id: str | None = column(TradeRow.external_id, "Its name there; null where it was not imported.")
    version: int = column(TradeRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(TradeRow.created_at, "When it was recorded.")
    updated_at: datetime = column(TradeRow.updated_at, "When it was last changed.")
    holding: Annotated["Holding", strawberry.lazy("app.graph.portfolios.holdings")] | None = edge(
        "The holding that it happened to.", on=TradeRow.holding_id, to=HoldingRow.id
    )
    lot: "Lot | None" = edge("The lot that it opened; null where it disposed.", on=TradeRow.id, to=LotRow.id)
    disposals: Connection["LotDisposal"] | None = connection(
        "What it took from which lots, in the order in which it did.",
        on=TradeRow.id,
        to=DisposalRow.trade_id,
        orders=PART_ORDERS,
    )
    revisions: Connection["TradeRevision"] | None = connection(
        "What it was before it was edited, the newest first.",
        on=TradeRow.id,
        to=RevisionRow.trade_id,
        orders=REVISION_ORDERS,
    )


@strawberry.type(description="What a trade was before it was changed.")
@private(OWNER_ALONE)
@shows(RevisionRow, key=RevisionRow.id)
class TradeRevision:
    number: int = column(RevisionRow.number, "Its place in the history of the trade, from 1.")
    action: TradeRevisionAction = column(RevisionRow.action, "What became of the trade.")
    created_at: datetime = column(RevisionRow.created_at, "When that was done.")
    before: JSON = column(
        BEFORE, "What the trade was, by the names of `RecordTradeInput`; numbers are strings of plain digits."
    )
    trade: Trade | None = edge(
        "The trade as it is now; null where it was deleted.", on=RevisionRow.trade_id, to=TradeRow.id
    )


@strawberry.type(description="What one trade acquired, and what is left of it.")
@private(OWNER_ALONE)
@shows(LotRow, PublicIdTag.LOT, joins=[OF_LOTS_PORTFOLIO, OF_LOTS_HOLDING])
class Lot(Node):
    acquired_at: datetime = column(LotRow.acquired_at, "When it was acquired.")
    quantity: Decimal = column(LotRow.quantity, "How much was acquired.")
    remaining_quantity: Decimal = column(LotRow.remaining_quantity, "How much of it is left.")
    cost: Money = embedded(
        "What all of it cost, its fee included.",
        instead={MONEY.c.amount: LotRow.cost, MONEY.c.currency: PortfolioRow.base_currency},
    )
    remaining_cost: Money = embedded(
        "What the part that is left cost; with the average method its share of what all that is held cost.",
        instead={MONEY.c.amount: REMAINING_COST, MONEY.c.currency: PortfolioRow.base_currency},
    )
    trade: Trade | None = edge("The trade that opened it.", on=LotRow.id, to=TradeRow.id)
    holding: Annotated["Holding", strawberry.lazy("app.graph.portfolios.holdings")] | None = edge(
        "The holding that it is of.", on=LotRow.holding_id, to=HoldingRow.id
    )
    disposals: Connection["LotDisposal"] | None = connection(
        "What was taken from it, the newest first.",
        on=LotRow.id,
        to=DisposalRow.lot_id,
        orders=DISPOSAL_ORDERS,
    )


@strawberry.type(description="What one trade took from one lot.")
@private(OWNER_ALONE)
@shows(DisposalRow, joins=[OF_DISPOSALS_PORTFOLIO])
class LotDisposal:
    number: int = column(DisposalRow.number, "Its place among the parts of the trade, from 1.")
    acquired_at: datetime | None = column(
        DisposalRow.acquired_at, "When its lot was acquired; null of what was never acquired."
    )
    disposed_at: datetime = column(DisposalRow.disposed_at, "When it was taken.")
    quantity: Decimal = column(DisposalRow.quantity, "How much was taken.")
    cost: Money | None = embedded(
        "What it had cost; null of what was never acquired.",
        when=DisposalRow.cost.is_not(None),
        instead={MONEY.c.amount: DisposalRow.cost, MONEY.c.currency: PortfolioRow.base_currency},
    )
    proceeds: Money | None = embedded(
        "What it brought, its part of the fee taken off; null of what was not sold.",
        when=DisposalRow.proceeds.is_not(None),
        instead={MONEY.c.amount: DisposalRow.proceeds, MONEY.c.currency: PortfolioRow.base_currency},
    )
    gain: Money | None = embedded(
        "What it brought less what it had cost; null where one of the two is.",
        when=DisposalRow.gain.is_not(None),
        instead={MONEY.c.amount: DisposalRow.gain, MONEY.c.currency: PortfolioRow.base_currency},
    )
    lot: Lot | None = edge(
        "The lot that it was taken from; null of what was never acquired.", on=DisposalRow.lot_id, to=LotRow.id
    )
    trade: Trade | None = edge("The trade that took it.", on=DisposalRow.trade_id, to=TradeRow.id)
