"""The peer of the reads: what one would write by hand, without GraphQL. One SQL statement makes the whole body.

The same ASGI server with the same options, and as many connections; no reset between requests. It trusts whoever asks
to be whom they say, and looks for the owner itself, instead of row-level security.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
import orjson
import typer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench import documents
from tests.bench.asgi import pool_of_environment, ready, serve, viewer_of
from tests.bench.data import item_key, public_id_key, series_key

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
_TIME_FORMAT = """'YYYY-MM-DD"T"HH24:MI:SS"Z"'"""
# Where many leaves need no escaping, text joined by hand is made in two thirds of the time of rows of JSON.
_WALKED_SERIES = f"""
    SELECT string_agg(
        '{{"id":"' || translate(encode('ps'::bytea || int4send(series.id), 'base64'), '+/', '-_')
        || '","kind":"' || upper(series.kind) || '","currency":"' || series.currency || '","latest":'
        || CASE WHEN series.latest_price IS NULL THEN 'null' ELSE
            '{{"amount":"' || series.latest_price
            || '","quantity":' || coalesce('"' || series.latest_quantity || '"', 'null')
            || ',"observedAt":"' || to_char(series.latest_observed_at, {_TIME_FORMAT}) || '"}}'
        END || '}}',
        ',' ORDER BY source.code, series.currency, series.id
    ) AS shown
    FROM prices.price_series AS series JOIN prices.sources AS source ON source.id = series.source_id
    WHERE series.variant_id = variant.id AND series.kind = 'sale'
"""
_WALKED_VARIANTS = f"""
    SELECT string_agg(
        '{{"id":"' || translate(encode('iv'::bytea || uuid_send(variant.id), 'base64'), '+/', '-_')
        || '","key":' || to_json(variant.key) || ',"name":' || to_json(variant.name)
        || ',"isDefault":' || variant.is_default || ',"series":[' || coalesce(series.shown, '') || ']}}',
        ',' ORDER BY variant.position, variant.id
    ) AS shown
    FROM catalogue.item_variants AS variant CROSS JOIN LATERAL ({_WALKED_SERIES}) AS series
    WHERE variant.item_id = item.id
"""
WALK = f"""
    SELECT '{{"data":{{"items":{{"nodes":[' || string_agg(
        '{{"id":"' || translate(encode('it'::bytea || uuid_send(item.id), 'base64'), '+/', '-_')
        || '","slug":' || to_json(item.slug) || ',"name":' || to_json(item.name)
        || ',"imageUrl":' || coalesce(to_json(item.image_url)::text, 'null')
        || ',"kind":"' || upper(item.kind) || '","createdAt":"' || to_char(item.created_at, {_TIME_FORMAT})
        || '","variants":[' || coalesce(variants.shown, '') || ']}}',
        ',' ORDER BY item.name, item.id
    ) || ']}}}}}}'
    FROM (
        SELECT id, slug, name, image_url, kind, created_at FROM catalogue.items ORDER BY name, id LIMIT 100
    ) AS item
    CROSS JOIN LATERAL ({_WALKED_VARIANTS}) AS variants
