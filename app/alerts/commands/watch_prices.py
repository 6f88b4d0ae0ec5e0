"""Holds rules over prices against the prices of a batch, in the transaction that stores them."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.commands.held_rules import Held, are_unchanged, known_price, state_of, watch_of, write_states
from app.alerts.commands.hold_over_changes import OVER_CHANGES, LookAtChanges, PriceAt, hold_over_changes
from app.alerts.commands.record_alerts import RecordedAlert, record_alerts
from app.alerts.crossings import Crossing, Observation, Standing, first_standing, follow, settle
from app.alerts.fired import Fired
from app.alerts.models import RuleTarget
from app.alerts.queries.daily_rates import ONE_DAY, DailyRates, day_of
from app.alerts.queries.past_prices import past_prices
from app.alerts.queries.price_rules import (
    RateSpan,
    RuleOfSeries,
    TouchedSeries,
    rules_near,
    want_rules_of,
    what_is_watched,
)
from app.core.database import Transaction
from app.core.telemetry import ALERT_RULE_FAILURES
from app.prices.commands.read_rows import from_microseconds, in_microseconds
from app.prices.exchange_rates import Exchange
from app.prices.observations import DAILY_SOURCES, Observations, ObservedPrice, ObservedSeries

logger = structlog.get_logger(__name__)

_T = TypeVar("_T")

# What is older when it is accepted does not fire; of sources that are asked once a day it may be a day old.
FRESH_FOR = timedelta(minutes=15)
FRESH_FOR_OF_DAILY_SOURCES = ONE_DAY
# Each of them may be near hundreds of rules, which are in memory meanwhile.
SERIES_AT_A_TIME = 5_000

_MICROSECONDS_OF_A_DAY = 86_400_000_000


async def watch_prices(transaction: Transaction, observations: Observations) -> list[RecordedAlert]:
    """Make alerts of the rules that the new prices cross, each once, and remember what rules have to; gives the alerts.

    Rules are locked after the series, in the order of their ids.
    """
    return await record_alerts(transaction, await hold_against_prices(transaction, observations))


async def hold_against_prices(transaction: Transaction, observations: Observations) -> list[Fired]:
    """Hold rules against the new prices, and remember what they have to; gives what fired.

    A few statements for each thousands of series, whatever the number of rules, and one where nobody watches.
    """
    connection = transaction.connection
    if not observations.series:
        return []
    watching = await what_is_watched(connection)
    if not watching.targets:
        return []
    batch = _Batch(observations)
    spans = await batch.read_rates(connection, watching.currencies)
    while True:
        held = Held()
        for begin in range(0, len(batch.touched), SERIES_AT_A_TIME):
            touched = batch.touched[begin : begin + SERIES_AT_A_TIME]
            rules = await rules_near(connection, touched, spans, targets=watching.targets, at=observations.accepted_at)
            if RuleTarget.WANTS in watching.targets:
                rules += await want_rules_of(connection, touched, at=observations.accepted_at)
            await _hold(connection, batch, rules, held)
        # Who changes a rule has it forget what it knew: that must not come back.
        if await are_unchanged(connection, held.versions):
            await write_states(connection, held)
            return held.fired


@dataclass(frozen=True, slots=True)
class _Seen:
    """The prices of a series in a currency, as far as there was a rate, and what they were.

    All but the last few may be stale: only the `fresh` ones are observations that can fire.
    """

    values: Sequence[Decimal]
    prices: Sequence[ObservedPrice]
    fresh: Sequence[Observation]

    @property
    def stale(self) -> Sequence[Decimal]:
        """The values that come too late to fire."""
        return self.values[: len(self.values) - len(self.fresh)]


class _Batch:
    """The prices of a batch, in each currency that is asked for."""

    def __init__(self, observations: Observations) -> None:
        self.accepted_at = observations.accepted_at
        self._usually_fresh_since = in_microseconds(self.accepted_at - FRESH_FOR)
        self._daily_fresh_since = in_microseconds(self.accepted_at - FRESH_FOR_OF_DAILY_SOURCES)
        self.series: Mapping[int, ObservedSeries] = {one.series.id: one for one in observations.series}
        self.rates = DailyRates()
        self._values = {one.series.id: [Decimal(price[2]) for price in one.prices] for one in observations.series}
        self._times: dict[int, datetime] = {}
        self.touched = [_touched(one, self._values[one.series.id]) for one in observations.series]
        self._seen: dict[tuple[int, str], _Seen] = {}

    async def read_rates(self, connection: AsyncConnection, currencies: Iterable[str]) -> list[RateSpan]:
        """Read the rates that matter to rules in these currencies; gives the bounds of each."""
        spans = []
        for own in {one.series.currency for one in self.series.values()}:
            spans.append(RateSpan(own, own, Decimal(1), Decimal(1)))
            others = [currency for currency in currencies if currency != own]
            if not others:
                continue
            # A day's own rate comes late in the day: until then the one of the day before stands.
            known = {number - back for number in self._days_of(own) for back in (0, 1)}
            dates = [day_of(from_microseconds(number * _MICROSECONDS_OF_A_DAY)) for number in sorted(known)]
            exchanges = {currency: [Exchange(own, currency, on) for on in dates] for currency in others}
            await self.rates.read(connection, [exchange for listed in exchanges.values() for exchange in listed])
            for currency, listed in exchanges.items():
                rates = [rate for exchange in listed if (rate := self.rates.rate(exchange)) is not None]
                if rates:
                    spans.append(RateSpan(own, currency, min(rates), max(rates)))
        return spans

    def _days_of(self, currency: str) -> set[int]:
        """Of which days since 1970 there are prices in a currency."""
        days: set[int] = set()
        for one in self.series.values():
            if one.series.currency == currency:
                days.update(price[0] // _MICROSECONDS_OF_A_DAY for price in one.prices)
                if one.series.latest_at is not None:
                    days.add(one.series.latest_at // _MICROSECONDS_OF_A_DAY)
        return days

    async def read_rates_of_wants(self, connection: AsyncConnection, rules: Iterable[RuleOfSeries]) -> None:
        """Read the rates to the currencies of wants, which no rule is in."""
        await self.rates.read(
            connection,
            [
                exchange
                for series_id, currency in {(rule.series_id, rule.currency) for rule in rules if rule.currency}
                for exchange in self._exchanges(series_id, currency)
            ],
        )

    def _exchanges(self, series_id: int, currency: str) -> Iterable[Exchange]:
        one = self.series[series_id]
        if currency == one.series.currency:
            return
        times = {price[0] // _MICROSECONDS_OF_A_DAY for price in one.prices}
        if one.series.latest_at is not None:
            latest = one.series.latest_at // _MICROSECONDS_OF_A_DAY
            times |= {latest, latest - 1}
        for number in times:
            yield Exchange(one.series.currency, currency, day_of(from_microseconds(number * _MICROSECONDS_OF_A_DAY)))

    def seen(self, series_id: int, currency: str) -> _Seen:
        """The new prices of a series in a currency whose rates were read, each at the rate of its day."""
        seen = self._seen.get((series_id, currency))
        if seen is None:
            seen = self._seen[series_id, currency] = self._see(self.series[series_id], currency)
        return seen

    def last_prices(self, series_id: int, *, is_known_before: bool) -> list[PriceAt]:
        """The prices of a series that may fire, with one before them; of what is known before, the last alone.

        Of what comes too late to fire only the last counts: so what there was a window before is asked of few.
        """
        one, values = self.series[series_id], self._values[series_id]
        stale = len(values) if is_known_before else bisect_left(one.prices, (self._fresh_since(one),))
        return [
            PriceAt(time, values[place], time, place >= stale, one.prices[place][1])
            for place in range(max(stale - 1, 0), len(values))
            for time in (self.time(one.prices[place][0]),)
        ]

    def _fresh_since(self, one: ObservedSeries) -> int:
        """In microseconds since 1970."""
        return self._daily_fresh_since if one.series.source in DAILY_SOURCES else self._usually_fresh_since

    def _see(self, one: ObservedSeries, currency: str) -> _Seen:
        own, prices, values = one.series.currency, one.prices, self._values[one.series.id]
        if currency != own:
            converted = [
                (price, amount)
                for price, value in zip(prices, values, strict=True)
                if (amount := self.convert(value, own, currency, self.time(price[0]))) is not None
            ]
            prices, values = [price for price, _ in converted], [amount for _, amount in converted]
        stale = bisect_left(prices, (self._fresh_since(one),))
        fresh = [
            Observation(self.time(price[0]), value) for price, value in zip(prices[stale:], values[stale:], strict=True)
        ]
        return _Seen(values, prices, fresh)

    def time(self, microseconds: int) -> datetime:
        """The instant; many series have prices of the same one."""
        time = self._times.get(microseconds)
        if time is None:
            time = self._times[microseconds] = from_microseconds(microseconds)
        return time

    def convert(self, amount: Decimal, own: str, currency: str, time: datetime) -> Decimal | None:
        """An amount at the rate of its day."""
        return amount if own == currency else self.rates.convert(amount, Exchange(own, currency, day_of(time)))

    def value_before(self, rule: RuleOfSeries, currency: str) -> Decimal | None:
        """What the series was worth to a rule before the batch."""
        series = self.series[rule.series_id].series
        if series.latest_at is None or series.latest_price is None:
            return None
        if currency == series.currency:
            return series.latest_price
        latest_at = from_microseconds(series.latest_at)
        if rule.known_at == latest_at and rule.value is not None:
            return rule.value
        if rule.watches_from <= latest_at:
            # It was held against the rule, and was far from it at the rate of the day before and at its own, if that
            # was there: on the same side at both.
            before = self.convert(series.latest_price, series.currency, currency, latest_at - ONE_DAY)
            if before is not None:
                return before
        return self.convert(series.latest_price, series.currency, currency, latest_at)


def _touched(one: ObservedSeries, prices: Sequence[Decimal]) -> TouchedSeries:
    series = one.series
    values = prices if series.latest_price is None else [*prices, series.latest_price]
    return TouchedSeries(
        series.id, series.variant_id, series.source_id, series.kind, series.currency, min(values), max(values)
    )


async def _hold(connection: AsyncConnection, batch: _Batch, rules: Iterable[RuleOfSeries], held: Held) -> None:
    over_prices: list[RuleOfSeries] = []
    over_changes: list[RuleOfSeries] = []
    for rule in rules:
        (over_changes if rule.condition in OVER_CHANGES else over_prices).append(rule)
    await batch.read_rates_of_wants(connection, (rule for rule in over_prices if rule.want_id is not None))
    _hold_each(over_prices, lambda rule: rule.rule_id, lambda rule: _hold_over_prices(batch, rule, held), held)
    if over_changes:
        await _hold_over_changes(connection, batch, over_changes, held)


def _hold_each(
    held_against: Iterable[_T], rule_id: Callable[[_T], UUID], hold: Callable[[_T], None], held: Held
) -> None:
    """Hold rules one after another. One that fails is told of and left as it was: the prices are everybody's."""
    for one in held_against:
        count = len(held.fired)
        try:
            hold(one)
        except Exception as failure:  # noqa: BLE001  # whatever it is, the batch must not wait for it
            del held.fired[count:]
            # Without what the failure says, which may be somebody's.
            told = {"look": "prices", "rule": str(rule_id(one)), "reason": type(failure).__name__}
            logger.error("alert_rule_failed", **told)  # noqa: TRY400
            ALERT_RULE_FAILURES.labels("prices").inc()


