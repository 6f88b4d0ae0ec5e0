"""The worker process: arq for jobs while Redis is there, and loops of its own that need only the database."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from typing import Any

import httpx
import structlog
import uvloop
from arq import func
from arq.connections import ArqRedis
from arq.worker import Function, Worker
from redis.exceptions import RedisError

from app.core.database import Database, DatabaseRole, create_engine
from app.core.errors import ServiceUnavailable
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.key_rings import key_ring_of
from app.core.mail import postman_of
from app.core.secrets import Secrets
from app.core.settings import Settings, current_settings
from app.core.storage import Storage, storage_of
from app.core.tasks import end_tasks
from app.identity.commands.deletion import ERASE_PEOPLE
from app.identity.commands.exports import PREPARE_EXPORTS
from app.identity.commands.post_mail import SEND_MAILS
from app.ingestion.commands import PROCESS_BATCHES
from app.notifications.commands.notify import ROUTE_NOTIFICATIONS
from app.notifications.commands.route_notifications import DELIVER
from app.notifications.models import ChannelKind
from app.notifications.senders.configured import senders_of
from app.notifications.senders.email import EmailSender
from app.notifications.senders.posting import addresses_of, posting_client
from app.notifications.senders.service import ServiceProcess
from app.notifications.sending import Sender
from app.operations.commands.runs import RUN_JOBS
from app.portfolios.commands.inventory_imports import READ_INVENTORIES
from app.portfolios.commands.portfolio_exports import WRITE_EXPORTS
from app.prices.commands.valuations import VALUE_VARIANTS
from app.providers.client import provider_http
from app.trackers.commands.clients import REMOVE_DELETED_CLIENTS
from app.trackers.commands.orphans import ATTACH_ORPHANS
from app.trackers.commands.remake_histories import REMAKE_HISTORIES
from workers.alerts import AlertClock, AlertMeter
from workers.beginning import BeginningRunner
from workers.clients import ClientRunner
from workers.deliveries import DeliveryMeter, RouteRunner, delivery_runner
from workers.erasure import ErasureRunner
from workers.exports import ExportRunner
from workers.imports import IMPORTS
from workers.ingestion import BatchRunner
from workers.inventories import InventoryRunner
from workers.jobs import ScheduledJob
from workers.mail import MailRunner, NoPostman
from workers.orphans import OrphanRunner
from workers.portfolio_exports import PortfolioExportRunner
from workers.runner import Runner
from workers.scheduled import JOBS
from workers.scheduler import JobScheduler
from workers.trackers import HistoryRunner
from workers.valuations import ValuationRunner
from workers.webhook_documents import WebhookDocuments

logger = structlog.get_logger(__name__)

SECONDS_BETWEEN_POLLS = 0.02
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 10.0
JOB_TIMEOUT_SECONDS = 3600
LAST_WORDS_SECONDS = 0.5
FAREWELL_SECONDS = 5.0

Context = dict[Any, Any]


def run_worker(settings: Settings | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT, then finish what has begun; by default over the environment.

    Raises `ServiceUnavailable` when the settings lack the address of the database or of Redis.
    """
    uvloop.run(serve(settings or current_settings()))


async def serve(settings: Settings) -> None:
    """The worker's life: neither a lost Redis nor a lost database ends it."""
    url = settings.worker_database_url or settings.database_url
    if url is None or settings.redis_url is None:
        raise ServiceUnavailable("A worker needs a database and a Redis: set DATABASE_URL and REDIS_URL.")
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    redis = connect_redis(settings.redis_url)
    engine = create_engine(
        url, role=DatabaseRole.WORKER, pool_size=settings.database_pool_size, application_name="trove-worker"
    )
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    secrets = Secrets(key_ring_of(settings))
    storage = storage_of(settings, secrets)
    http = provider_http()
    posting = posting_client(addresses_of(settings))
    documents = WebhookDocuments(settings)
    services = ServiceProcess(settings)
    senders = senders_of(database, secrets, settings, http=posting, answer_document=documents, services=services)
    runners = _runners(settings, database, secrets, http, storage, senders)
    meters = [AlertMeter(database), DeliveryMeter(database)]
    looking = [BeginningRunner(database), AlertClock(database), *meters, *runners.values()]
    logger.info("worker_started")
    tasks = {
        asyncio.create_task(stopping.wait()),
        *(asyncio.create_task(runner.keep_looking()) for runner in looking),
        asyncio.create_task(_listen_for_jobs(settings.redis_url, runners, stopping)),
    }
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        logger.info("worker_stopping")
        for task in ended:
            # What ends without being told to is a mistake of ours: better no worker than half of one.
            task.result()
    finally:
        stopping.set()
        await asyncio.gather(*(runner.stop() for runner in looking))
        # All work is done or undone by now: whoever still waits for Redis has a moment, and is cancelled.
        _, late = await asyncio.wait(tasks, timeout=FAREWELL_SECONDS)
        await end_tasks(late)
        await http.aclose()
        await posting.aclose()
        await documents.close()
        await services.close()
        await database.close()
        await redis.aclose()
        logger.info("worker_stopped")


