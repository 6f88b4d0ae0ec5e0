"""Price files come in by the durable path: each value in its bucket, bad rows by number, a second time nothing new."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from app.catalogue.commands.coins import add_coin
from app.catalogue.commands.save_items import save_items
from app.catalogue.errors import UnknownItem
from app.catalogue.models import Coin, Item
from app.catalogue.new_items import CoinDetails, NewExternalId, NewItem
from app.cli.imports import app as import_commands
from app.cli.price_import import ImportSummary, PriceFormat, PriceImport, import_prices, open_prices
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.settings import Settings, current_settings
from app.ingestion.delivery import deliver
from app.ingestion.file_rows import CanonicalRow, in_batches
from app.ingestion.models import BatchKind, IngestBatch
from app.prices.commands.price_batches import price_batches
from app.prices.models import Candle, PriceKind, PricePoint, PriceSeries, Source

# Open, high, low, close, volume, turnover.
Stored = dict[datetime, tuple[Decimal | None, ...]]

REAL_FILES = [
    ("coinbase_BTC-USD_4h_2024-2025.json", PriceFormat.COINBASE_CANDLES, 14_400, 3996),
    ("coinbase_ETH-USD_1d_2016-2023.json", PriceFormat.BINANCE_CANDLES, 86_400, 2781),
    ("binanceus_ETH-USD_5m_first400.json", PriceFormat.BINANCE_CANDLES, 300, 400),
]


def candle_file(directory: Path, *, name: str = "coinbase_BTC-USD.json", count: int = 4, **changes: str) -> Path:
    candles = [
        {
            "start": str(1_704_067_200 + number * 3600),
            "low": "1.10",
            "high": "4.000000001",
            "open": f"{number + 1}.5" if number < 3 else "2",
            "close": "2.0",
            "volume": "0",
        }
        for number in range(count)
    ]
    candles[0] |= changes
    file = directory / name
    file.write_text(json.dumps({"candles": candles}))
    return file


async def imported(database: Database, file: Path, file_format: PriceFormat, **options: Any) -> ImportSummary:
    wanted = PriceImport(file=file, source="coinbase", format=file_format, **options)
    with open_prices(wanted) as opened:
        return await import_prices(database, wanted, opened)


async def stored_candles(database: Database, *, resolution: int) -> Stored:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(
                Candle.bucket, Candle.open, Candle.high, Candle.low, Candle.close, Candle.volume, Candle.turnover
            ).where(Candle.resolution == resolution, Candle.is_provided)
        )
        return {row.bucket: (row.open, row.high, row.low, row.close, row.volume, row.turnover) for row in rows}


def expected_candles(file: Path, resolution: int) -> Stored:
    """What the file says, read in another way than the importer's: by its own two shapes, for these three files."""
    document = json.loads(file.read_bytes(), parse_float=Decimal)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    if "candles" in document:
        return {
            epoch + timedelta(seconds=int(row["start"])): (
                *(Decimal(row[field]) for field in ("open", "high", "low", "close", "volume")),
                None,
            )
            for row in document["candles"]
        }
    return {
        epoch + timedelta(seconds=(row["endTime"] + 1) // 1000 - resolution): (
            *(Decimal(row[f"{field}Price"]) for field in ("open", "high", "low", "close")),
            Decimal(row["volume"]),
            None,
        )
        for row in document["ohlc"]
    }


