"""Saving items: what is new is inserted, what differs is updated, what is known stays, what contradicts is refused."""

import asyncio
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from app.catalogue.commands.coins import add_coin, coins_of_symbol, has_item
from app.catalogue.commands.save_items import ITEMS_AT_A_TIME, SavedItems, save_items
from app.catalogue.commands.save_related import LINKS, SavedSets, save_card_sets
from app.catalogue.errors import ItemsContradict
from app.catalogue.models import (
    Card,
    CardSet,
    Coin,
    ExternalId,
    Figure,
    Item,
    ItemVariant,
    Manufacturer,
    Series,
    Skin,
)
from app.catalogue.new_items import (
    CardDetails,
    CoinDetails,
    FigureDetails,
    NewCardSet,
    NewExternalId,
    NewItem,
    NewRelease,
    NewVariant,
    SkinDetails,
)
from app.catalogue.queries.items import releases_by_figure
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
    details=CardDetails(game="Tidewatch", card_set=NewCardSet("Tidewatch", "TW1"), number="017", rarity="Rare"),
    image_url="https://images.example/17.webp",
    variants=(NewVariant("foil", "Foil"),),
)
FIGURE = NewItem(
    slug="the-ferryman",
    name="The Ferryman",
    details=FigureDetails(
        manufacturer="North Pier",
        scale="1/4",
        series=("River Stories",),
        characters=("The Ferryman", "Otter"),
        sculptors=("Wen",),
        releases=(NewRelease(date(2025, 11, 1), Decimal(46000), "JPY", "4580000000010"), NewRelease(date(2026, 9, 1))),
    ),
    is_nsfw=True,
)
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
            for row in await connection.execute(
                select(Item.id, Item.slug, Item.kind, Item.name, Item.image_url, Item.is_nsfw)
            )
        }
        skin = (await connection.execute(select(*Skin.__table__.columns))).one()
        coin = (await connection.execute(select(*Coin.__table__.columns))).one()
        card_rows = select(Card.item_id, Card.game, CardSet.code, CardSet.slug, Card.number, Card.rarity)
        card = (await connection.execute(card_rows.join(CardSet, CardSet.id == Card.set_id))).one()
        figure = (
            await connection.execute(select(Figure.item_id, Manufacturer.name, Figure.scale).join(Manufacturer))
        ).one()
        linked = [
            (await connection.scalars(select(named.name).join(link).order_by(named.name))).all()
            for link, named in LINKS.items()
        ]
        releases = await releases_by_figure(connection, [items["the-ferryman"].id])
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
        assert skin == (*redline, False, False, 0.1, 0.7, None, None)
        assert coin == (items["bitcoin"].id, "BTC", 8, None, None)
        assert card == (items["drowned-cartographer"].id, "Tidewatch", "TW1", "tidewatch-tw1", "017", "Rare")
        assert figure == (items["the-ferryman"].id, "North Pier", "1/4")
        assert linked == [["River Stories"], ["Otter", "The Ferryman"], ["Wen"]]
        assert isinstance(FIGURE.details, FigureDetails)
        assert tuple(releases[items["the-ferryman"].id]) == FIGURE.details.releases
        assert {slug for slug, row in items.items() if row.is_nsfw} == {"the-ferryman"}
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
        replace(CARD, details=CardDetails(game="Tidewatch", card_set=NewCardSet("Tidewatch", "TW2"))),
        replace(CARD, details=CardDetails(game="Tidewatch", finishes=("foil", "etched"))),
        replace(CARD, is_nsfw=True),
        replace(CARD, external_ids=(NewExternalId("scryfall", "abc"),)),
        replace(CARD, variants=(NewVariant("foil", "Shiny"),)),
        replace(CARD, variants=(NewVariant("foil", "Foil"), NewVariant("signed", "Signed"))),
    ],
    ids=["name", "image", "details", "set", "finishes", "nsfw", "external id", "variant name", "new variant"],
)
async def test_only_the_item_that_differs_is_updated(database: Database, changed: NewItem) -> None:
    await saved(database, *ITEMS)
    before = await updated_at(database)
    assert await saved(database, SKIN, COIN, changed, FIGURE) == SavedItems(updated=1, unchanged=3)
    after = await updated_at(database)
    assert {slug for slug in after if after[slug] != before[slug]} == {"drowned-cartographer"}
    assert await saved(database, SKIN, COIN, changed, FIGURE) == SavedItems(unchanged=4)


