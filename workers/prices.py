"""Upkeep of the tables of prices."""

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.prices.commands import partitions, prune

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
