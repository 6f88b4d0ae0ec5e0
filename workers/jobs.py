"""What a job of the server is: a name, what it does, and when; `scheduled` lists them all."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from app.core.database import Database
from app.core.public_addresses import PublicAddresses
from app.core.secrets import Secrets
from app.core.settings import Settings
from app.core.storage import Storage
from app.operations.commands.jobs import KnownJob
from app.operations.recording import Run
from app.operations.schedules import Schedule
from app.providers.client import ProviderClient

JobResult = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What a job works with. `run` takes its progress, `arguments` is what whoever asked for it gave."""

    run: Run
    database: Database
    settings: Settings
    secrets: Secrets = field(repr=False)
    http: httpx.AsyncClient
    addresses: PublicAddresses
    storage: Storage
    now: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def provider(self, code: str) -> ProviderClient:
        """An outside service, asked at the pace that it allows."""
        return ProviderClient(self.database, code, self.http)


RunJob = Callable[[JobContext], Awaitable[JobResult]]


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job by its name; without `cron` it runs only when somebody asks, unless staff give it a time.

    One that `asks_outside` runs by itself only on servers that may ask outside services so, and any job only where
    `is_set_up` says that the settings have what it needs.
    """

    name: str
    run: RunJob
    description: str
    cron: str | None = None
    time_zone: str = "UTC"
    is_enabled: bool = True
    asks_outside: bool = False
    is_set_up: Callable[[Settings], bool] = field(default=lambda settings: True)

    @property
    def known(self) -> KnownJob:
        """The job as the database knows it."""
        return KnownJob(self.name, self.description, Schedule(self.cron, self.time_zone, self.is_enabled))
