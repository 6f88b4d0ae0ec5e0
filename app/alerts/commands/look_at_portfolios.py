"""Looks by the clock what portfolios are worth that rules watch.

A portfolio is worth what of it has a price, as everywhere: what has none is left out of its value until it has one.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from app.alerts.commands.due_rules import Looked, look_again_at, take_due_rules
from app.alerts.commands.subject_states import KnownState, write_states
from app.alerts.crossings import (
    Change,
    Observation,
    Standing,
    State,
    Watch,
    as_observations,
    change_in_percent,
    comparison_of,
    follow,
)
from app.alerts.fired import Fired
from app.alerts.models import Condition
from app.core.database import Transaction
from app.core.money import CRYPTO_CURRENCIES
from app.portfolios.queries.values import PORTFOLIO_IDS, PORTFOLIO_VALUES

RULES_AT_A_TIME = 100
LOOKED_AT_MOST_EVERY = timedelta(minutes=1)
# Exchange rates come, and prices grow old, without anything else changing.
VALUED_AT_LEAST_EVERY = timedelta(hours=1)
# What is told of prices has the time at which its transaction began.
LONGEST_TRANSACTION = timedelta(minutes=5)
OVER_VALUES = (Condition.CROSSES_ABOVE, Condition.CROSSES_BELOW, Condition.CROSSES_LEVEL, Condition.AT_OR_BELOW)
OVER_CHANGES = (Condition.RISES_BY, Condition.FALLS_BY)


@dataclass(frozen=True, slots=True)
class _Observed:
    """What a rule sees: the value, or the change in percent and the value that it is a change against."""

    value: Decimal
    base: Decimal | None = None


async def look_at_portfolios(
    transaction: Transaction, *, now: datetime, limit: int = RULES_AT_A_TIME, only: Collection[UUID] | None = None
) -> Looked:
    """Look at rules over portfolios that are due, of these alone where any are given: each at most once a minute, and
    only where something has changed.

    The first value that a rule sees never fires. A change is against the last snapshot that is as old as the rule's
    window, or older; where there is none against the first one since then. Without any there is no change, and of a
    portfolio without any price no value.
    """
    rules = await take_due_rules(
        transaction, [*OVER_VALUES, *OVER_CHANGES], of_portfolios=True, now=now, limit=limit, only=only
    )
    if not rules:
        return Looked()
    known = await _known(transaction, rules, now)
    changed = [rule for rule in rules if known[rule.id].has_changed]
    observed = await _observe(transaction, changed, now)
    fired: list[Fired] = []
    states: list[KnownState] = []
    for rule in changed:
        state, crossing = _hold(rule, known[rule.id], observed.get(rule.id), now)
        states.append(state)
        fired += [] if crossing is None else [crossing]
    await write_states(transaction, states)
    await look_again_at(transaction, [rule.id for rule in rules], now + LOOKED_AT_MOST_EVERY)
    return Looked(fired, is_finished=len(rules) < limit)


def _hold(rule: Any, known: Any, observed: _Observed | None, now: datetime) -> tuple[KnownState, Fired | None]:
    """What the rule remembers now, and what fired."""
    state = State.TRIGGERED if known.is_triggered else State.ARMED
    standing = Standing(State.UNKNOWN)
    if known.value is not None:
        standing = Standing(state, _turned(rule, known.value), known.fired_at)
    seen = [] if observed is None else _as_observations(rule, observed, now)
    after, crossings = follow(_watch(rule), standing, seen)
    remembered = KnownState(
        rule_id=rule.id,
        subject_id=rule.portfolio_id,
        is_triggered=after.state is State.TRIGGERED,
        value=None if after.value is None else _turned(rule, after.value),
        observed_at=now,
        fired_at=after.fired_at,
        subject_version=known.version,
    )
    if observed is None or not crossings:
        return remembered, None
    return remembered, Fired(
        rule_id=rule.id,
        crossing=f"value:{rule.portfolio_id}@{now.isoformat()}",
        observed_at=now,
        portfolio_id=rule.portfolio_id,
        old_value=_turned(rule, crossings[0].old_value),
        new_value=observed.value,
        base_value=observed.base,
        currency=rule.currency,
    )


def _watch(rule: Any) -> Watch:
    return Watch(
        comparison=comparison_of(Condition(rule.condition)),
        threshold=rule.threshold,
        hysteresis=rule.hysteresis,
        cooldown=timedelta(minutes=rule.cooldown_minutes),
        expires_at=rule.expires_at,
    )


def _as_observations(rule: Any, observed: _Observed, now: datetime) -> Sequence[Observation]:
    if observed.base is None:
        return [Observation(now, observed.value)]
    return as_observations(Condition(rule.condition), [Change(now, observed.value, observed.base)])


def _turned(rule: Any, value: Decimal) -> Decimal:
    """A change as a rule follows it, of one that is told, and the other way round: to a rule over falls a fall, which
    is told as negative, is more than nothing.
    """
    return -value if rule.condition == Condition.FALLS_BY else value


async def _known(transaction: Transaction, rules: Sequence[Any], now: datetime) -> Mapping[UUID, Any]:
    """What each rule remembers of its portfolio, and whether the value may have changed since it looked."""
    rows = await transaction.connection.execute(
        _KNOWN,
        {
            "rules": [rule.id for rule in rules],
            "valued_after": now - VALUED_AT_LEAST_EVERY,
            "at_most_every": LOOKED_AT_MOST_EVERY,
            "longest_transaction": LONGEST_TRANSACTION,
        },
    )
    return {row.rule_id: row for row in rows}


async def _observe(transaction: Transaction, rules: Sequence[Any], now: datetime) -> Mapping[UUID, _Observed]:
    """What each rule sees now; nothing for one whose portfolio has no value, or no change, in its currency."""
    values = await _values(transaction, rules, now)
    over_changes = [rule for rule in rules if rule.condition in OVER_CHANGES]
    bases = await _bases(transaction, over_changes, now)
    observed: dict[UUID, _Observed] = {}
    for rule in rules:
        value = values.get((rule.portfolio_id, rule.currency))
        if value is None:
            continue
        if rule.condition not in OVER_CHANGES:
            observed[rule.id] = _Observed(value)
        elif bases.get(rule.id) is not None:
            percent = change_in_percent(bases[rule.id], value)
            if percent is not None:
                observed[rule.id] = _Observed(percent, bases[rule.id])
    return observed


async def _values(
    transaction: Transaction, rules: Sequence[Any], now: datetime
) -> Mapping[tuple[UUID, str | None], Decimal | None]:
    """What the portfolios are worth in the currencies of their rules."""
    by_currency: dict[str | None, set[UUID]] = defaultdict(set)
    for rule in rules:
        by_currency[rule.currency].add(rule.portfolio_id)
    values: dict[tuple[UUID, str | None], Decimal | None] = {}
    for currency, portfolio_ids in by_currency.items():
        rows = await transaction.connection.execute(
            _VALUES, {PORTFOLIO_IDS: sorted(portfolio_ids), "currency": currency, "operation_time": now}
        )
        values |= {(row.portfolio_id, currency): row.value for row in rows}
    return values


async def _bases(transaction: Transaction, rules: Sequence[Any], now: datetime) -> Mapping[UUID, Decimal]:
    """What the portfolio of each rule was worth a window ago, in the rule's currency at the rate of that day."""
    if not rules:
        return {}
    rows = await transaction.connection.execute(
        _BASES, {"rules": [rule.id for rule in rules], "now": now, "coins": sorted(CRYPTO_CURRENCIES)}
    )
    return {row.rule_id: row.base for row in rows if row.base is not None}


