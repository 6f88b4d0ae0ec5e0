"""Looks by the clock at rules over changes: what a price is compared with moves on while nothing is observed."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.commands.held_rules import Held, write_states
from app.alerts.commands.hold_over_changes import LookAtChanges, PriceAt, hold_over_changes
from app.alerts.fired import Fired
from app.alerts.queries.daily_rates import DailyRates
from app.alerts.queries.past_prices import past_prices
from app.alerts.queries.price_rules import RuleOfSeries
from app.core.database import Transaction

LOOKS_A_WINDOW = 100
LOOKED_AT_MOST_EVERY = timedelta(minutes=1)
# Each may lead to thousands of series, and prices that it fires at wait for it meanwhile.
WIDE_AT_A_TIME = 10


async def look_at_windows(
    transaction: Transaction,
    *,
    limit: int,
    now: datetime,
    most_wide: int = WIDE_AT_A_TIME,
    only: Collection[UUID] | None = None,
) -> list[Fired]:
    """Hold up to `limit` rules over changes that are due, of these alone where any are given, against what their series
    are worth now; gives what fired.

    Of those over card sets and watchlists it takes `most_wide` at most, beside the others.

    The clock looks at each again after a hundredth of its window, and after a minute at the earliest. Rules that
    somebody else holds are passed over, and so are series that prices are coming into: those are looked at there.
    """
    connection = transaction.connection
    # A merge holds the table before it takes rules: who took them first would have it wait, and wait for it in turn.
    await connection.execute(_SHARE_SERIES)
    due = [
        rule
        for is_wide, most in ((False, limit), (True, min(limit, most_wide)))
        for rule in await connection.execute(
            _DUE,
            {"now": now, "is_wide": is_wide, "limit": most, "only": None if only is None else list(only)},
        )
    ]
    if not due:
        return []
    pairs = (await connection.execute(_SERIES, {"rules": [rule.id for rule in due]})).all()
    looks = await _looks(connection, due, pairs, now)
    past = await past_prices(connection, [span for look in looks for span in look.spans])
    rates = DailyRates()
    await rates.read(connection, [exchange for look in looks for exchange in look.exchanges(past)])
    held = Held()
    for look in looks:
        hold_over_changes(look, past, rates, held)
    await write_states(connection, held)
    await connection.execute(
        _LOOK_AGAIN,
        {
            "rules": [rule.id for rule in due],
            "at": [now + looks_every(timedelta(minutes=rule.window_minutes)) for rule in due],
        },
    )
    return held.fired


def looks_every(window: timedelta) -> timedelta:
    """How often the clock looks at a rule over changes within such a window."""
    return max(LOOKED_AT_MOST_EVERY, window / LOOKS_A_WINDOW)


async def _looks(
    connection: AsyncConnection, due: Sequence[Any], pairs: Collection[Any], now: datetime
) -> list[LookAtChanges]:
    series_ids = {pair.series_id for pair in pairs}
    series = {row.id: row for row in await connection.execute(_LOCK_SERIES, {"series": list(series_ids)})}
    states = await _states(connection, {pair.rule_id for pair in pairs}, series)
    rules = {rule.id: rule for rule in due}
    looks = []
    for pair in pairs:
        row = series.get(pair.series_id)
        if row is None:
            continue
        rule, state = rules[pair.rule_id], states.get((pair.rule_id, pair.series_id))
        began = None
        if state is None:
            began_at = min(max(rule.watches_from, row.latest_observed_at), now)
            began = PriceAt(began_at, row.latest_price, row.latest_observed_at)
        looks.append(
            LookAtChanges(
                rule=RuleOfSeries(
                    rule_id=rule.id,
                    owner_id=rule.owner_id,
                    version=rule.version,
                    condition=rule.condition,
                    threshold=rule.threshold,
                    currency=rule.currency,
                    window_minutes=rule.window_minutes,
                    hysteresis=rule.hysteresis,
                    cooldown_minutes=rule.cooldown_minutes,
                    expires_at=rule.expires_at,
                    watches_from=rule.watches_from,
                    want_id=None,
                    item_id=pair.item_id,
                    series_id=row.id,
                    is_triggered=None if state is None else state.is_triggered,
                    value=None if state is None else state.value,
                    known_at=None if state is None else state.observed_at,
                    fired_at=None if state is None else state.fired_at,
                ),
                variant_id=row.variant_id,
                source_id=row.source_id,
                kind=row.kind,
                own_currency=row.currency,
                prices=[PriceAt(now, row.latest_price, row.latest_observed_at)],
                began=began,
                window=timedelta(minutes=rule.window_minutes),
            )
        )
    return looks


async def _states(
    connection: AsyncConnection, rule_ids: Collection[UUID], series_ids: Collection[int]
) -> dict[tuple[UUID, int], Any]:
    rows = await connection.execute(_STATES, {"rules": list(rule_ids), "series": list(series_ids)})
    return {(row.rule_id, row.series_id): row for row in rows}


# Neither rules nor series are waited for, so their order does not matter here.
_DUE = text("""
    SELECT * FROM alerts.rules
    WHERE is_active AND next_look_at <= CAST(:now AS timestamptz)
        AND (expires_at IS NULL OR expires_at > CAST(:now AS timestamptz))
        AND condition IN ('rises_by', 'falls_by') AND portfolio_id IS NULL
        AND (card_set_id IS NOT NULL OR watchlist_id IS NOT NULL) = CAST(:is_wide AS boolean)
        AND (CAST(:only AS uuid[]) IS NULL OR id = ANY (CAST(:only AS uuid[])))
    ORDER BY next_look_at
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
""")
_SHARE_SERIES = text("LOCK TABLE prices.price_series IN ROW SHARE MODE")
_SERIES = text("""
    WITH watched AS (
        SELECT rule.id, rule.price_kind, rule.source_id, variant.id AS variant_id, variant.item_id
        FROM alerts.rules AS rule
        JOIN catalogue.item_variants AS variant ON variant.id = rule.variant_id OR variant.item_id = rule.item_id
        WHERE rule.id = ANY (CAST(:rules AS uuid[]))
        UNION ALL
        SELECT rule.id, rule.price_kind, rule.source_id, variant.id, variant.item_id
        FROM alerts.rules AS rule
        JOIN catalogue.cards AS card ON card.set_id = rule.card_set_id
        JOIN catalogue.item_variants AS variant ON variant.item_id = card.item_id
        WHERE rule.id = ANY (CAST(:rules AS uuid[]))
        UNION ALL
        SELECT rule.id, rule.price_kind, rule.source_id, variant.id, variant.item_id
        FROM alerts.rules AS rule
        JOIN portfolios.watchlist_items AS entry ON entry.watchlist_id = rule.watchlist_id
        JOIN catalogue.item_variants AS variant
            ON variant.item_id = entry.item_id AND (entry.variant_id IS NULL OR entry.variant_id = variant.id)
        WHERE rule.id = ANY (CAST(:rules AS uuid[]))
    )
    SELECT watched.id AS rule_id, watched.item_id, series.id AS series_id
    FROM watched
    JOIN prices.price_series AS series ON series.variant_id = watched.variant_id
    WHERE series.latest_price IS NOT NULL
        AND (watched.price_kind IS NULL OR watched.price_kind = series.kind)
        AND (watched.source_id IS NULL OR watched.source_id = series.source_id)
""")
_LOCK_SERIES = text("""
    SELECT id, variant_id, source_id, kind, currency, latest_price, latest_observed_at
    FROM prices.price_series
    WHERE id = ANY (CAST(:series AS integer[])) AND latest_price IS NOT NULL
    FOR NO KEY UPDATE SKIP LOCKED
""")
_STATES = text("""
    SELECT rule_id, series_id, is_triggered, value, observed_at, fired_at FROM alerts.price_states
    WHERE rule_id = ANY (CAST(:rules AS uuid[])) AND series_id = ANY (CAST(:series AS integer[]))
""")
_LOOK_AGAIN = text("""
    UPDATE alerts.rules AS rule SET next_look_at = given.at
    FROM unnest(CAST(:rules AS uuid[]), CAST(:at AS timestamptz[])) AS given (id, at)
    WHERE rule.id = given.id
""")
