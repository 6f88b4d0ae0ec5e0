"""A run, from the asking to the end. The clock is given by whoever calls, and is the same for all that is compared."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, null, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_nothing
from sqlalchemy.orm import aliased

from app.core.database import Transaction, among
from app.core.events import Event, Topic
from app.core.ids import new_id
from app.core.jobs import Job
from app.core.texts import showable
from app.identity.viewer import Caller
from app.operations.commands.grants import refuse_unless_granted
from app.operations.errors import OperationsErrorCode, OperationsRefused
from app.operations.models import ENDED, JobRun, RunState

RUN_JOBS = Job("run_jobs")
RUNS_CHANGED = Event(Topic.RUNS_CHANGED)
# Of each job, the last ones that ended.
KEPT_RUNS = 30
# A worker says every few seconds that it lives; longer silence than this is death.
LOST_AFTER = timedelta(seconds=60)
LOST = "The process that ran it fell silent: it was killed, or lost its database. Nothing keeps it from running again."
CANCELLED = "It was cancelled."
WAITS_ALREADY = (
    "A run of it waits to begin already; a second one would do no more. One that was cancelled is gone within seconds."
)
# Of a text that a run tells; what comes of a file may be of any length.
LONGEST_TOLD = 2_000


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that this worker has begun. `arguments` may hold an address with a key in it."""

    id: UUID
    job: str
    scheduled_for: datetime | None
    arguments: Mapping[str, Any] | None = field(repr=False)


async def request_run(
    transaction: Transaction,
    *,
    caller: Caller,
    job: str,
    source: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    field: str = "job",
) -> UUID:
    """Ask for a run, which a worker begins as soon as it can; gives its id.

    Raises OperationsRefused for who may not, and where a run without arguments waits already: `field` is what asked for
    the job.
    """
    await refuse_unless_granted(transaction)
    run_id = new_id()
    asked = (
        insert_or_nothing(JobRun)
        .values(id=run_id, job=job, source=source, arguments=arguments, requested_by=caller.viewer.own_id)
        .on_conflict_do_nothing()
    )
    if (await transaction.connection.execute(asked)).rowcount == 0:
        raise OperationsRefused(OperationsErrorCode.ALREADY_DONE, WAITS_ALREADY, field=[field])
    transaction.enqueue(RUN_JOBS)
    transaction.announce(RUNS_CHANGED)
    return run_id


async def begin_run(transaction: Transaction, *, job: str, source: str | None, now: datetime) -> UUID:
    """Write down a run that has begun by itself, as an operator's command does, beside whatever else runs."""
    run_id = new_id()
    await transaction.connection.execute(
        insert(JobRun).values(
            id=run_id,
            job=job,
            state=RunState.RUNNING.value,
            is_exclusive=False,
            source=_storable(source),
            requested_at=now,
            started_at=now,
            heartbeat_at=now,
        )
    )
    transaction.announce(RUNS_CHANGED)
    return run_id


