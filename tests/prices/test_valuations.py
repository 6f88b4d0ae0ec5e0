"""Variants are valued when sales come and when time moves on, and what says nothing new is not stored again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from app.catalogue.models import ItemVariant
from app.core.clock import utc_now
from app.core.database import Database
from app.ingestion.processing import process_batch
from app.prices.commands.price_batches import price_batches
from app.prices.commands.prune import prune_points
from app.prices.commands.valuations import SHORTEST_INTERVAL, mark_moved, value_due_variants
from app.prices.models import Valuation, ValuationBasis, ValuationState
from app.prices.queries.valuations import ComputedValuation, valuations_of
from tests.catalogue.builders import coin, saved
from tests.prices.builders import Line, accepted, change_only, ingested, point
from workers.valuations import ValuationRunner, value_all_due_variants

DAY = timedelta(days=1)
VECTOR = ("10", "11", "11.5", "12", "12", "12.5", "13", "95")


def sale(price: str, days: float = 1, **more: Any) -> Line:
    """A sale of so many days ago."""
    return point("aurum", price, kind="sale", at=utc_now() - days * DAY, **more)


def sales(*prices: str) -> Sequence[Line]:
    """Sales of one day, each its own."""
    day_ago = utc_now() - DAY
    return [point("aurum", price, kind="sale", at=day_ago, key=str(key)) for key, price in enumerate(prices)]


@pytest.fixture
async def variant(database: Database) -> UUID:
    """The default variant of the item `aurum`."""
    await saved(database, coin("aurum"))
    return await only_variant(database)


async def only_variant(database: Database) -> UUID:
    """The key of the only variant that there is."""
    async with database.transaction() as transaction:
        return (await transaction.connection.execute(select(ItemVariant.id))).scalar_one()


async def value(database: Database, *, now: datetime | None = None) -> int:
    """Value what is due."""
    async with database.transaction() as transaction:
        return await value_due_variants(transaction, now=now or utc_now())


async def stored(database: Database) -> Sequence[Any]:
    """All valuations, the oldest first."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(select(Valuation).order_by(Valuation.as_of, Valuation.currency))
        return rows.all()


async def state(database: Database) -> Any:
    """The state of the only variant that has one."""
    async with database.transaction() as transaction:
        return (await transaction.connection.execute(select(ValuationState))).one_or_none()


async def computed(
    database: Database, variant: UUID, *, as_of: datetime | None = None, currency: str | None = None
) -> Sequence[ComputedValuation]:
    """The variant's valuations, the one that is meant first."""
    async with database.transaction() as transaction:
        found = await valuations_of(transaction.connection, [variant], as_of or utc_now(), currency)
        return found.get(variant, ())


async def test_a_sale_that_comes_in_is_valued_with_its_outliers_and_their_reasons(
    database: Database, variant: UUID
) -> None:
    await ingested(database, *sales(*VECTOR))
    assert await value(database) == 1
    (valuation,) = await stored(database)
    assert (valuation.variant_id, valuation.currency, valuation.basis) == (variant, "USD", "sales")
    assert (valuation.value, valuation.median, valuation.low, valuation.high) == (12, 12, 10, 13)
    assert (valuation.sample_size, valuation.confidence, valuation.excluded_count) == (7, "medium", 1)
    (excluded,) = valuation.excluded
    assert excluded.pop("observed_at") == valuation.observed_at.isoformat()
    assert excluded == {"price": "95", "source": "test-market", "reason": "outlier", "score": "74.64"}
    day = valuation.observed_at.date()
    assert valuation.explanation == (
        "Median of 7 sales in the last 90 days, newer ones counting more; "
        f"1 was left out as an outlier: 95 USD (test-market, {day})."
    )


