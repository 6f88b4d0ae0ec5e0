"""Nothing accepted is lost or doubled: workers killed, Redis emptied or away, batches repeated, workers in parallel."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, create_engine
from app.core.errors import ServiceUnavailable
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.ingestion import delivery
from app.ingestion.delivery import Delivery, deliver
from app.ingestion.errors import BatchNotProcessed
from app.ingestion.file_rows import RowBatch
from app.ingestion.models import BatchKind
from app.prices.commands.price_batches import price_batches
from app.prices.commands.series_state import PRICE_CHANGES_LOCK
from app.prices.resolutions import ROLLED_UP, bucket_start
from tests.alerts.price_builders import rule_of
from tests.catalogue.builders import coin, saved
from tests.conftest import open_database, running
from tests.identity.builders import add_person
from tests.prices.builders import MONDAY, Line, accepted, ingested, point
from workers.ingestion import process_waiting_batches

ITEMS = [f"coin-{number:02}" for number in range(20)]
PATIENCE_SECONDS = 30.0
SERIES = """(prices.price_series s JOIN catalogue.item_variants v ON v.id = s.variant_id
    JOIN catalogue.items i ON i.id = v.item_id)"""


@pytest.fixture
async def prices(database: Database) -> Database:
    """A database with twenty coins."""
    await saved(database, *(coin(item, symbol=item.upper()) for item in ITEMS))
    return database


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The owner of the cluster, who sees and may do everything."""
    engine = create_engine(database_url, role=None, pool_size=2, application_name="tests-faults")
    yield engine
    await engine.dispose()


def sales(count: int, *, seed: int, days: int = 2) -> list[Line]:
    """Sales of all items in random order, each with a key of its own."""
    chance = random.Random(seed)
    return [
        point(
            chance.choice(ITEMS),
            f"{chance.randint(1, 99_999) / 100:.2f}",
            at=MONDAY + timedelta(milliseconds=chance.randrange(days * 86_400_000)),
            quantity=str(chance.randint(1, 9)),
            key=f"sale-{seed}-{number}",
        )
        for number in range(count)
    ]


async def eventually(what: str, is_so: Callable[[], Awaitable[object]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await is_so():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        await asyncio.sleep(0.05)


async def value_of(database: Database, statement: str) -> Any:
    async with database.transaction() as transaction:
        return await transaction.connection.scalar(text(statement))


async def nothing_waits(database: Database) -> bool:
    waiting = await value_of(database, "SELECT count(*) FROM ingestion.ingest_batches WHERE status = 'received'")
    return bool(waiting == 0)


async def assert_stored_once(database: Database, lines: Iterable[Line]) -> None:
    """The stored points are these, each once; candles, latest prices and counts fit them."""
    rows = [(str(line["item"]), datetime.fromisoformat(str(line["observedAt"])), line) for line in lines]
    expected = sorted(
        (item, at, Decimal(str(line["price"])), Decimal(str(line["quantity"]))) for item, at, line in rows
    )
    async with database.transaction() as transaction:
        points = await transaction.connection.execute(
            text(
                "SELECT slug, observed_at, price, quantity "
                f"FROM prices.price_points p JOIN {SERIES} ON s.id = p.series_id"
            )
        )
        assert sorted(tuple(row) for row in points) == expected
        candles = await transaction.connection.execute(
            text(
                "SELECT slug, resolution, bucket, high, low, volume, turnover, point_count "
                f"FROM prices.candles c JOIN {SERIES} ON s.id = c.series_id"
            )
        )
        stored = sorted(tuple(row) for row in candles)
        latest = await transaction.connection.execute(
            text(f"SELECT slug, latest_observed_at, latest_price FROM {SERIES}")
        )
        newest = {row.slug: (row.latest_observed_at, row.latest_price) for row in latest}
        counted = await transaction.connection.scalar(text("SELECT sum(accepted_count) FROM ingestion.ingest_batches"))
    assert counted == len(expected)
    inside: dict[tuple[str, int, datetime], list[tuple[Decimal, Decimal]]] = {}
    for item, at, price, quantity in expected:
        for resolution in ROLLED_UP:
            inside.setdefault((item, int(resolution), bucket_start(at, resolution)), []).append((price, quantity))
    assert stored == sorted(
        (
            *place,
            max(p for p, _ in sold),
            min(p for p, _ in sold),
            sum(q for _, q in sold),
            sum(p * q for p, q in sold),
            len(sold),
        )
        for place, sold in inside.items()
    )
    for item in {row[0] for row in expected}:
        assert newest[item][0] == max(row[1] for row in expected if row[0] == item)


@asynccontextmanager
async def holding(owner: AsyncEngine, *statements: str) -> AsyncIterator[None]:
    """Another client holds what these statements lock, until the block ends."""
    async with owner.connect() as connection:
        transaction = await connection.begin()
        for statement in statements:
            await connection.execute(text(statement))
        yield
        await transaction.rollback()


async def a_worker_waits_for_a_lock(owner: AsyncEngine) -> bool:
    async with owner.connect() as connection:
        waiting = await connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'trove-worker' AND wait_event_type = 'Lock'"
            )
        )
    return bool(waiting)


