"""Every real file goes in by what its command calls, as a count of its own says; a second time changes nothing."""

import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.catalogue.anime import read_anime_relations
from app.catalogue.commands.import_series import ImportedSeries, import_series
from app.catalogue.commands.save_items import SavedItems
from app.catalogue.commands.save_related import SavedSets
from app.catalogue.commands.save_rulings import SavedRulings
from app.catalogue.cs2 import SCHEMA_FILES, read_market
from app.catalogue.file_import import CatalogueSummary, import_catalogue_file, import_skin_file
from app.catalogue.json_rows import open_plain
from app.catalogue.pokemon import read_pokemon_row
from app.catalogue.scryfall import read_scryfall_row
from app.cli.price_import import (
    ImportSummary,
    PriceFormat,
    PriceImport,
    import_market,
    import_prices,
    open_prices,
)
from app.core.database import Database
from app.prices.commands.import_exchange_rates import ImportedRates
from app.prices.rate_import import import_rates, open_rates

TODAY = date(2026, 4, 20)
MTG = ["sets_page1", "cards_page1", "card_single_urzas_saga", "card_split_dusk_dawn", "rulings", "catalog_card_names"]
POKEMON = ["sets", "cards_g1_basic"]
CANDLES = {
    "coinbase_BTC-USD_4h_2024-2025.json": PriceFormat.COINBASE_CANDLES,
    "coinbase_ETH-USD_1d_2016-2023.json": PriceFormat.BINANCE_CANDLES,
    "binanceus_ETH-USD_5m_first400.json": PriceFormat.BINANCE_CANDLES,
}
RATES = ["eurofxref-hist_2021-2024.csv", "eurofxref_2026-04-13.csv"]
# Of the schema of the game these tell nothing that is not told elsewhere.
NOT_NEEDED = {"cs2/schema/qualities.json", "cs2/schema/_phases_mapping.json"}
Outcomes = dict[str, Any]


def files_of(data: Path) -> set[str]:
    """The files that an import is about."""
    folders = ("cs2", "cards", "crypto", "figures", "fx")
    return {str(file.relative_to(data)) for folder in folders for file in (data / folder).rglob("*") if file.is_file()}


async def import_all(database: Database, data: Path) -> Outcomes:
    """Import every file; what became of each, by its path."""
    outcomes: Outcomes = {"cs2/market_hash_names.json": await import_market(database, read_market(data / "cs2"))}
    outcomes["cs2/bymykel_skins_sample.json"] = await import_skin_file(
        database, data / "cs2" / "bymykel_skins_sample.json"
    )
    for folder, names, read_row in (("mtg", MTG, read_scryfall_row), ("pokemon", POKEMON, read_pokemon_row)):
        for name in names:
            path = f"cards/{folder}/{name}.json"
            outcomes[path] = await import_catalogue_file(database, data / path, read_row)
    for name, file_format in CANDLES.items():
        wanted = PriceImport(data / "crypto" / name, name.partition("_")[0], file_format, create=True)
        with open_prices(wanted) as opened:
            outcomes[f"crypto/{name}"] = await import_prices(database, wanted, opened)
    with open_plain(data / "figures" / "anime-relations.txt") as stream:
        series, _ = read_anime_relations(stream, "anime-relations.txt")
    async with database.transaction() as transaction:
        outcomes["figures/anime-relations.txt"] = await import_series(transaction, series)
    for name in RATES:
        outcomes[f"fx/{name}"] = await import_rates(database, open_rates(data / "fx" / name, today=TODAY))
    return outcomes


async def checksums(owner: AsyncEngine) -> dict[str, tuple[int, str]]:
    """For each table of catalogue and prices how many rows it has, and a checksum over what they hold."""
    async with owner.connect() as connection:
        tables = await connection.scalars(
            text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                "WHERE schemaname IN ('catalogue', 'prices') ORDER BY 1"
            )
        )
        found = {}
        for table in tables.all():
            row = await connection.execute(
                text(
                    "SELECT count(*), coalesce(md5(string_agg(md5(stored::text), '' ORDER BY md5(stored::text))), '') "
                    f"FROM {table} AS stored"
                )
            )
            count, checksum = row.one()
            found[table] = (count, checksum)
        return found


def wears_and_marks(data: Path) -> tuple[set[str], set[str]]:
    """The market names that the list of skins tells of for certain, and the souvenirs that there may be of them."""
    rows = json.loads((data / "cs2" / "bymykel_skins_sample.json").read_bytes())
    names = {(row["name"], wear, row["stattrak"]) for row in rows for wear in row["wears"]}
    certain = {f"{mark}{name} ({wear})" for name, wear, both in names for mark in ["", "StatTrak™ "][: 1 + both]}
    return certain, {f"Souvenir {name} ({wear})" for name, wear, _ in names}


