"""Server-sent events: any operation as a stream of its answers, in the distinct connections mode of graphql-sse."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import structlog
from starlette.types import Receive, Send

from app.graph.transports.answers import Answer
from app.graph.transports.connections import Connections
from app.graph.transports.hang_up import PresentUntilHangUp
from app.graph.transports.media_types import MediaType
from app.graph.transports.pace import Pace
from app.identity.authentication import Authentication
from app.identity.viewer import Viewer

logger = structlog.get_logger(__name__)

HEARTBEAT = b":\n\n"
# Without its empty data line a browser would not dispatch the event.
COMPLETE = b"event: complete\ndata:\n\n"
STREAM_HEADERS = (
    (b"content-type", f"{MediaType.EVENT_STREAM}; charset=utf-8".encode()),
    (b"x-accel-buffering", b"no"),
)


class EventStream:
    """One response that lasts; its reader sets the pace."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        connections: Connections,
        authentication: Authentication,
        pace: Pace,
    ) -> None:
        self._receive = receive
        self._send = send
        self._connections = connections
        self._authentication = authentication
        self._pace = pace

    async def serve(
        self, answers: AsyncGenerator[Answer, None], headers: Sequence[tuple[bytes, bytes]], viewer: Viewer
    ) -> None:
        """Send every answer and then `complete`.

        Ends without it when the server goes away, and when the viewer's token ends, so that clients return.
        """
        sent = [*headers, *STREAM_HEADERS]
        await self._send({"type": "http.response.start", "status": 200, "headers": sent})
        ending = b""
        try:
            async with PresentUntilHangUp(self._receive) as presence:
                with self._connections.open(presence.end), self._authentication.watching(viewer, presence.end):
                    async with aclosing(answers), self._heartbeat():
                        async for answer in answers:
                            await self._write(b"event: next\ndata: " + answer.json + b"\n\n")
                    ending = COMPLETE
        except TimeoutError:
            if not presence.is_ended:
                logger.info("event_stream_stalled", seconds=self._pace.stalled_after)
                return
        await self._send({"type": "http.response.body", "body": ending, "more_body": False})

    async def _write(self, chunk: bytes) -> None:
        async with asyncio.timeout(self._pace.stalled_after):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    @asynccontextmanager
    async def _heartbeat(self) -> AsyncIterator[None]:
        """Send a comment every so often, which keeps proxies from taking the silence for an end."""
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._pace.heartbeat_every)
            await self._send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