async def ada_watches_for(database: Database, threshold: str) -> None:
    """She is to be told once the first item costs more."""
    async with database.transaction() as transaction:
        ada = await add_person(transaction.connection, username="ada")
        found = text("SELECT id FROM catalogue.items WHERE slug = :slug")
        item_id = await transaction.connection.scalar(found, {"slug": ITEMS[0]})
    watches_from = utc_now() - timedelta(minutes=1)
    await rule_of(database, ada, "crosses_above", threshold, key=item_id, watches_from=watches_from)


@pytest.mark.parametrize(
    ("lock", "count"),
    [
        ("SELECT 1 FROM prices.price_series FOR UPDATE", 5_000),
        ("LOCK TABLE prices.candles IN SHARE ROW EXCLUSIVE MODE", 5_000),
        (f"SELECT pg_advisory_xact_lock({PRICE_CHANGES_LOCK})", 49_999),
    ],
    ids=["before the points", "between points and candles", "before the commit"],
)
async def test_a_worker_killed_in_a_batch_loses_and_doubles_nothing(
    prices: Database, owner: AsyncEngine, trove_settings: Settings, lock: str, count: int
) -> None:
    first = sales(100, seed=0)
    await ingested(prices, *first)
    await ada_watches_for(prices, "99999.5")
    lines = [*sales(count, seed=1), point(ITEMS[0], "100001", quantity="1", key="dear")]
    batch = await accepted(prices, lines)
    async with holding(owner, lock):
        with running(["worker"], trove_settings) as worker:
            await eventually("the worker is in the batch", lambda: a_worker_waits_for_a_lock(owner))
            worker.send_signal(signal.SIGKILL)
            assert worker.wait(10) == -signal.SIGKILL
        assert await value_of(prices, "SELECT count(*) FROM prices.price_points") == 100
        assert await value_of(prices, "SELECT count(*) FROM alerts.alerts") == 0
    with running(["worker"], trove_settings):
        await eventually("the batch is processed", lambda: nothing_waits(prices))
    assert await value_of(prices, f"SELECT attempts FROM ingestion.ingest_batches WHERE id = '{batch.id}'") == 0
    await assert_stored_once(prices, [*first, *lines])
    assert await value_of(prices, "SELECT new_value FROM alerts.alerts") == 100_001
    for table in ("alerts.alerts", "notifications.notifications"):
        assert await value_of(prices, f"SELECT count(*) FROM {table}") == 1


async def test_a_worker_told_to_stop_finishes_its_batch_and_ends_cleanly(
    prices: Database, owner: AsyncEngine, trove_settings: Settings
) -> None:
    lines = sales(2_000, seed=2)
    await accepted(prices, lines)
    with running(["worker"], trove_settings) as worker:
        async with holding(owner, f"SELECT pg_advisory_xact_lock({PRICE_CHANGES_LOCK})"):
            await eventually("the worker is in the batch", lambda: a_worker_waits_for_a_lock(owner))
            worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 15) == 0
    assert await nothing_waits(prices)
    await assert_stored_once(prices, lines)


