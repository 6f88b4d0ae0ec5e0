"""The connections of one process, so that a server that shuts down can take its leave of them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette

from app.graph.transports.hang_up import Presence


class Connections:
    """The open sockets and event streams, and the requests that are being answered."""

    def __init__(self) -> None:
        self._leave: dict[asyncio.Task[Any] | None, Callable[[], None]] = {}
        self._answering: set[Presence] = set()
        self.is_closing = False

    @contextmanager
    def open(self, leave: Callable[[], None]) -> Iterator[None]:
        """Count the running task as a connection; `leave` is called when the server goes away."""
        task = asyncio.current_task()
        self._leave[task] = leave
        if self.is_closing:
            leave()
        try:
            yield
        finally:
            del self._leave[task]

    def begin_answer(self, presence: Presence) -> None:
        """Count a request, whose presence is ended when the server can wait for it no longer."""
        self._answering.add(presence)

    def end_answer(self, presence: Presence) -> None:
        """The request is answered."""
        self._answering.discard(presence)

    def give_up(self) -> None:
        """End the requests that still run."""
        for presence in list(self._answering):
            presence.end()

    async def close(self, *, within: float = 3.0) -> None:
        """Take leave of everybody, and wait until they are gone, but not for long."""
        self.is_closing = True
        leaving = {task: leave for task, leave in self._leave.items() if task is not None}
        for leave in leaving.values():
            leave()
        if leaving:
            await asyncio.wait(leaving, timeout=within)


def connections_of(application: Starlette) -> Connections:
    """The connections of this application."""
    if not hasattr(application.state, "connections"):
        application.state.connections = Connections()
    connections: Connections = application.state.connections
    return connections
