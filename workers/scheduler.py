"""Runs the jobs that are due or asked for. What is due stands in the database, so each moment is taken once."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

import httpx
import structlog
from sqlalchemy.exc import IntegrityError

from app.core.clock import utc_now
from app.core.database import DATABASE_FAILURES, Database
from app.core.errors import Refusal
from app.core.outbound import OutsideServiceFailed
from app.core.public_addresses import PublicAddresses
from app.core.secrets import Secrets
from app.core.settings import Settings
from app.core.storage import Storage
from app.core.telemetry import JOB_RUNS
from app.operations.commands.jobs import queue_due_jobs, save_known_jobs
from app.operations.commands.runs import ClaimedRun, claim_run, end_what_nobody_runs, give_back_run
from app.operations.errors import RunCancelled
from app.operations.models import RunState
from app.operations.recording import followed_run
from workers.jobs import JobContext, RunJob, ScheduledJob
from workers.runner import Runner

logger = structlog.get_logger(__name__)

# Each holds a connection now and then, and the pool is for the worker's other work, too. Jobs that ask outside services
# do not count: each waits for its service nearly all the time, for hours perhaps, and upkeep is not to wait for that.
RUNS_AT_ONCE = 3
# How long a run may take to end by itself when its worker stops; then another worker begins it anew.
GRACE_SECONDS = 5.0


class JobScheduler(Runner):
    """Queues what is due, begins what waits, and ends what nobody runs any more. Runs go on beside the next looks.

    `jobs` have their times; `on_request` are those that run only when somebody asks.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        secrets: Secrets,
        http: httpx.AsyncClient,
        storage: Storage,
        *,
        jobs: Sequence[ScheduledJob],
        on_request: Mapping[str, RunJob] | None = None,
        addresses: PublicAddresses | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__()
        self._database = database
        self._settings = settings
        self._secrets = secrets
        self._http = http
        self._storage = storage
        self._jobs = jobs
        self._runs_of: Mapping[str, RunJob] = {**(on_request or {}), **{job.name: job.run for job in jobs}}
        self._addresses = addresses or PublicAddresses()
        self._clock = clock
        self._has_saved = False
        self._asking_outside = {job.name for job in jobs if job.asks_outside}
        self._under_way: dict[asyncio.Task[None], str] = {}

    async def work(self, stopping: asyncio.Event) -> None:
        """Look at the clock once, and begin what is to begin."""
        now = self._clock()
        if not self._has_saved:
            async with self._database.transaction() as transaction:
                await save_known_jobs(transaction, [job.known for job in self._jobs], now=now)
            self._has_saved = True
        async with self._database.transaction() as transaction:
            await end_what_nobody_runs(transaction, now=now)
            await queue_due_jobs(transaction, now=now)
        while not stopping.is_set():
            claimed = await self._claim(self._jobs_with_a_place())
            if claimed is None:
                break
            task = asyncio.create_task(self._run_claimed(claimed), name=f"job {claimed.job}")
            self._under_way[task] = claimed.job
            task.add_done_callback(self._under_way.pop)

    async def finish(self) -> None:
        """Wait until everything that was begun here has ended."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def stop(self) -> None:
        """Begin nothing more; what does not end within a moment is given back for another worker."""
        await super().stop()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=GRACE_SECONDS)
        for task in self._under_way:
            task.cancel()
        await self.finish()

    def _jobs_with_a_place(self) -> Collection[str]:
        """The jobs of which a run may begin here now."""
        counted = sum(job not in self._asking_outside for job in self._under_way.values())
        return self._runs_of.keys() if counted < RUNS_AT_ONCE else self._asking_outside

    async def _claim(self, jobs: Collection[str]) -> ClaimedRun | None:
        try:
            async with self._database.transaction() as transaction:
                return await claim_run(transaction, jobs=jobs, now=self._clock())
        except IntegrityError:
            # Another worker has just begun another run of the same job.
            return None

    async def _run_claimed(self, claimed: ClaimedRun) -> None:
        state = RunState.FAILED
        try:
            state = await self._run_job(claimed)
        except asyncio.CancelledError:
            await self._give_back(claimed)
            return
        except RunCancelled:
            state = RunState.CANCELLED
            logger.info("run_cancelled", job=claimed.job, run=str(claimed.id))
        except (Refusal, OutsideServiceFailed) as failure:
            logger.warning("run_failed", job=claimed.job, run=str(claimed.id), reason=str(failure))
        except DATABASE_FAILURES as failure:
            logger.warning("run_failed", job=claimed.job, run=str(claimed.id), reason=type(failure).__name__)
        except Exception:  # a job's mistake is its own
            logger.exception("run_failed", job=claimed.job, run=str(claimed.id))
        JOB_RUNS.labels(claimed.job, state.value).inc()

    async def _give_back(self, claimed: ClaimedRun) -> None:
        try:
            async with self._database.transaction() as transaction:
                await give_back_run(transaction, claimed.id, now=self._clock())
        except DATABASE_FAILURES as failure:
            # It is found by its silence.
            logger.warning("run_not_ended", run=str(claimed.id), reason=type(failure).__name__)
        else:
            logger.info("run_given_back", job=claimed.job, run=str(claimed.id))

    async def _run_job(self, claimed: ClaimedRun) -> RunState:
        async with followed_run(
            self._database, claimed.id, clock=self._clock, is_given_back=self._stopping.is_set
        ) as run:
            context = JobContext(
                run=run,
                database=self._database,
                settings=self._settings,
                secrets=self._secrets,
                http=self._http,
                addresses=self._addresses,
                storage=self._storage,
                now=self._clock(),
                arguments=claimed.arguments or {},
            )
            run.result = await self._runs_of[claimed.job](context)
        return RunState.SUCCEEDED if run.failure is None else RunState.FAILED
