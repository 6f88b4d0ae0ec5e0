"""`trove keys` as a program of its own: killed, interrupted and begun again, without showing what it keeps."""

import asyncio
import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

import app
from app.cli.keys import ROOMS
from app.core.database import Base, Database
from app.core.ids import new_id
from app.core.key_rings import change_key_ring_file, create_key_ring_file, read_key_ring
from app.core.rotation import count_secrets, encrypted_columns
from app.core.secrets import KeyRing, Secrets, place_of
from app.core.settings import Settings
from app.identity.models import OutgoingMail
from tests.forks import Fork

COLUMNS = encrypted_columns(Base.metadata)
MAILS = 4_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a fresh ring."""
    created = tmp_path / "keys.json"
    create_key_ring_file(created)
    return created


def environment(settings: Settings | None = None, **more: str) -> dict[str, str]:
    """The environment of a command, with the database of these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TROVE_", "DATABASE_", "REDIS_"))}
    database = {"DATABASE_URL": settings.database_url or ""} if settings else {}
    return kept | database | more


def started(arguments: str, told: dict[str, str]) -> Fork:
    """`trove keys …` in a process of its own."""
    return Fork(["keys", *arguments.split()], told, is_heard=True)


def run(arguments: str, told: dict[str, str]) -> tuple[int, str, str]:
    """The exit code, and what was said on standard output and on standard error."""
    process = started(arguments, told)
    output, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    return process.wait(), output, " ".join(errors.split())


async def saved_mails(database: Database, count: int, secrets: Secrets) -> dict[UUID, bytes]:
    """So many mails, by their ids, with what they say."""
    contents = {new_id(): f"plaintext-{number}-of-a-mail".encode() for number in range(count)}
    rows = [
        {"id": key, "content": secrets.encrypt(content, place_of(OutgoingMail.content, key))}
        for key, content in contents.items()
    ]
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(OutgoingMail), rows)
    return contents


async def read_mails(database: Database, secrets: Secrets) -> dict[UUID, bytes]:
    """What all mails say."""
    async with database.engine.connect() as connection:
        rows = (await connection.execute(select(OutgoingMail.id, OutgoingMail.content))).all()
    return {
        key: secrets.decrypt(content, place_of(OutgoingMail.content, key))
        for key, content in rows
        if content is not None
    }


async def outstanding(database: Database, ring: KeyRing) -> int:
    """How many secrets are not under the current key."""
    return await count_secrets(database.engine, COLUMNS, besides=Secrets(ring))


async def wait_until_some_are_done(database: Database, ring: KeyRing, before: int) -> None:
    """Return as soon as fewer than before are outstanding."""
    deadline = time.monotonic() + 60
    while await outstanding(database, ring) >= before:
        assert time.monotonic() < deadline, "nothing was done"


async def wait_until_forgotten(owner: AsyncEngine) -> None:
    """Return when the server has noticed that a rotation was killed: until then its last batch may be committed."""
    running = text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trove-keys' AND datname = current_database()"
    )
    deadline = time.monotonic() + 60
    async with owner.connect() as connection:
        while (await connection.execute(running)).scalar_one():
            await connection.rollback()
            assert time.monotonic() < deadline, "the server goes on with it"


@asynccontextmanager
async def slow_changes(owner: AsyncEngine) -> AsyncIterator[None]:
    """Each change of a mail takes a moment, so that a rotation is still at work when it is ended."""
    async with owner.begin() as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION identity.take_a_moment() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END $$"
            )
        )
        await connection.execute(
            text(
                "CREATE TRIGGER slowly BEFORE UPDATE ON identity.outgoing_mails "
                "FOR EACH ROW EXECUTE FUNCTION identity.take_a_moment()"
            )
        )
    try:
        yield
    finally:
        async with owner.begin() as connection:
            await connection.execute(text("DROP FUNCTION identity.take_a_moment() CASCADE"))


async def test_a_rotation_that_is_killed_again_and_again_loses_nothing_and_is_finished_by_the_next(
    database: Database, trove_settings: Settings, file: Path, owner: AsyncEngine
) -> None:
    old = read_key_ring(file)
    contents = await saved_mails(database, MAILS, Secrets(old))
    ring = change_key_ring_file(file, lambda ring: ring.with_new_key("new"))
    told = environment(trove_settings, TROVE_SECRET_KEYS_FILE=str(file))
    left = MAILS
    async with slow_changes(owner):
        for _ in range(3):
            process = started("rotate", told)
            try:
                await wait_until_some_are_done(database, ring, left)
            finally:
                process.kill()
                process.communicate()
            assert process.returncode == -signal.SIGKILL
            await wait_until_forgotten(owner)
            left = await outstanding(database, ring)
            assert await read_mails(database, Secrets(ring)) == contents
    assert 0 < left < MAILS
    code, output, _ = run("rotate", told)
    assert code == 0
    assert f"{left:,} secrets encrypted anew; 0 are not under the current key." in output
    assert f"Keys in use: {ring.current} ({MAILS:,})." in output
    assert await read_mails(database, Secrets(ring.without(old.current))) == contents


async def test_ctrl_c_ends_a_rotation_with_one_sentence_and_keeps_what_was_done(
    database: Database, trove_settings: Settings, file: Path, owner: AsyncEngine
) -> None:
    old = read_key_ring(file)
    contents = await saved_mails(database, MAILS, Secrets(old))
    ring = change_key_ring_file(file, lambda ring: ring.with_new_key("new"))
    async with slow_changes(owner):
        process = started("rotate", environment(trove_settings, TROVE_SECRET_KEYS_FILE=str(file)))
        await wait_until_some_are_done(database, ring, MAILS)
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 130
    assert "Interrupted; what was done is kept. Run it again to go on." in " ".join(errors.split())
    assert "Traceback" not in errors
    assert 0 < await outstanding(database, ring) < MAILS
    assert await read_mails(database, Secrets(ring)) == contents


