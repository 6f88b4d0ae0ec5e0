"""Which rules the new prices of series have come near."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.models import RuleTarget
from app.alerts.queries.wanted_series import FULFILLED_WANTS, IS_GOOD_ENOUGH


class TouchedSeries(NamedTuple):
    """A series, and between which two prices it was and is, in its own currency."""

    id: int
    variant_id: UUID
    source_id: int
    kind: str
    currency: str
    low: Decimal
    high: Decimal


class RateSpan(NamedTuple):
    """The least and the greatest rate from one currency to another of the days that matter."""

    from_currency: str
    to_currency: str
    least: Decimal
    greatest: Decimal


class RuleOfSeries(NamedTuple):
    """A rule that watches a series, and what it remembers of it; `is_triggered` is None where that is nothing.

    Of a rule about wants, the threshold and the currency are those of the want that `want_id` names. Without a
    currency a rule is about changes, in the series' own.
    """

    rule_id: UUID
    owner_id: UUID
    version: int
    condition: str
    threshold: Decimal
    currency: str | None
    window_minutes: int | None
    hysteresis: Decimal
    cooldown_minutes: int
    expires_at: datetime | None
    watches_from: datetime
    want_id: UUID | None
    item_id: UUID
    series_id: int
    is_triggered: bool | None
    value: Decimal | None
    known_at: datetime | None
    fired_at: datetime | None

    @property
    def subject_id(self) -> UUID:
        """What the price is held against, as `PriceState` has it."""
        return self.want_id or self.rule_id


@dataclass(frozen=True, slots=True)
class Watching:
    """What active rules over prices look at, and the currencies that they are in."""

    targets: frozenset[RuleTarget]
    currencies: Sequence[str]


async def what_is_watched(connection: AsyncConnection) -> Watching:
    """Of which kinds there are active rules over prices at all; `wants` stands for those of one want, too."""
    row = (await connection.execute(_WATCHED)).one()
    return Watching(frozenset(target for target in _KINDS if getattr(row, target)), row.currencies)


async def rules_near(
    connection: AsyncConnection,
    touched: Collection[TouchedSeries],
    spans: Iterable[RateSpan],
    *,
    targets: Collection[RuleTarget],
    at: datetime,
) -> list[RuleOfSeries]:
    """The rules over items, variants, card sets and watchlists that have not ended at an instant and look at these.

    Of those over prices only the ones that lie between the low and the high of a series, of those over changes all: the
    clock looks at these, too.
    """
    branches = tuple(target for target in _JOINS if target in targets)
    if not branches or not touched:
        return []
    rows = await connection.execute(_NEAR[branches], _columns(touched) | _span_columns(spans) | {"at": at})
    return [RuleOfSeries._make(row) for row in rows]


async def want_rules_of(
    connection: AsyncConnection, touched: Collection[TouchedSeries], *, at: datetime
) -> list[RuleOfSeries]:
    """The rules over wants that have not ended at an instant, for each want with a maximum price that a series is of.

    A want of any print is met by every variant of the prints of its card. A variant whose name tells a condition meets
    wants of that condition or a worse one; a bid meets none. A want whose owner holds what meets it is not watched.
    """
    if not touched:
        return []
    rows = await connection.execute(_WANTS, _columns(touched) | {"at": at})
    return [RuleOfSeries._make(row) for row in rows]


def _columns(touched: Collection[TouchedSeries]) -> dict[str, object]:
    ids, variants, sources, kinds, currencies, lows, highs = zip(*touched, strict=True)
    return {
        "series": list(ids),
        "variants": list(variants),
        "sources": list(sources),
        "kinds": list(kinds),
        "currencies": list(currencies),
        "lows": list(lows),
        "highs": list(highs),
    }


def _span_columns(spans: Iterable[RateSpan]) -> dict[str, object]:
    listed = list(spans)
    return {
        "from_currencies": [span.from_currency for span in listed],
        "to_currencies": [span.to_currency for span in listed],
        "least_rates": [span.least for span in listed],
        "greatest_rates": [span.greatest for span in listed],
    }


_KINDS = (RuleTarget.ITEM, RuleTarget.VARIANT, RuleTarget.CARD_SET, RuleTarget.WATCHLIST, RuleTarget.WANTS)
# The last is a walk from one currency to the next in the index: few are used, and many rules use each.
_WATCHED = text("""
    SELECT
        EXISTS (SELECT FROM alerts.rules WHERE item_id IS NOT NULL AND is_active) AS item,
        EXISTS (SELECT FROM alerts.rules WHERE variant_id IS NOT NULL AND is_active) AS variant,
        EXISTS (SELECT FROM alerts.rules WHERE card_set_id IS NOT NULL AND is_active) AS card_set,
        EXISTS (SELECT FROM alerts.rules WHERE watchlist_id IS NOT NULL AND is_active) AS watchlist,
        EXISTS (SELECT FROM alerts.rules WHERE is_active AND condition = 'want_met') AS wants,
        ARRAY(
            WITH RECURSIVE used (currency) AS (
                (
                    SELECT currency FROM alerts.rules
                    WHERE is_active AND currency IS NOT NULL ORDER BY currency LIMIT 1
                )
                UNION ALL
                SELECT (
                    SELECT rule.currency FROM alerts.rules AS rule
                    WHERE rule.is_active AND rule.currency IS NOT NULL AND rule.currency > used.currency
                    ORDER BY rule.currency LIMIT 1
                )
                FROM used WHERE used.currency IS NOT NULL
            )
            SELECT currency FROM used WHERE currency IS NOT NULL
        ) AS currencies
