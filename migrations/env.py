"""Runs the migrations over asyncpg, as the user of `DATABASE_URL`, then as the role that owns the tables."""

import asyncio

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import SchemaItem

import app.alerts.models
import app.catalogue.models
import app.identity.models
import app.ingestion.models
import app.notifications.models
import app.operations.models
import app.portfolios.models
import app.portfolios.wish_models
import app.prices.models
import app.providers.models
import app.trackers.history_models
import app.trackers.models
from app.core.database import Base, DatabaseRole
from app.core.settings import current_settings

OUR_SCHEMAS = {
    app.identity.models.SCHEMA,
    app.operations.models.SCHEMA,
    app.providers.models.SCHEMA,
    app.ingestion.models.SCHEMA,
    app.catalogue.models.SCHEMA,
    app.prices.models.SCHEMA,
    app.portfolios.models.SCHEMA,
    app.trackers.models.SCHEMA,
    app.alerts.models.SCHEMA,
    app.notifications.models.SCHEMA,
}
# Waiting behind a long reader would queue every request behind the migration; better to fail and be run again.
LOCK_TIMEOUT = "5s"


def include_name(name: str | None, type_: str, parent_names: object) -> bool:
    """Compare our schemas only; the extensions' tables are not ours."""
    return name in OUR_SCHEMAS if type_ == "schema" else True


def include_object(item: SchemaItem, name: str | None, type_: str, reflected: bool, compare_to: object) -> bool:
    """Leave out partitions: they come and go with time."""
    return not (type_ == "table" and reflected and compare_to is None and "_p_" in (name or ""))


def run_migrations(connection: sa.Connection) -> None:
    connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    become_owner(connection)
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_schemas=True,
        include_name=include_name,
        include_object=include_object,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def become_owner(connection: sa.Connection) -> None:
    """From the second migration on tables belong to the migrator role, whoever runs the migration."""
    is_there = connection.scalar(
        sa.text("SELECT pg_has_role(rolname, 'MEMBER') FROM pg_roles WHERE rolname = :role"),
        {"role": DatabaseRole.MIGRATOR.value},
    )
    if is_there and connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is not None:
        connection.execute(sa.text(f"SET ROLE {DatabaseRole.MIGRATOR.value}"))


async def migrate() -> None:
    url = context.config.attributes.get("url") or current_settings().database_url
    if url is None:
        raise SystemExit("No database: set DATABASE_URL, or use `trove up`, which brings its own.")
    engine = create_async_engine(url, poolclass=sa.pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run_migrations)
    await engine.dispose()


asyncio.run(migrate())
