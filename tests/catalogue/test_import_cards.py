"""Cards and coins from files: a row becomes an item or is told with its reason; the same again changes nothing."""

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.catalogue import file_import, pokemon, scryfall
from app.catalogue.coingecko import read_coin_row
from app.catalogue.commands.edit_items import edit_item
from app.catalogue.commands.import_cs2 import market_slugs
from app.catalogue.commands.save_items import SavedItems
from app.catalogue.commands.save_related import SavedSets
from app.catalogue.commands.save_rulings import SavedRulings
from app.catalogue.errors import CatalogueNotUnderstood
from app.catalogue.file_import import CatalogueSummary, ReadRow, import_catalogue_file
from app.catalogue.given import GivenItem
from app.catalogue.models import Card, CardRuling, CardSet, Coin, ExternalId, Item, ItemVariant
from app.catalogue.new_items import CardDetails, NewItem
from app.catalogue.pokemon import read_pokemon_row
from app.catalogue.scryfall import read_scryfall_row
from app.core.database import Database
from app.prices.models import PriceKind
from tests.catalogue.builders import card, coin, saved, skin


def magic_card(number: int, **fields: object) -> dict[str, Any]:
    return {
        "object": "card",
        "id": f"id-{number}",
        "name": f"Card {number}",
        "lang": "en",
        "released_at": "2020-05-01",
        "set": "abc",
        "set_name": "Alphabet",
        "collector_number": str(number),
        "rarity": "rare",
        "finishes": ["nonfoil", "foil"],
        **fields,
    }


def bulk(*rows: object) -> bytes:
    return ("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]").encode()


async def imported(
    database: Database, directory: Path, content: bytes, read_row: ReadRow = read_scryfall_row
) -> CatalogueSummary:
    file = directory / "cards.json"
    await asyncio.to_thread(file.write_bytes, content)
    return await import_catalogue_file(database, file, read_row)


async def slugs(database: Database) -> list[str]:
    async with database.transaction() as transaction:
        return list(await transaction.connection.scalars(select(Item.slug).order_by(Item.slug)))


async def ids(database: Database, slug: str) -> set[tuple[str, str]]:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(ExternalId.provider, ExternalId.external_id).join(Item).where(Item.slug == slug)
        )
        return {(row.provider, row.external_id) for row in rows}


@pytest.mark.parametrize(
    "content",
    [
        bulk(magic_card(1), magic_card(2)),
        json.dumps([magic_card(1), magic_card(2)], indent=2).encode(),
        json.dumps([magic_card(1), magic_card(2)]).encode(),
        json.dumps({"object": "list", "has_more": False, "data": [magic_card(1), magic_card(2)]}).encode(),
        gzip.compress(bulk(magic_card(1), magic_card(2))),
        b"\xef\xbb\xbf" + bulk(magic_card(1), magic_card(2)),
        b"[\n" + json.dumps(magic_card(1)).encode() + b",\n" + json.dumps(magic_card(2), indent=1).encode() + b"]",
    ],
    ids=["bulk", "spread over lines", "one line", "page", "gzip", "byte-order mark", "bulk, then spread"],
)
async def test_a_file_is_read_whatever_its_shape(database: Database, tmp_path: Path, content: bytes) -> None:
    summary = await imported(database, tmp_path, content)
    assert (summary.rows, summary.items, summary.breaks_off) == (2, SavedItems(inserted=2), None)
    assert await slugs(database) == ["card-1-abc-1", "card-2-abc-2"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<!DOCTYPE html><p>Too many requests", "is a page of HTML, not data"),
        (b" \n", "is empty"),
        (b"name,set", "must begin with [ or {"),
        (b'{"object": "error", "details": "No cards found."}', "holds an error of the service, not data: No cards"),
    ],
)
async def test_what_is_no_file_of_rows_is_refused_in_a_sentence(
    database: Database, tmp_path: Path, content: bytes, sentence: str
) -> None:
    with pytest.raises(CatalogueNotUnderstood) as refusal:
        await imported(database, tmp_path, content)
    assert sentence in refusal.value.message


async def test_a_file_that_is_not_there_is_named(database: Database, tmp_path: Path) -> None:
    with pytest.raises(CatalogueNotUnderstood, match="No such file or directory"):
        await import_catalogue_file(database, tmp_path / "missing.json", read_scryfall_row)