async def test_valuing_again_without_news_stores_nothing(database: Database, variant: UUID) -> None:
    await ingested(database, *sales(*VECTOR))
    await value(database)
    before = await stored(database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE prices.valuation_states SET due_since = now()"))
    assert await value(database, now=utc_now() + 2 * SHORTEST_INTERVAL) == 1
    assert await stored(database) == before
    assert await value(database, now=utc_now() + 4 * SHORTEST_INTERVAL) == 0


async def test_a_repeated_batch_makes_nothing_due(database: Database, variant: UUID) -> None:
    lines = sales(*VECTOR)
    await ingested(database, *lines)
    await value(database)
    await ingested(database, *lines)
    assert (await state(database)).due_since is None


async def test_a_new_sale_makes_another_valuation_current_and_keeps_the_one_before(
    database: Database, variant: UUID
) -> None:
    await ingested(database, sale("10"))
    await value(database)
    await ingested(database, sale("20", days=0.5))
    assert await value(database) == 0, "it was valued less than a minute ago"
    assert await value(database, now=utc_now() + SHORTEST_INTERVAL) == 1
    first, second = await stored(database)
    assert [(row.value, row.sample_size, row.is_current) for row in (first, second)] == [(10, 1, False), (20, 2, True)]


async def test_sales_of_two_sources_are_pooled_and_those_of_two_currencies_never(
    database: Database, variant: UUID
) -> None:
    await ingested(
        database,
        sale("10"),
        sale("30", source="other-market"),
        sale("7", currency="EUR"),
    )
    dollars, euros = await computed(database, variant)
    assert (dollars.currency, dollars.sample_size, dollars.median) == ("USD", 2, Decimal(20))
    assert (euros.currency, euros.sample_size, euros.median) == ("EUR", 1, Decimal(7))
    assert [each.value for each in await computed(database, variant, currency="EUR")] == [Decimal(7)]
    assert await computed(database, variant, currency="JPY") == ()


async def test_no_price_of_another_kind_is_pooled_with_sales(database: Database, variant: UUID) -> None:
    kinds = ("market", "mid", "ask", "bid", "low", "high", "list")
    await ingested(database, sale("10"), *(point("aurum", "99", kind=kind) for kind in kinds))
    (valuation,) = await computed(database, variant)
    assert (valuation.basis, valuation.value, valuation.sample_size) == (ValuationBasis.SALES, Decimal(10), 1)


async def test_without_a_sale_the_lowest_current_ask_counts_then_the_newest_list_price_then_nothing(
    database: Database, variant: UUID
) -> None:
    now = utc_now()
    observed = [
        ("sale", "10", 200, "test-market"),
        ("ask", "9", 29, "dear-market"),
        ("ask", "8", 28, "cheap-market"),
        ("ask", "1", 31, "old-market"),
        ("list", "15", 150, "maker"),
        ("list", "14", 120, "maker"),
    ]
    await ingested(
        database,
        *(point("aurum", price, kind=kind, source=code, at=now - days * DAY) for kind, price, days, code in observed),
    )

    async def at(days_ago: float) -> tuple[ValuationBasis, Decimal | None]:
        (valuation,) = await computed(database, variant, as_of=now - days_ago * DAY)
        assert valuation.sample_size == 0 or valuation.basis is ValuationBasis.SALES
        return valuation.basis, valuation.value

    assert await at(0) == (ValuationBasis.ASK, Decimal(8))
    assert await at(-1.5) == (ValuationBasis.ASK, Decimal(8))
    assert await at(-2.5) == (ValuationBasis.LIST, Decimal(14))
    assert await at(30) == (ValuationBasis.ASK, Decimal(1))
    assert await at(100) == (ValuationBasis.LIST, Decimal(14))
    assert await at(130) == (ValuationBasis.SALES, Decimal(10))
    assert await at(210) == (ValuationBasis.NONE, None)


async def test_a_sale_counts_for_90_days_and_not_for_a_moment_longer(database: Database, variant: UUID) -> None:
    at = utc_now() - DAY
    await ingested(database, point("aurum", "10", kind="sale", at=at))
    tick = timedelta(microseconds=1)
    for as_of, basis in (
        (at - tick, ValuationBasis.NONE),
        (at, ValuationBasis.SALES),
        (at + 90 * DAY - tick, ValuationBasis.SALES),
        (at + 90 * DAY, ValuationBasis.NONE),
    ):
        (valuation,) = await computed(database, variant, as_of=as_of)
        assert valuation.basis is basis


async def test_when_a_sale_leaves_its_window_the_variant_is_due_and_what_did_not_move_is_not(
    database: Database, variant: UUID
) -> None:
    now = utc_now()
    await ingested(database, sale("10", days=89), sale("20", days=1))
    await value(database, now=now)
    async with database.transaction() as transaction:
        assert await mark_moved(transaction, now=now) == 0
    later = now + 2 * DAY
    async with database.transaction() as transaction:
        assert await mark_moved(transaction, now=later) == 1
        assert await mark_moved(transaction, now=later) == 0
    assert await value(database, now=later) == 1
    before, after = await stored(database)
    assert (before.sample_size, after.sample_size, after.value) == (2, 1, 20)


async def test_a_sale_by_a_clock_that_is_ahead_counts_once_it_is_no_longer_ahead(
    database: Database, variant: UUID
) -> None:
    await ingested(database, sale("10"), point("aurum", "20", kind="sale", at=utc_now() + timedelta(seconds=90)))
    await value(database)
    assert (await state(database)).due_since is not None
    assert await value(database, now=utc_now() + 2 * SHORTEST_INTERVAL) == 1
    assert [row.sample_size for row in await stored(database)] == [1, 2]
    assert (await state(database)).due_since is None


async def test_a_first_ask_is_valued_at_once_and_later_ones_once_a_day(database: Database, variant: UUID) -> None:
    await ingested(database, point("aurum", "12", kind="ask", at=utc_now() - DAY))
    assert await value(database) == 1
    await ingested(database, point("aurum", "11", kind="ask"))
    assert (await state(database)).due_since is None
    async with database.transaction() as transaction:
        assert await mark_moved(transaction, now=utc_now()) == 1
    await value(database, now=utc_now() + SHORTEST_INTERVAL)
    assert [row.value for row in await stored(database)] == [12, 11]


async def test_an_ask_makes_nothing_due_where_sales_tell_the_value(database: Database, variant: UUID) -> None:
    await ingested(database, sale("10"))
    await value(database)
    await ingested(database, point("aurum", "9", kind="ask"))
    async with database.transaction() as transaction:
        assert await mark_moved(transaction, now=utc_now()) == 0


async def value_moved(database: Database, *, now: datetime) -> None:
    """Mark what time has moved, as is done once a day, and value it."""
    async with database.transaction() as transaction:
        await mark_moved(transaction, now=now)
    await value(database, now=now)


async def test_an_ask_that_is_only_seen_again_takes_the_place_of_the_list_price(database: Database) -> None:
    await change_only(database)
    now = utc_now()
    await ingested(
        database,
        point("aurum", "10", kind="ask", at=now - 50 * DAY),
        point("aurum", "30", kind="list", at=now - 5 * DAY),
    )
    await value(database, now=now)
    await ingested(database, point("aurum", "10", kind="ask", at=now - timedelta(hours=1)))
    await value_moved(database, now=now + DAY)
    assert [(row.basis, row.value) for row in await stored(database)] == [("list", 30), ("ask", 10)]
    await value_moved(database, now=now + 31 * DAY)
    assert (await stored(database))[-1].basis == "list"


async def test_an_ask_that_is_seen_each_day_does_not_become_stale(database: Database) -> None:
    await change_only(database)
    start = utc_now() - 40 * DAY
    for day in (0, 20, 39):
        await ingested(database, point("aurum", "10", kind="ask", at=start + day * DAY))
        await value_moved(database, now=start + day * DAY + timedelta(hours=1))
    last = (await stored(database))[-1]
    assert (last.basis, last.value, last.observed_at) == ("ask", 10, start + 39 * DAY)


async def test_what_an_ask_was_worth_then_stays_when_it_moves_later(database: Database) -> None:
    await change_only(database)
    now = utc_now()
    variant = await only_variant(database)
    for day in range(80, 10, -5):
        await ingested(database, point("aurum", "10", kind="ask", at=now - day * DAY))
    before = await computed(database, variant, as_of=now - 20 * DAY)
    assert [(each.basis, each.value) for each in before] == [(ValuationBasis.ASK, Decimal(10))]
    await ingested(database, point("aurum", "11", kind="ask", at=now - 10 * DAY))
    assert await computed(database, variant, as_of=now - 20 * DAY) == before


async def test_a_list_price_whose_point_is_dropped_is_known_by_its_day(database: Database, variant: UUID) -> None:
    now = utc_now()
    await ingested(
        database,
        point("aurum", "14", kind="list", at=now - 402 * DAY),
        point("aurum", "15", kind="list", at=now - 400 * DAY),
        point("aurum", "20", kind="list", at=now - DAY),
    )
    async with database.transaction() as transaction:
        await prune_points(transaction, before=now - 200 * DAY)
    (then,) = await computed(database, variant, as_of=now - 2 * DAY)
    assert (then.basis, then.value) == (ValuationBasis.LIST, Decimal(15))
    (at_once,) = await computed(database, variant)
    assert at_once.value == 20


async def test_market_prices_make_nothing_due(database: Database, variant: UUID) -> None:
    await ingested(database, point("aurum", "10"))
    assert await state(database) is None


async def test_a_batch_that_rolls_back_leaves_nothing_due(database: Database, variant: UUID) -> None:
    batch = await accepted(database, [sale("10")])

    async def failing() -> None:
        async with database.transaction() as transaction:
            await process_batch(transaction, price_batches(), batch.id)
            raise RuntimeError("the worker dies here")

    with pytest.raises(RuntimeError):
        await failing()
    assert await state(database) is None
    async with database.transaction() as transaction:
        await process_batch(transaction, price_batches(), batch.id)
    assert (await state(database)).due_since is not None


async def test_a_crash_while_valuing_leaves_the_variant_due(database: Database, variant: UUID) -> None:
    await ingested(database, sale("10"))

    async def crashing() -> None:
        async with database.transaction() as transaction:
            assert await value_due_variants(transaction, now=utc_now()) == 1
            raise RuntimeError("the worker dies here")

    with pytest.raises(RuntimeError):
        await crashing()
    assert await stored(database) == []
    assert await value(database) == 1


async def test_two_workers_never_value_the_same_variant(database: Database) -> None:
    await saved(database, coin("aurum"), coin("argentum"))
    await ingested(database, sale("10"))
    async with database.transaction() as one:
        assert await value_due_variants(one, now=utc_now()) == 1
        assert await value(database) == 0
    await ingested(database, point("argentum", "5", kind="sale"))
    assert await value(database) == 1
    assert len(await stored(database)) == 2


async def test_the_runner_values_all_that_is_due_however_many(database: Database) -> None:
    slugs = [f"coin-{number}" for number in range(120)]
    await saved(database, *(coin(slug) for slug in slugs))
    await ingested(database, *(point(slug, "10", kind="sale") for slug in slugs))
    await ValuationRunner(database).run()
    assert len(await stored(database)) == 120
    assert await value_all_due_variants(database) == 0


async def test_many_variants_are_valued_with_as_many_statements_as_one(database: Database) -> None:
    slugs = [f"coin-{number}" for number in range(50)]
    await saved(database, *(coin(slug) for slug in slugs))
    await ingested(database, *(point(slug, "10", kind="sale") for slug in slugs))
    async with database.transaction() as transaction:
        ids = list((await transaction.connection.execute(select(ItemVariant.id))).scalars())
    counts = []
    for asked in (ids[:1], ids):
        snapshot = database.snapshot()
        found = await snapshot.read(valuations_of, asked, utc_now())
        await snapshot.close()
        assert len(found) == len(asked)
        counts.append(snapshot.statements)
    assert counts == [2, 2]
