"""Upkeep of identity: keys are made ahead of their time, and what is over goes."""

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.core.secrets import Secrets
from app.identity.commands.prune import prune_identity
from app.identity.commands.signing_keys import ensure_signing_keys

logger = structlog.get_logger(__name__)


async def make_signing_keys_ahead(database: Database, secrets: Secrets) -> None:
    """Make the next key that signs access tokens before it is needed, so that verifiers know it in time."""
    async with database.transaction() as transaction:
        await ensure_signing_keys(transaction, secrets, now=utc_now())


async def prune_what_is_over(database: Database) -> None:
    """Delete challenges, sessions, mails and the like that nobody can use or ask for any more."""
    async with database.transaction() as transaction:
        deleted = await prune_identity(transaction, now=utc_now())
    if deleted:
        logger.info("identity_pruned", count=deleted)