async def test_bad_rows_are_told_with_their_numbers_and_the_rest_goes_in(database: Database, tmp_path: Path) -> None:
    rows: list[object] = [
        magic_card(1),
        magic_card(2, name=" "),
        7,
        magic_card(4, id=None),
        magic_card(5, name="x" * 501),
        magic_card(6, artist="A\0B"),
        magic_card(7, released_at="soon"),
        magic_card(8, finishes="foil"),
        {"object": "ruling", "comment": "Yes."},
        magic_card(1, name="Twin"),
        magic_card(11, set=None, set_name=None),
    ]
    summary = await imported(database, tmp_path, bulk(*rows))
    assert [(row.number, row.reason) for row in summary.rejected] == [
        (2, "it has no name"),
        (3, "it is not an object"),
        (4, "it has no id"),
        (5, "name has 501 characters, more than 500"),
        (6, "artist holds a character that is not text"),
        (7, "released_at “soon” is not a day such as 2017-04-28"),
        (8, "finishes is not a list"),
        (9, "it has no oracle_id"),
        (10, "it is scryfall:id-1, as row 1 is"),
    ]
    assert (summary.rows, summary.rejected_count, summary.items) == (11, 9, SavedItems(inserted=2))
    async with database.transaction() as transaction:
        rows_of_sets = select(Item.name, CardSet.code).join(Card, Card.item_id == Item.id).outerjoin(CardSet)
        stored = await transaction.connection.execute(rows_of_sets.order_by(Item.name))
        assert stored.all() == [("Card 1", "abc"), ("Card 11", None)]


@pytest.mark.parametrize("shorten", [lambda text: text[:-40], lambda text: text[:-2], lambda text: text[:-300]])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
async def test_a_file_that_ends_too_early_says_where_and_the_whole_one_goes_on_from_there(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shorten: Callable[[bytes], bytes],
    pack: Callable[[bytes], bytes],
) -> None:
    monkeypatch.setattr(file_import, "ITEMS_IN_A_CHUNK", 3)
    whole = bulk(*(magic_card(number) for number in range(1, 9)))
    cut = shorten(whole)
    standing = cut.count(b"},\n") + cut.endswith(b"}")
    broken = await imported(database, tmp_path, pack(cut))
    assert broken.breaks_off is not None
    assert f"cards.json breaks off at row {standing + 1}" in broken.breaks_off
    assert (broken.rows, broken.items) == (6, SavedItems(inserted=6))
    again = await imported(database, tmp_path, pack(whole))
    assert (again.rows, again.items, again.breaks_off) == (8, SavedItems(inserted=2, unchanged=6), None)


async def test_a_gzipped_file_cut_short_keeps_what_went_in(database: Database, tmp_path: Path) -> None:
    whole = gzip.compress(bulk(*(magic_card(number) for number in range(1, 50))))
    broken = await imported(database, tmp_path, whole[:-30])
    assert broken.breaks_off is not None
    assert (broken.rows, broken.items) == (0, SavedItems())
    assert (await imported(database, tmp_path, whole)).items == SavedItems(inserted=49)


async def test_a_page_cut_short_says_at_which_card(database: Database, tmp_path: Path) -> None:
    page = json.dumps({"object": "list", "data": [magic_card(1), magic_card(2), magic_card(3)]}).encode()
    broken = await imported(database, tmp_path, page[:-50])
    assert broken.breaks_off is not None
    assert "breaks off at row 3" in broken.breaks_off


async def test_only_what_changed_is_updated_and_its_names_are_told(database: Database, tmp_path: Path) -> None:
    rows = [magic_card(number) for number in range(1, 41)]
    await imported(database, tmp_path, bulk(*rows))
    assert (await imported(database, tmp_path, bulk(*rows))).items == SavedItems(unchanged=40)
    changed = [magic_card(number, rarity="mythic") if number > 15 else magic_card(number) for number in range(1, 41)]
    summary = await imported(database, tmp_path, bulk(*changed))
    assert summary.items == SavedItems(updated=25, unchanged=15)
    assert len(summary.items.changed) == 20
    assert set(summary.items.changed) <= {f"Card {number}" for number in range(16, 41)}


