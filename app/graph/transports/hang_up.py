"""Ending what is done for a caller from outside: the client hung up, or the server goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

from starlette.types import Receive


class Presence:
    """A block of a task that others may end; the block then raises TimeoutError, as if its time were over."""

    def __init__(self) -> None:
        self._timeout = asyncio.timeout(None)
        self._entered = False

    async def __aenter__(self) -> "Presence":
        await self._timeout.__aenter__()
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered = False
        await self._timeout.__aexit__(kind, error, traceback)

    @property
    def is_ended(self) -> bool:
        """Whether the block was ended from outside."""
        return self._timeout.expired()

    def end(self) -> None:
        """End the block at its next wait; does nothing once it is over."""
        if self._entered and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())


class HungUp(Exception):
    """The client has gone; there is nobody to answer."""


@asynccontextmanager
async def present_until_hang_up(receive: Receive) -> AsyncIterator[Presence]:
    """A block that raises HungUp when the HTTP client hangs up; the body must have been read before."""
    presence = Presence()
    watcher = asyncio.create_task(_watch(receive, presence))
    try:
        async with presence:
            yield presence
    except TimeoutError:
        if watcher.done():
            raise HungUp from None
        raise
    finally:
        watcher.cancel()


async def _watch(receive: Receive, presence: Presence) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    presence.end()
