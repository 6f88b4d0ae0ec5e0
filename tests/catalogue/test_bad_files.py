"""Files that are not what they should be: every importer says so in a sentence, and nothing of them goes in."""

import gzip
import json
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.catalogue.anime import read_anime_relations
from app.catalogue.coingecko import read_coin_row
from app.catalogue.commands.save_items import SavedItems
from app.catalogue.cs2 import read_market
from app.catalogue.errors import CatalogueNotUnderstood
from app.catalogue.file_import import (
    CatalogueSummary,
    ReadRow,
    import_catalogue_file,
    import_figure_file,
    import_skin_file,
)
from app.catalogue.json_rows import open_plain
from app.catalogue.models import Item
from app.catalogue.pokemon import read_pokemon_row
from app.catalogue.scryfall import read_scryfall_row
from app.cli.price_import import PriceFormat, PriceImport, open_prices
from app.core.database import Database
from app.core.errors import Refusal
from app.prices.rate_import import open_rates
from tests.catalogue.test_import_cs2 import market_directory
from tests.catalogue.test_import_cs2_skins import BLAZE_OF_2023

ImportFile = Callable[[Database, Path], Awaitable[CatalogueSummary]]


def _of_rows(read_row: ReadRow) -> ImportFile:
    return lambda database, file: import_catalogue_file(database, file, read_row)


CARD: dict[str, object] = {
    "object": "card",
    "id": "id-1",
    "name": "Card 1",
    "lang": "en",
    "set": "abc",
    "collector_number": "1",
}
# Each importer of rows, with a row that is good and how many items that makes.
IMPORTERS: dict[str, tuple[ImportFile, dict[str, object], int]] = {
    "scryfall": (_of_rows(read_scryfall_row), CARD, 1),
    "pokemon": (_of_rows(read_pokemon_row), {"id": "g1-1", "name": "Venusaur-EX", "number": "1"}, 1),
    "coins": (_of_rows(read_coin_row), {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin"}, 1),
    "figures": (import_figure_file, {"name": "The Ferryman", "jan": "4580000000010"}, 1),
    "skins": (import_skin_file, dict(BLAZE_OF_2023), 2),
}
BAD = {
    "empty": b"",
    "only spaces": b" \n\t ",
    "only a byte-order mark": b"\xef\xbb\xbf",
    "HTML": b"<!DOCTYPE html><title>429</title>",
    "nested arrays": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'[{"a":' + b'{"a":' * 100_000,
    "nested page": b'{"data": [' + b"[" * 100_000,
    "not closed": b'[{"name": "Ot',
    "NaN": b"[NaN]",
    "other brackets": b"[}",
    "half a gzip": gzip.compress(b'[{"name": "Otter"}]')[:-12],
    "gzip of nothing": gzip.compress(b""),
    "wrong gzip": b"\x1f\x8bno gzip at all",
    "CoinGecko's error": b'{"status": {"error_code": 429, "error_message": "You have exceeded the limit."}}',
    "an error in words": b'{"error": "Not found"}',
    "an error with a code": b'{"error": {"message": "Your API key is invalid.", "code": 403}}',
    "Scryfall's error": b'{"object": "error", "code": "not_found", "status": 404, "details": "No card found."}',
    "an error with rows": b'{"status": {"error_code": 1008}, "data": [{"id": "b", "symbol": "b", "name": "B"}]}',
    "nested within a row": b'[{"a": ' + b"[" * 1_500 + b"]" * 1_500 + b"}]",
    "a row without end": gzip.compress(b'[{"a": "' + b"x" * 5 * 1024**2 + b'"}]'),
    "lines without end": gzip.compress(b"[\n" + b"\n" * 100_000 + b"]"),
    "spaces without end": gzip.compress(b" " * 200_000 + b"[{}]"),
    "UTF-16": json.dumps([CARD]).encode("utf-16"),
}


async def count_items(database: Database) -> int:
    async with database.transaction() as transaction:
        return await transaction.connection.scalar(select(func.count()).select_from(Item)) or 0


@pytest.mark.parametrize("importer", IMPORTERS)
async def test_what_is_no_file_of_rows_is_told_and_leaves_nothing(
    database: Database, tmp_path: Path, importer: str
) -> None:
    import_file, _, _ = IMPORTERS[importer]
    for name, content in BAD.items():
        file = tmp_path / "rows.json"
        file.write_bytes(content)
        try:
            sentence = (await import_file(database, file)).breaks_off or ""
        except Refusal as refusal:
            sentence = refusal.message
        assert "rows.json" in sentence, name
        assert await count_items(database) == 0, name


@pytest.mark.parametrize("importer", IMPORTERS)
async def test_an_error_of_a_service_is_refused_with_what_it_says(
    database: Database, tmp_path: Path, importer: str
) -> None:
    said = {
        "CoinGecko's error": "You have exceeded the limit",
        "an error in words": "Not found",
        "an error with a code": "Your API key is invalid",
        "Scryfall's error": "No card found",
        "an error with rows": "1008",
    }
    for name, sentence in said.items():
        file = tmp_path / "rows.json"
        file.write_bytes(BAD[name])
        with pytest.raises(CatalogueNotUnderstood, match=f"an error of the service, not data: {sentence}; "):
            await IMPORTERS[importer][0](database, file)


async def test_a_page_that_says_that_nothing_went_wrong_is_read(database: Database, tmp_path: Path) -> None:
    import_file, row, items = IMPORTERS["coins"]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"status": {"error_code": 0}, "error": None, "data": [row]}))
    assert (await import_file(database, file)).items == SavedItems(inserted=items)


