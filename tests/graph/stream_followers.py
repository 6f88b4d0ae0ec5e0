"""Those who follow a stream: what each is sent, as it comes over every transport."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import orjson

from app.graph.execution import Request
from app.graph.transports.answers import Answers
from app.identity.viewer import Caller, Viewer
from tests.graph.conftest import Graph

SECONDS = 10


class Following:
    """What a subscriber is sent, as it comes."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def next(self) -> dict[str, Any]:
        """The next update."""
        answer = await self.answer()
        assert "errors" not in answer, answer
        (update,) = answer["data"].values()
        return dict(update)

    async def answer(self) -> dict[str, Any]:
        """The next answer, whatever it says."""
        return await asyncio.wait_for(self.sent.get(), SECONDS)


def subscribers(graph: Graph) -> int:
    """How many follow trackers and what is told."""
    feeds = graph.engine.resources.feeds
    of_trackers = {one for those in feeds.trackers._watching.values() for one in those}
    of_notifications = {one for those in feeds.notifications._watching.values() for one in those}
    return len(of_trackers) + len(of_notifications)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what happens within the process, which tells nobody."""
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following(graph: Graph, viewer: Viewer, query: str, **variables: Any) -> AsyncIterator[Following]:
    """Somebody who follows a stream, once they are heard."""
    operation = graph.engine.prepare(Request(query, variables))
    seen, before = Following(), subscribers(graph)

    async def read() -> None:
        async with aclosing(Answers(graph.engine).stream(operation, Caller(viewer))) as answers:
            async for answer in answers:
                seen.sent.put_nowait(orjson.loads(answer.json))

    reading = asyncio.create_task(read())
    await until(lambda: reading.done() or subscribers(graph) > before)
    try:
        yield seen
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading


async def refused(graph: Graph, viewer: Viewer, query: str, **variables: Any) -> str:
    """The code with which a stream is refused at once."""
    async with following(graph, viewer, query, **variables) as seen:
        (error,) = (await seen.answer())["errors"]
        return str(error["extensions"]["code"])