async def test_a_key_is_added_in_standby_used_rotated_to_and_the_old_one_removed(
    database: Database, trove_settings: Settings, file: Path
) -> None:
    told = environment(trove_settings, TROVE_SECRET_KEYS_FILE=str(file))
    old = read_key_ring(file)
    contents = await saved_mails(database, 10, Secrets(old))
    assert run("add --standby", told)[0] == 0
    ring = read_key_ring(file)
    assert ring.current == old.current
    (new_id_of_key,) = ring.keys.keys() - old.keys.keys()
    assert run(f"use {new_id_of_key}", told)[0] == 0
    assert read_key_ring(file).current == new_id_of_key

    code, output, errors = run(f"remove {old.current}", told)
    assert (code, output) == (1, "")
    assert f"10 secrets are encrypted under {old.current}: run `trove keys rotate` first." in errors
    assert old.current in read_key_ring(file).keys

    code, output, _ = run("check", told)
    assert code == 0
    assert "10 secrets can be read; 0 cannot." in output
    assert "10 are to be encrypted anew: run `trove keys rotate`." in output
    assert run("rotate", told)[0] == 0
    assert run(f"remove {old.current}", told)[0] == 0
    assert list(read_key_ring(file).keys) == [new_id_of_key]
    assert await read_mails(database, Secrets(read_key_ring(file))) == contents


def test_a_ring_of_the_environment_is_printed_as_it_is_to_be() -> None:
    code, created, _ = run("create", environment())
    assert code == 0
    ring = KeyRing.parse(created)
    code, added, errors = run("add", environment(TROVE_SECRET_KEYS=created))
    changed = KeyRing.parse(added)
    assert code == 0
    assert changed.keys[ring.current] == ring.keys[ring.current]
    assert changed.current not in ring.keys
    assert f"Added the key {changed.current}" in errors


def test_without_a_file_or_a_ring_it_is_said_what_to_set(tmp_path: Path, trove_settings: Settings) -> None:
    code, output, errors = run("add", environment(TROVE_DIRECTORY=str(tmp_path)))
    assert (code, output) == (1, "")
    assert "name one with --file, or set TROVE_SECRET_KEYS_FILE" in errors
    code, output, errors = run("rotate", environment(trove_settings))
    assert (code, output) == (1, "")
    assert "make one with `trove keys create --file PATH`" in errors


def forms_of(ring: KeyRing) -> Iterator[str]:
    """How the keys of a ring might be met in a text."""
    for key in ring.keys.values():
        yield base64.b64encode(key).decode().rstrip("=")
        yield key.hex()
        yield repr(key)[2:-1]


async def test_no_command_shows_a_key_or_what_is_encrypted_also_when_it_fails(
    database: Database, trove_settings: Settings, file: Path, tmp_path: Path
) -> None:
    old = read_key_ring(file)
    contents = await saved_mails(database, 30, Secrets(old))
    first, second, *_ = contents
    async with database.transaction() as transaction:
        stolen = select(OutgoingMail.content).where(OutgoingMail.id == first).scalar_subquery()
        await transaction.connection.execute(
            update(OutgoingMail).where(OutgoingMail.id == second).values(content=stolen)
        )
    told = environment(trove_settings, TROVE_SECRET_KEYS_FILE=str(file), TROVE_LOG_LEVEL="DEBUG")
    broken = tmp_path / "broken.json"
    broken.write_text(old.text()[:-1])
    said: list[str] = []
    file.chmod(0o644)
    for arguments, code in [("check", 1), ("add", 0), ("rotate", 1)]:
        process = started(arguments, told)
        said += process.communicate(timeout=60)
        assert process.returncode == code, (arguments, said)
    stranger = environment(trove_settings, TROVE_SECRET_KEYS=KeyRing.fresh().text())
    wrong = environment(trove_settings, TROVE_SECRET_KEYS_FILE=str(broken))
    doctor = [sys.executable, "-m", "app.cli.main", "doctor"]
    for surroundings in (stranger, wrong):
        process = started("rotate", surroundings)
        said += process.communicate(timeout=60)
        assert process.returncode == 1, said
    said.append(subprocess.run(doctor, env=told, capture_output=True, text=True, check=False, timeout=60).stdout)
    shown = "".join(said)
    assert f"identity.outgoing_mails.content of {second}: a ciphertext" in shown
    assert "changed or moved" in shown
    assert "keys_file_open_to_others" in shown
    assert "29 secrets encrypted anew; 1 are not under the current key." in shown
    assert "30 secrets" not in shown
    assert f"the key {read_key_ring(file).current} is not in the ring" in shown
    assert "the ring of keys can be read" in shown
    assert "plaintext-" not in shown
    forms = [form for ring in (old, read_key_ring(file)) for form in forms_of(ring) if form in shown]
    assert forms == []
    assert "Traceback" not in shown


def test_every_room_with_tables_is_looked_through() -> None:
    rooms = {path.parent.name for path in Path(app.__path__[0]).glob("*/models.py")}
    assert {room.__name__ for room in ROOMS} == {f"app.{room}.models" for room in rooms}


def test_ids_of_keys_say_their_day(file: Path) -> None:
    assert re.fullmatch(r"\d{8}-[0-9a-f]{8}", read_key_ring(file).current)