async def test_brackets_within_texts_nest_nothing(database: Database, tmp_path: Path) -> None:
    import_file, row, _ = IMPORTERS["coins"]
    file = tmp_path / "rows.json"
    odd = [row | {"id": f"coin-{number}", "name": "[{" * 200 + '"[\\' * (number % 30)} for number in range(60)]
    file.write_text(json.dumps(odd, indent=1))
    summary = await import_file(database, file)
    assert (summary.items, summary.breaks_off) == (SavedItems(inserted=60), None)


@pytest.mark.parametrize("importer", IMPORTERS)
@pytest.mark.parametrize("path", ["", "missing.json"], ids=["a directory", "no file"])
async def test_what_cannot_be_read_is_named(database: Database, tmp_path: Path, importer: str, path: str) -> None:
    with pytest.raises(Refusal, match="cannot be read"):
        await IMPORTERS[importer][0](database, tmp_path / path)


@pytest.mark.parametrize("importer", IMPORTERS)
async def test_a_gzip_named_otherwise_and_a_byte_order_mark_do_not_matter(
    database: Database, tmp_path: Path, importer: str
) -> None:
    import_file, row, items = IMPORTERS[importer]
    plain = json.dumps([row]).encode()
    file = tmp_path / "rows.json"
    outcomes = []
    for content in (gzip.compress(plain), b"\xef\xbb\xbf" + plain, gzip.compress(b"\xef\xbb\xbf" + plain)):
        file.write_bytes(content)
        outcomes.append((await import_file(database, file)).items)
    assert outcomes == [SavedItems(inserted=items), SavedItems(unchanged=items), SavedItems(unchanged=items)]


@pytest.mark.parametrize("importer", IMPORTERS)
async def test_two_rows_of_one_id_are_one_thing(database: Database, tmp_path: Path, importer: str) -> None:
    import_file, row, items = IMPORTERS[importer]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([row, row]))
    summary = await import_file(database, file)
    # Rows of one figure are its releases; of all else a second row is one too many.
    assert [one.number for one in summary.rejected] == ([] if importer == "figures" else [2])
    assert summary.items == SavedItems(inserted=items)
    assert await count_items(database) == items


async def test_things_of_one_name_get_slugs_of_their_own(database: Database, tmp_path: Path) -> None:
    rows: dict[str, list[dict[str, object]]] = {
        "coins": [{"id": "a b", "symbol": "ab", "name": "AB"}, {"id": "a-b", "symbol": "abb", "name": "ABB"}],
        "scryfall": [CARD, CARD | {"id": "id-2"}],
        "figures": [{"name": "Otter", "manufacturer": "North"}, {"name": "Otter", "manufacturer": "South"}],
    }
    for importer, both in rows.items():
        file = tmp_path / "rows.json"
        file.write_text(json.dumps(both))
        assert (await IMPORTERS[importer][0](database, file)).items == SavedItems(inserted=2)
        assert (await IMPORTERS[importer][0](database, file)).items == SavedItems(unchanged=2)


async def test_cards_without_a_set_go_in_without_one(database: Database, tmp_path: Path) -> None:
    for importer in ("scryfall", "pokemon"):
        import_file, row, _ = IMPORTERS[importer]
        file = tmp_path / "rows.json"
        file.write_text(json.dumps([row | {"set": None}]))
        summary = await import_file(database, file)
        assert (summary.items.inserted, summary.sets.inserted, summary.rejected) == (1, 0, [])


@pytest.mark.parametrize("name", [name for name in BAD if "byte-order" not in name])
def test_other_readers_refuse_what_is_no_file_of_theirs(tmp_path: Path, name: str) -> None:
    market = market_directory(tmp_path, {"CS20 Case": 1})
    file = tmp_path / "file"
    for path in (file, market / "market_hash_names.json"):
        path.write_bytes(BAD[name])

    def read_anime() -> None:
        with open_plain(file) as stream:
            read_anime_relations(stream, file.name)

    def read_prices(file_format: PriceFormat) -> None:
        with open_prices(PriceImport(file, "shop", file_format)):
            pass

    readers: list[Callable[[], object]] = [
        lambda: read_market(market),
        read_anime,
        lambda: open_rates(file, today=date(2026, 4, 20)),
        lambda: read_prices(PriceFormat.COINBASE_CANDLES),
        lambda: read_prices(PriceFormat.BINANCE_CANDLES),
    ]
    for read in readers:
        with pytest.raises(Refusal):
            read()
