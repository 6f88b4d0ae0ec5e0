"""When a rule would have fired, before it is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry

from app.alerts.commands.preview_rule import LOOKS_BACK, MOST_OBSERVATIONS, MOST_SERIES, Firing, Preview, preview_rule
from app.graph.alerts.errors import ALERTS_READ, AlertError, alert_changes
from app.graph.alerts.rule_changes import PreviewAlertRuleInput, allowed_target_of, with_channels
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.inputs import sent
from app.graph.prices.series import PriceSeries
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import CurrencyCode
from app.graph.trackers.places import Place
from app.graph.trackers.trackers import Tracker
from app.graph.user_errors import USER_ERRORS, Done
from app.graph.wishes.wants import Want

MOST_FIRINGS = 250


@strawberry.type(description="A moment at which a rule would have fired; values are as `Alert` has them.")
class PreviewedFiring:
    at: datetime = attribute("The time of the observation.")
    old_value: Decimal | None = attribute("The value before.")
    new_value: Decimal | None = attribute("The value that would have made it fire.")
    base_value: Decimal | None = attribute("Of a change: what it is a change against.")
    currency: CurrencyCode | None = attribute("The currency of the values.")
    series: PriceSeries | None = attribute("The series of the price; null of what is no price.")
    tracker: Tracker | None = attribute("The tracker; null of what is none.")
    place: Place | None = attribute("Where that happened; null where that is nowhere in particular.")
    want: Want | None = attribute("What was wanted and could have been had; null of what is no want.")


@strawberry.type(description="When a rule would have fired, had it been there.")
class AlertRulePreview:
    since: datetime = attribute("From when on it was replayed.")
    until: datetime = attribute("Until when.")
    observation_count: int = attribute(
        "How many observations it was held against; of trackers, those alone that could fire."
    )
    fired_count: int = attribute("How often it would have fired.")
    firings: list[PreviewedFiring] = attribute(f"When it would have, the first {MOST_FIRINGS} times.")


@strawberry.type(description="What came of the preview.")
class PreviewAlertRulePayload:
    preview: AlertRulePreview | None = attribute("When the rule would have fired; null when refused.")
    user_errors: list[AlertError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class ShownFiring:
    """A firing with references in place of keys."""

    at: datetime
    old_value: Decimal | None
    new_value: Decimal | None
    base_value: Decimal | None
    currency: str | None
    series: Reference | None
    tracker: Reference | None
    place: Reference | None
    want: Reference | None


@dataclass(frozen=True, slots=True)
class ShownPreview:
    """A preview as the graph shows it."""

    since: datetime
    until: datetime
    observation_count: int
    fired_count: int
    firings: Sequence[ShownFiring]


@dataclass(frozen=True, slots=True)
class Previewed(Done):
    """The payload of a preview."""

    preview: ShownPreview


@strawberry.type
class AlertRulePreviewMutations:
    @alert_changes(
        f"Replay a rule over what happened in the last {LOOKS_BACK.days} days, and say when it would have fired; "
        f"nothing is stored. Over prices it is held against points, and where there are none against the closes of "
        f"days, of {MOST_SERIES} series and {MOST_OBSERVATIONS:,} observations at most; over portfolios against their "
        "values at the ends of days; over wants against the prices that may meet them, by the maximum price and the "
        "condition that they have now; over trackers against their stays and statuses, and moves in storage of the "
        "last seven days. Of portfolios, watchlists, preorders and wants it takes `portfolios:read`, too, and of "
        "trackers `trackers:read`.",
        type=PreviewAlertRulePayload,
        access=ALERTS_READ,
    )
    @staticmethod
    async def preview_alert_rule(info: Info, input: PreviewAlertRuleInput) -> Previewed:
        target = allowed_target_of(info, input.target)
        values = with_channels(sent(input, "target"))
        async with info.context.transaction() as transaction:
            preview = await preview_rule(transaction, target, values, owner_id=info.context.viewer.own_id)
        return Previewed(_shown(preview))


def _shown(preview: Preview) -> ShownPreview:
    return ShownPreview(
        preview.since,
        preview.until,
        preview.observation_count,
        len(preview.firings),
        [_shown_firing(firing) for firing in preview.firings[:MOST_FIRINGS]],
    )


def _shown_firing(firing: Firing) -> ShownFiring:
    return ShownFiring(
        firing.at,
        firing.old_value,
        firing.new_value,
        firing.base_value,
        firing.currency,
        _refer(PriceSeries, firing.series_id),
        _refer(Tracker, firing.tracker_id),
        _refer(Place, firing.place_id),
        _refer(Want, firing.want_id),
    )


def _refer(shown: type, key: Any) -> Reference | None:
    return None if key is None else refer(shown, key)
