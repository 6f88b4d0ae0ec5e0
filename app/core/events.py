"""Live events: hints, by Redis, that something new stands in the database. A lost hint costs a moment, never data."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.jobs import HINT_SECONDS

logger = structlog.get_logger(__name__)


class Topic(StrEnum):
    """What a hint is about."""

    PRICES_CHANGED = "trove:prices-changed"
    TRACKERS_CHANGED = "trove:trackers-changed"
    NOTIFIED = "trove:notified"
    REVOKED = "trove:revoked"
    RUNS_CHANGED = "trove:runs-changed"


@dataclass(frozen=True, slots=True)
class Event:
    """There is news under `topic`; who cares reads the database."""

    topic: Topic


class EventBus:
    """Publishes and receives hints. Redis being away is logged and survived: listeners also look by themselves."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def publish(self, event: Event) -> None:
        """Tell every listening process; never raises."""
        try:
            async with asyncio.timeout(HINT_SECONDS):
                await self._redis.publish(event.topic.value, b"")
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("event_not_published", topic=event.topic.value, reason=type(error).__name__)

    async def listen(self, topic: Topic, *, at_least_every: float) -> AsyncIterator[None]:
        """Yield at each hint, and at least every so many seconds, for as long as the caller iterates."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(topic.value)
                    yield
                    while True:
                        await subscription.get_message(timeout=at_least_every)
                        yield
            except (RedisError, OSError) as error:
                logger.warning("events_unavailable", topic=topic.value, reason=type(error).__name__)
                await asyncio.sleep(min(1.0, at_least_every))
                yield
