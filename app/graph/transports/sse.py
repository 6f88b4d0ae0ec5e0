"""Server-sent events: any operation as a stream of its answers, in the distinct connections mode of graphql-sse."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import structlog
from starlette.datastructures import Headers
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

    async def serve(self, answers: AsyncGenerator[Answer, None], headers: Mapping[str, str], viewer: Viewer) -> None:
        """Send every answer and then `complete`.

        Ends without it when the server goes away, so that clients return, and when the viewer's token ends: then they
        are told so.
        """
        all_headers = Headers(
            {
                **headers,
                "Content-Type": f"{MediaType.EVENT_STREAM}; charset=utf-8",
                "X-Accel-Buffering": "no",
            }
        )
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers.raw})
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
