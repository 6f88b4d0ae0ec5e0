"""Jobs and when they run, each run and what became of it, and what is set at run time."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.ids import new_id
from app.identity.models import User, one_of

SCHEMA = "operations"
IMPORT_PREFIX = "import:"


class RunState(StrEnum):
    """How far a run has come. It is lost where its worker fell silent."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.LOST)


class Importer(StrEnum):
    """What an import reads; its runs are those of the job `import:` and this."""

    SCRYFALL = "scryfall"
    POKEMON = "pokemon"
    COINS = "coins"
    FIGURES = "figures"
    ANIME = "anime"
    CS2 = "cs2"
    FX = "fx"
    PRICES = "prices"

    @property
    def job(self) -> str:
        """The name of the job."""
        return f"{IMPORT_PREFIX}{self.value}"


class RuntimeSetting(Base):
    """A value that staff chose, by a key of `app.operations.settings`; without a row its default holds."""

    __tablename__ = "settings"
    __table_args__ = (Index("settings_by_updated_by", "updated_by"), {"schema": SCHEMA})

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    updated_by: Mapped[UUID | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))


class ScheduledJob(Base):
    """A job that workers know, with the schedule that holds; due when `next_run_at` has come."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("(next_run_at IS NOT NULL) = (is_enabled AND cron IS NOT NULL)", name="next_run_is_told"),
        {"schema": SCHEMA},
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str]
    cron: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    next_run_at: Mapped[datetime | None]


class JobRun(Base):
    """A run of a job, from the asking to the end. Of those that may not run beside another, one runs at a time.

    `source` is what an import reads, without anything secret; `arguments` is what the worker needs, and is forgotten at
    the end. `progress` has `done`, `total` (null where nobody knows) and `unit`; `result` has counts.
    """

    __tablename__ = "job_runs"
    __table_args__ = (
        CheckConstraint(one_of("state", RunState), name="state_is_known"),
        Index(
            "job_runs_unique_running",
            "job",
            unique=True,
            postgresql_where=text("state = 'running' AND is_exclusive"),
        ),
        Index(
            "job_runs_unique_queued",
            "job",
            unique=True,
            postgresql_where=text("state = 'queued' AND arguments IS NULL"),
        ),
        Index("job_runs_by_job", "job", "requested_at", "id"),
        Index("job_runs_by_time", "requested_at", "id"),
        Index("job_runs_by_requester", "requested_by", postgresql_where=text("requested_by IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    job: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'queued'"))
    is_exclusive: Mapped[bool] = mapped_column(server_default=text("true"))
    source: Mapped[str | None]
    arguments: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    requested_by: Mapped[UUID | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    scheduled_for: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    progress: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[str | None]
