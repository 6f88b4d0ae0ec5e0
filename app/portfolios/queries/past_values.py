"""What a portfolio was at the end of a day that has passed: what was held, by trades, at the prices of that day."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    CTE,
    Column,
    Date,
    DateTime,
    Integer,
    Numeric,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.catalogue.models import Card, CardSet, Item, ItemVariant
from app.portfolios.models import HoldingDetails
from app.portfolios.queries.values import QUOTED_KINDS, best_quotes, units_of
from app.prices.models import ValuationBasis
from app.prices.queries.valuations import valuations_of, valued_since
from app.prices.resolutions import Resolution

# The first day that history is kept of: the euro's first rates are of it, and without a rate nothing is converted.
KEPT_SINCE = date(1999, 1, 4)
# So many variants have their sales read at a time.
_VARIANTS_AT_A_TIME = 250
_KINDS = ", ".join(f"'{kind.value}'" for kind in QUOTED_KINDS)
_PARAMETERS = (
    bindparam("portfolio_id", type_=Uuid()),
    bindparam("begins", type_=DateTime(timezone=True)),
    bindparam("ends", type_=DateTime(timezone=True)),
)
_ENDS = bindparam("ends", type_=DateTime(timezone=True))

# What each holding was, and what flowed into it on the day. What was bought or sold flows as money, and so does a fee,
# which was put in and lost: of one in kind the proceeds are less than nothing. What was given or carried over flows at
# what it was worth then, in the quantity `in_kind`, else at what it cost. The gain is that of the ledger.
_POSITIONS = text("""
    SELECT portfolio.base_currency AS wanted, holding.id AS holding_id, holding.variant_id,
        sum(moved.quantity) AS quantity, sum(moved.cost) AS cost, sum(moved.gain) AS gain,
        sum(moved.money) AS money, sum(moved.in_kind) AS in_kind, sum(moved.cost_in_kind) AS cost_in_kind
    FROM portfolios.portfolios AS portfolio
    JOIN (
        SELECT lot.portfolio_id, lot.owner_id, lot.holding_id, lot.quantity, lot.cost, 0 AS gain,
            CASE WHEN lot.acquired_at >= :begins AND trade.kind = 'buy' THEN lot.cost ELSE 0 END AS money,
            CASE WHEN lot.acquired_at >= :begins AND trade.kind <> 'buy' THEN lot.quantity ELSE 0 END AS in_kind,
            CASE WHEN lot.acquired_at >= :begins AND trade.kind <> 'buy' THEN lot.cost ELSE 0 END AS cost_in_kind
        FROM portfolios.lots AS lot JOIN portfolios.trades AS trade ON trade.id = lot.id
        WHERE lot.acquired_at < :ends
        UNION ALL
        SELECT part.portfolio_id, part.owner_id, part.holding_id, -part.quantity, -part.cost, coalesce(part.gain, 0),
            CASE WHEN part.disposed_at >= :begins AND trade.kind IN ('sell', 'fee') THEN -part.proceeds ELSE 0 END,
            CASE WHEN part.disposed_at >= :begins AND trade.kind IN ('transfer_out', 'gift_out')
                THEN -part.quantity ELSE 0 END,
            CASE WHEN part.disposed_at >= :begins AND trade.kind IN ('transfer_out', 'gift_out')
                THEN -part.cost ELSE 0 END
        FROM portfolios.lot_disposals AS part JOIN portfolios.trades AS trade ON trade.id = part.trade_id
        WHERE part.disposed_at < :ends AND part.lot_id IS NOT NULL
        UNION ALL
        SELECT portfolio_id, owner_id, holding_id, 0, 0, -fee * exchange_rate,
            CASE WHEN occurred_at >= :begins THEN fee * exchange_rate ELSE 0 END, 0, 0
        FROM portfolios.trades
        WHERE occurred_at < :ends AND (kind IN ('transfer_out', 'gift_out') OR kind = 'fee' AND quantity = 0)
    ) AS moved ON moved.portfolio_id = portfolio.id AND moved.owner_id = portfolio.owner_id
    JOIN portfolios.holdings AS holding ON holding.id = moved.holding_id
    WHERE portfolio.id = :portfolio_id
    GROUP BY portfolio.id, holding.id
