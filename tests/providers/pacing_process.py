"""A process that asks a provider many times at once, over the ledger: `python pacing_process.py name times at_once`.

It says `ready` and begins when it is sent a line.
"""

import asyncio
import sys

import uvloop

from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.settings import current_settings
from app.providers.client import ProviderClient, Question, provider_http
from tests.providers.builders import CODE


async def ask(name: str, times: int, at_once: int) -> None:
    """Ask so often, with so many questions under way."""
    settings = current_settings()
    assert settings.database_url is not None
    assert settings.redis_url is not None
    redis = connect_redis(settings.redis_url)
    engine = create_engine(
        settings.database_url, role=DatabaseRole.WORKER, pool_size=5, application_name="tests-pacing"
    )
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    room = asyncio.Semaphore(at_once)
    async with provider_http() as http:
        client = ProviderClient(database, CODE, http, patience_seconds=600)

        async def one() -> None:
            async with room:
                await client.ask_json(Question(endpoint="prices", path="/prices", params={"by": name}))

        print("ready", flush=True)  # noqa: T201  # to who started us
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.TaskGroup() as group:
            for _ in range(times):
                group.create_task(one())
    await database.close()
    await redis.aclose()


if __name__ == "__main__":
    uvloop.run(ask(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
