"""Holdings: how much of what is in a portfolio, and what its owner keeps of it."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.catalogue.models import ItemVariant as VariantRow
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.catalogue.items import ItemVariant, OrderDirection
from app.graph.fields import show_enum
from app.graph.portfolios.errors import OWNER_ALONE
from app.graph.portfolios.holding_photos import HoldingPhoto, HoldingTurntable
from app.graph.portfolios.trades import LOT_ORDERS, TRADE_ORDERS, Lot, Trade, TradeFilter
from app.graph.portfolios.values import HoldingValue, value_of_holding
from app.graph.prices.money import Money
from app.graph.reads.arguments import Orders, narrow
from app.graph.reads.fields import column, connection, edge, edges, embedded, shows
from app.graph.reads.tables import join
from app.graph.relay import Connection, Node
from app.graph.scalars import URL
from app.graph.trackers.attached import trackers_riding_with
from app.portfolios.commands.holding_photos import MOST_PHOTOS
from app.portfolios.models import Holding as HoldingRow
from app.portfolios.models import HoldingDetails as DetailsRow
from app.portfolios.models import HoldingPhoto as PhotoRow
from app.portfolios.models import HoldingTurntable as TurntableRow
from app.portfolios.models import Lot as LotRow
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.models import Store as StoreRow
from app.portfolios.models import Trade as TradeRow
from app.portfolios.queries.amounts import AVERAGE_COST, IS_GAIN_COMPLETE, IS_HELD
from app.prices.queries.quotes import MONEY
from app.trackers.models import TrackerAttachment

if TYPE_CHECKING:
    from app.graph.portfolios.portfolios import Portfolio
    from app.graph.trackers.trackers import Tracker

OF_PORTFOLIO = join(PortfolioRow, PortfolioRow.id == HoldingRow.portfolio_id)


class HoldingOrderField(Enum):
    """What a list of holdings can be ordered by; the id breaks ties."""

    POSITION = "position"
    CREATED_AT = "created_at"
    COST = "cost"


class StoreOrder(Enum):
    """What stores are ordered by."""

    NAME = "name"


show_enum(
    HoldingOrderField,
    "What holdings can be ordered by.",
    {
        HoldingOrderField.POSITION: "The order that their owner gave them.",
        HoldingOrderField.CREATED_AT: "When they came into the portfolio.",
        HoldingOrderField.COST: "What is held of them cost, in the base currency.",
    },
)


@strawberry.input(description="An order of holdings; ties are broken by the id.")
class HoldingOrder:
    field: HoldingOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


HOLDING_ORDERS = Orders(
    "holdings",
    {
        HoldingOrderField.POSITION: HoldingRow.position,
        HoldingOrderField.CREATED_AT: HoldingRow.created_at,
        HoldingOrderField.COST: HoldingRow.cost,
    },
    tie=HoldingRow.id,
    input_type=HoldingOrder,
)
STORE_ORDERS = Orders("stores", {StoreOrder.NAME: StoreRow.name}, tie=StoreRow.id)


@strawberry.input(description="Which holdings to list; what is left out does not narrow the list.")
class HoldingFilter:
    is_held: bool | None = narrow(
        "Only those of which something is held, or of which nothing is left.",
        HoldingRow.archived_at.is_(None),
        lambda is_held: is_held == IS_HELD,
    )
    is_archived: bool | None = narrow(
        "Only those that are archived, or that are not.",
        HoldingRow.archived_at.is_(None),
        lambda is_archived: HoldingRow.archived_at.is_not(None) == is_archived,
    )


@strawberry.type(description="Somewhere that its owner acquires things.")
@private(OWNER_ALONE)
@shows(StoreRow, PublicIdTag.STORE)
class Store(Node):
    name: str = column(StoreRow.name, "Its name.")
    slug: str = column(StoreRow.slug, "The same as a word in addresses, unique among its owner's.")
    url: URL | None = column(StoreRow.url, "Its address; null where none is given.")
    created_at: datetime = column(StoreRow.created_at, "When it was added.")


@strawberry.type(description="What a collector keeps of a holding.")
@private(OWNER_ALONE)
@shows(DetailsRow, key=DetailsRow.holding_id)
class HoldingDetails:
    condition: str | None = column(DetailsRow.condition, "The condition, in words such as `near mint`.")
    grade: Decimal | None = column(DetailsRow.grade, "The grade that the grader gave, such as 9.5.")
    grader: str | None = column(DetailsRow.grader, "Who graded it, such as `PSA`.")
    serial: str | None = column(DetailsRow.serial, "The number on it or on its certificate.")
    float_value: Decimal | None = column(DetailsRow.float_value, "The wear of a skin as a number from 0 to 1.")
    pattern: int | None = column(DetailsRow.pattern, "The seed of a skin's pattern.")
    place: str | None = column(DetailsRow.place, "Where it is kept.")
    store: Store | None = edge("Where it was acquired.", on=DetailsRow.store_id, to=StoreRow.id)
    acquired_on: date | None = column(DetailsRow.acquired_on, "The day on which it was acquired, as its owner says.")
    notes: str | None = column(DetailsRow.notes, "What its owner noted.")


@strawberry.type(
    description="A quantity of a variant in a portfolio. How much it is and what it cost follows from its trades."
)
@private(OWNER_ALONE)
@shows(HoldingRow, PublicIdTag.HOLDING, joins=[OF_PORTFOLIO])
class Holding(Node):
    position: int = column(HoldingRow.position, "Its place in the order that its owner gave.")
    quantity: Decimal = column(HoldingRow.quantity, "How much is held.")
    cost: Money = embedded(
        "What it cost that is held, fees included, at the rates of when it was recorded, in the base currency.",
        instead={MONEY.c.amount: HoldingRow.cost, MONEY.c.currency: PortfolioRow.base_currency},
    )
    average_cost: Money | None = embedded(
        "The same for one unit, rounded to 18 decimal places; null where nothing is held.",
        when=IS_HELD,
        instead={MONEY.c.amount: AVERAGE_COST, MONEY.c.currency: PortfolioRow.base_currency},
    )
    realized_gain: Money = embedded(
        "What its sales brought less what was sold had cost, and less the fees of trades that sold nothing.",
        instead={MONEY.c.amount: HoldingRow.realized_gain, MONEY.c.currency: PortfolioRow.base_currency},
    )
    is_gain_complete: bool = column(
        IS_GAIN_COMPLETE,
        "Whether all that was disposed of had been acquired; if not, its part of the gain is left out.",
    )
    missing_quantity: Decimal = column(
        HoldingRow.missing_quantity, "How much was disposed of that no trade had acquired."
    )
    external_source: str | None = column(HoldingRow.external_source, "Where it was imported from; null otherwise.")
    external_id: str | None = column(HoldingRow.external_id, "Its name there; null where it was not imported.")
    archived_at: datetime | None = column(HoldingRow.archived_at, "When it was put aside; null where it was not.")
    version: int = column(HoldingRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(HoldingRow.created_at, "When it came into the portfolio.")
    updated_at: datetime = column(HoldingRow.updated_at, "When it was last changed.")
    portfolio: Annotated["Portfolio", strawberry.lazy("app.graph.portfolios.portfolios")] | None = edge(
        "The portfolio that it is in.", on=HoldingRow.portfolio_id, to=PortfolioRow.id
    )
    variant: ItemVariant = edge("What is held.", on=HoldingRow.variant_id, to=VariantRow.id)
    details: HoldingDetails | None = edge(
        "What its owner keeps of it; null where nothing was noted.", on=HoldingRow.id, to=DetailsRow.holding_id
    )
    photos: list[HoldingPhoto] = edges(
        f"The photos that its owner took of it, in their order, {MOST_PHOTOS} at most.",
        on=HoldingRow.id,
        to=PhotoRow.holding_id,
        order=[PhotoRow.position, PhotoRow.id],
    )
    cover: HoldingPhoto | None = edge(
        "The first of its photos; null where it has none.",
        on=HoldingRow.id,
        to=PhotoRow.holding_id,
        order=[PhotoRow.position, PhotoRow.id],
    )
    turntable: HoldingTurntable | None = edge(
        "The holding from all sides; null where nobody has shown it so.",
        on=HoldingRow.id,
        to=TurntableRow.holding_id,
    )
    value: HoldingValue | None = value_of_holding(
        "What it is worth now, in the base currency of its portfolio unless another one is named."
    )
    trades: Connection[Trade] | None = connection(
        "What happened to it, the newest first.",
        on=HoldingRow.id,
        to=TradeRow.holding_id,
        orders=TRADE_ORDERS,
        filter=TradeFilter,
    )
    lots: Connection[Lot] | None = connection(
        "What was acquired of it, the oldest first.", on=HoldingRow.id, to=LotRow.holding_id, orders=LOT_ORDERS
    )
    trackers: list[Annotated["Tracker", strawberry.lazy("app.graph.trackers.trackers")]] = trackers_riding_with(
        HoldingRow.id, attached_by=TrackerAttachment.holding_id
    )
