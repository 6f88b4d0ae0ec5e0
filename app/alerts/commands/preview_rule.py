"""Replays a rule that is not made yet over what happened lately, and says when it would have fired."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.commands.look_at_windows import looks_every
from app.alerts.commands.rules import rule_values
from app.alerts.commands.targets import require_target
from app.alerts.crossings import (
    Observation,
    Watch,
    as_observations,
    changes_over,
    comparison_of,
    first_standing,
    follow,
    looked_at,
)
from app.alerts.errors import AlertErrorCode, AlertRefused
from app.alerts.given import CHANGES, MINUTE, PRICED, Given, Target, Terms, read_others, read_terms
from app.alerts.models import Condition, RuleTarget
from app.alerts.queries.daily_rates import DailyRates, day_of
from app.alerts.queries.histories import (
    Asked,
    events_of_trackers,
    price_histories,
    series_of_wants,
    slips_of_preorder,
    values_of_portfolio,
    watched_series,
)
from app.core.database import Transaction, clock_of
from app.prices.exchange_rates import Exchange

LOOKS_BACK = timedelta(days=90)
MOST_SERIES = 100
MOST_OBSERVATIONS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A moment at which a rule would have fired; values are as `Alert` has them."""

    at: datetime
    old_value: Decimal | None = None
    new_value: Decimal | None = None
    base_value: Decimal | None = None
    currency: str | None = None
    series_id: int | None = None
    tracker_id: UUID | None = None
    place_id: UUID | None = None
    want_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """When a rule would have fired, the first time first, and over how many observations since when that is said."""

    since: datetime
    until: datetime
    observation_count: int
    firings: Sequence[Firing]


@dataclass(frozen=True, slots=True)
class _Replay:
    """A rule, and the time over which it is replayed."""

    owner_id: UUID
    target: Target
    terms: Terms
    values: dict[str, Any]
    cooldown: timedelta
    asked: Asked

    @property
    def watch(self) -> Watch:
        return Watch(
            comparison=comparison_of(self.terms.condition),
            threshold=self.terms.threshold or Decimal(0),
            hysteresis=self.terms.hysteresis,
            cooldown=self.cooldown,
        )


async def preview_rule(transaction: Transaction, target: Target, given: Given, *, owner_id: UUID) -> Preview:
    """Say when a rule would have fired within the last 90 days, had it been there; `given` is as for a new rule.

    Wants count as they are now. Raises AlertRefused as `create_rule` does, and where it would be over more than 100
    series or 100,000 observations.
    """
    connection = transaction.connection
    now = await clock_of(transaction)
    terms = read_terms(target.kind, given)
    others = read_others(given, now=now)
    key = await require_target(connection, target, user_id=owner_id)
    replay = _Replay(
        owner_id=owner_id,
        target=Target(target.kind, key),
        terms=terms,
        values=await rule_values(connection, target, terms, on=now.date()),
        cooldown=others.get("cooldown_minutes", 0) * MINUTE,
        asked=Asked(now - LOOKS_BACK, now, MOST_OBSERVATIONS),
    )
    count, firings = await _replayed(connection, replay)
    firings.sort(key=lambda firing: firing.at)
    is_recurring = others.get("is_recurring", True)
    return Preview(replay.asked.since, now, count, firings if is_recurring else firings[:1])


async def _replayed(connection: AsyncConnection, replay: _Replay) -> tuple[int, list[Firing]]:
    if replay.terms.condition is Condition.WANT_MET:
        return await _over_wants(connection, replay)
    if replay.target.kind in PRICED:
        return await _over_prices(connection, replay)
    if replay.target.kind is RuleTarget.PORTFOLIO:
        return await _over_values(connection, replay)
    if replay.target.kind is RuleTarget.PREORDER:
        return await _over_slips(connection, replay)
    return await _over_trackers(connection, replay)


async def _over_prices(connection: AsyncConnection, replay: _Replay) -> tuple[int, list[Firing]]:
    price_kind, source_id = replay.values["price_kind"], replay.values["source_id"]
    series = await watched_series(
        connection, replay.target, price_kind=price_kind, source_id=source_id, most=MOST_SERIES + 1
    )
    if len(series) > MOST_SERIES:
        raise _too_many(f"It would watch more than {MOST_SERIES} series; name a variant, a `source` or a `priceKind`.")
    window = replay.terms.window or timedelta(0)
    asked = replace(replay.asked, since=replay.asked.since - window)
    histories = await price_histories(connection, series, asked)
    count = sum(len(history.prices) for history in histories)
    _refuse_many(count)
    rates, firings = DailyRates(), []
    for history in histories:
        currency = replay.values["currency"] or history.currency
        converted = await _converted(
            connection, rates, [(at, history.currency, price) for at, price in history.prices], currency
        )
        firings += [
            replace(firing, series_id=history.series_id, currency=currency) for firing in _held(replay, converted)
        ]
    return count, firings


