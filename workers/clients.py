"""Removes clients that their owners have deleted, with all that was reported of their trackers."""

import asyncio
from typing import ClassVar

import structlog

from app.core.database import Database
from app.trackers.commands.clients import remove_deleted_clients
from workers.runner import Runner

logger = structlog.get_logger(__name__)


class ClientRunner(Runner):
    """Removes all clients that were deleted."""

    # Whoever deletes one nudges; looking by itself is for nudges that got lost.
    seconds_between_looks: ClassVar[float] = 60.0

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def work(self, stopping: asyncio.Event) -> None:
        """Remove those that there are now."""
        await remove_all_deleted(self._database, stopping=stopping)


async def remove_all_deleted(database: Database, *, stopping: asyncio.Event | None = None) -> int:
    """Remove deleted clients, each in a transaction of its own; gives how many there were."""
    removed = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            count = await remove_deleted_clients(transaction, limit=1)
        removed += count
        if not count:
            break
    if removed:
        logger.info("clients_removed", count=removed)
    return removed
