"""The prices of a variant that becomes one with another: the other takes them over."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.merge_items import Merge
from app.core.database import Transaction
from app.prices.commands.change_only import last_sighting, store_sighting
from app.prices.commands.prune import kept_since
from app.prices.commands.read_rows import from_microseconds, in_microseconds
from app.prices.commands.rebuild_candles import rebuild_days
from app.prices.commands.series_state import LatestPrice, lock_series, move_latest, record_changes
from app.prices.commands.valuations import VALUE_VARIANTS
from app.prices.models import Candle, PricePoint, PriceSeries, RetentionSubject
from app.prices.resolutions import Resolution, bucket_start, first_bucket_from, next_bucket


async def merge_variants(transaction: Transaction, merge: Merge) -> None:
    """Move what there is of prices from the variants that go to those that stay.

    Two series of the same source, kind and currency become one: points that both have count once, candles are computed
    anew from what points there are, and those that a source provided stay as they are, the winner's first. Waits for
    batches that are being taken in, and holds back others until the transaction ends.
    """
    if not merge.variants:
        return
    connection = transaction.connection
    variants = {"losers": list(merge.variants), "winners": list(merge.variants.values())}
    await connection.execute(_LOCK_SERIES)
    await connection.execute(_LOCK_STATES, {"variants": [*variants["losers"], *variants["winners"]]})
    pairs = [(row.loser, row.winner) for row in await connection.execute(_PAIRS, variants)]
    latest = [price for loser, winner in pairs if (price := await _pool(connection, loser, winner)) is not None]
    await connection.execute(_MOVE_SERIES, variants)
    await _move_valuations(transaction, variants)
    await record_changes(transaction, latest)


async def _pool(connection: AsyncConnection, loser: int, winner: int) -> LatestPrice | None:
    """Make one series of two; gives the latest price where it is the loser's."""
    both = {"loser": loser, "winner": winner}
    seen_at = await _keep_what_stood(connection, loser, winner)
    first, last = (await connection.execute(_SPAN_OF_POINTS, {**both, "seen_at": seen_at})).one()
    await connection.execute(_POOL_POINTS, both)
    await connection.execute(_POOL_PROVIDED_CANDLES, both)
    await connection.execute(_POOL_OTHER_CANDLES, both)
    if first is not None:
        await _rebuild(connection, winner, first, last)
    newer = (await connection.execute(_NEWER_LATEST, both)).one_or_none()
    await connection.execute(_JOIN_SERIES, {**both, "is_losers": newer is not None})
    latest = None
    if newer is not None:
        observed_at = in_microseconds(newer.latest_observed_at)
        latest = LatestPrice(winner, observed_at, newer.latest_arrival or 0, newer.price, newer.quantity)
        await move_latest(connection, [latest])
    for statement in (_MOVE_CHANGES, _END_REBUILDS):
        await connection.execute(statement, both)
    for table in (PricePoint, Candle):
        await connection.execute(delete(table).where(table.series_id == loser))
    await connection.execute(delete(PriceSeries).where(PriceSeries.id == loser))
    return latest


async def _keep_what_stood(connection: AsyncConnection, loser: int, winner: int) -> datetime | None:
    """Store the last sighting of a price that the other series' newer move would hide, as far as both are known.

    So a price that one of them was seen to have after all that the other knows stays the latest. Gives the instant.
    """
    states = await lock_series(connection, [loser, winner])
    for state, other in ((states[loser], states[winner]), (states[winner], states[loser])):
        sighting = last_sighting(state)
        if sighting is None or other.latest_at is None or state.latest_price == other.latest_price:
            continue
        is_older = (state.latest_at or 0, state.latest_arrival or 0) < (other.latest_at, other.latest_arrival or 0)
        if is_older and sighting[0] > max(other.latest_at, other.last_seen_at or 0):
            await store_sighting(connection, state.id, sighting)
            return from_microseconds(sighting[0])
    return None


async def _rebuild(connection: AsyncConnection, series_id: int, first: datetime, last: datetime) -> None:
    """Compute the candles of these days anew, as far as their points are kept whole."""
    kept = await kept_since(connection)
    earliest = first_bucket_from(kept[RetentionSubject.POINTS], Resolution.ONE_DAY)
    start = max(bucket_start(first, Resolution.ONE_DAY), earliest)
    end = next_bucket(bucket_start(last, Resolution.ONE_DAY), Resolution.ONE_DAY)
    while start < end:
        next_month = next_bucket(bucket_start(start, Resolution.ONE_MONTH), Resolution.ONE_MONTH)
        await rebuild_days(connection, series_id, start, min(next_month, end), kept)
        start = next_month


async def _move_valuations(transaction: Transaction, variants: Mapping[str, list[UUID]]) -> None:
    connection = transaction.connection
    await connection.execute(_MOVE_VALUATIONS, variants)
    marked = await connection.execute(_JOIN_STATES, variants)
    await connection.execute(_DROP_STATES, variants)
    if marked.rowcount:
        transaction.enqueue(VALUE_VARIANTS)