def _runners(
    settings: Settings,
    database: Database,
    secrets: Secrets,
    http: httpx.AsyncClient,
    storage: Storage,
    senders: Mapping[ChannelKind, Sender],
) -> dict[str, Runner]:
    """What does the work of each job that only nudges."""
    postman = postman_of(settings) or NoPostman()
    mails = EmailSender(database, secrets, postman, public_url=settings.public_url)
    return {
        PROCESS_BATCHES.name: BatchRunner(database, secrets),
        ATTACH_ORPHANS.name: OrphanRunner(database, secrets),
        VALUE_VARIANTS.name: ValuationRunner(database),
        REMAKE_HISTORIES.name: HistoryRunner(database),
        REMOVE_DELETED_CLIENTS.name: ClientRunner(database),
        SEND_MAILS.name: MailRunner(database, secrets, postman),
        ROUTE_NOTIFICATIONS.name: RouteRunner(database),
        DELIVER.name: delivery_runner(database, {ChannelKind.EMAIL: mails, **senders}),
        PREPARE_EXPORTS.name: ExportRunner(database, secrets),
        WRITE_EXPORTS.name: PortfolioExportRunner(database, secrets),
        READ_INVENTORIES.name: InventoryRunner(database, http),
        ERASE_PEOPLE.name: ErasureRunner(database),
        RUN_JOBS.name: JobScheduler(
            database, settings, secrets, http, storage, jobs=_jobs_of(settings), on_request=IMPORTS
        ),
    }


def _jobs_of(settings: Settings) -> Sequence[ScheduledJob]:
    """The jobs, at rest those that lack a setting, and those that ask outside where the server does not by itself."""
    asks_outside = settings.asks_outside_by_itself
    return [
        replace(job, is_enabled=job.is_enabled and job.is_set_up(settings) and (asks_outside or not job.asks_outside))
        for job in JOBS
    ]


async def _listen_for_jobs(redis_url: str, runners: Mapping[str, Runner], stopping: asyncio.Event) -> None:
    """Run arq's worker until told to stop, and another one whenever it dies of Redis being away."""
    backoff = FIRST_BACKOFF_SECONDS
    while not stopping.is_set():
        redis = connect_redis(redis_url)
        worker = job_worker(redis, runners)
        try:
            await redis.ping()
            backoff = FIRST_BACKOFF_SECONDS
            await _run_until(stopping, worker)
        except (RedisError, OSError) as error:
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            logger.warning("queue_unavailable", reason=type(error).__name__, next_attempt_in_seconds=backoff)
        finally:
            await _abandon(worker, redis)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), backoff)


class _Worker(Worker):
    """A worker whose jobs may be given up while Redis is told that they have ended, which arq shields from that."""

    async def finish_job(self, *args: Any, **named: Any) -> None:
        """Tell Redis that a job has ended."""
        telling = asyncio.current_task()
        if telling is not None:
            telling.add_done_callback(_hear)
        await super().finish_job(*args, **named)


def _hear(telling: "asyncio.Task[Any]") -> None:
    # Where the job was given up, nobody else asks what became of it.
    if not telling.cancelled():
        telling.exception()


async def _run_until(stopping: asyncio.Event, worker: Worker) -> None:
    told = asyncio.create_task(stopping.wait())
    worker.main_task = asyncio.create_task(worker.main())
    await asyncio.wait({worker.main_task, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if worker.main_task.done():
        worker.main_task.result()


async def _abandon(worker: Worker, redis: ArqRedis) -> None:
    worker.allow_pick_jobs = False
    # Whoever is about to tell Redis that a nudge was followed has a moment for it.
    if worker.tasks:
        await asyncio.wait(worker.tasks.values(), timeout=LAST_WORDS_SECONDS)
    # Not worker.close(): it talks to Redis, which may be away. And first no more connections: who is cancelled in the
    # middle of a command would wait for its answer. The jobs are only nudges.
    try:
        await redis.connection_pool.disconnect()
    finally:
        # What begins jobs ends first: one that was begun meanwhile would be waited for by nobody.
        if worker.main_task is not None:
            await end_tasks([worker.main_task])
        await end_tasks(worker.tasks.values())
        await redis.aclose()


def job_worker(redis: ArqRedis, runners: Mapping[str, Runner]) -> Worker:
    """A worker of arq that runs what is nudged by name."""
    return _Worker(
        functions=[_nudge(name, runner) for name, runner in runners.items()],
        redis_pool=redis,
        handle_signals=False,
        poll_delay=SECONDS_BETWEEN_POLLS,
        keep_result=0,
        job_timeout=JOB_TIMEOUT_SECONDS,
        log_results=False,
        timezone=UTC,
    )


def _nudge(name: str, runner: Runner) -> Function:
    async def run(ctx: Context, *args: Any, **kwargs: Any) -> None:
        await runner.run()

    return func(run, name=name)
