"""A database of the oracle's own, with an engine over it whose clock stands still."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.jobs import connect_redis
from app.core.provider_settings import GithubSettings
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.execution import Engine
from app.graph.feeds import Feeds
from app.identity.services import identity_services
from tests.conftest import administer, database_named, open_database
from tests.graph.oracle.asking import usual_path
from tests.graph.oracle.listed_cursors import cursors_of
from tests.graph.oracle.rows import World
from tests.graph.oracle.storing import replace_world
from tests.graph.oracle.tally import Tally, summary_of
from tests.graph.oracle.vocabulary import Vocabulary

TALLY = "oracle-tally"
PATIENT_SECONDS = 120.0
ADDRESS = "http://127.0.0.1:8000"
# So that there is one to show; nobody goes there.
GITHUB = GithubSettings(kind="github", code="github", client_id="oracle", client_secret=SecretStr("oracle"))


@asynccontextmanager
async def own_database(settings: Settings, purpose: str) -> AsyncIterator[Settings]:
    """The settings of a server over another clone of the template, for as long as the block goes on."""
    assert settings.database_url is not None
    template, worker = settings.database_url.rsplit("/", 1)[-1].split("?")[0].rsplit("_", 1)
    name = f"{template}_{purpose}_{worker}"
    await administer(settings.database_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield settings.model_copy(update={"database_url": database_named(settings.database_url, name)})
    await administer(settings.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
async def oracle_settings(trove_settings: Settings) -> AsyncIterator[Settings]:
    """The settings of a server over a clone of this worker's database, whose partitions no other test sees."""
    async with own_database(trove_settings, "oracle") as settings:
        # A machine with much else to do must not make a difference.
        more = {"operation_timeout_seconds": PATIENT_SECONDS, "identity_providers": (GITHUB,), "public_url": ADDRESS}
        yield settings.model_copy(update=more)


@pytest.fixture(scope="session")
async def oracle_owner(oracle_settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The oracle's database as the owner of the cluster, who may write anything."""
    assert oracle_settings.database_url is not None
    owner = create_engine(oracle_settings.database_url, role=None, pool_size=1, application_name="tests-oracle")
    yield owner
    await owner.dispose()


@pytest.fixture(scope="session")
async def oracle_database(oracle_settings: Settings) -> AsyncIterator[Database]:
    """The oracle's database as the API's role."""
    async with open_database(oracle_settings, DatabaseRole.API) as database:
        yield database


@pytest.fixture(scope="session")
async def oracle_engine(oracle_settings: Settings, oracle_database: Database) -> AsyncIterator[Engine]:
    """The engine under test, as a server has it."""
    assert oracle_settings.redis_url is not None
    redis = connect_redis(oracle_settings.redis_url)
    events = EventBus(redis)
    identity = identity_services(oracle_settings, oracle_database, events)
    yield Engine(Resources(oracle_database, oracle_settings, Feeds(oracle_database, events), identity))
    await identity.stop()
    await redis.aclose()


@dataclass(slots=True)
class Stage:
    """Where worlds are put up and looked at."""

    engine: Engine
    owner: AsyncEngine
    monkeypatch: pytest.MonkeyPatch

    async def put_up(self, world: World, vocabulary: Vocabulary) -> None:
        """Store the world, stop the clock at its now, and let the vocabulary know the cursors of its lists."""
        await self.store(world)
        vocabulary.cursors = await cursors_of(usual_path(self.engine), world)

    async def store(self, world: World) -> None:
        """Store the world and stop the clock at its now; that is all, where nobody asks for pages of lists."""
        await replace_world(self.owner, world)
        self.stop_clock(world.now)

    def stop_clock(self, now: datetime) -> None:
        """Let every operation believe that it is now."""
        self.monkeypatch.setattr("app.graph.context.utc_now", lambda: now)


@pytest.fixture
def stage(oracle_engine: Engine, oracle_owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The engine and its database, for one world after another."""
    return Stage(oracle_engine, oracle_owner, monkeypatch)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the tests of all worlds have counted, in whichever process they ran."""
    total = Tally()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == TALLY and getattr(report, "when", "") == "call":
                    total.add(Tally.from_json(value))
    if total.documents:
        terminalreporter.section("oracle")
        for line in summary_of(total):
            terminalreporter.write_line(line)
