"""What rules are now: armed, triggered or not known, and the newest observation that each was held against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    DateTime,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.alerts.models import Rule
from app.alerts.queries.wanted_series import FULFILLED_WANTS, IS_GOOD_ENOUGH, MATCHED_VARIANTS
from app.core.database import OPERATION_TIME
from app.core.money import CRYPTO_CURRENCIES


class RuleState(StrEnum):
    """What a rule is. One over several things is triggered when it is so for any of them."""

    UNKNOWN = "unknown"
    ARMED = "armed"
    TRIGGERED = "triggered"
    EXPIRED = "expired"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The newest observation that a rule was held against: its time, and the value in the rule's unit."""

    at: datetime
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The state of a rule, and what it was last held against."""

    state: RuleState
    last: Evaluated | None


class AskedRule(NamedTuple):
    """A rule as it is at a time."""

    rule_id: UUID
    now: datetime


async def evaluations_of(connection: AsyncConnection, asked: Sequence[AskedRule]) -> Mapping[AskedRule, Evaluation]:
    """What each of these rules is now; nothing of one that is not there."""
    wanted = {one.rule_id: one for one in asked}
    rows = await connection.execute(_EVALUATIONS, {"rule_ids": list(wanted), "now": asked[0].now})
    return {
        wanted[row.rule_id]: Evaluation(
            RuleState(row.state), None if row.observed_at is None else Evaluated(row.observed_at, row.value)
        )
        for row in rows
    }


# The series that rules over prices watch, each rule once for each of its series.
WATCHED_SERIES = """
    SELECT rule.id AS rule_id, series.*
    FROM asked_rules AS rule
    CROSS JOIN LATERAL (
        SELECT variant.id FROM catalogue.item_variants AS variant WHERE variant.item_id = rule.item_id
        UNION
        SELECT rule.variant_id WHERE rule.variant_id IS NOT NULL
        UNION
        SELECT variant.id FROM catalogue.cards AS card
        JOIN catalogue.item_variants AS variant ON variant.item_id = card.item_id
        WHERE card.set_id = rule.card_set_id
        UNION
        SELECT variant.id FROM portfolios.watchlist_items AS entry
        JOIN catalogue.item_variants AS variant
            ON variant.item_id = entry.item_id AND variant.id = coalesce(entry.variant_id, variant.id)
        WHERE entry.watchlist_id = rule.watchlist_id
    ) AS watched
    JOIN prices.price_series AS series ON series.variant_id = watched.id
        AND series.kind = coalesce(rule.price_kind, series.kind)
        AND series.source_id = coalesce(rule.source_id, series.source_id)
"""
# What a rule over wants is held against: the prices that may meet each of them. One that is fulfilled is met, and not
# watched; a rule over it alone is triggered.
_WANTED = f"""
    watched_wants AS (
        SELECT rule.id AS rule_id, rule.want_id IS NOT NULL AS is_only_one, want.id AS want_id
        FROM asked_rules AS rule
        JOIN portfolios.wants AS want
            ON want.owner_id = rule.owner_id AND want.id = coalesce(rule.want_id, want.id)
        WHERE rule.condition = 'want_met' AND want.deleted_at IS NULL AND want.maximum_price IS NOT NULL
    ),
    considered AS (SELECT DISTINCT want_id FROM watched_wants),
    fulfilled AS MATERIALIZED ({FULFILLED_WANTS}),
    wanted AS (
        SELECT want.id AS want_id, want.variant_id, want.accepts_any_print
        FROM considered JOIN portfolios.wants AS want ON want.id = considered.want_id
        WHERE NOT EXISTS (SELECT FROM fulfilled WHERE fulfilled.id = want.id)
    ),
    matched AS ({MATCHED_VARIANTS}),
    wanted_series AS (
        SELECT watched_wants.rule_id, want.maximum_price, want.currency AS wanted_currency, series.id AS series_id,
            series.currency, series.latest_price, series.latest_observed_at
        FROM watched_wants
        JOIN matched ON matched.want_id = watched_wants.want_id
        JOIN portfolios.wants AS want ON want.id = matched.want_id
        JOIN catalogue.item_variants AS variant ON variant.id = matched.variant_id AND {IS_GOOD_ENOUGH}
        JOIN prices.price_series AS series
            ON series.variant_id = matched.variant_id AND series.kind <> 'bid' AND series.latest_price IS NOT NULL
    )