# Batches find their series first and lock them then: while this is held, none is between the two and the end.
_LOCK_SERIES = text("LOCK TABLE prices.price_series IN EXCLUSIVE MODE")
_LOCK_STATES = text("""
    SELECT FROM prices.valuation_states WHERE variant_id = ANY (CAST(:variants AS uuid[]))
    ORDER BY variant_id FOR UPDATE
""")
_PAIRS = text("""
    SELECT loser.id AS loser, winner.id AS winner
    FROM unnest(CAST(:losers AS uuid[]), CAST(:winners AS uuid[])) AS variant (loser, winner)
    JOIN prices.price_series AS loser ON loser.variant_id = variant.loser
    JOIN prices.price_series AS winner ON winner.variant_id = variant.winner
        AND (winner.source_id, winner.kind, winner.currency) = (loser.source_id, loser.kind, loser.currency)
    ORDER BY loser.id
""")
_MOVE_SERIES = text("""
    UPDATE prices.price_series AS series SET variant_id = variant.winner
    FROM unnest(CAST(:losers AS uuid[]), CAST(:winners AS uuid[])) AS variant (loser, winner)
    WHERE series.variant_id = variant.loser
""")
_SPAN_OF_POINTS = text("""
    SELECT least(min(observed_at), CAST(:seen_at AS timestamptz)), greatest(max(observed_at), :seen_at)
    FROM prices.price_points WHERE series_id = :loser
""")
_POOL_POINTS = text("""
    INSERT INTO prices.price_points (series_id, observed_at, key, price, quantity, arrival)
    SELECT :winner, observed_at, key, price, quantity, arrival FROM prices.price_points WHERE series_id = :loser
    ON CONFLICT DO NOTHING
""")
_POOL_PROVIDED_CANDLES = text("""
    INSERT INTO prices.candles AS stored (
        series_id, resolution, bucket, open, high, low, close, volume, turnover, point_count, is_provided
    )
    SELECT :winner, resolution, bucket, open, high, low, close, volume, turnover, point_count, true
    FROM prices.candles WHERE series_id = :loser AND is_provided
    ON CONFLICT (series_id, resolution, bucket) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, turnover = excluded.turnover, point_count = excluded.point_count, is_provided = true
    WHERE NOT stored.is_provided
""")
# Where the points are gone, candles are all that is left: which of the two came first in a bucket, nobody knows.
_POOL_OTHER_CANDLES = text("""
    INSERT INTO prices.candles AS stored (
        series_id, resolution, bucket, open, high, low, close, volume, turnover, point_count, is_provided
    )
    SELECT :winner, resolution, bucket, open, high, low, close, volume, turnover, point_count, false
    FROM prices.candles WHERE series_id = :loser AND NOT is_provided
    ON CONFLICT (series_id, resolution, bucket) DO UPDATE SET
        high = greatest(stored.high, excluded.high),
        low = least(stored.low, excluded.low),
        volume = coalesce(stored.volume + excluded.volume, stored.volume, excluded.volume),
        turnover = coalesce(stored.turnover + excluded.turnover, stored.turnover, excluded.turnover),
        point_count = stored.point_count + excluded.point_count
    WHERE NOT stored.is_provided
""")
_NEWER_LATEST = text("""
    SELECT loser.latest_observed_at, loser.latest_arrival,
        CAST(loser.latest_price AS text) AS price, CAST(loser.latest_quantity AS text) AS quantity
    FROM prices.price_series AS loser, prices.price_series AS winner
    WHERE loser.id = :loser AND winner.id = :winner AND loser.latest_observed_at IS NOT NULL AND (
        winner.latest_observed_at IS NULL
        OR loser.latest_observed_at > winner.latest_observed_at
        OR loser.latest_observed_at = winner.latest_observed_at
            AND coalesce(loser.latest_arrival, 0) > coalesce(winner.latest_arrival, 0)
            -- Its point is gone where the winner has one with the same key.
            AND EXISTS (
                SELECT FROM prices.price_points AS point
                WHERE point.series_id = :winner AND point.observed_at = loser.latest_observed_at
                    AND point.arrival = loser.latest_arrival
            )
    )
""")
_JOIN_SERIES = text("""
    UPDATE prices.price_series AS winner
    SET has_points = winner.has_points OR loser.has_points,
        created_at = least(winner.created_at, loser.created_at),
        -- Of those whose latest price is the one that stays.
        last_seen_at = CASE
            WHEN loser.latest_price = winner.latest_price THEN greatest(winner.last_seen_at, loser.last_seen_at)
            WHEN :is_losers THEN loser.last_seen_at
            ELSE winner.last_seen_at
        END,
        provided_resolutions = ARRAY(
            SELECT unnest(winner.provided_resolutions) UNION SELECT unnest(loser.provided_resolutions) ORDER BY 1
        )
    FROM prices.price_series AS loser
    WHERE winner.id = :winner AND loser.id = :loser
""")
_MOVE_CHANGES = text("UPDATE prices.price_changes SET series_id = :winner WHERE series_id = :loser")
_END_REBUILDS = text("""
    UPDATE prices.candle_rebuilds SET finished_at = now() WHERE series_id = :loser AND finished_at IS NULL
""")
_MOVE_VALUATIONS = text("""
    UPDATE prices.valuations AS valuation
    SET variant_id = variant.winner,
        is_current = valuation.is_current AND NOT EXISTS (
            SELECT FROM prices.valuations AS other
            WHERE other.variant_id = variant.winner AND other.currency = valuation.currency AND other.is_current
        )
    FROM unnest(CAST(:losers AS uuid[]), CAST(:winners AS uuid[])) AS variant (loser, winner)
    WHERE valuation.variant_id = variant.loser
""")
_JOIN_STATES = text("""
    INSERT INTO prices.valuation_states AS state (variant_id, has_sales, due_since)
    SELECT variant.winner, of_loser.has_sales, now()
    FROM unnest(CAST(:losers AS uuid[]), CAST(:winners AS uuid[])) AS variant (loser, winner)
    JOIN prices.valuation_states AS of_loser ON of_loser.variant_id = variant.loser
    ON CONFLICT (variant_id) DO UPDATE
    SET has_sales = state.has_sales OR excluded.has_sales, due_since = coalesce(state.due_since, excluded.due_since)
""")
_DROP_STATES = text("DELETE FROM prices.valuation_states WHERE variant_id = ANY (CAST(:losers AS uuid[]))")
