"""Batches of points: what goes in, what is refused, and what candles and latest prices become of it."""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
import pytest
from sqlalchemy import insert, select, text

from app.catalogue.models import ExternalId
from app.catalogue.new_items import NewVariant
from app.core.database import Database
from app.core.events import Topic
from app.ingestion.commands import AcceptedBatch, accept_batch
from app.ingestion.models import BatchKind, IngestReject
from app.ingestion.processing import ProcessedBatch, process_batch
from app.prices.commands.price_batches import price_batches
from app.prices.resolutions import ROLLED_UP, bucket_start
from tests.catalogue.builders import coin, saved
from tests.prices.builders import MONDAY, Line, accepted, candle, point

SERIES = """(prices.price_series s JOIN catalogue.item_variants v ON v.id = s.variant_id
    JOIN catalogue.items i ON i.id = v.item_id)"""


class Point(NamedTuple):
    item: str
    observed_at: datetime
    price: Decimal
    quantity: Decimal | None


@pytest.fixture
async def prices(database: Database) -> Database:
    """A database with the coins `tide` (in two variants) and `ebb`."""
    await saved(database, coin("tide", variants=(NewVariant("foil", "Foil"),)), coin("ebb", symbol="BBB"))
    return database


async def accepted_text(database: Database, payload: str | bytes) -> AcceptedBatch:
    payload = payload.encode() if isinstance(payload, str) else payload
    async with database.transaction() as transaction:
        return await accept_batch(transaction, kind=BatchKind.PRICE_POINTS, payload=payload, idempotency_key=None)


async def processed(database: Database, batch: AcceptedBatch) -> ProcessedBatch:
    async with database.transaction() as transaction:
        done = await process_batch(transaction, price_batches(), batch.id)
    assert done is not None
    return done


async def counts_of(database: Database, *lines: Line) -> tuple[int, int, int]:
    counts = (await processed(database, await accepted(database, lines))).counts
    return counts.accepted, counts.duplicate, counts.rejected


async def rows_of(database: Database, statement: str, **parameters: Any) -> list[Any]:
    async with database.transaction() as transaction:
        return list(await transaction.connection.execute(text(statement), parameters))


async def rejects_of(database: Database, batch: AcceptedBatch) -> list[tuple[int, str, str]]:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(IngestReject.row_number, IngestReject.reason, IngestReject.content)
            .where(IngestReject.batch_id == batch.id)
            .order_by(IngestReject.row_number)
        )
        return [(row.row_number, row.reason, row.content) for row in rows]


async def stored_points(database: Database) -> list[Point]:
    rows = await rows_of(
        database,
        f"""SELECT slug, observed_at, price, quantity FROM prices.price_points JOIN {SERIES} ON s.id = series_id
        ORDER BY slug, observed_at, arrival""",
    )
    return [Point(*row) for row in rows]


async def stored_candles(database: Database) -> list[tuple[Any, ...]]:
    rows = await rows_of(
        database,
        f"""SELECT slug, resolution, bucket, open, high, low, close, volume, turnover, point_count
        FROM prices.candles JOIN {SERIES} ON s.id = series_id
        WHERE NOT candles.is_provided ORDER BY slug, resolution, bucket""",
    )
    return [tuple(row) for row in rows]


def reference_candles(points: Iterable[Point]) -> list[tuple[Any, ...]]:
    """Candles of points in the order of time and arrival, written as plainly as can be."""
    candles = []
    for resolution in ROLLED_UP:
        placed = [((p.item, bucket_start(p.observed_at, resolution)), p) for p in points]
        for (item, bucket), group in groupby(placed, itemgetter(0)):
            inside = [p for _, p in group]
            prices = [p.price for p in inside]
            sold = [(p.price, p.quantity) for p in inside if p.quantity is not None]
            sums = (sum(q for _, q in sold), sum(p * q for p, q in sold)) if sold else (None, None)
            ends = (prices[0], max(prices), min(prices), prices[-1])
            candles.append((item, int(resolution), bucket, *ends, *sums, len(inside)))
    return sorted(candles, key=lambda candle: candle[:3])


