"""Rules: what somebody wants to be told of, and what became of it."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import strawberry
from strawberry import Parent

from app.alerts.models import Alert as AlertRow
from app.alerts.models import Condition, RuleTarget, Severity
from app.alerts.models import Rule as RuleRow
from app.alerts.queries.evaluations import (
    STATES,
    AskedRule,
    Evaluated,
    Evaluation,
    RuleState,
    evaluations_of,
    is_in_one_of,
)
from app.alerts.queries.rules import COOLDOWN, DURATION, IS_WATCHING, LAST_FIRED_AT, WINDOW, looks_at, says
from app.catalogue.models import CardSet as CardSetRow
from app.catalogue.models import Item as ItemRow
from app.catalogue.models import ItemVariant as VariantRow
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.alerts.alerts import Alert, alerts_of
from app.graph.alerts.errors import ALERTS_READ, OWNER_ALONE, may_see
from app.graph.alerts.words import TAG_OF_TARGETS
from app.graph.catalogue.cards import CardSet
from app.graph.catalogue.items import Item, ItemVariant, OrderDirection, like_pattern
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum
from app.graph.notifications import words  # noqa: F401  # shows the kinds of channels
from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.portfolios.portfolios import Portfolio
from app.graph.prices.sources import PriceSource
from app.graph.reads.arguments import Orders, narrow, narrow_to_any
from app.graph.reads.fields import column, connection, edge, shows
from app.graph.reads.layout import Row, value_of
from app.graph.relay import Connection, Node, key_of
from app.graph.scalars import CurrencyCode
from app.graph.trackers.clients import ProductionRun
from app.graph.trackers.errors import TRACKERS_READ
from app.graph.trackers.places import Place
from app.graph.trackers.trackers import Tracker
from app.graph.wishes.preorders import Preorder
from app.graph.wishes.wants import Want
from app.graph.wishes.watchlists import Watchlist
from app.notifications.models import ChannelKind
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.wish_models import Preorder as PreorderRow
from app.portfolios.wish_models import Want as WantRow
from app.portfolios.wish_models import Watchlist as WatchlistRow
from app.prices.models import PriceKind
from app.prices.models import Source as SourceRow
from app.trackers.models import Place as PlaceRow
from app.trackers.models import ProductionRun as RunRow
from app.trackers.models import Tracker as TrackerRow


class AlertRuleOrderField(Enum):
    """What a list of rules can be ordered by; the id breaks ties."""

    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    FIRED_COUNT = "fired_count"
    LAST_FIRED_AT = "last_fired_at"


show_enum(
    AlertRuleOrderField,
    "What rules can be ordered by.",
    {
        AlertRuleOrderField.CREATED_AT: "When they were made.",
        AlertRuleOrderField.UPDATED_AT: "When they were last changed.",
        AlertRuleOrderField.FIRED_COUNT: "How often they fired.",
        AlertRuleOrderField.LAST_FIRED_AT: "When they last fired, those that never did as if it were longest ago.",
    },
)


@strawberry.input(description="An order of rules; ties are broken by the id.")
class AlertRuleOrder:
    field: AlertRuleOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


RULE_ORDERS = Orders(
    "alert-rules",
    {
        AlertRuleOrderField.CREATED_AT: RuleRow.created_at,
        AlertRuleOrderField.UPDATED_AT: RuleRow.updated_at,
        AlertRuleOrderField.FIRED_COUNT: RuleRow.fired_count,
        AlertRuleOrderField.LAST_FIRED_AT: LAST_FIRED_AT,
    },
    tie=RuleRow.id,
    input_type=AlertRuleOrder,
)


def target_key_of(given: str, path: str) -> UUID | None:
    """The key behind the id of a target; None when it is an id of something else."""
    found = (key_of(given, tag, argument=path) for tag in TAG_OF_TARGETS.values())
    return next((key for key in found if isinstance(key, UUID)), None)


@strawberry.input(description="Which rules to list; what is left out does not narrow the list.")
class AlertRuleFilter:
    targets: list[RuleTarget] | None = narrow_to_any("Only rules with one of these targets.", RuleRow.target)
    conditions: list[Condition] | None = narrow_to_any("Only rules with one of these conditions.", RuleRow.condition)
    severities: list[Severity] | None = narrow_to_any("Only rules with one of these severities.", RuleRow.severity)
    target_id: strawberry.ID | None = narrow(
        "Only rules over this: the id of an item, with those over its variants, or of any other target.",
        RuleRow.item_id,
        looks_at,
        check=target_key_of,
    )
    is_active: bool | None = narrow(
        "Only those that are neither paused nor have ended, or only the others.",
        IS_WATCHING,
        lambda is_active: is_active == IS_WATCHING,
    )
    states: list[RuleState] | None = narrow("Only rules in one of these states.", STATES, is_in_one_of)
    text_contains: str | None = narrow(
        "Only rules whose notes hold this text, or the name of the item or card set that they are about, in any case; "
        "1 to 200 characters.",
        RuleRow.notes,
        says,
        check=like_pattern,
    )


@strawberry.type(description="The newest observation that a rule was held against.")
class AlertEvaluation:
    at: datetime = attribute("The time of the observation.")
    value: Decimal | None = attribute("Its value: in the rule's currency, or in percent; null of what has none.")


@strawberry.type(
    description="What somebody wants to be told of: a condition, and the target that it is about. It fires when the "
    "condition becomes true, once for each time."
)
@private(OWNER_ALONE)
@shows(RuleRow, PublicIdTag.ALERT_RULE)
class AlertRule(Node):
    target: RuleTarget = column(RuleRow.target, "What it looks at; the field of that name is that.")
    condition: Condition = column(RuleRow.condition, "What has to become true.")
    threshold: Decimal | None = column(
        RuleRow.threshold, "The value that it is about: an amount, or percent of a change, or days."
    )
    currency: CurrencyCode | None = column(
        RuleRow.currency, "The currency of the values: each price at the exchange rate of its own day."
    )
    hysteresis: Decimal = column(
        RuleRow.hysteresis,
        "How far the value has to be back behind the threshold before the rule can fire again: of `CROSSES_ABOVE` at "
        "the threshold less this, or below.",
    )
    cooldown: timedelta = column(
        COOLDOWN, "How long after an observation that fired no other fires, of the same price or thing."
    )
    window: timedelta | None = column(WINDOW, "Within which time a change counts.")
    duration: timedelta | None = column(DURATION, "For how long a tracker has to be silent.")
    price_kind: PriceKind | None = column(RuleRow.price_kind, "The kind of prices that count; null for all.")
    is_recurring: bool = column(RuleRow.is_recurring, "Whether it can fire again, or ends once it has.")
    expires_at: datetime | None = column(RuleRow.expires_at, "When it ends by itself; null where it does not.")
    severity: Severity = column(RuleRow.severity, "How much its alerts matter.")
    notes: str | None = column(RuleRow.notes, "What its owner noted; its alerts repeat it.")
    channels: list[ChannelKind] | None = column(
        RuleRow.channels, "By which channels its alerts go out; null where one's preferences say so."
    )
    is_active: bool = column(IS_WATCHING, "Whether it is neither paused nor has ended.")
    paused_at: datetime | None = column(RuleRow.paused_at, "When it was paused; null where it is not.")
    ended_at: datetime | None = column(
        RuleRow.ended_at, "When it ended: it fired once and was to fire once, or expired."
    )
    fired_count: int = column(RuleRow.fired_count, "How often it fired.")
    last_fired_at: datetime | None = column(
        RuleRow.last_fired_at, "The time of the last observation at which it fired; null where it never did."
    )
    version: int = column(RuleRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(RuleRow.created_at, "When it was made.")
    updated_at: datetime = column(RuleRow.updated_at, "When it was last changed.")
    source: PriceSource | None = edge(
        "The source whose prices count; null for all.", on=RuleRow.source_id, to=SourceRow.id
    )
    item: Item | None = edge("The item that it is about, if one.", on=RuleRow.item_id, to=ItemRow.id)
    variant: ItemVariant | None = edge("The variant, if one.", on=RuleRow.variant_id, to=VariantRow.id)
    card_set: CardSet | None = edge("The card set, if one.", on=RuleRow.card_set_id, to=CardSetRow.id)
    watchlist: Watchlist | None = edge(
        "The watchlist, if one.", on=RuleRow.watchlist_id, to=WatchlistRow.id, access=PORTFOLIOS_READ
    )
    portfolio: Portfolio | None = edge(
        "The portfolio, if one.", on=RuleRow.portfolio_id, to=PortfolioRow.id, access=PORTFOLIOS_READ
    )
    tracker: Tracker | None = edge(
        "The tracker, if one, while its client is one's own.",
        on=RuleRow.tracker_id,
        to=TrackerRow.id,
        access=TRACKERS_READ,
    )
    place: Place | None = edge(
        "The place, if one, while its client is one's own.", on=RuleRow.place_id, to=PlaceRow.id, access=TRACKERS_READ
    )
    production_run: ProductionRun | None = edge(
        "The production run, if one, while its client is one's own.",
        on=RuleRow.production_run_id,
        to=RunRow.id,
        access=TRACKERS_READ,
    )
    preorder: Preorder | None = edge(
        "The preorder, if one.", on=RuleRow.preorder_id, to=PreorderRow.id, access=PORTFOLIOS_READ
    )
    want: Want | None = edge("What is wanted, if one thing.", on=RuleRow.want_id, to=WantRow.id, access=PORTFOLIOS_READ)
    alerts: Connection[Alert] | None = alerts_of(
        "The alerts that it gave, the newest first; those that were dismissed are left out unless they are asked for.",
        on=RuleRow.id,
        to=AlertRow.rule_id,
    )

    @resolved("What it is now.")
    @staticmethod
    async def state(root: Parent[Row], info: Info) -> RuleState:
        evaluation = await _evaluation(root, info)
        return RuleState.UNKNOWN if evaluation is None else evaluation.state

    @resolved(
        "The newest observation that it was held against, of prices the newest of all that it watches; null where "
        "there was none. Of portfolios, watchlists, preorders and wants it is null without `portfolios:read`, and of "
        "trackers without `trackers:read`.",
        type=AlertEvaluation | None,
    )
    @staticmethod
    async def last_evaluation(root: Parent[Row], info: Info) -> Evaluated | None:
        if not may_see(info.context.viewer, RuleTarget(value_of(root, RuleRow.target))):
            return None
        evaluation = await _evaluation(root, info)
        return None if evaluation is None else evaluation.last


async def _evaluation(root: Row, info: Info) -> Evaluation | None:
    asked = AskedRule(value_of(root, RuleRow.id), info.context.now)
    (evaluation,) = await info.context.loaders.several(evaluations_of, [asked])
    return evaluation


def rules_of(description: str, **to_many: Any) -> Any:
    """A list of rules, by the arguments that all of them have."""
    return connection(description, orders=RULE_ORDERS, filter=AlertRuleFilter, access=ALERTS_READ, **to_many)


@strawberry.type
class AlertQueries:
    alert_rules: Connection[AlertRule] | None = rules_of("One's own rules, the oldest first unless ordered otherwise.")
    alerts: Connection[Alert] | None = alerts_of(
        "One's own alerts, the newest first, for a year. What was dismissed is left out unless it is asked for."
    )
