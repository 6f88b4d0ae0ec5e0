"""What those are told who watch prices: each new price of a series once, after the one that was the latest."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.database import Database, Transaction
from app.ingestion.models import BatchKind
from app.ingestion.processing import process_batch
from app.prices.commands.price_batches import price_batches
from app.prices.commands.read_rows import from_microseconds
from app.prices.observations import LastStep, Observations
from tests.catalogue.builders import coin, saved
from tests.prices.builders import MONDAY, Line, accepted, candle, change_only, point

MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Watching:
    """Somebody who watches, and what was told; each batch as lists of (latest before, [(minute, price)])."""

    database: Database
    told: list[list[tuple[Decimal | None, list[tuple[float, str]]]]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    async def __call__(self, transaction: Transaction, observations: Observations) -> LastStep:
        self.told.append(
            [
                (
                    one.series.latest_price,
                    [((from_microseconds(at) - MONDAY) / MINUTE, price) for at, _, price in one.prices],
                )
                for one in observations.series
            ]
        )
        self.steps.append("told")

        async def last_step(transaction: Transaction) -> None:
            changes = await transaction.connection.exec_driver_sql("SELECT count(*) FROM prices.price_changes")
            self.steps.append(f"after {changes.scalar_one()} changes")

        return last_step

    async def after(self, *lines: Line, kind: BatchKind = BatchKind.PRICE_POINTS) -> object:
        """What is told once a batch comes in."""
        batch = await accepted(self.database, lines, kind)
        async with self.database.transaction() as transaction:
            await process_batch(transaction, price_batches(self), batch.id)
        return self.told[-1]


def at(minute: float, price: str, **more: Any) -> Line:
    return point("aurum", price, at=MONDAY + minute * MINUTE, **more)


@pytest.fixture
async def watching(database: Database) -> Watching:
    await saved(database, coin("aurum"))
    return Watching(database)


async def test_new_prices_are_told_in_the_order_of_time_with_the_latest_before(watching: Watching) -> None:
    assert await watching.after(at(2, "12"), at(1, "11")) == [(None, [(1, "11"), (2, "12")])]
    assert await watching.after(at(4, "14"), at(3, "13")) == [(Decimal(12), [(3, "13"), (4, "14")])]


async def test_what_is_stored_already_or_late_is_not_told(watching: Watching) -> None:
    await watching.after(at(5, "15"))
    assert await watching.after(at(5, "15")) == []
    assert await watching.after(at(4, "14"), at(3, "13")) == []
    assert await watching.after(at(4, "14"), at(2, "12"), at(6, "16")) == [(Decimal(15), [(6, "16")])]


async def test_a_later_price_of_the_same_instant_is_told(watching: Watching) -> None:
    await watching.after(at(5, "15", key="a"))
    assert await watching.after(at(5, "16", key="b")) == [(Decimal(15), [(5, "16")])]


async def test_a_price_whose_place_an_earlier_one_takes_is_told_as_what_it_is_now(watching: Watching) -> None:
    early = await accepted(watching.database, [at(5, "15", key="a")])
    await watching.after(at(5, "16", key="a"))
    async with watching.database.transaction() as transaction:
        await process_batch(transaction, price_batches(watching), early.id)
    assert watching.told == [[(None, [(5, "16")])], [(Decimal(16), [(5, "15")])]]


async def test_of_a_source_that_stores_only_moves_only_moves_are_told(database: Database) -> None:
    await change_only(database)
    watching = Watching(database)
    moves: Sequence[Line] = [at(minute, price) for minute, price in enumerate(["11", "11", "12", "12", "11"])]
    assert await watching.after(*moves) == [(None, [(0, "11"), (2, "12"), (4, "11")])]
    assert await watching.after(at(6, "11")) == []


async def test_of_candles_the_closes_that_are_newer_are_told(watching: Watching) -> None:
    five = 5 * MINUTE
    closes = [candle("aurum", MONDAY + number * five, five, f"10 20 1 {close}") for number, close in enumerate("234")]
    assert await watching.after(*closes[:2], kind=BatchKind.CANDLES) == [(None, [(5, "2"), (10, "3")])]
    assert await watching.after(*closes, kind=BatchKind.CANDLES) == [(Decimal(3), [(15, "4")])]
    corrected = candle("aurum", MONDAY, five, "10 20 1 9")
    assert await watching.after(corrected, kind=BatchKind.CANDLES) == []


async def test_whoever_watches_is_told_before_others_see_the_prices_and_ends_after_that(watching: Watching) -> None:
    await watching.after(at(1, "11"))
    assert watching.steps == ["told", "after 1 changes"]