async def _over_wants(connection: AsyncConnection, replay: _Replay) -> tuple[int, list[Firing]]:
    """Each series that may meet a want, against what that may cost."""
    wanted = await series_of_wants(connection, replay.target, owner_id=replay.owner_id)
    series = {one.series_id: one.own_currency for one in wanted}
    if len(series) > MOST_SERIES:
        raise _too_many(f"It would watch more than {MOST_SERIES} series; name one want, or one of a single variant.")
    histories = {one.series_id: one.prices for one in await price_histories(connection, series, replay.asked)}
    count = sum(len(prices) for prices in histories.values())
    _refuse_many(count)
    rates, firings = DailyRates(), []
    for one in wanted:
        prices = [(at, one.own_currency, price) for at, price in histories[one.series_id]]
        of_want = replace(replay, terms=replace(replay.terms, threshold=one.maximum_price))
        firings += [
            replace(firing, series_id=one.series_id, currency=one.currency, want_id=one.want_id)
            for firing in _held(of_want, await _converted(connection, rates, prices, one.currency))
        ]
    return count, firings


async def _over_values(connection: AsyncConnection, replay: _Replay) -> tuple[int, list[Firing]]:
    window = replay.terms.window or timedelta(0)
    asked = replace(replay.asked, since=replay.asked.since - window)
    key = _key(replay.target)
    values = await values_of_portfolio(connection, key, asked)
    currency = replay.values["currency"]
    converted = await _converted(connection, DailyRates(), values, currency)
    return len(values), [replace(firing, currency=currency) for firing in _held(replay, converted)]


async def _converted(
    connection: AsyncConnection,
    rates: DailyRates,
    amounts: Sequence[tuple[datetime, str, Decimal]],
    currency: str,
) -> list[Observation]:
    """The amounts in a currency, each at the rate of its day; those without a rate are left out."""
    exchanges = [Exchange(own, currency, day_of(at)) for at, own, _ in amounts]
    await rates.read(connection, exchanges)
    values = [rates.convert(amount, exchange) for (_, _, amount), exchange in zip(amounts, exchanges, strict=True)]
    return [Observation(at, value) for (at, _, _), value in zip(amounts, values, strict=True) if value is not None]


def _held(replay: _Replay, observations: Sequence[Observation]) -> list[Firing]:
    """What fires of one sequence; the last observation before its time is the first one of the rule."""
    bases: dict[datetime, Decimal] = {}
    if replay.terms.condition in CHANGES:
        window = replay.terms.window or timedelta(0)
        if replay.target.kind in PRICED:
            every = looks_every(window)
            observations = looked_at(window, observations, every=every, until=replay.asked.until)
        changes = changes_over(window, observations)
        bases = {change.time: change.base for change in changes}
        observations = as_observations(replay.terms.condition, changes)
    since = replay.asked.since
    before = [observation.value for observation in observations if observation.time <= since]
    standing = first_standing(replay.watch, before[-1] if before else None)
    _, crossings = follow(replay.watch, standing, [one for one in observations if one.time > since])
    sign = -1 if replay.terms.condition is Condition.FALLS_BY else 1
    return [
        Firing(
            at=crossing.observation.time,
            old_value=sign * crossing.old_value,
            new_value=sign * crossing.observation.value,
            base_value=bases.get(crossing.observation.time),
        )
        for crossing in crossings
    ]


async def _over_slips(connection: AsyncConnection, replay: _Replay) -> tuple[int, list[Firing]]:
    slips = await slips_of_preorder(connection, _key(replay.target), replay.asked)
    least = replay.terms.threshold or 1
    firings = [Firing(at=at, new_value=Decimal(days)) for at, days in slips if days >= least]
    return len(slips), _rested(firings, replay.cooldown, lambda _: None)


async def _over_trackers(connection: AsyncConnection, replay: _Replay) -> tuple[int, list[Firing]]:
    condition, duration = replay.terms.condition, replay.terms.duration
    events = await events_of_trackers(connection, replay.target, condition, replay.asked, duration=duration)
    _refuse_many(len(events))
    firings = [Firing(at=event.at, tracker_id=event.tracker_id, place_id=event.place_id) for event in events]
    return len(events), _rested(firings, replay.cooldown, lambda firing: firing.tracker_id)


def _rested(firings: Iterable[Firing], cooldown: timedelta, subject: Callable[[Firing], UUID | None]) -> list[Firing]:
    """Those that come no sooner than the cooldown after the last one of the same subject."""
    last: dict[UUID | None, datetime] = {}
    kept = []
    for firing in firings:
        before = last.get(subject(firing))
        if before is None or firing.at - before >= cooldown:
            last[subject(firing)] = firing.at
            kept.append(firing)
    return kept


def _key(target: Target) -> UUID:
    if target.key is None:
        raise ValueError("only rules over all wants name nothing")
    return target.key


def _refuse_many(count: int) -> None:
    if count > MOST_OBSERVATIONS:
        raise _too_many(
            f"There are more than {MOST_OBSERVATIONS:,} observations of the last {LOOKS_BACK.days} days; name a "
            "variant, a `source`, a `priceKind`, a single want or a single tracker."
        )


def _too_many(message: str) -> AlertRefused:
    return AlertRefused(AlertErrorCode.TOO_MANY, message, field=["target"])
