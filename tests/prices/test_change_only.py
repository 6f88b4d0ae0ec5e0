"""Sources that store a price only when it moved: what is stored, what is seen, and what a late row changes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import text

from app.catalogue.commands.merge_items import merge_items
from app.core.database import Database
from app.ingestion.models import BatchKind
from app.ingestion.processing import process_batch
from app.prices.commands.merge_variants import merge_variants
from app.prices.commands.price_batches import price_batches
from tests.catalogue.builders import coin, saved
from tests.prices.builders import accepted, candle, change_only, ingested, point

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


async def store_every_price(database: Database) -> None:
    """Have the source store every price, from now on."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
        await transaction.connection.execute(text("UPDATE prices.sources SET is_change_only = false"))


async def seen(database: Database, *prices: tuple[float, str], kind: str = "ask") -> tuple[int, int]:
    """Bring in what the source showed at some minutes; gives how many rows were stored, and how many did nothing."""
    batch = await ingested(database, *(point("aurum", price, at=minute(at), kind=kind) for at, price in prices))
    async with database.transaction() as transaction:
        counts = await transaction.connection.execute(
            text("SELECT accepted_count, duplicate_count FROM ingestion.ingest_batches WHERE id = :id"),
            {"id": batch.id},
        )
        stored_count, unchanged = counts.one()
    return stored_count, unchanged


async def stored(database: Database) -> list[tuple[float, str]]:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            text("SELECT observed_at, price FROM prices.price_points ORDER BY observed_at, arrival")
        )
        return [((row.observed_at - START) / timedelta(minutes=1), str(row.price)) for row in rows]


