"""Makes histories anew from reports."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from app.core.database import Transaction
from app.trackers.commands.tracker_events import NewTrackerEvent


async def recompute_histories(
    transaction: Transaction, touched: Mapping[UUID, Collection[datetime]], *, now: datetime
) -> list[NewTrackerEvent]:
    """Nothing yet."""
    return []
