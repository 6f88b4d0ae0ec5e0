"""The private Postgres and Redis, for real: each test starts its own.

Where it does not matter how a cluster was made, one after another uses the same directory.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from app.core.embedded import (
    PrivateServices,
    ServiceAddresses,
    ServiceUnavailable,
    find_postgres,
    find_redis,
    running_services,
)

OWNER = """
import signal, sys, time
from pathlib import Path
from app.core.embedded import PrivateServices
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
PrivateServices(Path(sys.argv[1]), durable=False).start()
print("up", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """A directory every user can reach (pytest's own is closed, and as root the servers run as somebody else)."""
    place = Path(tempfile.mkdtemp(prefix="trove-test-", dir="/tmp"))
    place.chmod(0o755)
    yield place / ".trove"
    shutil.rmtree(place)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory of the test's own."""
    with open_directory() as place:
        yield place


@pytest.fixture(scope="module")
def _used_directory() -> Iterator[Path]:
    with open_directory() as place:
        with PrivateServices(place, durable=False):
            pass
        yield place


@pytest.fixture
def used_directory(_used_directory: Path) -> Path:
    """A directory in which the services have run before, and none runs now."""
    assert running_services(_used_directory) is None
    return _used_directory


@pytest.fixture(scope="module")
def services() -> Iterator[PrivateServices]:
    """Services already up, for tests that only look."""
    with open_directory() as place:
        started = PrivateServices(place, durable=False)
        with started:
            yield started


@pytest.fixture
def owner(used_directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has started the services in `used_directory` and sleeps."""
    command = [sys.executable, "-c", OWNER, str(used_directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()
    wait_until(lambda: running_services(used_directory) is None)


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def pids(directory: Path) -> dict[str, int]:
    running: dict[str, dict[str, int]] = json.loads((directory / "services.json").read_text())
    return running["pids"]


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text() if sys.platform == "linux" else ") R"
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def run_sql(addresses: ServiceAddresses, statement: str) -> object:
    async def run() -> object:
        url = make_url(addresses.database_url)
        connection = await asyncpg.connect(
            host=str(url.query["host"]), port=int(str(url.query["port"])), user=url.username, database=url.database
        )
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def ping(addresses: ServiceAddresses) -> bool:
    with redis.Redis.from_url(addresses.redis_url) as client:
        return bool(client.ping())


def test_both_servers_answer_and_none_is_left_after_stop(directory: Path) -> None:
    with PrivateServices(directory, durable=False) as addresses:
        assert run_sql(addresses, "SELECT current_setting('server_encoding')") == "UTF8"
        assert run_sql(addresses, "SELECT lower('ÉÀ')") == "éà"
        assert run_sql(addresses, "SELECT current_setting('listen_addresses')") == ""
        run_sql(addresses, "CREATE EXTENSION postgis")
        assert ping(addresses)
        started = pids(directory)
        assert set(started) == {"postgres", "redis"}
        sockets = Path(str(make_url(addresses.database_url).query["host"]))
    assert not any(alive(pid) for pid in started.values())
    assert running_services(directory) is None
    assert not sockets.exists()
    assert not (directory / "services.json").exists()


def test_the_address_works_with_sqlalchemy(services: PrivateServices) -> None:
    async def user(url: str) -> object:
        engine = create_async_engine(url)
        try:
            async with engine.connect() as connection:
                return await connection.scalar(text("SELECT current_user"))
        finally:
            await engine.dispose()

    assert asyncio.run(user(services.start().database_url)) == "trove"


def test_no_server_runs_as_root_nor_lets_others_in(services: PrivateServices) -> None:
    addresses = running_services(services.directory)
    assert addresses is not None
    sockets = Path(str(make_url(addresses.database_url).query["host"]))
    assert all((sockets / name).stat().st_uid != 0 for name in (".s.PGSQL.5432", "redis.sock"))
    assert sockets.stat().st_mode & 0o777 == 0o700


def state_of(cluster: Path) -> tuple[str, str]:
    """Which cluster it is, and whether it was shut down as one should be, so that nothing has to be recovered."""
    command = [find_postgres().binary("pg_controldata"), str(cluster)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, env={"LC_ALL": "C"}).stdout.splitlines()
    values = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return values["Database system identifier"], values["Database cluster state"]


def test_data_outlives_a_restart_and_only_durable_services_wait_for_the_disk(used_directory: Path) -> None:
    with PrivateServices(used_directory) as addresses:
        run_sql(addresses, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert run_sql(addresses, "SELECT current_setting('fsync')") == "on"
    identifier, state = state_of(used_directory / "postgres")
    assert state == "shut down"
    with PrivateServices(used_directory, durable=False) as addresses:
        assert str(run_sql(addresses, "SELECT system_identifier FROM pg_control_system()")) == identifier
        assert run_sql(addresses, "SELECT answer FROM kept") == 42
        assert run_sql(addresses, "SELECT current_setting('fsync')") == "off"


def test_a_second_start_attaches_and_its_stop_stops_nothing(services: PrivateServices) -> None:
    second = PrivateServices(services.directory)
    with second as addresses:
        assert addresses == running_services(services.directory)
        assert services.owns
        assert not second.owns
    assert ping(addresses)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_servers_end_with_their_owner_however_it_ends(
    used_directory: Path, owner: subprocess.Popen[str], number: signal.Signals
) -> None:
    addresses = running_services(used_directory)
    assert addresses is not None
    assert ping(addresses)
    started = pids(used_directory)
    owner.send_signal(number)
    wait_until(lambda: running_services(used_directory) is None)
    assert not any(alive(pid) for pid in started.values())
    with PrivateServices(used_directory, durable=False) as again:
        assert run_sql(again, "SELECT 1") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel tells a process that its parent died")
def test_the_servers_end_when_their_guard_is_killed(used_directory: Path) -> None:
    services = PrivateServices(used_directory, durable=False)
    with services:
        started = pids(used_directory)
        os.kill(json.loads((used_directory / "services.json").read_text())["guard"], signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in started.values()))
        wait_until(lambda: running_services(used_directory) is None)


def test_a_server_that_dies_is_started_again(used_directory: Path) -> None:
    def answers(addresses: ServiceAddresses) -> bool:
        try:
            return ping(addresses) and run_sql(addresses, "SELECT 1") == 1
        except (redis.ConnectionError, OSError, asyncpg.PostgresError):
            return False

    with PrivateServices(used_directory, durable=False) as addresses:
        for pid in pids(used_directory).values():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not answers(addresses))
        wait_until(lambda: answers(addresses))


def test_what_a_crash_leaves_behind_is_in_nobodys_way(used_directory: Path) -> None:
    with PrivateServices(used_directory, durable=False):
        running = (used_directory / "services.json").read_text()
    (used_directory / "services.json").write_text(running)
    # Our own number: a living process that is no Postgres, as after a restart of the machine.
    (used_directory / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{used_directory}/postgres\n")
    (used_directory / "postgres.new").mkdir()
    assert running_services(used_directory) is None
    with PrivateServices(used_directory, durable=False) as addresses:
        assert run_sql(addresses, "SELECT 1") == 1


def test_a_given_address_is_passed_through_and_nothing_started_for_it(directory: Path) -> None:
    with PrivateServices(directory, durable=False, database_url="postgresql+asyncpg://elsewhere/trove") as addresses:
        assert addresses.database_url == "postgresql+asyncpg://elsewhere/trove"
        assert ping(addresses)
        assert set(pids(directory)) == {"redis"}
        assert "elsewhere" not in (directory / "services.json").read_text()
        with pytest.raises(ServiceUnavailable, match="DATABASE_URL"):
            running_services(directory)
    with PrivateServices(directory, database_url="postgresql+asyncpg://a/b", redis_url="redis://c") as addresses:
        assert addresses == ServiceAddresses("postgresql+asyncpg://a/b", "redis://c")


@pytest.mark.parametrize("name", ["a directory with spaces, 'quotes' and é", "long" * 30])
def test_any_path_will_do(directory: Path, name: str) -> None:
    with PrivateServices(directory / name, durable=False) as addresses:
        assert run_sql(addresses, "SELECT 1") == 1
        assert ping(addresses)
        sockets = Path(str(make_url(addresses.database_url).query["host"]))
        assert sockets.parent == Path("/tmp")
    assert not sockets.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root do the servers run as another user")
def test_a_directory_closed_to_the_servers_user_is_replaced_by_one_that_is_open(directory: Path) -> None:
    directory.parent.chmod(0o700)
    try:
        for _ in range(2):
            with PrivateServices(directory, durable=False) as addresses:
                assert run_sql(addresses, "SELECT 1") == 1
        home = (directory / "elsewhere").readlink()
        assert home.parent == Path("/var/lib")
    finally:
        shutil.rmtree((directory / "elsewhere").readlink())


def test_a_database_of_another_version_is_refused_in_one_sentence(directory: Path) -> None:
    (directory / "postgres").mkdir(parents=True)
    (directory / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServiceUnavailable, match="was made by PostgreSQL 9 and this machine has PostgreSQL"):
        PrivateServices(directory).start()


def test_a_setting_postgres_refuses_is_reported_in_its_own_words(used_directory: Path) -> None:
    services = PrivateServices(used_directory, durable=False, postgres_settings={"shared_buffers": "plenty"})
    with pytest.raises(ServiceUnavailable, match="shared_buffers"):
        services.start()
    assert running_services(used_directory) is None


def make_installation(place: Path, *, version: str, postgis: bool) -> Path:
    """An imitation of a Postgres installation; its bin directory."""
    share = place / "share"
    (share / "extension").mkdir(parents=True)
    (place / "bin").mkdir()
    answers = {"postgres": f"postgres (PostgreSQL) {version}", "initdb": "", "pg_config": str(share)}
    for name, answer in answers.items():
        (place / "bin" / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (place / "bin" / name).chmod(0o755)
    if postgis:
        (share / "extension" / "postgis.control").touch()
    return place / "bin"


def test_a_postgres_without_postgis_is_passed_over_even_when_first_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = make_installation(tmp_path / "without", version="99.1", postgis=False)
    with_it = make_installation(tmp_path / "with", version="17.4", postgis=True)
    monkeypatch.setenv("PATH", f"{without}:{with_it}:{os.environ['PATH']}")
    found = find_postgres()
    assert (found.version, found.bin_directory) == ((17, 4), with_it)
    monkeypatch.setenv("PATH", f"{without}:{os.environ['PATH'].replace(f'{without}:{with_it}:', '')}")
    assert find_postgres().bin_directory not in {without, with_it}


def test_a_link_on_the_path_leads_to_the_installation_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = make_installation(tmp_path / "real", version="16.2", postgis=True)
    links = tmp_path / "links"
    links.mkdir()
    (links / "postgres").symlink_to(real / "postgres")
    monkeypatch.setenv("PATH", f"{links}:/usr/bin:/bin")
    assert find_postgres().bin_directory == real


def test_a_postgres_too_old_is_passed_over(tmp_path: Path) -> None:
    old = make_installation(tmp_path / "old", version="12.22", postgis=True)
    with pytest.raises(ServiceUnavailable):
        find_postgres([old])


@pytest.mark.parametrize("search", [lambda: find_postgres([]), lambda: find_redis([])])
@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt-get", "sudo apt-get install postgresql postgresql-postgis redis-server"),
        ("dnf", "sudo dnf install postgresql-server postgis valkey"),
        ("brew", "brew install postgresql@17 postgis redis"),
        ("none", "package manager"),
    ],
)
def test_a_missing_server_is_one_sentence_with_the_command_for_the_platform(
    search: Callable[[], object], manager: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / manager).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ServiceUnavailable) as refusal:
        search()
    message = str(refusal.value)
    assert command in message
    assert "`docker compose up`" in message
    assert message.count(". ") == 0
