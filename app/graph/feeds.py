"""The feeds of the process: what its live streams are fed by."""

from app.core.database import Database
from app.core.events import EventBus
from app.graph.live import Feed
from app.notifications.queries.told import NOTIFICATIONS
from app.prices.queries.changes import PRICE_CHANGES
from app.trackers.queries.events import TRACKER_EVENTS


class Feeds:
    """A follower of each table of changes."""

    def __init__(self, database: Database, events: EventBus) -> None:
        self.prices = Feed(PRICE_CHANGES, database, events)
        self.trackers = Feed(TRACKER_EVENTS, database, events)
        self.notifications = Feed(NOTIFICATIONS, database, events)

    async def start(self) -> None:
        """Begin to follow; a database that is away is waited for."""
        await self.prices.start()
        await self.trackers.start()
        await self.notifications.start()

    async def stop(self) -> None:
        """Stop following."""
        await self.notifications.stop()
        await self.trackers.stop()
        await self.prices.stop()
