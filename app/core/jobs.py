"""The job queue: a nudge to do work that already stands in the database. Only this file and `workers/` know arq."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError

# A hint that takes longer is given up: whoever waits for it must not wait, and the work is found without it.
HINT_SECONDS = 0.5

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A call of the worker function `name`; a `key` keeps equal nudges from piling up."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    key: str | None = None


class JobQueue:
    """Enqueues nudges. Redis being away is logged and survived: a scheduled job finds the work that was left."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def enqueue(self, job: Job) -> None:
        """Ask a worker to run the job; never raises."""
        try:
            async with asyncio.timeout(HINT_SECONDS):
                await self._redis.enqueue_job(job.name, _job_id=job.key, **job.arguments)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("job_not_enqueued", job=job.name, reason=type(error).__name__)


def connect_redis(url: str) -> ArqRedis:
    """A Redis client that can also enqueue jobs; it connects at first use, so Trove starts while Redis is away."""
    redis: ArqRedis = ArqRedis.from_url(url, socket_connect_timeout=2, socket_timeout=5)
    return redis
