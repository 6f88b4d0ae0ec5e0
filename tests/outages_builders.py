"""A PostgreSQL and a Redis that may be killed, a sender that keeps prices coming, and followers that come back."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.cli.database import migrate_database
from app.core.database import DATABASE_FAILURES, DatabaseRole, create_engine
from app.core.embedded import PrivateServices
from app.core.settings import Settings
from tests.catalogue.builders import coin, saved
from tests.conftest import Server, open_database, running
from tests.identity.builders import KEY_RING, add_partner
from tests.prices.builders import Line, point

ITEM = "aurum"
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
POINTS_IN_A_BATCH = 5
# Not so many between two looks of a server that they are more than a subscriber's share: they would be conflated.
PAUSE_SECONDS = 0.02
# How long any one answer may take, and how long anything may take to come back.
ANSWER_SECONDS = 8.0
PATIENCE_SECONDS = 60.0
WATCH = """
subscription ($slugs: [String!]!, $since: String) {
  priceUpdates(slugs: $slugs, since: $since) { cursor price { amount } item { slug } }
}
"""
UNAVAILABLE = "SERVICE_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Site:
    """Servers of a test's own, and the settings of the processes over them."""

    directory: Path
    settings: Settings

    @contextmanager
    def without(self, server: str, *, killed_by: signal.Signals = signal.SIGKILL) -> Iterator[None]:
        """Kill `postgres` or `redis`, once; nobody starts it again before the block ends."""
        guarded = json.loads((self.directory / "services.json").read_text())
        os.kill(guarded["guard"], signal.SIGSTOP)
        try:
            os.kill(guarded["pids"][server], killed_by)
            yield
        finally:
            os.kill(guarded["guard"], signal.SIGCONT)

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the owner of the cluster, who sees and may do everything."""
        assert self.settings.database_url is not None
        engine = create_engine(self.settings.database_url, role=None, pool_size=1, application_name="tests-outages")
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement gives."""
        async with self.owner() as connection:
            return [tuple(row) for row in await connection.execute(text(statement))]

    @asynccontextmanager
    async def holding(self, statement: str) -> AsyncIterator[None]:
        """Another client holds what the statement locks, until the block ends."""
        async with self.owner() as connection:
            await connection.execute(text(statement))
            yield
            await connection.rollback()

    async def somebody_waits_for_a_lock(self, application: str) -> bool:
        """Whether a process of this name does."""
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = "
        return await self.rows(f"{waiting} '{application}'") != []

    async def answers(self) -> bool:
        """Whether PostgreSQL lets us in."""
        try:
            return await self.rows("SELECT 1") == [(1,)]
        except DATABASE_FAILURES:
            return False

    async def nothing_waits(self) -> bool:
        """Whether every accepted batch is processed."""
        return await self.rows("SELECT id FROM ingestion.ingest_batches WHERE status <> 'processed'") == []


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that an unprivileged server can reach too."""
    place = Path(tempfile.mkdtemp(prefix="trove-outage-", dir="/tmp"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def prepared_servers() -> Iterator[Path]:
    """The directory of servers that have ended, with a database that has one item in its catalogue."""
    with open_directory() as place:
        with _servers(place / ".trove") as settings:
            migrate_database(settings)
            asyncio.run(_fill(settings))
        yield place / ".trove"


@contextmanager
def open_site(prepared: Path) -> Iterator[Site]:
    """Servers that begin with what those had; what is committed survives a crash of PostgreSQL."""
    with open_directory() as place:
        # By the command, which keeps whose the files are.
        subprocess.run(["cp", "-a", prepared, place / ".trove"], check=True)
        with _servers(place / ".trove") as settings:
            yield Site(place / ".trove", settings)


@contextmanager
def _servers(directory: Path) -> Iterator[Settings]:
    with PrivateServices(directory, durable=True) as addresses:
        yield Settings(
            DATABASE_URL=addresses.database_url,
            REDIS_URL=addresses.redis_url,
            environment="development",
            secret_keys=SecretStr(KEY_RING.text()),
            database_pool_size=5,
        )


async def _fill(settings: Settings) -> None:
    async with open_database(settings, DatabaseRole.WORKER) as database:
        await saved(database, coin(ITEM))
        async with database.transaction() as transaction:
            await add_partner(transaction.connection)


@contextmanager
def serving_api(settings: Settings) -> Iterator[Server]:
    """An API process that answers, whether it is ready or not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(["api", "--port", str(port)], settings) as process:
        server = Server(f"http://127.0.0.1:{port}", process)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert process.poll() is None, "the API has ended instead of serving"
            assert time.monotonic() < deadline, "the API does not answer"
            with suppress(httpx.TransportError):
                assert httpx.get(f"{server.url}/healthz").status_code == 200
                break
            time.sleep(0.02)
        yield server


