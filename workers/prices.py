"""Upkeep of the tables of prices."""

from datetime import timedelta

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.core.settings import Settings
from app.prices.commands import partitions, prune
from app.prices.models import RetentionSubject

logger = structlog.get_logger(__name__)


async def make_partitions_ahead(database: Database) -> None:
    """Make the partitions of the coming months and year before the first row for them comes."""
    async with database.transaction() as transaction:
        made = await partitions.make_partitions_ahead(transaction, now=utc_now())
    if made:
        logger.info("partitions_made", count=made)


async def prune_price_changes(database: Database) -> None:
    """Delete the changes of latest prices that nobody can ask for any more."""
    async with database.transaction() as transaction:
        deleted = await prune.prune_price_changes(transaction, now=utc_now())
    if deleted:
        logger.info("price_changes_pruned", count=deleted)


async def prune_old_prices(database: Database, settings: Settings) -> None:
    """Drop points, and delete candles rolled up from points, that are older than they are to be kept."""
    now = utc_now()
    kept_candles = {
        RetentionSubject.MINUTE_CANDLES: settings.minute_candles_kept_days,
        RetentionSubject.HOUR_CANDLES: settings.hour_candles_kept_days,
    }
    for subject, days in kept_candles.items():
        if days is not None:
            await _prune_candles(database, subject, timedelta(days=days))
    if settings.points_kept_days is not None:
        async with database.transaction() as transaction:
            dropped = await prune.prune_points(transaction, before=now - timedelta(days=settings.points_kept_days))
        if dropped:
            logger.info("points_pruned", partitions=dropped)


async def _prune_candles(database: Database, subject: RetentionSubject, kept_for: timedelta) -> None:
    before, count, after = utc_now() - kept_for, 0, 0
    while True:
        # A few series at a time, because those are locked meanwhile.
        async with database.transaction() as transaction:
            pruned = await prune.prune_candles(transaction, subject=subject, before=before, after_series_id=after)
        count += pruned.count
        if pruned.last_series_id is None:
            break
        after = pruned.last_series_id
    if count:
        logger.info("candles_pruned", subject=subject.value, count=count)