""")
_TOUCHED = """
    touched AS MATERIALIZED (
        SELECT given.*, variant.item_id, card.set_id, card.game, card.oracle_id
        FROM unnest(
            CAST(:series AS integer[]), CAST(:variants AS uuid[]), CAST(:sources AS integer[]),
            CAST(:kinds AS text[]), CAST(:currencies AS text[]), CAST(:lows AS numeric[]), CAST(:highs AS numeric[])
        ) AS given (series_id, variant_id, source_id, kind, currency, low, high)
        JOIN catalogue.item_variants AS variant ON variant.id = given.variant_id
        LEFT JOIN catalogue.cards AS card ON card.item_id = variant.item_id
    )
"""
_COUNTS = """
    rule.is_active AND (rule.expires_at IS NULL OR rule.expires_at > CAST(:at AS timestamptz))
    AND (rule.source_id IS NULL OR rule.source_id = touched.source_id)
    AND (rule.price_kind IS NULL OR rule.price_kind = touched.kind)
"""
_COLUMNS = """
    rule.id, rule.owner_id, rule.version, rule.condition, rule.threshold, rule.currency, rule.window_minutes,
    rule.hysteresis, rule.cooldown_minutes, rule.expires_at, rule.watches_from, CAST(NULL AS uuid) AS want_id,
    touched.item_id, touched.series_id
"""
# The offset makes it one look-up in the index for each rule, however few rules are expected.
_STATE = """
    SELECT known.is_triggered, known.value, known.observed_at, known.fired_at FROM alerts.price_states AS known
    WHERE known.rule_id = found.id AND known.series_id = found.series_id
        AND known.subject_id = coalesce(found.want_id, found.id)
    OFFSET 0
