"""The words of alerts: targets, conditions, states and severities."""

from collections.abc import Mapping

from app.alerts.models import Condition, RuleTarget, Severity
from app.alerts.queries.evaluations import RuleState
from app.core.ids import PublicIdTag
from app.graph.fields import show_enum

# Of what the ids of targets are.
TAG_OF_TARGETS: Mapping[RuleTarget, PublicIdTag] = {
    RuleTarget.ITEM: PublicIdTag.ITEM,
    RuleTarget.VARIANT: PublicIdTag.ITEM_VARIANT,
    RuleTarget.CARD_SET: PublicIdTag.CARD_SET,
    RuleTarget.WATCHLIST: PublicIdTag.WATCHLIST,
    RuleTarget.PORTFOLIO: PublicIdTag.PORTFOLIO,
    RuleTarget.TRACKER: PublicIdTag.TRACKER,
    RuleTarget.PLACE: PublicIdTag.PLACE,
    RuleTarget.PRODUCTION_RUN: PublicIdTag.PRODUCTION_RUN,
    RuleTarget.PREORDER: PublicIdTag.PREORDER,
    RuleTarget.WANT: PublicIdTag.WANT,
}

show_enum(
    RuleTarget,
    "What a rule looks at.",
    {
        RuleTarget.ITEM: "All variants of an item.",
        RuleTarget.VARIANT: "A variant of an item.",
        RuleTarget.CARD_SET: "All cards of a set.",
        RuleTarget.WATCHLIST: "What is in a watchlist: of each item its variant, or all where none is named.",
        RuleTarget.PORTFOLIO: "The value of a portfolio.",
        RuleTarget.TRACKER: "A tracker.",
        RuleTarget.PLACE: "A place, and all trackers of its client.",
        RuleTarget.PRODUCTION_RUN: "All trackers of a production run.",
        RuleTarget.PREORDER: "A preorder.",
        RuleTarget.WANT: "Something that one wants.",
        RuleTarget.WANTS: "All that one wants.",
    },
    name="AlertTarget",
)
show_enum(
    Condition,
    "What has to become true of the target. The first value never fires; see `AlertRule.hysteresis` for when it can "
    "fire again.",
    {
        Condition.CROSSES_ABOVE: "The value was at most the threshold, and is above it. Of prices and portfolios.",
        Condition.CROSSES_BELOW: "The value was at least the threshold, and is below it. Of prices and portfolios.",
        Condition.CROSSES_LEVEL: "One of the two. Of prices and portfolios.",
        Condition.AT_OR_BELOW: "The value was above the threshold, and is no longer. Of prices and portfolios.",
        Condition.RISES_BY: "The value rose by more than so many percent within the window. Of prices and portfolios.",
        Condition.FALLS_BY: "The value fell by more than so many percent within the window. Of prices and portfolios.",
        Condition.ENTERED: "A tracker came to a place. Of trackers, places and production runs.",
        Condition.LEFT: "A tracker left a place. Of trackers, places and production runs.",
        Condition.DELIVERED: "A tracker came to a place of delivery. Of trackers, places and production runs.",
        Condition.SILENT_FOR: "A tracker was not heard of for the duration. Of trackers and production runs.",
        Condition.MOVED_IN_STORAGE: "A stored tracker lies elsewhere in its place of storage than where it came to "
        "rest. Of trackers, places and production runs.",
        Condition.DATE_SLIPPED: "The release was put off; with a threshold, by that many days at least. Of preorders.",
        Condition.WANT_MET: "Something wanted can be had for its maximum price or less. Of wants.",
    },
    name="AlertCondition",
)
show_enum(
    Severity,
    "How much an alert matters to who made the rule.",
    {
        Severity.INFO: "Good to know.",
        Severity.WARNING: "Worth a look soon.",
        Severity.CRITICAL: "Worth being woken for: quiet hours do not hold it back.",
    },
    name="AlertSeverity",
)
show_enum(
    RuleState,
    "What a rule is. One over several things is triggered when it is so for any of them.",
    {
        RuleState.UNKNOWN: "There was no value yet that it could be held against.",
        RuleState.ARMED: "It fires when its condition becomes true.",
        RuleState.TRIGGERED: "Its condition is true: it is armed again once the value is back. One that was to fire "
        "once, and did, stays so.",
        RuleState.EXPIRED: "It has expired.",
        RuleState.PAUSED: "Its owner paused it.",
    },
    name="AlertRuleState",
)
