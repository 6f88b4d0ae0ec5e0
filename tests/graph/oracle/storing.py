"""Writes worlds straight into the tables, past every command, so that they may hold what no command would write."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.database import asyncpg_connection
from app.prices.commands.partitions import ensure_candle_partitions, ensure_point_partitions
from app.prices.models import Candle, PricePoint
from app.trackers.history_models import LocationFix
from tests.conftest import EMPTY_TABLES
from tests.graph.oracle.rows import TABLES, World


async def replace_world(owner: AsyncEngine, world: World) -> None:
    """Empty the tables and write the world into them."""
    async with owner.begin() as connection:
        await connection.execute(EMPTY_TABLES)
        await _make_partitions(connection, world)
        driver = await asyncpg_connection(connection)
        # Of PostGIS, which the driver does not know: worlds hold its own binary.
        await driver.set_type_codec("geography", schema="public", encoder=bytes, decoder=bytes, format="binary")
        for model in TABLES:
            rows = world.rows[model]
            if rows:
                # COPY, because it takes the numbers that identity columns would draw by themselves.
                await driver.copy_records_to_table(
                    model.__tablename__,
                    schema_name=model.__table__.schema,
                    columns=list(rows[0]),
                    records=[tuple(row.values()) for row in rows],
                )


async def _make_partitions(connection: AsyncConnection, world: World) -> None:
    observed: list[datetime] = world.column(PricePoint, "observed_at")
    await ensure_point_partitions(connection, sorted({(instant.year, instant.month) for instant in observed}))
    buckets: list[datetime] = world.column(Candle, "bucket")
    await ensure_candle_partitions(connection, sorted({bucket.year for bucket in buckets}))
    await connection.execute(
        text("SELECT trackers.ensure_partitions('location_fixes', CAST(:buckets AS timestamptz[]))"),
        {"buckets": world.column(LocationFix, "bucket")},
    )
