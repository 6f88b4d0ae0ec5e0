"""What the commands say when they cannot do their work: one sentence that says what to do, and an exit code."""

import os
import subprocess
import sys

import pytest
from sqlalchemy import text

from app.core.database import DatabaseRole, create_engine
from app.core.settings import Settings
from tests.conftest import administer, database_named


def run(command: str, **environment: str) -> tuple[int, str]:
    """A command's exit code and what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TROVE_", "DATABASE_", "REDIS_"))}
    finished = subprocess.run(
        [sys.executable, "-m", "app.cli.main", *command.split()],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in finished.stderr
    return finished.returncode, " ".join((finished.stdout + finished.stderr).split())


@pytest.mark.parametrize("command", ["api", "worker", "migrate"])
def test_an_unreachable_database_is_said_without_its_password(command: str) -> None:
    code, said = run(
        command, DATABASE_URL="postgresql://someone:secret@127.0.0.1:1/trove", REDIS_URL="redis://127.0.0.1:1/0"
    )
    assert code == 1
    assert "The database at 127.0.0.1:1/trove cannot be reached" in said
    assert "check DATABASE_URL" in said
    assert "secret" not in said


@pytest.mark.parametrize("command", ["api", "worker"])
async def test_a_database_that_was_never_migrated_is_refused(command: str, trove_settings: Settings) -> None:
    server = os.environ["TROVE_TESTS_DATABASE_URL"]
    name = f"trove_empty_{command}_{os.getpid()}"
    await administer(server, f"CREATE DATABASE {name}")
    try:
        code, said = run(command, DATABASE_URL=database_named(server, name), REDIS_URL=trove_settings.redis_url or "")
    finally:
        await administer(server, f"DROP DATABASE {name}")
    assert code == 1
    assert "not migrated yet" in said
    assert "run `trove migrate` first" in said


async def test_a_database_at_another_migration_is_refused(trove_settings: Settings) -> None:
    server = os.environ["TROVE_TESTS_DATABASE_URL"]
    name = f"trove_older_{os.getpid()}"
    await administer(server, f"CREATE DATABASE {name} TEMPLATE {os.environ['TROVE_TESTS_TEMPLATE']}")
    url = database_named(server, name)
    engine = create_engine(url, role=DatabaseRole.MIGRATOR, pool_size=1, application_name="tests")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    await engine.dispose()
    try:
        code, said = run("api", DATABASE_URL=url, REDIS_URL=trove_settings.redis_url or "")
    finally:
        await administer(server, f"DROP DATABASE {name} WITH (FORCE)")
    assert code == 1
    assert "The database is at migration 0000" in said


def test_without_any_database_the_api_says_how_to_get_one() -> None:
    code, said = run("api")
    assert code == 1
    assert "set DATABASE_URL, or use `trove up`" in said


def test_an_address_of_another_kind_is_refused_naming_the_variable() -> None:
    code, said = run("api", DATABASE_URL="mysql://localhost/trove")
    assert code == 1
    assert "DATABASE_URL" in said
    assert "must begin with postgresql://" in said