async def test_batches_whose_nudges_redis_has_lost_are_found(prices: Database, trove_settings: Settings) -> None:
    redis = connect_redis(str(trove_settings.redis_url))
    without_redis = trove_settings.model_copy(update={"redis_url": "unix:///nonexistent/redis.sock"})
    with running(["worker"], trove_settings):
        before = sales(10, seed=3)
        await accepted(prices, before)
        await eventually("the worker runs", lambda: nothing_waits(prices))
        await redis.flushdb()
        lines = sales(1_000, seed=4)
        async with open_database(without_redis, DatabaseRole.WORKER) as unheard:
            await accepted(unheard, lines)
        await redis.flushdb()
        await eventually("the batch without a nudge is processed", lambda: nothing_waits(prices))
        after = sales(10, seed=5)
        await accepted(prices, after)
        await eventually("the queue works again", lambda: nothing_waits(prices))
    await redis.aclose()
    await assert_stored_once(prices, [*before, *lines, *after])


async def test_a_worker_without_redis_processes_batches_all_the_same(
    prices: Database, trove_settings: Settings
) -> None:
    lines = sales(1_000, seed=6)
    await accepted(prices, lines[:500])
    without_redis = trove_settings.model_copy(update={"redis_url": "unix:///nonexistent/redis.sock"})
    with running(["worker"], without_redis) as worker:
        await eventually("the first batch is processed", lambda: nothing_waits(prices))
        await accepted(prices, lines[500:])
        await eventually("the second batch is processed", lambda: nothing_waits(prices))
        assert worker.poll() is None
    await assert_stored_once(prices, lines)


async def test_a_batch_sent_three_times_goes_in_once(prices: Database) -> None:
    lines = sales(2_000, seed=7)
    for key in ("one", "one", None, None):
        await accepted(prices, lines, key=key)
    await process_waiting_batches(prices, price_batches())
    assert await value_of(prices, "SELECT count(*) FROM ingestion.ingest_batches") == 3
    assert await value_of(prices, "SELECT sum(duplicate_count) FROM ingestion.ingest_batches") == 4_000
    await assert_stored_once(prices, lines)


async def test_two_workers_at_once_share_the_batches(prices: Database, trove_settings: Settings) -> None:
    batches = [sales(1_500, seed=seed, days=1) for seed in range(10, 26)]
    for lines in batches:
        await accepted(prices, lines)
    with running(["worker"], trove_settings), running(["worker"], trove_settings):
        await eventually("all batches are processed", lambda: nothing_waits(prices))
    assert await value_of(prices, "SELECT max(attempts) FROM ingestion.ingest_batches") == 0
    await assert_stored_once(prices, [line for lines in batches for line in lines])


async def test_a_batch_that_fails_again_and_again_is_given_up_and_holds_nothing_up(
    prices: Database, owner: AsyncEngine
) -> None:
    constraint = "prices.price_points ADD CONSTRAINT refuses_in_this_test CHECK (price <> 666) NOT VALID"
    async with owner.begin() as connection:
        await connection.execute(text(f"ALTER TABLE {constraint}"))
    try:
        bad = await accepted(prices, [*sales(3, seed=30), point(ITEMS[0], "666", at=MONDAY, quantity="1")])
        lines = sales(100, seed=31)
        await accepted(prices, lines)
        assert [await process_waiting_batches(prices, price_batches()) for _ in range(6)] == [1, 0, 0, 0, 0, 0]
    finally:
        async with owner.begin() as connection:
            await connection.execute(text("ALTER TABLE prices.price_points DROP CONSTRAINT refuses_in_this_test"))
    row = f"FROM ingestion.ingest_batches WHERE id = '{bad.id}'"
    assert await value_of(prices, f"SELECT status {row}") == "failed"
    assert await value_of(prices, f"SELECT attempts {row}") == 5
    assert "refuses_in_this_test" in await value_of(prices, f"SELECT last_error {row}")
    assert await value_of(prices, f"SELECT length(payload) > 0 {row}")
    await assert_stored_once(prices, lines)


async def test_a_full_disk_costs_a_batch_no_attempt(prices: Database, owner: AsyncEngine) -> None:
    async with owner.begin() as connection:
        await connection.execute(
            text("""
                CREATE FUNCTION prices.disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$
            """)
        )
        await connection.execute(
            text(
                "CREATE TRIGGER full_disk BEFORE INSERT ON prices.candles "
                "FOR EACH ROW EXECUTE FUNCTION prices.disk_is_full()"
            )
        )
    lines = sales(100, seed=40)
    await accepted(prices, lines)
    try:
        for _ in range(7):
            assert await process_waiting_batches(prices, price_batches()) == 0
    finally:
        async with owner.begin() as connection:
            await connection.execute(text("DROP FUNCTION prices.disk_is_full() CASCADE"))
    assert await value_of(prices, "SELECT attempts FROM ingestion.ingest_batches") == 0
    assert await value_of(prices, "SELECT count(*) FROM prices.price_points") == 0
    assert await process_waiting_batches(prices, price_batches()) == 1
    await assert_stored_once(prices, lines)