""").bindparams(*_PARAMETERS)

# What could say what the variants were worth when the day ended: the fair values as they were told then, those that
# are `computed` from sales of before anything was told, and of each series the newest price that had been seen. A price
# of a source that stores only moves stands until the next one.
_QUOTES = text(f"""
    SELECT variant.variant_id, variant.wanted, '{ValuationBasis.SALES.value}' AS basis, told.value AS price,
        told.currency, told.observed_at, told.observed_at AS seen_at, told.sales, 0 AS series_id
    FROM priced_variant AS variant
    CROSS JOIN LATERAL (
        SELECT DISTINCT ON (currency) currency, basis, value, observed_at, sample_size + excluded_count AS sales
        FROM prices.valuations
        WHERE variant_id = variant.variant_id AND as_of < :ends
        ORDER BY currency, as_of DESC, id DESC
    ) AS told
    WHERE told.basis = '{ValuationBasis.SALES.value}'
    UNION ALL
    SELECT variant.variant_id, variant.wanted, '{ValuationBasis.SALES.value}', computed.value, computed.currency,
        computed.observed_at, computed.observed_at, computed.sales, 0
    FROM priced_variant AS variant
    JOIN jsonb_to_recordset(CAST(:computed AS jsonb)) AS computed (
        variant_id uuid, currency text, value numeric, observed_at timestamptz, sales integer
    ) ON computed.variant_id = variant.variant_id
    UNION ALL
    SELECT variant.variant_id, variant.wanted, series.kind, quote.price, series.currency, quote.observed_at,
        greatest(quote.observed_at, CASE
            WHEN series.last_seen_at IS NOT NULL THEN least(series.last_seen_at, :ends)
        END), 0, series.id
    FROM priced_variant AS variant
    JOIN prices.price_series AS series ON series.variant_id = variant.variant_id AND series.kind IN ({_KINDS})
    CROSS JOIN LATERAL (
        SELECT * FROM (
            (
                SELECT point.price, point.observed_at
                FROM prices.price_points AS point
                WHERE point.series_id = series.id AND point.observed_at < :ends AND series.has_points
                ORDER BY point.observed_at DESC, point.arrival DESC
                LIMIT 1
            )
            UNION ALL
            (
                SELECT candle.close, candle.bucket + interval '1 day' - interval '1 microsecond'
                FROM prices.candles AS candle
                WHERE candle.series_id = series.id AND candle.resolution = {int(Resolution.ONE_DAY)}
                    AND candle.bucket <= :ends - interval '1 day' AND NOT candle.is_provided
                    AND candle.bucket < (SELECT kept_since FROM prices.retention_marks WHERE subject = 'points')
                ORDER BY candle.bucket DESC
                LIMIT 1
            )
            UNION ALL
            SELECT candle.close, candle.ends_at - interval '1 microsecond'
            FROM unnest(series.provided_resolutions) AS layer (resolution)
            CROSS JOIN LATERAL (
                SELECT stored.close, stored.bucket + layer.resolution * interval '1 second' AS ends_at
                FROM prices.candles AS stored
                WHERE stored.series_id = series.id AND stored.resolution = layer.resolution AND stored.is_provided
                    AND stored.bucket <= :ends - layer.resolution * interval '1 second'
                ORDER BY stored.bucket DESC
                LIMIT 1
            ) AS candle
        ) AS seen
        ORDER BY seen.observed_at DESC
        LIMIT 1
    ) AS quote