async def claim_run(transaction: Transaction, *, jobs: Collection[str], now: datetime) -> ClaimedRun | None:
    """Begin the run that has waited longest, of a job that does not run already; None where there is none.

    Two workers that begin runs of one job at the same moment collide on the table's index, which raises an
    IntegrityError for the later one.
    """
    running = aliased(JobRun)
    runs_already = (
        select(running.id)
        .where(running.job == JobRun.job, running.state == RunState.RUNNING, running.is_exclusive)
        .exists()
    )
    waiting = (
        select(JobRun.id)
        .where(
            JobRun.state == RunState.QUEUED,
            JobRun.cancel_requested_at.is_(None),
            among(JobRun.job, jobs),
            ~runs_already,
        )
        .order_by(JobRun.requested_at, JobRun.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    run_id = (await transaction.connection.execute(waiting)).scalar_one_or_none()
    if run_id is None:
        return None
    begun = await transaction.connection.execute(
        update(JobRun)
        .where(JobRun.id == run_id)
        .values(state=RunState.RUNNING.value, started_at=now, heartbeat_at=now)
        .returning(JobRun.id, JobRun.job, JobRun.scheduled_for, JobRun.arguments)
    )
    transaction.announce(RUNS_CHANGED)
    return ClaimedRun(*begun.one())


async def note_progress(
    transaction: Transaction, run_id: UUID, progress: Mapping[str, Any] | None, *, is_news: bool, now: datetime
) -> bool:
    """Say that a run lives, and how far it has come; False where it is to stop."""
    noted = (
        await transaction.connection.execute(
            update(JobRun)
            .where(JobRun.id == run_id, JobRun.state == RunState.RUNNING)
            .values(progress=progress, heartbeat_at=now)
            .returning(JobRun.cancel_requested_at)
        )
    ).one_or_none()
    if is_news:
        transaction.announce(RUNS_CHANGED)
    return noted is not None and noted.cancel_requested_at is None


async def end_run(
    transaction: Transaction,
    run_id: UUID,
    state: RunState,
    *,
    now: datetime,
    progress: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> bool:
    """End a run, and forget the oldest ended ones of its job; False where it had ended without us.

    What the result and the error quote of a file may be anything: it is told as far as it can be stored.
    """
    ended = await transaction.connection.execute(
        update(JobRun)
        .where(JobRun.id == run_id, JobRun.state == RunState.RUNNING)
        .values(
            state=state.value,
            ended_at=now,
            arguments=null(),
            progress=progress,
            result=_storable(result),
            error=_storable(error),
        )
        .returning(JobRun.job)
    )
    job = ended.scalar_one_or_none()
    if job is None:
        return False
    await _prune(transaction, job)
    transaction.announce(RUNS_CHANGED)
    return True


async def give_back_run(transaction: Transaction, run_id: UUID, *, now: datetime) -> None:
    """Have another worker begin a run anew, because this one is to stop; one that waits already will do, too."""
    run = aliased(JobRun)
    waits = select(run.id).where(run.job == JobRun.job, run.state == RunState.QUEUED, run.arguments.is_(None)).exists()
    given = await transaction.connection.execute(
        update(JobRun)
        .where(JobRun.id == run_id, JobRun.state == RunState.RUNNING, JobRun.arguments.is_not(None) | ~waits)
        .values(state=RunState.QUEUED.value, started_at=None, heartbeat_at=None, progress=null())
    )
    transaction.enqueue(RUN_JOBS)
    transaction.announce(RUNS_CHANGED)
    if given.rowcount == 0:
        await end_run(transaction, run_id, RunState.CANCELLED, error=CANCELLED, now=now)


async def cancel_run(transaction: Transaction, run_id: UUID, *, caller: Caller, now: datetime) -> None:
    """Ask for a run to stop: whoever runs it does within seconds, and one that waits does not begin.

    Raises OperationsRefused for who may not, and for a run that is not there or has ended.
    """
    await refuse_unless_granted(transaction)
    known = await transaction.connection.scalar(select(JobRun.id).where(JobRun.id == run_id))
    if known is None:
        raise no_such_run()
    asked = await transaction.connection.execute(
        update(JobRun)
        # It may be ending this moment.
        .where(JobRun.id == run_id, JobRun.state.not_in(ENDED))
        .values(cancel_requested_at=func.coalesce(JobRun.cancel_requested_at, now))
    )
    if asked.rowcount == 0:
        raise OperationsRefused(OperationsErrorCode.ALREADY_DONE, "The run has ended already.", field=["id"])
    transaction.enqueue(RUN_JOBS)
    transaction.announce(RUNS_CHANGED)


def no_such_run() -> OperationsRefused:
    """The refusal for a run that is not there, or not theirs to see."""
    return OperationsRefused(OperationsErrorCode.NOT_FOUND, "There is no such run.", field=["id"])


async def end_what_nobody_runs(transaction: Transaction, *, now: datetime) -> int:
    """End runs whose process fell silent, and those that were cancelled before they began; gives how many."""
    is_silent = (JobRun.state == RunState.RUNNING) & (JobRun.heartbeat_at < now - LOST_AFTER)
    is_cancelled = (JobRun.state == RunState.QUEUED) & JobRun.cancel_requested_at.is_not(None)
    ended = 0
    for condition, state, error in (
        (is_silent, RunState.LOST, LOST),
        (is_cancelled, RunState.CANCELLED, CANCELLED),
    ):
        held = select(JobRun.id).where(condition).with_for_update(skip_locked=True)
        found = await transaction.connection.execute(
            update(JobRun)
            .where(JobRun.id.in_(held))
            .values(state=state.value, ended_at=now, arguments=null(), error=error)
            .returning(JobRun.job)
        )
        jobs = list(found.scalars())
        for job in sorted(set(jobs)):
            await _prune(transaction, job)
        ended += len(jobs)
    if ended:
        transaction.announce(RUNS_CHANGED)
    return ended


def _storable(value: Any) -> Any:
    """The same as it can be stored and shown: texts without control and half characters, and not without end."""
    match value:
        case str():
            whole = value if len(value) <= LONGEST_TOLD else f"{value[:LONGEST_TOLD]}…"
            return showable(whole)
        case Mapping():
            return {_storable(key): _storable(one) for key, one in value.items()}
        case list() | tuple():
            return [_storable(one) for one in value]
        case _:
            return value


async def _prune(transaction: Transaction, job: str) -> None:
    states = [state.value for state in ENDED]
    of_job = (JobRun.job == job) & among(JobRun.state, states)
    kept = select(JobRun.id).where(of_job).order_by(JobRun.ended_at.desc(), JobRun.id.desc()).offset(KEPT_RUNS)
    await transaction.connection.execute(delete(JobRun).where(JobRun.id.in_(kept)))
