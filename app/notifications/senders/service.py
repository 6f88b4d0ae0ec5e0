"""Sends to other services by Apprise, which connects by itself: in processes, and only where its address may lead."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson
from apprise import NotifyType
from sqlalchemy import select

from app.alerts.models import Severity
from app.core.database import Database
from app.core.secrets import Secrets, SecretUnreadable
from app.core.settings import Settings
from app.notifications.models import Service
from app.notifications.sealed import open_service_address
from app.notifications.senders.service_process import READY, Outcome
from app.notifications.senders.web_push import shortened
from app.notifications.sending import NotDelivered, OurFailure, Outgoing

LONGEST_TITLE = 200
LONGEST_BODY = 1_000
TOTAL_SECONDS = 20.0
# Apprise takes a second or two to be loaded, on a busy machine more.
START_SECONDS = 60.0
TYPES: Mapping[Severity, NotifyType] = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}
# For what the process says once its time is over: nothing.
GRACE_SECONDS = 1.0


@dataclass(slots=True)
class _Running:
    """The process that tells services, and who waits for what it says of which message."""

    process: asyncio.subprocess.Process
    waiting: dict[int, asyncio.Future[Outcome]] = field(default_factory=dict)
    reading: asyncio.Task[None] | None = None


class ServiceProcess:
    """Tells services, each message in a process that ends after its seconds, whatever the service does.

    The first message starts the process that those are made of.
    """

    def __init__(self, settings: Settings, *, total_seconds: float = TOTAL_SECONDS) -> None:
        self._settings = settings
        self._total_seconds = total_seconds
        self._numbers = count(1)
        self._running: _Running | None = None
        self._starting = asyncio.Lock()

    async def tell(self, address: str, one: Outgoing) -> Outcome:
        """Tell the service at an address; raises OurFailure where there is no process that could."""
        running = await self._started()
        number = next(self._numbers)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        running.waiting[number] = outcome
        try:
            async with asyncio.timeout(self._total_seconds + GRACE_SECONDS):
                await _ask(running, {"id": number, "address": address, "seconds": self._total_seconds, **_said(one)})
                return await outcome
        except TimeoutError:
            return Outcome.LATE
        except OSError:
            raise OurFailure("The process that tells services has ended; it is started again.") from None
        finally:
            running.waiting.pop(number, None)

    async def close(self) -> None:
        """End the process, if there is one; what it is sending ends in its time."""
        running, self._running = self._running, None
        if running is not None:
            await _end(running)

    async def _started(self) -> _Running:
        async with self._starting:
            if self._running is not None and self._running.process.returncode is None:
                return self._running
            await self.close()
            self._running = await self._start()
            return self._running

    async def _start(self) -> _Running:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.notifications.senders.service_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # What plugins print may hold addresses.
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
            # Else Ctrl-C ends what was begun.
            start_new_session=True,
        )
        running = _Running(process)
        lists = [self._settings.notification_services, self._settings.notification_hosts]
        try:
            async with asyncio.timeout(START_SECONDS):
                await _ask(running, lists)
                is_ready = process.stdout is not None and await process.stdout.readline() == READY
        except (OSError, TimeoutError):
            is_ready = False
        if not is_ready:
            await _end(running)
            raise OurFailure("The process that tells services could not be started.")
        running.reading = asyncio.create_task(_read(running))
        return running


class ServiceSender:
    """Sends to services, by the process that tells them."""

    def __init__(self, database: Database, secrets: Secrets, process: ServiceProcess) -> None:
        self._database = database
        self._secrets = secrets
        self._process = process

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Tell one service of one notification; raises NotDelivered."""
        (one,) = outgoing
        address = await self._address(one)
        match await self._process.tell(address, one):
            case Outcome.TAKEN:
                return
            case Outcome.NOT_ALLOWED:
                # Operators may take a service, or a host, from the list.
                raise NotDelivered("This server no longer tells services at such an address.", is_permanent=True)
            case Outcome.LATE:
                raise NotDelivered("The service did not answer in time.")
            case Outcome.REFUSED:
                # It tells nobody why, but its log, which holds secrets.
                raise NotDelivered("The service cannot be reached, or did not take it; look whether its address holds.")

    async def _address(self, one: Outgoing) -> str:
        statement = select(Service.id, Service.address).where(Service.id == one.destination_id, Service.is_enabled)
        async with self._database.transaction() as transaction:
            row = (await transaction.connection.execute(statement)).one_or_none()
        if row is None:
            raise NotDelivered("The service is gone or was disabled.", is_permanent=True)
        try:
            return open_service_address(self._secrets, row.id, row.address)
        except SecretUnreadable as unreadable:
            # The key may be put back.
            raise NotDelivered(f"The address cannot be read: {unreadable}.") from None


async def _read(running: _Running) -> None:
    """Hand on what the process says, until it ends."""
    stdout = running.process.stdout
    while stdout is not None and (line := await stdout.readline()):
        said = orjson.loads(line)
        outcome = running.waiting.get(said["id"])
        if outcome is not None and not outcome.done():
            outcome.set_result(Outcome(said["outcome"]))
    for outcome in running.waiting.values():
        if not outcome.done():
            outcome.set_exception(BrokenPipeError())


async def _ask(running: _Running, what: object) -> None:
    stdin = running.process.stdin
    if stdin is None or stdin.is_closing():
        raise BrokenPipeError
    stdin.write(orjson.dumps(what) + b"\n")
    await stdin.drain()


async def _end(running: _Running) -> None:
    with suppress(ProcessLookupError):
        running.process.kill()
    await running.process.wait()
    if running.reading is not None:
        running.reading.cancel()
        await asyncio.gather(running.reading, return_exceptions=True)


def _environment() -> dict[str, str]:
    """That of this process, without what is secret there."""
    secret = ("TROVE_", "DATABASE_", "REDIS_")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(secret)}


def _said(one: Outgoing) -> dict[str, Any]:
    title, body = shortened(one.title, LONGEST_TITLE), shortened(one.body or "", LONGEST_BODY)
    # A message has a body, and the title is it where there is nothing else.
    return {"title": title if body else "", "body": body or title, "type": TYPES[one.severity].value}
