"""A server that knows its own address, and people who sign in to it."""

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.core.attempts import KEY_PREFIX
from app.core.clock import utc_now
from app.core.database import Database
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.identity.commands.people import PASSWORD, WayIn, add_way_in
from app.identity.passwords import Passwords
from app.identity.sign_in import store_password_hash
from tests.conftest import environment_of
from tests.forks import Fork
from tests.identity.builders import SECRETS, add_person
from tests.identity.public_server import PASSWORD_OF_ALL, Person, PublicServer

# A server of its own beside all others of a run: on a busy machine that takes long.
PATIENCE_SECONDS = 90.0
NewPerson = Callable[[str], Awaitable[Person]]


@pytest.fixture(scope="session")
def _served(trove_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An API that browsers reach as localhost, by its address, and the file that it logs into."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://localhost:{port}", tmp_path_factory.mktemp("served") / "log"
    environment = environment_of(trove_settings) | {"TROVE_PUBLIC_URL": url, "TROVE_LOG_LEVEL": "DEBUG"}
    with log.open("wb") as written:
        process = Fork(["api", "--port", str(port)], environment, outputs=(written.fileno(), written.fileno()))
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _is_ready(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"the API did not become ready: {log.read_text()}"
            time.sleep(0.05)
        yield url, log
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
async def server(
    _served: tuple[str, Path], trove_settings: Settings, database: Database
) -> AsyncIterator[PublicServer]:
    """The server, with nobody known to it and no tries counted."""
    assert trove_settings.redis_url is not None
    redis = connect_redis(trove_settings.redis_url)
    async for key in redis.scan_iter(match=f"*{KEY_PREFIX}*"):
        await redis.delete(key)
    await redis.aclose()
    url, log = _served
    async with httpx.AsyncClient(timeout=30) as http:
        yield PublicServer(url, log, http, database)


@pytest.fixture(scope="session")
async def password_hash() -> str:
    """The hash of everybody's password."""
    passwords = Passwords()
    hashed = await passwords.hash(PASSWORD_OF_ALL)
    passwords.close()
    return hashed


@pytest.fixture
def new_person(server: PublicServer, password_hash: str) -> NewPerson:
    """Makes somebody with a password and a verified address, who is signed in."""

    async def make(name: str) -> Person:
        email = f"{name}@example.org"
        async with server.database.transaction() as transaction:
            user_id = await add_person(transaction.connection, username=name, email=email, email_verified_at=utc_now())
            await add_way_in(transaction, user_id=user_id, way_in=WayIn(PASSWORD, "", email))
            await store_password_hash(transaction, SECRETS, user_id, password_hash)
        person = Person(server, user_id, email)
        await person.sign_in()
        return person

    return make


@pytest.fixture
async def ada(new_person: NewPerson) -> Person:
    """Somebody."""
    return await new_person("ada")


@pytest.fixture
async def eve(new_person: NewPerson) -> Person:
    """Somebody else."""
    return await new_person("eve")
