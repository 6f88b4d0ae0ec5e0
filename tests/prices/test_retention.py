"""What is dropped after a while, and that what is left keeps meaning what it did."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database
from app.core.settings import Settings
from app.ingestion.models import BatchKind
from app.prices.commands.rebuild_candles import begin_rebuild, continue_rebuild
from app.prices.queries.valuations import WINDOW
from tests.catalogue.builders import coin, saved
from tests.prices.builders import candle, ingested, point
from workers.prices import prune_old_prices

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# Both of one day, far from the turn of a month.
OLD = datetime(2020, 3, 10, 10, tzinfo=UTC)
COUNTS = """
    SELECT resolution, count(*) FROM prices.candles WHERE NOT is_provided GROUP BY 1 ORDER BY 1
"""
DAY_OF_OLD = """
    SELECT open, high, low, close, volume, point_count FROM prices.candles
    WHERE resolution = 86400 AND bucket = '2020-03-10T00:00:00Z'
"""


@pytest.fixture
async def prices(database: Database) -> Database:
    """A series with three points on a day of 2020 and one of now."""
    await saved(database, coin("tide"))
    await ingested(
        database,
        point("tide", "10", at=OLD, quantity="1"),
        point("tide", "30", at=OLD + MINUTE, quantity="1"),
        point("tide", "20", at=OLD + 2 * HOUR, quantity="1"),
        point("tide", "50", at=utc_now() - MINUTE),
    )
    return database


def kept(
    settings: Settings, *, minutes: int | None = None, hours: int | None = None, points: int | None = None
) -> Settings:
    days = {"minute_candles_kept_days": minutes, "hour_candles_kept_days": hours, "points_kept_days": points}
    return settings.model_copy(update=days)


async def rows_of(database: Database, statement: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as transaction:
        return [tuple(str(value) for value in row) for row in await transaction.connection.execute(text(statement))]


async def test_candles_of_each_length_are_kept_as_long_as_is_set_and_days_forever(
    prices: Database, trove_settings: Settings
) -> None:
    assert await rows_of(prices, COUNTS) == [("60", "4"), ("3600", "3"), ("86400", "2")]
    await prune_old_prices(prices, kept(trove_settings))
    assert await rows_of(prices, COUNTS) == [("60", "4"), ("3600", "3"), ("86400", "2")]
    await prune_old_prices(prices, kept(trove_settings, minutes=90))
    assert await rows_of(prices, COUNTS) == [("60", "1"), ("3600", "3"), ("86400", "2")]
    await prune_old_prices(prices, kept(trove_settings, minutes=90, hours=365))
    assert await rows_of(prices, COUNTS) == [("60", "1"), ("3600", "1"), ("86400", "2")]


async def test_what_a_source_provided_is_kept_forever(prices: Database, trove_settings: Settings) -> None:
    await ingested(prices, candle("tide", OLD, MINUTE, "1 2 1 2"), kind=BatchKind.CANDLES)
    await prune_old_prices(prices, kept(trove_settings, minutes=90, hours=365, points=30))
    assert await rows_of(prices, "SELECT resolution, open FROM prices.candles WHERE is_provided") == [("60", "1")]


async def test_a_late_point_where_minutes_are_gone_changes_hours_and_days_as_it_would_have(
    prices: Database, trove_settings: Settings
) -> None:
    await prune_old_prices(prices, kept(trove_settings, minutes=90, hours=365))
    await ingested(prices, point("tide", "5", at=OLD + 30 * MINUTE, quantity="2"))
    assert await rows_of(prices, DAY_OF_OLD) == [("10", "30", "5", "20", "5", "4")]


async def test_points_are_dropped_by_whole_months_and_their_candles_stay(
    prices: Database, trove_settings: Settings
) -> None:
    before = await rows_of(prices, "SELECT * FROM prices.candles ORDER BY 1, 2, 3")
    await prune_old_prices(prices, kept(trove_settings, points=90))
    assert await rows_of(prices, "SELECT price FROM prices.price_points") == [("50",)]
    assert await rows_of(prices, "SELECT * FROM prices.candles ORDER BY 1, 2, 3") == before
    assert await rows_of(prices, "SELECT to_regclass('prices.price_points_p_202003')") == [("None",)]


def test_points_are_kept_for_as_long_as_valuations_look_back() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 90"):
        Settings(points_kept_days=WINDOW.days - 1)
    assert Settings(points_kept_days=WINDOW.days).points_kept_days == 90


async def test_a_late_point_where_points_are_gone_widens_the_candle_and_takes_nothing_from_it(
    prices: Database, trove_settings: Settings
) -> None:
    await prune_old_prices(prices, kept(trove_settings, points=90))
    await ingested(prices, point("tide", "99", at=OLD + HOUR, quantity="4"))
    assert await rows_of(prices, DAY_OF_OLD) == [("10", "99", "10", "20", "7", "4")]
    # A day without a candle gets one.
    await ingested(prices, point("tide", "7", at=OLD + 3 * DAY))
    assert await rows_of(prices, DAY_OF_OLD.replace("03-10", "03-13")) == [("7", "7", "7", "7", "None", "1")]


async def test_a_rebuild_leaves_alone_what_comes_of_dropped_points_and_brings_no_minutes_back(
    prices: Database, trove_settings: Settings
) -> None:
    await prune_old_prices(prices, kept(trove_settings, minutes=90, points=90))
    before = await rows_of(prices, "SELECT * FROM prices.candles ORDER BY 1, 2, 3")
    async with prices.transaction() as transaction:
        progress = await begin_rebuild(transaction)
    while not progress.is_finished:
        async with prices.transaction() as transaction:
            progress = await continue_rebuild(transaction, progress.id)
    assert (progress.changed, progress.removed) == (0, 0)
    assert await rows_of(prices, "SELECT * FROM prices.candles ORDER BY 1, 2, 3") == before
