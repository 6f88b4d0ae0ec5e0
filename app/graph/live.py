"""Live changes: one follower of each table of changes per process, and a bounded queue for each subscriber."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Generic
from uuid import UUID

import structlog

from app.core.changes import ChangeTable, ChangeType, ReadMissed
from app.core.database import DATABASE_FAILURES, Database, DatabaseViewer
from app.core.errors import BadUserInput
from app.core.events import EventBus
from app.core.tasks import end_tasks

logger = structlog.get_logger(__name__)

# A lost hint, or a crash between commit and hint, is caught up within this time.
LOOK_AT_LEAST_EVERY_SECONDS = 2.0
CHANGES_PER_READ = 1_000
WAITING_CHANGES_PER_SUBSCRIBER = 256
# Of a stream that loses nothing: more than a batch makes, so that only a reader that stopped falls behind.
MOST_WAITING_CHANGES = 10_000
UNKNOWN = -1


class FellBehind(BadUserInput):
    """A reader is too slow for a stream that loses nothing; `since` goes on from where it stopped."""


class Subscriber(Generic[ChangeType]):
    """The changes that one subscriber has yet to see, in order.

    A slow one is sent only the latest of each subject; one that `loses_nothing` is ended when it falls far behind.
    What it does not `want` neither waits nor takes the place of anything.
    """

    def __init__(
        self,
        keys: Iterable[UUID],
        *,
        wants: Callable[[ChangeType], bool] | None = None,
        loses_nothing: bool = False,
    ) -> None:
        self.keys = frozenset(keys)
        self._wants = wants
        self._loses_nothing = loses_nothing
        self._waiting: deque[ChangeType] = deque()
        self._room = MOST_WAITING_CHANGES if loses_nothing else WAITING_CHANGES_PER_SUBSCRIBER
        self._fell_behind = False
        self._news = asyncio.Event()

    def offer(self, change: ChangeType) -> None:
        """Queue a change; a full queue conflates, which loses no subject and keeps the order of positions."""
        if self._fell_behind:
            # What came before was dropped: to hand this on would hide the gap.
            return
        if self._wants is not None and not self._wants(change):
            return
        self._waiting.append(change)
        if len(self._waiting) > self._room:
            if self._loses_nothing:
                self._fell_behind = True
                self._waiting.clear()
            else:
                self._conflate()
        self._news.set()

    def _conflate(self) -> None:
        latest = {waiting.subject: waiting for waiting in self._waiting}
        self._waiting = deque(sorted(latest.values(), key=lambda waiting: waiting.position))
        # Room for as much again: with many subjects, a stalled reader would else cause a sort at each change.
        self._room = max(WAITING_CHANGES_PER_SUBSCRIBER, 2 * len(latest))

    async def next(self) -> ChangeType:
        """The oldest change not yet seen; waits for one. Raises FellBehind."""
        while not self._waiting:
            if self._fell_behind:
                raise FellBehind(
                    f"More than {MOST_WAITING_CHANGES:,} events wait to be read; subscribe again with `since`, the "
                    "cursor of the last one that you got, and read faster."
                )
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class Feed(Generic[ChangeType]):
    """Follows a table of changes from its position at the start, and hands each to those who watch one of its keys."""

    def __init__(self, table: ChangeTable[ChangeType], database: Database, events: EventBus) -> None:
        self._table = table
        self._database = database
        self._events = events
        self._position = UNKNOWN
        self._watching: dict[UUID, set[Subscriber[ChangeType]]] = {}
        self._follower: asyncio.Task[None] | None = None
        self._started = asyncio.Event()

    async def start(self) -> None:
        """Begin to follow; a database that is away is waited for."""
        self._follower = asyncio.create_task(self._follow(), name=f"{self._table.name}-feed")

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            await end_tasks([self._follower])

    async def subscribe(
        self,
        keys: Iterable[UUID],
        *,
        since: int | None,
        missed: ReadMissed[ChangeType],
        viewer: DatabaseViewer | None = None,
        wants: Callable[[ChangeType], bool] | None = None,
        loses_nothing: bool = False,
    ) -> AsyncGenerator[ChangeType]:
        """Changes watched by the keys, by position: those beyond `since` as `missed` reads them, then live ones.

        Of the live ones those that the subscriber `wants`, or all; `missed` reads no others by itself.

        The subscriber is registered at a known position before the database is asked, so nothing falls between the
        two and nothing comes twice. Each change comes once, however many of the keys it has.
        """
        await self._started.wait()
        subscriber: Subscriber[ChangeType] = Subscriber(keys, wants=wants, loses_nothing=loses_nothing)
        for key in subscriber.keys:
            self._watching.setdefault(key, set()).add(subscriber)
        try:
            if since is not None:
                async for change in self._replay(missed, viewer, after=since, up_to=self._position):
                    yield change
            while True:
                change = await subscriber.next()
                # The cursor may come from a process that was ahead of this one.
                if since is None or change.position > since:
                    yield change
        finally:
            self._forget(subscriber)

    def _forget(self, subscriber: Subscriber[ChangeType]) -> None:
        for key in subscriber.keys:
            watchers = self._watching[key]
            watchers.discard(subscriber)
            if not watchers:
                del self._watching[key]

    async def _replay(
        self, missed: ReadMissed[ChangeType], viewer: DatabaseViewer | None, *, after: int, up_to: int
    ) -> AsyncIterator[ChangeType]:
        while True:
            snapshot = self._database.snapshot(viewer=viewer)
            try:
                changes = await snapshot.read(missed, after=after, up_to=up_to, limit=CHANGES_PER_READ)
            finally:
                await snapshot.close()
            for change in changes:
                yield change
            if len(changes) < CHANGES_PER_READ:
                return
            after = changes[-1].position

    async def _follow(self) -> None:
        async for _ in self._events.listen(self._table.topic, at_least_every=LOOK_AT_LEAST_EVERY_SECONDS):
            try:
                await self._catch_up()
            except DATABASE_FAILURES as error:
                logger.warning("feed_waits_for_database", feed=self._table.name, reason=type(error).__name__)
            except Exception:  # nobody awaits this task: it must neither end nor fail unheard
                logger.exception("feed_failed", feed=self._table.name)

    async def _catch_up(self) -> None:
        """Read and hand out what is new; the first time, only take the position to start from."""
        while True:
            snapshot = self._database.snapshot()
            try:
                if self._position == UNKNOWN:
                    self._position = await snapshot.read(self._table.last_position)
                    self._started.set()
                changes = await snapshot.read(
                    self._table.changes_after, position=self._position, limit=CHANGES_PER_READ
                )
            finally:
                await snapshot.close()
            for change in changes:
                self._position = change.position
                watching = (self._watching.get(key, ()) for key in change.watched_by)
                for subscriber in {subscriber for watchers in watching for subscriber in watchers}:
                    subscriber.offer(change)
            if len(changes) < CHANGES_PER_READ:
                return
