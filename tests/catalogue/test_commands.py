"""Saving items: what is new is inserted, what differs is updated, what is known stays, what contradicts is refused."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import func, select

from app.catalogue.commands.coins import add_coin, coins_of_symbol, has_item
from app.catalogue.commands.save_items import ITEMS_AT_A_TIME, SavedItems, save_items
from app.catalogue.errors import ItemsContradict
from app.catalogue.models import Card, Coin, ExternalId, Figure, Item, ItemVariant, Skin
from app.catalogue.new_items import (
    CardDetails,
    CoinDetails,
    FigureDetails,
    NewExternalId,
    NewItem,
    NewVariant,
    SkinDetails,
)
from app.core.database import Database

SKIN = NewItem(
    slug="ak-47-redline-field-tested",
    name="AK-47 | Redline (Field-Tested)",
    details=SkinDetails(
        market_hash_name="AK-47 | Redline (Field-Tested)",
        category="Rifle",
        weapon="AK-47",
        skin="Redline",
        wear="Field-Tested",
        rarity="Classified",
        float_minimum=0.1,
        float_maximum=0.7,
    ),
    external_ids=(NewExternalId("steam-market", "AK-47 | Redline (Field-Tested)"),),
)
COIN = NewItem(slug="bitcoin", name="Bitcoin", details=CoinDetails(symbol="BTC", decimals=8))
CARD = NewItem(
    slug="drowned-cartographer",
    name="Drowned Cartographer",
    details=CardDetails(game="Tidewatch", set_code="TW1", number="017", rarity="Rare"),
    image_url="https://images.example/17.webp",
    variants=(NewVariant("foil", "Foil"),),
)
FIGURE = NewItem(slug="the-ferryman", name="The Ferryman", details=FigureDetails("North Pier", "River Stories", "1/4"))
ITEMS = (SKIN, COIN, CARD, FIGURE)


async def saved(database: Database, *items: NewItem) -> SavedItems:
    async with database.transaction() as transaction:
        return await save_items(transaction, items)


async def updated_at(database: Database) -> dict[str, datetime]:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(select(Item.slug, Item.updated_at))
        return {row.slug: row.updated_at for row in rows}


async def test_items_of_all_kinds_are_stored_with_everything_that_hangs_on_them(database: Database) -> None:
    assert await saved(database, *ITEMS) == SavedItems(inserted=4)
    async with database.transaction() as transaction:
        connection = transaction.connection
        items = {
            row.slug: row
            for row in await connection.execute(select(Item.id, Item.slug, Item.kind, Item.name, Item.image_url))
        }
        skin = (await connection.execute(select(*Skin.__table__.columns))).one()
        coin = (await connection.execute(select(*Coin.__table__.columns))).one()
        card = (await connection.execute(select(*Card.__table__.columns))).one()
        figure = (await connection.execute(select(*Figure.__table__.columns))).one()
        variants = await connection.execute(
            select(Item.slug, ItemVariant.key, ItemVariant.name, ItemVariant.is_default, ItemVariant.position)
            .join(Item, Item.id == ItemVariant.item_id)
            .order_by(Item.slug, ItemVariant.position)
        )
        external_ids = await connection.execute(select(ExternalId.provider, ExternalId.external_id, ExternalId.item_id))

        assert {slug: row.kind for slug, row in items.items()} == {
            "ak-47-redline-field-tested": "skin",
            "bitcoin": "coin",
            "drowned-cartographer": "card",
            "the-ferryman": "figure",
        }
        assert items["drowned-cartographer"].image_url == "https://images.example/17.webp"
        name = "AK-47 | Redline (Field-Tested)"
        redline = (items[SKIN.slug].id, name, "Rifle", "AK-47", "Redline", "Field-Tested", "Classified")
        assert skin == (*redline, False, False, 0.1, 0.7)
        assert coin == (items["bitcoin"].id, "BTC", 8)
        assert card == (items["drowned-cartographer"].id, "Tidewatch", "TW1", "017", "Rare")
        assert figure == (items["the-ferryman"].id, "North Pier", "River Stories", "1/4")
        assert list(variants) == [
            ("ak-47-redline-field-tested", "default", "Default", True, 0),
            ("bitcoin", "default", "Default", True, 0),
            ("drowned-cartographer", "default", "Default", True, 0),
            ("drowned-cartographer", "foil", "Foil", False, 1),
            ("the-ferryman", "default", "Default", True, 0),
        ]
        assert list(external_ids) == [("steam-market", name, items[SKIN.slug].id)]


async def test_saving_again_changes_nothing(database: Database) -> None:
    await saved(database, *ITEMS)
    before = await updated_at(database)
    assert await saved(database, *ITEMS) == SavedItems(unchanged=4)
    assert await updated_at(database) == before


@pytest.mark.parametrize(
    "changed",
    [
        replace(CARD, name="The Drowned Cartographer"),
        replace(CARD, image_url="https://images.example/17-new.webp"),
        replace(CARD, details=CardDetails(game="Tidewatch", rarity="Mythic")),
        replace(CARD, external_ids=(NewExternalId("scryfall", "abc"),)),
        replace(CARD, variants=(NewVariant("foil", "Shiny"),)),
        replace(CARD, variants=(NewVariant("foil", "Foil"), NewVariant("signed", "Signed"))),
    ],
    ids=["name", "image", "details", "external id", "variant name", "new variant"],
)
async def test_only_the_item_that_differs_is_updated(database: Database, changed: NewItem) -> None:
    await saved(database, *ITEMS)
    before = await updated_at(database)
    assert await saved(database, SKIN, COIN, changed, FIGURE) == SavedItems(updated=1, unchanged=3)
    after = await updated_at(database)
    assert {slug for slug in after if after[slug] != before[slug]} == {"drowned-cartographer"}
    assert await saved(database, SKIN, COIN, changed, FIGURE) == SavedItems(unchanged=4)


async def test_what_an_importer_does_not_know_stays_as_it_was(database: Database) -> None:
    await saved(database, CARD)
    poorer = replace(CARD, name="Cartographer", image_url=None, details=CardDetails(game="Tidewatch"), variants=())
    assert await saved(database, poorer) == SavedItems(updated=1)
    async with database.transaction() as transaction:
        row = await transaction.connection.execute(
            select(Item.name, Item.image_url, Card.set_code, Card.number, Card.rarity).join(Card)
        )
        assert row.one() == ("Cartographer", "https://images.example/17.webp", "TW1", "017", "Rare")


async def test_an_item_known_by_an_external_id_keeps_its_slug(database: Database) -> None:
    await saved(database, SKIN)
    renamed = replace(SKIN, slug="redline", name="Redline")
    assert await saved(database, renamed) == SavedItems(updated=1)
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(select(Item.slug, Item.name))
        assert rows.all() == [("ak-47-redline-field-tested", "Redline")]


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([CARD, replace(CARD, name="Twin")], "2 of the given items have the slug `drowned-cartographer`"),
        (
            [replace(SKIN, slug="one"), replace(SKIN, slug="two")],
            "2 of the given items are `steam-market:AK-47",
        ),
        ([replace(COIN, details=FIGURE.details)], "`bitcoin` is a coin and cannot become a figure."),
        (
            [SKIN, replace(SKIN, external_ids=(NewExternalId("steam-nameid", "1"),), slug="other")],
            "are one item in the catalogue: `ak-47-redline-field-tested`",
        ),
        (
            [replace(SKIN, external_ids=(NewExternalId("steam-market", "AWP"),))],
            "is steam-market:AK-47 | Redline (Field-Tested), not steam-market:AWP",
        ),
        (
            [replace(COIN, external_ids=(NewExternalId("steam-nameid", "1"), NewExternalId("coins", "1")))],
            "The external ids of `bitcoin` name different items: `ak-47-redline-field-tested` and `bitcoin`.",
        ),
        (
            [replace(SKIN, slug="other", external_ids=())],
            "“AK-47 | Redline (Field-Tested)” is in the catalogue as `ak-47-redline-field-tested`",
        ),
    ],
    ids=["slug twice", "external id twice", "kind", "two for one", "not that one", "two owners", "market name taken"],
)
async def test_a_contradiction_is_refused_and_leaves_no_trace(
    database: Database, items: list[NewItem], sentence: str
) -> None:
    stored_skin = replace(SKIN, external_ids=(*SKIN.external_ids, NewExternalId("steam-nameid", "1")))
    await saved(database, stored_skin, replace(COIN, external_ids=(NewExternalId("coins", "1"),)))
    before = await updated_at(database)
    with pytest.raises(ItemsContradict) as refusal:
        await saved(database, FIGURE, *items)
    assert sentence in refusal.value.message
    assert await updated_at(database) == before


async def test_more_items_than_are_saved_at_a_time_are_all_saved(database: Database) -> None:
    coins = [
        NewItem(slug=f"coin-{number}", name=f"Coin {number}", details=CoinDetails(symbol=f"C{number}"))
        for number in range(ITEMS_AT_A_TIME + 3)
    ]
    assert await saved(database, *coins) == SavedItems(inserted=len(coins))
    assert await saved(database, *coins) == SavedItems(unchanged=len(coins))
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(func.count()).select_from(ItemVariant)) == len(coins)


async def test_two_importers_at_once_save_each_item_once(database: Database) -> None:
    outcomes = await asyncio.gather(*(saved(database, *ITEMS) for _ in range(4)))
    assert sum((outcome for outcome in outcomes), SavedItems()) == SavedItems(inserted=4, unchanged=12)


async def test_a_coin_is_added_once_and_found_by_symbol_slug_and_external_id(database: Database) -> None:
    async with database.transaction() as transaction:
        assert await coins_of_symbol(transaction, "BTC") == []
        assert await add_coin(transaction, "BTC") == "bitcoin"
        assert await add_coin(transaction, "BTC") == "bitcoin"
        assert await add_coin(transaction, "WOOL", slug="woolly") == "woolly"
        assert await coins_of_symbol(transaction, "btc") == ["bitcoin"]
        name = NewExternalId("coins", "1")
        await save_items(transaction, [replace(COIN, external_ids=(name,))])
        assert [
            await has_item(transaction, reference) for reference in ("bitcoin", "coins:1", "coins:2", "ethereum")
        ] == [True, True, False, False]
        row = await transaction.connection.execute(select(Item.name, Coin.symbol, Coin.decimals).join(Coin))
        assert sorted(row.all()) == [("Bitcoin", "BTC", 8), ("WOOL", "WOOL", None)]
        with pytest.raises(ItemsContradict, match="`woolly` is the coin WOOL, not ETH"):
            await add_coin(transaction, "ETH", slug="woolly")
