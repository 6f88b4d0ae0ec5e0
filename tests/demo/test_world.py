"""The demo world is the same for everyone on a day, goes in once, and its feed outlives the API."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

import httpx
import orjson
import pytest
from sqlalchemy import func, select

from app.catalogue.commands.save_items import SavedItems, save_items
from app.catalogue.models import Item, ItemVariant
from app.core.database import Database
from app.core.money import MINOR_UNITS
from app.demo.feed import Feed, main
from app.demo.items import WORLD
from app.demo.rates import demo_rates
from app.demo.world import DAYS, daily_prices, load_world_into, price_rows
from app.ingestion.delivery import deliver
from app.ingestion.file_rows import in_batches
from app.ingestion.models import BatchKind
from app.prices.commands.import_exchange_rates import ImportedRates
from app.prices.commands.price_batches import price_batches
from app.prices.models import PricePoint, PriceSeries, Source

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)


def test_the_world_holds_four_kinds_under_names_of_their_own() -> None:
    assert Counter(demo.item.kind.value for demo in WORLD) == {"skin": 12, "coin": 8, "card": 12, "figure": 8}
    assert len({demo.item.slug for demo in WORLD}) == len({demo.item.name for demo in WORLD}) == 40
    assert {demo.currency for demo in WORLD} <= MINOR_UNITS.keys()


def test_a_day_has_the_same_price_whenever_the_world_is_loaded() -> None:
    for demo in WORLD:
        today = daily_prices(demo, NOW.date())
        assert len(today) == DAYS
        assert today[-1].day == NOW.date()
        assert daily_prices(demo, NOW.date() + timedelta(days=30))[-DAYS:][: DAYS - 30] == today[30:]
        assert all(demo.price / 8 < price.price < demo.price * 8 for price in today)


def test_no_row_is_from_the_future_and_each_item_has_every_day() -> None:
    rows = [orjson.loads(row.content) for row in price_rows(NOW)]
    assert max(row["observedAt"] for row in rows) <= "2026-03-04T15:30:00Z"
    days = Counter(
        row["item"]
        for row in rows
        if (row["source"], row["kind"], row["variant"]) == ("demo-market", "market", "default")
    )
    assert days == {demo.item.slug: DAYS for demo in WORLD}
    assert {(row["source"], row["kind"]) for row in rows} == {
        ("demo-market", "market"),
        ("demo-market", "ask"),
        ("demo-auctions", "sale"),
    }


async def test_loading_stores_every_row_and_loading_again_changes_nothing(database: Database) -> None:
    rows = sum(1 for _ in price_rows(NOW))
    first = await load_world_into(database, now=NOW)
    assert first.items == SavedItems(inserted=40)
    assert first.rates == ImportedRates(len(demo_rates(NOW.date())), [], 0)
    assert first.delivery is not None
    assert (first.delivery.accepted, first.delivery.rejected_count) == (rows, 0)
    again = await load_world_into(database, now=NOW + timedelta(days=3))
    assert (again.items, again.delivery) == (SavedItems(unchanged=40), None)
    async with database.transaction() as transaction:
        connection = transaction.connection
        assert await connection.scalar(select(func.count()).select_from(PricePoint)) == rows
        latest = await connection.execute(
            select(Item.slug, PriceSeries.latest_observed_at, PriceSeries.latest_price)
            .join(ItemVariant, ItemVariant.item_id == Item.id)
            .join(PriceSeries, PriceSeries.variant_id == ItemVariant.id)
            .join(Source, Source.id == PriceSeries.source_id)
            .where(Source.code == "demo-market", PriceSeries.kind == "market", ItemVariant.is_default)
        )
        priced = list(latest)
        assert len(priced) == 40
        assert {row.latest_observed_at for row in priced} == {datetime(2026, 3, 4, tzinfo=UTC)}
        assert all(row.latest_price > 0 for row in priced)


async def test_a_world_that_was_loaded_in_part_is_completed(database: Database) -> None:
    async with database.transaction() as transaction:
        await save_items(transaction, [demo.item for demo in WORLD[:30]])
    part = islice(in_batches(price_rows(NOW), most_rows=10_000), 1)
    assert (await deliver(database, price_batches(), kind=BatchKind.PRICE_POINTS, batches=part)).accepted == 10_000
    loaded = await load_world_into(database, now=NOW)
    rows = sum(1 for _ in price_rows(NOW))
    assert loaded.items == SavedItems(inserted=10, unchanged=30)
    assert loaded.delivery is not None
    assert (loaded.delivery.accepted, loaded.delivery.duplicates) == (rows - 10_000, 10_000)


@dataclass
class Api:
    """A stand-in for the API's ingest door: speaks HTTP on loopback, answers as it is told, remembers what it took."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:] if line)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append(({"request": head.split("\r\n")[0], **headers}, body))
                self.asked.set()
                status = self.statuses.pop(0) if self.statuses else 202
                writer.write(f"HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\n{{}}".encode())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.requests) < count:
                self.asked.clear()
                await self.asked.wait()


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[Api]:
    server = await asyncio.start_server(api.answer, "127.0.0.1", api.port)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()


