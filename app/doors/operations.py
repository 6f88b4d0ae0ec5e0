"""What operators ask: is it alive, is it ready, how does it do."""

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.core.database import DATABASE_FAILURES, Database
from app.core.revisions import current_revision, needed_revision
from app.core.telemetry import INGEST_BATCHES_WAITING, INGEST_LAG_SECONDS, POOL_CONNECTIONS
from app.ingestion.queries import waiting_batches

# A server that does not answer within this time is as good as away, and who asks must not hang with it.
CHECK_SECONDS = 2.0


def routes() -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`."""
    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


async def healthz(_: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok")


async def readyz(request: Request) -> Response:
    """200 when the database answers at this version's migration and Redis answers, else 503; both with the reasons."""
    checks: dict[str, Callable[[Request], Awaitable[str]]] = {"database": _database, "redis": _redis}
    answers = {name: await check(request) for name, check in checks.items()}
    ready = all(answer == "ok" for answer in answers.values())
    return JSONResponse({"ready": ready, **answers}, status_code=200 if ready else 503)


async def _database(request: Request) -> str:
    database: Database = request.app.state.database
    snapshot = database.snapshot()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            revision = await snapshot.read(current_revision)
    except DATABASE_FAILURES as error:
        return f"unreachable ({type(error).__name__}): check DATABASE_URL and that PostgreSQL is running"
    finally:
        await snapshot.close()
    if revision != needed_revision():
        return f"at migration {revision}, needs {needed_revision()}: run `trove migrate`"
    return "ok"


async def _redis(request: Request) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await request.app.state.redis.ping()
    except (RedisError, OSError) as error:
        return f"unreachable ({type(error).__name__}): check REDIS_URL and that Redis is running"
    return "ok"


async def metrics(request: Request) -> Response:
    """Prometheus metrics of this process, and how far ingestion is behind."""
    database: Database = request.app.state.database
    POOL_CONNECTIONS.labels("in_use").set(database.connections_in_use)
    POOL_CONNECTIONS.labels("idle").set(database.idle_connections)
    snapshot = database.snapshot()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            waiting = await snapshot.read(waiting_batches)
        INGEST_BATCHES_WAITING.set(waiting.count)
        INGEST_LAG_SECONDS.set(waiting.oldest_age_seconds)
    except DATABASE_FAILURES:
        # The other metrics are still worth having while the database is away.
        INGEST_BATCHES_WAITING.set(float("nan"))
        INGEST_LAG_SECONDS.set(float("nan"))
    finally:
        await snapshot.close()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
