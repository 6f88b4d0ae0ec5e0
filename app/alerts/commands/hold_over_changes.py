"""Rules over changes in percent, held against what series are worth and what they were worth a window before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from app.alerts.commands.held_rules import Held, known_price, state_of, watch_of
from app.alerts.crossings import (
    Change,
    Standing,
    as_observations,
    change_in_percent,
    first_standing,
    follow,
    largest_change,
    reach_of,
)
from app.alerts.fired import Fired
from app.alerts.models import Condition
from app.alerts.queries.daily_rates import DailyRates, day_of
from app.alerts.queries.past_prices import PastPrices, Span
from app.alerts.queries.price_rules import RuleOfSeries
from app.prices.exchange_rates import Exchange

OVER_CHANGES = frozenset({Condition.RISES_BY, Condition.FALLS_BY})


class PriceAt(NamedTuple):
    """What a series is worth at a moment, in its own currency, by a price of `observed_at`; its `arrival` tells it from
    others of that instant.
    """

    time: datetime
    price: Decimal
    observed_at: datetime
    is_fresh: bool = True
    arrival: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtChanges:
    """A rule over changes, and the prices of a series to hold against it in the order of time.

    Each is compared with the price a `window` before.
    `began` is what the series was worth when the rule began, where it remembers nothing: the first observation.
    """

    rule: RuleOfSeries
    variant_id: UUID
    source_id: int
    kind: str
    own_currency: str
    prices: Sequence[PriceAt]
    began: PriceAt | None
    window: timedelta

    @property
    def currency(self) -> str:
        """What prices are compared in."""
        return self.rule.currency or self.own_currency

    @property
    def all_prices(self) -> Sequence[PriceAt]:
        """The first observation, if there is one, and the others."""
        return self.prices if self.began is None else [self.began, *self.prices]

    @property
    def spans(self) -> Sequence[Span]:
        """Of which times the prices have to be known."""
        window = self.window
        spans = [Span(self.rule.series_id, self.prices[0].time - window, self.prices[-1].time - window)]
        if self.began is not None:
            spans.append(Span(self.rule.series_id, self.began.time - window, self.began.time - window))
        return spans

    def stays_below(self, level: Decimal, past: PastPrices) -> bool:
        """Whether all changes are at most this, by the highest and lowest prices alone; False where that is open."""
        if self.currency != self.own_currency:
            return False
        bases = past.between(self.rule.series_id, self.prices[0].time - self.window, self.prices[-1].time - self.window)
        if not bases:
            return False
        largest = largest_change(Condition(self.rule.condition), bases, [price.price for price in self.prices])
        return largest is not None and largest <= level

    def exchanges(self, past: PastPrices) -> Iterable[Exchange]:
        """The rates that it takes: of the day of each price, and of that which it is compared with."""
        if self.currency == self.own_currency:
            return
        for price in self.all_prices:
            base = past.at(self.rule.series_id, price.time - self.window)
            if base is not None:
                for observed_at in (price.observed_at, base.observed_at):
                    yield Exchange(self.own_currency, self.currency, day_of(observed_at))

    def changes(self, prices: Iterable[PriceAt], past: PastPrices, rates: DailyRates) -> list[tuple[Change, PriceAt]]:
        """The changes of prices against those a window before, in the rule's currency, as far as both are known."""
        own, currency, window = self.own_currency, self.currency, self.window
        changes = []
        for price in prices:
            base = past.at(self.rule.series_id, price.time - window)
            if base is None:
                continue
            before: Decimal | None = base.price
            value: Decimal | None = price.price
            if currency != own:
                before = rates.convert(base.price, Exchange(own, currency, day_of(base.observed_at)))
                value = rates.convert(price.price, Exchange(own, currency, day_of(price.observed_at)))
            if before is None or value is None:
                continue
            percent = change_in_percent(before, value)
            if percent is not None:
                changes.append((Change(price.time, percent, before, price.is_fresh), price))
        return changes


def hold_over_changes(look: LookAtChanges, past: PastPrices, rates: DailyRates, held: Held) -> None:
    """Hold a rule over changes against the prices of a series; what it remembers is always written."""
    rule, condition = look.rule, Condition(look.rule.condition)
    watch = watch_of(rule)
    sign = -1 if condition is Condition.FALLS_BY else 1
    standing = Standing()
    if rule.is_triggered is not None and rule.value is not None:
        standing = Standing(state_of(is_triggered=rule.is_triggered), sign * rule.value, rule.fired_at)
    elif look.began is not None:
        began = look.changes([look.began], past, rates)
        standing = first_standing(watch, sign * began[0][0].percent if began else None)
    # Most prices are far from the threshold. Then all of them leave the rule armed, and only the last is to be known.
    is_far = look.stays_below(reach_of(watch)[0], past)
    changes = look.changes(look.prices[-1:] if is_far else look.prices, past, rates)
    after, crossings = follow(watch, standing, as_observations(condition, [change for change, _ in changes]))
    for crossing in crossings:
        change, price = changes[crossing.index]
        held.fired.append(
            Fired(
                rule_id=rule.rule_id,
                crossing=f"{rule.series_id}@{change.time.isoformat()}#{price.arrival}",
                observed_at=change.time,
                item_id=rule.item_id,
                variant_id=look.variant_id,
                old_value=sign * crossing.old_value,
                new_value=change.percent,
                base_value=change.base,
                currency=look.currency,
                series_id=rule.series_id,
                price_kind=look.kind,
                source_id=look.source_id,
                observed_price=price.price,
                observed_currency=look.own_currency,
            )
        )
    if after.value is not None:
        last = changes[-1][0].time if changes else look.prices[-1].time
        known = known_price(rule, after, last)
        held.states.append(known if sign == 1 else replace(known, value=-after.value))
        held.versions[rule.rule_id] = rule.version
