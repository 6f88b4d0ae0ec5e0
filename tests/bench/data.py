"""The rows that are read: items of four kinds, each with a default variant, two series and their daily candles.

The first item has two more series, for charts: a year of hours, and 100,000 minutes. Two hundred collectors have a
portfolio of a hundred holdings each, and one more has one of a thousand.
"""

import base64
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from asyncpg.connection import Connection
from sqlalchemy import make_url

from app.core.ids import PublicIdTag, public_id
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.scopes import Scope
from app.identity.tokens import NewToken, new_token

ITEMS = 5_000
CANDLES_PER_SERIES = 90
COLLECTORS = 200
HOLDINGS_EACH = 100
# Who has the large portfolio, counted on from the others.
LARGE_COLLECTOR = COLLECTORS + 1
LARGE_HOLDINGS = 1_000
HOURS = 8_760
MINUTES = 100_000
DATABASE = "trove_bench"
MILLION_DATABASE = "trove_bench_million"
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Databases:
    """The addresses of one fresh database: for Trove's processes, and for asyncpg."""

    trove_url: str
    plain_url: str


def named(server_url: str, database: str) -> Databases:
    """The addresses of a database on the server that this URL leads to."""
    url = make_url(server_url).set(database=database)
    return Databases(
        trove_url=url.render_as_string(hide_password=False),
        plain_url=url.set(drivername="postgresql").render_as_string(hide_password=False),
    )


async def drop_database(connection: "Connection[Any]", name: str) -> None:
    """Drop a database of the bench, if there is one."""
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def make_database(connection: "Connection[Any]", name: str) -> None:
    """An empty database in place of the last run's."""
    await drop_database(connection, name)
    await connection.execute(f"CREATE DATABASE {name}")


async def make_rows(connection: "Connection[Any]") -> None:
    """Fill a migrated database as the owner of the cluster; the same rows each time, up to the day they count from."""
    statements = (
        _CANDLE_PARTITIONS,
        _items(ITEMS),
        _DETAILS,
        _VARIANTS,
        _SOURCES,
        _SERIES,
        _CANDLES,
        _CHART_SERIES,
        _chart_candles("market", 3_600, HOURS),
        _chart_candles("mid", 60, MINUTES),
    )
    for statement in statements:
        await connection.execute(statement)
    await _make_portfolios(connection)
    await connection.execute("VACUUM ANALYZE")


async def _make_portfolios(connection: "Connection[Any]") -> None:
    for statement in (_COLLECTORS, _PORTFOLIOS, _HOLDINGS):
        await connection.execute(statement)
    tokens = [(number, collector_credentials(number)) for number in range(1, LARGE_COLLECTOR + 1)]
    await connection.executemany(
        _API_TOKEN,
        [
            (
                collector_key(number),
                token.shown_prefix,
                token.hash,
                [Scope.ACCOUNT_READ.value, Scope.PORTFOLIOS_READ.value],
            )
            for number, token in tokens
        ],
    )


async def make_many_rows(connection: "Connection[Any]") -> None:
    """Fill a migrated database with a million items, each with a variant and two series; without details or candles."""
    async with connection.transaction():
        await connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
        # References are right as they are made here; checking three million of them takes longer than making them.
        await connection.execute("SET LOCAL session_replication_role = 'replica'")
        indexes = await connection.fetch(_INDEXES)
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['name']}")
        for statement in (_items(MILLION), _VARIANTS, _SOURCES, _SERIES):
            await connection.execute(statement)
        for index in indexes:
            await connection.execute(index["definition"])
    await connection.execute("VACUUM ANALYZE")


async def chart_series_ids(connection: "Connection[Any]") -> tuple[int, int]:
    """The keys of the series of hours and of the series of minutes."""
    hours, minutes = [row["id"] for row in await connection.fetch(_CHART_SERIES_IDS)]
    return hours, minutes


def item_slug(number: int) -> str:
    """The slug of an item, counted from 1."""
    return f"bench-item-{number:05}"


def item_public_id(number: int) -> str:
    """The id by which the graph knows an item, counted from 1."""
    return public_id(PublicIdTag.ITEM, UUID(f"018f0000-0000-7000-8000-{number:012x}"))


def series_public_id(key: int) -> str:
    """The id by which the graph knows a series."""
    return public_id(PublicIdTag.PRICE_SERIES, key)


