"""Batches of candles that sources provide: stored as given, newest close as a price, bad rows refused."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database
from app.ingestion.models import BatchKind
from app.ingestion.processing import process_batch, process_next_batch
from app.prices.commands.price_batches import price_batches
from tests.catalogue.builders import coin, saved
from tests.prices.builders import MONDAY, Line, accepted, candle, ingested, point

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def prices(database: Database) -> Database:
    """A database with the coin `tide`."""
    await saved(database, coin("tide"))
    return database


async def counts_of(database: Database, *lines: Line) -> tuple[int, int, int]:
    batch = await accepted(database, lines, BatchKind.CANDLES)
    async with database.transaction() as transaction:
        done = await process_batch(transaction, price_batches(), batch.id)
    assert done is not None
    return done.counts.accepted, done.counts.duplicate, done.counts.rejected


async def rows_of(database: Database, statement: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as transaction:
        return [tuple(row) for row in await transaction.connection.execute(text(statement))]


CANDLES = "SELECT resolution, bucket, open, high, low, close, volume, is_provided FROM prices.candles ORDER BY 1, 2"
SERIES = "SELECT latest_price, latest_observed_at, provided_resolutions, has_points FROM prices.price_series"


async def test_a_candle_is_stored_as_given_and_its_close_is_a_price_at_its_end(prices: Database) -> None:
    given = candle("tide", MONDAY, HOUR, "10 12.5 9 11", volume="3.50")
    assert await counts_of(prices, given) == (1, 0, 0)
    values = [Decimal(value) for value in ("10", "12.5", "9", "11", "3.5")]
    assert await rows_of(prices, CANDLES) == [(3600, MONDAY, *values, True)]
    assert await rows_of(prices, SERIES) == [(Decimal(11), MONDAY + HOUR, [3600], False)]
    assert await rows_of(prices, "SELECT price FROM prices.price_changes") == [(Decimal(11),)]


async def test_a_repeated_candle_changes_nothing_and_a_corrected_one_replaces_it(prices: Database) -> None:
    given = candle("tide", MONDAY, HOUR, "10 12 9 11")
    assert await counts_of(prices, given, given) == (1, 1, 0)
    assert await counts_of(prices, given) == (0, 1, 0)
    assert len(await rows_of(prices, "SELECT 1 FROM prices.price_changes")) == 1
    assert await counts_of(prices, candle("tide", MONDAY, HOUR, "10 12 9 10.5")) == (1, 0, 0)
    assert [row[5] for row in await rows_of(prices, CANDLES)] == [Decimal("10.5")]
    assert [row[0] for row in await rows_of(prices, SERIES)] == [Decimal("10.5")]


async def test_the_last_of_a_batch_counts(prices: Database) -> None:
    first, second = (candle("tide", MONDAY, HOUR, f"1 9 1 {close}") for close in (2, 3))
    assert await counts_of(prices, first, second) == (2, 0, 0)
    assert [row[5] for row in await rows_of(prices, CANDLES)] == [3]


async def test_a_candle_that_still_runs_is_a_price_as_of_its_acceptance(prices: Database) -> None:
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    before = utc_now()
    await counts_of(prices, candle("tide", today, DAY, "1 2 1 2"))
    ((price, observed_at, _, _),) = await rows_of(prices, SERIES)
    assert price == 2
    assert before <= observed_at <= utc_now()


async def test_a_provided_candle_takes_the_place_of_a_rolled_up_one(prices: Database) -> None:
    await ingested(prices, point("tide", "5", at=MONDAY, source="test-exchange"))
    await counts_of(prices, candle("tide", MONDAY, MINUTE, "1 2 1 2"))
    rows = await rows_of(prices, CANDLES)
    assert [(row[0], row[5], row[7]) for row in rows] == [(60, 2, True), (3600, 5, False), (86400, 5, False)]
    assert await rows_of(prices, SERIES) == [(Decimal(2), MONDAY + MINUTE, [60], True)]


async def test_resolutions_are_listed_once_and_in_order(prices: Database) -> None:
    await counts_of(prices, candle("tide", MONDAY, DAY, "1 1 1 1"))
    await counts_of(prices, candle("tide", MONDAY, MINUTE, "1 1 1 1"), candle("tide", MONDAY, HOUR, "1 1 1 1"))
    await counts_of(prices, candle("tide", MONDAY + HOUR, HOUR, "1 1 1 1"))
    assert [row[2] for row in await rows_of(prices, SERIES)] == [[60, 3600, 86400]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"resolution": 0}, "whole number of seconds"),
        ({"resolution": "3600"}, "whole number of seconds"),
        ({"resolution": True}, "whole number of seconds"),
        ({"resolution": 10**12}, "whole number of seconds"),
        ({"bucket": "2024-01-01T00:30:00Z"}, "no bucket of 3600 seconds begins at"),
        ({"bucket": "2024-01-01"}, "not a time"),
        ({"bucket": "2999-01-01T00:00:00Z"}, "in the future"),
        ({"high": "8"}, "must lie between"),
        ({"low": "11.5"}, "must lie between"),
        ({"open": "-1"}, "below zero"),
        ({"close": None}, "`close` is missing"),
        ({"volume": "NaN"}, "not a decimal"),
        ({"item": "nothing"}, "no item"),
        ({"currency": "usd"}, "not a code that Trove knows"),
    ],
)
async def test_bad_candles_are_refused_and_good_ones_kept(
    prices: Database, change: dict[str, Any], reason: str
) -> None:
    good = candle("tide", MONDAY, HOUR, "10 12 9 11")
    assert await counts_of(prices, {**good, **change}, good) == (1, 0, 1)
    ((number, said),) = await rows_of(prices, "SELECT row_number, reason FROM ingestion.ingest_rejects")
    assert number == 1
    assert reason in said


async def test_a_batch_of_candles_waits_for_the_one_before_it_so_that_the_last_word_counts(prices: Database) -> None:
    first = await accepted(prices, [candle("tide", MONDAY, HOUR, "1 9 1 2")], BatchKind.CANDLES)
    second = await accepted(prices, [candle("tide", MONDAY, HOUR, "1 9 1 3")], BatchKind.CANDLES)
    async with prices.transaction() as transaction:
        held = await process_next_batch(transaction, price_batches())
        assert held is not None
        assert held.id == first.id
        async with prices.transaction() as other:
            await other.connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            assert await process_next_batch(other, price_batches()) is None
    async with prices.transaction() as transaction:
        done = await process_next_batch(transaction, price_batches())
        assert done is not None
        assert done.id == second.id
    assert [row[5] for row in await rows_of(prices, CANDLES)] == [3]
