"""Ending what is done for a caller from outside: the client hung up, or the server goes away."""

import asyncio
from types import TracebackType
from typing import Any

from starlette.types import Receive


class Presence:
    """A block of a task that others may end; the block then raises TimeoutError, as if its time were over."""

    __slots__ = ("_cancelling", "_task", "is_ended")

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self.is_ended = False

    async def __aenter__(self) -> "Presence":
        self._task = asyncio.current_task()
        if self._task is not None:
            self._cancelling = self._task.cancelling()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if not self.is_ended or task is None:
            return
        # As asyncio's own timeouts do: who cancels the task beside us is not to be swallowed.
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def end(self) -> None:
        """End the block at its next wait; does nothing once it is over."""
        if self._task is not None and not self.is_ended:
            self.is_ended = True
            self._task.cancel()


LOOK_AFTER_SECONDS = 0.02


class HungUp(Exception):
    """The client has gone; there is nobody to answer."""


class PresentUntilHangUp:
    """A block that raises HungUp when the HTTP client hangs up; the body must have been read before.

    The client is looked at once the block has taken a while: most are over before anybody could have gone.
    """

    __slots__ = ("_look", "_presence", "_receive", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._presence = Presence()
        self._watcher: asyncio.Task[None] | None = None
        self._look: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Presence:
        self._look = asyncio.get_running_loop().call_later(LOOK_AFTER_SECONDS, self._watch)
        return await self._presence.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._presence.__aexit__(kind, error, traceback)
        except TimeoutError:
            if self._watcher is not None and self._watcher.done():
                raise HungUp from None
            raise
        finally:
            if self._look is not None:
                self._look.cancel()
            if self._watcher is not None:
                self._watcher.cancel()

    def _watch(self) -> None:
        self._watcher = asyncio.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._presence.end()