async def test_cards_of_one_slug_get_distinct_ones_for_good(database: Database, tmp_path: Path) -> None:
    await saved(database, card("card-1-abc-1"), coin("card-3-abc-3"))
    rows = [magic_card(1), magic_card(2), magic_card(2, id="other", collector_number="2★"), magic_card(3)]
    first = await imported(database, tmp_path, bulk(*rows))
    assert first.items == SavedItems(inserted=4)
    stored = await slugs(database)
    assert len(stored) == 6
    again = await imported(database, tmp_path, bulk(*reversed(rows)))
    assert again.items == SavedItems(unchanged=4)
    assert await slugs(database) == stored


async def test_a_slug_that_a_card_or_coin_had_once_is_not_given_to_another(database: Database, tmp_path: Path) -> None:
    await imported(database, tmp_path, bulk(magic_card(1), magic_card(2)))
    kept = await saved(database, coin("uno", symbol="UNO"), coin("duo", symbol="DUO"), skin("tide", "AK-47 | Tide"))
    async with database.transaction() as transaction:
        for slug in ("card-1-abc-1", "uno", "duo", "tide"):
            await edit_item(transaction, kept[slug], GivenItem({"slug": f"{slug}-renamed"}), editor_id=None)
    found = await imported(database, tmp_path, bulk(magic_card(1), magic_card(1, id="another"), magic_card(2)))
    assert (found.items, found.rejected) == (SavedItems(inserted=1, unchanged=2), [])
    # Without an id of CoinGecko a coin is known by its symbol and a slug that it has or had.
    rows = [{"id": "uno", "symbol": "uno", "name": "uno"}, {"id": "duo", "symbol": "other", "name": "Other"}]
    coins = await imported(database, tmp_path, json.dumps(rows).encode(), read_coin_row)
    assert coins.items == SavedItems(inserted=1, updated=1)
    assert await ids(database, "uno-renamed") == {("coingecko", "uno")}
    assert await ids(database, "duo-renamed") == set()
    async with database.transaction() as transaction:
        given = await market_slugs(transaction.connection, ["Tide"])
    assert given["Tide"] != "tide"


async def test_each_language_is_a_card_of_its_own(database: Database, tmp_path: Path) -> None:
    await imported(database, tmp_path, bulk(magic_card(1), magic_card(1, id="ja", lang="ja")))
    assert await slugs(database) == ["card-1-abc-1", "card-1-abc-1-ja"]


async def test_a_number_of_a_shop_names_one_card_and_follows_the_file(database: Database, tmp_path: Path) -> None:
    rows = [magic_card(1, cardmarket_id=7), magic_card(2, cardmarket_id=7, tcgplayer_id=20)]
    first = await imported(database, tmp_path, bulk(*rows))
    assert first.shared_ids == 1
    assert (await imported(database, tmp_path, bulk(*reversed(rows)))).items == SavedItems(unchanged=2)
    assert await ids(database, "card-1-abc-1") == {("scryfall", "id-1"), ("cardmarket", "7")}
    swapped = [magic_card(1, cardmarket_id=8), magic_card(2, cardmarket_id=7, tcgplayer_id=21)]
    assert (await imported(database, tmp_path, bulk(*swapped))).items == SavedItems(updated=2)
    assert await ids(database, "card-1-abc-1") == {("scryfall", "id-1"), ("cardmarket", "8")}
    assert await ids(database, "card-2-abc-2") == {("scryfall", "id-2"), ("cardmarket", "7"), ("tcgplayer", "21")}
    assert (await imported(database, tmp_path, bulk(*swapped))).items == SavedItems(unchanged=2)


async def test_cards_date_their_set_until_the_file_of_sets_does(database: Database, tmp_path: Path) -> None:
    rows = [magic_card(1, released_at="2021-01-01"), magic_card(2, released_at="2020-02-02")]

    async def day() -> date | None:
        async with database.transaction() as transaction:
            return await transaction.connection.scalar(select(CardSet.released_on))

    await imported(database, tmp_path, bulk(*rows))
    assert await day() == date(2020, 2, 2)
    page = {
        "object": "list",
        "data": [{"object": "set", "code": "abc", "name": "Alphabet", "released_at": "2019-09-09"}],
    }
    summary = await imported(database, tmp_path, json.dumps(page).encode())
    assert (summary.sets, summary.something_went_in) == (SavedSets(updated=1), True)
    assert (await imported(database, tmp_path, bulk(*rows))).items == SavedItems(unchanged=2)
    assert await day() == date(2019, 9, 9)


