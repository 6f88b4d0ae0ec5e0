"""Snapshots and transactions: what an operation sees, what leaves after a commit, and what each role may do."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import Integer, func, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import Item
from app.core.database import Database, Transaction, asyncpg_connection, is_database_away
from app.core.events import Event, Topic
from app.core.jobs import connect_redis
from app.core.settings import Settings
from tests.catalogue.builders import coin, saved


async def count_items(connection: AsyncConnection) -> int:
    """How many items this connection sees."""
    return (await connection.execute(select(func.count()).select_from(Item))).scalar_one()


async def run(connection: AsyncConnection, statement: str) -> None:
    """Run a statement."""
    await connection.execute(text(statement))


async def test_a_snapshot_does_not_see_what_is_committed_after_its_first_read(
    database: Database, api_database: Database
) -> None:
    snapshot = api_database.snapshot()
    assert await snapshot.read(count_items) == 0
    await saved(database, coin("aurum"))
    assert await snapshot.read(count_items) == 0
    await snapshot.close()
    fresh = api_database.snapshot()
    assert await fresh.read(count_items) == 1
    await fresh.close()


async def test_a_snapshot_holds_one_connection_however_many_read_at_once(api_database: Database) -> None:
    snapshot = api_database.snapshot()
    await asyncio.gather(*(snapshot.read(count_items) for _ in range(20)))
    assert api_database.connections_in_use == 1
    assert snapshot.statements == 20
    await snapshot.close()
    assert api_database.connections_in_use == 0


async def test_a_snapshot_cannot_write_and_cannot_be_read_after_its_end(api_database: Database) -> None:
    snapshot = api_database.snapshot()
    with pytest.raises(DBAPIError, match="read-only transaction"):
        await snapshot.read(run, "CREATE TEMPORARY TABLE scratch (id integer)")
    await snapshot.close()
    with pytest.raises(RuntimeError, match="has ended"):
        await snapshot.read(count_items)


async def test_a_value_that_cannot_be_sent_is_no_sign_that_the_database_is_away(api_database: Database) -> None:
    async with api_database.engine.connect() as connection:
        driver = await asyncpg_connection(connection)
        with pytest.raises(asyncpg.DataError, match="invalid input for query argument") as by_driver:
            await driver.fetch("SELECT $1::integer", "one")
        with pytest.raises(DBAPIError, match="invalid input for query argument") as by_engine:
            await connection.execute(select(literal("one", Integer)))
    assert not is_database_away(by_driver.value)
    assert not is_database_away(by_engine.value)


async def test_a_connection_that_is_closed_says_that_the_database_is_away(api_database: Database) -> None:
    async with api_database.engine.connect() as connection:
        driver = await asyncpg_connection(connection)
        await driver.close()
        with pytest.raises(asyncpg.InterfaceError) as closed:
            await driver.fetch("SELECT 1")
        await connection.invalidate()
    assert is_database_away(closed.value)


async def announce_and_fail(transaction: Transaction) -> None:
    """Ask for an event, then refuse."""
    transaction.announce(Event(Topic.PRICES_CHANGED))
    raise ValueError("refused")


async def test_events_leave_after_the_commit_and_vanish_with_a_rollback(
    database: Database, trove_settings: Settings
) -> None:
    redis = connect_redis(trove_settings.redis_url or "")
    async with redis.pubsub() as heard:
        await heard.subscribe(Topic.PRICES_CHANGED.value)
        assert (await heard.get_message(timeout=5))["type"] == "subscribe"
        with pytest.raises(ValueError, match="refused"):
            async with database.transaction() as transaction:
                await announce_and_fail(transaction)
        async with database.transaction() as transaction:
            transaction.announce(Event(Topic.PRICES_CHANGED))
            assert await heard.get_message(timeout=0.2) is None, "it left before the commit, or after a rollback"
        assert (await heard.get_message(timeout=5))["type"] == "message"
    await redis.aclose()


FORBIDDEN_TO_THE_API = [
    "INSERT INTO catalogue.items (id, kind, slug, name) VALUES (gen_random_uuid(), 'coin', 'x', 'x')",
    "UPDATE ingestion.ingest_batches SET status = 'processed'",
    "DELETE FROM prices.price_points",
    "CREATE TABLE prices.mine (id integer)",
    "DROP TABLE prices.price_points",
    "SELECT prices.ensure_partitions('price_points', ARRAY[now()])",
]
FORBIDDEN_TO_THE_WORKER = [
    "DELETE FROM identity.audit_log",
    "TRUNCATE prices.price_points",
    "DROP TABLE prices.price_points",
    "CREATE TABLE prices.mine (id integer)",
    "ALTER TABLE catalogue.items ADD COLUMN mine integer",
    "UPDATE alembic_version SET version_num = '0'",
]


@pytest.mark.parametrize("statement", FORBIDDEN_TO_THE_API)
async def test_the_api_may_not(api_database: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner|takes catalogue:write"):
        async with api_database.transaction() as transaction:
            await run(transaction.connection, statement)


@pytest.mark.parametrize("statement", FORBIDDEN_TO_THE_WORKER)
async def test_the_worker_may_not(database: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        async with database.transaction() as transaction:
            await run(transaction.connection, statement)
