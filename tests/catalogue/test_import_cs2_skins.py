"""The list of CS2 skins: each tells of market items by wear and mark, and fills in what the market does not tell."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.catalogue.commands.save_items import SavedItems
from app.catalogue.cs2 import read_market
from app.catalogue.cs2_skins import listed_items, read_skin_row
from app.catalogue.errors import CatalogueNotUnderstood, RowNotUnderstood
from app.catalogue.file_import import CatalogueSummary, import_skin_file
from app.catalogue.models import ExternalId, Item, ItemVariant, Skin
from app.core.database import Database
from tests.catalogue.test_import_cs2 import WEARS, imported, market_directory

BLAZE_OF_2023 = {
    "id": "skin-65684",
    "name": "Desert Eagle | Blaze",
    "weapon": "Desert Eagle",
    "category": "Pistols",
    "pattern": "Blaze",
    "min_float": 0,
    "max_float": 0.08,
    "rarity": "Restricted",
    "stattrak": False,
    "wears": ["Factory New", "Minimal Wear"],
    "image": "https://images.example/blaze.png",
}
REDLINE = {
    "id": "skin-e757fd7191f9",
    "name": "AK-47 | Redline",
    "weapon": {"id": "weapon_ak47", "weapon_id": 7, "name": "AK-47"},
    "category": {"id": "csgo_inventory_weapon_category_rifles", "name": "Rifles"},
    "pattern": {"id": "cu_ak47_cobra", "name": "Redline"},
    "min_float": 0.1,
    "max_float": 0.7,
    "rarity": {"id": "rarity_legendary_weapon", "name": "Classified", "color": "#d32ce6"},
    "stattrak": True,
    "souvenir": True,
    "wears": [{"id": f"wear{number}", "name": name} for number, name in enumerate(WEARS[1:])],
    "collections": [{"id": "collection-1", "name": "The Harbour Collection"}],
    "crates": [
        {"id": "crate-1", "name": "CS20 Case"},
        {"id": "crate-2", "name": "Berlin 2019 Inferno Souvenir Package"},
    ],
    "team": {"id": "terrorists", "name": "Terrorist"},
    "image": "https://images.example/redline-of-the-list.png",
}
DOPPLER = {
    "id": "skin-1",
    "name": "★ Karambit | Doppler",
    "weapon": {"name": "Karambit"},
    "category": {"name": "Knives"},
    "pattern": {"name": "Doppler"},
    "min_float": 0,
    "max_float": 0.08,
    "rarity": {"name": "Covert"},
    "stattrak": True,
    "souvenir": False,
    "phase": "Phase 1",
}
BAYONET = {
    "id": "skin-vanilla-weapon_bayonet",
    "name": "★ Bayonet",
    "weapon": {"name": "Bayonet"},
    "category": {"name": "Knives"},
    "pattern": None,
    "min_float": None,
    "max_float": None,
    "rarity": {"name": "Covert"},
    "stattrak": True,
}


async def imported_skins(database: Database, directory: Path, *rows: object) -> CatalogueSummary:
    file = directory / "skins.json"
    await asyncio.to_thread(file.write_text, json.dumps(rows))
    return await import_skin_file(database, file)


async def skins(database: Database) -> dict[str, Any]:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(Skin.__table__, Item.image_url).join(Item, Item.id == Skin.item_id)
        )
        return {row["market_hash_name"]: row for row in rows.mappings()}


async def test_a_skin_of_either_shape_becomes_an_item_for_each_wear_and_mark(
    database: Database, tmp_path: Path
) -> None:
    first = await imported_skins(database, tmp_path, BLAZE_OF_2023, REDLINE)
    assert (first.rows, first.items, first.rejected) == (2, SavedItems(inserted=2 + 3 * 4), [])
    assert (await imported_skins(database, tmp_path, BLAZE_OF_2023, REDLINE)).items == SavedItems(unchanged=14)
    stored = await skins(database)
    assert set(stored) == {
        "Desert Eagle | Blaze (Factory New)",
        "Desert Eagle | Blaze (Minimal Wear)",
        *(f"{mark}AK-47 | Redline ({wear})" for mark in ("", "StatTrak™ ", "Souvenir ") for wear in WEARS[1:]),
    }
    told = dict(stored["StatTrak™ AK-47 | Redline (Well-Worn)"])
    del told["item_id"]
    assert told == {
        "market_hash_name": "StatTrak™ AK-47 | Redline (Well-Worn)",
        "category": "Rifle",
        "weapon": "AK-47",
        "skin": "Redline",
        "wear": "Well-Worn",
        "rarity": "Classified",
        "stattrak": True,
        "souvenir": False,
        "float_minimum": 0.1,
        "float_maximum": 0.7,
        "collection": "The Harbour Collection",
        "crates": ["CS20 Case"],
        "image_url": "https://images.example/redline-of-the-list.png",
    }
    assert stored["Souvenir AK-47 | Redline (Well-Worn)"]["crates"] == ["Berlin 2019 Inferno Souvenir Package"]


async def test_phases_are_variants_of_one_item_and_a_knife_may_have_no_paint(
    database: Database, tmp_path: Path
) -> None:
    ruby = DOPPLER | {"id": "skin-2", "phase": "Ruby", "min_float": 0.01}
    assert (await imported_skins(database, tmp_path, ruby, DOPPLER, BAYONET)).items == SavedItems(inserted=6)
    stored = await skins(database)
    assert set(stored) == {
        "★ Karambit | Doppler (Factory New)",
        "★ Karambit | Doppler (Minimal Wear)",
        "★ StatTrak™ Karambit | Doppler (Factory New)",
        "★ StatTrak™ Karambit | Doppler (Minimal Wear)",
        "★ Bayonet",
        "★ StatTrak™ Bayonet",
    }
    knife = stored["★ Karambit | Doppler (Factory New)"]
    assert (knife["category"], knife["float_minimum"]) == ("Knife", 0.0)
    async with database.transaction() as transaction:
        variants = select(ItemVariant.key).where(ItemVariant.item_id == knife["item_id"])
        keys = await transaction.connection.scalars(variants.order_by(ItemVariant.position))
        assert keys.all() == ["default", "phase-1", "ruby"]


async def test_what_the_market_tells_stays_and_the_list_fills_in_the_rest(database: Database, tmp_path: Path) -> None:
    names = ["AK-47 | Redline (Field-Tested)", "Souvenir Desert Eagle | Blaze (Factory New)"]
    market = read_market(market_directory(tmp_path, {name: number for number, name in enumerate(names)}))
    await imported(database, market)
    once = await imported_skins(database, tmp_path, BLAZE_OF_2023, REDLINE | {"crates": []})
    assert once.items == SavedItems(inserted=2 + 11, updated=1, unchanged=1)
    stored = await skins(database)
    redline, blaze = (stored[name] for name in names)
    assert (redline["image_url"], redline["crates"]) == ("http://images.example/redline.png", ["CS20 Case"])
    assert (blaze["rarity"], blaze["float_maximum"]) == ("Restricted", 0.08)
    assert (await imported(database, market)).saved == SavedItems(unchanged=2)
    again = await imported_skins(database, tmp_path, BLAZE_OF_2023 | {"rarity": "Covert"})
    assert again.items == SavedItems(updated=2, unchanged=1)
    stored = await skins(database)
    assert stored[names[1]]["rarity"] == "Restricted"
    assert stored["Desert Eagle | Blaze (Factory New)"]["rarity"] == "Covert"


@pytest.mark.parametrize("order", [("market", "skins"), ("skins", "market")])
async def test_both_files_in_any_order_are_at_rest_after_one_round(
    database: Database, tmp_path: Path, order: tuple[str, str]
) -> None:
    market = read_market(market_directory(tmp_path, {"AK-47 | Redline (Field-Tested)": 1}))

    async def one_round() -> list[SavedItems]:
        return [
            (await imported(database, market)).saved
            if which == "market"
            else (await imported_skins(database, tmp_path, REDLINE)).items
            for which in order
        ]

    assert sum(saved.inserted for saved in await one_round()) == 12
    assert sorted(saved.unchanged for saved in await one_round()) == [1, 12]
    async with database.transaction() as transaction:
        ids = await transaction.connection.scalars(
            select(ExternalId.external_id).where(ExternalId.provider == "steam-nameid")
        )
        assert ids.all() == ["1"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": None}, "it has no id"),
        ({"weapon": None}, "it has no weapon"),
        ({"weapon": 7}, "it is not an object"),
        ({"name": " "}, "it has no name"),
        ({"pattern": None}, "it is a weapon without paint, which nobody sells"),
        ({"min_float": "0.1"}, "min_float is not a number from 0 to 1"),
        ({"max_float": 1.5}, "max_float is not a number from 0 to 1"),
        ({"min_float": 0.5, "max_float": 0.2}, "min_float 0.5 is more than max_float 0.2"),
        ({"wears": ["Mint"]}, "“Mint” is no wear"),
        ({"wears": ["Factory New", "Battle-Scarred"]}, "its floats, 0.0 to 0.08, do not reach Battle-Scarred"),
        ({"wears": [], "min_float": None}, "it has no wears, and no min_float and max_float to tell them by"),
        ({"stattrak": "yes"}, "stattrak is not true or false"),
        ({"crates": "CS20 Case"}, "crates is not a list"),
        ({"crates": [{"id": "crate-1"}]}, "it has no name"),
        ({"weapon": "x" * 250, "pattern": "y" * 250}, "its names on the market have more than 500 characters"),
        ({"rarity": "x" * 501}, "rarity has 501 characters, more than 500"),
    ],
)
async def test_a_bad_row_is_told_with_its_reason_and_the_rest_goes_in(
    database: Database, tmp_path: Path, fields: dict[str, object], reason: str
) -> None:
    summary = await imported_skins(database, tmp_path, BLAZE_OF_2023 | fields, BAYONET)
    assert [(row.number, row.reason) for row in summary.rejected] == [(1, reason)]
    assert summary.items == SavedItems(inserted=2)


async def test_a_skin_that_stands_twice_goes_in_once(database: Database, tmp_path: Path) -> None:
    summary = await imported_skins(database, tmp_path, BLAZE_OF_2023, BLAZE_OF_2023 | {"rarity": "Covert"})
    assert [(row.number, row.reason) for row in summary.rejected] == [(2, "it is skin-65684, as row 1 is")]
    assert summary.items == SavedItems(inserted=2)


@pytest.mark.parametrize(
    ("least", "most", "wears"),
    [
        (0.0, 1.0, WEARS),
        (0.07, 0.15, ["Minimal Wear"]),
        (0.06, 0.0700001, ["Factory New", "Minimal Wear"]),
        (0.45, 0.45, ["Battle-Scarred"]),
        (1.0, 1.0, ["Battle-Scarred"]),
        (0.15, 0.45, ["Field-Tested", "Well-Worn"]),
    ],
)
def test_floats_tell_the_wears_where_the_row_does_not(least: float, most: float, wears: list[str]) -> None:
    row = BLAZE_OF_2023 | {"wears": None, "min_float": least, "max_float": most}
    assert list(read_skin_row(row).wears) == wears


async def test_a_list_that_ends_in_the_middle_leaves_nothing(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "skins.json"
    file.write_text(json.dumps([BLAZE_OF_2023, REDLINE])[:-40])
    summary = await import_skin_file(database, file)
    assert summary.breaks_off is not None
    assert "skins.json breaks off at row 2" in summary.breaks_off
    assert await skins(database) == {}


async def test_the_names_of_the_market_are_no_list_of_skins(database: Database, tmp_path: Path) -> None:
    file = market_directory(tmp_path, {"CS20 Case": 1}) / "market_hash_names.json"
    with pytest.raises(CatalogueNotUnderstood, match="give the directory that holds both"):
        await import_skin_file(database, file)


def test_every_real_skin_of_the_list_is_told_as_the_market_names_it(trove_data: Path) -> None:
    rows = json.loads((trove_data / "cs2" / "bymykel_skins_sample.json").read_bytes())
    listed, rejected = listed_items([(number, read_skin_row(row)) for number, row in enumerate(rows, start=1)])
    assert rejected == []
    wanted = {
        f"{'StatTrak™ ' if stattrak else ''}{row['name']} ({wear})"
        for row in rows
        for wear in row["wears"]
        for stattrak in {False, row["stattrak"]}
    }
    assert {item.details.market_hash_name for item in listed if item.certain} == wanted
    market = set(json.loads((trove_data / "cs2" / "market_hash_names.json").read_bytes()))
    souvenirs = {item.details.market_hash_name for item in listed if not item.certain}
    assert {name for name in market if name.startswith("Souvenir Desert Eagle | Hand Cannon")} <= souvenirs


def test_a_row_that_is_no_object_is_refused() -> None:
    with pytest.raises(RowNotUnderstood, match="it is not an object"):
        read_skin_row("AK-47 | Redline")
