"""Does work that stands in the database: at a nudge from the queue, and by looking for itself."""

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

import structlog

from app.core.database import DATABASE_FAILURES

logger = structlog.get_logger(__name__)

SECONDS_BETWEEN_LOOKS = 2.0


class Runner(ABC):
    """Does all that waits when told to; being told while it runs makes it look once more at the end."""

    seconds_between_looks: ClassVar[float] = SECONDS_BETWEEN_LOOKS

    def __init__(self) -> None:
        self._running: asyncio.Task[None] | None = None
        self._look_again = False
        self._stopping = asyncio.Event()

    @abstractmethod
    async def work(self, stopping: asyncio.Event) -> None:
        """Do what waits now, and begin nothing more once `stopping` is set."""

    async def run(self) -> None:
        """Do what waits now. Being cancelled leaves what has begun to its end."""
        self._look_again = True
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        await asyncio.shield(self._running)

    async def keep_looking(self) -> None:
        """Do what waits, again and again: a nudge that Redis lost, or never got, costs seconds and no more."""
        while not self._stopping.is_set():
            await self.run()
            try:
                await asyncio.wait_for(self._stopping.wait(), self.seconds_between_looks)
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Begin nothing more, and wait for what has begun."""
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        while self._look_again and not self._stopping.is_set():
            self._look_again = False
            try:
                await self.work(self._stopping)
            except DATABASE_FAILURES as error:
                logger.warning("database_unavailable", reason=str(error))
