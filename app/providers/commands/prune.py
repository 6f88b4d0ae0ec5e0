"""Deletes what is kept only for a while."""

from datetime import datetime, timedelta

from sqlalchemy import CursorResult, delete

from app.core.database import Transaction
from app.providers.models import ProviderCall, ProviderLookup

# Far longer than any window.
CALLS_KEPT_FOR = timedelta(days=30)
# Not fresh any more, and still good to ask by.
LOOKUPS_KEPT_FOR = timedelta(days=7)


async def prune_providers(transaction: Transaction, *, now: datetime) -> int:
    """Delete calls of more than 30 days ago, and answers that expired more than a week ago; gives how many went."""
    deleted = 0
    for statement in (
        delete(ProviderCall).where(ProviderCall.started_at < now - CALLS_KEPT_FOR),
        delete(ProviderLookup).where(ProviderLookup.expires_at < now - LOOKUPS_KEPT_FOR),
    ):
        result: CursorResult[tuple[()]] = await transaction.connection.execute(statement)
        deleted += result.rowcount
    return deleted
