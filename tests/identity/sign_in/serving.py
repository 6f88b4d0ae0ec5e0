"""The whole application in the test's own loop, over real sockets: quick to start, and open to be looked into."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from app.core.settings import Settings
from app.graph.transports.connections import connections_of
from app.identity.services import IdentityServices
from app.main import create_application
from tests.prompt_server import PromptServer


@dataclass(frozen=True, slots=True)
class Site:
    """A running application, at an address that it knows."""

    url: str
    settings: Settings
    application: Starlette

    @property
    def identity(self) -> IdentityServices:
        """What identity keeps in this process."""
        services: IdentityServices = self.application.state.identity
        return services

    @property
    def websocket_url(self) -> str:
        """The address of the graph for sockets."""
        return self.url.replace("http://", "ws://") + "/graphql"


@asynccontextmanager
async def serving(
    settings: Settings, change: Callable[[Starlette], None] = lambda _: None, **changes: object
) -> AsyncIterator[Site]:
    """Serve until the end of the block; `changes` are settings, and `change` is done to the application once it runs.

    Unless changed, the server knows that browsers reach it where they do.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = settings.model_copy(update={"public_url": url} | changes)
        application = create_application(settings)
        config = uvicorn.Config(
            application,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=3,
        )
        server = PromptServer(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(20):
                while not server.started:  # noqa: ASYNC110  # the server tells nobody
                    await asyncio.sleep(0.01)
            change(application)
            yield Site(url, settings, application)
        finally:
            server.should_exit = True
            await connections_of(application).close()
            await running
