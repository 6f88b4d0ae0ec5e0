"""Live prices: one follower of the table of changes per process, and a bounded queue for each subscriber."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

import structlog

from app.core.database import DATABASE_FAILURES, Database
from app.core.events import EventBus, Topic
from app.core.tasks import end_tasks
from app.prices.queries.changes import ChangeRow, changes_after, changes_of_items, last_change_position

logger = structlog.get_logger(__name__)

# A lost hint, or a crash between commit and hint, is caught up within this time.
LOOK_AT_LEAST_EVERY_SECONDS = 2.0
CHANGES_PER_READ = 1_000
WAITING_CHANGES_PER_SUBSCRIBER = 256
UNKNOWN = -1


class Subscriber:
    """The changes that one subscriber has yet to see, in order; when it is slow, only the latest of each series."""

    def __init__(self, item_ids: Iterable[UUID]) -> None:
        self.item_ids = frozenset(item_ids)
        self._waiting: deque[ChangeRow] = deque()
        self._room = WAITING_CHANGES_PER_SUBSCRIBER
        self._news = asyncio.Event()

    def offer(self, change: ChangeRow) -> None:
        """Queue a change; a full queue conflates, which loses no series and keeps the order of positions."""
        self._waiting.append(change)
        if len(self._waiting) > self._room:
            latest = {waiting.series_id: waiting for waiting in self._waiting}
            self._waiting = deque(sorted(latest.values(), key=lambda waiting: waiting.position))
            # Room for as much again: with many series, a stalled reader would else cause a sort at each change.
            self._room = max(WAITING_CHANGES_PER_SUBSCRIBER, 2 * len(latest))
        self._news.set()

    async def next(self) -> ChangeRow:
        """The oldest change not yet seen; waits for one."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class PriceFeed:
    """Follows the table of changes from its position at the start, and hands each to those who watch its item."""

    def __init__(self, database: Database, events: EventBus) -> None:
        self._database = database
        self._events = events
        self._position = UNKNOWN
        self._watching: dict[UUID, set[Subscriber]] = {}
        self._follower: asyncio.Task[None] | None = None
        self._started = asyncio.Event()

    async def start(self) -> None:
        """Begin to follow; a database that is away is waited for."""
        self._follower = asyncio.create_task(self._follow(), name="price-feed")

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            await end_tasks([self._follower])

    async def subscribe(self, item_ids: Sequence[UUID], *, since: int | None) -> AsyncIterator[ChangeRow]:
        """Changes of the items in the order of their positions: those beyond `since` from the database, then live ones.

        The subscriber is registered at a known position before the database is asked, so nothing falls between the
        two and nothing comes twice.
        """
        await self._started.wait()
        subscriber = Subscriber(item_ids)
        for item_id in subscriber.item_ids:
            self._watching.setdefault(item_id, set()).add(subscriber)
        try:
            if since is not None:
                async for change in self._replay(item_ids, after=since, up_to=self._position):
                    yield change
            while True:
                change = await subscriber.next()
                # The cursor may come from a process that was ahead of this one.
                if since is None or change.position > since:
                    yield change
        finally:
            self._forget(subscriber)

    def _forget(self, subscriber: Subscriber) -> None:
        for item_id in subscriber.item_ids:
            watchers = self._watching[item_id]
            watchers.discard(subscriber)
            if not watchers:
                del self._watching[item_id]

    async def _replay(self, item_ids: Sequence[UUID], *, after: int, up_to: int) -> AsyncIterator[ChangeRow]:
        while True:
            snapshot = self._database.snapshot()
            try:
                changes = await snapshot.read(
                    changes_of_items, item_ids=item_ids, after=after, up_to=up_to, limit=CHANGES_PER_READ
                )
            finally:
                await snapshot.close()
            for change in changes:
                yield change
            if len(changes) < CHANGES_PER_READ:
                return
            after = changes[-1].position

    async def _follow(self) -> None:
        async for _ in self._events.listen(Topic.PRICES_CHANGED, at_least_every=LOOK_AT_LEAST_EVERY_SECONDS):
            try:
                await self._catch_up()
            except DATABASE_FAILURES as error:
                logger.warning("price_feed_waits_for_database", reason=type(error).__name__)
            except Exception:  # nobody awaits this task: it must neither end nor fail unheard
                logger.exception("price_feed_failed")

    async def _catch_up(self) -> None:
        """Read and hand out what is new; the first time, only take the position to start from."""
        while True:
            snapshot = self._database.snapshot()
            try:
                if self._position == UNKNOWN:
                    self._position = await snapshot.read(last_change_position)
                    self._started.set()
                changes = await snapshot.read(changes_after, position=self._position, limit=CHANGES_PER_READ)
            finally:
                await snapshot.close()
            for change in changes:
                self._position = change.position
                for subscriber in self._watching.get(change.item_id, ()):
                    subscriber.offer(change)
            if len(changes) < CHANGES_PER_READ:
                return