async def latest_of(database: Database, slug: str = "tide") -> tuple[Any, ...]:
    (row,) = await rows_of(
        database,
        f"""SELECT latest_price, latest_quantity, latest_observed_at, has_points FROM {SERIES} WHERE slug = :slug""",
        slug=slug,
    )
    return tuple(row)


async def test_a_point_becomes_a_series_a_candle_of_each_length_and_the_latest_price(prices: Database) -> None:
    at = MONDAY + timedelta(hours=1, minutes=2, seconds=3)
    assert await counts_of(prices, point("tide", "12.50", at=at, quantity="2")) == (1, 0, 0)
    assert await latest_of(prices) == (Decimal("12.5"), Decimal(2), at, True)
    buckets = [(row[1], row[2]) for row in await stored_candles(prices)]
    assert buckets == [
        (60, MONDAY + timedelta(hours=1, minutes=2)),
        (3600, MONDAY + timedelta(hours=1)),
        (86400, MONDAY),
    ]


async def test_a_bucket_is_half_open(prices: Database) -> None:
    end = MONDAY + timedelta(minutes=1)
    inside = end - timedelta(microseconds=1)
    await counts_of(prices, point("tide", "1", at=inside), point("tide", "2", at=end))
    minutes = [(row[2], row[6]) for row in await stored_candles(prices) if row[1] == 60]
    assert minutes == [(MONDAY, Decimal(1)), (end, Decimal(2))]


async def test_points_of_one_instant_are_ordered_by_arrival(prices: Database) -> None:
    await counts_of(prices, point("tide", "3", at=MONDAY), point("tide", "1", at=MONDAY))
    await counts_of(prices, point("tide", "2", at=MONDAY))
    (minute, *_) = await stored_candles(prices)
    assert (minute[3], minute[4], minute[5], minute[6]) == (3, 3, 1, 2)
    assert (await latest_of(prices))[0] == 2


async def test_the_first_to_arrive_counts_even_when_it_is_processed_last(prices: Database) -> None:
    twice = point("tide", "1", at=MONDAY)
    batches = [await accepted(prices, [line]) for line in (twice, point("tide", "2", at=MONDAY), twice)]
    counts = [(await processed(prices, batch)).counts for batch in reversed(batches)]
    assert [(one.accepted, one.duplicate) for one in counts] == [(1, 0), (1, 0), (0, 1)]
    assert [one.price for one in await stored_points(prices)] == [1, 2]
    assert (await latest_of(prices))[0] == 2
    assert (await stored_candles(prices))[0][3:7] == (1, 2, 1, 2)


async def test_a_repeated_point_changes_nothing_and_is_counted(prices: Database) -> None:
    sale = point("tide", "5.0", at=MONDAY, quantity="1")
    assert await counts_of(prices, sale, sale, point("tide", "5", at=MONDAY, quantity="1.00")) == (1, 2, 0)
    before = (await stored_points(prices), await stored_candles(prices), await latest_of(prices))
    changes = await rows_of(prices, "SELECT count(*) FROM prices.price_changes")
    assert await counts_of(prices, sale) == (0, 1, 0)
    assert (await stored_points(prices), await stored_candles(prices), await latest_of(prices)) == before
    assert await rows_of(prices, "SELECT count(*) FROM prices.price_changes") == changes


async def test_the_sources_key_tells_equal_sales_apart_and_unequal_ones_together(prices: Database) -> None:
    equal = [point("tide", "5", at=MONDAY, key=key) for key in ("a", "b")]
    assert await counts_of(prices, *equal, point("tide", "6", at=MONDAY, key="a")) == (2, 1, 0)


async def test_amounts_keep_every_digit_that_was_sent(prices: Database) -> None:
    at = "2024-01-01T00:00:00Z"
    row = f'{{"item":"tide","source":"s-1","currency":"USD","observedAt":"{at}",'
    payload = "\n".join([
        row + '"price":"123456789012345.123456789012345678"}',
        row + '"price":123456789012345.123456789012345678,"key":"a number"}',
        row + '"price":0.1000000000000000001e0, "meta": {"price": 7}, "key":"nested"}',
        row + '"price":999999999999999,"key":"a whole one"}',
        row + '"price":1.5e-7,"key":"exponent"}',
    ])  # fmt: skip
    batch = await accepted_text(prices, payload)
    assert (await processed(prices, batch)).counts.accepted == 4
    assert sorted(p.price for p in await stored_points(prices)) == [
        Decimal("0.00000015"),
        *[Decimal("123456789012345.123456789012345678")] * 2,
        Decimal(999999999999999),
    ]
    assert [row[:2] for row in await rejects_of(prices, batch)] == [
        (3, "`price` is “0.1000000000000000001e0”, with more than 18 decimal places.")
    ]


