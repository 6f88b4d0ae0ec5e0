"""Upkeep of providers: those we know are there, and what is kept for a while goes."""

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.providers.commands.prune import prune_providers
from app.providers.commands.save_known import save_known_providers

logger = structlog.get_logger(__name__)


async def add_known_providers(database: Database) -> None:
    """Add the providers that we know and the database does not."""
    async with database.transaction() as transaction:
        added = await save_known_providers(transaction)
    if added:
        logger.info("providers_added", count=added)


async def prune_provider_calls(database: Database) -> None:
    """Delete old calls to providers, and answers that are kept no longer."""
    async with database.transaction() as transaction:
        deleted = await prune_providers(transaction, now=utc_now())
    if deleted:
        logger.info("provider_calls_pruned", count=deleted)
