"""The mutations by which people keep their rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import strawberry

from app.alerts.commands.rules import (
    MOST_NEW_RULES,
    MOST_RULES,
    MOST_WIDE_RULES,
    create_rule,
    delete_rule,
    edit_rule,
    pause_rule,
    resume_rule,
)
from app.alerts.given import HIGHEST_PERCENTAGE, LONGEST_NOTES, TERMS, Target, not_found, refused
from app.alerts.models import Condition, RuleTarget, Severity
from app.alerts.queries.rules import target_of_rule
from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.graph.alerts.errors import ACCESS_TO_TARGETS, ALERTS_WRITE, AlertError, alert_changes
from app.graph.alerts.rules import AlertRule
from app.graph.alerts.words import TAG_OF_TARGETS
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, key_of, sent
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import CurrencyCode
from app.graph.user_errors import USER_ERRORS, Done
from app.notifications.models import ChannelKind
from app.prices.models import PriceKind

NOW = "The rule as it is now; null when refused."
_THRESHOLD = (
    "The amount, above 0 and up to 10^15; of a change the percentage, above 0 and up to "
    f"{HIGHEST_PERCENTAGE:,}; of `DATE_SLIPPED` a number of days, which may be left out."
)
_CURRENCY = (
    "The currency of the amount, of which there must be an exchange rate; of a portfolio its base currency by default. "
    "Of changes of prices, null has each price changed in its own currency."
)
_HYSTERESIS = "How far the value has to be back behind the threshold before it can fire again; default: 0."
_COOLDOWN = "How long after it fired it does not fire, of the same price or thing: whole minutes, 365 days at most."
_WINDOW = "Of a change: within which time, in whole minutes, or of a portfolio in whole days; 365 days at most."
_DURATION = "Of `SILENT_FOR`: for how long, in whole minutes from 10 minutes to 365 days."
_KIND = "Of prices: the kind that counts; null for all."
_SOURCE = "Of prices: the code of the source that counts; null for all."
_RECURRING = "Whether it can fire again, or ends once it has."
_EXPIRES = "When it ends by itself; null for never."
_SEVERITY = "How much its alerts matter."
_NOTES = f"Notes, of {LONGEST_NOTES:,} characters at most, which its alerts repeat."
_CHANNELS = "By which channels its alerts go out; in the app they always stand. Null where one's preferences say so."


@strawberry.input(one_of=True, description="What a rule looks at.")
class AlertTargetInput:
    item_id: strawberry.ID | None = given("The prices of all variants of an item.")
    variant_id: strawberry.ID | None = given("The prices of a variant.")
    card_set_id: strawberry.ID | None = given("The prices of all cards of a set.")
    watchlist_id: strawberry.ID | None = given("The prices of what is in a watchlist of one's own.")
    portfolio_id: strawberry.ID | None = given("The value of a portfolio of one's own.")
    tracker_id: strawberry.ID | None = given("A tracker of one of one's clients.")
    place_id: strawberry.ID | None = given("A place of one of one's clients, with all trackers of that client.")
    production_run_id: strawberry.ID | None = given("All trackers of a production run of one of one's clients.")
    preorder_id: strawberry.ID | None = given("A preorder of one's own.")
    want_id: strawberry.ID | None = given("Something that one wants.")
    all_wants: bool | None = given("True for all that one wants, now and later.")


@strawberry.input(description="A rule to preview. Which values go with which condition says `AlertCondition`.")
class PreviewAlertRuleInput:
    target: AlertTargetInput = strawberry.field(description="What it looks at.")
    condition: Condition = strawberry.field(description="What has to become true.")
    threshold: Decimal | None = strawberry.field(default=None, description=_THRESHOLD)
    currency: CurrencyCode | None = strawberry.field(default=None, description=_CURRENCY)
    hysteresis: Decimal | None = strawberry.field(default=None, description=_HYSTERESIS)
    cooldown: timedelta | None = strawberry.field(default=None, description=f"{_COOLDOWN} Default: none.")
    window: timedelta | None = strawberry.field(default=None, description=_WINDOW)
    duration: timedelta | None = strawberry.field(default=None, description=_DURATION)
    price_kind: PriceKind | None = strawberry.field(default=None, description=_KIND)
    source: str | None = strawberry.field(default=None, description=_SOURCE)
    is_recurring: bool = strawberry.field(default=True, description=_RECURRING)
    expires_at: datetime | None = strawberry.field(default=None, description=_EXPIRES)
    severity: Severity = strawberry.field(default=Severity.INFO, description=_SEVERITY)
    notes: str | None = strawberry.field(default=None, description=_NOTES)
    channels: list[ChannelKind] | None = strawberry.field(default=None, description=_CHANNELS)


@strawberry.input(description="A new rule. Which values go with which condition says `AlertCondition`.")
class CreateAlertRuleInput(PreviewAlertRuleInput):
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(
    description="What to change of a rule; what it looks at stays. What is left out stays, too; null clears it. With "
    "another condition, threshold, currency, hysteresis, window, duration, source or kind it begins anew, as if it had "
    "just been made."
)
class EditAlertRuleInput:
    id: strawberry.ID = strawberry.field(description="The rule.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    condition: Condition | None = given("What has to become true.")
    threshold: Decimal | None = given(_THRESHOLD)
    currency: CurrencyCode | None = given(_CURRENCY)
    hysteresis: Decimal | None = given(_HYSTERESIS)
    cooldown: timedelta | None = given(_COOLDOWN)
    window: timedelta | None = given(_WINDOW)
    duration: timedelta | None = given(_DURATION)
    price_kind: PriceKind | None = given(_KIND)
    source: str | None = given(_SOURCE)
    is_recurring: bool | None = given(_RECURRING)
    expires_at: datetime | None = given(f"{_EXPIRES} A later one has a rule that expired begin anew.")
    severity: Severity | None = given(_SEVERITY)
    notes: str | None = given(_NOTES)
    channels: list[ChannelKind] | None = given(_CHANNELS)


@strawberry.input(description="The rule to pause.")
class PauseAlertRuleInput:
    id: strawberry.ID = strawberry.field(description="The rule.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="The rule to resume.")
class ResumeAlertRuleInput:
    id: strawberry.ID = strawberry.field(description="The rule.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="The rule to delete.")
class DeleteAlertRuleInput:
    id: strawberry.ID = strawberry.field(description="The rule.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.type(description="What became of the new rule.")
class CreateAlertRulePayload:
    rule: AlertRule | None = attribute("The rule; null when refused.")
    user_errors: list[AlertError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the rule.")
class EditAlertRulePayload:
    rule: AlertRule | None = attribute(NOW)
    user_errors: list[AlertError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the rule.")
class PauseAlertRulePayload:
    rule: AlertRule | None = attribute(NOW)
    user_errors: list[AlertError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the rule.")
class ResumeAlertRulePayload:
    rule: AlertRule | None = attribute(NOW)
    user_errors: list[AlertError] = attribute(USER_ERRORS)


@strawberry.type(description="The rule that was deleted.")
class DeleteAlertRulePayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[AlertError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class RuleChanged(Done):
    """The payload of a rule that was made or changed."""

    rule: Reference


@dataclass(frozen=True, slots=True)
class RuleDeleted(Done):
    """The payload of a rule that is gone."""

    deleted_id: str


@strawberry.type
class AlertRuleMutations:
    @alert_changes(
        f"Make a rule. A person has {MOST_RULES:,} at most, {MOST_WIDE_RULES} of them over card sets, watchlists and "
        f"all wants, and makes {MOST_NEW_RULES} within a minute at most. A rule says what its target is worth, or "
        "where it is: of portfolios, watchlists, preorders and wants it takes `portfolios:read`, too, and of trackers "
        "`trackers:read`.",
        type=CreateAlertRulePayload,
        access=ALERTS_WRITE,
    )
    @staticmethod
    async def create_alert_rule(info: Info, input: CreateAlertRuleInput) -> RuleChanged:
        target = allowed_target_of(info, input.target)
        values = with_channels(sent(input, "target", "idempotency_key"))
        async with info.context.transaction() as transaction:
            rule_id = await create_rule(
                transaction,
                target,
                values,
                owner_id=info.context.viewer.own_id,
                idempotency_key=input.idempotency_key,
            )
        return RuleChanged(refer(AlertRule, rule_id))

    @alert_changes(
        "Change a rule. What it is held against takes the scopes that making it does, and so does its expiry.",
        type=EditAlertRulePayload,
        access=ALERTS_WRITE,
    )
    @staticmethod
    async def edit_alert_rule(info: Info, input: EditAlertRuleInput) -> RuleChanged:
        rule_id = _rule_key(input.id)
        values = with_channels(sent(input, "id", "expected_version"))
        async with info.context.transaction() as transaction:
            if not _WATCHED.isdisjoint(values):
                await _check_access_to_target(info, transaction, rule_id)
            await edit_rule(
                transaction,
                rule_id,
                values,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return RuleChanged(refer(AlertRule, rule_id))

    @alert_changes(
        "Pause a rule: it does not fire until it is resumed.", type=PauseAlertRulePayload, access=ALERTS_WRITE
    )
    @staticmethod
    async def pause_alert_rule(info: Info, input: PauseAlertRuleInput) -> RuleChanged:
        rule_id = _rule_key(input.id)
        async with info.context.transaction() as transaction:
            await pause_rule(
                transaction, rule_id, owner_id=info.context.viewer.own_id, expected_version=input.expected_version
            )
        return RuleChanged(refer(AlertRule, rule_id))

    @alert_changes(
        "Resume a rule that was paused, or that fired once and ended. It begins anew, as if it had just been made, and "
        "takes the scopes that making it does.",
        type=ResumeAlertRulePayload,
        access=ALERTS_WRITE,
    )
    @staticmethod
    async def resume_alert_rule(info: Info, input: ResumeAlertRuleInput) -> RuleChanged:
        rule_id = _rule_key(input.id)
        async with info.context.transaction() as transaction:
            await _check_access_to_target(info, transaction, rule_id)
            await resume_rule(
                transaction, rule_id, owner_id=info.context.viewer.own_id, expected_version=input.expected_version
            )
        return RuleChanged(refer(AlertRule, rule_id))

    @alert_changes("Delete a rule; the alerts that it gave stay.", type=DeleteAlertRulePayload, access=ALERTS_WRITE)
    @staticmethod
    async def delete_alert_rule(info: Info, input: DeleteAlertRuleInput) -> RuleDeleted:
        rule_id = _rule_key(input.id)
        async with info.context.transaction() as transaction:
            await delete_rule(
                transaction, rule_id, owner_id=info.context.viewer.own_id, expected_version=input.expected_version
            )
        return RuleDeleted(input.id)


class _Named(NamedTuple):
    """What a field of a target names."""

    kind: RuleTarget
    what: str
    field: str


# Whoever changes one of these may have the rule begin anew, and learn what its target is worth, or where it is.
_WATCHED = frozenset({*TERMS, "expires_at"})
_TARGETS: Mapping[str, _Named] = {
    "item_id": _Named(RuleTarget.ITEM, "item", "itemId"),
    "variant_id": _Named(RuleTarget.VARIANT, "variant", "variantId"),
    "card_set_id": _Named(RuleTarget.CARD_SET, "card set", "cardSetId"),
    "watchlist_id": _Named(RuleTarget.WATCHLIST, "watchlist", "watchlistId"),
    "portfolio_id": _Named(RuleTarget.PORTFOLIO, "portfolio", "portfolioId"),
    "tracker_id": _Named(RuleTarget.TRACKER, "tracker", "trackerId"),
    "place_id": _Named(RuleTarget.PLACE, "place", "placeId"),
    "production_run_id": _Named(RuleTarget.PRODUCTION_RUN, "production run", "productionRunId"),
    "preorder_id": _Named(RuleTarget.PREORDER, "preorder", "preorderId"),
    "want_id": _Named(RuleTarget.WANT, "want", "wantId"),
}


def target_of(input: AlertTargetInput) -> Target:
    """What a rule is to look at; raises AlertRefused for an id that cannot be that."""
    ((name, id_),) = sent(input).items()
    if name == "all_wants":
        if not id_:
            raise refused("Give true, or name something else.", "target", "allWants")
        return Target(RuleTarget.WANTS)
    named = _TARGETS[name]
    key = key_of(id_, TAG_OF_TARGETS[named.kind])
    if key is None:
        raise not_found(named.what, "target", named.field)
    return Target(named.kind, key)


def allowed_target_of(info: Info, input: AlertTargetInput) -> Target:
    """What a rule is to look at, for a caller who may.

    Raises as `target_of` does, and refuses a token without the scope of the target.
    """
    target = target_of(input)
    _check_access(info, target.kind)
    return target


def _check_access(info: Info, kind: RuleTarget) -> None:
    access = ACCESS_TO_TARGETS.get(kind)
    if access is not None:
        access.check(info.context.viewer, info.context.now)


async def _check_access_to_target(info: Info, transaction: Transaction, rule_id: UUID) -> None:
    """Refuse a token without the scope of what a rule looks at; of a rule that is not there the command tells."""
    kind = await target_of_rule(transaction.connection, rule_id, owner_id=info.context.viewer.own_id)
    if kind is not None:
        _check_access(info, kind)


def with_channels(values: dict[str, Any]) -> dict[str, Any]:
    """The values with the names of channels in place of their kinds."""
    channels = values.get("channels")
    return values if channels is None else values | {"channels": [ChannelKind(one).value for one in channels]}


def _rule_key(id: str) -> UUID:
    key = key_of(id, PublicIdTag.ALERT_RULE)
    if key is None:
        raise not_found("rule", "id")
    return key
