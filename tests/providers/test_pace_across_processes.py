"""Two processes ask one provider as often as they can, and no window ever sees more than it allows."""

import asyncio
import subprocess
import sys
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic

from app.core.database import Database
from app.core.settings import Settings
from tests.conftest import REPOSITORY, environment_of
from tests.providers.builders import add_provider, answer, calls, provider_row

WINDOW_SECONDS, COUNT = 1, 40
PROCESSES, TIMES, AT_ONCE = ("one", "other"), 100, 30


class StrictShop:
    """A provider that refuses what is beyond its window, and is slow now and then, before and after it counts."""

    def __init__(self) -> None:
        self.arrived: list[float] = []
        self.asked_by: list[str] = []
        self._window: deque[float] = deque()
        self._random = Random("shop")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        request = await reader.readuntil(b"\r\n\r\n")
        await self._dawdle()
        now = monotonic()
        self.arrived.append(now)
        self.asked_by.append(request.split()[1].decode().partition("=")[2])
        while self._window and now - self._window[0] >= WINDOW_SECONDS:
            self._window.popleft()
        self._window.append(now)
        is_too_many = len(self._window) > COUNT
        await self._dawdle()
        writer.write(answer(status="429 Slow Down") if is_too_many else answer())
        await writer.drain()
        writer.close()

    async def _dawdle(self) -> None:
        if self._random.random() < 0.2:
            await asyncio.sleep(self._random.random() * 0.1)


def fullest(instants: Sequence[float]) -> int:
    """How many instants the fullest window has, wherever it begins."""
    ordered = sorted(instants)
    return max(
        sum(0 <= later - begin < WINDOW_SECONDS for later in ordered[place:]) for place, begin in enumerate(ordered)
    )


def test_the_fullest_window_is_found() -> None:
    assert fullest([0, 0.5, 0.999, 1.0, 5]) == 3
    assert fullest([0, 0.5, 1.1, 1.2, 1.4]) == 4


async def begin(name: str, settings: Settings) -> Process:
    """A process that asks once it is told to."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("pacing_process.py")),
        name,
        str(TIMES),
        str(AT_ONCE),
        cwd=REPOSITORY,
        env=environment_of(settings) | {"PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


async def test_no_window_is_exceeded_by_two_processes(database: Database, trove_settings: Settings) -> None:
    shop = StrictShop()
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0)
    await add_provider(
        database,
        server.sockets[0].getsockname()[1],
        window_seconds=WINDOW_SECONDS,
        request_count=COUNT,
    )
    processes = [await begin(name, trove_settings) for name in PROCESSES]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        assert [await process.wait() for process in processes] == [0, 0]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        server.close()
        await server.wait_closed()
    ledger = await calls(database)
    assert len(shop.arrived) == len(ledger) == len(PROCESSES) * TIMES
    assert {call.status for call in ledger} == {200}
    assert (await provider_row(database)).refusals == 0
    assert fullest(shop.arrived) <= COUNT
    assert fullest([_seconds(call.started_at) for call in ledger]) <= COUNT
    # Both asked all along: none of them was done before the other began.
    half = len(shop.asked_by) // 2
    assert set(shop.asked_by[:half]) == set(PROCESSES)


def _seconds(instant: datetime) -> float:
    return (instant - datetime(2026, 1, 1, tzinfo=instant.tzinfo)) / timedelta(seconds=1)
