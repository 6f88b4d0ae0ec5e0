"""What a provider publishes and we keep for a while: read once for all who wait for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

KEPT_SECONDS = 3600.0
RELOAD_SECONDS = 60.0

Value = TypeVar("Value")


class Published(Generic[Value]):
    """A value that is loaded on demand and kept for an hour; those who ask meanwhile share one call and its failure."""

    def __init__(self, load: Callable[[], Awaitable[Value]], clock: Callable[[], float]) -> None:
        self._load = load
        self._clock = clock
        self._value: Value | None = None
        self._loaded_at = 0.0
        self._asked_at = 0.0
        self._loading: asyncio.Task[Value] | None = None

    async def current(self) -> Value:
        """The value, at most an hour old."""
        if self._value is None or self._clock() - self._loaded_at >= KEPT_SECONDS:
            return await self._share()
        return self._value

    async def fresh(self) -> Value:
        """The value, read again unless that was tried within the last minute: strangers must not make us call."""
        is_loading = self._loading is not None
        if self._value is None or is_loading or self._clock() - self._asked_at >= RELOAD_SECONDS:
            return await self._share()
        return self._value

    async def _share(self) -> Value:
        if self._loading is None:
            self._asked_at = self._clock()
            self._loading = asyncio.create_task(self._keep())
        # Whoever gives up waiting must not end the call for the others.
        return await asyncio.shield(self._loading)

    async def _keep(self) -> Value:
        try:
            self._value = await self._load()
            self._loaded_at = self._clock()
            return self._value
        finally:
            self._loading = None