def test_the_parts_of_a_card_with_two_faces_are_joined() -> None:
    faces = [
        {"name": "A", "type_line": "Sorcery", "artist": "Wen", "image_uris": {"normal": "https://images.example/a"}},
        {"name": "B", "type_line": "Sorcery", "artist": "Wen", "image_uris": {"normal": "https://images.example/b"}},
    ]
    item = read_scryfall_row(magic_card(1, name="A // B", card_faces=faces, finishes=["etched"]))
    assert isinstance(item, NewItem)
    assert item.image_url == "https://images.example/a"
    assert isinstance(item.details, CardDetails)
    assert (item.details.type_line, item.details.artist) == ("Sorcery // Sorcery", "Wen")
    assert [(variant.key, variant.name) for variant in item.variants] == [("etched", "Etched foil")]


def test_prices_are_told_by_finish_and_currency() -> None:
    prices = {"usd": "0.35", "usd_foil": None, "usd_etched": "4.20", "eur": None, "eur_foil": "1.55", "tix": "0.02"}
    told = [
        (price.kind, price.variant, price.currency, price.amount, price.source)
        for price in scryfall.prices_of(magic_card(1, prices=prices))
    ]
    assert told == [
        ("market", "nonfoil", "USD", Decimal("0.35"), "tcgplayer"),
        ("market", "etched", "USD", Decimal("4.20"), "tcgplayer"),
        ("market", "foil", "EUR", Decimal("1.55"), "cardmarket"),
    ]
    assert list(scryfall.prices_of(magic_card(1))) == []


async def test_the_real_files_of_scryfall_go_in_whole(database: Database, trove_data: Path) -> None:
    folder = trove_data / "cards" / "mtg"
    single = [
        json.loads((folder / f"card_{name}.json").read_bytes()) for name in ("single_urzas_saga", "split_dusk_dawn")
    ]
    cards = json.loads((folder / "cards_page1.json").read_bytes())["data"] + single
    sets = json.loads((folder / "sets_page1.json").read_bytes())["data"]
    files = ["cards_page1.json", "card_single_urzas_saga.json", "card_split_dusk_dawn.json", "sets_page1.json"]
    summaries = [await import_catalogue_file(database, folder / file, read_scryfall_row) for file in files]
    assert sum(summary.items.inserted for summary in summaries) == len(cards) == 12
    assert not any(summary.rejected_count for summary in summaries)
    async with database.transaction() as transaction:
        rows = select(Item.name, CardSet.code, Card.number, Card.rarity, Card.artist, Card.language, Card.finishes)
        stored = await transaction.connection.execute(
            rows.join(Card, Card.item_id == Item.id).join(CardSet, CardSet.id == Card.set_id)
        )
        fields = ("name", "set", "collector_number", "rarity", "artist", "lang", "finishes")
        assert sorted(map(tuple, stored)) == sorted(tuple(row[field] for field in fields) for row in cards)
        codes = set(await transaction.connection.scalars(select(CardSet.code)))
        assert codes == {row["set"] for row in cards} | {row["code"] for row in sets}
        counted = await transaction.connection.execute(select(ExternalId.provider))
        numbers = [row.provider for row in counted]
        assert {provider: numbers.count(provider) for provider in ("tcgplayer", "cardmarket", "mtgo", "arena")} == {
            provider: sum(row.get(f"{provider}_id") is not None for row in cards)
            for provider in ("tcgplayer", "cardmarket", "mtgo", "arena")
        }
        variants = await transaction.connection.scalars(select(ItemVariant.key))
        assert len(variants.all()) == len(cards) + sum(len(row["finishes"]) for row in cards)
    for file in files:
        again = await import_catalogue_file(database, folder / file, read_scryfall_row)
        assert (again.items.inserted, again.items.updated, again.sets.inserted, again.sets.updated) == (0, 0, 0, 0)


def ruling(**fields: object) -> dict[str, Any]:
    told = {"object": "ruling", "oracle_id": "o-1", "source": "wotc", "published_at": "2016-06-08", "comment": "Yes."}
    return told | fields