_VALUES = select(PORTFOLIO_VALUES.c.portfolio_id, PORTFOLIO_VALUES.c.value)
# Trades are told by the version of their portfolio's mark; prices and fair values by when they were stored, since the
# rule was looked at, which was a minute before it is due again.
_KNOWN = text("""
    WITH watched AS MATERIALIZED (
        SELECT rule.id AS rule_id, rule.portfolio_id,
            rule.next_look_at - CAST(:at_most_every AS interval) - CAST(:longest_transaction AS interval) AS since,
            state.is_triggered, state.value, state.fired_at,
            state.observed_at, state.subject_version, mark.version
        FROM alerts.rules AS rule
        LEFT JOIN alerts.subject_states AS state
            ON state.rule_id = rule.id AND state.subject_id = rule.portfolio_id
        LEFT JOIN portfolios.snapshot_marks AS mark ON mark.portfolio_id = rule.portfolio_id
        WHERE rule.id = ANY (CAST(:rules AS uuid[]))
    ), stored AS MATERIALIZED (
        SELECT series.variant_id, max(change.recorded_at) AS at
        FROM prices.price_changes AS change JOIN prices.price_series AS series ON series.id = change.series_id
        WHERE change.recorded_at > greatest(CAST(:valued_after AS timestamptz), (SELECT min(since) FROM watched))
        GROUP BY series.variant_id
    )
    SELECT watched.rule_id, watched.is_triggered, watched.value, watched.fired_at, watched.version,
        watched.observed_at IS NULL OR watched.observed_at <= CAST(:valued_after AS timestamptz)
        OR watched.subject_version IS DISTINCT FROM watched.version
        OR EXISTS (
            SELECT FROM portfolios.holdings AS holding JOIN stored ON stored.variant_id = holding.variant_id
            WHERE holding.portfolio_id = watched.portfolio_id
                AND stored.at > watched.since
        )
        OR EXISTS (
            SELECT FROM portfolios.holdings AS holding
            JOIN prices.valuations AS valuation
                ON valuation.variant_id = holding.variant_id AND valuation.is_current
            WHERE holding.portfolio_id = watched.portfolio_id
                AND valuation.computed_at > watched.since
        ) AS has_changed
    FROM watched
""")
# A snapshot is of the end of its day.
_BASES = text("""
    SELECT rule.id AS rule_id, CASE WHEN base.currency = rule.currency THEN base.value ELSE round(
        base.value * prices.units_per_euro(rule.currency, base.day, :coins)
            / prices.units_per_euro(base.currency, base.day, :coins), 18
    ) END AS base
    FROM alerts.rules AS rule
    CROSS JOIN LATERAL (
        SELECT CAST(timezone('UTC', CAST(:now AS timestamptz) - make_interval(mins => rule.window_minutes)) AS date)
            AS day
    ) AS begins
    CROSS JOIN LATERAL (
        (
            SELECT day, currency, value FROM portfolios.snapshots
            WHERE portfolio_id = rule.portfolio_id AND snapshots.day < begins.day AND value IS NOT NULL
            ORDER BY day DESC LIMIT 1
        )
        UNION ALL
        (
            SELECT day, currency, value FROM portfolios.snapshots
            WHERE portfolio_id = rule.portfolio_id AND snapshots.day >= begins.day AND value IS NOT NULL
            ORDER BY day LIMIT 1
        )
        ORDER BY day LIMIT 1
    ) AS base
    WHERE rule.id = ANY (CAST(:rules AS uuid[]))
""")
