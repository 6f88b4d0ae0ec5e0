"""Goes with a run while it works: says that it lives and how far it has come, and writes down how it ended.

What a run says of itself is kept in memory and written about once a second, by a task of its own in transactions of its
own: the work waits for none of it. Spans several transactions, so it takes the database.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from app.core.clock import utc_now
from app.core.database import DATABASE_FAILURES, Database
from app.core.errors import Refusal
from app.core.outbound import OutsideServiceFailed
from app.core.tasks import end_tasks
from app.operations.commands.runs import CANCELLED, begin_run, end_run, note_progress
from app.operations.errors import RunCancelled
from app.operations.models import RunState

logger = structlog.get_logger(__name__)

SECONDS_BETWEEN_NOTES = 1.0
# Far below what counts as silence; written also where there is no news.
SECONDS_BETWEEN_HEARTBEATS = 5.0
TOLD_TO_STOP = f"{CANCELLED} What went in before is kept."


@dataclass(slots=True)
class Run:
    """A run under way, as its work knows it."""

    id: UUID
    result: Mapping[str, Any] | None = None
    failure: str | None = None
    done: int = 0
    total: int | None = None
    unit: str = "rows"
    has_progress: bool = False
    is_told_to_stop: bool = False
    is_over: bool = False

    def report(self, done: int, *, total: int | None = None, unit: str = "rows") -> None:
        """Say how much of how much is done; costs nothing."""
        self.done, self.total, self.unit, self.has_progress = done, total, unit, True

    def advance(self, more: int) -> None:
        """Say that so many more are done."""
        self.report(self.done + more, total=self.total, unit=self.unit)

    def end_as_failed(self, sentence: str) -> None:
        """Have the run count as failed although nothing was raised; nothing secret may be in the sentence."""
        self.failure = sentence

    @property
    def progress(self) -> Mapping[str, Any] | None:
        """What is written down of it."""
        return {"done": self.done, "total": self.total, "unit": self.unit} if self.has_progress else None


@asynccontextmanager
async def recorded_run(
    database: Database, job: str, *, source: str | None = None, clock: Callable[[], datetime] = utc_now
) -> AsyncIterator[Run]:
    """Record what is done within as a run of a job, which an operator began by hand."""
    async with database.transaction() as transaction:
        run_id = await begin_run(transaction, job=job, source=source, now=clock())
    async with followed_run(database, run_id, clock=clock) as run:
        yield run


@asynccontextmanager
async def followed_run(
    database: Database,
    run_id: UUID,
    *,
    clock: Callable[[], datetime] = utc_now,
    is_given_back: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Run]:
    """Go with a run that has begun, and end it as the block ends: succeeded, failed, or cancelled.

    A run that is told to stop is cancelled, and raises RunCancelled. Where `is_given_back` says so as the block is
    cancelled, the run is left as it is.
    """
    run = Run(run_id)
    worker = asyncio.current_task()
    notes = asyncio.create_task(_keep_notes(database, run, worker, clock), name="run-notes")
    state, error = RunState.SUCCEEDED, None
    try:
        yield run
        if run.failure is not None:
            state, error = RunState.FAILED, run.failure
    except asyncio.CancelledError:
        if is_given_back() and not run.is_told_to_stop:
            state = RunState.QUEUED
            raise
        state, error = RunState.CANCELLED, CANCELLED
        if run.is_told_to_stop and worker is not None:
            worker.uncancel()
            raise RunCancelled(TOLD_TO_STOP) from None
        raise
    except BaseException as failure:
        state, error = RunState.FAILED, sentence_of(failure)
        raise
    finally:
        run.is_over = True
        closing = asyncio.create_task(_close(database, run, notes, state, error, clock))
        cancelled = await _outlast_cancellation(closing)
        if cancelled is not None:
            raise cancelled


async def _outlast_cancellation(closing: "asyncio.Task[None]") -> asyncio.CancelledError | None:
    """Wait for a task to its end; gives a cancellation that came meanwhile, too late to stop anything."""
    cancelled = None
    while not closing.done():
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


async def _close(
    database: Database,
    run: Run,
    notes: "asyncio.Task[None]",
    state: RunState,
    error: str | None,
    clock: Callable[[], datetime],
) -> None:
    await end_tasks([notes])
    if state is not RunState.QUEUED:
        await _end(database, run, state, error, clock())


async def _end(database: Database, run: Run, state: RunState, error: str | None, now: datetime) -> None:
    try:
        async with database.transaction() as transaction:
            await end_run(transaction, run.id, state, now=now, progress=run.progress, result=run.result, error=error)
    except DATABASE_FAILURES as failure:
        # It is found by its silence.
        logger.warning("run_not_ended", run=str(run.id), state=state.value, reason=type(failure).__name__)


async def _keep_notes(
    database: Database, run: Run, worker: "asyncio.Task[Any] | None", clock: Callable[[], datetime]
) -> None:
    noted, silent_for = run.progress, 0.0
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_NOTES)
        silent_for += SECONDS_BETWEEN_NOTES
        progress = run.progress
        is_news = progress != noted
        if not is_news and silent_for < SECONDS_BETWEEN_HEARTBEATS:
            continue
        try:
            async with database.transaction() as transaction:
                goes_on = await note_progress(transaction, run.id, progress, is_news=is_news, now=clock())
        except DATABASE_FAILURES as failure:
            logger.warning("run_not_noted", run=str(run.id), reason=type(failure).__name__)
            continue
        noted, silent_for = progress, 0.0
        if not goes_on and not run.is_over:
            run.is_told_to_stop = True
            if worker is not None:
                worker.cancel()
            return


def sentence_of(failure: BaseException) -> str:
    """What to write down of a failure: words of ours, for what an error of others says may hold anything."""
    if isinstance(failure, Refusal):
        return failure.message
    if isinstance(failure, OutsideServiceFailed):
        return str(failure)
    return f"It stopped by {type(failure).__name__}; the log of its process says more."