GOOD = point("tide", "1", at=MONDAY)
BAD_ROWS: dict[str, tuple[Any, str]] = {
    "no item": ({**GOOD, "item": None}, "names no item"),
    "a misspelt field": ({**GOOD, "observed_at": GOOD["observedAt"]}, "no field of a row; perhaps `observedAt` was"),
    "a field of nothing": ({**GOOD, "colour": "red"}, "`colour` is no field of a row; a row has currency, externalId"),
    "two items": ({**GOOD, "externalId": "a:b"}, "names its item more than once"),
    "item is a number": ({**GOOD, "item": 7}, "`item` is “7”"),
    "unknown item": ({**GOOD, "item": "nothing"}, "no item “nothing”"),
    "item with a zero character": ({**GOOD, "item": "a\x00b"}, "no item"),
    "unknown external id": ({**GOOD, "item": None, "externalId": "steam:1"}, "no item “steam:1”"),
    "external id without provider": ({**GOOD, "item": None, "externalId": ":1"}, "`provider:id`"),
    "unknown variant": ({**GOOD, "variant": "holo"}, "no variant “holo”"),
    "no price": ({**GOOD, "price": None}, "`price` is missing"),
    "negative price": ({**GOOD, "price": "-1"}, "below zero"),
    "negative number": ({**GOOD, "price": -1.5}, "below zero"),
    "price is not a number": ({**GOOD, "price": "twelve"}, "not a decimal"),
    "price is NaN": ({**GOOD, "price": "NaN"}, "not a decimal"),
    "price is infinite": ({**GOOD, "price": "Infinity"}, "not a decimal"),
    "price is true": ({**GOOD, "price": True}, "not a decimal"),
    "price is a list": ({**GOOD, "price": ["1"]}, "not a decimal"),
    "price with a comma": ({**GOOD, "price": "1,000"}, "not a decimal"),
    "price with other digits": ({**GOOD, "price": "١٢"}, "not a decimal"),
    "absurd price": ({**GOOD, "price": "1000000000000000.01"}, "above 10^15"),
    "absurd exponent": ({**GOOD, "price": "1e999"}, "above 10^15"),
    "too many places": ({**GOOD, "price": "0.1234567890123456789"}, "more than 18 decimal places"),
    "very long price": ({**GOOD, "price": "1" * 10_000}, "not a decimal"),
    "zero quantity": ({**GOOD, "quantity": "0.00"}, "`quantity` is zero"),
    "negative quantity": ({**GOOD, "quantity": "-2"}, "below zero"),
    "unknown currency": ({**GOOD, "currency": "XXX"}, "not a code that Trove knows"),
    "no currency": ({**GOOD, "currency": None}, "`currency` is missing"),
    "unknown kind": ({**GOOD, "kind": "rumour"}, "not one of sale"),
    "kind of mixed case": ({**GOOD, "kind": "Sale"}, "not one of sale"),
    "no source": ({**GOOD, "source": None}, "`source` is missing"),
    "source is no code": ({**GOOD, "source": "The Market"}, "not a code"),
    "source ends with a newline": ({**GOOD, "source": "market\n"}, "not a code"),
    "time is a number": ({**GOOD, "observedAt": 1_700_000_000}, "not a time"),
    "time is a date": ({**GOOD, "observedAt": "2024-01-01"}, "not a time"),
    "time is a week": ({**GOOD, "observedAt": "2024-W01-1T00:00:00Z"}, "not a time"),
    "no offset": ({**GOOD, "observedAt": "2024-01-01T00:00:00"}, "lacks an offset"),
    "no such day": ({**GOOD, "observedAt": "2024-02-30T00:00:00Z"}, "does not exist"),
    "before the year 2000": ({**GOOD, "observedAt": "1999-12-31T23:59:59Z"}, "before the year 2000"),
    "before the year 1": ({**GOOD, "observedAt": "0001-01-01T00:00:00+23:59"}, "before the year 2000"),
    "in the future": ({**GOOD, "observedAt": "2999-01-01T00:00:00Z"}, "in the future"),
    "key too long": ({**GOOD, "key": "k" * 201}, "1 to 200 characters"),
    "key is a number": ({**GOOD, "key": 7}, "1 to 200 characters"),
    "not an object": ([1, 2], "not a JSON object"),
    "not JSON": (b"{broken", "not valid JSON"),
    "NaN literal": (b'{"price": NaN}', "holds NaN"),
    "zero byte": (b'{"item": "\x00"}', "not valid JSON"),
    "nested without end": (b"[" * 100_000, "not valid JSON"),
    "two objects in a line": (orjson.dumps(GOOD) + b"," + orjson.dumps(GOOD), "not valid JSON"),
}  # fmt: skip


