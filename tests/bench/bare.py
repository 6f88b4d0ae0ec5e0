"""The peer of the reads: what one would write by hand, without GraphQL. One SQL statement makes the whole body.

The same ASGI server with the same options, as many connections, the same role; no reset between requests.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import orjson
import typer
import uvicorn
from asyncpg.connection import Connection
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.core.database import DatabaseRole
from tests.bench.data import item_key

# LIMIT 1 says that there is one default variant, and so keeps the planner from reading all of them.
_DEFAULT_VARIANT = """
    LEFT JOIN LATERAL (
        SELECT id FROM catalogue.item_variants WHERE item_id = item.id AND is_default LIMIT 1
    ) AS variant ON true
"""
# The best price by the same rule as the graph's: fresh before stale, then by kind, then the newest.
_BEST_PRICE = """
    LEFT JOIN LATERAL (
        SELECT
            series.latest_price::text AS amount, series.currency, upper(series.kind) AS kind, source.code AS source,
            to_char(
                series.latest_observed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
            ) AS "observedAt"
        FROM prices.price_series AS series JOIN prices.sources AS source ON source.id = series.source_id
        WHERE series.variant_id = variant.id AND series.latest_price IS NOT NULL
        ORDER BY
            series.latest_observed_at < now() - interval '30 days',
            array_position(
                ARRAY['sale', 'market', 'mid', 'ask', 'list', 'low', 'bid', 'high'], series.kind
            ),
            series.latest_observed_at DESC,
            series.id
        LIMIT 1
    ) AS price ON true
"""
# row_to_json and array_to_json write no spaces, as the graph does not.
LIST = f"""
    SELECT '{{"data":{{"items":{{"nodes":' || array_to_json(array(
        SELECT row_to_json(node) FROM (
            SELECT item.name, item.slug, item.image_url AS "imageUrl", price
            FROM (SELECT id, name, slug, image_url FROM catalogue.items ORDER BY name, id LIMIT 50) AS item
            {_DEFAULT_VARIANT}
            {_BEST_PRICE}
            ORDER BY item.name, item.id
        ) AS node
    )) || '}}}}}}'
"""
POINT = f"""
    SELECT '{{"data":{{"node":' || row_to_json(node) || '}}}}' FROM (
        SELECT
            translate(encode('it'::bytea || uuid_send(item.id), 'base64'), '+/', '-_') AS id,
            item.name, item.slug, item.image_url AS "imageUrl", price
        FROM catalogue.items AS item
        {_DEFAULT_VARIANT}
        {_BEST_PRICE}
        WHERE item.id = $1
    ) AS node
"""


async def answer(request: Request) -> Response:
    """The body that the graph would give: one item where the variables name one, else the first page of the list."""
    asked = orjson.loads(await request.body())
    pool: asyncpg.Pool[Any] = request.app.state.pool
    item_id = asked.get("variables", {}).get("id")
    if item_id is None:
        body = await pool.fetchval(LIST)
    else:
        body = await pool.fetchval(POINT, item_key(item_id))
    return Response(body, media_type="application/json")


async def ready(_: Request) -> Response:
    """It answers."""
    return PlainTextResponse("ok")


async def _keep(_: "Connection[Any]") -> None:
    """What a connection is reset with when it is given back: nothing, for a statement leaves nothing behind."""


def create_application(database_url: str, *, pool_size: int) -> Starlette:
    """The peer over this database."""

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        settings = {"role": DatabaseRole.API.value, "timezone": "UTC", "jit": "off"}
        async with asyncpg.create_pool(
            database_url, min_size=pool_size, max_size=pool_size, server_settings=settings, reset=_keep
        ) as pool:
            application.state.pool = pool
            yield

    routes = [Route("/graphql", answer, methods=["POST"]), Route("/readyz", ready)]
    return Starlette(routes=routes, lifespan=lifespan)


def serve(port: Annotated[int, typer.Option()]) -> None:
    """Serve until SIGTERM, over BENCH_DATABASE_URL."""
    application = create_application(
        os.environ["BENCH_DATABASE_URL"], pool_size=int(os.environ["TROVE_DATABASE_POOL_SIZE"])
    )
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    typer.run(serve)
