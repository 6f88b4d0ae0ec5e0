"""Candles computed anew from points: what was wrong is put right, what was provided stays, a kill costs nothing."""

import asyncio
import os
import signal
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.core.settings import Settings
from app.ingestion.models import BatchKind
from app.prices.commands.rebuild_candles import RebuildProgress, begin_rebuild, continue_rebuild
from tests.catalogue.builders import coin, saved
from tests.forks import Fork
from tests.prices.builders import MONDAY, candle, ingested, point

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ITEMS = [f"coin-{number}" for number in range(6)]
PATIENCE_SECONDS = 60.0
# One minute, one hour and one day are wrong, a minute is missing, and one stands where no point is, of each series.
DAMAGE = (
    "UPDATE prices.candles SET high = high + 1000 WHERE NOT is_provided AND bucket = '2024-01-01T00:00:00Z'",
    "DELETE FROM prices.candles WHERE resolution = 60 AND bucket = '2024-02-15T00:00:00Z'",
    """INSERT INTO prices.candles SELECT DISTINCT series_id, 3600, timestamptz '2024-03-03T03:00:00Z', 1, 1, 1, 1, 1, 1,
        1, false FROM prices.candles WHERE NOT is_provided""",
)
WRONG_OR_MISSING, TOO_MANY = 4, 1


@pytest.fixture
async def prices(database: Database) -> Database:
    """Six series with points in three months, and one of them with a provided day among them."""
    await saved(database, *(coin(item, symbol=item.upper()) for item in ITEMS))
    days = (0, 0.01, 1, 45, 45.5, 60)
    lines = [
        point(item, str(10 + number), at=MONDAY + day * DAY, source="test-exchange", quantity=str(number + 1))
        for item in ITEMS
        for number, day in enumerate(days)
    ]
    await ingested(database, *lines)
    await ingested(database, candle("coin-0", MONDAY + DAY, DAY, "1 9 1 5", volume="7"), kind=BatchKind.CANDLES)
    return database


async def rows_of(database: Database, statement: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as transaction:
        return [tuple(row) for row in await transaction.connection.execute(text(statement))]


async def candles_of(database: Database) -> list[tuple[Any, ...]]:
    return await rows_of(database, "SELECT * FROM prices.candles ORDER BY series_id, resolution, bucket")


async def damaged(database: Database) -> None:
    async with database.transaction() as transaction:
        for statement in DAMAGE:
            await transaction.connection.execute(text(statement))


async def rebuilt(database: Database, **wanted: Any) -> RebuildProgress:
    async with database.transaction() as transaction:
        progress = await begin_rebuild(transaction, **wanted)
    while not progress.is_finished:
        async with database.transaction() as transaction:
            progress = await continue_rebuild(transaction, progress.id)
    return progress


async def test_what_is_wrong_missing_or_too_much_is_put_right_and_a_second_time_changes_nothing(
    prices: Database,
) -> None:
    right = await candles_of(prices)
    await damaged(prices)
    assert await candles_of(prices) != right
    done = await rebuilt(prices)
    assert await candles_of(prices) == right
    assert (done.changed, done.removed) == (WRONG_OR_MISSING * len(ITEMS), TOO_MANY * len(ITEMS))
    again = await rebuilt(prices)
    assert (again.changed, again.removed) == (0, 0)
    assert again.id != done.id


async def test_what_a_source_provided_is_never_touched(prices: Database) -> None:
    provided = await rows_of(prices, "SELECT bucket, open, high, volume FROM prices.candles WHERE is_provided")
    assert len(provided) == 1
    await rebuilt(prices)
    assert await rows_of(prices, "SELECT bucket, open, high, volume FROM prices.candles WHERE is_provided") == provided


async def test_one_series_and_some_days_can_be_rebuilt_by_themselves(prices: Database) -> None:
    await damaged(prices)
    ((series_id,),) = await rows_of(prices, "SELECT min(id) FROM prices.price_series")
    # The day of the missing minute, whole, though the range ends within it.
    range_ = {"since": MONDAY + 45.2 * DAY, "until": MONDAY + 45.3 * DAY}
    done = await rebuilt(prices, series_id=series_id, **range_)
    assert (done.changed, done.removed) == (1, 0)
    rest = await rebuilt(prices)
    assert rest.changed == WRONG_OR_MISSING * len(ITEMS) - 1


def environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TROVE_", "DATABASE_", "REDIS_"))}
    return kept | {"DATABASE_URL": settings.database_url or ""}


def started(settings: Settings, *arguments: str) -> Fork:
    """`trove prices rebuild-candles` in a process of its own."""
    return Fork(["prices", "rebuild-candles", *arguments], environment(settings), is_heard=True)


async def eventually(database: Database, statement: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (await rows_of(database, statement))[0][0]:
        assert time.monotonic() < deadline, f"waited in vain for {statement}"
        await asyncio.sleep(0.05)


async def test_a_rebuild_that_is_killed_goes_on_where_it_was(prices: Database, trove_settings: Settings) -> None:
    right = await candles_of(prices)
    await damaged(prices)
    ((last,),) = await rows_of(prices, "SELECT max(id) FROM prices.price_series")
    async with prices.transaction() as transaction:
        # As long as the last series is held, it cannot finish before it is killed.
        await transaction.connection.execute(
            text("SELECT 1 FROM prices.price_series WHERE id = :id FOR UPDATE"), {"id": last}
        )
        process = started(trove_settings)
        try:
            await eventually(prices, f"SELECT bool_or(next_series_id = {last}) FROM prices.candle_rebuilds")
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        ((position, changed, finished_at),) = await rows_of(
            prices, "SELECT next_series_id, changed_count, finished_at FROM prices.candle_rebuilds"
        )
        assert (position, changed, finished_at) == (last, WRONG_OR_MISSING * (len(ITEMS) - 1), None)
    second = started(trove_settings)
    output, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert "goes on where it was" in errors
    # Of both together: nothing was done twice, and nothing left out.
    assert (
        f"{WRONG_OR_MISSING * len(ITEMS)} candles were wrong or missing; {TOO_MANY * len(ITEMS)} were removed" in output
    )
    assert await candles_of(prices) == right
    assert len(await rows_of(prices, "SELECT 1 FROM prices.candle_rebuilds WHERE finished_at IS NOT NULL")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--series", "nonsense"], "is not the id of a series"),
        (["--series", public_id(PublicIdTag.PRICE_SERIES, 2**31 - 1)], "There is no such series"),
        (["--from", "yesterday"], "--from takes a day such as 2026-01-31"),
    ],
)
async def test_what_cannot_be_rebuilt_is_refused_with_a_sentence(
    database: Database, trove_settings: Settings, arguments: list[str], said: str
) -> None:
    process = started(trove_settings, *arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said in " ".join(errors.split())
    assert "Traceback" not in errors
