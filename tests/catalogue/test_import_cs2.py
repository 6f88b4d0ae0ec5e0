"""The CS2 market: names are taken apart, the schema tells the rest, and each name becomes one item."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.catalogue.commands.import_cs2 import ImportedMarket, import_cs2
from app.catalogue.commands.save_items import SavedItems, save_items
from app.catalogue.cs2 import (
    MarketItem,
    MarketName,
    collection_among,
    crates_among,
    market_name,
    parse_market_name,
    phase_variants,
    read_market,
)
from app.catalogue.errors import CatalogueNotUnderstood
from app.catalogue.models import ExternalId, Item, ItemVariant, Skin
from app.catalogue.new_items import CoinDetails, NewItem
from app.catalogue.slugs import slug_of
from app.core.database import Database

WEARS = ["Factory New", "Minimal Wear", "Field-Tested", "Well-Worn", "Battle-Scarred"]
SCHEMA: dict[str, Any] = {
    "containers": {
        "4001": {"associated": "1203", "items": ["[282]7", "[415]507"]},
        "4005": {"items": ["[282]7"]},
        "4006": {"items": ["[282]7"]},
        "4999": {"items": ["[282]7"]},
    },
    "definitions": {
        "7": {"name": "AK-47", "quality": "0", "type": "5"},
        "507": {"name": "Karambit", "type": "25"},
        "5027": {"name": "Bloodhound Gloves", "type": "8"},
        "4001": {"name": "CS20 Case", "type": "18"},
        "4002": {"name": "StatTrak™ Radicals Box", "type": "18"},
        "4003": {"name": "Sticker | Bossy Burger", "type": "18"},
        "4005": {"name": "The Harbour Collection", "type": "18"},
        "4006": {"name": "Berlin 2019 Inferno Souvenir Package", "type": "18"},
        "4726": {"name": "Maximus | Sabre", "rarity": "5", "type": "4"},
    },
    "items": {
        "[282]7": {"def": "7", "paint": "282", "image": "http://images.example/redline.png"},
        "[418]507": {"def": "507", "paint": "418", "image": "http://images.example/doppler-1.png"},
        "[415]507": {"def": "507", "paint": "415", "image": "http://images.example/ruby.png"},
        "[10006]5027": {"def": "5027", "paint": "10006"},
        "[1]99": {"def": "99", "paint": "1"},
        "4001": {"def": "4001"},
    },
    "paints": {
        "282": {"name": "Redline", "rarity": "4", "wear_min": 0.1, "wear_max": 0.7},
        "418": {"name": "Doppler", "phase": "1", "rarity": "4", "wear_min": 0.0, "wear_max": 0.08},
        "415": {"name": "Doppler", "phase": "5", "rarity": "6", "wear_min": 0.0, "wear_max": 0.08},
        "10006": {"name": "Charred", "rarity": "6", "wear_min": 0.06, "wear_max": 0.8},
    },
    "phases": {"1": "Phase 1", "5": "Ruby"},
    "rarities": {
        "4": {"nonweapon": "Remarkable", "weapon": "Restricted"},
        "5": {"nonweapon": "Exotic", "weapon": "Classified", "character": "Superior"},
        "6": {"nonweapon": "Extraordinary", "weapon": "Covert"},
    },
    "sticker_kits": {
        "1": {"name": "Twins (Holo)", "rarity": "4"},
        "2": {"name": "Both", "rarity": "4"},
        "3": {"name": "Both", "rarity": "5"},
    },
    "types": {"4": "Agent", "5": "Rifle", "8": "Gloves", "18": "Container", "25": "Knife"},
    "wears": [{"from": 0, "to": 1, "name": wear} for wear in WEARS],
}


def market_directory(directory: Path, names: dict[str, int]) -> Path:
    (directory / "schema").mkdir(exist_ok=True)
    (directory / "market_hash_names.json").write_text(json.dumps(names))
    for name, content in SCHEMA.items():
        (directory / "schema" / f"{name}.json").write_text(json.dumps(content))
    return directory


def described(directory: Path, name: str) -> MarketItem:
    return read_market(market_directory(directory, {name: 1}))[0]


def paint(**fields: object) -> str:
    """The paints of the schema, with other fields of one."""
    return json.dumps(SCHEMA["paints"] | {"282": SCHEMA["paints"]["282"] | fields})


async def imported(database: Database, market: list[MarketItem]) -> ImportedMarket:
    async with database.transaction() as transaction:
        return await import_cs2(transaction, market)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("AK-47 | Redline (Field-Tested)", MarketName("AK-47", "Redline", "Field-Tested", False, False, False)),
        ("StatTrak™ AK-47 | Redline (Well-Worn)", MarketName("AK-47", "Redline", "Well-Worn", False, True, False)),
        (
            "Souvenir M249 | Gator Mesh (Factory New)",
            MarketName("M249", "Gator Mesh", "Factory New", False, False, True),
        ),
        ("★ Karambit", MarketName("Karambit", None, None, True, False, False)),
        (
            "★ StatTrak™ Karambit | Doppler (Factory New)",
            MarketName("Karambit", "Doppler", "Factory New", True, True, False),
        ),
        ("Sticker | Sherry (Holo)", MarketName("Sticker", "Sherry (Holo)", None, False, False, False)),
        ("Sticker | Twins | Paris 2023", MarketName("Sticker", "Twins | Paris 2023", None, False, False, False)),
        (
            "M4A4 | 龍王 (Dragon King) (Minimal Wear)",
            MarketName("M4A4", "龍王 (Dragon King)", "Minimal Wear", False, False, False),
        ),
        (
            "Berlin 2019 Inferno Souvenir Package",
            MarketName("Berlin 2019 Inferno Souvenir Package", None, None, False, False, False),
        ),
        ("", MarketName("", None, None, False, False, False)),
        (" |  (Factory New)", MarketName("", None, "Factory New", False, False, False)),
    ],
)
def test_a_market_name_is_taken_apart(name: str, parts: MarketName) -> None:
    assert parse_market_name(name, WEARS) == parts
    assert parts.head == "" or market_name(parts) == name


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("AK-47 | Redline (Field-Tested)", "ak-47-redline-field-tested"),
        ("StatTrak™ AK-47 | Redline (Field-Tested)", "stattrak-ak-47-redline-field-tested"),
        ("★ Karambit | Doppler (Factory New)", "karambit-doppler-factory-new"),
        ("AUG | Flame Jörmungandr (Well-Worn)", "aug-flame-jormungandr-well-worn"),
        ("'Two Times' McCoy | USAF TACP", "two-times-mccoy-usaf-tacp"),
        ("Souvenir MAC-10 | Saibā Oni (Well-Worn)", "souvenir-mac-10-saiba-oni-well-worn"),
        ("弐", ""),
    ],
)
def test_a_slug_is_readable(name: str, slug: str) -> None:
    assert slug_of(name) == slug


def test_the_schema_tells_a_painted_weapon(tmp_path: Path) -> None:
    assert described(tmp_path, "StatTrak™ AK-47 | Redline (Field-Tested)") == MarketItem(
        "StatTrak™ AK-47 | Redline (Field-Tested)",
        1,
        category="Rifle",
        weapon="AK-47",
        skin="Redline",
        wear="Field-Tested",
        rarity="Classified",
        stattrak=True,
        float_minimum=0.1,
        float_maximum=0.7,
        image_url="http://images.example/redline.png",
        collection="The Harbour Collection",
        crates=("CS20 Case",),
    )


def test_a_souvenir_comes_out_of_souvenir_packages_alone(tmp_path: Path) -> None:
    souvenir = described(tmp_path, "Souvenir AK-47 | Redline (Field-Tested)")
    assert (souvenir.collection, souvenir.crates) == (
        "The Harbour Collection",
        ("Berlin 2019 Inferno Souvenir Package",),
    )


@pytest.mark.parametrize(
    ("containers", "collection", "crates"),
    [
        (("Anubis Collection Package",), "The Anubis Collection", ("Anubis Collection Package",)),
        (("The Cache Collection", "The Canals Collection"), None, None),
        (("Chroma Case", "Chroma 2 Case"), None, ("Chroma Case", "Chroma 2 Case")),
        ((), None, None),
    ],
)
def test_the_collection_is_told_by_the_containers_named_after_it(
    containers: tuple[str, ...], collection: str | None, crates: tuple[str, ...] | None
) -> None:
    assert (collection_among(containers), crates_among(containers, souvenir=False)) == (collection, crates)


def test_a_knife_is_covert_and_its_paint_may_have_phases(tmp_path: Path) -> None:
    knife = described(tmp_path, "★ Karambit | Doppler (Factory New)")
    assert (knife.category, knife.rarity, knife.phases, knife.float_maximum) == (
        "Knife",
        "Covert",
        ("Phase 1", "Ruby"),
        0.08,
    )


@pytest.mark.parametrize(
    ("name", "category", "rarity", "stattrak", "shape"),
    [
        ("★ Karambit", "Knife", "Covert", False, "vanilla"),
        ("★ StatTrak™ Skeleton Knife", "Knife", "Covert", True, "vanilla"),
        ("★ Bloodhound Gloves | Charred (Well-Worn)", "Gloves", "Extraordinary", False, "painted"),
        ("★ Hand Wraps | Leather (Well-Worn)", "Gloves", "Extraordinary", False, "painted"),
        ("AK-47 | Unheard Of (Well-Worn)", "Rifle", None, False, "painted"),
        ("Zeus x27 | Olympus (Well-Worn)", None, None, False, "painted"),
        ("Sticker | Twins (Holo)", "Sticker", "Remarkable", False, "sticker"),
        ("Sticker | Both", "Sticker", None, False, "sticker"),
        ("Sticker | Bossy Burger", "Sticker", None, False, "sticker"),
        ("Sealed Graffiti | 1G (Brick Red)", "Graffiti", None, False, "graffiti"),
        ("StatTrak™ Music Kit | Dren, Gunman", "Music Kit", None, True, "music kit"),
        ("Maximus | Sabre", "Agent", "Superior", False, "agent"),
        ("CS20 Case", "Container", None, False, "container"),
        ("StatTrak™ Radicals Box", "Container", None, False, "container"),
        ("Autograph Capsule | Astralis | Cologne 2016", "Container", None, False, "container"),
        ("Kilowatt Case", "Container", None, False, "container"),
        ("Something (of) a | wholly | new kind", None, None, False, "plain"),
        ("(", None, None, False, "plain"),
        ("★ ", "Knife", "Covert", False, "vanilla"),
    ],
)
def test_each_shape_of_name_is_told(
    tmp_path: Path, name: str, category: str | None, rarity: str | None, stattrak: bool, shape: str
) -> None:
    item = described(tmp_path, name)
    assert (item.category, item.rarity, item.stattrak, item.shape) == (category, rarity, stattrak, shape)


async def test_names_that_share_a_slug_get_distinct_ones_that_stay(database: Database, tmp_path: Path) -> None:
    both = {"Sticker | Sherry (Holo)": 1, "Sticker | Sherry(Holo)": 2, "弐": 3}
    first = read_market(market_directory(tmp_path, {"Sticker | Sherry (Holo)": 1}))
    all_three = read_market(market_directory(tmp_path, both))
    await imported(database, first)
    assert (await imported(database, all_three)).saved == SavedItems(inserted=2, unchanged=1)
    assert (await imported(database, all_three)).saved == SavedItems(unchanged=3)
    assert (await imported(database, all_three[1:])).saved == SavedItems(unchanged=2)
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(select(Item.name, Item.slug))
        slugs = {row.name: row.slug for row in rows}
    assert slugs["Sticker | Sherry (Holo)"] == "sticker-sherry-holo"
    assert slugs["Sticker | Sherry(Holo)"].startswith("sticker-sherry-holo-")
    assert len(set(slugs.values())) == 3


async def test_a_slug_that_another_item_holds_is_left_to_it(database: Database, tmp_path: Path) -> None:
    async with database.transaction() as transaction:
        await save_items(transaction, [NewItem(slug="cs20-case", name="A coin", details=CoinDetails(symbol="C20"))])
    market = read_market(market_directory(tmp_path, {"CS20 Case": 1}))
    assert (await imported(database, market)).saved == SavedItems(inserted=1)
    assert (await imported(database, market)).saved == SavedItems(unchanged=1)


async def test_phases_become_variants_beside_the_default_one(database: Database, tmp_path: Path) -> None:
    market = read_market(market_directory(tmp_path, {"★ Karambit | Doppler (Factory New)": 1}))
    await imported(database, market)
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(ItemVariant.key, ItemVariant.name, ItemVariant.is_default).order_by(ItemVariant.position)
        )
        assert rows.all() == [("default", "Default", True), ("phase-1", "Phase 1", False), ("ruby", "Ruby", False)]


def test_each_phase_is_a_variant_of_its_own_beside_the_default_one() -> None:
    variants = phase_variants(["Ruby", "ruby", "Default", "★", "Phase 1"])
    assert [variant.name for variant in variants] == ["Ruby", "Default", "★", "Phase 1"]
    assert len({variant.key for variant in variants} - {"", "default"}) == len(variants)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("market_hash_names.json", None, "cannot be read (No such file or directory)"),
        ("market_hash_names.json", "[1, 2]", "must be one JSON object of market names"),
        ("market_hash_names.json", '{"AK-47": "x"}', "must be one JSON object of market names"),
        ("schema/paints.json", None, "cannot be read (No such file or directory)"),
        ("schema/paints.json", "{", "is not a JSON file"),
        ("schema/paints.json", '{"282": {}}', "are not of the shape of the cs2-items-schema project"),
        ("schema/paints.json", paint(wear_max=1.5), "1.5 is no float value, which is from 0 to 1"),
        ("schema/paints.json", paint(wear_min="nan"), "nan is no float value, which is from 0 to 1"),
        ("schema/paints.json", paint(wear_min=10**400), "are not of the shape of the cs2-items-schema project"),
        ("schema/definitions.json", "[]", "are not of the shape of the cs2-items-schema project"),
        ("schema/types.json", '{"18": 7}', "7 is no text"),
        ("schema/types.json", '{"18": ["Container"]}', "are not of the shape of the cs2-items-schema project"),
        ("market_hash_names.json", r'{"CS20\u0000 Case": 1}', "holds a character that is not text"),
        ("market_hash_names.json", r'{"\ud800": 1}', "holds a character that is not text"),
        ("market_hash_names.json", json.dumps({"x" * 501: 1}), "has 501 characters, more than 500"),
    ],
)
def test_files_of_another_shape_are_named_in_a_sentence(
    tmp_path: Path, file: str, content: str | None, sentence: str
) -> None:
    market_directory(tmp_path, {"CS20 Case": 1})
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(CatalogueNotUnderstood) as refusal:
        read_market(tmp_path)
    assert sentence in refusal.value.message


def test_the_files_may_be_gzipped_whatever_their_names(tmp_path: Path) -> None:
    market = market_directory(tmp_path, {"CS20 Case": 1})
    for file in (market / "market_hash_names.json", market / "schema" / "paints.json"):
        file.write_bytes(gzip.compress(b"\xef\xbb\xbf" + file.read_bytes()))
    assert [item.market_hash_name for item in read_market(market)] == ["CS20 Case"]


async def test_the_whole_real_market_is_stored_and_findable(database: Database, trove_data: Path) -> None:
    names = json.loads((trove_data / "cs2" / "market_hash_names.json").read_bytes())
    assert len(names) == 12_691
    market = read_market(trove_data / "cs2")
    first = await imported(database, market)
    assert first.saved == SavedItems(inserted=12_691)
    assert {shape: first.shapes[shape] for shape in ("painted", "vanilla", "sticker", "graffiti", "plain")} == {
        "painted": 10_133,
        "vanilla": 14,
        "sticker": 1807,
        "graffiti": 442,
        "plain": 26,
    }
    assert (await imported(database, market)).saved == SavedItems(unchanged=12_691)
    async with database.transaction() as transaction:
        connection = transaction.connection
        rows = await connection.execute(
            select(Item.name, Item.slug, ExternalId.external_id)
            .join(Skin, Skin.item_id == Item.id)
            .join(ExternalId, (ExternalId.item_id == Item.id) & (ExternalId.provider == "steam-nameid"))
            .where(Item.kind == "skin", Skin.market_hash_name == Item.name)
        )
        stored = {row.name: (row.slug, int(row.external_id)) for row in rows}
        assert {name: name_id for name, (_, name_id) in stored.items()} == names
        assert len({slug for slug, _ in stored.values()}) == 12_691
        by_name = await connection.execute(
            select(ExternalId.external_id, Item.name)
            .join(Item, Item.id == ExternalId.item_id)
            .where(ExternalId.provider == "steam-market")
        )
        assert all(row.external_id == row.name for row in by_name)
        counted = await connection.execute(
            select(
                func.count().filter(Skin.stattrak),
                func.count().filter(Skin.souvenir),
                func.count().filter(Skin.wear.is_not(None)),
                func.count().filter(Skin.float_minimum.is_not(None)),
            )
        )
        marked = [
            sum(name.removeprefix("★ ").startswith("StatTrak™ ") for name in names) - 3,
            sum(name.startswith("Souvenir ") for name in names),
            sum(name.endswith(tuple(f"({wear})" for wear in WEARS)) for name in names),
            9571,
        ]
        assert list(counted.one()) == marked


def test_every_real_skin_comes_out_of_what_the_containers_hold(trove_data: Path) -> None:
    schema = trove_data / "cs2" / "schema"
    items, paints, definitions = (
        json.loads((schema / f"{name}.json").read_bytes()) for name in ("items", "paints", "definitions")
    )
    held: dict[str, set[str]] = {}
    for row in items.values():
        if "paint" in row:
            skin = f"{definitions[row['def']]['name']} | {paints[row['paint']]['name']}"
            held.setdefault(skin, set()).update(definitions[one]["name"] for one in row.get("containers", ()))
    told = collections_told = 0
    for item in read_market(trove_data / "cs2"):
        containers = held.get(f"{item.weapon} | {item.skin}", set()) if item.wear else set()
        collections = {name for name in containers if name.endswith("Collection")}
        crates = {name for name in containers - collections if name.endswith("Souvenir Package") == item.souvenir}
        assert set(item.crates or ()) == crates
        if len(collections) == 1:
            assert item.collection in collections
        told += item.crates is not None
        collections_told += item.collection is not None
    assert told > 5_000
    assert collections_told > 500


def test_rarities_and_wear_ranges_agree_with_those_that_another_project_read_from_the_game(trove_data: Path) -> None:
    ours = {item.market_hash_name: item for item in read_market(trove_data / "cs2")}
    compared = 0
    for theirs in json.loads((trove_data / "cs2" / "bymykel_skins_sample.json").read_bytes()):
        for wear in WEARS:
            item = ours.get(f"{theirs['name']} ({wear})")
            if item is not None and item.float_minimum is not None:
                compared += 1
                told = (item.weapon, item.rarity, item.float_minimum, item.float_maximum)
                assert told == (theirs["weapon"], theirs["rarity"], theirs["min_float"], theirs["max_float"])
    assert compared > 50


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        (
            "stattrak-ak-47-aquamarine-revenge-field-tested",
            ("Rifle", "AK-47", "Aquamarine Revenge", "Field-Tested", "Covert", True, False, 0.0, 1.0),
        ),
        (
            "karambit-doppler-factory-new",
            ("Knife", "Karambit", "Doppler", "Factory New", "Covert", False, False, 0.0, 0.08),
        ),
        ("m4a4-howl-factory-new", ("Rifle", "M4A4", "Howl", "Factory New", "Contraband", False, False, 0.0, 0.4)),
        (
            "scar-20-bloodsport-field-tested",
            ("Sniper Rifle", "SCAR-20", "Bloodsport", "Field-Tested", "Classified", False, False, 0.0, 0.45),
        ),
        ("butterfly-knife", ("Knife", "Butterfly Knife", None, None, "Covert", False, False, None, None)),
        ("kilowatt-case", ("Container", None, None, None, None, False, False, None, None)),
        ("stattrak-swap-tool", ("Tool", None, None, None, None, False, False, None, None)),
    ],
)
def test_real_items_are_told_rightly(
    trove_data: Path, slug: str, expected: tuple[str | float | bool | None, ...]
) -> None:
    item = next(item for item in read_market(trove_data / "cs2") if slug_of(item.market_hash_name) == slug)
    told = (item.category, item.weapon, item.skin, item.wear, item.rarity, item.stattrak, item.souvenir)
    assert (*told, item.float_minimum, item.float_maximum) == expected
