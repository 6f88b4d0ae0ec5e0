"""Measures how soon people are told: in the app on an open socket, and by a webhook while mails wait for a dead server.

One API process takes prices in, another has the socket open, and one worker does the rest.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle
from statistics import quantiles
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from asyncpg.connection import Connection
from rich.console import Console

from app.core.ids import PublicIdTag, public_id
from app.core.settings import Settings
from app.core.worker_database import worker_database
from tests.bench.data import Databases
from tests.bench.ingestion import add_partner_to
from tests.bench.peers import serving_trove, trove_environment
from tests.bench.processes import running
from tests.catalogue.builders import coin, saved
from tests.graph.transports.sockets import Socket, ready
from tests.identity.builders import PARTNER_ID, PARTNER_TOKEN
from tests.notifications.sender_builders import add_webhook

TOLD_DATABASE = "trove_bench_told"
PRICES, QUICK_PRICES = 300, 20
MAILS, QUICK_MAILS = 10_000, 1_000
READERS = 200
WARM_UPS = 5
SLUG, SOURCE, CURRENCY = "bench-coin", "bench-shop", "EUR"
THRESHOLD, BELOW, ABOVE = "100", "99.5", "100.5"
# How much too long the times may seem, at most: so often is looked whether the alert has been committed.
SECONDS_BETWEEN_LOOKS = 0.002
LONGEST_SECONDS = 30.0
MILLISECONDS = 1_000
FIRED_ID = "fired"

MAKE_RULE = """
mutation ($item: ID!, $threshold: Decimal!) {
  createAlertRule(input: {
    target: {itemId: $item}, condition: CROSSES_LEVEL, threshold: $threshold, currency: EUR
  }) { rule { id } userErrors { message } }
}
"""
FIRED = "subscription ($rules: [ID!]!) { alertFired(ruleIds: $rules) { cursor alert { title newValue currency } } }"


@dataclass(frozen=True, slots=True)
class Spread:
    """How times spread, in milliseconds."""

    p50: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class TellingFigures:
    """How long it took from the commit of a price to whoever is told of it, for so many prices each.

    The commit is taken to be when the last look began at which a polling connection did not see the notification yet:
    so the times are up to a look too long, and never too short. `since_sent` counts from the first byte of the price.
    """

    prices: int
    on_socket: Spread
    on_socket_since_sent: Spread
    mails: int
    mails_tried: int
    posted: Spread
    posted_behind_mails: Spread


async def measure_telling(
    databases: Databases, redis_url: str, *, prices: int, mails: int, console: Console
) -> TellingFigures:
    """Send prices one after another, each of which crosses a rule: first for a socket alone, then for a webhook too,
    and then behind mails that nobody takes.
    """
    await add_partner_to(databases)
    async with AsyncExitStack() as stack:
        mail_server = await stack.enter_async_context(_dead_mail_server())
        environment = trove_environment(databases, redis_url)
        # On a developer's own server a webhook may lead to loopback.
        of_worker = environment | {
            "TROVE_ENVIRONMENT": "development",
            "TROVE_SMTP_URL": f"smtp://127.0.0.1:{mail_server.port}",
            "TROVE_MAIL_FROM": "Trove <bench@trove.example>",
            "TROVE_LOG_LEVEL": "ERROR",
        }
        door, other = (stack.enter_context(serving_trove(environment)) for _ in range(2))
        stack.enter_context(running("app.cli.main", "worker", environment=of_worker))
        connection = await asyncpg.connect(databases.plain_url, server_settings={"jit": "off", "timezone": "UTC"})
        stack.push_async_callback(connection.close)
        settings = Settings(DATABASE_URL=databases.trove_url, REDIS_URL=redis_url)
        database = await stack.enter_async_context(worker_database(settings, application_name="trove-bench"))
        item_id = (await saved(database, coin(SLUG)))[SLUG]
        authorization = f"Bearer {PARTNER_TOKEN.text}"
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=door.url, headers={"Authorization": authorization}, timeout=LONGEST_SECONDS, trust_env=False
            )
        )
        socket = await stack.enter_async_context(
            ready(f"{other.url.replace('http', 'ws', 1)}/graphql", authorization=authorization)
        )
        receiver = await stack.enter_async_context(_receiver())
        telling = _Telling(http, socket, connection, receiver)
        await telling.begin(item_id)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(group.create_task(telling.follow()).cancel)

        console.print(f"From the commit of each of {prices} prices to an open socket of another process")
        await telling.tell(WARM_UPS)
        on_socket = await telling.tell(prices)
        console.print("The same to a webhook, and then behind mails that wait for a dead server")
        await add_webhook(database, receiver.url, owner_id=PARTNER_ID)
        telling.expects_post = True
        await telling.tell(WARM_UPS)
        posted = await telling.tell(prices)
        await connection.execute(_QUEUE_MAILS, mails)
        await asyncio.wait_for(mail_server.was_asked.wait(), LONGEST_SECONDS)
        behind = await telling.tell(prices)
        left = await connection.fetchval(_MAILS_LEFT)
        tried = await connection.fetchval(_MAILS_TRIED)
    if left != mails:
        raise AssertionError(f"Of {mails} mails {left} are left, and nobody took any.")
    return TellingFigures(
        prices=prices,
        on_socket=_spread([one.shown - one.committed for one in on_socket]),
        on_socket_since_sent=_spread([one.shown - one.sent for one in on_socket]),
        mails=mails,
        mails_tried=tried,
        posted=_spread([one.posted - one.committed for one in posted]),
        posted_behind_mails=_spread([one.posted - one.committed for one in behind]),
    )


async def make_readers(connection: "Connection[Any]") -> None:
    """Fill a migrated database with people who get mails."""
    await connection.execute(_READERS)


def _spread(seconds: Sequence[float]) -> Spread:
    hundredths = quantiles(seconds, n=100, method="inclusive")
    p50, p99, longest = (round(one * MILLISECONDS, 1) for one in (hundredths[49], hundredths[98], max(seconds)))
    return Spread(p50, p99, longest)


@dataclass(frozen=True, slots=True)
class _Told:
    """The moments of one price; `posted` is only of interest where there is a webhook."""

    sent: float
    committed: float
    shown: float
    posted: float


class _Telling:
    """Sends prices that cross a rule, and sees when each alert is in the database, on the socket, and posted."""

    def __init__(
        self, http: httpx.AsyncClient, socket: Socket, connection: "Connection[Any]", receiver: "_Receiver"
    ) -> None:
        self._http = http
        self._socket = socket
        self._connection = connection
        self._receiver = receiver
        self._messages: asyncio.Queue[tuple[float, Any]] = asyncio.Queue()
        self._newest: int | None = None
        self._prices = cycle((BELOW, ABOVE))
        self.expects_post = False

    async def begin(self, item_id: UUID) -> None:
        """Send the first price, which never fires, make the rule, and follow its alerts."""
        await self._send(next(self._prices))
        async with asyncio.timeout(LONGEST_SECONDS):
            while True:
                if await self._connection.fetchval(_FIRST_PRICE):
                    break
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        variables = {"item": public_id(PublicIdTag.ITEM, item_id), "threshold": THRESHOLD}
        response = await self._http.post("/graphql", json={"query": MAKE_RULE, "variables": variables})
        answer = response.raise_for_status().json()
        made = (answer.get("data") or {}).get("createAlertRule")
        if not made or made["userErrors"]:
            raise AssertionError(f"The rule was not made: {answer}")
        await self._socket.subscribe(FIRED, id=FIRED_ID, rules=[made["rule"]["id"]])
        # A subscription gives no sign when it has begun; an operation behind it on the same socket is answered then.
        await self._socket.subscribe("{ __typename }", id="behind")
        while (await self._socket.receive()).get("id") != "behind":
            pass

    async def tell(self, prices: int) -> list[_Told]:
        """Send so many prices, one after another, each when the one before was told."""
        return [await self._tell(next(self._prices)) for _ in range(prices)]

    async def _tell(self, price: str) -> _Told:
        sent = time.perf_counter()
        async with asyncio.timeout(LONGEST_SECONDS), asyncio.TaskGroup() as group:
            committed = group.create_task(self._committed())
            shown = group.create_task(self._shown(price))
            posted = group.create_task(self._posted(price)) if self.expects_post else shown
            await self._send(price)
        return _Told(sent, committed.result(), shown.result(), posted.result())

    async def _send(self, price: str) -> None:
        row = {"item": SLUG, "source": SOURCE, "currency": CURRENCY, "price": price}
        (await self._http.post("/ingest/prices", content=orjson.dumps(row))).raise_for_status()

    async def _committed(self) -> float:
        """When the last look began that did not see the next notification yet."""
        unseen = time.perf_counter()
        while True:
            began = time.perf_counter()
            newest: int | None = await self._connection.fetchval(_NEWEST, PARTNER_ID)
            if newest != self._newest:
                self._newest = newest
                return unseen
            unseen = began
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def follow(self) -> None:
        """Note when each alert comes, and answer the pings between them, until cancelled."""
        while True:
            text = await self._socket.connection.recv()
            arrived = time.perf_counter()
            message = orjson.loads(text)
            if message["type"] == "ping":
                await self._socket.send(type="pong")
            elif message.get("id") == FIRED_ID:
                self._messages.put_nowait((arrived, message))

    async def _shown(self, price: str) -> float:
        """When the alert of the price came."""
        arrived, message = await self._messages.get()
        if message["type"] != "next" or not message["payload"].get("data"):
            raise AssertionError(f"The subscription did not go on: {message}")
        alert = message["payload"]["data"]["alertFired"]["alert"]
        if Decimal(alert["newValue"]) != Decimal(price):
            raise AssertionError(f"This is not the alert of {price}: {alert}")
        return arrived

    async def _posted(self, price: str) -> float:
        """When the webhook had the alert of the price; one of a price before it may come first."""
        while True:
            arrived, told = await self._receiver.arrivals.get()
            if told == Decimal(price):
                return arrived


class _Receiver:
    """A webhook's address on loopback, which notes when each request has come in whole, and the price that it tells."""

    def __init__(self) -> None:
        self.arrivals: asyncio.Queue[tuple[float, Decimal]] = asyncio.Queue()
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
        body = await reader.readexactly(int(length.partition(":")[2]))
        arrived = time.perf_counter()
        self.arrivals.put_nowait((arrived, Decimal(orjson.loads(body)["data"]["alert"]["newValue"])))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def _receiver() -> AsyncIterator[_Receiver]:
    receiver = _Receiver()
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/told"
    async with server:
        yield receiver