async def test_rulings_are_kept_each_once_whether_the_card_is_known_or_not(database: Database, tmp_path: Path) -> None:
    long = "Yes. " * 200
    rows = bulk(ruling(), ruling(comment=long), ruling(), ruling(oracle_id="o-2", published_at="2020-01-01"))
    first = await imported(database, tmp_path, rows)
    assert (first.rows, first.rulings, first.rejected) == (4, SavedRulings(inserted=3, unchanged=1), [])
    assert (await imported(database, tmp_path, rows)).rulings == SavedRulings(unchanged=4)
    async with database.transaction() as transaction:
        stored = select(CardRuling.oracle_id, CardRuling.published_on, CardRuling.source, CardRuling.comment)
        kept = await transaction.connection.execute(stored.order_by(CardRuling.oracle_id, CardRuling.id))
        assert kept.all() == [
            ("o-1", date(2016, 6, 8), "wotc", "Yes."),
            ("o-1", date(2016, 6, 8), "wotc", long.strip()),
            ("o-2", date(2020, 1, 1), "wotc", "Yes."),
        ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"oracle_id": None}, "it has no oracle_id"),
        ({"published_at": None}, "it has no published_at"),
        ({"published_at": "soon"}, "published_at “soon” is not a day such as 2017-04-28"),
        ({"source": ""}, "it has no source"),
        ({"comment": "x" * 5_001}, "comment has 5,001 characters, more than 5,000"),
    ],
)
async def test_a_bad_ruling_is_told_with_its_reason(
    database: Database, tmp_path: Path, fields: dict[str, object], reason: str
) -> None:
    summary = await imported(database, tmp_path, bulk(ruling(**fields), ruling()))
    assert [(row.number, row.reason) for row in summary.rejected] == [(1, reason)]
    assert summary.rulings == SavedRulings(inserted=1)


async def test_the_oracle_id_of_a_card_may_stand_on_its_faces(database: Database, tmp_path: Path) -> None:
    faces = [{"name": "A", "oracle_id": "o-1"}, {"name": "B", "oracle_id": "o-1"}]
    await imported(database, tmp_path, bulk(magic_card(1, card_faces=faces), magic_card(2, oracle_id="o-2")))
    async with database.transaction() as transaction:
        stored = await transaction.connection.scalars(select(Card.oracle_id).order_by(Card.oracle_id))
        assert stored.all() == ["o-1", "o-2"]


async def test_names_alone_are_looked_up_and_never_stored(database: Database, tmp_path: Path) -> None:
    await saved(database, card("card-1", "Card 1"))
    await imported(database, tmp_path, bulk(magic_card(2)))
    catalog = {"object": "catalog", "total_values": 9, "data": ["Card 1", "Card 2", "Card 3", "Card 3", " "]}
    summary = await imported(database, tmp_path, json.dumps(catalog).encode())
    assert (summary.names, summary.missing_count, summary.missing) == (4, 2, ["Card 1", "Card 3"])
    assert [(row.number, row.reason) for row in summary.rejected] == [(5, "it has no name")]
    assert await slugs(database) == ["card-1", "card-2-abc-2"]


@pytest.mark.parametrize(
    ("printings", "expected"),
    [
        ({"normal": {"low": 1}, "Normal": {"low": 2}, "default": {}}, ["default", "normal"]),
        ({"nor\0mal": {}}, "the name of a field holds a character that is not text"),
        ({"x" * 501: {}}, "the name of a field has 501 characters, more than 500"),
    ],
)
async def test_printings_of_odd_names_keep_out_no_other_card(
    database: Database, tmp_path: Path, printings: dict[str, object], expected: list[str] | str
) -> None:
    odd = {"id": "g1-1", "name": "Otter", "tcgplayer": {"prices": printings}}
    content = json.dumps([odd, {"id": "g1-2", "name": "Heron"}]).encode()
    summary = await imported(database, tmp_path, content, read_pokemon_row)
    if isinstance(expected, str):
        assert [(row.number, row.reason) for row in summary.rejected] == [(1, expected)]
    else:
        assert summary.items == SavedItems(inserted=2)
        async with database.transaction() as transaction:
            keys = select(ItemVariant.key).join(Item).where(Item.slug == "otter-g1-1").order_by(ItemVariant.position)
            assert list(await transaction.connection.scalars(keys)) == expected
    assert "heron-g1-2" in await slugs(database)