async def test_bad_rows_are_refused_one_by_one_and_the_others_go_in(prices: Database) -> None:
    lines: list[bytes] = []
    for bad, _ in BAD_ROWS.values():
        lines += [bad if isinstance(bad, bytes) else orjson.dumps(bad), b"", b"  \r"]
    lines.append(orjson.dumps(GOOD))
    batch = await accepted_text(prices, b"\n".join(lines))
    counts = (await processed(prices, batch)).counts
    assert (counts.accepted, counts.duplicate, counts.rejected) == (1, 0, len(BAD_ROWS))
    rejects = await rejects_of(prices, batch)
    assert [number for number, _, _ in rejects] == [1 + 3 * index for index in range(len(BAD_ROWS))]
    for (name, (_, expected)), (_, reason, content) in zip(BAD_ROWS.items(), rejects, strict=True):
        assert expected in reason, name
        assert reason.endswith("."), name
        assert len(content) <= 500, name
    assert len(await stored_points(prices)) == 1


async def test_a_number_in_a_deeply_nested_row_does_not_stop_the_batch(prices: Database) -> None:
    deep = orjson.dumps({**GOOD, "price": 1.5})[:-1] + b',"deep":' + b"[" * 1010 + b"]" * 1010 + b',"o":{}}'
    counts = (await processed(prices, await accepted_text(prices, deep + b"\n" + orjson.dumps(GOOD)))).counts
    assert counts.accepted + counts.rejected == 2
    assert counts.accepted >= 1


async def test_rows_name_items_by_external_id_variants_by_key_and_kinds_in_capitals(prices: Database) -> None:
    async with prices.transaction() as transaction:
        item_id = await transaction.connection.scalar(text("SELECT id FROM catalogue.items WHERE slug = 'ebb'"))
        await transaction.connection.execute(
            insert(ExternalId).values(provider="steam", external_id="730:x", item_id=item_id)
        )
    rows = [
        {**point("tide", "1", at=MONDAY, kind="SALE"), "item": None, "externalId": "steam:730:x"},
        point("ebb", "2", at=MONDAY, kind="sale"),
        point("tide", "3", at=MONDAY, variant="foil"),
        {**point("tide", "4", at=MONDAY), "kind": None},
    ]
    assert await counts_of(prices, *rows) == (4, 0, 0)
    series = await rows_of(
        prices,
        f"""SELECT slug, v.key, s.kind, latest_price FROM {SERIES} ORDER BY latest_price""",
    )
    assert [tuple(row) for row in series] == [
        ("ebb", "default", "sale", 2),
        ("tide", "foil", "market", 3),
        ("tide", "default", "market", 4),
    ]


async def test_a_batch_cannot_use_up_the_identifiers_of_sources(prices: Database) -> None:
    rows = [point("tide", "1", at=MONDAY, source=f"made-up-{number:04}") for number in range(150)]
    assert await counts_of(prices, *rows) == (100, 0, 50)


async def test_a_late_point_changes_its_candles_and_not_the_latest_price(prices: Database) -> None:
    await counts_of(prices, point("tide", "5", at=MONDAY), point("tide", "6", at=MONDAY + timedelta(days=2)))
    await counts_of(prices, point("tide", "9", at=MONDAY + timedelta(seconds=30), quantity="3"))
    assert (await latest_of(prices))[0] == 6
    assert await stored_candles(prices) == reference_candles(await stored_points(prices))