async def latest(database: Database) -> tuple[str, float, float]:
    """The latest price, since when it stands, and when it was last seen."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            text("SELECT latest_price, latest_observed_at, last_seen_at FROM prices.price_series")
        )
        row = rows.one()
    return str(row.latest_price), *((at - START) / timedelta(minutes=1) for at in row[1:])


async def test_only_moves_are_stored_and_every_sighting_counts(database: Database) -> None:
    await change_only(database)
    assert await seen(database, (0, "10"), (1, "10.00"), (2, "11")) == (2, 1)
    assert await seen(database, (3, "11"), (4, "11")) == (0, 2)
    assert await stored(database) == [(0, "10"), (2, "11")]
    assert await latest(database) == ("11", 2, 4)


async def test_the_same_batch_again_changes_nothing(database: Database) -> None:
    await change_only(database)
    rows = [(0.0, "10"), (1.0, "11"), (2.0, "11"), (3.0, "10")]
    await seen(database, *rows)
    before = await stored(database), await latest(database)
    assert await seen(database, *rows) == (0, 4)
    assert (await stored(database), await latest(database)) == before


async def test_every_sale_is_stored(database: Database) -> None:
    await change_only(database)
    assert await seen(database, (0, "10"), (1, "10"), (2, "10"), kind="sale") == (3, 0)


async def test_another_source_stores_every_price(database: Database) -> None:
    await saved(database, coin("aurum"))
    assert await seen(database, (0, "10"), (1, "10")) == (2, 0)
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(text("SELECT last_seen_at FROM prices.price_series")) is None


async def test_a_late_row_that_says_what_was_known_changes_nothing(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"), (10, "11"))
    assert await seen(database, (5, "10"), (6, "10")) == (0, 2)
    assert await stored(database) == [(0, "10"), (10, "11")]


async def test_a_late_move_stands_until_the_next_stored_one(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"), (10, "11"))
    assert await seen(database, (5, "9"), (6, "9"), (-1, "10")) == (2, 1)
    assert await stored(database) == [(-1, "10"), (0, "10"), (5, "9"), (10, "11")]
    assert await latest(database) == ("11", 10, 10)


async def test_a_move_from_before_the_last_sighting_does_not_hide_it(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"), (10, "10"))
    assert await seen(database, (5, "9")) == (1, 0)
    assert await stored(database) == [(0, "10"), (5, "9"), (10, "10")]
    assert await latest(database) == ("10", 10, 10)


async def test_at_one_instant_the_last_to_arrive_stands(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"))
    assert await seen(database, (0, "12"), (1, "10")) == (2, 0)
    assert await stored(database) == [(0, "10"), (0, "12"), (1, "10")]
    assert await latest(database) == ("10", 1, 1)


async def test_a_move_at_the_instant_of_the_latest_does_not_hide_that_it_was_seen_later(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"), (5, "10"))
    assert await seen(database, (0, "12")) == (1, 0)
    assert await stored(database) == [(0, "10"), (0, "12"), (5, "10")]
    assert await latest(database) == ("10", 5, 5)


async def test_a_late_move_back_is_a_move(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"), (10, "11"))
    assert await seen(database, (0, "12"), (5, "10")) == (2, 0)
    assert await stored(database) == [(0, "10"), (0, "12"), (5, "10"), (10, "11")]
    assert await latest(database) == ("11", 10, 10)


async def test_of_two_stored_at_one_instant_the_last_to_arrive_is_what_a_late_row_is_held_against(
    database: Database,
) -> None:
    await change_only(database)
    prices = ["9", "10", "11", "12", "13"]
    await seen(database, *((0, price) for price in prices), (10, "8"))
    assert await seen(database, (5, "13")) == (0, 1)
    assert await seen(database, *((0, price) for price in reversed(prices)), (5, "13")) == (0, 6)
    assert await seen(database, (5, "12")) == (1, 0)


async def test_a_row_seen_before_at_the_instant_of_the_last_sighting_is_stored_once(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"), (10, "10"))
    assert await seen(database, (5, "9"), (10, "12"), (10, "10")) == (2, 1)
    assert await stored(database) == [(0, "10"), (5, "9"), (10, "10"), (10, "12")]
    assert await latest(database) == ("12", 10, 10)


async def test_what_was_no_move_is_one_once_a_late_row_changed_what_was_before_it(database: Database) -> None:
    await change_only(database)
    rows = [(0.0, "10"), (2.0, "10"), (4.0, "12")]
    await seen(database, *rows)
    await seen(database, (1, "11"))
    assert await seen(database, *rows) == (1, 2)
    assert await stored(database) == [(0, "10"), (1, "11"), (2, "10"), (4, "12")]
    assert await seen(database, *rows) == (0, 3)


async def test_a_batch_that_was_overtaken_counts_as_the_earlier_one(database: Database) -> None:
    await change_only(database)
    lines = [point("aurum", price, at=minute(at), kind="ask") for at, price in ((0, "12"), (0, "10"), (1, "12"))]
    earlier = await accepted(database, lines)
    await seen(database, (0, "12"))
    async with database.transaction() as transaction:
        await process_batch(transaction, price_batches(), earlier.id)
    assert await stored(database) == [(0, "12"), (0, "10"), (1, "12")]
    assert await latest(database) == ("12", 1, 1)


async def test_an_older_close_of_a_candle_is_not_the_latest_price(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"), (10, "10"), kind="market")
    bucket = candle("aurum", minute(4), timedelta(minutes=1), "10 12 10 12", source="test-market")
    await ingested(database, bucket, kind=BatchKind.CANDLES)
    assert await latest(database) == ("10", 10, 10)
    assert await seen(database, (4.5, "9"), (11, "10"), kind="market") == (1, 1)
    assert await latest(database) == ("10", 10, 11)
    # The price stands again from when it was seen after the close, in the points as in the candles.
    assert await stored(database) == [(0, "10"), (4.5, "9"), (10, "10")]
    async with database.transaction() as transaction:
        closes = await transaction.connection.execute(
            text("SELECT CAST(close AS text), is_provided FROM prices.candles WHERE resolution = 60 ORDER BY bucket")
        )
        assert [tuple(row) for row in closes] == [("10", False), ("12", True), ("10", False)]
    newer = candle("aurum", minute(12), timedelta(minutes=1), "10 13 10 13", source="test-market")
    await ingested(database, newer, kind=BatchKind.CANDLES)
    assert await latest(database) == ("13", 13, 11)


async def test_a_source_that_stores_every_price_again_keeps_the_last_sighting_as_a_point(database: Database) -> None:
    await change_only(database)
    await seen(database, (0, "10"), (10, "10"))
    await store_every_price(database)
    assert await seen(database, (5, "12"), (6, "12.5")) == (2, 0)
    assert await stored(database) == [(0, "10"), (5, "12"), (6, "12.5"), (10, "10")]
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            text("SELECT latest_price, latest_observed_at, last_seen_at FROM prices.price_series")
        )
    assert tuple(rows.one()) == (Decimal(10), minute(10), None)


@pytest.mark.parametrize("winner", ["aurum", "gold"])
async def test_a_price_that_stood_longest_is_the_latest_of_two_series_that_become_one(
    database: Database, winner: str
) -> None:
    await change_only(database)
    ids = await saved(database, coin("aurum"), coin("gold"))
    loser = "gold" if winner == "aurum" else "aurum"
    days = 24 * 60
    for item, prices in (("aurum", [(0, "10"), (2 * days, "10")]), ("gold", [(5, "11"), (6, "11")])):
        await ingested(database, *(point(item, price, at=minute(at), kind="ask") for at, price in prices))
    async with database.transaction() as transaction:
        await merge_items(
            transaction, winner_id=ids[winner], loser_id=ids[loser], editor_id=None, followers=[merge_variants]
        )
    assert await stored(database) == [(0, "10"), (5, "11"), (2 * days, "10")]
    assert await latest(database) == ("10", 2 * days, 2 * days)
    async with database.transaction() as transaction:
        closes = await transaction.connection.scalars(
            text("SELECT CAST(close AS text) FROM prices.candles WHERE resolution = 86400 ORDER BY bucket")
        )
    assert closes.all() == ["11", "10"]


@pytest.mark.parametrize(("aurum_until", "gold_until", "price"), [(4, 6, "11"), (9, 10, "11"), (7, 6, "10")])
async def test_of_two_series_that_become_one_the_newest_sighting_tells_the_price(
    database: Database, aurum_until: float, gold_until: float, price: str
) -> None:
    await change_only(database)
    ids = await saved(database, coin("aurum"), coin("gold"))
    for item, rows in (("aurum", [(0, "10"), (aurum_until, "10")]), ("gold", [(5, "11"), (gold_until, "11")])):
        await ingested(database, *(point(item, one, at=minute(at), kind="ask") for at, one in rows))
    async with database.transaction() as transaction:
        await merge_items(
            transaction, winner_id=ids["gold"], loser_id=ids["aurum"], editor_id=None, followers=[merge_variants]
        )
    assert (await latest(database))[::2] == (price, max(aurum_until, gold_until))


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_order_of_batches_the_newest_row_of_all_is_the_latest_price(
    database: Database, seed: int
) -> None:
    random = Random(seed)
    await change_only(database)
    newest = (-1.0, "")
    for _ in range(12):
        rows = [(float(random.randint(0, 12)), random.choice(("10", "11", "12"))) for _ in range(random.randint(1, 4))]
        known = {*await stored(database), newest}
        counts = await seen(database, *rows)
        assert min(counts) >= 0
        assert sum(counts) == len(rows)
        for row in sorted(rows, key=lambda row: row[0]):
            if row[0] >= newest[0] and row not in known:
                newest = row
                known.add(row)
        price, _, seen_at = await latest(database)
        assert (seen_at, price) == newest
        assert (await stored(database))[-1][1] == price


@pytest.mark.parametrize("seed", range(6))
async def test_in_their_order_any_cut_into_batches_stores_the_moves(database: Database, seed: int) -> None:
    random = Random(seed)
    shown = [(float(number), random.choice(("10", "11", "11", "12"))) for number in range(30)]
    await change_only(database)
    rest: Sequence[tuple[float, str]] = shown
    while rest:
        size = random.randint(1, 8)
        await seen(database, *rest[:size])
        rest = rest[size:]
    moves = [one for before, one in zip([None, *shown], shown, strict=False) if before is None or before[1] != one[1]]
    assert await stored(database) == moves
    assert Decimal((await latest(database))[0]) == Decimal(shown[-1][1])
