"""A real server within the test's own loop: what it holds on to can be looked at, and its patience be shortened."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import httpx
import pytest
import uvicorn
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from app.core.database import Database
from app.core.events import EventBus
from app.core.ids import PublicIdTag, public_id
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.execution import Engine
from app.graph.feeds import Feeds
from app.graph.transports import http, websocket
from app.graph.transports.connections import Connections, connections_of
from app.graph.transports.pace import PACE, Pace
from app.identity.services import identity_services
from tests.catalogue.builders import coin, saved
from tests.identity.builders import PARTNER_TOKEN
from tests.prompt_server import PromptServer

# What is sent by the tests is small; the tests of stalled readers need buffers that fill.
SMALL_BUFFER = 4096


@dataclass(frozen=True, slots=True)
class Trove:
    """A running server, with what belongs to its process."""

    url: str
    settings: Settings
    feeds: Feeds
    connections: Connections
    server: PromptServer

    @property
    def websocket_url(self) -> str:
        """The address for sockets."""
        return self.endpoint.replace("http://", "ws://")

    @property
    def endpoint(self) -> str:
        """The address of the graph."""
        return f"{self.url}/graphql"

    def slow_connection(self) -> socket.socket:
        """A connection that takes little before it is full."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        host, _, port = self.url.removeprefix("http://").partition(":")
        connection.connect((host, int(port)))
        connection.setblocking(False)
        return connection

    @property
    def authorization(self) -> str:
        """The value that the partner sends."""
        return f"Bearer {PARTNER_TOKEN.text}"

    @property
    def watched(self) -> int:
        """How many items somebody watches."""
        return len(self.feeds.prices._watching)


Serve = Callable[..., AbstractAsyncContextManager[Trove]]


@pytest.fixture
def serve(api_database: Database, trove_settings: Settings, partner: None) -> Serve:
    """Starts servers; each argument shortens a patience or changes a setting."""

    @asynccontextmanager
    async def start(*, pace: Pace = PACE, **changes: object) -> AsyncIterator[Trove]:
        settings = trove_settings.model_copy(update=changes)
        assert settings.redis_url is not None
        redis = connect_redis(settings.redis_url)
        events = EventBus(redis)
        feeds = Feeds(api_database, events)
        identity = identity_services(settings, api_database, events)
        application = Starlette(routes=[*http.routes(settings.allowed_origins, pace), *websocket.routes(pace)])
        application.state.engine = Engine(Resources(api_database, settings, feeds, identity))
        await feeds.start()
        await identity.start()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
            listener.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            server = PromptServer(
                uvicorn.Config(
                    application,
                    ws="websockets-sansio",
                    ws_per_message_deflate=False,
                    ws_ping_interval=None,
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    timeout_graceful_shutdown=3,
                )
            )
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            trove = Trove(url, settings, feeds, connections_of(application), server)
            await until(lambda: server.started)
            try:
                yield trove
            finally:
                server.should_exit = True
                await trove.connections.close()
                await serving
                await identity.stop()
                await feeds.stop()
                await redis.aclose()

    return start


@pytest.fixture
async def trove(serve: Serve) -> AsyncIterator[Trove]:
    """A server with its usual patience."""
    async with serve() as running:
        yield running


@pytest.fixture
async def client(trove: Trove) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the server."""
    async with httpx.AsyncClient(base_url=trove.url) as client:
        yield client


@pytest.fixture
async def locked(_owner: AsyncEngine, database: Database) -> AsyncIterator[None]:
    """Nobody can read items for as long as the test goes on."""
    async with _owner.begin() as connection:
        await connection.execute(text("LOCK TABLE catalogue.items IN ACCESS EXCLUSIVE MODE"))
        yield


async def until_waiting(database: Database, statements: int) -> None:
    """Wait until so many statements wait for a lock in this database."""
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    async with asyncio.timeout(5):
        while True:
            async with database.transaction() as transaction:
                if (await transaction.connection.execute(waiting)).scalar_one() == statements:
                    return
            await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Watched:
    """An item whose prices are followed."""

    slug: str
    key: UUID

    @property
    def id(self) -> str:
        """Its global id."""
        return public_id(PublicIdTag.ITEM, self.key)


@pytest.fixture
async def aurum(database: Database) -> Watched:
    """An item in the catalogue."""
    return replace(Watched("aurum", UUID(int=0)), key=(await saved(database, coin("aurum")))["aurum"])


async def until(holds: Callable[[], bool], *, within: float = 5.0) -> None:
    """Wait for a condition, not longer than it may take."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110  # what is waited for happens within the server, which tells nobody
            await asyncio.sleep(0.01)
