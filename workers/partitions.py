"""Makes partitions of the tables that grow with time."""

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.prices.commands import partitions as of_prices
from app.trackers.commands import partitions as of_trackers

logger = structlog.get_logger(__name__)


async def make_partitions_ahead(database: Database) -> None:
    """Make the partitions of the coming months and year before the first row for them comes."""
    now = utc_now()
    async with database.transaction() as transaction:
        made = await of_prices.make_partitions_ahead(transaction, now=now)
        made += await of_trackers.make_partitions_ahead(transaction, now=now)
    if made:
        logger.info("partitions_made", count=made)