async def test_each_new_latest_price_is_recorded_once_and_announced(prices: Database) -> None:
    batch = await accepted(prices, [point("tide", str(n), at=MONDAY + timedelta(seconds=n)) for n in range(1, 4)])
    async with prices.transaction() as transaction:
        await process_batch(transaction, price_batches(), batch.id)
        assert [event.topic for event in transaction.events] == [Topic.PRICES_CHANGED]
    await counts_of(prices, point("tide", "9", at=MONDAY))
    changes = await rows_of(prices, "SELECT price, observed_at FROM prices.price_changes ORDER BY position")
    assert [tuple(change) for change in changes] == [(3, MONDAY + timedelta(seconds=3))]


async def test_a_provided_candle_is_not_overwritten_and_hours_over_it_still_count_points(prices: Database) -> None:
    start = MONDAY + timedelta(minutes=5)
    provided = {**candle("tide", start, timedelta(minutes=1), "1 9 1 9"), "source": "test-market"}
    await processed(prices, await accepted(prices, [provided], BatchKind.CANDLES))
    at = [start + timedelta(seconds=5), start + timedelta(seconds=15), MONDAY + timedelta(seconds=1)]
    for when, price in zip(at, ("4", "5", "3"), strict=True):
        await counts_of(prices, point("tide", price, at=when))
    (kept,) = await rows_of(prices, "SELECT open, close, point_count FROM prices.candles WHERE is_provided")
    assert tuple(kept) == (1, 9, None)
    expected = [row for row in reference_candles(await stored_points(prices)) if (row[1], row[2]) != (60, start)]
    assert await stored_candles(prices) == expected


def random_batches(seed: int, items: Sequence[str]) -> list[list[Line]]:
    """Thirteen batches over three days, dense enough for ties, late points, and rows and batches that come again."""
    chance = random.Random(seed)
    rows: list[Line] = []
    batches: list[list[Line]] = []
    for number in range(12):
        batch: list[Line] = []
        for _ in range(chance.randint(1, 40)):
            if rows and chance.random() < 0.1:
                batch.append(chance.choice(rows))
                continue
            at = MONDAY + timedelta(seconds=chance.choice([chance.randrange(3 * 86_400), chance.randrange(150)]))
            quantity = str(chance.randint(1, 9)) if chance.random() < 0.5 else None
            key = f"sale-{chance.randrange(6)}" if chance.random() < 0.2 else None
            price = f"{chance.randint(0, 400) / 100:.2f}"
            batch.append(point(chance.choice(items), price, at=at, quantity=quantity, key=key))
        rows += batch
        batches.append(batch)
        if number == 0:
            batches.append(list(batch))
    return batches


async def outcome(database: Database, seed: int, items: Sequence[str], *, shuffled: bool) -> tuple[Any, ...]:
    """Accept random batches in order, process them, check what came of it, and give it."""
    await saved(database, *(coin(item, symbol=item.upper()) for item in items))
    batches = [await accepted(database, lines) for lines in random_batches(seed, items)]
    if shuffled:
        random.Random(seed).shuffle(batches)
    counts = [(await processed(database, batch)).counts for batch in batches]
    points = [stored for stored in await stored_points(database) if stored.item in items]
    candles = [stored for stored in await stored_candles(database) if stored[0] in items]
    assert candles == reference_candles(points)
    assert sum(one.accepted for one in counts) == len(points)
    assert sum(one.rejected for one in counts) == 0
    for item in items:
        newest = [stored for stored in points if stored.item == item][-1]
        assert await latest_of(database, item) == (newest.price, newest.quantity, newest.observed_at, True)
    return [stored[1:] for stored in points], [stored[1:] for stored in candles]


@pytest.mark.parametrize("seed", range(8))
async def test_candles_equal_the_reference_in_whatever_order_batches_are_processed(
    database: Database, seed: int
) -> None:
    in_order = await outcome(database, seed, ["a-one", "a-two"], shuffled=False)
    shuffled = await outcome(database, seed, ["b-one", "b-two"], shuffled=True)
    assert shuffled == in_order
