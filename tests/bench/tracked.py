"""The trackers that are measured: of one large client, of others beside it, and of one whose reports come in.

Trackers stand near the cities of the world, most of them near large ones, and each moves a little from fix to fix.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg.connection import Connection

from app.trackers.cities import bundled_cities

TRACKED_DATABASE = "trove_bench_trackers"
OTHER_CLIENTS = 20
REPORTED_TRACKERS = 10_000
MONTH_OF_FIXES = 30 * 24 * 6
MINUTES_PER_FIX = 10
PLACES = 100
VIEWER_ID, OPERATOR_ID = UUID(int=1), UUID(int=2)
CLIENT_ID, REPORTED_CLIENT_ID = UUID(int=1), UUID(int=2)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many trackers the large client has and the others have together, and the fixes that they get.

    As many as fit in the seconds, each tracker one in turn, and `most_fixes` at most.
    """

    trackers: int
    trackers_of_others: int
    most_fixes: int
    seconds: float


FULL_SCALE = Scale(trackers=100_000, trackers_of_others=20_000, most_fixes=50_000_000, seconds=60.0)
QUICK_SCALE = Scale(trackers=2_000, trackers_of_others=1_000, most_fixes=100_000, seconds=20.0)


def tracker_key(number: int) -> UUID:
    """The primary key of a tracker of the large client, and after those of the others, counted from 1."""
    return UUID(f"018f0004-0000-7000-8000-{number:012x}")


def reported_tracker_key(number: int) -> UUID:
    """The primary key of a tracker whose reports come in, counted from 1."""
    return UUID(f"018f0005-0000-7000-8000-{number:012x}")


async def make_tracked_rows(connection: "Connection[Any]", scale: Scale) -> int:
    """Fill a migrated database as the owner of the cluster; gives how many fixes there are."""
    cities = bundled_cities()
    await connection.execute(
        _CITIES,
        [city.id for city in cities],
        [city.name for city in cities],
        [city.country for city in cities],
        [city.population for city in cities],
        [city.latitude for city in cities],
        [city.longitude for city in cities],
    )
    for statement in _ORGANISATION:
        await connection.execute(statement)
    await connection.execute(_TRACKERS, scale.trackers, scale.trackers_of_others)
    await connection.execute(_REPORTED_TRACKERS)
    await connection.execute(_PARTITIONS)
    made = await _make_fixes(connection, scale)
    await connection.execute(_MONTH, tracker_key(1))
    await connection.execute("VACUUM ANALYZE")
    return made + MONTH_OF_FIXES


async def _make_fixes(connection: "Connection[Any]", scale: Scale) -> int:
    """Each tracker gets a fix in each round; the first round is of its last position."""
    began = time.perf_counter()
    made = 0
    for number in range(scale.most_fixes):
        if made >= scale.most_fixes or time.perf_counter() - began > scale.seconds:
            break
        made += int((await connection.execute(_FIXES, number, tracker_key(1))).split()[-1])
    return made


