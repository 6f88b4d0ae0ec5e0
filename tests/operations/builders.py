"""A clock that stands until it is moved, jobs that tests look into, and a scheduler over both."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from sqlalchemy import select

from app.core.database import Database
from app.core.public_addresses import Address, PublicAddresses
from app.core.settings import Settings
from app.core.storage import storage_of
from app.operations.models import JobRun
from app.operations.models import ScheduledJob as StoredJob
from app.providers.client import provider_http
from tests.identity.builders import SECRETS
from workers.jobs import JobContext, JobResult, ScheduledJob
from workers.scheduler import JobScheduler

LOOPBACK = ip_address("127.0.0.1")
# Another address of this machine, which is not public here.
PRIVATE = ip_address("127.0.0.2")
PRIVATE_HOST = "private.example"
# A Monday.
MONDAY = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)


@dataclass(slots=True)
class Clock:
    """The time that everything here goes by."""

    now: datetime = MONDAY

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **how_long: float) -> None:
        """Let time go by."""
        self.now += timedelta(**how_long)


@dataclass(slots=True)
class Work:
    """A job that notes when it runs, and can be held up in the middle."""

    result: JobResult = None
    seen: list[JobContext] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    is_held: bool = False

    async def __call__(self, job: JobContext) -> JobResult:
        """Run once."""
        self.seen.append(job)
        self.begun.set()
        if self.is_held:
            await self.may_end.wait()
        return self.result


def at_nine(work: Work, name: str = "count", **how: Any) -> ScheduledJob:
    """A job for each morning at nine, in UTC."""
    return ScheduledJob(name, work, "Counts something.", **{"cron": "0 9 * * *"} | how)


async def _to_loopback(host: str, port: int) -> Sequence[Address]:
    return [PRIVATE if host == PRIVATE_HOST else LOOPBACK]


@asynccontextmanager
async def scheduler(
    database: Database, settings: Settings, clock: Clock, jobs: Sequence[ScheduledJob], **how: Any
) -> AsyncIterator[JobScheduler]:
    """A scheduler that looks when it is told to; the public address is loopback, to which all names but one lead."""
    async with provider_http() as http:
        made = JobScheduler(
            database,
            settings,
            SECRETS,
            http,
            storage_of(settings, SECRETS),
            jobs=jobs,
            clock=clock,
            addresses=PublicAddresses(resolve=_to_loopback, is_allowed=lambda address: address == LOOPBACK),
            **how,
        )
        try:
            yield made
        finally:
            await made.stop()


async def look(*schedulers: JobScheduler) -> None:
    """Have each look at the clock once, all at the same time, and end what they begin."""
    await asyncio.gather(*(one.run() for one in schedulers))
    await asyncio.gather(*(one.finish() for one in schedulers))


async def runs(database: Database, job: str | None = None) -> list[Any]:
    """All runs, the oldest first."""
    statement = select(*JobRun.__table__.columns).order_by(JobRun.requested_at, JobRun.id)
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(statement if job is None else statement.where(JobRun.job == job))
        return list(rows)


async def stored_job(database: Database, name: str = "count") -> Any:
    """A job as the table has it."""
    async with database.transaction() as transaction:
        statement = select(*StoredJob.__table__.columns).where(StoredJob.name == name)
        return (await transaction.connection.execute(statement)).one_or_none()
