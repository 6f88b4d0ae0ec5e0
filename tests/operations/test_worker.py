"""What a worker leaves behind when it stops in the middle of telling Redis what it has done."""

import asyncio
import gc
from typing import Any

from app.core.jobs import connect_redis
from workers.runner import Runner
from workers.settings import job_worker

NOBODY = "redis://127.0.0.1:1/0"


class Idle(Runner):
    """Has nothing to do."""

    async def work(self, stopping: asyncio.Event) -> None:
        """Nothing."""


async def test_a_job_that_was_given_up_while_redis_was_told_of_it_is_no_mistake() -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    redis = connect_redis(NOBODY)
    try:
        worker = job_worker(redis, {"idle": Idle()})
        telling = asyncio.create_task(worker.finish_job("job", True, None, None, False, None, None))
        await asyncio.wait([telling])
        assert telling.done()
        del telling
        gc.collect()
    finally:
        loop.set_exception_handler(None)
        await redis.aclose()
    assert heard == []