def series_key(series_id: str) -> int:
    """The primary key behind the public id of a series; of ids from here only."""
    return int.from_bytes(base64.urlsafe_b64decode(series_id)[len(PublicIdTag.PRICE_SERIES) :])


def item_key(item_id: str) -> UUID:
    """The primary key behind the public id of an item; of ids from here only."""
    return UUID(bytes=base64.urlsafe_b64decode(item_id)[len(PublicIdTag.ITEM) :])


def collector_key(number: int) -> UUID:
    """The primary key of a collector, counted from 1."""
    return UUID(f"018f0001-0000-7000-8000-{number:012x}")


def portfolio_key(number: int) -> UUID:
    """The primary key of a collector's portfolio."""
    return UUID(f"018f0002-0000-7000-8000-{number:012x}")


def portfolio_public_id(number: int) -> str:
    """The id by which the graph knows a collector's portfolio."""
    return public_id(PublicIdTag.PORTFOLIO, portfolio_key(number))


def public_id_key(text: str) -> UUID:
    """The primary key behind a public id; of ids from here only."""
    return UUID(bytes=base64.urlsafe_b64decode(text)[len(PublicIdTag.PORTFOLIO) :])


@cache
def collector_credentials(number: int) -> NewToken:
    """A collector's API token, the same for all of this run."""
    return new_token(API_TOKEN)


# Primary keys rise with time, as those of version 7 do; names lie in another order than keys.
def _items(count: int) -> str:
    return f"""
    INSERT INTO catalogue.items (id, kind, slug, name, image_url, created_at, updated_at)
    SELECT
        ('018f0000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
        (ARRAY['skin', 'coin', 'card', 'figure'])[1 + number % 4],
        'bench-item-' || lpad(number::text, greatest(5, length(number::text)), '0'),
        (ARRAY['Amber', 'Cobalt', 'Hollow', 'Ivory', 'Lunar', 'Silent', 'Tidal', 'Velvet'])[1 + number * 7 % 8]
            || ' ' || (ARRAY['Lantern', 'Harbour', 'Falcon', 'Orchid', 'Comet'])[1 + number * 3 % 5]
            || ' ' || (number * 7919::bigint % {count}),
        'https://images.example/bench/' || number || '.png',
        date_trunc('day', now()) - number * interval '1 minute',
        date_trunc('day', now()) - number * interval '1 minute'
    FROM generate_series(1, {count}) AS number
    """


