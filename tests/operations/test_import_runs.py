"""Imports as runs: what is recorded of a command, of one that is stopped or killed, and of files that are fetched."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from app.catalogue.commands.import_items import ITEMS_IN_A_CHUNK
from app.catalogue.models import Item
from app.cli.imports import app as import_commands
from app.cli.resumable import INTERRUPTED
from app.core.clock import utc_now
from app.core.database import Database
from app.core.settings import Settings
from app.identity.scopes import Scope
from app.identity.viewer import Caller, Viewer
from app.operations.commands.runs import LOST_AFTER, end_what_nobody_runs
from app.operations.errors import OperationsErrorCode, OperationsRefused
from app.operations.imports import request_import
from app.operations.models import Importer, RunState
from tests.conftest import environment_of
from tests.identity.builders import add_person, session_of
from tests.operations.builders import PRIVATE_HOST, Clock, look, runs, scheduler
from tests.outages_builders import eventually
from tests.providers.builders import add_provider, answer, open_shop
from workers import imports
from workers.imports import IMPORTS
from workers.scheduled import JOBS

CARD = {"object": "card", "id": "1", "name": "Tide", "set": "abc"}
Requested = Callable[..., Awaitable[Any]]


def coins(first: int, count: int) -> str:
    """So many rows of a list of coins, a line each."""
    return ",\n".join(
        json.dumps({"id": f"coin-{number}", "symbol": f"c{number}", "name": f"Coin {number}"})
        for number in range(first, first + count)
    )


async def imported(settings: Settings, command: str, file: Path) -> int:
    """The exit code of `trove import` over a file."""
    runner = CliRunner(env=environment_of(settings))
    result = await asyncio.to_thread(runner.invoke, import_commands, [command, str(file)])
    return result.exit_code


async def items(database: Database) -> int:
    """How many items there are."""
    async with database.transaction() as transaction:
        return int(await transaction.connection.scalar(select(func.count()).select_from(Item)) or 0)


async def test_a_command_is_a_run_with_its_counts_and_first_rejects(
    database: Database, trove_settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "cards.json"
    file.write_text(json.dumps([CARD, *({"id": str(number)} for number in range(2, 30))]))
    assert await imported(trove_settings, "scryfall", file) == 0
    assert await imported(trove_settings, "scryfall", file) == 0
    first, again = await runs(database)
    assert (first.job, first.source, first.state) == ("import:scryfall", "cards.json", RunState.SUCCEEDED)
    assert (first.requested_by, first.error, first.progress) == (
        None,
        None,
        {"done": 29, "total": None, "unit": "rows"},
    )
    rejects = first.result.pop("rejects")
    assert first.result == {"read": 29, "created": 1, "updated": 0, "unchanged": 0, "rejected": 28}
    assert rejects[0] == {"row": 2, "reason": "it has no name"}
    assert [line["row"] for line in rejects] == list(range(2, 22))
    assert (again.result["created"], again.result["unchanged"]) == (0, 1)


@pytest.mark.parametrize(
    ("command", "content", "counts"),
    [
        ("coins", '[{"id": "bitcoin", "symbol": "btc", "name": "Bitcoin"}]', (1, 1, 0)),
        ("pokemon", '[{"id": "g1-1", "name": "Otter", "set": {"id": "g1", "name": "One"}}]', (1, 1, 0)),
        ("figures", "name,manufacturer\nThe Ferryman,North Pier\n", (1, 1, 0)),
        ("anime", "::rules\n# River -> ~ 2\n- 1|2|?:1 -> 3|4|?:1\n- 5\n", (3, 2, 1)),
        ("fx", "Date,USD,\n2024-12-31,1.0389,\n2024-12-30,x,\n", (2, 1, 1)),
    ],
)
async def test_every_importer_records_what_it_did(
    database: Database, trove_settings: Settings, tmp_path: Path, command: str, content: str, counts: tuple[int, ...]
) -> None:
    file = tmp_path / "given"
    file.write_text(content)
    assert await imported(trove_settings, command, file) == 0
    (run,) = await runs(database)
    assert (run.job, run.source, run.state) == (f"import:{command}", "given", RunState.SUCCEEDED)
    assert tuple(run.result[name] for name in ("read", "created", "rejected")) == counts


async def test_a_file_that_breaks_off_is_a_failed_run_that_keeps_its_counts(
    database: Database, trove_settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "coins.json"
    file.write_text(f"[\n{coins(0, ITEMS_IN_A_CHUNK + 2)},\n{{")
    assert await imported(trove_settings, "coins", file) == 1
    page = tmp_path / "page.json"
    page.write_text("<html>Too many requests")
    assert await imported(trove_settings, "coins", page) == 2
    broken, html = await runs(database)
    assert (broken.state, broken.result["created"]) == (RunState.FAILED, ITEMS_IN_A_CHUNK)
    assert "breaks off" in broken.error
    assert (html.state, html.result) == (RunState.FAILED, None)
    assert "page of HTML" in html.error


@pytest.mark.parametrize(
    ("command", "content", "error"),
    [
        ("scryfall", '[{"id": "2"}, {"id": "3"}]', "Row 1: it has no name"),
        ("figures", "name,manufacturer\n,North Pier\n", "Row 1: "),
        ("fx", "Date,USD,\n2024-12-30,x,\n", "Row 2: "),
    ],
)
async def test_an_import_whose_every_row_was_rejected_is_a_failed_run_that_keeps_its_counts(
    database: Database,
    trove_settings: Settings,
    requested: Requested,
    tmp_path: Path,
    command: str,
    content: str,
    error: str,
) -> None:
    file = tmp_path / "given"
    file.write_text(content)
    await imported(trove_settings, command, file)
    async with open_shop(answer(content.encode())) as shop:
        await requested(Importer(command), f"http://files.example:{shop.port}/given")
        by_command, by_address = await done(database, trove_settings)
    for run in (by_command, by_address):
        assert run.state == RunState.FAILED
        assert run.error is not None
        assert run.error.startswith(f"Nothing went in: every row was rejected. {error}")
        assert run.result["read"] == run.result["rejected"] > 0


@pytest.mark.parametrize(
    ("command", "content", "state", "told"),
    [
        ("figures", b'[{"a\\u0000b": 1}, {"name": "The Ferryman"}]', RunState.SUCCEEDED, "not text"),
        ("figures", b"name,od\0d\nThe Ferryman,\n", RunState.FAILED, "od\ufffdd"),
        ("coins", b'{"error": "Not\\u0000found"}', RunState.FAILED, "Not\ufffdfound"),
        ("anime", b"::rules\n# River -> ~ 2\n- 1|2|?:1 -> 3|4|?:1\n- \0\n", RunState.SUCCEEDED, "\ufffd"),
        ("fx", b"Date,USD,\n2024-12-31,1.0389,\n2024-12-30,x\0,\n", RunState.SUCCEEDED, "x\ufffd"),
        ("figures", b"name," + b"x" * 5000 + b"\nThe Ferryman,\n", RunState.FAILED, "xxx…"),
    ],
)
async def test_whatever_a_file_holds_its_run_ends(
    database: Database, trove_settings: Settings, tmp_path: Path, command: str, content: bytes, state: str, told: str
) -> None:
    file = tmp_path / "given"
    file.write_bytes(content)
    await imported(trove_settings, command, file)
    (run,) = await runs(database)
    assert run.state == state
    assert told in (run.error or run.result["rejects"][0]["reason"])


@asynccontextmanager
async def half_way(
    settings: Settings, pipe: Path
) -> "AsyncIterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]":
    """`trove import` that has stored a chunk and waits for the rest of its file; the second part ends the file."""
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "import", "coins", str(pipe)],
        env=environment_of(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # What a shell runs in the background ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # Without a buffer, so that nothing is left to be written where nobody reads any more.
    with await asyncio.to_thread(pipe.open, "wb", 0) as writer:
        try:
            # More than a chunk and what is read ahead.
            await asyncio.to_thread(_write, writer, f"[\n{coins(0, 5 * ITEMS_IN_A_CHUNK)},\n")

            def end() -> None:
                _write(writer, f"{coins(9_000, 1)}\n]\n")
                writer.close()

            yield process, end
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)


def _write(pipe: FileIO, text: str) -> None:
    left = text.encode()
    while left:
        left = left[pipe.write(left) :]


async def test_an_import_that_is_killed_is_lost_and_one_that_is_interrupted_is_cancelled(
    database: Database, trove_settings: Settings, tmp_path: Path
) -> None:
    async def has_stored() -> bool:
        return await items(database) >= ITEMS_IN_A_CHUNK

    async with half_way(trove_settings, tmp_path / "killed") as (process, _):
        await eventually("a chunk is stored", has_stored, within=60)
        (run,) = await runs(database)
        assert (run.state, run.source) == (RunState.RUNNING, "killed")
        process.kill()
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
    (left,) = await runs(database)
    async with database.transaction() as transaction:
        silent_long_enough = left.heartbeat_at + LOST_AFTER
        assert await end_what_nobody_runs(transaction, now=silent_long_enough) == 0
        assert await end_what_nobody_runs(transaction, now=silent_long_enough + timedelta(seconds=1)) == 1
    (killed,) = await runs(database)
    assert (killed.state, killed.result) == (RunState.LOST, None)

    stored = await items(database)
    async with half_way(trove_settings, tmp_path / "interrupted") as (process, end):

        async def has_begun() -> bool:
            return len(await runs(database)) == 2

        await eventually("the second run has begun", has_begun, within=60)
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(end)
        assert await asyncio.to_thread(process.wait) == INTERRUPTED
    _, interrupted = await runs(database)
    assert (interrupted.state, interrupted.error) == (RunState.CANCELLED, "It was cancelled.")
    assert await items(database) >= stored


@pytest.fixture
async def requested(database: Database, api_database: Database) -> Requested:
    """Asks for an import as an administrator does."""
    async with database.transaction() as transaction:
        permissions = [Scope.OPERATIONS_READ, Scope.OPERATIONS_WRITE]
        user_id = await add_person(transaction.connection, permissions=permissions, username="admin")
    admin: Viewer = await session_of(api_database, user_id)

    async def request(importer: Importer, url: str | None = None) -> Any:
        async with api_database.transaction(viewer=admin.in_database) as transaction:
            return await request_import(transaction, caller=Caller(admin), importer=importer, url=url)

    return request


async def done(database: Database, settings: Settings) -> list[Any]:
    """All runs once a worker has done what waits, one after the other."""
    async with scheduler(database, settings, Clock(utc_now()), JOBS[1:2], on_request=IMPORTS) as worker:
        for _ in range(4):
            await look(worker)
    return await runs(database)


async def test_a_file_of_an_address_is_fetched_and_imported_packed_or_not(
    database: Database, trove_settings: Settings, requested: Requested
) -> None:
    rows = f"[\n{coins(0, 3)}\n]".encode()
    packed = gzip.compress(rows)
    async with open_shop(answer(rows), answer(packed), answer(packed, headers="Content-Encoding: gzip\r\n")) as shop:
        for name in ("plain.json", "packed.json.gz", "on-its-way.json"):
            await requested(Importer.COINS, f"http://files.example:{shop.port}/{name}?key=hunter2")
        waiting = await runs(database)
        ended = await done(database, trove_settings)
        assert len(shop.asked) == 3
        assert all(b"?key=hunter2 HTTP" in asked for asked in shop.asked)
    assert [run.source for run in ended] == [
        f"http://files.example:{shop.port}/plain.json",
        f"http://files.example:{shop.port}/packed.json.gz",
        f"http://files.example:{shop.port}/on-its-way.json",
    ]
    assert {run.state for run in ended} == {RunState.SUCCEEDED}, ended
    assert [run.result["created"] for run in ended] == [3, 0, 0]
    assert all("hunter2" in run.arguments["url"] for run in waiting)
    # What may hold a key is kept no longer than it is needed.
    assert [run.arguments for run in ended] == [None] * 3


async def test_each_importer_takes_a_file_of_an_address(
    database: Database, trove_settings: Settings, requested: Requested
) -> None:
    files = {
        Importer.SCRYFALL: json.dumps([CARD]),
        Importer.POKEMON: '[{"id": "g1-1", "name": "Otter", "set": {"id": "g1", "name": "One"}}]',
        Importer.FIGURES: "name,manufacturer\nThe Ferryman,North Pier\n",
        Importer.ANIME: "::rules\n# River -> ~ 2\n- 1|2|?:1 -> 3|4|?:1\n",
        Importer.FX: "Date,USD,\n2024-12-31,1.0389,\n",
    }
    async with open_shop() as shop:
        # Each at the root of a server of its own, whose name says nothing.
        for importer, content in files.items():
            shop.says = [answer(content.encode())]
            await requested(importer, f"http://files.example:{shop.port}/")
            run = (await done(database, trove_settings))[-1]
            assert (run.job, run.state, run.error) == (importer.job, RunState.SUCCEEDED, None)
            assert run.result["created"] >= 1


async def test_scryfalls_bulk_file_is_asked_for_and_then_fetched(
    database: Database, trove_settings: Settings, requested: Requested
) -> None:
    async with open_shop(answer(json.dumps([CARD]).encode())) as files:
        told = {"object": "bulk_data", "download_uri": f"http://127.0.0.1:{files.port}/default-cards.json"}
        async with open_shop(answer(json.dumps(told).encode()), answer(b'{"object": "error"}')) as scryfall:
            await add_provider(database, scryfall.port, code="scryfall")
            await requested(Importer.SCRYFALL)
            (run,) = await done(database, trove_settings)
            assert scryfall.asked[0].startswith(b"GET /bulk-data/default_cards HTTP")
            assert files.asked[0].startswith(b"GET /default-cards.json HTTP")
            assert (run.state, run.result["created"]) == (RunState.SUCCEEDED, 1)
            await requested(Importer.SCRYFALL)
            failed = (await done(database, trove_settings))[-1]
    assert (failed.state, failed.error) == (
        RunState.FAILED,
        "Scryfall did not say where its bulk file is; try again later.",
    )


async def test_a_private_address_is_not_called(
    database: Database, trove_settings: Settings, requested: Requested
) -> None:
    async with open_shop() as shop:
        await requested(Importer.COINS, f"http://{PRIVATE_HOST}:{shop.port}/coins.json")
        (run,) = await done(database, trove_settings)
        assert shop.asked == []
    assert (run.state, run.error) == (RunState.FAILED, f"{PRIVATE_HOST}:{shop.port} has an address that is not public.")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer(b"no", status="500 Internal Server Error"), r"refused, .* \(status 500\)"),
        (answer(b"", status="302 Found", headers="Location: http://127.0.0.1/\r\n"), r"redirect \(status 302\)"),
        (answer(b""), "coins.json is empty"),
        (answer(b"<html>Hello"), "coins.json is a page of HTML"),
        (answer(b"x" * 3000), "answered more than is read"),
        (answer(gzip.compress(b"[" + b" " * 5000), headers="Content-Encoding: gzip\r\n"), "answered more than is read"),
        (answer(b"[1]", length=500), "answered something that is not HTTP"),
        (answer(b"[1]", headers="Content-Encoding: br\r\n"), "answered something that is not HTTP"),
    ],
)
async def test_what_is_no_file_ends_the_run_with_a_sentence_and_leaves_nothing_behind(
    database: Database,
    trove_settings: Settings,
    requested: Requested,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: bytes,
    told: str,
) -> None:
    monkeypatch.setattr(imports, "LARGEST_FILE_BYTES", 2000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with open_shop(said) as shop:
        await requested(Importer.COINS, f"http://files.example:{shop.port}/../coins.json?key=hunter2")
        (run,) = await done(database, trove_settings)
    assert run.state == RunState.FAILED
    assert run.error is not None
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(run.error)
    assert "hunter2" not in run.error
    assert str(tmp_path) not in run.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("importer", "url", "field"),
    [
        (Importer.PRICES, "https://example.org/prices.json", "importer"),
        (Importer.CS2, None, "importer"),
        (Importer.POKEMON, None, "url"),
        (Importer.COINS, "file:///etc/passwd", "url"),
        (Importer.COINS, "coins.json", "url"),
        (Importer.COINS, "https://", "url"),
        (Importer.COINS, "https://[::1/", "url"),
        (Importer.COINS, "https://ada:hunter2@example.org/coins.json", "url"),
        (Importer.COINS, "https://example.org/" + "x" * 2000, "url"),
        (Importer.COINS, "https://example.org/\r\nHost: localhost", "url"),
        (Importer.COINS, "https://example.org:99999/coins.json", "url"),
        (Importer.COINS, "https://xn--/coins.json", "url"),
        (Importer.COINS, "https://127.0.0.1/coins.json", "url"),
        (Importer.COINS, "https://[::1]/coins.json", "url"),
        (Importer.COINS, "https://[::ffff:10.0.0.1]:8443/coins.json", "url"),
        (Importer.COINS, "http://192.168.1.4:8080/coins.json", "url"),
    ],
)
async def test_an_import_that_cannot_be_is_refused_before_anything_is_written(
    database: Database, requested: Requested, importer: Importer, url: str | None, field: str
) -> None:
    with pytest.raises(OperationsRefused) as refused:
        await requested(importer, url)
    assert (refused.value.reason, refused.value.field) == (OperationsErrorCode.INVALID_INPUT, [field])
    assert "hunter2" not in refused.value.message
    assert await runs(database) == []


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("http://localhost:9/coins.json?key=hunter2", "http://localhost:9/coins.json"),
        ("https://[2606:4700::1111]:8443/coins.json#top", "https://[2606:4700::1111]:8443/coins.json"),
        ("https://Files.Example/Coins.json", "https://files.example/Coins.json"),
    ],
)
async def test_the_source_of_an_import_is_its_whole_address_but_for_what_may_be_secret(
    database: Database, requested: Requested, url: str, source: str
) -> None:
    await requested(Importer.COINS, url)
    assert [run.source for run in await runs(database)] == [source]
