"""Tries are limited for all processes together, and go on being limited while Redis is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from app.core.attempts import REDIS_SECONDS, AttemptLimit, Attempts
from app.core.embedded import PrivateServices
from app.core.errors import ErrorCode, TooManyAttempts
from app.core.settings import Settings
from app.graph.errors import refusal_error, show_error
from tests.outages_builders import Site, eventually, open_directory

PASSWORDS = AttemptLimit("passwords", tries=10, seconds=900)
NOBODY = "redis://127.0.0.1:1/0"


def somebody() -> str:
    """A key that nobody used before."""
    return f"ada-{uuid4()}@example.com"


@asynccontextmanager
async def attempts_at(*urls: str, waits_seconds: float = 30.0) -> AsyncIterator[list[Attempts]]:
    """Counters of so many processes, which wait for Redis however busy the machine is."""
    async with AsyncExitStack() as stack:
        stack.enter_context(patch("app.core.attempts.REDIS_SECONDS", waits_seconds))
        opened = [Attempts(url) for url in urls]
        for attempts in opened:
            stack.push_async_callback(attempts.close)
        yield opened


async def passes(attempts: Attempts, key: str, limit: AttemptLimit = PASSWORDS) -> bool:
    """Whether a try is allowed."""
    try:
        await attempts.check_and_count(limit, key)
    except TooManyAttempts:
        return False
    return True


@pytest.mark.parametrize("is_away", [False, True], ids=["by Redis", "in memory"])
async def test_of_fifty_tries_at_once_exactly_as_many_pass_as_are_allowed(redis_url: str, is_away: bool) -> None:
    async with attempts_at(NOBODY if is_away else redis_url) as (attempts,):
        key, other = somebody(), somebody()
        tries = await asyncio.gather(*(passes(attempts, key) for _ in range(50)))
        assert tries.count(True) == PASSWORDS.tries
        assert await passes(attempts, other)
        assert await passes(attempts, key, AttemptLimit("codes", tries=1, seconds=900))
        assert not await passes(attempts, key)


async def test_processes_share_a_count(redis_url: str) -> None:
    async with attempts_at(redis_url, redis_url) as both:
        key = somebody()
        tries = await asyncio.gather(*(passes(attempts, key) for attempts in both for _ in range(25)))
        assert tries.count(True) == PASSWORDS.tries


@pytest.mark.parametrize("is_away", [False, True], ids=["by Redis", "in memory"])
async def test_a_success_lets_the_tries_be_forgotten(redis_url: str, is_away: bool) -> None:
    async with attempts_at(NOBODY if is_away else redis_url) as (attempts,):
        key = somebody()
        for _ in range(2):
            assert [await passes(attempts, key) for _ in range(11)] == [True] * 10 + [False]
            await attempts.forget(PASSWORDS, key)


@pytest.mark.parametrize("is_away", [False, True], ids=["by Redis", "in memory"])
async def test_a_try_is_allowed_again_after_the_time_that_the_refusal_says(redis_url: str, is_away: bool) -> None:
    limit = AttemptLimit("short", tries=2, seconds=1)
    async with attempts_at(NOBODY if is_away else redis_url) as (attempts,):
        key = somebody()
        assert [await passes(attempts, key, limit) for _ in range(2)] == [True, True]
        with pytest.raises(TooManyAttempts) as refused:
            await attempts.check_and_count(limit, key)
        assert refused.value.retry_after_seconds == 1
        await asyncio.sleep(refused.value.retry_after_seconds + 0.01)
        assert await passes(attempts, key, limit)


async def test_the_refusal_says_in_the_graph_how_long_to_wait(redis_url: str) -> None:
    limit = AttemptLimit("one", tries=1, seconds=900)
    async with attempts_at(redis_url) as (attempts,):
        key = somebody()
        await attempts.check_and_count(limit, key)
        with pytest.raises(TooManyAttempts) as refused:
            await attempts.check_and_count(limit, key)
    shown = show_error(refusal_error(refused.value))
    assert shown["extensions"]["code"] == ErrorCode.RATE_LIMITED
    assert 890 <= shown["extensions"]["retryAfter"] <= 900
    assert f"wait {shown['extensions']['retryAfter']} seconds" in shown["message"]
    assert "ada" not in shown["message"]


async def test_what_was_tried_does_not_stand_in_redis(redis_url: str) -> None:
    redis: Redis = Redis.from_url(redis_url)
    key = somebody()
    before = set(await redis.keys("*"))
    plain, keyed = Attempts(redis_url), Attempts(redis_url, hash_key=b"a key")
    for attempts in (plain, keyed):
        await attempts.check_and_count(PASSWORDS, key)
        await attempts.close()
    stored = set(await redis.keys("*")) - before
    # Of each its own, so that nobody without the key can tell whose it is by trying all addresses.
    assert len(stored) == 2
    for name in stored:
        assert name.startswith(b"trove:attempts:")
        assert b"example" not in name
        assert 0 < await redis.ttl(name) <= PASSWORDS.seconds
    await redis.aclose()


@pytest.fixture
def own_redis() -> Iterator[Site]:
    """A Redis that may be stopped."""
    with open_directory() as place, redis_in(place) as site:
        yield site


@contextmanager
def redis_in(place: Path) -> Iterator[Site]:
    """A Redis of the test's own."""
    # Somebody else's PostgreSQL: none is started.
    services = PrivateServices(place / ".trove", database_url="postgresql://nobody")
    with services as addresses:
        yield Site(services.directory, Settings(REDIS_URL=addresses.redis_url))


async def test_while_redis_is_stopped_each_process_counts_and_once_it_is_back_all_together(own_redis: Site) -> None:
    url = own_redis.settings.redis_url
    assert url is not None
    async with attempts_at(url, url) as (first, second):
        key = somebody()
        assert [await passes(first, key) for _ in range(11)] == [True] * 10 + [False]
        assert not await passes(second, key)
        with capture_logs() as logs, own_redis.without("redis"):
            for attempts in (first, second):
                assert [await passes(attempts, key) for _ in range(11)] == [True] * 10 + [False]
                await attempts.forget(PASSWORDS, key)
                assert await passes(attempts, key)
        assert [log["event"] for log in logs] == ["attempts_counted_in_memory"] * 2
        assert "ada" not in str(logs)
        # It comes back without what it counted.
        probe: Redis = Redis.from_url(url)
        await eventually("Redis answers", lambda: answers(probe))
        await probe.aclose()
        shared = [await passes(attempts, key) for attempts in (first, second) * 6]
        assert shared == [True] * 10 + [False] * 2


async def answers(redis: Redis) -> bool:
    """Whether Redis does."""
    try:
        return bool(await redis.ping())
    except (RedisError, OSError):
        return False


async def test_a_redis_that_takes_connections_and_never_answers_is_not_waited_for() -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    limit = AttemptLimit("few", tries=2, seconds=900)
    with capture_logs() as logs:
        async with attempts_at(f"redis://127.0.0.1:{port}/0", waits_seconds=REDIS_SECONDS) as (attempts,):
            tries = await asyncio.gather(*(passes(attempts, "ada", limit) for _ in range(5)))
    assert tries.count(True) == 2
    assert [log["event"] for log in logs] == ["attempts_counted_in_memory"]
    silent.close()
    await silent.wait_closed()


def test_a_limit_allows_something() -> None:
    for tries, seconds in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least one"):
            AttemptLimit("none", tries, seconds)
