"""The graph within this process, over the API's role."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from app.core.clock import utc_now
from app.core.database import Database
from app.core.events import EventBus
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.demo.world import load_world_into
from app.graph.context import Resources
from app.graph.execution import Engine, Request, RequestRefused
from app.graph.feeds import Feeds
from app.identity.services import identity_services
from app.identity.viewer import ANYONE, Caller, Viewer


@dataclass(frozen=True, slots=True)
class Graph:
    """Asks the graph as every transport does."""

    engine: Engine

    async def respond(self, query: str, viewer: Viewer = ANYONE, **variables: Any) -> dict[str, Any]:
        """The whole response; a query is asked on both paths, which must answer alike."""
        try:
            operation = self.engine.prepare(Request(query, variables))
        except RequestRefused as refused:
            return {"errors": refused.errors}
        if not operation.is_query:
            return as_sent(await self.engine.run(operation, Caller(viewer)))
        now = utc_now()
        with patch("app.graph.context.utc_now", lambda: now):
            response = as_sent(await self.engine.run(operation, Caller(viewer)))
            plain = as_sent(await self.engine.run(operation, Caller(viewer), resolvers_only=True))
            assert without_chance(response) == without_chance(plain)
        return response

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

    async def statements(self, query: str, *, resolvers_only: bool = False, **variables: Any) -> int:
        """How many SQL statements an operation sends."""
        operation = self.engine.prepare(Request(query, variables))
        response = await self.engine.run(operation, Caller(), resolvers_only=resolvers_only)
        assert "errors" not in response, response["errors"]
        return int(response["extensions"]["trove"]["statements"])


def as_sent(response: Any) -> dict[str, Any]:
    """The response as a client reads it."""
    read: dict[str, Any] = orjson.loads(orjson.dumps(response))
    return read


def without_chance(response: dict[str, Any]) -> str:
    """What must be alike on both paths, the order of keys included."""
    errors = [
        {**error, "extensions": {key: value for key, value in error["extensions"].items() if key != "errorId"}}
        for error in response.get("errors", ())
    ]
    return json.dumps([response.get("data"), errors])


@pytest.fixture
async def demo_world(database: Database, live_worker: object) -> None:
    """The demo world, with a worker that processes what is sent to it."""
    await load_world_into(database, now=utc_now())


@pytest.fixture
async def graph(api_database: Database, trove_settings: Settings, partner: None) -> AsyncIterator[Graph]:
    """The graph over this worker's database, with a partner."""
    assert trove_settings.redis_url is not None
    redis = connect_redis(trove_settings.redis_url)
    events = EventBus(redis)
    identity = identity_services(trove_settings, api_database, events)
    yield Graph(Engine(Resources(api_database, trove_settings, Feeds(api_database, events), identity)))
    await identity.stop()
    await redis.aclose()


@pytest.fixture
async def live(graph: Graph) -> AsyncIterator[Graph]:
    """The graph with its feeds at work."""
    feeds = graph.engine.resources.feeds
    await feeds.start()
    yield graph
    await feeds.stop()
