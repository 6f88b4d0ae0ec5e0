"""What every test stands on: a real PostgreSQL built by the real migrations, a real Redis, real servers on loopback.

One private cluster serves the whole run. The migrations build one template database; each xdist worker works on its own
clone, and rows are deleted between tests.
"""

import asyncio
import gc
import io
import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.database import migrate_database
from app.core.database import Base, Database, DatabaseRole, create_engine
from app.core.embedded import PrivateServices
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.settings import Settings
from tests.forks import Fork
from tests.identity.builders import KEY_RING, PARTNER_TOKEN, add_partner

REPOSITORY = Path(__file__).resolve().parents[1]
SERVICES = pytest.StashKey[PrivateServices]()
READY_SECONDS = 90.0
# Of the garbage collector: thousands of tests stay, and what each of them leaves behind is small.
COLLECTOR_THRESHOLDS = (50_000, 20, 100)
LARGE_TABLE_BYTES = 1024 * 1024
# Of the template and its clones alone: no migration makes it.
EMPTY_TABLES = text("SELECT public.empty_tables()")

gc.set_threshold(*COLLECTOR_THRESHOLDS)


def pytest_configure(config: pytest.Config) -> None:
    """The controller starts the servers and makes the template; its workers find both in their environment."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    services = PrivateServices(
        # A cluster for each run: two runs at once must not stop each other's.
        REPOSITORY / ".trove" / f"tests-{os.getpid()}",
        durable=False,
        database_url=Settings().database_url,
        redis_url=Settings().redis_url,
        # Tables are emptied again and again. Vacuumed while empty they count as such, and the checks of foreign keys
        # keep the plans of that moment: of thousands of rows each would be looked for through all of the others.
        postgres_settings={"max_connections": "300", "autovacuum": "off"},
    )
    addresses = services.start()
    config.stash[SERVICES] = services
    template = f"trove_template_{secrets.token_hex(4)}"
    os.environ["TROVE_TESTS_DATABASE_URL"] = addresses.database_url
    os.environ["TROVE_TESTS_REDIS_URL"] = addresses.redis_url
    os.environ["TROVE_TESTS_TEMPLATE"] = template
    asyncio.run(administer(addresses.database_url, f"CREATE DATABASE {template}"))
    template_url = database_named(addresses.database_url, template)
    migrate_database(Settings(DATABASE_URL=template_url))
    asyncio.run(administer(template_url, _define_empty_tables()))


def pytest_collection_finish() -> None:
    """The modules and the tests stay for good: the collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Drop the template and stop what was started."""
    services = config.stash.get(SERVICES, None)
    if services is not None:
        drop = f"DROP DATABASE {os.environ['TROVE_TESTS_TEMPLATE']}"
        asyncio.run(administer(os.environ["TROVE_TESTS_DATABASE_URL"], drop))
        services.stop()
        # As root below a home that others may not enter, the cluster itself stands elsewhere.
        elsewhere = services.directory / "elsewhere"
        if elsewhere.exists():
            shutil.rmtree(elsewhere.resolve(), ignore_errors=True)
        shutil.rmtree(services.directory, ignore_errors=True)


def database_named(url: str, name: str) -> str:
    """The same server, another database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


async def administer(url: str, statement: str) -> None:
    """Run one statement as the owner of the cluster, outside of any transaction."""
    engine = create_engine(url, role=None, pool_size=1, application_name="trove-tests")
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text(statement))
    await engine.dispose()


@pytest.fixture(scope="session")
def trove_data() -> Path:
    """The folder of real data files; the tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("TROVE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set TROVE_DATA")
    return folder


@pytest.fixture(scope="session")
async def database_url(worker_id: str) -> AsyncIterator[str]:
    """This worker's own clone of the migrated template, as the owner of the cluster."""
    server = os.environ["TROVE_TESTS_DATABASE_URL"]
    name = f"{os.environ['TROVE_TESTS_TEMPLATE']}_{worker_id}"
    await administer(server, f"CREATE DATABASE {name} TEMPLATE {os.environ['TROVE_TESTS_TEMPLATE']}")
    yield database_named(server, name)
    await administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def redis_url(worker_id: str) -> str:
    """A Redis database of this worker's own."""
    number = int(worker_id.removeprefix("gw")) + 1 if worker_id.startswith("gw") else 0
    return os.environ["TROVE_TESTS_REDIS_URL"].replace("db=0", f"db={number}")


@pytest.fixture(scope="session")
def trove_settings(database_url: str, redis_url: str) -> Settings:
    """The settings of the servers under test."""
    return Settings(
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        environment="development",
        secret_keys=SecretStr(KEY_RING.text()),
        demo_token=SecretStr(PARTNER_TOKEN.text),
        database_pool_size=5,
    )