async def test_the_real_files_of_pokemon_go_in_whole(database: Database, trove_data: Path) -> None:
    folder = trove_data / "cards" / "pokemon"
    cards = json.loads((folder / "cards_g1_basic.json").read_bytes())["data"]
    sets = json.loads((folder / "sets.json").read_bytes())["data"]
    first = await import_catalogue_file(database, folder / "sets.json", read_pokemon_row)
    assert first.sets == SavedSets(inserted=84)
    assert len(sets) == 84
    second = await import_catalogue_file(database, folder / "cards_g1_basic.json", read_pokemon_row)
    assert second.items == SavedItems(inserted=59)
    async with database.transaction() as transaction:
        stored = await transaction.connection.execute(
            select(Item.name, CardSet.code, Card.number, Card.rarity)
            .join(Card, Card.item_id == Item.id)
            .join(CardSet, CardSet.id == Card.set_id)
            .where(Card.game == "pokemon")
        )
        assert sorted(map(str, stored)) == sorted(
            str((row["name"], row["set"]["id"], row["number"], row.get("rarity"))) for row in cards
        )
        dated = await transaction.connection.execute(select(CardSet.code, CardSet.released_on, CardSet.card_count))
        assert {tuple(row) for row in dated} == {
            (row["id"], date(*map(int, row["releaseDate"].split("/"))), row["total"]) for row in sets
        }
        keys = (await transaction.connection.scalars(select(ItemVariant.key))).all()
        assert keys.count("reverse-holofoil") == 26
        assert keys.count("normal") == 36
        assert keys.count("holofoil") == 22
    assert sum(1 for row in cards for _ in pokemon.prices_of(row)) == sum(
        price is not None and kind != "directLow"
        for row in cards
        for printing in row.get("tcgplayer", {}).get("prices", {}).values()
        for kind, price in printing.items()
    )
    assert {price.kind for row in cards for price in pokemon.prices_of(row)} <= set(PriceKind)
    again = await import_catalogue_file(database, folder / "cards_g1_basic.json", read_pokemon_row)
    assert again.items == SavedItems(unchanged=59)


async def test_a_platform_whose_name_cannot_be_stored_keeps_out_its_coin_alone(
    database: Database, tmp_path: Path
) -> None:
    rows = [
        {"id": "tide", "symbol": "t", "name": "Tide", "platforms": {"ri\0ver": "0x1"}},
        {"id": "ebb", "symbol": "e", "name": "Ebb"},
    ]
    summary = await imported(database, tmp_path, json.dumps(rows).encode(), read_coin_row)
    assert [row.number for row in summary.rejected] == [1]
    assert await slugs(database) == ["ebb"]


async def test_coins_come_with_their_first_contract_and_are_recognised_by_slug_and_symbol(
    database: Database, tmp_path: Path
) -> None:
    await saved(database, coin("bitcoin", "Bitcoin", symbol="BTC"), coin("tide", "Tide", symbol="OLD"))
    rows = [
        {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin", "platforms": {}},
        {"id": "tide", "symbol": "tide", "name": "Tidecoin", "platforms": {"": ""}},
        {"id": "usd-coin", "symbol": "usdc", "name": "USDC", "platforms": {"ethereum": "0xa0", "solana": "EPj"}},
        {"id": "late", "symbol": "late", "name": "Late", "platforms": {"ethereum": None, "base": "0xb1"}},
        {"id": "no-symbol", "symbol": "", "name": "None"},
    ]
    first = await imported(database, tmp_path, bulk(*rows), read_coin_row)
    assert first.items == SavedItems(inserted=3, updated=1)
    assert [(row.number, row.reason) for row in first.rejected] == [(5, "it has no symbol")]
    async with database.transaction() as transaction:
        stored = await transaction.connection.execute(
            select(ExternalId.external_id, Item.slug, Coin.symbol, Coin.chain, Coin.contract_address)
            .join(Item, Item.id == ExternalId.item_id)
            .join(Coin, Coin.item_id == Item.id)
            .order_by(ExternalId.external_id)
        )
        bitcoin, late, tide, usdc = stored
    assert bitcoin == ("bitcoin", "bitcoin", "BTC", None, None)
    assert late == ("late", "late", "LATE", "base", "0xb1")
    assert usdc == ("usd-coin", "usd-coin", "USDC", "ethereum", "0xa0")
    assert tide.symbol == "TIDE"
    assert tide.slug.startswith("tide-tide-")
    assert (await imported(database, tmp_path, bulk(*rows), read_coin_row)).items == SavedItems(unchanged=4)