_DETAILS = """
    WITH skins AS (
        INSERT INTO catalogue.skins (item_id, market_hash_name, category)
        SELECT id, name || ' (' || slug || ')', 'Rifle' FROM catalogue.items WHERE kind = 'skin'
    ), coins AS (
        INSERT INTO catalogue.coins (item_id, symbol, decimals)
        SELECT id, upper(left(name, 3)), 8 FROM catalogue.items WHERE kind = 'coin'
    ), cards AS (
        INSERT INTO catalogue.cards (item_id, game, number)
        SELECT id, 'Tidewatch', right(slug, 5) FROM catalogue.items WHERE kind = 'card'
    )
    INSERT INTO catalogue.figures (item_id, scale)
    SELECT id, '1/7' FROM catalogue.items WHERE kind = 'figure'
"""
_VARIANTS = """
    INSERT INTO catalogue.item_variants (id, item_id, key, name, is_default)
    SELECT overlay(id::text PLACING '9' FROM 20 FOR 1)::uuid, id, 'default', 'Default', true FROM catalogue.items
"""
_SOURCES = """
    INSERT INTO prices.sources (code, name)
    VALUES ('bench-market', 'Bench Market'), ('bench-exchange', 'Bench Exchange')
"""
_SERIES = """
    INSERT INTO prices.price_series (
        variant_id, source_id, kind, currency,
        latest_price, latest_quantity, latest_observed_at, latest_arrival, provided_resolutions
    )
    SELECT
        variant.id, source.id, CASE source.code WHEN 'bench-market' THEN 'sale' ELSE 'ask' END, 'USD',
        round((500 + number * 7919 % 90000) / 100.0, 2), 1 + number % 3,
        date_trunc('day', now()) - number * interval '7 seconds', number, ARRAY[86400]
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM catalogue.item_variants) AS variant
    CROSS JOIN prices.sources AS source
    ORDER BY number, source.id
"""
_CANDLE_PARTITIONS = f"""
    SELECT prices.ensure_partitions('candles', array_agg(now() - number * interval '1 day'))
    FROM generate_series(0, {HOURS // 24 + 1}) AS number
"""
_CANDLES = f"""
    INSERT INTO prices.candles (series_id, resolution, bucket, open, high, low, close, volume, is_provided)
    SELECT
        series.id, 86400, (date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') - day * interval '1 day',
        latest_price, latest_price + 2, latest_price - 2, latest_price + 1, 1 + day, true
    FROM prices.price_series AS series CROSS JOIN generate_series(0, {CANDLES_PER_SERIES - 1}) AS day
"""
_COLLECTORS = f"""
    INSERT INTO identity.users (id, username)
    SELECT ('018f0001-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid, 'collector-' || number
    FROM generate_series(1, {LARGE_COLLECTOR}) AS number
"""
_PORTFOLIOS = f"""
    INSERT INTO portfolios.portfolios (id, owner_id, name, base_currency, is_default)
    SELECT
        ('018f0002-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
        ('018f0001-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
        'Collection ' || number, 'USD', true
    FROM generate_series(1, {LARGE_COLLECTOR}) AS number
"""
# Of items that lie far apart, each in another place of the catalogue for each collector.
_HOLDINGS = f"""
    INSERT INTO portfolios.holdings (id, owner_id, portfolio_id, variant_id, position, quantity, cost)
    SELECT
        ('018f0003-0000-7000-8000-' || lpad(to_hex(number * 10000 + place), 12, '0'))::uuid,
        ('018f0001-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
        ('018f0002-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
        variant.id, place, 1 + place % 5, 100 + place
    FROM generate_series(1, {LARGE_COLLECTOR}) AS number
    CROSS JOIN LATERAL generate_series(
        0, CASE number WHEN {LARGE_COLLECTOR} THEN {LARGE_HOLDINGS} ELSE {HOLDINGS_EACH} END - 1
    ) AS place
    JOIN catalogue.item_variants AS variant
        ON variant.item_id = (
            '018f0000-0000-7000-8000-' || lpad(to_hex(1 + (number * 101 + place * 1597) % {ITEMS}), 12, '0')
        )::uuid
"""
_API_TOKEN = """
    INSERT INTO identity.api_tokens (id, user_id, name, prefix, token_hash, scopes)
    VALUES (gen_random_uuid(), $1, 'Bench', $2, $3, $4)
"""
# After the others, so that these keep their numbers; what they say last is less telling than a sale, so never shown.
_CHART_SERIES = """
    INSERT INTO prices.price_series (
        variant_id, source_id, kind, currency,
        latest_price, latest_quantity, latest_observed_at, latest_arrival, provided_resolutions
    )
    SELECT
        variant_id, source_id, chart.kind, 'USD', latest_price, latest_quantity, latest_observed_at, latest_arrival,
        ARRAY[chart.resolution]
    FROM (
        SELECT * FROM prices.price_series WHERE kind = 'sale' ORDER BY id LIMIT 1
    ) AS sale CROSS JOIN (VALUES (1, 'market', 3600), (2, 'mid', 60)) AS chart (position, kind, resolution)
    ORDER BY chart.position
"""
_CHART_SERIES_IDS = "SELECT id FROM prices.price_series WHERE kind IN ('market', 'mid') ORDER BY kind"
# Those that no constraint needs, and that are quicker to make at once than row by row.
_INDEXES = """
    SELECT format('%I.%I', schemaname, indexname) AS name, indexdef AS definition
    FROM pg_indexes
    WHERE schemaname IN ('catalogue', 'prices') AND tablename IN ('items', 'item_variants')
      AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


def _chart_candles(kind: str, resolution: int, count: int) -> str:
    return f"""
    INSERT INTO prices.candles (series_id, resolution, bucket, open, high, low, close, volume, is_provided)
    SELECT
        series.id, {resolution},
        (date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') - back * {resolution} * interval '1 second',
        round((50000 + back * 7919 % 9000) / 100.0, 2), round((60000 + back * 7907 % 900) / 100.0, 2),
        round((40000 + back * 7901 % 900) / 100.0, 2), round((50000 + back * 7883 % 9000) / 100.0, 2),
        1 + back % 50, true
    FROM prices.price_series AS series CROSS JOIN generate_series(1, {count}) AS back
    WHERE series.kind = '{kind}'
    """
