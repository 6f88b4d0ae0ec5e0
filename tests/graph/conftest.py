"""The graph within this process, over the API's role."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.core.clock import utc_now
from app.core.database import Database
from app.core.events import EventBus
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.demo.world import load_world_into
from app.graph.context import ANYONE, Resources, Viewer
from app.graph.execution import Engine, Request, RequestRefused
from app.graph.live import PriceFeed


@dataclass(frozen=True, slots=True)
class Graph:
    """Asks the graph as every transport does."""

    engine: Engine

    async def respond(self, query: str, viewer: Viewer = ANYONE, **variables: Any) -> dict[str, Any]:
        """The whole response."""
        try:
            operation = self.engine.prepare(Request(query, variables))
        except RequestRefused as refused:
            return {"errors": refused.errors}
        return await self.engine.run(operation, viewer)

    async def ask(self, query: str, viewer: Viewer = ANYONE, **variables: Any) -> Any:
        """The data of a response without errors."""
        response = await self.respond(query, viewer, **variables)
        assert "errors" not in response, response["errors"]
        return response["data"]

    async def refusal(self, query: str, viewer: Viewer = ANYONE, **variables: Any) -> dict[str, Any]:
        """The only error of a response."""
        response = await self.respond(query, viewer, **variables)
        (error,) = response["errors"]
        return dict(error)

    async def statements(self, query: str, **variables: Any) -> int:
        """How many SQL statements an operation sends."""
        response = await self.respond(query, **variables)
        assert "errors" not in response, response["errors"]
        return int(response["extensions"]["trove"]["statements"])


@pytest.fixture
async def demo_world(database: Database, live_worker: object) -> None:
    """The demo world, with a worker that processes what is sent to it."""
    await load_world_into(database, now=utc_now())


@pytest.fixture
async def graph(api_database: Database, trove_settings: Settings) -> AsyncIterator[Graph]:
    """The graph over this worker's database."""
    assert trove_settings.redis_url is not None
    redis = connect_redis(trove_settings.redis_url)
    yield Graph(Engine(Resources(api_database, trove_settings, PriceFeed(api_database, EventBus(redis)))))
    await redis.aclose()