async def eventually(what: str, is_so: Callable[[], Awaitable[object]], *, within: float = PATIENCE_SECONDS) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + within
    while not await is_so():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A partner's client; an answer that does not come within seconds fails the test."""
    headers = {"Authorization": f"Bearer {server.partner_token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=ANSWER_SECONDS) as client:
        yield client


async def readiness(client: httpx.AsyncClient) -> tuple[int, bool, bool]:
    """The status of `/readyz`, and whether it finds the database and Redis."""
    answer = await client.get("/readyz")
    found = answer.json()
    assert found["ready"] == (answer.status_code == 200)
    return answer.status_code, found["database"] == "ok", found["redis"] == "ok"


def lines_of(batch: int) -> list[Line]:
    """The points of a batch: the last is the newest, and newer than those of all batches before."""
    return [
        point(ITEM, str(price_of(batch, number)), at=FIRST + timedelta(seconds=price_of(batch, number)))
        for number in range(POINTS_IN_A_BATCH)
    ]


def price_of(batch: int, number: int = POINTS_IN_A_BATCH - 1) -> int:
    """The price of a point of a batch, by default of the last, which becomes the latest."""
    return 1 + batch * POINTS_IN_A_BATCH + number


@dataclass
class Sender:
    """A partner who sends batch after batch, and each again until it is accepted."""

    client: httpx.AsyncClient
    accepted: int = 0
    refused: int = 0
    _told_to_stop: bool = False

    async def send(self) -> None:
        """Send the next batch until it is accepted; every answer is 202, or 503 with a code and a sentence."""
        content = b"\n".join(orjson.dumps(line) for line in lines_of(self.accepted))
        headers = {"Idempotency-Key": f"batch-{self.accepted}"}
        while True:
            answer = await self.client.post("/ingest/prices", content=content, headers=headers)
            if answer.status_code == 202:
                break
            self.refused += 1
            assert answer.status_code == 503, answer.text
            assert answer.headers["Retry-After"].isdecimal()
            assert answer.json()["error"]["code"] == UNAVAILABLE, answer.text
            await asyncio.sleep(0.02)
        assert answer.json()["rows"] == POINTS_IN_A_BATCH
        self.accepted += 1

    async def keep_sending(self) -> None:
        """Send until told to stop."""
        while not self._told_to_stop:
            await self.send()
            await asyncio.sleep(PAUSE_SECONDS)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send while the block runs, and finish the batch that has begun."""
        task = asyncio.create_task(self.keep_sending())
        try:
            yield
        finally:
            self._told_to_stop = True
            await task

    async def have_accepted(self, more: int) -> None:
        """Wait until so many more batches are accepted."""
        wanted = self.accepted + more
        await eventually(f"{wanted} batches are accepted", lambda: _is(self.accepted >= wanted))


async def _is(so: bool) -> bool:
    return so


class MustComeBack(Exception):
    """The stream has ended, or cannot go on from here."""


@dataclass
class Follower(ABC):
    """A client that sees the item's prices, and comes back with its last cursor whenever the stream has ended."""

    server: Server
    prices: list[int] = field(default_factory=list)
    cursor: str | None = None
    came_back: int = 0

    @abstractmethod
    def answers(self) -> AsyncGenerator[dict[str, Any], None]:
        """The answers to the subscription, from the last cursor on; raises MustComeBack where the stream ends."""

    @property
    def request(self) -> dict[str, Any]:
        """The subscription from the last cursor on."""
        return {"query": WATCH, "variables": {"slugs": [ITEM], "since": self.cursor}}

    async def follow(self) -> None:
        """Follow until cancelled."""
        while True:
            with suppress(MustComeBack):
                async with aclosing(self.answers()) as answers:
                    async for answer in answers:
                        self._take(answer)
            self.came_back += 1
            await asyncio.sleep(0.05)

    def _take(self, answer: dict[str, Any]) -> None:
        if "errors" in answer:
            assert {error["extensions"]["code"] for error in answer["errors"]} == {UNAVAILABLE}, answer
            raise MustComeBack
        update = answer["data"]["priceUpdates"]
        assert update["item"] == {"slug": ITEM}
        self.prices.append(int(update["price"]["amount"]))
        self.cursor = update["cursor"]

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow while the block runs; a follower that failed fails the block."""
        task = asyncio.create_task(self.follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def have_seen(self, price: int, *, within: float = PATIENCE_SECONDS) -> None:
        """Wait until a price was seen."""
        await eventually(f"{price} is seen", lambda: _is(price in self.prices), within=within)


class SocketFollower(Follower):
    """Over a WebSocket."""

    async def answers(self) -> AsyncGenerator[dict[str, Any], None]:
        """The payloads of `next`, or the errors of `error`."""
        async with opened(self.server) as connection:
            try:
                await start(connection, self.request)
                async for text_ in connection:
                    message = orjson.loads(text_)
                    if message["type"] == "next":
                        yield message["payload"]
                    elif message["type"] == "error":
                        yield {"errors": message["payload"]}
            except ConnectionClosed as closed:
                raise MustComeBack from closed


class StreamFollower(Follower):
    """Over server-sent events."""

    async def answers(self) -> AsyncGenerator[dict[str, Any], None]:
        """The data of the events."""
        async with streaming(self.server, self.request) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield orjson.loads(line.removeprefix("data: "))


@asynccontextmanager
async def opened(server: Server) -> AsyncIterator[ClientConnection]:
    """A socket that may start operations."""
    subprotocols = [Subprotocol("graphql-transport-ws")]
    async with connect(server.websocket_url, subprotocols=subprotocols, ping_interval=None) as connection:
        await connection.send('{"type": "connection_init"}')
        async with asyncio.timeout(ANSWER_SECONDS):
            assert orjson.loads(await connection.recv()) == {"type": "connection_ack"}
        yield connection


async def start(connection: ClientConnection, request: dict[str, Any]) -> None:
    """Start an operation on a socket."""
    await connection.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": request}).decode())


@asynccontextmanager
async def streaming(server: Server, request: dict[str, Any]) -> AsyncIterator[httpx.Response]:
    """An operation as a stream of events."""
    headers = {"Accept": "text/event-stream"}
    timeout = httpx.Timeout(ANSWER_SECONDS, read=None)
    async with (
        httpx.AsyncClient(timeout=timeout) as client,
        client.stream("POST", f"{server.url}/graphql", json=request, headers=headers) as response,
    ):
        assert response.status_code == 200
        yield response