"""
_JOINS = {
    RuleTarget.VARIANT: "JOIN alerts.rules AS rule ON rule.variant_id = touched.variant_id",
    RuleTarget.ITEM: "JOIN alerts.rules AS rule ON rule.item_id = touched.item_id",
    RuleTarget.CARD_SET: "JOIN alerts.rules AS rule ON rule.card_set_id = touched.set_id",
    RuleTarget.WATCHLIST: """
        JOIN portfolios.watchlist_items AS entry
            ON entry.item_id = touched.item_id
            AND (entry.variant_id IS NULL OR entry.variant_id = touched.variant_id)
        JOIN alerts.rules AS rule ON rule.watchlist_id = entry.watchlist_id
    """,
}


def _near(branches: Iterable[RuleTarget]) -> TextClause:
    found = "\nUNION ALL\n".join(
        f"""
        SELECT {_COLUMNS} FROM reached AS touched {_JOINS[target]}
            AND rule.reach_low <= touched.greatest AND rule.reach_high >= touched.least
        WHERE rule.currency = touched.rule_currency AND {_COUNTS}
        UNION ALL
        SELECT {_COLUMNS} FROM touched {_JOINS[target]} AND rule.reach_low IS NULL
        WHERE rule.condition IN ('rises_by', 'falls_by') AND rule.next_look_at IS NOT NULL AND {_COUNTS}
        """  # noqa: S608  # words of our own
        for target in branches
    )
    return text(f"""
        WITH {_TOUCHED},
        reached AS MATERIALIZED (
            SELECT touched.*, span.to_currency AS rule_currency,
                touched.low * span.least AS least, touched.high * span.greatest AS greatest
            FROM touched JOIN unnest(
                CAST(:from_currencies AS text[]), CAST(:to_currencies AS text[]),
                CAST(:least_rates AS numeric[]), CAST(:greatest_rates AS numeric[])
            ) AS span (from_currency, to_currency, least, greatest) ON span.from_currency = touched.currency
        ),
        found AS ({found})
        SELECT found.*, state.is_triggered, state.value, state.observed_at, state.fired_at
        FROM found LEFT JOIN LATERAL ({_STATE}) AS state ON true
    """)  # noqa: S608  # words of our own


class _Statements(dict[tuple[RuleTarget, ...], TextClause]):
    """The statement for some kinds of targets; each is written once."""

    def __missing__(self, branches: tuple[RuleTarget, ...]) -> TextClause:
        self[branches] = statement = _near(branches)
        return statement


_NEAR = _Statements()
# Cards are found by their prints at once, so that of a whole set each card is looked for once.
_WANTS = text(f"""
    WITH {_TOUCHED},
    priced AS (SELECT * FROM touched WHERE kind <> 'bid'),
    matched AS (
        SELECT priced.series_id, want.id AS want_id
        FROM priced JOIN portfolios.wants AS want ON want.variant_id = priced.variant_id
        UNION
        SELECT priced.series_id, want.id
        FROM (SELECT DISTINCT item_id FROM priced) AS wanted
        JOIN catalogue.item_variants AS variant ON variant.item_id = wanted.item_id
        JOIN portfolios.wants AS want ON want.variant_id = variant.id AND want.accepts_any_print
        JOIN priced ON priced.item_id = wanted.item_id
        UNION
        SELECT priced.series_id, want.id
        FROM (SELECT DISTINCT game, oracle_id FROM priced WHERE oracle_id IS NOT NULL) AS wanted
        JOIN catalogue.cards AS card ON card.oracle_id = wanted.oracle_id AND card.game = wanted.game
        JOIN catalogue.item_variants AS variant ON variant.item_id = card.item_id
        JOIN portfolios.wants AS want ON want.variant_id = variant.id AND want.accepts_any_print
        JOIN priced ON priced.oracle_id = wanted.oracle_id AND priced.game = wanted.game
    ),
    found AS (
        SELECT rule.id, rule.owner_id, rule.version, rule.condition, want.maximum_price, want.currency,
            rule.window_minutes, rule.hysteresis, rule.cooldown_minutes, rule.expires_at, rule.watches_from,
            want.id AS want_id, touched.item_id, touched.series_id
        FROM matched
        JOIN touched ON touched.series_id = matched.series_id
        JOIN catalogue.item_variants AS variant ON variant.id = touched.variant_id
        JOIN portfolios.wants AS want ON want.id = matched.want_id AND {IS_GOOD_ENOUGH}
        JOIN alerts.rules AS rule
            ON rule.owner_id = want.owner_id AND rule.condition = 'want_met'
            AND (rule.want_id IS NULL OR rule.want_id = want.id)
        WHERE want.deleted_at IS NULL AND want.maximum_price IS NOT NULL AND {_COUNTS}
    ),
    considered AS (SELECT DISTINCT want_id FROM found),
    fulfilled AS MATERIALIZED ({FULFILLED_WANTS})
    SELECT found.id, found.owner_id, found.version, found.condition, found.maximum_price, found.currency,
        found.window_minutes, found.hysteresis, found.cooldown_minutes, found.expires_at, found.watches_from,
        found.want_id, found.item_id, found.series_id,
        state.is_triggered, state.value, state.observed_at, state.fired_at
    FROM found LEFT JOIN LATERAL ({_STATE}) AS state ON true
    WHERE NOT EXISTS (SELECT FROM fulfilled WHERE fulfilled.id = found.want_id)
""")  # noqa: S608  # words of our own
