"""A database of the reads' own, in which tests may hide rows and plant faults, and an engine over it."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.execution import Engine
from app.graph.feeds import Feeds
from app.graph.reads.executor import READS, Reads
from app.graph.reads.plans import Plans
from app.graph.schema import core_schema
from app.identity.services import identity_services
from tests.conftest import open_database
from tests.graph.oracle.conftest import Stage, own_database

# Fixtures of the servers; each test has its own, so that they may be known under two folders.
from tests.graph.transports.conftest import aurum as aurum
from tests.graph.transports.conftest import serve as serve
from tests.graph.transports.conftest import trove as trove


@pytest.fixture(scope="session")
async def reads_settings(trove_settings: Settings) -> AsyncIterator[Settings]:
    """The settings of a server over a database that no other folder's tests see."""
    async with own_database(trove_settings, "reads") as settings:
        yield settings


@pytest.fixture(scope="session")
async def reads_owner(reads_settings: Settings) -> AsyncIterator[AsyncEngine]:
    """That database as the owner of the cluster, who may do anything."""
    assert reads_settings.database_url is not None
    owner = create_engine(reads_settings.database_url, role=None, pool_size=1, application_name="tests-reads")
    yield owner
    await owner.dispose()


@pytest.fixture(scope="session")
async def reads_database(reads_settings: Settings) -> AsyncIterator[Database]:
    """That database as the API's role."""
    async with open_database(reads_settings, DatabaseRole.API) as database:
        yield database


@pytest.fixture(scope="session")
async def reads_engine(reads_settings: Settings, reads_database: Database) -> AsyncIterator[Engine]:
    """The engine under test, as a server has it."""
    assert reads_settings.redis_url is not None
    redis = connect_redis(reads_settings.redis_url)
    events = EventBus(redis)
    identity = identity_services(reads_settings, reads_database, events)
    yield Engine(Resources(reads_database, reads_settings, Feeds(reads_database, events), identity))
    await identity.stop()
    await redis.aclose()


@pytest.fixture
def stage(reads_engine: Engine, reads_owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The engine and its database, for one world after another."""
    return Stage(reads_engine, reads_owner, monkeypatch)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    """Plans of this test alone: none is there from before, and none stays."""
    fresh = Plans()
    monkeypatch.setitem(core_schema.extensions, READS, Reads(core_schema.extensions[READS].plain, fresh))
    return fresh
