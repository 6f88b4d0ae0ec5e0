"""Which jobs there are, when each runs, and which of them are due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

import structlog
from sqlalchemy import Row, delete, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.viewer import Caller
from app.operations.commands.grants import refuse_unless_granted
from app.operations.commands.runs import request_run
from app.operations.commands.settings import read_setting, write_setting
from app.operations.errors import InvalidSchedule, OperationsErrorCode, OperationsRefused
from app.operations.models import JobRun, ScheduledJob
from app.operations.schedules import Schedule
from app.operations.settings import schedule_of

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that workers can run, and the schedule that it has unless staff choose another."""

    name: str
    description: str
    schedule: Schedule


class ScheduleChanges(TypedDict, total=False):
    """When a job is to run; what is left out stays as it is. With `cron` None it runs only when asked."""

    cron: str | None
    time_zone: str
    is_enabled: bool


async def save_known_jobs(transaction: Transaction, jobs: Sequence[KnownJob], *, now: datetime) -> None:
    """Have the table say what workers know: new jobs come, changed defaults hold, others go.

    A moment that is due stays due, unless the schedule has changed.
    """
    connection = transaction.connection
    # Workers that start together do this one after the other, each in the same order.
    for job in sorted(jobs, key=lambda each: each.name):
        added = insert(ScheduledJob).values(
            name=job.name, description=job.description, **_times(job.schedule), next_run_at=job.schedule.next_after(now)
        )
        await connection.execute(added.on_conflict_do_nothing())
        stored = (
            await connection.execute(
                select(*ScheduledJob.__table__.columns).where(ScheduledJob.name == job.name).with_for_update()
            )
        ).one_or_none()
        if stored is None:
            continue
        # Not before the row is locked: what staff choose meanwhile would be written over.
        schedule = await read_setting(transaction, schedule_of(job.name, job.schedule))
        values: dict[str, object] = {}
        if stored.description != job.description:
            values["description"] = job.description
        if _is_another(schedule, stored):
            values |= {**_times(schedule), "next_run_at": schedule.next_after(now)}
        if values:
            await connection.execute(update(ScheduledJob).where(ScheduledJob.name == job.name).values(values))
    await connection.execute(delete(ScheduledJob).where(ScheduledJob.name.not_in([job.name for job in jobs])))


def _times(schedule: Schedule) -> dict[str, object]:
    return {"cron": schedule.cron, "time_zone": schedule.time_zone, "is_enabled": schedule.is_enabled}


def _is_another(schedule: Schedule, stored: Row[*tuple[Any, ...]]) -> bool:
    return any(getattr(stored, name) != value for name, value in _times(schedule).items())


async def schedule_job(
    transaction: Transaction,
    *,
    caller: Caller,
    name: str,
    now: datetime,
    changes: ScheduleChanges,
) -> None:
    """Have a job run at other times from now on; a moment that is due stays due where the times stay as they are.

    Raises OperationsRefused for who may not, an unknown job, and a schedule that cannot be.
    """
    await refuse_unless_granted(transaction)
    _refuse_unnameable(name)
    stored = (
        await transaction.connection.execute(
            select(*ScheduledJob.__table__.columns).where(ScheduledJob.name == name).with_for_update()
        )
    ).one_or_none()
    if stored is None:
        raise unknown_job()
    cron = changes.get("cron", stored.cron)
    schedule = _schedule(
        cron=None if cron is None else " ".join(cron.split()),
        time_zone=changes.get("time_zone", stored.time_zone),
        is_enabled=changes.get("is_enabled", stored.is_enabled),
    )
    await write_setting(transaction, schedule_of(name, schedule), schedule, updated_by=caller.viewer.user_id)
    if _is_another(schedule, stored):
        await transaction.connection.execute(
            update(ScheduledJob)
            .where(ScheduledJob.name == name)
            .values(**_times(schedule), next_run_at=schedule.next_after(now))
        )


def _schedule(*, cron: str | None, time_zone: str, is_enabled: bool) -> Schedule:
    try:
        return Schedule(cron, time_zone, is_enabled)
    except InvalidSchedule as refusal:
        raise OperationsRefused(OperationsErrorCode.INVALID_INPUT, refusal.message, field=[refusal.part]) from None


async def request_job(transaction: Transaction, *, caller: Caller, name: str) -> UUID:
    """Ask for a run of a job that there is, beside its times; gives the run's id. Raises OperationsRefused."""
    await refuse_unless_granted(transaction)
    _refuse_unnameable(name)
    known = await transaction.connection.scalar(select(ScheduledJob.name).where(ScheduledJob.name == name))
    if known is None:
        raise unknown_job()
    return await request_run(transaction, caller=caller, job=name)


def _refuse_unnameable(name: str) -> None:
    # What PostgreSQL cannot hold is no job's name.
    if "\0" in name:
        raise unknown_job()


def unknown_job() -> OperationsRefused:
    """The refusal for a job that no worker knows."""
    return OperationsRefused(OperationsErrorCode.NOT_FOUND, "There is no such job; `jobs` lists them.", field=["job"])


async def queue_due_jobs(transaction: Transaction, *, now: datetime) -> int:
    """Queue a run of each job whose moment has come, and set the next moment; gives how many were queued.

    Each moment is taken once, whoever looks. Moments that passed while nobody looked become one run, and a moment that
    comes while a run waits to begin is that run's.
    """
    due = (
        await transaction.connection.execute(
            select(*ScheduledJob.__table__.columns)
            .where(ScheduledJob.next_run_at <= now)
            .order_by(ScheduledJob.next_run_at, ScheduledJob.name)
            .with_for_update(skip_locked=True)
        )
    ).all()
    queued = 0
    for job in due:
        added = await transaction.connection.execute(
            insert(JobRun)
            .values(id=new_id(), job=job.name, scheduled_for=job.next_run_at, requested_at=now)
            .on_conflict_do_nothing()
            .returning(literal(1))
        )
        queued += len(added.all())
        await transaction.connection.execute(
            update(ScheduledJob).where(ScheduledJob.name == job.name).values(_after(job, now))
        )
    return queued


def _after(job: Row[*tuple[Any, ...]], now: datetime) -> dict[str, object]:
    """The next moment of a job that was due; one whose schedule means nothing any more is turned off."""
    try:
        return {"next_run_at": Schedule(job.cron, job.time_zone, job.is_enabled).next_after(now)}
    except InvalidSchedule as refusal:
        logger.warning("job_turned_off", job=job.name, reason=refusal.message)
        return {"is_enabled": False, "next_run_at": None}