@pytest.mark.parametrize(
    "change",
    [
        {"manufacturer": "Kite & Kiln"},
        {"series": ("River Stories", "Lantern Fleet")},
        {"characters": ()},
        {"sculptors": ("Someone Else",)},
        {"releases": ()},
        {"releases": (NewRelease(date(2025, 11, 1), Decimal(46000), "JPY", "4580000000027"),)},
    ],
    ids=["maker", "more series", "no characters", "sculptor", "no releases", "another code"],
)
async def test_a_figure_is_brought_up_to_date_in_what_it_is_linked_to(
    database: Database, change: dict[str, Any]
) -> None:
    await saved(database, *ITEMS)
    assert isinstance(FIGURE.details, FigureDetails)
    changed = replace(FIGURE, details=replace(FIGURE.details, **change))
    assert await saved(database, SKIN, changed) == SavedItems(updated=1, unchanged=1)
    assert await saved(database, SKIN, changed) == SavedItems(unchanged=2)
    silent = replace(FIGURE, details=FigureDetails(), is_nsfw=None)
    assert await saved(database, silent) == SavedItems(unchanged=1)
    assert await saved(database, FIGURE) == SavedItems(updated=1)


async def test_names_are_one_whatever_their_case_and_spaces_and_slugs_never_clash(database: Database) -> None:
    def figure(slug: str, maker: str, *series: str) -> NewItem:
        return NewItem(slug=slug, name=slug, details=FigureDetails(manufacturer=maker, series=series))

    await saved(
        database, figure("a", "Good  Smile", "\u9032\u6483", "Re: One"), figure("b", "GOOD SMILE", "\u5de8\u4eba")
    )
    await saved(database, figure("c", "good smile ", "RE: ONE", "Re One"))
    async with database.transaction() as transaction:
        makers = (await transaction.connection.execute(select(Manufacturer.slug, Manufacturer.name))).all()
        series = (
            await transaction.connection.scalars(select(Series.slug).order_by(Series.created_at, Series.id))
        ).all()
    assert makers in ([("good-smile", "Good Smile")], [("good-smile", "GOOD SMILE")])
    assert len(series) == len(set(series)) == 4
    assert all(series)
    assert "re-one" in series


async def test_a_set_learns_its_name_from_who_knows_it(database: Database) -> None:
    await saved(database, CARD)
    async with database.transaction() as transaction:
        named = NewCardSet("Tidewatch", "TW1", "First Tide", date(2024, 5, 1), 128, "https://images.example/tw1.svg")
        assert (await save_card_sets(transaction.connection, [named]))[1] == SavedSets(updated=1)
        assert (await save_card_sets(transaction.connection, [named]))[1] == SavedSets(unchanged=1)
        other = NewCardSet("Other Game", "TW1")
        assert (await save_card_sets(transaction.connection, [named, other]))[1] == SavedSets(inserted=1, unchanged=1)
    assert await saved(database, CARD) == SavedItems(unchanged=1)
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(CardSet.game, CardSet.name, CardSet.released_on, CardSet.card_count).order_by(CardSet.game)
        )
        assert rows.all() == [("Other Game", "TW1", None, None), ("Tidewatch", "First Tide", date(2024, 5, 1), 128)]


async def test_what_an_importer_does_not_know_stays_as_it_was(database: Database) -> None:
    await saved(database, CARD)
    poorer = replace(CARD, name="Cartographer", image_url=None, details=CardDetails(game="Tidewatch"), variants=())
    assert await saved(database, poorer) == SavedItems(updated=1)
    async with database.transaction() as transaction:
        row = await transaction.connection.execute(
            select(Item.name, Item.image_url, CardSet.code, Card.number, Card.rarity)
            .join(Card, Card.item_id == Item.id)
            .join(CardSet)
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
