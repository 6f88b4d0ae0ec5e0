"""Prices in files of cards go into the series of the finishes that they are of, once."""

import asyncio
import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.catalogue import pokemon, scryfall
from app.catalogue.pokemon import read_pokemon_row
from app.catalogue.scryfall import read_scryfall_row
from app.core.database import Database
from app.prices.card_file_import import CardFileSummary, import_card_file
from app.prices.commands.price_batches import price_batches
from tests.prices.connectors.worlds import stored_prices

MAY = datetime(2024, 5, 1, tzinfo=UTC)
AUGUST = datetime(2024, 8, 5, 9, 30, tzinfo=UTC)


def magic_card(number: int, *finishes: str, **prices: str | None) -> dict[str, Any]:
    return {
        "object": "card",
        "id": f"id-{number}",
        "name": f"Card {number}",
        "set": "abc",
        "collector_number": str(number),
        "finishes": list(finishes),
        "prices": prices,
    }


async def imported(
    database: Database, directory: Path, rows: list[Any], *, name: str = "default-cards-20240501090807.json"
) -> CardFileSummary:
    file = directory / name
    await asyncio.to_thread(file.write_text, json.dumps(rows))
    os.utime(file, (AUGUST.timestamp(), AUGUST.timestamp()))
    return await import_card_file(database, file, read_scryfall_row, scryfall.prices_of, handlers=price_batches())


async def told(database: Database) -> set[tuple[str, str, str, str, str, Decimal]]:
    """The stored prices without their times."""
    return {tuple(row[:6]) for row in await stored_prices(database)}  # type: ignore[misc]  # six of its fields


async def test_prices_go_to_the_variants_of_their_finishes_and_again_add_nothing(
    database: Database, tmp_path: Path
) -> None:
    rows = [
        magic_card(1, "nonfoil", "foil", usd="0.35", usd_foil="1.20", eur="0.30", tix="0.02"),
        magic_card(2, "etched", usd_etched="4.20", usd="", eur=None, eur_foil="—"),
        {**magic_card(3, usd="7.00"), "finishes": None},
    ]
    first = await imported(database, tmp_path, rows)
    assert (first.prices.rows, first.prices.accepted, first.prices.rejected_count) == (5, 5, 0)
    assert await told(database) == {
        ("card-1-abc-1", "nonfoil", "tcgplayer", "market", "USD", Decimal("0.35")),
        ("card-1-abc-1", "foil", "tcgplayer", "market", "USD", Decimal("1.20")),
        ("card-1-abc-1", "nonfoil", "cardmarket", "market", "EUR", Decimal("0.30")),
        ("card-2-abc-2", "etched", "tcgplayer", "market", "USD", Decimal("4.20")),
        ("card-3-abc-3", "default", "tcgplayer", "market", "USD", Decimal("7.00")),
    }
    assert {row.observed_at for row in await stored_prices(database)} == {MAY}
    again = await imported(database, tmp_path, rows)
    assert (again.prices.accepted, again.prices.duplicates) == (0, 5)
    rows[0]["prices"]["usd"] = "0.40"
    later = await imported(database, tmp_path, rows, name="default-cards-20240502090807.json")
    assert (later.prices.accepted, later.prices.duplicates) == (5, 0)
    assert len(await stored_prices(database)) == 10


async def test_a_price_that_cannot_be_read_stays_out_with_its_row_told(database: Database, tmp_path: Path) -> None:
    rows = [
        magic_card(1, "nonfoil", usd="much"),
        magic_card(2, "nonfoil", usd="1.00", usd_foil="9.00"),
        magic_card(3, "nonfoil", usd="-2"),
        {**magic_card(2, "nonfoil", usd="5.00"), "name": "Twin"},
        {"object": "card", "id": "x", "prices": {"usd": "1"}},
    ]
    summary = await imported(database, tmp_path, rows)
    assert summary.cards.items.inserted == 3
    assert [(row.number, row.reason) for row in summary.prices.rejected] == [
        (1, "usd “much” is not an amount"),
        (3, "usd “-2” is not an amount from 0"),
        (2, "The item “scryfall:id-2” has no variant “foil”."),
    ]
    assert {row[5] for row in await told(database)} == {Decimal("1.00")}


async def test_a_file_without_a_time_in_its_name_is_as_of_when_it_was_written(
    database: Database, tmp_path: Path
) -> None:
    for name in ("cards.json", "default-cards-20249999000000.json"):
        await imported(database, tmp_path, [magic_card(1, "nonfoil", usd="1")], name=name)
        assert {row.observed_at for row in await stored_prices(database)} == {datetime(2024, 8, 5, tzinfo=UTC)}


async def test_the_prices_of_the_real_files_go_in_whole(database: Database, trove_data: Path) -> None:
    magic = trove_data / "cards" / "mtg" / "cards_page1.json"
    rows = json.loads(magic.read_bytes())["data"]
    expected = [
        row["prices"][name]
        for row in rows
        for name in ("usd", "usd_foil", "usd_etched", "eur", "eur_foil")
        if row["prices"].get(name)
    ]
    summary = await import_card_file(database, magic, read_scryfall_row, scryfall.prices_of, handlers=price_batches())
    assert (summary.prices.accepted, summary.prices.rejected) == (len(expected), [])
    assert sorted(row.price for row in await stored_prices(database)) == sorted(map(Decimal, expected))

    cards = trove_data / "cards" / "pokemon" / "cards_g1_basic.json"
    rows = json.loads(cards.read_bytes())["data"]
    told_prices = [
        prices[kind]
        for row in rows
        for prices in row.get("tcgplayer", {}).get("prices", {}).values()
        for kind in ("low", "mid", "high", "market")
        if prices.get(kind)
    ]
    summary = await import_card_file(database, cards, read_pokemon_row, pokemon.prices_of, handlers=price_batches())
    assert (summary.prices.accepted, summary.prices.rejected) == (len(told_prices), [])
    days = {row.observed_at for row in await stored_prices(database) if row.kind == "mid"}
    assert days == {datetime(2021, 2, 23, tzinfo=UTC)}
