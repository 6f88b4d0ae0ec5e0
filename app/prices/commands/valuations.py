"""Marks variants whose value may have changed, and values them: what says nothing new is not stored again."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, among
from app.core.ids import new_id
from app.core.jobs import Job
from app.prices.models import Confidence, Valuation, ValuationBasis
from app.prices.queries.valuations import ComputedValuation, valuations_of

VALUE_VARIANTS = Job("value_variants", key="value_variants")
# A variant that sells all the time is valued this often and no more, or its history would have a row for each sale.
SHORTEST_INTERVAL = timedelta(minutes=1)
VARIANTS_AT_A_TIME = 50


async def mark_touched(transaction: Transaction, series_ids: Collection[int]) -> None:
    """Note that series have new points: what has a new sale is due, and so is what has a first ask or list price.

    The mark commits with the points, so that no crash comes between them, and holds back whoever values the variant
    until then.
    """
    if series_ids:
        marked = await transaction.connection.execute(_MARK_TOUCHED, {"ids": list(series_ids)})
        if marked.rowcount:
            transaction.enqueue(VALUE_VARIANTS)


async def mark_moved(transaction: Transaction, *, now: datetime) -> int:
    """Note what time has changed: a sale left its window, an ask became stale, or asks came where nothing is sold.

    Gives how many variants were marked.
    """
    moved = await transaction.connection.execute(_MARK_MOVED, {"now": now})
    if moved.rowcount:
        transaction.enqueue(VALUE_VARIANTS)
    return moved.rowcount


async def value_due_variants(transaction: Transaction, *, now: datetime) -> int:
    """Value up to 50 variants that are due, as of now; gives how many there were.

    They are held until the transaction ends, so that two workers never value the same one; what is marked meanwhile is
    marked after that. A variant that was valued less than a minute ago waits.
    """
    connection = transaction.connection
    claimed = await connection.execute(
        _CLAIM, {"now": now, "rested_since": now - SHORTEST_INTERVAL, "at_most": VARIANTS_AT_A_TIME}
    )
    variant_ids = list(claimed.scalars())
    if variant_ids:
        computed = await valuations_of(connection, variant_ids, now)
        await _store(connection, [valuation for of_variant in computed.values() for valuation in of_variant], now)
        changes = [_next_change(computed, variant_id) for variant_id in variant_ids]
        await connection.execute(_MARK_VALUED, {"now": now, "ids": variant_ids, "changes": changes})
    return len(variant_ids)


def _next_change(computed: Mapping[UUID, Sequence[ComputedValuation]], variant_id: UUID) -> datetime | None:
    changes = [valuation.next_change_at for valuation in computed.get(variant_id, ())]
    return min((change for change in changes if change is not None), default=None)


async def _store(connection: AsyncConnection, computed: Sequence[ComputedValuation], now: datetime) -> None:
    """Store those that say something else than what is current, and make them current."""
    keys = [valuation.variant_id for valuation in computed]
    rows = await connection.execute(select(Valuation).where(among(Valuation.variant_id, keys), Valuation.is_current))
    current = {(row.variant_id, row.currency): row for row in rows}
    changed = [
        valuation
        for valuation in computed
        if not _says_the_same(current.get((valuation.variant_id, valuation.currency)), valuation)
    ]
    if not changed:
        return
    replaced = [current.get((valuation.variant_id, valuation.currency)) for valuation in changed]
    outdated = [row.id for row in replaced if row is not None]
    await connection.execute(update(Valuation).where(among(Valuation.id, outdated)).values(is_current=False))
    stored = {"computed_at": now, "is_current": True}
    await connection.execute(
        insert(Valuation), [{"id": new_id(), **valuation.columns, **stored} for valuation in changed]
    )


def _says_the_same(current: Any, valuation: ComputedValuation) -> bool:
    return current is not None and valuation.content == (
        ValuationBasis(current.basis),
        current.value,
        current.median,
        current.low,
        current.high,
        current.sample_size,
        Confidence(current.confidence),
        current.observed_at,
        current.excluded,
    )


# Of asks and list prices only the first is looked at here: there are far more of them than of sales. In the order of
# the variants, so that batches wait for each other and never in a circle.
_MARK_TOUCHED = text("""
    INSERT INTO prices.valuation_states AS state (variant_id, has_sales, due_since)
    SELECT variant_id, bool_or(kind = 'sale'), now()
    FROM prices.price_series AS series
    WHERE id = ANY (CAST(:ids AS integer[])) AND kind IN ('sale', 'ask', 'list')
    GROUP BY variant_id
    HAVING bool_or(kind = 'sale') OR NOT EXISTS (
        SELECT FROM prices.valuation_states AS known WHERE known.variant_id = series.variant_id
    )
    ORDER BY variant_id
    ON CONFLICT (variant_id) DO UPDATE
    SET has_sales = true, due_since = coalesce(state.due_since, excluded.due_since)
    WHERE excluded.has_sales AND (state.due_since IS NULL OR NOT state.has_sales)
""")
# What somebody holds is being marked or valued already.
_MARK_MOVED = text("""
    UPDATE prices.valuation_states
    SET due_since = :now
    WHERE variant_id = ANY (ARRAY(
        SELECT state.variant_id
        FROM prices.valuation_states AS state
        WHERE state.due_since IS NULL AND (state.next_change_at < :now OR EXISTS (
            SELECT FROM prices.price_series AS series
            LEFT JOIN prices.valuations AS current
                ON current.variant_id = series.variant_id AND current.currency = series.currency AND current.is_current
            WHERE series.variant_id = state.variant_id AND series.kind IN ('ask', 'list')
                AND series.latest_observed_at IS NOT NULL AND current.basis IS DISTINCT FROM 'sales'
                AND (
                    current.observed_at IS NULL
                    OR greatest(series.latest_observed_at, series.last_seen_at) > current.observed_at
                )
        ))
        FOR UPDATE SKIP LOCKED
    ))
""")
_CLAIM = text("""
    SELECT variant_id
    FROM prices.valuation_states
    WHERE due_since IS NOT NULL AND (computed_at IS NULL OR computed_at <= :rested_since)
    ORDER BY due_since, variant_id
    LIMIT :at_most
    FOR UPDATE SKIP LOCKED
""")
# A sale by a clock that is ahead of ours counts once it is no longer ahead: until then the variant stays due.
_MARK_VALUED = text("""
    UPDATE prices.valuation_states AS state
    SET computed_at = :now, next_change_at = valued.next_change_at, due_since = (
        SELECT min(CAST(:now AS timestamptz))
        FROM prices.price_series AS series
        WHERE series.variant_id = state.variant_id AND series.kind = 'sale' AND series.latest_observed_at > :now
    )
    FROM unnest(CAST(:ids AS uuid[]), CAST(:changes AS timestamptz[])) AS valued (variant_id, next_change_at)
    WHERE state.variant_id = valued.variant_id
""")