async def counts(database: Database) -> list[int]:
    tables = (Item, Source, PriceSeries, Candle, PricePoint, IngestBatch)
    async with database.transaction() as transaction:
        return [
            (await transaction.connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in tables
        ]


@pytest.mark.parametrize(("name", "file_format", "resolution", "count"), REAL_FILES)
async def test_every_real_candle_is_stored_with_its_values_in_its_bucket_and_only_once(
    database: Database, trove_data: Path, name: str, file_format: PriceFormat, resolution: int, count: int
) -> None:
    file = trove_data / "crypto" / name
    summary = await imported(database, file, file_format, create=True)
    assert (summary.rows, summary.accepted, summary.rejected_count, summary.is_repeat) == (count, count, 0, False)
    expected = expected_candles(file, resolution)
    assert len(expected) == count
    assert await stored_candles(database, resolution=resolution) == expected

    before = await counts(database)
    again = await imported(database, file, file_format)
    assert (again.accepted, again.duplicates, again.is_repeat) == (0, count, True)
    assert await counts(database) == before


async def test_the_first_eth_day_of_the_real_file_is_the_day_before_its_label(
    database: Database, trove_data: Path
) -> None:
    await imported(database, trove_data / "crypto" / REAL_FILES[1][0], PriceFormat.BINANCE_CANDLES, create=True)
    candles = await stored_candles(database, resolution=86_400)
    assert min(candles) == datetime(2016, 5, 18, tzinfo=UTC)
    assert candles[min(candles)][:4] == (Decimal("12.5"), Decimal("14.93"), Decimal("12.5"), Decimal("13.18"))


async def test_a_created_coin_has_the_name_that_people_know(database: Database, tmp_path: Path) -> None:
    summary = await imported(database, candle_file(tmp_path), PriceFormat.COINBASE_CANDLES, create=True)
    assert summary.what == "coinbase_BTC-USD.json: 1h candles of bitcoin from coinbase, market prices in USD"
    async with database.transaction() as transaction:
        row = await transaction.connection.execute(select(Item.slug, Item.name, Coin.symbol, Coin.decimals).join(Coin))
        assert row.one() == ("bitcoin", "Bitcoin", "BTC", 8)


async def test_the_item_may_be_named_by_slug_or_external_id(database: Database, tmp_path: Path) -> None:
    item = NewItem("ore", "Ore", CoinDetails("ORE"), external_ids=(NewExternalId("coins", "7"),))
    async with database.transaction() as transaction:
        await save_items(transaction, [item])
    file = candle_file(tmp_path)
    first = await imported(database, file, PriceFormat.COINBASE_CANDLES, item="ore", currency="EUR")
    second = await imported(database, file, PriceFormat.COINBASE_CANDLES, item="coins:7", currency="EUR")
    assert (first.accepted, second.accepted, second.duplicates) == (4, 0, 4)
    async with database.transaction() as transaction:
        series = await transaction.connection.execute(select(PriceSeries.kind, PriceSeries.currency))
        assert series.all() == [("market", "EUR")]


async def test_the_same_file_as_another_kind_is_another_import(database: Database, tmp_path: Path) -> None:
    file = candle_file(tmp_path)
    await imported(database, file, PriceFormat.COINBASE_CANDLES, create=True)
    other = await imported(database, file, PriceFormat.COINBASE_CANDLES, kind=PriceKind.MID)
    assert (other.accepted, other.is_repeat) == (4, False)


async def test_rejects_carry_their_numbers_in_the_file(database: Database, tmp_path: Path) -> None:
    file = candle_file(tmp_path, low="3", high="2")
    summary = await imported(database, file, PriceFormat.COINBASE_CANDLES, create=True)
    assert (summary.rows, summary.accepted, summary.rejected_count, summary.something_went_in) == (4, 3, 1, True)
    assert [row.number for row in summary.rejected] == [1]
    assert "`low` 3" in summary.rejected[0].reason


async def test_rows_that_were_rejected_get_another_chance_when_the_file_comes_again(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "prices.ndjson"
    row = {"currency": "USD", "price": 12.30, "observedAt": "2026-01-01T00:00:00Z"}
    lines = [json.dumps({"item": "bitcoin", **row}), "", "junk", json.dumps({"item": "unheard-of", **row})]
    file.write_text("\n".join(lines))
    first = await imported(database, file, PriceFormat.NDJSON)
    assert (first.rows, first.accepted, first.something_went_in) == (3, 0, False)
    assert [(reject.number, reject.reason) for reject in first.rejected] == [
        (1, "There is no item “bitcoin”."),
        (3, "A row is one JSON object on one line; this is not JSON."),
        (4, "There is no item “unheard-of”."),
    ]
    async with database.transaction() as transaction:
        await add_coin(transaction, "BTC")
    second = await imported(database, file, PriceFormat.NDJSON)
    assert (second.accepted, [reject.number for reject in second.rejected]) == (1, [3, 4])
    async with database.transaction() as transaction:
        price = await transaction.connection.execute(
            select(PricePoint.price, PriceSeries.kind).join_from(
                PricePoint, PriceSeries, PricePoint.series_id == PriceSeries.id
            )
        )
        assert price.one() == (Decimal("12.3"), "market")


@pytest.mark.parametrize(
    ("name", "options", "refusal", "sentence"),
    [
        ("coinbase_BTC-USD.json", {}, UnknownItem, "no coin with the symbol BTC; add it with --create"),
        ("candles.json", {"currency": "USD"}, BadUserInput, "does not tell its item; say it with --item"),
        ("candles.json", {"item": "bitcoin"}, BadUserInput, "does not tell its currency; say it with --currency"),
        ("coinbase_BTC-USD.json", {"item": "ore"}, UnknownItem, "The catalogue has no item `ore`"),
        ("coinbase_BTC-USD.json", {"item": "coins:9", "create": True}, UnknownItem, "has no item `coins:9`"),
        ("coinbase_BTC-USD.json", {"currency": "XXX"}, BadUserInput, "`XXX` is no currency that Trove knows"),
        ("coinbase_TWO-USD.json", {}, UnknownItem, "TWO is the symbol of two-a, two-b; say which one with --item"),
    ],
)
async def test_what_the_file_does_not_tell_is_asked_for_before_anything_is_stored(
    database: Database,
    tmp_path: Path,
    name: str,
    options: dict[str, Any],
    refusal: type[BadUserInput | UnknownItem],
    sentence: str,
) -> None:
    async with database.transaction() as transaction:
        await save_items(transaction, [NewItem(slug, slug, CoinDetails("TWO")) for slug in ("two-a", "two-b")])
    before = await counts(database)
    with pytest.raises(refusal) as raised:
        await imported(database, candle_file(tmp_path, name=name), PriceFormat.COINBASE_CANDLES, **options)
    assert sentence in raised.value.message
    assert await counts(database) == before


async def test_more_rows_than_fit_into_a_batch_go_in_as_several(database: Database) -> None:
    async with database.transaction() as transaction:
        await add_coin(transaction, "BTC")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        CanonicalRow(
            number,
            json.dumps(
                {
                    "item": "bitcoin",
                    "source": "coinbase",
                    "currency": "USD",
                    "price": str(number),
                    "observedAt": (start + timedelta(seconds=number)).isoformat(),
                }
            ).encode(),
        )
        for number in range(1, 60_002)
    ]
    seen: list[int] = []
    delivery = await deliver(
        database, price_batches(), kind=BatchKind.PRICE_POINTS, batches=in_batches(rows), on_progress=seen.append
    )
    assert (delivery.rows, delivery.accepted, seen) == (60_001, 60_001, [50_000, 10_001])


class TestCommand:
    """`trove import` as a newcomer types it: sentences and exit codes."""

    @pytest.fixture(autouse=True)
    def _environment(
        self, monkeypatch: pytest.MonkeyPatch, trove_settings: Settings, database: Database
    ) -> Iterator[None]:
        monkeypatch.setenv("DATABASE_URL", str(trove_settings.database_url))
        monkeypatch.setenv("REDIS_URL", str(trove_settings.redis_url))
        current_settings.cache_clear()
        yield
        current_settings.cache_clear()

    async def run(self, *arguments: str | Path) -> tuple[int, str]:
        """The exit code and everything that was printed; in a thread, because a command brings its own event loop."""
        result = await asyncio.to_thread(CliRunner().invoke, import_commands, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    async def prices(self, file: Path, *options: str, file_format: str = "coinbase-candles") -> tuple[int, str]:
        return await self.run("prices", file, "--source", "coinbase", "--format", file_format, *options)

    async def test_a_file_goes_in_and_the_second_time_changes_nothing(self, tmp_path: Path) -> None:
        file = candle_file(tmp_path)
        code, output = await self.prices(file, "--create")
        assert code == 0
        assert "4 rows: 4 accepted, 0 duplicates, 0 rejected" in output
        code, output = await self.prices(file)
        assert code == 0
        assert "4 rows: 0 accepted, 4 duplicates, 0 rejected" in output
        assert "imported before in the same way; nothing changed" in output

    async def test_rows_that_are_all_rejected_end_with_one_and_show_the_first_ten(self, tmp_path: Path) -> None:
        file = tmp_path / "prices.ndjson"
        file.write_text('{"item":"nothing"}\n' * 12)
        code, output = await self.prices(file, file_format="ndjson")
        assert code == 1
        assert "12 rejected" in output
        assert output.count("\n  row ") == 10
        assert "… and 2 more" in output

    @pytest.mark.parametrize("file_format", ["coinbase-candles", "binance-candles", "ndjson"])
    @pytest.mark.parametrize("content", [None, b"", b"# Not a price\n", b"\xff\xfe\xfd", b"[]"])
    async def test_a_file_that_cannot_be_read_ends_with_two_and_one_sentence(
        self, tmp_path: Path, file_format: str, content: bytes | None
    ) -> None:
        file = tmp_path / "file"
        if content is not None:
            file.write_bytes(content)
        code, output = await self.prices(file, file_format=file_format)
        assert code == 2
        assert len(output.strip().splitlines()) == 1

    async def test_a_directory_is_no_file(self, tmp_path: Path) -> None:
        code, output = await self.prices(tmp_path)
        assert (code, "is a directory. Give the path of a file." in output) == (2, True)

    async def test_a_length_that_is_none_is_refused(self, tmp_path: Path) -> None:
        code, output = await self.prices(candle_file(tmp_path), "--resolution", "often")
        assert (code, "A length of candles such as 5m, 4h, 1d" in output) == (2, True)

    async def test_the_real_market_is_imported_and_counted(self, trove_data: Path, tmp_path: Path) -> None:
        code, output = await self.run("cs2", trove_data / "cs2")
        assert code == 0
        assert "12,691 items: 12,691 new, 0 changed, 0 as they were" in output
        assert "10,133 painted, 1,807 sticker, 442 graffiti" in output
        code, output = await self.run("cs2", tmp_path)
        assert (code, "market_hash_names.json cannot be read" in output) == (2, True)

    async def test_files_of_skins_rulings_and_names_are_told_apart_and_counted(self, trove_data: Path) -> None:
        code, output = await self.run("cs2", trove_data / "cs2" / "bymykel_skins_sample.json")
        assert code == 0
        assert "bymykel_skins_sample.json: 19 rows: 110 items new, 0 changed, 0 as they were" in output
        folder = trove_data / "cards" / "mtg"
        code, output = await self.run("scryfall", folder / "rulings.json", folder / "catalog_card_names.json")
        assert code == 0
        assert "rulings: 2 new, 0 as they were" in output
        assert "1,325 names of cards were looked up; the catalogue has no card of 1,325" in output
        assert 'no card: "Ach! Hans, Run!"' in output
        assert "… and 1,305 more" in output