@asynccontextmanager
async def open_database(settings: Settings, role: DatabaseRole) -> AsyncIterator[Database]:
    """A database as one of the roles, with its Redis."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    redis = connect_redis(settings.redis_url)
    engine = create_engine(settings.database_url, role=role, pool_size=5, application_name=f"tests-{role.value}")
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    yield database
    await database.close()
    await redis.aclose()


@pytest.fixture(scope="session")
async def _worker_database(trove_settings: Settings) -> AsyncIterator[Database]:
    async with open_database(trove_settings, DatabaseRole.WORKER) as database:
        yield database


@pytest.fixture(scope="session")
async def _api_database(trove_settings: Settings) -> AsyncIterator[Database]:
    async with open_database(trove_settings, DatabaseRole.API) as database:
        yield database


@pytest.fixture(scope="session")
async def _owner(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, role=None, pool_size=3, application_name="tests-owner")
    yield engine
    await engine.dispose()


@pytest.fixture
async def _emptied(_owner: AsyncEngine) -> AsyncIterator[None]:
    yield
    async with _owner.begin() as connection:
        await connection.execute(EMPTY_TABLES)


def _define_empty_tables() -> str:
    """The function that removes all rows: called after each test, it is planned once and passes over what is empty.

    Of the tables that the migrations know, which have just run. Where one has grown, all are cut off: deleting many
    rows takes long, and what is deleted is in the way of all that comes after, for as long as nobody vacuums.
    """
    tables = [table.fullname for table in reversed(Base.metadata.sorted_tables)]
    deletes = (f"IF EXISTS (SELECT FROM {table}) THEN DELETE FROM {table}; END IF;" for table in tables)
    schemas = ", ".join(sorted({f"'{table.schema}'::regnamespace" for table in Base.metadata.tables.values()}))
    body = f"""
    BEGIN
        IF EXISTS (
            SELECT FROM pg_class
            WHERE relkind = 'r' AND relnamespace IN ({schemas}) AND pg_relation_size(oid) > {LARGE_TABLE_BYTES}
        ) THEN
            TRUNCATE {", ".join(tables)};
        ELSE
            {" ".join(deletes)}
        END IF;
    END
    """
    return f"CREATE FUNCTION public.empty_tables() RETURNS void LANGUAGE plpgsql AS $$ {body} $$"


@pytest.fixture
def database(_worker_database: Database, _emptied: None) -> Database:
    """The database as the worker's role; its tables are emptied after the test."""
    return _worker_database


@pytest.fixture
def api_database(_api_database: Database, _emptied: None) -> Database:
    """The database as the API's role; its tables are emptied after the test."""
    return _api_database


@pytest.fixture
def owner(_owner: AsyncEngine) -> AsyncEngine:
    """The database as its owner, who sees and may do everything."""
    return _owner


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged while the test goes on, as an operator would read it at the level DEBUG."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("DEBUG")
    yield heard
    root.setLevel(level)
    root.removeHandler(handler)


@dataclass(frozen=True, slots=True)
class Server:
    """A running Trove API."""

    url: str
    process: Fork

    @property
    def partner_token(self) -> str:
        """The API token of the partner, where a test has one."""
        return PARTNER_TOKEN.text

    @property
    def websocket_url(self) -> str:
        """The address of the graph for sockets."""
        return self.url.replace("http://", "ws://") + "/graphql"


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that gives a process these settings."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    assert settings.secret_keys is not None
    texts = {
        "TROVE_PUBLIC_URL": settings.public_url,
        "TROVE_ALLOWED_ORIGINS": json.dumps(settings.allowed_origins),
        "TROVE_SMTP_URL": None if settings.smtp_url is None else settings.smtp_url.get_secret_value(),
        "TROVE_MAIL_FROM": settings.mail_from,
        "TROVE_DEMO_TOKEN": settings.demo_token.get_secret_value() if settings.demo_token else None,
    }
    named = {name: value for name, value in texts.items() if value is not None}
    return (
        os.environ
        | named
        | {
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "TROVE_ENVIRONMENT": settings.environment,
            "TROVE_SECRET_KEYS": settings.secret_keys.get_secret_value(),
            "TROVE_DATABASE_POOL_SIZE": str(settings.database_pool_size),
            "TROVE_TRUSTED_PROXIES": json.dumps(settings.trusted_proxies),
            "TROVE_LOG_LEVEL": "WARNING",
        }
    )


@contextmanager
def running(arguments: list[str], settings: Settings) -> Iterator[Fork]:
    """`trove …` as a process of its own, ended with the block."""
    process = Fork(arguments, environment_of(settings))
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_api(settings: Settings) -> Iterator[Server]:
    """An API process of its own on a free port, ready to answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(["api", "--port", str(port)], settings) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_SECONDS
        while True:
            assert process.poll() is None, "the API has ended instead of serving"
            assert time.monotonic() < deadline, "the API did not become ready"
            try:
                if httpx.get(f"{url}/readyz").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield Server(url, process)


@pytest.fixture(scope="session")
def _live_server(trove_settings: Settings) -> Iterator[Server]:
    with running_api(trove_settings) as server:
        yield server


@pytest.fixture
async def partner(_owner: AsyncEngine, _emptied: None) -> None:
    """Somebody who may send prices, with an API token."""
    async with _owner.begin() as connection:
        await add_partner(connection)


@pytest.fixture
def live_server(_live_server: Server, partner: None) -> Server:
    """A real API over this worker's database, with a partner; the tables are emptied after the test."""
    return _live_server


@pytest.fixture
def second_server(trove_settings: Settings) -> Iterator[Server]:
    """Another API process over the same database and Redis."""
    with running_api(trove_settings) as server:
        yield server


@pytest.fixture
def live_worker(trove_settings: Settings) -> Iterator[Fork]:
    """A worker process over this worker's database and Redis."""
    with running(["worker"], trove_settings) as process:
        yield process