def _hold_over_prices(batch: _Batch, rule: RuleOfSeries, held: Held) -> None:
    series = batch.series[rule.series_id].series
    currency = rule.currency or series.currency
    seen = batch.seen(rule.series_id, currency)
    if not seen.values:
        return
    watch = watch_of(rule)
    before = batch.value_before(rule, currency)
    standing = first_standing(watch, before)
    if before is not None and rule.is_triggered is not None:
        standing = Standing(state_of(is_triggered=rule.is_triggered), before, rule.fired_at)
        # Beyond the hysteresis the price says what the state is, whatever is remembered: a want may have another
        # maximum by now, and a merge may have brought another price.
        standing = settle(watch, standing, [before])
    # What was known before the rule began does not fire.
    is_old = rule.watches_from > batch.accepted_at
    stale, fresh = (seen.values, ()) if is_old else (seen.stale, seen.fresh)
    after, crossings = follow(watch, settle(watch, standing, stale), fresh)
    for crossing in crossings:
        price = seen.prices[len(stale) + crossing.index]
        held.fired.append(_fired_by_price(batch, rule, currency, crossing, price))
    follows_from_price = (
        currency == series.currency
        and after.state is first_standing(watch, seen.values[-1]).state
        and (not rule.cooldown_minutes or after.fired_at is None)
    )
    if not follows_from_price:
        held.states.append(known_price(rule, after, batch.time(seen.prices[-1][0])))
        held.versions[rule.rule_id] = rule.version
    elif rule.is_triggered is not None:
        held.forgotten.append((rule.rule_id, rule.series_id, rule.subject_id))
        held.versions[rule.rule_id] = rule.version
    elif crossings:
        held.versions[rule.rule_id] = rule.version