def rates_in(file: Path) -> int:
    """How many rates a table of the European Central Bank holds."""
    _, *lines = csv.reader(file.read_text().splitlines())
    return sum(cell.strip() not in {"", "N/A"} for line in lines for cell in line[1:])


@pytest.fixture
async def imported_twice(
    database: Database, _owner: AsyncEngine, trove_data: Path
) -> tuple[Outcomes, Outcomes, list[str]]:
    """What became of every file the first and the second time, and the tables that the second changed."""
    first = await import_all(database, trove_data)
    before = await checksums(_owner)
    second = await import_all(database, trove_data)
    after = await checksums(_owner)
    assert {table for table, (count, _) in before.items() if count} >= {
        "catalogue.skins",
        "catalogue.card_rulings",
        "catalogue.series_external_ids",
        "prices.candles",
        "prices.exchange_rates",
    }
    return first, second, [table for table in before if before[table] != after[table]]


async def test_every_real_file_goes_in_whole_and_again_changes_nothing(
    trove_data: Path, imported_twice: tuple[Outcomes, Outcomes, list[str]]
) -> None:
    first, second, changed_tables = imported_twice

    def content(path: str) -> Any:
        return json.loads((trove_data / path).read_bytes())

    read_with_the_market = {f"cs2/schema/{name}.json" for name in SCHEMA_FILES}
    assert files_of(trove_data) == first.keys() | read_with_the_market | NOT_NEEDED

    market = set(content("cs2/market_hash_names.json"))
    assert first["cs2/market_hash_names.json"].saved == SavedItems(inserted=len(market))
    certain, souvenirs = wears_and_marks(trove_data)
    told = certain | (souvenirs & market)
    skins = first["cs2/bymykel_skins_sample.json"]
    assert (skins.rows, skins.rejected_count) == (len(content("cs2/bymykel_skins_sample.json")), 0)
    assert skins.items.inserted == len(certain - market)
    assert skins.items.updated + skins.items.unchanged == len(told & market)

    cards = [
        *content("cards/mtg/cards_page1.json")["data"],
        *(content(f"cards/mtg/{name}.json") for name in ("card_single_urzas_saga", "card_split_dusk_dawn")),
    ]
    assert sum(first[f"cards/mtg/{name}.json"].items.inserted for name in MTG) == len({card["id"] for card in cards})
    sets = content("cards/mtg/sets_page1.json")["data"]
    assert first["cards/mtg/sets_page1.json"].sets == SavedSets(inserted=len(sets))
    rulings = content("cards/mtg/rulings.json")["data"]
    assert first["cards/mtg/rulings.json"].rulings == SavedRulings(inserted=len(rulings))
    names = content("cards/mtg/catalog_card_names.json")["data"]
    looked_up = first["cards/mtg/catalog_card_names.json"]
    assert (looked_up.names, looked_up.missing_count) == (len(names), len(set(names) - {one["name"] for one in cards}))
    pokemon = content("cards/pokemon/cards_g1_basic.json")["data"]
    assert first["cards/pokemon/cards_g1_basic.json"].items == SavedItems(inserted=len(pokemon))
    assert first["cards/pokemon/sets.json"].sets == SavedSets(inserted=len(content("cards/pokemon/sets.json")["data"]))

    for name in CANDLES:
        prices, file = first[f"crypto/{name}"], content(f"crypto/{name}")
        rows = file.get("candles") or file["ohlc"]
        moments = {row.get("start") or row["endTime"] for row in rows}
        assert (prices.rows, prices.accepted, prices.rejected_count) == (len(rows), len(moments), 0)
    assert first["figures/anime-relations.txt"].inserted > 300
    for name in RATES:
        assert first[f"fx/{name}"] == ImportedRates(rates_in(trove_data / "fx" / name), [], 0)

    assert [path for path, outcome in second.items() if changed(outcome)] == []
    assert changed_tables == []


def changed(outcome: object) -> bool:
    """Whether an outcome tells of anything that was not there before."""
    match outcome:
        case CatalogueSummary():
            saved = (outcome.items, outcome.sets)
            return any(one.inserted or one.updated for one in saved) or outcome.rulings.inserted > 0
        case ImportSummary():
            return outcome.accepted > 0 or not outcome.is_repeat
        case ImportedSeries() | ImportedRates():
            return outcome.inserted > 0 or outcome.updated > 0
        case _:
            return bool(outcome.saved.inserted or outcome.saved.updated)  # type: ignore[attr-defined]  # the market's
