"""Ending asyncio's tasks."""

import asyncio
from collections.abc import Iterable
from typing import Any

_CANCELLED_WITHIN_SECONDS = 0.1


async def end_tasks(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks and wait until each has ended, however it ends; what a task raises then is dropped.

    More than once where need be: redis-py swallows a cancellation that comes while it connects, or while it looks
    whether its connection still stands.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=_CANCELLED_WITHIN_SECONDS)
        for task in ended:
            if not task.cancelled():
                task.exception()