""").bindparams(*_PARAMETERS[2:], bindparam("computed", type_=Text()))  # noqa: S608  # constants of ours


def _positions() -> CTE:
    return _POSITIONS.columns(
        Column("portfolio_id", Uuid),
        Column("owner_id", Uuid),
        Column("wanted", Text),
        Column("holding_id", Uuid),
        Column("variant_id", Uuid),
        *(Column(name, Numeric) for name in ("quantity", "cost", "gain", "money", "in_kind", "cost_in_kind")),
    ).cte("position")


def _quoted(variant: CTE) -> CTE:
    columns = _QUOTES.columns(
        Column("variant_id", Uuid),
        Column("wanted", Text),
        Column("basis", Text),
        Column("price", Numeric),
        Column("currency", Text),
        Column("observed_at", DateTime(timezone=True)),
        Column("seen_at", DateTime(timezone=True)),
        Column("sales", Integer),
        Column("series_id", Integer),
    )
    return columns.add_cte(variant).cte("quoted")


def _by(grouped: CTE, key: Any) -> ColumnElement[Any]:
    """The parts of the sum by what holdings have in common; `""` stands for those that have nothing of the sort."""
    of_group = (
        select(
            func.coalesce(key, literal_column("''", Text())).label("key"),
            func.sum(grouped.c.value).label("value"),
            func.sum(grouped.c.cost).label("cost"),
            func.count().label("holdings"),
            (func.count() - func.count(grouped.c.value)).label("unpriced"),
        )
        .where(grouped.c.is_held)
        .group_by(literal_column("1"))
        .subquery("of_group")
    )
    part = func.jsonb_build_object(
        literal_column("'value'"),
        cast(of_group.c.value, Text()),
        literal_column("'cost'"),
        cast(of_group.c.cost, Text()),
        literal_column("'holdings'"),
        of_group.c.holdings,
        literal_column("'unpriced'"),
        of_group.c.unpriced,
    )
    whole = select(func.jsonb_object_agg(of_group.c.key, part)).select_from(of_group).scalar_subquery()
    return func.coalesce(whole, literal_column("'{}'::jsonb", JSONB()))


def _snapshot() -> Select[Any]:
    position = _positions()
    is_held = position.c.quantity > literal_column("0")
    variant = (
        select(position.c.variant_id, position.c.wanted)
        .distinct()
        .where(is_held | (position.c.in_kind != literal_column("0")))
        .cte("priced_variant")
        .prefix_with("MATERIALIZED")
    )
    quoted = _quoted(variant)
    units = units_of(
        select(quoted.c.currency), select(variant.c.wanted), day=cast(bindparam("day", type_=Date()), Date())
    )
    best = best_quotes(quoted, units, at=_ENDS)
    item = Item.__table__
    card_set = (
        select(CardSet.slug).join(Card, Card.set_id == CardSet.id).where(Card.item_id == item.c.id).scalar_subquery()
    )
    # What is not known flows at what it cost.
    flow = position.c.money + func.coalesce(position.c.in_kind * best.c.unit, position.c.cost_in_kind)
    valued = (
        select(
            position.c.cost,
            position.c.gain,
            is_held.label("is_held"),
            case((is_held, best.c.unit * position.c.quantity)).label("value"),
            case((is_held, best.c.observed_at)).label("observed_at"),
            and_(is_held, best.c.is_stale).label("is_stale"),
            flow.label("flow"),
            item.c.kind,
            card_set.label("card_set"),
            HoldingDetails.place,
        )
        .select_from(position)
        .join(ItemVariant, ItemVariant.id == position.c.variant_id)
        .join(item, item.c.id == ItemVariant.item_id)
        .outerjoin(HoldingDetails, HoldingDetails.holding_id == position.c.holding_id)
        .outerjoin(best, and_(best.c.variant_id == position.c.variant_id, best.c.unit.is_not(None)))
        .cte("valued")
        .prefix_with("MATERIALIZED")
    )
    zero = literal_column("0", Numeric())

    def total(amount: Any) -> ColumnElement[Any]:
        return func.trim_scale(func.coalesce(func.sum(amount), zero), type_=Numeric())

    held_count = func.count().filter(valued.c.is_held)
    priced_count = func.count(valued.c.value)
    is_unknown = and_(held_count > literal_column("0"), priced_count == literal_column("0"))
    return select(
        case((is_unknown, literal_column("NULL", Numeric())), else_=total(valued.c.value)).label("value"),
        total(valued.c.cost).label("cost"),
        total(valued.c.gain).label("realized_gain"),
        total(valued.c.flow).label("net_flow"),
        held_count.label("holding_count"),
        (held_count - priced_count).label("unpriced_count"),
        func.count().filter(valued.c.is_stale).label("stale_count"),
        func.min(valued.c.observed_at).label("oldest_observed_at"),
        func.jsonb_build_object(
            literal_column("'kind'"),
            _by(valued, valued.c.kind),
            literal_column("'set'"),
            _by(valued, valued.c.card_set),
            literal_column("'place'"),
            _by(valued, valued.c.place),
            type_=JSONB(),
        ).label("parts"),
    ).select_from(valued)


# One row: what the portfolio `portfolio_id` was at the end of `day`, which goes from `begins` to before `ends`.
_SNAPSHOT = _snapshot()
# Those of what was ever held that have sales, with when a fair value of them was first told.
_SOLD = text("""
    SELECT holding.variant_id, min(told.as_of) AS told_since
    FROM portfolios.holdings AS holding
    LEFT JOIN LATERAL (
        SELECT as_of FROM prices.valuations WHERE variant_id = holding.variant_id ORDER BY as_of LIMIT 1
    ) AS told ON true
    WHERE holding.portfolio_id = :portfolio_id AND EXISTS (
        SELECT FROM prices.price_series AS series
        WHERE series.variant_id = holding.variant_id AND series.kind = 'sale' AND series.latest_price IS NOT NULL
    )
    GROUP BY holding.variant_id
