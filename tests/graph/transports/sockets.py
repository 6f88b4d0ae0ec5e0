"""A client of `graphql-transport-ws` for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

SUBPROTOCOL = Subprotocol("graphql-transport-ws")
ANSWER_SECONDS = 5.0
PRICES = """
subscription Prices($itemIds: [ID!]!, $since: String) {
  priceUpdates(itemIds: $itemIds, since: $since) { cursor price { amount } item { slug } }
}
"""


class Socket:
    """One socket; what is awaited must come within seconds."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **message: object) -> None:
        """Send a message."""
        await self.connection.send(orjson.dumps(message).decode())

    async def receive(self) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(ANSWER_SECONDS):
            message: dict[str, Any] = orjson.loads(await self.connection.recv())
            return message

    async def initialise(self, **payload: str) -> None:
        """Say hello, and be acknowledged."""
        await self.send(type="connection_init", payload=payload)
        assert await self.receive() == {"type": "connection_ack"}

    async def subscribe(self, query: str, *, id: str = "1", **variables: object) -> None:
        """Start an operation."""
        await self.send(id=id, type="subscribe", payload={"query": query, "variables": variables})

    async def update(self, *, id: str = "1") -> dict[str, Any]:
        """The next price update of a subscription."""
        message = await self.receive()
        assert (message["type"], message["id"]) == ("next", id), message
        assert "errors" not in message["payload"], message
        update: dict[str, Any] = message["payload"]["data"]["priceUpdates"]
        return update

    async def closed(self) -> tuple[int | None, str | None]:
        """How the server closes the socket; messages before are dropped."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code, self.connection.close_reason


@asynccontextmanager
async def opened(
    url: str,
    *,
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,),
    origin: str | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Socket]:
    """A socket before `connection_init`."""
    async with connect(
        url,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        origin=Origin(origin) if origin else None,
        additional_headers=headers,
        compression=None,
        ping_interval=None,
        close_timeout=1,
        **options,
    ) as connection:
        yield Socket(connection)


@asynccontextmanager
async def ready(url: str, **payload: str) -> AsyncIterator[Socket]:
    """A socket that may start operations."""
    async with opened(url) as socket:
        await socket.initialise(**payload)
        yield socket
