"""The rows that are read: items of four kinds, each with a default variant, two series and their daily candles."""

import base64
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg.connection import Connection
from sqlalchemy import make_url

from app.core.ids import PublicIdTag, public_id

ITEMS = 5_000
CANDLES_PER_SERIES = 90
DATABASE = "trove_bench"


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


async def make_database(connection: "Connection[Any]") -> None:
    """An empty database in place of the last run's."""
    await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    await connection.execute(f"CREATE DATABASE {DATABASE}")


async def make_rows(connection: "Connection[Any]") -> None:
    """Fill a migrated database as the owner of the cluster; the same rows each time, up to the day they count from."""
    for statement in (_CANDLE_PARTITIONS, _ITEMS, _DETAILS, _VARIANTS, _SOURCES, _SERIES, _CANDLES):
        await connection.execute(statement)
    await connection.execute("VACUUM ANALYZE")


def item_slug(number: int) -> str:
    """The slug of an item, counted from 1."""
    return f"bench-item-{number:05}"


def item_public_id(number: int) -> str:
    """The id by which the graph knows an item, counted from 1."""
    return public_id(PublicIdTag.ITEM, UUID(f"018f0000-0000-7000-8000-{number:012x}"))


def item_key(item_id: str) -> UUID:
    """The primary key behind the public id of an item; of ids from here only."""
    return UUID(bytes=base64.urlsafe_b64decode(item_id)[len(PublicIdTag.ITEM) :])


# Primary keys rise with time, as those of version 7 do; names lie in another order than keys.
_ITEMS = f"""
    INSERT INTO catalogue.items (id, kind, slug, name, image_url)
    SELECT
        ('018f0000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
        (ARRAY['skin', 'coin', 'card', 'figure'])[1 + number % 4],
        'bench-item-' || lpad(number::text, 5, '0'),
        (ARRAY['Amber', 'Cobalt', 'Hollow', 'Ivory', 'Lunar', 'Silent', 'Tidal', 'Velvet'])[1 + number * 7 % 8]
            || ' ' || (ARRAY['Lantern', 'Harbour', 'Falcon', 'Orchid', 'Comet'])[1 + number * 3 % 5]
            || ' ' || (number * 7919 % {ITEMS}),
        'https://images.example/bench/' || number || '.png'
    FROM generate_series(1, {ITEMS}) AS number
"""
_DETAILS = """
    WITH skins AS (
        INSERT INTO catalogue.skins (item_id, market_hash_name, category)
        SELECT id, name || ' (' || slug || ')', 'Rifle' FROM catalogue.items WHERE kind = 'skin'
    ), coins AS (
        INSERT INTO catalogue.coins (item_id, symbol, decimals)
        SELECT id, upper(left(name, 3)), 8 FROM catalogue.items WHERE kind = 'coin'
    ), cards AS (
        INSERT INTO catalogue.cards (item_id, game, set_code, number)
        SELECT id, 'Tidewatch', 'TW1', right(slug, 5) FROM catalogue.items WHERE kind = 'card'
    )
    INSERT INTO catalogue.figures (item_id, manufacturer, series, scale)
    SELECT id, 'Hollow Pine', 'Lanterns', '1/7' FROM catalogue.items WHERE kind = 'figure'
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
    FROM generate_series(0, {CANDLES_PER_SERIES}) AS number
"""
_CANDLES = f"""
    INSERT INTO prices.candles (series_id, resolution, bucket, open, high, low, close, volume, is_provided)
    SELECT
        series.id, 86400, (date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') - day * interval '1 day',
        latest_price, latest_price + 2, latest_price - 2, latest_price + 1, 1 + day, true
    FROM prices.price_series AS series CROSS JOIN generate_series(0, {CANDLES_PER_SERIES - 1}) AS day
"""