""").bindparams(bindparam("portfolio_id", type_=Uuid()))


class PastValues:
    """What one portfolio was at the ends of days that have passed."""

    def __init__(self, portfolio_id: UUID) -> None:
        self._portfolio_id = portfolio_id
        self._sold: dict[UUID, datetime | None] | None = None
        self._valued_since: datetime | None = None

    async def at_end_of(self, connection: AsyncConnection, day: date, begins: datetime) -> dict[str, Any]:
        """The columns of its snapshot but for its keys, of the day that begins then, in the base currency."""
        ends = begins + timedelta(days=1)
        computed = await self._computed(connection, ends)
        values = {
            "portfolio_id": self._portfolio_id,
            "day": day,
            "begins": begins,
            "ends": ends,
            "computed": orjson.dumps(computed, default=str).decode(),
        }
        return dict((await connection.execute(_SNAPSHOT, values)).mappings().one())

    async def _computed(self, connection: AsyncConnection, ends: datetime) -> list[dict[str, Any]]:
        """The fair values of what had sales before anything was told of it, as they would have been told."""
        if self._sold is None:
            found = await connection.execute(_SOLD, {"portfolio_id": self._portfolio_id})
            self._sold = {row.variant_id: row.told_since for row in found}
            self._valued_since = await valued_since(connection)
        last = ends - timedelta(microseconds=1)
        if self._valued_since is not None and last < self._valued_since:
            return []
        untold = [key for key, since in self._sold.items() if since is None or since >= ends]
        rows: list[dict[str, Any]] = []
        for first in range(0, len(untold), _VARIANTS_AT_A_TIME):
            valuations = await valuations_of(connection, untold[first : first + _VARIANTS_AT_A_TIME], last)
            rows += [
                {
                    "variant_id": valuation.variant_id,
                    "currency": valuation.currency,
                    "value": valuation.value,
                    "observed_at": valuation.observed_at,
                    "sales": valuation.sample_size + len(valuation.excluded),
                }
                for of_variant in valuations.values()
                for valuation in of_variant
                if valuation.basis is ValuationBasis.SALES
            ]
        return rows
