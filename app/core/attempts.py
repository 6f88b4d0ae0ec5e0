"""Limits on tries: so many in so many seconds, counted in Redis for all processes, in memory while Redis is away."""

import asyncio
import hmac
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.errors import TooManyAttempts

# Whoever tries waits no longer than this for Redis.
REDIS_SECONDS = 0.5
SECONDS_BETWEEN_WARNINGS = 60.0
KEY_PREFIX = "trove:attempts"

logger = structlog.get_logger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class AttemptLimit:
    """So many tries in any so many seconds; `name` tells the counts of different limits apart."""

    name: str
    tries: int
    seconds: int

    def __post_init__(self) -> None:
        if self.tries < 1 or self.seconds < 1:
            raise ValueError("a limit allows at least one try, in at least one second")


class Attempts:
    """Counts tries by limit and key. A refused try does not count, so waiting always helps.

    In Redis a key, such as an address, stands as its HMAC under `hash_key`; processes that share a count share it too.
    While Redis is away each process counts by itself, from zero.
    """

    def __init__(self, redis_url: str, *, hash_key: bytes = b"") -> None:
        self._redis = Redis.from_url(redis_url, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS)
        # The library reads some parts of an address by itself, and others not: the connections come from us.
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=KEY_PREFIX,
            connection_pool=self._redis.connection_pool,
        )
        self._shared = MovingWindowRateLimiter(storage)
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._hash_key = hash_key
        self._warned_at = -math.inf

    async def check_and_count(self, limit: AttemptLimit, key: str) -> None:
        """Count a try; raises TooManyAttempts when there were as many as the limit allows."""

        async def count(limiter: MovingWindowRateLimiter) -> int | None:
            return await _count(limiter, limit, self._hash(key))

        wait_seconds = await self._by_redis_or_memory(count)
        if wait_seconds is not None:
            raise TooManyAttempts(
                f"There were too many tries; wait {wait_seconds} seconds, and try again.",
                retry_after_seconds=wait_seconds,
            )

    async def forget(self, limit: AttemptLimit, key: str) -> None:
        """Begin to count anew, as after a success."""

        async def clear(limiter: MovingWindowRateLimiter) -> None:
            await limiter.clear(_item_of(limit), self._hash(key))

        await clear(self._own)
        await self._by_redis_or_memory(clear)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.aclose()

    async def _by_redis_or_memory(self, ask: Callable[[MovingWindowRateLimiter], Awaitable[Result]]) -> Result:
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                return await ask(self._shared)
        except (RedisError, OSError, TimeoutError) as error:
            self._warn(error)
        return await ask(self._own)

    def _warn(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._warned_at >= SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            logger.warning("attempts_counted_in_memory", reason=type(error).__name__)

    def _hash(self, key: str) -> str:
        return hmac.new(self._hash_key, key.encode(errors="surrogatepass"), "sha256").hexdigest()


def _item_of(limit: AttemptLimit) -> RateLimitItem:
    return RateLimitItemPerSecond(limit.tries, limit.seconds, namespace=limit.name)


async def _count(limiter: MovingWindowRateLimiter, limit: AttemptLimit, key: str) -> int | None:
    """Count a try, or give the seconds until the next one is allowed, from 1 to those of the limit."""
    if await limiter.hit(_item_of(limit), key):
        return None
    window = await limiter.get_window_stats(_item_of(limit), key)
    return min(max(math.ceil(window.reset_time - time.time()), 1), limit.seconds)
