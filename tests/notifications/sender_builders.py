"""Those who are told: a server on loopback that takes notes, browsers, webhooks and services of a person."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import http_ece
import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import insert, select

from app.alerts.models import Severity
from app.core.database import Database
from app.core.ids import new_id
from app.core.public_addresses import Address, PublicAddresses
from app.notifications.models import ChannelKind, EventType, PushSubscription, Service, Webhook
from app.notifications.sealed import (
    BrowserEndpoint,
    new_webhook_secret,
    seal_browser,
    seal_service_address,
    seal_webhook_secret,
)
from app.notifications.senders.posting import posting_client
from app.notifications.sending import Outgoing
from tests.identity.builders import SECRETS, add_person
from tests.providers.builders import answer

LOOPBACK = ip_address("127.0.0.1")
PRIVATE_HOST = "private.example"
TOLD_AT = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
# Says nothing, and keeps the line.
SILENCE = b"silence"


@dataclass(frozen=True, slots=True)
class Taken:
    """One request, as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return orjson.loads(self.body)


@dataclass(slots=True)
class Listener:
    """A server that says one thing after the other, the last again and again, and notes what it was sent."""

    says: list[bytes]
    taken: list[Taken] = field(default_factory=list)
    kept: list[asyncio.StreamWriter] = field(default_factory=list)
    port: int = 0

    def url(self, host: str = "hooks.example") -> str:
        """Where it listens, by a name that leads to it."""
        return f"http://{host}:{self.port}/told"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.taken.append(Taken(first.split(" ")[1], headers, body))
            said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
            if said == SILENCE:
                self.kept.append(writer)
                return
            writer.write(said)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(*says: bytes) -> AsyncIterator[Listener]:
    """A server on loopback that says these."""
    listener = Listener(list(says) or [answer(b"", status="201 Created")])
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        for writer in listener.kept:
            writer.close()
        server.close()
        await server.wait_closed()


async def _to_loopback(host: str, port: int) -> Sequence[Address]:
    return [ip_address("127.0.0.2") if host == PRIVATE_HOST else LOOPBACK]


def client(**how: Any) -> httpx.AsyncClient:
    """What posts, for which loopback is public: all names lead there but one."""
    return posting_client(PublicAddresses(_to_loopback, lambda address: address == LOOPBACK), **how)


def outgoing(owner_id: UUID, channel: ChannelKind, destination_id: UUID, **columns: Any) -> Outgoing:
    """A notification on its way there for the first time."""
    made = Outgoing(
        id=new_id(),
        owner_id=owner_id,
        notification_id=new_id(),
        channel=channel,
        destination_id=destination_id,
        attempt=1,
        event_type=EventType.PRICE,
        severity=Severity.WARNING,
        title="Charizard is above 400 EUR",
        body="It was 380 EUR & <b>less</b>.",
        alert_id=None,
        told_at=TOLD_AT,
    )
    return replace(made, **columns)


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser with keys of its own, which reads what is pushed to it."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False)
    auth: bytes = field(default_factory=lambda: os.urandom(16), repr=False)

    def endpoint(self, url: str) -> BrowserEndpoint:
        """What it gives to whoever wants to push."""
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return BrowserEndpoint(url, point, self.auth)

    def read(self, taken: Taken) -> Any:
        """What was pushed, decrypted."""
        read = http_ece.decrypt(taken.body, private_key=self.key, auth_secret=self.auth, version="aes128gcm")
        return orjson.loads(read)


async def add_browser(database: Database, browser: Browser, url: str, **columns: Any) -> Outgoing:
    """A person who subscribed with this browser, and a notification on its way to it."""
    subscription_id = new_id()
    async with database.transaction() as transaction:
        owner_id = await add_person(transaction.connection)
        await transaction.connection.execute(
            insert(PushSubscription).values(
                id=subscription_id,
                owner_id=owner_id,
                endpoint_hash=os.urandom(32),
                host="push.example",
                subscription=seal_browser(SECRETS, subscription_id, browser.endpoint(url)),
                **columns,
            )
        )
    return outgoing(owner_id, ChannelKind.WEB_PUSH, subscription_id)


async def add_webhook(
    database: Database, url: str, *, secret: str | None = None, owner_id: UUID | None = None, **columns: Any
) -> Outgoing:
    """Somebody's webhook, and a notification on its way to it."""
    webhook_id = new_id()
    async with database.transaction() as transaction:
        owner_id = owner_id or await add_person(transaction.connection)
        await transaction.connection.execute(
            insert(Webhook).values(
                id=webhook_id,
                owner_id=owner_id,
                name="My shop",
                url=url,
                secret=seal_webhook_secret(SECRETS, webhook_id, secret or new_webhook_secret()),
                **columns,
            )
        )
    return outgoing(owner_id, ChannelKind.WEBHOOK, webhook_id)


async def add_service(database: Database, address: str) -> Outgoing:
    """A person whom a service is to tell, and a notification on its way to it."""
    service_id = new_id()
    async with database.transaction() as transaction:
        owner_id = await add_person(transaction.connection)
        await transaction.connection.execute(
            insert(Service).values(
                id=service_id,
                owner_id=owner_id,
                name="My phone",
                kind=address.partition("://")[0],
                address=seal_service_address(SECRETS, service_id, address),
            )
        )
    return outgoing(owner_id, ChannelKind.SERVICE, service_id)


async def rows(database: Database, table: Any) -> list[Any]:
    """All rows of a table."""
    async with database.transaction() as transaction:
        return list(await transaction.connection.execute(select(*table.__table__.columns)))