async def fed(api: Api, *, until: int) -> bool:
    """Run a feed against the API until so many requests came, then stop it."""
    async with httpx.AsyncClient(base_url=api.url, trust_env=False) as client:
        feed = Feed(client, token="secret", seconds=0.01)
        running = asyncio.create_task(feed.run())
        await api.wait_for(until)
        feed.stop()
        async with asyncio.timeout(10):
            return await running


async def test_the_feed_sends_rows_as_a_partner_does() -> None:
    async with serving(Api()) as api:
        assert await fed(api, until=3)
    headers, body = api.requests[0]
    assert headers["request"] == "POST /ingest/prices HTTP/1.1"
    assert headers["authorization"] == "Bearer secret"
    assert headers["content-type"] == "application/x-ndjson"
    assert "content-encoding" not in headers
    rows = [orjson.loads(line) for line in body.splitlines()]
    slugs = {demo.item.slug for demo in WORLD}
    assert all(row["item"] in slugs and float(row["price"]) > 0 for row in rows)
    assert len({sent["idempotency-key"] for sent, _ in api.requests}) == len(api.requests)


async def test_a_batch_that_was_not_taken_is_sent_again_as_it_was() -> None:
    async with serving(Api(statuses=[503, 429, 500, 202])) as api:
        assert await fed(api, until=5)
    keys = [headers["idempotency-key"] for headers, _ in api.requests]
    assert len(set(keys[:4])) == 1
    assert len({body for _, body in api.requests[:4]}) == 1
    assert keys[4] != keys[0]


async def test_a_batch_that_the_api_refuses_is_let_go() -> None:
    async with serving(Api(statuses=[400])) as api:
        assert await fed(api, until=2)
    assert api.requests[0][0]["idempotency-key"] != api.requests[1][0]["idempotency-key"]


async def test_a_token_that_is_not_accepted_ends_the_feed() -> None:
    async with serving(Api(statuses=[401])) as api:
        assert not await fed(api, until=1)


async def test_the_feed_waits_for_an_api_that_is_away_and_ends_on_sigterm(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-a-file\n")
    async with serving(Api()) as api:
        port = api.port
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app.demo.feed", "--url", f"http://127.0.0.1:{port}", "--token-file", str(token)),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while b"api_away" not in await process.stderr.readline():
            assert process.returncode is None
        async with serving(Api(port=port)) as back:
            await back.wait_for(1)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    assert back.requests[0][0]["authorization"] == "Bearer from-a-file"


@pytest.mark.parametrize("arguments", [["--token-file", "/nowhere/token"], []])
def test_a_feed_without_a_token_does_not_start(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--url", "http://127.0.0.1:9", *arguments])
    assert ended.value.code == 2
    assert "token" in capsys.readouterr().err


def test_the_walk_begins_on_one_day_for_all() -> None:
    assert daily_prices(WORLD[0], date(2024, 1, 1), days=1)[0].price == pytest.approx(WORLD[0].price)


def test_a_day_has_the_same_exchange_rates_whenever_they_are_made() -> None:
    today, later = demo_rates(NOW.date()), demo_rates(NOW.date() + timedelta(days=30))
    assert {rate for rate in later if rate.rate_date <= NOW.date()} <= set(today)
    assert {rate.rate_date.weekday() for rate in today} == {0, 1, 2, 3, 4}
    assert max(rate.rate_date for rate in today) == NOW.date()
