"""Providers on loopback: rows in the table, and servers that answer as they are told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select

from app.core.database import Database
from app.providers.models import Provider, ProviderCall

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CODE = "shop"


def answer(content: bytes = b"{}", *, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    """An answer as it goes over the wire, after which the connection ends."""
    length = len(content) if length is None else length
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n".encode() + content


@dataclass(slots=True)
class Shop:
    """A provider: says one thing after the other, the last again and again, and keeps what it was asked."""

    says: list[bytes] = field(default_factory=lambda: [answer()])
    asked: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.says.pop(0) if len(self.says) > 1 else self.says[0])
            await writer.drain()
        writer.close()


@asynccontextmanager
async def open_shop(*says: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Shop]:
    """A provider on loopback that says these."""
    shop = Shop(list(says) or [answer()])
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0, ssl=tls)
    shop.port = server.sockets[0].getsockname()[1]
    try:
        yield shop
    finally:
        server.close()
        await server.wait_closed()


async def add_provider(database: Database, port: int = 9, **columns: Any) -> None:
    """A provider's row, with a wide limit unless it is told otherwise."""
    values = {
        "code": CODE,
        "name": "Shop",
        "base_url": f"http://127.0.0.1:{port}",
        "window_seconds": 60,
        "request_count": 1000,
    }
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(Provider).values(**values | columns))


async def provider_row(database: Database) -> Any:
    """The provider's row as it is now."""
    async with database.transaction() as transaction:
        return (await transaction.connection.execute(select(*Provider.__table__.columns))).one()


async def calls(database: Database) -> list[Any]:
    """The ledger, the oldest first."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(*ProviderCall.__table__.columns).order_by(ProviderCall.started_at, ProviderCall.id)
        )
        return list(rows)
