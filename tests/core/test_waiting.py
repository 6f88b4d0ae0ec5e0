"""Who waits for a connection gets the next one that is given back, however many are kept at hand."""

import asyncio

from app.catalogue.queries.items import items_by_slug
from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.settings import Settings


async def test_who_waits_is_served_though_a_busy_one_keeps_its_connection(trove_settings: Settings) -> None:
    assert trove_settings.database_url is not None
    redis = connect_redis(trove_settings.redis_url or "")
    engine = create_engine(
        trove_settings.database_url, role=DatabaseRole.API, pool_size=2, application_name="tests-waiting"
    )
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    busy, first, waiting = database.snapshot(), database.snapshot(), database.snapshot()
    await busy.read(items_by_slug, ["a"])
    await first.read(items_by_slug, ["a"])
    asking = asyncio.create_task(waiting.read(items_by_slug, ["a"]))
    await asyncio.sleep(0.05)
    assert not asking.done()
    await first.close()
    async with asyncio.timeout(5):
        await asking
    await waiting.close()
    await busy.close()
    assert database.connections_in_use == 0
    await database.close()
    await redis.aclose()
