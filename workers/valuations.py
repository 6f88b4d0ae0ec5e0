"""Values variants that are due."""

import asyncio

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.prices.commands.valuations import VARIANTS_AT_A_TIME, mark_moved, value_due_variants
from workers.runner import Runner

logger = structlog.get_logger(__name__)


class ValuationRunner(Runner):
    """Values all variants that are due."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def work(self, stopping: asyncio.Event) -> None:
        """Value what is due now."""
        await value_all_due_variants(self._database, stopping=stopping)


async def value_all_due_variants(database: Database, *, stopping: asyncio.Event | None = None) -> int:
    """Value variants, some in each transaction, until none is due; gives how many were valued.

    Raises what the database driver raises when it is away; what was not committed stays due.
    """
    valued = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            count = await value_due_variants(transaction, now=utc_now())
        valued += count
        if count < VARIANTS_AT_A_TIME:
            break
    if valued:
        logger.info("variants_valued", count=valued)
    return valued


async def mark_moved_windows(database: Database) -> None:
    """Have those variants valued anew whose value time may have changed."""
    async with database.transaction() as transaction:
        marked = await mark_moved(transaction, now=utc_now())
    if marked:
        logger.info("valuations_due", count=marked)