@asynccontextmanager
async def failing(owner: AsyncEngine, *, price: str, times: int, sqlstate: str) -> AsyncIterator[None]:
    """The database fails so often, in this way, where a point of such a price is to be stored."""
    async with owner.begin() as connection:
        for statement in (
            # What a sequence has counted is not rolled back.
            "CREATE SEQUENCE prices.failures_in_this_test",
            f"""
            CREATE FUNCTION prices.fails_in_this_test() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                IF NEW.price = {price} AND nextval('prices.failures_in_this_test') <= {times} THEN
                    RAISE EXCEPTION 'failed in this test' USING ERRCODE = '{sqlstate}';
                END IF;
                RETURN NEW;
            END $$
            """,
            "CREATE TRIGGER fails BEFORE INSERT ON prices.price_points FOR EACH ROW "
            "EXECUTE FUNCTION prices.fails_in_this_test()",
        ):
            await connection.execute(text(statement))
    try:
        yield
    finally:
        async with owner.begin() as connection:
            await connection.execute(text("DROP FUNCTION prices.fails_in_this_test() CASCADE"))
            await connection.execute(text("DROP SEQUENCE prices.failures_in_this_test"))


DEADLOCK, CHECK_VIOLATION, DISK_FULL = "40P01", "23514", "53100"


async def delivered(database: Database, *prices: str) -> Delivery:
    """What became of prices that an importer delivers, each in a batch of its own."""
    batches = [RowBatch(orjson.dumps(point(ITEMS[0], price, at=MONDAY, key=price)), [1]) for price in prices]
    return await deliver(database, price_batches(), kind=BatchKind.PRICE_POINTS, batches=batches)


@pytest.mark.parametrize(("sqlstate", "attempts"), [(DEADLOCK, 0), (CHECK_VIOLATION, 1)])
async def test_who_delivers_does_not_give_up_what_others_sent(
    prices: Database, owner: AsyncEngine, sqlstate: str, attempts: int
) -> None:
    others = await accepted(prices, [point(ITEMS[0], "666", at=MONDAY)])
    async with failing(owner, price="666", times=99, sqlstate=sqlstate):
        assert (await delivered(prices, *(f"{number}.5" for number in range(8)))).accepted == 8
    row = f"FROM ingestion.ingest_batches WHERE id = '{others.id}'"
    assert await value_of(prices, f"SELECT status {row}") == "received"
    assert await value_of(prices, f"SELECT attempts {row}") == attempts
    assert await process_waiting_batches(prices, price_batches()) == 1


async def test_a_delivery_that_deadlocks_is_tried_again_and_loses_no_attempt(
    prices: Database, owner: AsyncEngine
) -> None:
    async with failing(owner, price="666", times=2, sqlstate=DEADLOCK):
        assert (await delivered(prices, "666", "1.5")).accepted == 2
    assert await value_of(prices, "SELECT sum(attempts) FROM ingestion.ingest_batches") == 0


@pytest.mark.parametrize(
    ("sqlstate", "refusal", "status", "attempts"),
    [
        (DISK_FULL, BatchNotProcessed, "received", 0),
        (DEADLOCK, BatchNotProcessed, "received", 0),
        (CHECK_VIOLATION, ServiceUnavailable, "failed", 5),
    ],
)
async def test_a_delivery_that_fails_again_and_again_ends_and_says_so(
    prices: Database,
    owner: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    sqlstate: str,
    refusal: type[Exception],
    status: str,
    attempts: int,
) -> None:
    monkeypatch.setattr(delivery, "SECONDS_BETWEEN_TRIES", 0.01)
    async with failing(owner, price="666", times=99, sqlstate=sqlstate):
        with pytest.raises(refusal):
            await delivered(prices, "666")
    assert await value_of(prices, "SELECT status FROM ingestion.ingest_batches") == status
    assert await value_of(prices, "SELECT attempts FROM ingestion.ingest_batches") == attempts
    await delivered(prices, "666")
    assert await value_of(prices, "SELECT accepted_count FROM ingestion.ingest_batches") == 1
