"""The database for a program that acts as the worker for a while: an import, an operator's command, the demo."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.database import Database, DatabaseRole, create_engine
from app.core.errors import ServiceUnavailable
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.settings import Settings


@asynccontextmanager
async def worker_database(settings: Settings, *, application_name: str) -> AsyncIterator[Database]:
    """The database as the worker's role; the server's list of sessions shows it under this name.

    Raises `ServiceUnavailable` when the settings do not say where the services are.
    """
    url = settings.worker_database_url or settings.database_url
    if url is None or settings.redis_url is None:
        raise ServiceUnavailable("There is no database to work on: set DATABASE_URL and REDIS_URL.")
    redis = connect_redis(settings.redis_url)
    engine = create_engine(url, role=DatabaseRole.WORKER, pool_size=2, application_name=application_name)
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    try:
        yield database
    finally:
        await database.close()
        await redis.aclose()
