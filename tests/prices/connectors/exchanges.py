"""Exchanges on loopback that stream over WebSockets what they are told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.prices.connectors.worlds import NOON, NOON_SECONDS

Script = Callable[[ServerConnection], Awaitable[None]]


@dataclass(slots=True)
class FakeExchange:
    """Runs one script for each connection, the last again and again; `refusals` handshakes are answered 503 first."""

    scripts: list[Script]
    refusals: int = 0
    heard: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    closed_by: list[int | None] = field(default_factory=list)
    url: str = ""

    async def serve(self, connection: ServerConnection) -> None:
        """One connection."""
        assert connection.request is not None
        self.paths.append(connection.request.path)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            await script(connection)
        except ConnectionClosed:
            pass
        finally:
            await connection.close()
            self.closed_by.append(connection.close_code)

    def refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        """503 while there are refusals."""
        del request
        if not self.refusals:
            return None
        self.refusals -= 1
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "away\n")


@asynccontextmanager
async def open_exchange(*scripts: Script, refusals: int = 0) -> AsyncIterator[FakeExchange]:
    """An exchange on loopback."""
    exchange = FakeExchange(list(scripts), refusals=refusals)
    async with serve(exchange.serve, "127.0.0.1", 0, process_request=exchange.refuse) as server:
        (listener,) = server.sockets
        exchange.url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        yield exchange


def ticker(product: str, price: object, seconds: float = 0, **more: object) -> str:
    """A trade as Coinbase tells it."""
    time = (NOON + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return json.dumps(
        {
            "type": "ticker",
            "sequence": 1,
            "product_id": product,
            "price": price,
            "time": time,
            "last_size": "0.1",
            **more,
        }
    )


def mini_ticker(symbol: str, close: str, seconds: float = 0) -> str:
    """A second as Binance tells it."""
    event = {"e": "24hrMiniTicker", "E": int((NOON_SECONDS + seconds) * 1000), "s": symbol, "c": close, "v": "10"}
    return json.dumps({"stream": f"{symbol.lower()}@miniTicker", "data": event})


def says(*messages: str, then_ends: bool = False, all_said: asyncio.Event | None = None) -> Script:
    """A script of messages, after which the connection stays until it is ended, or ends as Binance's do."""

    async def script(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
        if all_said is not None:
            # What was sent is read before a ping is answered.
            await (await connection.ping())
            all_said.set()
        if not then_ends:
            await connection.wait_closed()

    return script