def _fired_by_price(
    batch: _Batch, rule: RuleOfSeries, currency: str, crossing: Crossing, price: ObservedPrice
) -> Fired:
    series = batch.series[rule.series_id].series
    time = crossing.observation.time
    of_want = "" if rule.want_id is None else f"want:{rule.want_id}:"
    return Fired(
        rule_id=rule.rule_id,
        # Several prices of one instant are several observations, told apart by their arrival.
        crossing=f"{of_want}{rule.series_id}@{time.isoformat()}#{price[1]}",
        observed_at=time,
        item_id=rule.item_id,
        variant_id=series.variant_id,
        want_id=rule.want_id,
        old_value=crossing.old_value,
        new_value=crossing.observation.value,
        currency=currency,
        series_id=rule.series_id,
        price_kind=series.kind,
        source_id=series.source_id,
        observed_price=Decimal(price[2]),
        observed_currency=series.currency,
    )


async def _hold_over_changes(
    connection: AsyncConnection, batch: _Batch, rules: Sequence[RuleOfSeries], held: Held
) -> None:
    looks = [_look(batch, rule) for rule in rules]
    past = await past_prices(connection, [span for look in looks for span in look.spans])
    await batch.rates.read(connection, [exchange for look in looks for exchange in look.exchanges(past)])
    _hold_each(
        looks, lambda look: look.rule.rule_id, lambda look: hold_over_changes(look, past, batch.rates, held), held
    )


def _look(batch: _Batch, rule: RuleOfSeries) -> LookAtChanges:
    one = batch.series[rule.series_id]
    prices = batch.last_prices(rule.series_id, is_known_before=rule.watches_from > batch.accepted_at)
    return LookAtChanges(
        rule=rule,
        variant_id=one.series.variant_id,
        source_id=one.series.source_id,
        kind=one.series.kind,
        own_currency=one.series.currency,
        prices=prices,
        began=_began(rule, one, prices[0].time),
        window=timedelta(minutes=rule.window_minutes or 0),
    )


def _began(rule: RuleOfSeries, one: ObservedSeries, first_at: datetime) -> PriceAt | None:
    """What the series was worth when the rule began, or by its last price if that is newer."""
    if rule.is_triggered is not None or one.series.latest_at is None or one.series.latest_price is None:
        return None
    latest_at = from_microseconds(one.series.latest_at)
    return PriceAt(min(max(rule.watches_from, latest_at), first_at), one.series.latest_price, latest_at)