"""  # noqa: S608  # our own words
# What a rule remembers of a series counts; of what it remembers nothing, it follows from the latest price, at the
# exchange rate of that price's day.


def _evaluated(asked: str, now: str) -> str:
    return f"""
    WITH asked_rules AS (SELECT * FROM alerts.rules WHERE {asked}),
    watched AS ({WATCHED_SERIES} WHERE series.latest_price IS NOT NULL),
    {_WANTED},
    exchanges AS (
        SELECT asked.*, found.rate
        FROM (
            SELECT DISTINCT watched.currency AS from_currency, rule.currency AS to_currency,
                CAST(timezone('UTC', watched.latest_observed_at) AS date) AS day
            FROM watched JOIN asked_rules AS rule ON rule.id = watched.rule_id AND rule.currency <> watched.currency
            UNION
            SELECT currency, wanted_currency, CAST(timezone('UTC', latest_observed_at) AS date)
            FROM wanted_series WHERE currency <> wanted_currency
        ) AS asked
        CROSS JOIN LATERAL prices.exchange_rate(asked.from_currency, asked.to_currency, asked.day, :coins) AS found
    ),
    prices_of_rules AS (
        SELECT watched.rule_id, watched.id AS series_id, watched.latest_observed_at AS observed_at,
            watched.latest_price * CASE
                WHEN rule.currency IS NULL OR rule.currency = watched.currency THEN 1 ELSE exchanges.rate
            END AS value
        FROM watched
        JOIN asked_rules AS rule ON rule.id = watched.rule_id
        LEFT JOIN exchanges ON exchanges.from_currency = watched.currency AND exchanges.to_currency = rule.currency
            AND exchanges.day = CAST(timezone('UTC', watched.latest_observed_at) AS date)
        WHERE rule.condition NOT IN ('rises_by', 'falls_by')
    ),
    prices_of_wants AS (
        SELECT one.rule_id, one.series_id, one.latest_observed_at AS observed_at, one.maximum_price,
            one.latest_price * CASE WHEN one.wanted_currency = one.currency THEN 1 ELSE exchanges.rate END AS value
        FROM wanted_series AS one
        LEFT JOIN exchanges ON exchanges.from_currency = one.currency AND exchanges.to_currency = one.wanted_currency
            AND exchanges.day = CAST(timezone('UTC', one.latest_observed_at) AS date)
    ),
    evaluated AS (
        SELECT price.rule_id, price.observed_at, trim_scale(price.value) AS value, coalesce(
            remembered.is_triggered,
            CASE rule.condition
                WHEN 'crosses_above' THEN price.value > rule.threshold
                WHEN 'crosses_below' THEN price.value < rule.threshold
                WHEN 'at_or_below' THEN price.value <= rule.threshold
                ELSE false
            END
        ) AS is_triggered, CAST(price.series_id AS text) AS subject
        FROM prices_of_rules AS price
        JOIN asked_rules AS rule ON rule.id = price.rule_id
        LEFT JOIN alerts.price_states AS remembered
            ON remembered.rule_id = price.rule_id AND remembered.series_id = price.series_id
        WHERE price.value IS NOT NULL
        UNION ALL
        SELECT remembered.rule_id, remembered.observed_at, remembered.value, remembered.is_triggered,
            CAST(remembered.series_id AS text)
        FROM alerts.price_states AS remembered
        JOIN asked_rules AS rule ON rule.id = remembered.rule_id
            AND rule.condition IN ('rises_by', 'falls_by')
        UNION ALL
        SELECT rule_id, observed_at, trim_scale(value), value <= maximum_price, CAST(series_id AS text)
        FROM prices_of_wants WHERE value IS NOT NULL
        UNION ALL
        SELECT rule_id, NULL, NULL, is_only_one, CAST(want_id AS text)
        FROM watched_wants WHERE want_id IN (SELECT id FROM fulfilled)
        UNION ALL
        SELECT remembered.rule_id, remembered.observed_at, remembered.value, remembered.is_triggered,
            CAST(remembered.subject_id AS text)
        FROM alerts.subject_states AS remembered JOIN asked_rules AS rule ON rule.id = remembered.rule_id
        -- A portfolio that was looked at may have had no value; trackers and preorders have none ever.
        WHERE rule.portfolio_id IS NULL OR remembered.value IS NOT NULL
    ),
    summed AS (
        SELECT rule_id, bool_or(is_triggered) AS is_triggered,
            (array_agg(observed_at ORDER BY observed_at DESC NULLS LAST, subject))[1] AS observed_at,
            (array_agg(value ORDER BY observed_at DESC NULLS LAST, subject))[1] AS value
        FROM evaluated GROUP BY rule_id
    )
    SELECT rule.id AS rule_id, CASE
            -- What happens is told whenever it is held against a rule, unless that rests.
            WHEN rule.condition IN ('entered', 'left', 'delivered', 'moved_in_storage', 'date_slipped')
                THEN greatest(summed.observed_at, rule.last_fired_at)
            ELSE summed.observed_at
        END AS observed_at, summed.value, CASE
        WHEN rule.paused_at IS NOT NULL THEN 'paused'
        WHEN rule.expires_at <= coalesce(rule.ended_at, {now}) THEN 'expired'
        WHEN rule.ended_at IS NOT NULL THEN 'triggered'
        WHEN summed.is_triggered THEN 'triggered'
        WHEN summed.is_triggered IS NOT NULL THEN 'armed'
        -- What happens, or does not, needs no value before.
        WHEN rule.condition IN ('entered', 'left', 'delivered', 'moved_in_storage', 'date_slipped') THEN 'armed'
        ELSE 'unknown'
    END AS state
    FROM asked_rules AS rule LEFT JOIN summed ON summed.rule_id = rule.id
"""  # noqa: S608  # our own words


_COINS = bindparam("coins", sorted(CRYPTO_CURRENCIES), type_=ARRAY(Text))
_EVALUATIONS = text(_evaluated("id = ANY(:rule_ids)", ":now")).bindparams(
    bindparam("rule_ids", type_=ARRAY(Uuid)), bindparam("now", type_=DateTime(timezone=True)), _COINS
)
_ALL_SEEN = (
    text(_evaluated("true", ":operation_time"))
    .bindparams(OPERATION_TIME, _COINS)
    .columns(column("rule_id", Uuid()), column("state", Text()))
    .subquery("evaluated_rules")
)
STATES: ColumnElement[Any] = literal_column("'{}'", ARRAY(Text()))


def is_in_one_of(states: BindParameter[Any]) -> ColumnElement[bool]:
    """Whether a rule is in one of these states, which `STATES` gives the type of, among all that whoever asks sees."""
    found = select(func.array_agg(_ALL_SEEN.c.rule_id)).where(_ALL_SEEN.c.state == states.any_()).scalar_subquery()
    # A select that stands alone in `ANY` would be taken for the rows to compare with.
    ids = func.coalesce(found, literal_column("CAST('{}' AS uuid[])", ARRAY(Uuid())), type_=ARRAY(Uuid()))
    return Rule.id == ids.any_()
