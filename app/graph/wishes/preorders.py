"""Preorders: what somebody ordered before it came out, with what became of it and what is still to be paid."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import UNSET

from app.catalogue.models import Item as ItemRow
from app.catalogue.models import ItemVariant as VariantRow
from app.catalogue.models import Manufacturer as ManufacturerRow
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.catalogue.figures import Manufacturer
from app.graph.catalogue.items import Item, ItemVariant
from app.graph.fields import show_enum
from app.graph.portfolios.errors import OWNER_ALONE, PORTFOLIOS_READ
from app.graph.portfolios.holdings import Store
from app.graph.portfolios.portfolios import Portfolio
from app.graph.portfolios.trades import Trade
from app.graph.prices.money import Money
from app.graph.reads.arguments import OperationContext, Orders, graphql_argument, narrow_to_any
from app.graph.reads.fields import column, edge, edges, embedded, keyed_rows, shows
from app.graph.reads.tables import join
from app.graph.relay import Node
from app.graph.scalars import URL, CurrencyCode
from app.graph.trackers.attached import trackers_riding_with
from app.identity.models import User as UserRow
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.models import Store as StoreRow
from app.portfolios.models import Trade as TradeRow
from app.portfolios.queries.preorders import (
    BALANCE,
    DUE,
    ESTIMATED_ARRIVAL,
    HAS_PRICE,
    IS_CANCELLED,
    LOSS,
    NEXT,
    RELEASE,
    SLIP_DAYS,
    SLIPS,
    due_values,
)
from app.portfolios.wish_models import DatePrecision, PreorderDateChange, PreorderStatus, PreorderStatusChange
from app.portfolios.wish_models import Preorder as PreorderRow
from app.prices.queries.quotes import MONEY
from app.trackers.models import TrackerAttachment

if TYPE_CHECKING:
    from app.graph.trackers.trackers import Tracker

OF_ITEM = join(VariantRow, VariantRow.item_id == ItemRow.id)

show_enum(
    PreorderStatus,
    "How far a preorder has come.",
    {
        PreorderStatus.ANNOUNCED: "It was announced, and cannot be ordered yet.",
        PreorderStatus.OPEN: "It can be ordered.",
        PreorderStatus.PREORDERED: "It is ordered.",
        PreorderStatus.IN_PRODUCTION: "It is being made.",
        PreorderStatus.RELEASED: "It is out, and on its way to the store.",
        PreorderStatus.SHIPPED: "It is on its way to its owner.",
        PreorderStatus.RECEIVED: "It has arrived, and is held.",
        PreorderStatus.CANCELLED: "It was cancelled; it can be taken up again.",
    },
)
show_enum(
    DatePrecision,
    "How much of a release date is known.",
    {DatePrecision.DAY: "The day.", DatePrecision.MONTH: "The month alone."},
)


class PreorderOrder(Enum):
    """What preorders are ordered by."""

    CREATED_AT = "created_at"


PREORDER_ORDERS = Orders(
    "preorders", {PreorderOrder.CREATED_AT: PreorderRow.created_at}, tie=PreorderRow.id, newest_first=True
)


@strawberry.input(description="Which preorders to list; what is left out does not narrow the list.")
class PreorderFilter:
    statuses: list[PreorderStatus] | None = narrow_to_any("Only those in one of these states.", PreorderRow.status)


@strawberry.type(description="A day, or a month, on which something comes out.")
@shows(RELEASE)
class ReleaseDate:
    on: date = column(RELEASE.c.on, "The day; of a month its first.", name="date", present=True)
    precision: DatePrecision = column(RELEASE.c.precision, "How much of it is known.", present=True)


def _release(description: str, row: Any, which: str) -> Any:
    on, precision = getattr(row, f"{which}_date"), getattr(row, f"{which}_precision")
    return embedded(description, when=on.is_not(None), instead={RELEASE.c.on: on, RELEASE.c.precision: precision})


def _money(description: str, amount: Any, when: Any = HAS_PRICE) -> Any:
    return embedded(description, when=when, instead={MONEY.c.amount: amount, MONEY.c.currency: PreorderRow.currency})


@strawberry.type(description="A step of a preorder.")
@private(OWNER_ALONE)
@shows(PreorderStatusChange)
class PreorderStep:
    previous_status: PreorderStatus | None = column(
        PreorderStatusChange.previous_status, "The state before; null of the first one."
    )
    status: PreorderStatus = column(PreorderStatusChange.status, "The state that it came to.")
    note: str | None = column(PreorderStatusChange.note, "What its owner noted.")
    created_at: datetime = column(PreorderStatusChange.created_at, "When it was written down.")


@strawberry.type(description="A release date that was moved.")
@private(OWNER_ALONE)
@shows(PreorderDateChange)
class PreorderSlip:
    previous_release: ReleaseDate | None = _release(
        "The date before; null where none was known.", PreorderDateChange, "previous"
    )
    new_release: ReleaseDate | None = _release("The new date; null where none is known.", PreorderDateChange, "new")
    source: str | None = column(PreorderDateChange.source, "Who says so.")
    note: str | None = column(PreorderDateChange.note, "What its owner noted.")
    created_at: datetime = column(PreorderDateChange.created_at, "When it was written down.")


@strawberry.type(description="One copy of something that was announced, or ordered before it came out.")
@private(OWNER_ALONE)
@shows(PreorderRow, PublicIdTag.PREORDER)
class Preorder(Node):
    status: PreorderStatus = column(PreorderRow.status, "How far it has come.")
    next_states: list[PreorderStatus] = column(
        NEXT, "The states that it may come to next: by `movePreorder`, or `RECEIVED` by `receivePreorder`."
    )
    price: Money | None = _money("What it costs, without shipping; null where that is not known.", PreorderRow.price)
    shipping: Money | None = _money("What its shipping costs.", PreorderRow.shipping)
    deposit: Money | None = _money("The part of the price that was paid ahead.", PreorderRow.deposit)
    refund: Money | None = _money("The part of the deposit that was given back.", PreorderRow.refund)
    balance: Money | None = _money(
        "What is still to be paid when it comes: price and shipping less what was paid and not given back; 0 once it "
        "is shipped, for it was paid then. Of a cancelled one what it would take to have it all the same.",
        BALANCE,
    )
    loss: Money | None = _money(
        "What was paid and not given back, of a cancelled one; null of others.", LOSS, when=IS_CANCELLED
    )
    exchange_rate: Decimal | None = column(
        PreorderRow.exchange_rate,
        "What one unit of the price's currency was in `rateCurrency`, frozen once its portfolio and its price were "
        "known, and anew when one of the two currencies changes; null where it is not known.",
    )
    rate_currency: CurrencyCode | None = column(
        PreorderRow.rate_currency, "The base currency of its portfolio at that time."
    )
    rate_date: date | None = column(
        PreorderRow.rate_date, "The day whose rate it is; null without one, and for the base currency itself."
    )
    original_release: ReleaseDate | None = _release(
        "When it was first said to come out; null where that was never known.", PreorderRow, "original"
    )
    release: ReleaseDate | None = _release("When it comes out, as is known now.", PreorderRow, "release")
    slip_days: int | None = column(
        SLIP_DAYS,
        "By how many days the release moved from the original one, negative where it came sooner; where one of the two "
        "is a month, from month to month.",
    )
    tracking_url: URL | None = column(PreorderRow.tracking_url, "Where its parcel is followed.")
    shipped_at: datetime | None = column(PreorderRow.shipped_at, "When it was sent.")
    estimated_delivery_days: int | None = column(
        PreorderRow.estimated_delivery_days, "How many days its parcel takes, as its sender says."
    )
    estimated_arrival: date | None = column(
        ESTIMATED_ARRIVAL, "The day on which it should come; null unless it was sent and the days are known."
    )
    received_at: datetime | None = column(PreorderRow.received_at, "When it arrived.")
    notes: str | None = column(PreorderRow.notes, "What its owner noted.")
    version: int = column(PreorderRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(PreorderRow.created_at, "When it was written down.")
    updated_at: datetime = column(PreorderRow.updated_at, "When it was last changed.")
    item: Item = edge("The item.", on=PreorderRow.variant_id, to=VariantRow.id, joins=[OF_ITEM])
    variant: ItemVariant = edge("The variant that is ordered.", on=PreorderRow.variant_id, to=VariantRow.id)
    portfolio: Portfolio | None = edge(
        "The portfolio that it is meant for; null where none was named.",
        on=PreorderRow.portfolio_id,
        to=PortfolioRow.id,
    )
    store: Store | None = edge("Where it is ordered.", on=PreorderRow.store_id, to=StoreRow.id)
    trade: Trade | None = edge(
        "The trade that it became when it was received; null before, and where that was deleted.",
        on=PreorderRow.trade_id,
        to=TradeRow.id,
    )
    trackers: list[Annotated["Tracker", strawberry.lazy("app.graph.trackers.trackers")]] = trackers_riding_with(
        PreorderRow.id, attached_by=TrackerAttachment.preorder_id
    )
    steps: list[PreorderStep] = edges(
        "How it came to its state, the first step first; 100 at most after the first.",
        on=PreorderRow.id,
        to=PreorderStatusChange.preorder_id,
        order=[PreorderStatusChange.created_at, PreorderStatusChange.id],
    )
    slips: list[PreorderSlip] = edges(
        "How its date was moved, the first time first; 100 at most.",
        on=PreorderRow.id,
        to=PreorderDateChange.preorder_id,
        order=[PreorderDateChange.created_at, PreorderDateChange.id],
    )


@strawberry.type(
    description="How late a maker's figures come, by one's own preorders of them, whatever became of these. One that "
    "has not been put off yet counts as 0 days."
)
@private(OWNER_ALONE)
@shows(SLIPS)
class MakerSlips:
    sample_count: int = column(SLIPS.c.sample_count, "How many preorders with a release date it is made of.")
    median_days: Decimal = column(SLIPS.c.median_days, "The median of their slips, in days.")
    p80_days: int = column(SLIPS.c.p80_days, "The slip in days that four of five do not exceed (nearest rank).")
    is_reliable: bool = column(SLIPS.c.is_reliable, "Whether there are three at least.")
    manufacturer: Manufacturer | None = edge("The maker.", on=SLIPS.c.manufacturer_id, to=ManufacturerRow.id)


@strawberry.type(
    description="What is still to be paid in a month for what is preordered, in production or released: once by dates "
    "that are adjusted for how late their makers are, and once by the dates as they were announced. An adjusted date "
    "is the original one and the maker's p80 slip, where that is reliable and the date has not slipped more than that; "
    "and never lies in the past."
)
@private(OWNER_ALONE)
@shows(DUE)
class PreordersDue:
    month: date | None = column(DUE.c.month, "The first day of the month; null of those whose date is not known.")
    amount: Money | None = embedded(
        "What is expected in this month by adjusted dates; null where no part of it can be told in the currency.",
        when=DUE.c.amount.is_not(None),
        instead={MONEY.c.amount: DUE.c.amount, MONEY.c.currency: DUE.c.currency},
    )
    count: int = column(DUE.c["count"], "For how many preorders that is.")
    is_partial: bool = column(
        DUE.c.is_partial, "Whether some of them are left out of the amount: without a price, or without a rate."
    )
    announced_amount: Money | None = embedded(
        "The same by the dates as they were announced.",
        when=DUE.c.announced_amount.is_not(None),
        instead={MONEY.c.amount: DUE.c.announced_amount, MONEY.c.currency: DUE.c.currency},
    )
    announced_count: int = column(DUE.c.announced_count, "For how many preorders that is.")
    is_announced_partial: bool = column(DUE.c.is_announced_partial, "Whether some of them are left out of that amount.")


def _due_values(arguments: Mapping[str, Any], context: OperationContext) -> dict[str, Any]:
    PORTFOLIOS_READ.check(context.viewer, context.now)
    return due_values(arguments["currency"], now=context.now)


def _no_values(_: Mapping[str, Any], context: OperationContext) -> dict[str, Any]:
    PORTFOLIOS_READ.check(context.viewer, context.now)
    return {}


def preorders_due_of_account() -> Any:
    """The field of an account that tells what falls due when."""
    return keyed_rows(
        "What is still to be paid for preorders, month by month, in a currency by the rates of today; empty for "
        f"everybody but their owner. {PORTFOLIOS_READ.sentence}",
        on=UserRow.id,
        to=DUE.c.owner_id,
        keys="owner_ids",
        order=[DUE.c.month],
        arguments=[graphql_argument("currency", CurrencyCode, "The currency to tell it in.", default=UNSET)],
        values=_due_values,
    )


def preorder_slips_of_account() -> Any:
    """The field of an account that tells how late its makers are."""
    return keyed_rows(
        "How late the makers of their preorders are, by name; empty for everybody but their owner. "
        f"{PORTFOLIOS_READ.sentence}",
        on=UserRow.id,
        to=SLIPS.c.owner_id,
        keys="owner_ids",
        order=[SLIPS.c.name, SLIPS.c.manufacturer_id],
        arguments=[],
        values=_no_values,
    )
