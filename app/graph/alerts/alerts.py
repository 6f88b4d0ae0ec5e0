"""Alerts: rules that fired, each with the observation that it stands on."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from app.alerts.models import Alert as AlertRow
from app.alerts.models import Condition, Severity
from app.alerts.models import Rule as RuleRow
from app.catalogue.models import Item as ItemRow
from app.catalogue.models import ItemVariant as VariantRow
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.alerts import words  # noqa: F401  # shows the enums
from app.graph.alerts.errors import ALERTS_READ, OWNER_ALONE
from app.graph.catalogue.items import Item, ItemVariant
from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.portfolios.portfolios import Portfolio
from app.graph.prices.money import Money
from app.graph.prices.series import PriceSeries
from app.graph.prices.sources import PriceSource
from app.graph.reads.arguments import Orders, equals, holds, includes
from app.graph.reads.fields import column, connection, edge, embedded, shows
from app.graph.reads.tables import join
from app.graph.relay import Node
from app.graph.scalars import CurrencyCode
from app.graph.trackers.errors import TRACKERS_READ
from app.graph.trackers.places import Place
from app.graph.trackers.trackers import Tracker
from app.graph.wishes.preorders import Preorder
from app.graph.wishes.wants import Want
from app.notifications.models import Notification as NotificationRow
from app.notifications.queries.notifications import IS_DISMISSED, IS_UNREAD_ALERT
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.wish_models import Preorder as PreorderRow
from app.portfolios.wish_models import Want as WantRow
from app.prices.models import PriceKind
from app.prices.models import PriceSeries as SeriesRow
from app.prices.models import Source as SourceRow
from app.prices.queries.quotes import MONEY
from app.trackers.models import Place as PlaceRow
from app.trackers.models import Tracker as TrackerRow

if TYPE_CHECKING:
    from app.graph.alerts.rules import AlertRule

# An alert is told of once.
AS_TOLD = join(NotificationRow, NotificationRow.alert_id == AlertRow.id, outer=True)


class AlertOrder(Enum):
    """What alerts are ordered by."""

    CREATED_AT = "created_at"


# Ids are in the order of creation.
ALERT_ORDERS = Orders("alerts", {AlertOrder.CREATED_AT: AlertRow.id}, tie=AlertRow.id, newest_first=True)


ALERT_ARGUMENTS = (
    holds("unread", IS_UNREAD_ALERT, "Only those that are to be read, or with false only the others."),
    equals("severity", Severity | None, AlertRow.severity, "Only those of this severity."),
    equals("condition", Condition | None, AlertRow.condition, "Only those of this condition."),
    includes("includeDismissed", IS_DISMISSED, "Whether to list those that were dismissed, too."),
)


@strawberry.type(
    description="A rule fired: what was so before, what is so now, and the observation that it stands on. Values are "
    "in `currency`, or in percent where the condition is about a change."
)
@private(OWNER_ALONE)
@shows(AlertRow, PublicIdTag.ALERT, joins=[AS_TOLD])
class Alert(Node):
    title: str = column(AlertRow.title, "What happened, in one line.")
    notes: str | None = column(AlertRow.notes, "The notes of the rule, as they were then.")
    condition: Condition = column(AlertRow.condition, "What became true.")
    severity: Severity = column(AlertRow.severity, "How much it matters, as the rule had it.")
    old_value: Decimal | None = column(AlertRow.old_value, "The value before.")
    new_value: Decimal | None = column(AlertRow.new_value, "The value that made the rule fire.")
    base_value: Decimal | None = column(
        AlertRow.base_value, "Of a change: the value, in `currency`, that it is a change against."
    )
    threshold: Decimal | None = column(AlertRow.threshold, "The threshold of the rule, as it was then.")
    currency: CurrencyCode | None = column(AlertRow.currency, "The currency of the values.")
    observed_price: Money | None = embedded(
        "The price that was observed, before it was converted to the rule's currency; null of what is no price.",
        when=AlertRow.observed_price.is_not(None),
        instead={MONEY.c.amount: AlertRow.observed_price, MONEY.c.currency: AlertRow.observed_currency},
    )
    price_kind: PriceKind | None = column(AlertRow.price_kind, "What that price says.")
    observed_at: datetime = column(AlertRow.observed_at, "The time of the observation.")
    created_at: datetime = column(AlertRow.created_at, "When the rule fired.")
    is_unread: bool = column(IS_UNREAD_ALERT, "Whether it is to be read: not read yet, not dismissed, and not put off.")
    read_at: datetime | None = column(NotificationRow.read_at, "When it was marked as read; null where it was not.")
    dismissed_at: datetime | None = column(
        NotificationRow.dismissed_at, "When it was dismissed; null where it was not."
    )
    snoozed_until: datetime | None = column(
        NotificationRow.snoozed_until, "Until when it is, or was, put off; null where it was not."
    )
    source: PriceSource | None = edge(
        "Where the price comes from; null of what is no price.", on=AlertRow.source_id, to=SourceRow.id
    )
    series: PriceSeries | None = edge(
        "The series of the price; null of what is no price, and where it is gone.",
        on=AlertRow.series_id,
        to=SeriesRow.id,
    )
    rule: Annotated["AlertRule", strawberry.lazy("app.graph.alerts.rules")] | None = edge(
        "The rule, as it is now; null where it was deleted.", on=AlertRow.rule_id, to=RuleRow.id
    )
    item: Item | None = edge(
        "The item that it is about, or the one that this became part of.", on=AlertRow.item_id, to=ItemRow.id
    )
    variant: ItemVariant | None = edge(
        "The variant that it is about, or the one that this became part of.", on=AlertRow.variant_id, to=VariantRow.id
    )
    portfolio: Portfolio | None = edge(
        "The portfolio that it is about.", on=AlertRow.portfolio_id, to=PortfolioRow.id, access=PORTFOLIOS_READ
    )
    tracker: Tracker | None = edge(
        "The tracker that it is about; null where it is not one of one's clients any more.",
        on=AlertRow.tracker_id,
        to=TrackerRow.id,
        access=TRACKERS_READ,
    )
    place: Place | None = edge(
        "Where that happened; null where that is nowhere in particular.",
        on=AlertRow.place_id,
        to=PlaceRow.id,
        access=TRACKERS_READ,
    )
    preorder: Preorder | None = edge(
        "The preorder that it is about.", on=AlertRow.preorder_id, to=PreorderRow.id, access=PORTFOLIOS_READ
    )
    want: Want | None = edge("What was wanted.", on=AlertRow.want_id, to=WantRow.id, access=PORTFOLIOS_READ)


def alerts_of(description: str, **to_many: Any) -> Any:
    """A list of alerts, the newest first, by the arguments that all of them have."""
    return connection(description, orders=ALERT_ORDERS, arguments=ALERT_ARGUMENTS, access=ALERTS_READ, **to_many)
