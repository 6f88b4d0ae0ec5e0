"""Measures what is asked of many trackers: where they are, maps of them, and where one of them was."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from statistics import quantiles
from time import perf_counter
from typing import Any

import orjson
from pydantic import SecretStr

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, DatabaseViewer, create_engine
from app.core.events import EventBus
from app.core.ids import PublicIdTag, public_id
from app.core.jobs import JobQueue, connect_redis
from app.core.secrets import KeyRing
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.execution import Engine, Request
from app.graph.feeds import Feeds
from app.identity.scopes import Scope
from app.identity.services import identity_services
from app.identity.viewer import Caller, Viewer
from app.trackers.queries.tiles import Tile, vector_tile
from tests.bench.data import Databases
from tests.bench.tracked import VIEWER_ID, tracker_key

WORLD = {"west": -180.0, "south": -85.0, "east": 180.0, "north": 85.0}
# Around Hamburg.
CITY = {"west": 9.7, "south": 53.4, "east": 10.3, "north": 53.7}
MONTH = timedelta(days=30)
LAST_FIXES = """
query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Tracker { id name status lastFix {
  bucket position { latitude longitude } accuracyMeters confidence nearestCity { name }
} } } }
"""
PAGE = """
query { trackers(first: 100) { nodes { id name status lastFix { bucket position { latitude longitude } } } } }
"""
CLUSTERS = """
query ($box: BoundingBox!, $zoom: Int!) { trackersInBox(box: $box, zoom: $zoom) {
  count latitude longitude bounds { west south east north } statuses { status count } tracker { id name }
} }
"""
NEAR = """
query { trackers(first: 100, filter: {near: {latitude: 53.55, longitude: 9.99, meters: 50000}}) {
  nodes { id name lastFix { position { latitude longitude } } }
} }
"""
FIXES = """
query ($id: ID!, $from: DateTime) { node(id: $id) { ... on Tracker { fixes(from: $from) {
  bucket position { latitude longitude } accuracyMeters confidence
} } } }
"""
PATH = """
query ($id: ID!, $from: DateTime) { node(id: $id) { ... on Tracker { path(from: $from, simplifyMeters: 200) } } }
"""
ID = public_id(PublicIdTag.TRACKER, tracker_key(1))
IDS = [public_id(PublicIdTag.TRACKER, tracker_key(number)) for number in range(1, 1_501, 15)]


@dataclass(frozen=True, slots=True)
class MapFigures:
    """What one question took, in milliseconds: in the database and the process of the API, without a transport."""

    question: str
    times: int
    p50: float
    p95: float
    promised: float | None


async def measure_maps(databases: Databases, redis_url: str, *, times: int) -> list[MapFigures]:
    """Each question so often, after it was asked once, as the member of the large client."""
    since = (utc_now() - MONTH + timedelta(hours=1)).isoformat()
    async with _engine(databases, redis_url) as (database, engine):

        def asked(text: str, variables: Mapping[str, object]) -> Callable[[], Awaitable[None]]:
            async def ask() -> None:
                await _ask(engine, text, variables)

            return ask

        def drawn(tile: Tile) -> Callable[[], Awaitable[None]]:
            async def draw() -> None:
                snapshot = database.snapshot(viewer=DatabaseViewer(VIEWER_ID))
                try:
                    if not await snapshot.read(vector_tile, tile):
                        raise RuntimeError("a tile is empty")
                finally:
                    await snapshot.close()

            return draw

        questions: Mapping[str, tuple[Callable[[], Awaitable[None]], float | None]] = {
            "last fixes of 100 trackers": (asked(LAST_FIXES, {"ids": IDS}), 10),
            "first page of 100 trackers": (asked(PAGE, {}), None),
            "clusters of the world": (asked(CLUSTERS, {"box": WORLD, "zoom": 2}), 100),
            "clusters of a city": (asked(CLUSTERS, {"box": CITY, "zoom": 11}), None),
            "100 trackers near a point": (asked(NEAR, {}), None),
            "fixes of a month": (asked(FIXES, {"id": ID, "from": since}), None),
            "path of a month, simplified": (asked(PATH, {"id": ID, "from": since}), None),
            "vector tile of the world": (drawn(Tile(0, 0, 0)), None),
            "vector tile of a city": (drawn(Tile(10, 540, 331)), None),
        }
        return [
            await _measure(question, ask, times=times, promised=promised)
            for question, (ask, promised) in questions.items()
        ]


async def _measure(
    question: str, ask: Callable[[], Awaitable[None]], *, times: int, promised: float | None
) -> MapFigures:
    taken = []
    for turn in range(times + 1):
        began = perf_counter()
        await ask()
        if turn:
            taken.append((perf_counter() - began) * 1_000)
    hundredths = quantiles(taken, n=100)
    return MapFigures(question, times, hundredths[49], hundredths[94], promised)


async def _ask(engine: Engine, text: str, variables: Mapping[str, Any]) -> None:
    viewer = Viewer(
        user_id=VIEWER_ID, credential_id=VIEWER_ID, scopes=frozenset({Scope.TRACKERS_READ}), issued_at=utc_now()
    )
    answer = await engine.run(engine.prepare(Request(text, dict(variables))), Caller(viewer))
    told = orjson.loads(orjson.dumps(answer))
    if "errors" in told or not _has_something(told["data"]):
        raise RuntimeError(f"nothing was answered: {told}")


def _has_something(value: Any) -> bool:
    """Whether there is a list with something in it."""
    if isinstance(value, list):
        return bool(value)
    return isinstance(value, dict) and any(_has_something(each) for each in value.values())


@asynccontextmanager
async def _engine(databases: Databases, redis_url: str) -> AsyncIterator[tuple[Database, Engine]]:
    settings = Settings(
        DATABASE_URL=databases.trove_url, REDIS_URL=redis_url, secret_keys=SecretStr(KeyRing.fresh().text())
    )
    redis = connect_redis(redis_url)
    events = EventBus(redis)
    pool = create_engine(databases.trove_url, role=DatabaseRole.API, pool_size=1, application_name="bench-maps")
    database = Database(pool, jobs=JobQueue(redis), events=events)
    identity = identity_services(settings, database, events)
    yield database, Engine(Resources(database, settings, Feeds(database, events), identity))
    await identity.stop()
    await database.close()
    await redis.aclose()