class _DeadMailServer:
    """Takes connections, and never says a word."""

    def __init__(self) -> None:
        self.was_asked = asyncio.Event()
        self.port = 0
        self._kept: list[asyncio.StreamWriter] = []

    def keep(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a connection."""
        self._kept.append(writer)
        self.was_asked.set()

    def close(self) -> None:
        """Let go of all connections."""
        for writer in self._kept:
            writer.close()


@asynccontextmanager
async def _dead_mail_server() -> AsyncIterator[_DeadMailServer]:
    dead = _DeadMailServer()
    server = await asyncio.start_server(dead.keep, "127.0.0.1", 0)
    dead.port = server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield dead
    finally:
        dead.close()


_FIRST_PRICE = "SELECT EXISTS (SELECT FROM prices.price_series WHERE latest_price IS NOT NULL)"
_NEWEST = "SELECT max(position) FROM notifications.notifications WHERE owner_id = $1"
_READERS = f"""
    INSERT INTO identity.users (id, username, email, email_verified_at)
    SELECT gen_random_uuid(), 'reader-' || number, 'reader-' || number || '@mail.example', now()
    FROM generate_series(1, {READERS}) AS number
"""
# The readers take turns, and what they are told has been routed.
_QUEUE_MAILS = f"""
    WITH readers AS (
        SELECT id, row_number() OVER (ORDER BY username) AS place
        FROM identity.users WHERE username LIKE 'reader-%'
    ), told AS (
        INSERT INTO notifications.notifications (id, owner_id, key, event_type, severity, title, routed_at)
        SELECT gen_random_uuid(), readers.id, 'bench:' || number, 'price', 'warning', 'Told by mail alone', now()
        FROM generate_series(1, CAST($1 AS integer)) AS number
        JOIN readers ON readers.place = 1 + number % {READERS}
        RETURNING id, owner_id
    )
    INSERT INTO notifications.deliveries (id, owner_id, notification_id, channel)
    SELECT gen_random_uuid(), owner_id, id, 'email' FROM told
"""
_MAILS_LEFT = "SELECT count(*) FROM notifications.deliveries WHERE channel = 'email' AND status = 'waiting'"
_MAILS_TRIED = "SELECT count(*) FROM notifications.deliveries WHERE channel = 'email' AND attempts > 0"
