"""What each worker does once, as soon as it has a database."""

import asyncio

from app.core.database import Database
from workers.prices import make_partitions_ahead
from workers.providers import add_known_providers
from workers.runner import Runner
from workers.trackers import make_partitions_ahead as make_partitions_of_trackers


class BeginningRunner(Runner):
    """Makes partitions ahead and adds the providers that we know; tried again until the database takes it."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._is_done = False

    async def work(self, stopping: asyncio.Event) -> None:
        """Do what was not done yet."""
        if not self._is_done:
            await make_partitions_ahead(self._database)
            await make_partitions_of_trackers(self._database)
            await add_known_providers(self._database)
            self._is_done = True