"""
HOLDINGS = f"""
    SELECT '{{"data":{{"node":{{"name":' || to_json(portfolio.name) || ',"holdings":{{"nodes":[' || string_agg(
        '{{"id":"' || translate(encode('ho'::bytea || uuid_send(holding.id), 'base64'), '+/', '-_')
        || '","quantity":"' || holding.quantity
        || '","variant":{{"id":"' || translate(encode('iv'::bytea || uuid_send(variant.id), 'base64'), '+/', '-_')
        || '","key":' || to_json(variant.key) || ',"name":' || to_json(variant.name)
        || ',"item":{{"id":"' || translate(encode('it'::bytea || uuid_send(item.id), 'base64'), '+/', '-_')
        || '","slug":' || to_json(item.slug) || ',"name":' || to_json(item.name)
        || ',"imageUrl":' || coalesce(to_json(item.image_url)::text, 'null')
        || ',"kind":"' || upper(item.kind) || '","createdAt":"' || to_char(item.created_at, {_TIME_FORMAT})
        || '"}},"price":' || CASE WHEN price.amount IS NULL THEN 'null' ELSE
            '{{"amount":"' || price.amount || '","currency":"' || price.currency || '","kind":"' || price.kind
            || '","source":"' || price.source || '","observedAt":"' || price."observedAt" || '"}}'
        END || '}}}}',
        ',' ORDER BY holding.position, holding.id
    ) || ']}}}}}}}}'
    FROM portfolios.portfolios AS portfolio
    JOIN LATERAL (
        SELECT id, quantity, variant_id, position FROM portfolios.holdings
        WHERE portfolio_id = portfolio.id ORDER BY position, id LIMIT 100
    ) AS holding ON true
    JOIN catalogue.item_variants AS variant ON variant.id = holding.variant_id
    JOIN catalogue.items AS item ON item.id = variant.item_id
    {_BEST_PRICE}
    WHERE portfolio.id = $1 AND portfolio.owner_id = $2
    GROUP BY portfolio.id
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
_NEWEST_HOURS = """
    SELECT bucket, open, high, low, close, volume FROM prices.candles
    WHERE series_id = $1 AND resolution = 3600 AND is_provided
    ORDER BY bucket DESC LIMIT 8760
"""
CANDLES = f"""
    SELECT '{{"data":{{"node":{{"candles":[' || string_agg(
        '{{"start":"' || translate(left(bucket::text, 19), ' ', 'T') || 'Z","open":"' || open || '","high":"' || high
        || '","low":"' || low || '","close":"' || close || '","volume":' || coalesce('"' || volume || '"', 'null')
        || '}}',
        ',' ORDER BY bucket
    ) || ']}}}}}}'
    FROM ({_NEWEST_HOURS}) AS candle
"""
CANDLE_COLUMNS = f"""
    SELECT '{{"data":{{"node":{{"candleColumns":{{"start":["' || replace(
            translate(string_agg(bucket::text, 'Z","'), ' ', 'T'), '+00', ''
        ) || 'Z"],"open":["' || string_agg(open::text, '","') || '"],"high":["' || string_agg(high::text, '","')
        || '"],"low":["' || string_agg(low::text, '","') || '"],"close":["' || string_agg(close::text, '","')
        || '"],"volume":[' || string_agg(coalesce('"' || volume || '"', 'null'), ',') || ']}}}}}}}}'
    FROM (SELECT * FROM ({_NEWEST_HOURS}) AS newest ORDER BY bucket) AS candle
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """The statement that makes the body, and what it takes from the id in the variables, if it takes anything."""

    statement: str
    key: Callable[[str], object] | None = None
    is_private: bool = False


ANSWERS = {
    documents.LIST: Answer(LIST),
    documents.WALK: Answer(WALK),
    documents.HOLDINGS: Answer(HOLDINGS, public_id_key, is_private=True),
    documents.POINT: Answer(POINT, item_key),
    documents.CANDLES: Answer(CANDLES, series_key),
    documents.CANDLE_COLUMNS: Answer(CANDLE_COLUMNS, series_key),
}


async def answer(request: Request) -> Response:
    """The body that the graph would give to one of the documents."""
    asked = orjson.loads(await request.body())
    pool: asyncpg.Pool[Any] = request.app.state.pool
    known = ANSWERS[asked["query"]]
    key = [known.key(asked["variables"]["id"])] if known.key else []
    body = await pool.fetchval(known.statement, *key, *([viewer_of(request)] if known.is_private else []))
    return Response(body, media_type="application/json")


def create_application() -> Starlette:
    """The peer over the bench's database."""

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        async with pool_of_environment() as pool:
            application.state.pool = pool
            yield

    routes = [Route("/graphql", answer, methods=["POST"]), Route("/readyz", ready)]
    return Starlette(routes=routes, lifespan=lifespan)


def main(port: Annotated[int, typer.Option()]) -> None:
    """Serve until SIGTERM."""
    serve(create_application(), port)


if __name__ == "__main__":
    typer.run(main)