_CITIES = """
    INSERT INTO trackers.cities (id, name, country, population, position)
    SELECT id, name, country, population, ST_SetSRID(ST_MakePoint(longitude, latitude), 4326)::geography
    FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::float8[], $6::float8[])
        AS given (id, name, country, population, latitude, longitude)
"""
_ORGANISATION: Sequence[str] = (
    """
    INSERT INTO identity.users (id, username)
    SELECT lpad(to_hex(number), 32, '0')::uuid, 'keeper-' || number FROM generate_series(1, 2) AS number
    """,
    f"""
    INSERT INTO trackers.clients (id, name, silent_after_minutes)
    SELECT lpad(to_hex(number), 32, '0')::uuid, 'Client ' || number, 10080
    FROM generate_series(1, {OTHER_CLIENTS + 2}) AS number
    """,
    f"""
    INSERT INTO trackers.memberships (client_id, user_id, id, role)
    VALUES ('{CLIENT_ID}', '{VIEWER_ID}', gen_random_uuid(), 'viewer'),
        ('{REPORTED_CLIENT_ID}', '{OPERATOR_ID}', gen_random_uuid(), 'operator')
    """,
    f"""
    INSERT INTO trackers.brands (id, client_id, name) VALUES ('{UUID(int=1)}', '{CLIENT_ID}', 'Tidewatch')
    """,
    f"""
    INSERT INTO trackers.production_runs (id, client_id, brand_id, description, started_at)
    SELECT lpad(to_hex(number), 32, '0')::uuid, '{CLIENT_ID}', '{UUID(int=1)}', 'Run ' || number,
        now() - number * interval '1 day'
    FROM generate_series(1, 100) AS number
    """,
    # At the largest cities, of both clients that are looked at.
    f"""
    INSERT INTO trackers.places (id, client_id, kind, name, shape, center, reach_meters)
    SELECT gen_random_uuid(), client.id, CASE number % 2 WHEN 0 THEN 'storage' ELSE 'delivery' END,
        'Store ' || number, position, position, 100
    FROM (
        SELECT position, row_number() OVER (ORDER BY population DESC, id) AS number FROM trackers.cities
        ORDER BY population DESC, id LIMIT {PLACES}
    ) AS city
    CROSS JOIN (SELECT id FROM trackers.clients WHERE id IN ('{CLIENT_ID}', '{REPORTED_CLIENT_ID}')) AS client
    """,
)
_LAST_BUCKET = "date_bin('10 minutes', now() - interval '20 minutes', timestamptz '2000-01-01 00:00:00Z')"
# The larger a city the more trackers are around it; each within some 20 km of its middle.
_TRACKERS = f"""
    INSERT INTO trackers.trackers (
        id, client_id, production_run_id, name, created_at, status, status_since, last_fix_at, last_reported_at,
        last_position, last_accuracy_meters, last_confidence, last_city_id, silent_at
    )
    SELECT ('018f0004-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
        CASE WHEN number <= $1 THEN '{CLIENT_ID}'::uuid
            ELSE lpad(to_hex(3 + number % {OTHER_CLIENTS}), 32, '0')::uuid END,
        CASE WHEN number <= $1 THEN lpad(to_hex(1 + number % 100), 32, '0')::uuid END,
        'Box ' || number, now() - interval '60 days', 'in_transit', now() - interval '1 day',
        {_LAST_BUCKET}, {_LAST_BUCKET} + interval '5 minutes',
        ST_SetSRID(ST_MakePoint(
            least(179.9, greatest(-179.9, ST_X(city.position::geometry) + (number * 7919 % 4001 - 2000) / 10000.0)),
            ST_Y(city.position::geometry) + (number * 104729 % 3001 - 1500) / 10000.0
        ), 4326)::geography,
        5 + number % 60, 1 + number % 3, city.id, now() + interval '7 days'
    FROM generate_series(1, $1::bigint + $2::bigint) AS number
    CROSS JOIN (SELECT count(*) AS cities FROM trackers.cities) AS counted
    JOIN (
        SELECT id, position, row_number() OVER (ORDER BY population DESC, id) - 1 AS rank FROM trackers.cities
    ) AS city ON city.rank = floor(counted.cities * power(number * 7919 % 10007 / 10007.0, 4))::bigint
"""
_REPORTED_TRACKERS = f"""
    INSERT INTO trackers.trackers (id, client_id, name, created_at)
    SELECT ('018f0005-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid, '{REPORTED_CLIENT_ID}',
        'Reported ' || number, now() - interval '60 days'
    FROM generate_series(1, {REPORTED_TRACKERS}) AS number
"""
_PARTITIONS = """
    SELECT trackers.ensure_partitions(parent, array_agg(date_trunc('day', now()) - number * interval '1 day'))
    FROM generate_series(0, 60) AS number
    CROSS JOIN unnest(ARRAY['location_fixes', 'location_reports']) AS parent GROUP BY parent
"""
# A fix $1 buckets before the last one of each tracker; the first has a month of its own.
_FIXES = """
    INSERT INTO trackers.location_fixes (
        tracker_id, bucket, client_id, position, accuracy_meters, confidence, last_reported_at, report_count,
        dropped_count, is_anomalous, city_id
    )
    SELECT id, last_fix_at - $1::integer * interval '10 minutes', client_id,
        ST_SetSRID(ST_MakePoint(
            ST_X(last_position::geometry),
            greatest(-89, ST_Y(last_position::geometry) - $1::integer * 0.0005)
        ), 4326)::geography,
        last_accuracy_meters, last_confidence, last_reported_at - $1::integer * interval '10 minutes', 3, 0, false,
        last_city_id
    FROM trackers.trackers WHERE last_fix_at IS NOT NULL AND id <> $2 ORDER BY id
"""
_MONTH = f"""
    INSERT INTO trackers.location_fixes (
        tracker_id, bucket, client_id, position, accuracy_meters, confidence, last_reported_at, report_count,
        dropped_count, is_anomalous, city_id
    )
    SELECT id, last_fix_at - number * interval '10 minutes', client_id,
        ST_SetSRID(ST_MakePoint(9.99 - number * 0.0011 + sin(number / 7.0) * 0.004,
            53.55 - number * 0.0012 + cos(number / 5.0) * 0.003), 4326)::geography,
        10 + number % 40, 2, last_reported_at - number * interval '10 minutes', 3, 0, number % 500 = 499, last_city_id
    FROM trackers.trackers CROSS JOIN generate_series(0, {MONTH_OF_FIXES - 1}) AS number WHERE id = $1
"""
