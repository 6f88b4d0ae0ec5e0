"""Each connector asks as its provider wants to be asked, and what that says becomes prices of the right things."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text

from app.catalogue import scryfall
from app.catalogue.file_import import import_catalogue_file
from app.catalogue.new_items import NewItem
from app.catalogue.pokemon import prices_of as pokemon_prices_of
from app.catalogue.pokemon import read_pokemon_row
from app.catalogue.scryfall import read_scryfall_row
from app.core.database import Database
from app.ingestion.models import IngestBatch
from app.prices.card_file_import import import_card_file
from app.prices.commands.price_batches import price_batches
from app.prices.commands.sweeps import SWEEPS, KeyMissing
from app.prices.connectors.csfloat import CsFloat
from app.prices.connectors.pokemon_tcg import PokemonTcg
from app.prices.connectors.scryfall import Scryfall
from app.prices.connectors.skinport import Skinport
from app.providers.client import ProviderClient, provider_http
from tests.catalogue.builders import saved
from tests.prices.connectors.fakes import (
    FakeBinance,
    FakeCoinbase,
    FakeCsFloat,
    FakePokemonTcg,
    FakeScryfall,
    open_fake,
)
from tests.prices.connectors.worlds import (
    COINS,
    DOPPLER,
    HOUR,
    MAGIC,
    NOON,
    POKEMON,
    REDLINE,
    SKINS,
    WORLDS,
    World,
    build,
    card,
    coin,
    skin,
    stored_candles,
    stored_prices,
    swept,
)
from tests.providers.builders import add_provider

MIDNIGHT = datetime(2024, 5, 1, tzinfo=UTC)
USD, EUR = "USD", "EUR"


def points(source: str, *rows: tuple[str, str, str, str, str, str | None, datetime]) -> set[tuple[object, ...]]:
    """Stored points of a source, from what tells them apart."""
    return {
        (slug, variant, source, kind, currency, Decimal(price), None if quantity is None else Decimal(quantity), at)
        for slug, variant, kind, currency, price, quantity, at in rows
    }


POINTS = {
    "binance": points(
        "binance",
        ("bitcoin", "default", "market", "USDT", "60000.01", None, NOON),
        ("ethereum", "default", "market", "USDT", "2999.5", None, NOON),
    ),
    "coingecko": points(
        "coingecko",
        ("bitcoin", "default", "market", USD, "60000.123456789012", None, NOON - timedelta(seconds=42)),
        ("ethereum", "default", "market", USD, "2999.5", None, NOON - timedelta(seconds=40)),
    ),
    "csfloat": points(
        "csfloat",
        ("redline", "default", "ask", USD, "1234.56", None, NOON),
        ("doppler", "default", "ask", USD, "0.03", None, NOON),
    ),
    "skinport": points(
        "skinport",
        ("redline", "default", "ask", EUR, "11.33", "25", NOON - timedelta(minutes=1)),
        ("redline", "default", "mid", EUR, "12.0", None, NOON - timedelta(minutes=1)),
    ),
    "skinport-sales": points(
        "skinport",
        ("redline", "default", "market", EUR, "11.5", "3", NOON),
        ("doppler", "phase-2", "market", EUR, "950.01", "1", NOON),
    ),
    "steam-market": points(
        "steam-market",
        ("redline", "default", "ask", USD, "1234.56", None, NOON),
        ("redline", "default", "market", USD, "1200.20", "1234", NOON),
        ("doppler", "default", "ask", USD, "0.03", None, NOON),
    ),
    "scryfall": points(
        "tcgplayer",
        ("otter", "nonfoil", "market", USD, "0.35", None, MIDNIGHT),
        ("otter", "foil", "market", USD, "4.20", None, MIDNIGHT),
    )
    # A card that the catalogue knows no finishes of.
    | points("cardmarket", ("tide", "default", "market", EUR, "1.55", None, MIDNIGHT)),
    "pokemon-tcg": points(
        "tcgplayer",
        *(
            ("venusaur", variant, kind, USD, price, None, MIDNIGHT - timedelta(days=1))
            for variant, market in (("holofoil", "4.38"), ("reverse-holofoil", "6"))
            for kind, price in (("low", "3.5"), ("high", "9.99"), ("market", market))
        ),
        ("eevee", "normal", "market", USD, "1.25", None, MIDNIGHT),
    )
    | points(
        "cardmarket",
        *(
            ("venusaur", "holofoil", kind, EUR, price, None, MIDNIGHT - timedelta(days=2))
            for kind, price in (("mid", "3.29"), ("low", "0.99"), ("market", "4.0"))
        ),
    ),
}


def candle(slug: str, currency: str, hours: float, values: str, resolution: int = HOUR) -> tuple[object, ...]:
    """A stored candle, from the hours before noon that it begins at; a dash is no value."""
    amounts = (None if value == "-" else Decimal(value) for value in values.split())
    return (slug, currency, resolution, NOON - timedelta(hours=hours), *amounts)


CANDLES = {
    "coinbase": {
        candle("bitcoin", USD, 0, "60000 60500 59000.01 59999.99 12.5 -"),
        candle("bitcoin", USD, 1, "58100 60010.5 58000 60000 100 -"),
        candle("ethereum", USD, 1, "2950 3000 2900 2999.5 7 -"),
    },
    "binance-candles": {
        candle("bitcoin", "USDT", 1, "59000.1 60500 58000 60000.01 2.5 150000.25"),
        candle("ethereum", "USDT", 1, "2900 3000 2850.5 2999.5 2.5 150000.25"),
    },
    # Labelled by their ends; what has no end yet is left out.
    "coingecko-candles": {
        candle("bitcoin", USD, 4, "59000.5 60500 58000 60000 - -", 4 * HOUR),
        candle("ethereum", USD, 4, "2900 3000 2850.5 2999.5 - -", 4 * HOUR),
    },
}


@pytest.mark.parametrize("name", WORLDS)
async def test_what_a_provider_says_becomes_prices_and_the_same_again_adds_nothing(
    database: Database, name: str
) -> None:
    world = WORLDS[name]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, world, fake)
        outcome = await swept(database, connector)
        assert len(fake.asked) == world.questions
        again = await swept(database, connector)
    priced = len({row[0] for row in POINTS.get(name, set()) | CANDLES.get(name, set())})
    assert (outcome.source, outcome.failed, outcome.failures, outcome.cut_short) == (name, 0, [], None)
    assert (outcome.asked, outcome.priced, outcome.unchanged, outcome.unknown) == (3, priced, 0, 1)
    assert {tuple(row) for row in await stored_prices(database)} == POINTS.get(name, set())
    assert await stored_candles(database) == CANDLES.get(name, set())
    assert (again.asked, again.priced, again.unchanged) == (3, priced, priced)
    assert again.batch_ids == outcome.batch_ids


@pytest.mark.parametrize("name", WORLDS)
async def test_a_price_has_the_time_of_its_answer_and_not_that_of_before_its_turn(
    database: Database, name: str
) -> None:
    asked_by_then: list[int] = []

    def clock() -> datetime:
        asked_by_then.append(len(fake.asked))
        return NOON

    async with open_fake(WORLDS[name].provider()) as fake, provider_http() as http:
        connector = await build(database, WORLDS[name], fake)
        async with database.transaction() as transaction:
            subjects = await connector.subjects(transaction.connection)
        client = ProviderClient(database, connector.provider, http)
        by_name = sorted(subjects, key=lambda subject: (subject.group, subject.name))
        await connector.ask(client, by_name[: connector.at_a_time], clock=clock)
    assert set(asked_by_then) == {1}


def test_every_sweep_is_tried_here() -> None:
    assert set(SWEEPS) == set(WORLDS)
    assert all(sweep.connector.name == name for name, sweep in SWEEPS.items())


async def test_a_price_that_moves_is_changed_and_one_that_stays_is_not(database: Database) -> None:
    async with open_fake(FakeBinance(prices={"BTCUSDT": "1", "ETHUSDT": "2"})) as fake:
        assert isinstance(fake, FakeBinance)
        connector = await build(database, WORLDS["binance"], fake)
        await swept(database, connector)
        fake.prices["ETHUSDT"] = "2.5"
        outcome = await swept(database, connector, at=NOON + timedelta(minutes=1))
    assert (outcome.priced, outcome.unchanged) == (2, 1)
    assert len(await stored_prices(database)) == 4


async def test_of_many_the_ones_priced_longest_ago_are_asked_for_first(database: Database) -> None:
    world = WORLDS["csfloat"]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, World(world.connector, SKINS[:2], world.provider, 2), fake)
        await swept(database, connector, limit=1)
        await swept(database, connector, at=NOON + timedelta(minutes=1))
        first, *both = [asked.params["market_hash_name"] for asked in fake.asked]
        assert sorted(both) == sorted([REDLINE, DOPPLER])
        # Priced in 2024: all that has no price takes its turn as of the last days, and comes later.
        await saved(database, skin("new", "New | One (Factory New)"))
        fake.asked.clear()
        await swept(database, connector, limit=2)
    assert sorted(asked.params["market_hash_name"] for asked in fake.asked) == sorted([REDLINE, DOPPLER])
    assert first in both


async def test_what_was_seen_to_stand_is_not_asked_for_again_before_what_moved_earlier(database: Database) -> None:
    world = WORLDS["csfloat"]
    async with open_fake(world.provider()) as fake:
        connector = await build(database, World(world.connector, SKINS[:2], world.provider, 2), fake)
        await swept(database, connector)
        async with database.transaction() as transaction:
            await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
            await transaction.connection.execute(text("UPDATE prices.sources SET is_change_only = true"))
        fake.asked.clear()
        for minutes in range(1, 5):
            await swept(database, connector, limit=1, at=NOON + timedelta(minutes=minutes))
    assert [asked.params["market_hash_name"] for asked in fake.asked] == [DOPPLER, REDLINE] * 2


async def test_seventy_five_cards_are_asked_for_at_a_time(database: Database) -> None:
    cards = tuple(card(f"card-{number}", "scryfall", f"id-{number}", "abc") for number in range(160))
    known = {f"id-{number}": {"id": f"id-{number}", "prices": {"usd": "1.00"}} for number in range(160)}
    async with open_fake(FakeScryfall(cards=known)) as fake:
        connector = await build(database, World(WORLDS["scryfall"].connector, cards, lambda: fake, 3), fake)
        outcome = await swept(database, connector)
    assert [len(json.loads(asked.body)["identifiers"]) for asked in fake.asked] == [75, 75, 10]
    assert outcome.priced == 160


async def test_the_cards_of_a_set_come_by_pages(database: Database) -> None:
    numbers = range(251)
    cards = tuple(card(f"card-{number}", "pokemon-tcg", f"g1-{number}", "g1", "normal") for number in numbers)
    rows = [
        {"id": f"g1-{number}", "set": {"id": "g1"}, "tcgplayer": {"prices": {"normal": {"market": 1}}}}
        for number in numbers
    ]
    async with open_fake(FakePokemonTcg(cards=rows)) as fake:
        connector = await build(database, World(WORLDS["pokemon-tcg"].connector, cards, lambda: fake, 2), fake)
        assert (await swept(database, connector)).priced == 251
    assert [asked.params["page"] for asked in fake.asked] == ["1", "2"]


async def test_the_finishes_of_a_card_without_variants_are_not_pooled(database: Database) -> None:
    magic = {"id-2": {"id": "id-2", "prices": {"usd": "0.35", "usd_foil": "4.20", "eur": None, "eur_foil": "3.10"}}}
    async with open_fake(FakeScryfall(cards=magic)) as fake:
        connector = await build(database, World(WORLDS["scryfall"].connector, MAGIC[1:2], lambda: fake, 1), fake)
        await swept(database, connector)
    printings = {"reverseHolofoil": {"market": 9, "low": 8}, "holofoil": {"market": 5}, "normal": {"market": 2}}
    rows = [{"id": "g1-0", "set": {"id": "g1"}, "tcgplayer": {"prices": printings}}]
    async with open_fake(FakePokemonTcg(cards=rows)) as fake:
        connector = await build(database, World(WORLDS["pokemon-tcg"].connector, POKEMON[2:], lambda: fake, 1), fake)
        await swept(database, connector)
    assert {tuple(row) for row in await stored_prices(database)} == points(
        "tcgplayer",
        ("tide", "default", "market", USD, "0.35", None, MIDNIGHT),
        ("missingno", "default", "market", USD, "2", None, MIDNIGHT),
    ) | points("cardmarket", ("tide", "default", "market", EUR, "3.10", None, MIDNIGHT))


async def test_of_coins_with_one_symbol_the_one_that_is_meant_is_asked_for(database: Database) -> None:
    items = (
        *COINS[:1],
        coin("bridged-bitcoin", "BTC"),
        coin("one-twin", "TWIN"),
        coin("other-twin", "TWIN"),
        coin("odd-name", "XYZ", ("coinbase", "ABC")),
        coin("dollar-coin", "USD"),
    )
    rows = [[int(NOON.timestamp()) - HOUR, 1, 1, 1, 1, 1]]
    async with open_fake(FakeCoinbase(candles={"BTC-USD": rows, "ABC-USD": rows, "TWIN-USD": rows})) as fake:
        connector = await build(database, World(WORLDS["coinbase"].connector, items, lambda: fake, 3), fake)
        await swept(database, connector)
    assert {row[0] for row in await stored_candles(database)} == {"bitcoin", "odd-name"}


@pytest.mark.parametrize(
    ("items", "prices", "priced"),
    [
        # A coin of which the symbol looks like the market of another.
        ((coin("lent-tether", "AUSDT"),), {"AUSDT": "0.5", "AUSDTUSDT": "1.01"}, {("lent-tether", "1.01")}),
        ((coin("vault", "A"), coin("lent-tether", "AUSDT")), {"AUSDT": "0.5"}, {("vault", "0.5")}),
        ((coin("vault", "V", ("binance", "AUSDT")), coin("lent-tether", "A")), {"AUSDT": "0.5"}, {("vault", "0.5")}),
    ],
)
async def test_no_market_prices_a_coin_that_is_another(
    database: Database, items: tuple[NewItem, ...], prices: dict[str, str], priced: set[tuple[str, str]]
) -> None:
    async with open_fake(FakeBinance(prices=prices)) as fake:
        connector = await build(database, World(WORLDS["binance"].connector, items, lambda: fake, 1), fake)
        await swept(database, connector)
    assert {(row.slug, str(row.price)) for row in await stored_prices(database)} == priced


async def test_a_key_goes_where_its_provider_looks_for_it_and_nowhere_else(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with provider_http() as http:
        with pytest.raises(KeyMissing, match="TROVE_PROVIDER_KEYS"):
            await SWEEPS["csfloat"](database, http, keys={"steam": SecretStr("of another")})
    async with open_fake(FakeCsFloat(prices={REDLINE: 5}, is_old=True)) as fake:
        connector = await build(database, World(WORLDS["csfloat"].connector, SKINS[:1], lambda: fake, 1), fake)
        assert (await swept(database, connector)).priced == 1
    async with open_fake(WORLDS["skinport"].provider()) as fake:
        connector = await build(
            database, World(lambda: Skinport(SecretStr("me:secret")), SKINS[:1], lambda: fake, 1), fake
        )
        await swept(database, connector)
        assert fake.asked[0].headers["authorization"] == "Basic bWU6c2VjcmV0"
    assert "secret" not in caplog.text
    assert "key-of-the-operator" not in repr(CsFloat(SecretStr("key-of-the-operator"))._key)


async def test_a_sweep_of_the_registry_prices_by_the_providers_row(database: Database) -> None:
    world = WORLDS["csfloat"]
    async with open_fake(world.provider()) as fake, provider_http() as http:
        await build(database, world, fake)
        outcome = await SWEEPS["csfloat"](
            database, http, keys={"csfloat": SecretStr("key-of-the-operator")}, limit=2, at=NOON
        )
    assert outcome.asked == 2
    assert outcome.batch_ids != []


async def test_rows_without_prices_make_no_batch(database: Database) -> None:
    async with open_fake(FakeBinance(prices={"BTCUSDT": "0.00000000"})) as fake:
        connector = await build(database, WORLDS["binance"], fake)
        outcome = await swept(database, connector)
    assert (outcome.asked, outcome.priced, outcome.unknown, outcome.failed) == (3, 0, 2, 0)
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(func.count()).select_from(IngestBatch)) == 0


async def test_real_cards_have_the_same_prices_from_their_provider_as_from_its_file(
    database: Database, trove_data: Path
) -> None:
    magic, pokemon = trove_data / "cards/mtg/cards_page1.json", trove_data / "cards/pokemon/cards_g1_basic.json"
    rows = {file: json.loads(file.read_bytes())["data"] for file in (magic, pokemon)}
    await import_catalogue_file(database, magic, read_scryfall_row)
    await import_catalogue_file(database, pokemon, read_pokemon_row)
    fakes = (
        (Scryfall(), FakeScryfall(cards={row["id"]: row for row in rows[magic]})),
        (PokemonTcg(), FakePokemonTcg(cards=rows[pokemon])),
    )
    for connector, fake in fakes:
        async with open_fake(fake):
            await add_provider(database, fake.port, code=connector.provider)
            outcome = await swept(database, connector)
        assert (outcome.failed, outcome.unknown) == (0, 0)
        assert outcome.priced > 0
    from_providers = {row[:6] for row in await stored_prices(database)}
    await import_card_file(database, magic, read_scryfall_row, scryfall.prices_of, handlers=price_batches())
    await import_card_file(database, pokemon, read_pokemon_row, pokemon_prices_of, handlers=price_batches())
    assert {row[:6] for row in await stored_prices(database)} == from_providers
    assert len(from_providers) > 100
