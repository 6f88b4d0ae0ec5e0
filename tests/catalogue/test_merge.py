"""Two items become one: what referred to the one refers to the other, whatever table it stands in."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.alerts.commands.rules import create_rule
from app.alerts.given import Target
from app.alerts.models import Condition, RuleTarget
from app.catalogue.commands.edit_items import create_item, edit_item
from app.catalogue.commands.edit_variants import add_item_variant
from app.catalogue.commands.merge_items import merge_items
from app.catalogue.commands.photos import MAXIMUM_PHOTOS
from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.catalogue.given import LARGEST_POSITION, GivenDetails, GivenItem
from app.catalogue.models import (
    DEFAULT_VARIANT_KEY,
    CreationKey,
    Item,
    ItemKind,
    ItemPhoto,
    ItemRedirect,
    ItemRevision,
    ItemVariant,
    SearchDocument,
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
from app.catalogue.personal_data import erase
from app.core.clock import utc_now
from app.core.database import Database, Transaction
from app.core.ids import PublicIdTag, new_id, public_id
from app.graph.catalogue.editing import FOLLOWERS
from app.ingestion.models import BatchKind
from app.portfolios.commands.holdings import add_holding
from app.portfolios.commands.portfolios import create_portfolio
from app.portfolios.commands.preorders import add_preorder
from app.portfolios.commands.wants import add_want
from app.portfolios.commands.watchlists import add_to_watchlist, create_watchlist
from app.prices.commands.price_batches import price_batches
from app.prices.commands.resolve_series import resolve_series
from app.prices.commands.valuations import value_due_variants
from app.prices.models import Candle, PriceChange, PricePoint, PriceSeries, Valuation
from tests.catalogue.builders import card, coin, figure, refusal_of, saved, skin, state
from tests.lock_waits import until_somebody_waits
from tests.prices.builders import MONDAY, accepted, candle, change_only, ingested, point
from workers.ingestion import process_waiting_batches

MINUTE = timedelta(minutes=1)
# What refers to an item, or to its variants, or to the details of a figure.
REFERENCES = """
SELECT CAST(CAST(conrelid AS regclass) AS text) AS source, attname AS column_name,
    CAST(CAST(confrelid AS regclass) AS text) AS target
FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
WHERE contype = 'f' AND conparentid = 0
    AND CAST(CAST(confrelid AS regclass) AS text)
        IN ('catalogue.items', 'catalogue.item_variants', 'catalogue.figures')
"""
# Of these the winner's own row stays, filled in from the loser's, or is made anew.
ONE_FOR_EACH_ITEM = {
    "catalogue.figures.item_id",
    "catalogue.skins.item_id",
    "catalogue.coins.item_id",
    "catalogue.cards.item_id",
    "catalogue.search_documents.item_id",
}
# Details of the kinds that a figure is not; each has a test of its own.
OF_OTHER_KINDS = {"catalogue.skins.item_id", "catalogue.coins.item_id", "catalogue.cards.item_id"}
# How many rows both figures below have alike, so that one of each goes; less than none where a merge adds one.
ALIKE = {
    "catalogue.item_variants.item_id": 2,
    "catalogue.figure_series.item_id": 1,
    "catalogue.figure_releases.item_id": 1,
    "catalogue.item_redirects.item_id": -1,
    "catalogue.item_revisions.item_id": -1,
    "prices.price_series.variant_id": 1,
    "prices.valuation_states.variant_id": 1,
}
# What names a series of prices without a reference.
SERIES_COLUMNS = """
SELECT format('%I.%I', table_schema, table_name) FROM information_schema.columns
WHERE column_name = 'series_id' AND table_schema = 'prices' AND table_name !~ '_p_[0-9]+$'
"""


async def merged(database: Database, winner: UUID, loser: UUID, editor: UUID | None = None) -> None:
    """Merge as the graph does."""
    async with database.transaction() as transaction:
        await merge_items(transaction, winner_id=winner, loser_id=loser, editor_id=editor, followers=FOLLOWERS)


async def rows(database: Database, statement: Any) -> list[Any]:
    """The rows of a statement."""
    async with database.transaction() as transaction:
        return list(await transaction.connection.execute(statement))


def keeper(slug: str, *, variant: str, series: str, jan: str) -> NewItem:
    """A figure with something in every table."""
    return NewItem(
        slug=slug,
        name=f"The keeper, {slug}",
        details=FigureDetails(
            manufacturer="Hollow Pine",
            scale="1/7",
            series=("Lanterns", series),
            characters=(f"Character of {slug}",),
            sculptors=(f"Sculptor of {slug}",),
            releases=(NewRelease(released_on=date(2024, 1, 1)), NewRelease(jan=jan)),
        ),
        external_ids=(NewExternalId("shop", slug),),
        variants=(NewVariant("boxed", "Boxed"), NewVariant(variant, variant.title())),
    )


def photo(item_id: UUID, position: int) -> dict[str, Any]:
    """A photo of an item, the first of which is its primary one."""
    photo_id = new_id()
    return {
        "id": photo_id,
        "item_id": item_id,
        "position": position,
        "is_primary": position == 0,
        "content_type": "image/png",
        "width": 16,
        "height": 16,
        "bytes": 100,
        "sha256": "00",
        "storage_key": f"photos/{photo_id.hex}",
    }


async def held(transaction: Transaction, ids: Collection[UUID], *, owner_id: UUID) -> None:
    """Have somebody hold every variant of the items."""
    portfolio_id = await create_portfolio(transaction, {"name": "Shelf"}, owner_id=owner_id)
    variants = select(ItemVariant.id).where(ItemVariant.item_id.in_(ids))
    for variant_id in list(await transaction.connection.scalars(variants)):
        await add_holding(transaction, owner_id=owner_id, portfolio_id=portfolio_id, variant_id=variant_id)


async def _wish_for(transaction: Transaction, owner_id: UUID, item_id: UUID) -> None:
    """Have somebody watch, want and preorder an item, and want to be told of it."""
    default = select(ItemVariant.id).where(ItemVariant.item_id == item_id, ItemVariant.is_default)
    variant_id = (await transaction.connection.execute(default)).scalar_one()
    list_id = await create_watchlist(transaction, owner_id=owner_id, name=str(item_id))
    await add_to_watchlist(transaction, owner_id=owner_id, watchlist_id=list_id, variant_id=variant_id)
    await add_want(transaction, {}, owner_id=owner_id, variant_id=variant_id)
    rule = {"condition": Condition.CROSSES_ABOVE, "threshold": Decimal(100), "currency": "EUR"}
    for target in (Target(RuleTarget.ITEM, item_id), Target(RuleTarget.VARIANT, variant_id)):
        await create_rule(transaction, target, rule, owner_id=owner_id)
    await add_preorder(transaction, {}, owner_id=owner_id, variant_id=variant_id)


async def whole_figures(database: Database, editor: UUID) -> tuple[UUID, UUID]:
    """A winner and a loser with rows in whatever refers to items and variants."""
    ids = []
    for slug in ("winner", "loser"):
        async with database.transaction() as transaction:
            details = GivenDetails(ItemKind.FIGURE, {})
            item_id = await create_item(
                transaction,
                GivenItem({"name": slug, "slug": f"first-{slug}"}, details),
                editor_id=editor,
                idempotency_key=slug,
            )
            await edit_item(transaction, item_id, GivenItem({"slug": slug}), editor_id=editor)
        ids.append(item_id)
    await saved(
        database,
        keeper("winner", variant="signed", series="Foghorns", jan="4901234567894"),
        keeper("loser", variant="broken", series="Harbours", jan="4006381333931"),
    )
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(ItemPhoto), [photo(ids[0], 0), photo(ids[1], 0), photo(ids[1], 1)])
        await held(transaction, ids, owner_id=editor)
        for item_id in ids:
            await _wish_for(transaction, editor, item_id)
    now = utc_now()
    await ingested(
        database,
        point("winner", "100", kind="sale", at=now - timedelta(days=3)),
        point("loser", "110", kind="sale", at=now - timedelta(days=2)),
        point("loser", "50", kind="sale", variant="broken", at=now - timedelta(days=2)),
        point("loser", "120", kind="ask", source="other-market", currency="EUR"),
    )
    async with database.transaction() as transaction:
        assert await value_due_variants(transaction, now=now + timedelta(hours=1))
    return ids[0], ids[1]


async def references(connection: AsyncConnection) -> Mapping[str, str]:
    """Every column that refers to items, variants or figures, with what it refers to."""
    found = await connection.execute(text(REFERENCES))
    return {f"{row.source}.{row.column_name}": row.target for row in found}


async def counts(connection: AsyncConnection, item_id: UUID) -> dict[str, int]:
    """How many rows refer to an item by each of these columns."""
    counted = {}
    for name, target in (await references(connection)).items():
        table, _, column = name.rpartition(".")
        keys = "SELECT id FROM catalogue.item_variants WHERE item_id = :id" if "variants" in target else ":id"
        counted[name] = int(
            await connection.scalar(text(f"SELECT count(*) FROM {table} WHERE {column} IN ({keys})"), {"id": item_id})
            or 0
        )
    return counted


async def test_whatever_refers_to_an_item_is_taken_over(database: Database, owner: AsyncEngine, editor: UUID) -> None:
    winner, loser = await whole_figures(database, editor)
    async with owner.connect() as connection:
        before, lost = await counts(connection, winner), await counts(connection, loser)
    for name, count in lost.items():
        assert count or name in OF_OTHER_KINDS, f"{name} refers to items: let the figures of this test have some"
    await merged(database, winner, loser, editor)
    async with owner.connect() as connection:
        after = await counts(connection, winner)
        left = await counts(connection, loser)
    expected = {
        name: before[name] if name in ONE_FOR_EACH_ITEM else before[name] + lost[name] - ALIKE.get(name, 0)
        for name in before
    }
    assert after == expected, "a table that refers to items or variants needs a step in a merge"
    assert set(left.values()) == {0}


async def test_photos_stand_behind_the_winners_and_one_stays_primary(database: Database, editor: UUID) -> None:
    winner, loser = await whole_figures(database, editor)
    shown = select(ItemPhoto.item_id, ItemPhoto.position, ItemPhoto.is_primary).order_by(ItemPhoto.position)
    await merged(database, winner, loser, editor)
    assert await rows(database, shown) == [(winner, 0, True), (winner, 1, False), (winner, 2, False)]


async def test_nothing_goes_on_naming_a_series_that_is_gone(
    database: Database, owner: AsyncEngine, editor: UUID
) -> None:
    winner, loser = await whole_figures(database, editor)
    async with owner.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO prices.candle_rebuilds (series_id, next_series_id) SELECT id, id FROM prices.price_series"
            )
        )
    await merged(database, winner, loser, editor)
    async with owner.connect() as connection:
        tables = (await connection.scalars(text(SERIES_COLUMNS))).all()
        assert {"prices.price_points", "prices.candles", "prices.price_changes"} <= set(tables)
        for table in tables:
            unfinished = "AND finished_at IS NULL" if table == "prices.candle_rebuilds" else ""
            orphans = await connection.scalar(
                text(
                    f"SELECT count(*) FROM {table} WHERE series_id NOT IN (SELECT id FROM prices.price_series) "
                    + unfinished
                )
            )
            assert orphans == 0, table


async def test_what_the_winner_says_stays_and_the_loser_fills_the_gaps(database: Database) -> None:
    ids = await saved(
        database,
        NewItem("tide", "Tide", SkinDetails("Tide", weapon="AK-47", crates=("One", "Two"))),
        NewItem(
            "tide-2",
            "Tide (2)",
            SkinDetails("Tide (2)", weapon="AK-74", wear="Worn", crates=("Two", "Three")),
            image_url="https://p.example/a.png",
            is_nsfw=True,
        ),
    )
    await merged(database, ids["tide"], ids["tide-2"])
    now = await state(database, ids["tide"])
    assert (now["name"], now["slug"], now["marketHashName"]) == ("Tide", "tide", "Tide")
    assert (now["weapon"], now["wear"], now["crates"]) == ("AK-47", "Worn", ["One", "Two", "Three"])
    assert (now["imageUrl"], now["isNsfw"]) == ("https://p.example/a.png", True)
    assert len(await rows(database, select(Skin.item_id))) == 1


async def test_a_release_of_the_winner_keeps_what_it_says_and_is_filled_in(database: Database) -> None:
    jan, other_jan = "4901234567894", "4006381333931"
    own = (
        NewRelease(date(2024, 1, 1)),
        NewRelease(date(2024, 6, 1), Decimal(100), "JPY", jan),
        NewRelease(date(2024, 9, 1)),
    )
    others = (
        NewRelease(date(2024, 1, 1), Decimal(999), "EUR", jan),
        NewRelease(date(2024, 9, 1), Decimal(5), "EUR", other_jan),
        NewRelease(date(2026, 1, 1)),
    )
    ids = await saved(database, figure("keeper", releases=own), figure("keeper-2", releases=others))
    await merged(database, ids["keeper"], ids["keeper-2"])
    told = [tuple(release.values()) for release in (await state(database, ids["keeper"]))["releases"]]
    assert told == [
        ("2024-01-01", None, None, None),
        ("2024-06-01", "100", "JPY", jan),
        ("2024-09-01", "5", "EUR", other_jan),
        ("2026-01-01", None, None, None),
    ]


FOGHORN = NewItem("winner", "Winner", CardDetails(game="Foghorn", artist="A"))
IN_ANOTHER_SET = NewItem("winner", "Winner", CardDetails(game="Tidewatch", card_set=NewCardSet("Tidewatch", "TW2")))
WORN = NewItem("winner", "Winner", SkinDetails("Winner", float_minimum=0.5))
FRESH = NewItem("loser", "Loser", SkinDetails("Loser", float_maximum=0.1, wear="Factory New"))
TOKEN = NewItem("winner", "Winner", CoinDetails("WIN", chain="ethereum"))
ON_ANOTHER_CHAIN = NewItem("loser", "Loser", CoinDetails("LOS", chain="solana", contract_address="So1", decimals=9))


@pytest.mark.parametrize(
    ("winner", "loser", "left_out", "filled_in"),
    [
        (FOGHORN, card("loser"), ("set", "number"), None),
        (IN_ANOTHER_SET, card("loser"), ("number",), None),
        (WORN, FRESH, ("floatMaximum",), "wear"),
        (TOKEN, ON_ANOTHER_CHAIN, ("contractAddress",), "decimals"),
    ],
    ids=["a set of another game", "a number in another set", "reversed floats", "a contract on another chain"],
)
async def test_what_cannot_stand_beside_the_winners_word_is_not_taken_over(
    database: Database, winner: NewItem, loser: NewItem, left_out: Collection[str], filled_in: str | None
) -> None:
    ids = await saved(database, winner, loser)
    await merged(database, ids["winner"], ids["loser"])
    now = await state(database, ids["winner"])
    assert not [name for name in left_out if name in now]
    assert filled_in is None or filled_in in now


async def test_more_photos_than_one_item_may_have_are_refused(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    photos = [photo(ids["lantern"], place) for place in range(MAXIMUM_PHOTOS)] + [photo(ids["lamp"], 0)]
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(ItemPhoto), photos)
    for winner, loser in (("lantern", "lamp"), ("lamp", "lantern")):
        assert await refusal_of(merged(database, ids[winner], ids[loser])) == (
            CatalogueErrorCode.TOO_MANY_PHOTOS,
            ["loserId"],
        )
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(ItemPhoto).where(ItemPhoto.id == photos[1]["id"]))
    await merged(database, ids["lamp"], ids["lantern"])


async def test_variants_come_behind_one_that_stands_as_far_back_as_can_be(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp", variants=(NewVariant("boxed", "Boxed"),)))
    async with database.transaction() as transaction:
        await add_item_variant(
            transaction, ids["lantern"], key="last", name="Last", position=LARGEST_POSITION, editor_id=None
        )
    await merged(database, ids["lantern"], ids["lamp"])
    variants = (await state(database, ids["lantern"]))["variants"]
    assert {variant["key"]: variant["position"] for variant in variants} == {
        DEFAULT_VARIANT_KEY: 0,
        "last": LARGEST_POSITION,
        "boxed": LARGEST_POSITION,
    }


async def test_cards_and_coins_are_merged_too(database: Database) -> None:
    lighthouse = card("lighthouse")
    assert isinstance(lighthouse.details, CardDetails)
    foil = replace(lighthouse, slug="foil", details=replace(lighthouse.details, finishes=("foil",), artist="A"))
    ids = await saved(database, lighthouse, foil, coin("lantern"), coin("lamp"))
    await merged(database, ids["lighthouse"], ids["foil"])
    await merged(database, ids["lantern"], ids["lamp"])
    now = await state(database, ids["lighthouse"])
    assert (now["finishes"], now["artist"], now["set"]["code"]) == (["foil"], "A", "TW1")
    assert [row.slug for row in await rows(database, select(Item.slug).order_by(Item.slug))] == [
        "lantern",
        "lighthouse",
    ]


async def test_variants_with_one_key_become_one_and_others_come_behind(database: Database, editor: UUID) -> None:
    winner, loser = await whole_figures(database, editor)
    variants = select(ItemVariant.item_id, ItemVariant.key, ItemVariant.is_default).order_by(ItemVariant.position)
    await merged(database, winner, loser)
    assert [tuple(row) for row in await rows(database, variants)] == [
        (winner, DEFAULT_VARIANT_KEY, True),
        (winner, "boxed", False),
        (winner, "signed", False),
        (winner, "broken", False),
    ]


async def test_a_merge_leaves_one_history_that_tells_what_the_loser_was(database: Database, editor: UUID) -> None:
    winner, loser = await whole_figures(database, editor)
    await merged(database, winner, loser, editor)
    history = await rows(
        database,
        select(ItemRevision.number, ItemRevision.action, ItemRevision.item_id, ItemRevision.changes).order_by(
            ItemRevision.number
        ),
    )
    assert [(row.number, row.action) for row in history] == [
        (1, "created"),
        (2, "edited"),
        (3, "created"),
        (4, "edited"),
        (5, "merged"),
    ]
    assert {row.item_id for row in history} == {winner}
    lost = history[-1].changes["merged"]["after"]
    assert (lost["id"], lost["slug"]) == (public_id(PublicIdTag.ITEM, loser), "loser")
    assert lost["sculptors"] == ["Sculptor of loser"]
    assert history[-1].changes["origins"]["after"] == ["Foghorns", "Harbours", "Lanterns"]


async def test_old_ids_and_slugs_lead_straight_to_the_last_winner(database: Database, editor: UUID) -> None:
    ids = await saved(database, coin("one"), coin("two"), coin("three"))
    async with database.transaction() as transaction:
        await edit_item(transaction, ids["one"], GivenItem({"slug": "uno"}), editor_id=None)
    await merged(database, ids["two"], ids["one"])
    await merged(database, ids["three"], ids["two"])
    redirects = await rows(database, select(ItemRedirect.old_id, ItemRedirect.slug, ItemRedirect.item_id))
    assert sorted((row.slug, row.old_id, row.item_id) for row in redirects if row.old_id) == [
        ("two", ids["two"], ids["three"]),
        ("uno", ids["one"], ids["three"]),
    ]
    assert [(row.slug, row.item_id) for row in redirects if not row.old_id] == [("one", ids["three"])]
    found = await rows(database, select(SearchDocument.item_id, SearchDocument.folded_name))
    assert [tuple(row) for row in found] == [(ids["three"], "three")]


async def test_what_cannot_be_merged_is_refused_and_leaves_no_trace(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"), coin("torch"), skin("tide"))
    await merged(database, ids["lamp"], ids["torch"])
    everything = select(Item.id, Item.slug, Item.updated_at).order_by(Item.id)
    before = await rows(database, everything)
    codes = CatalogueErrorCode
    assert await refusal_of(merged(database, ids["lamp"], ids["lamp"])) == (codes.INVALID_INPUT, ["loserId"])
    assert await refusal_of(merged(database, ids["lamp"], ids["tide"])) == (codes.WRONG_KIND, ["loserId"])
    assert await refusal_of(merged(database, new_id(), ids["lamp"])) == (codes.NOT_FOUND, ["winnerId"])
    assert await refusal_of(merged(database, ids["lamp"], new_id())) == (codes.NOT_FOUND, ["loserId"])
    assert await refusal_of(merged(database, ids["lantern"], ids["torch"])) == (codes.ALREADY_MERGED, ["loserId"])
    assert await refusal_of(merged(database, ids["torch"], ids["lantern"])) == (codes.ALREADY_MERGED, ["winnerId"])
    assert await rows(database, everything) == before


def _candles(of: Collection[Any]) -> list[tuple[Any, ...]]:
    return sorted((row.resolution, row.bucket, row.open, row.high, row.low, row.close, row.point_count) for row in of)


async def test_the_points_of_two_series_give_the_candles_that_they_would_have_given_together(
    database: Database,
) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"), coin("together"))
    own = [("10", 0, "a"), ("14", 2, "b"), ("11", 70, "c")]
    others = [("9", 1, "d"), ("14", 2, "b"), ("20", 71, "e"), ("30", 60 * 24 * 40, "f")]
    for item, points in (("lantern", own), ("lamp", others), ("together", sorted({*own, *others}))):
        await ingested(
            database,
            *(point(item, price, at=MONDAY + minute * MINUTE, key=key, quantity="2") for price, minute, key in points),
        )
    await merged(database, ids["lantern"], ids["lamp"])
    series = {
        row.item_id: row
        for row in await rows(
            database,
            select(ItemVariant.item_id, PriceSeries.__table__).join(
                PriceSeries, PriceSeries.variant_id == ItemVariant.id
            ),
        )
    }
    assert set(series) == {ids["lantern"], ids["together"]}
    one, model = series[ids["lantern"]], series[ids["together"]]
    candles = {
        of.id: _candles(await rows(database, select(Candle).where(Candle.series_id == of.id))) for of in (one, model)
    }
    assert candles[one.id] == candles[model.id]
    stored = await rows(
        database, select(PricePoint.observed_at, PricePoint.price).where(PricePoint.series_id == one.id)
    )
    assert len(stored) == 6
    assert (one.latest_price, one.latest_observed_at) == (30, MONDAY + timedelta(days=40))
    assert (one.latest_price, one.latest_observed_at) == (model.latest_price, model.latest_observed_at)


async def test_provided_candles_stay_and_the_winners_come_first(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    hour = timedelta(hours=1)
    await ingested(database, candle("lantern", MONDAY, hour, "1 2 1 2"), kind=BatchKind.CANDLES)
    await ingested(
        database,
        candle("lamp", MONDAY, hour, "5 6 5 6"),
        candle("lamp", MONDAY + hour, hour, "7 8 7 8"),
        candle("lamp", MONDAY, timedelta(minutes=5), "3 4 3 4"),
        kind=BatchKind.CANDLES,
    )
    await merged(database, ids["lantern"], ids["lamp"])
    candles = await rows(database, select(Candle.resolution, Candle.bucket, Candle.open, Candle.is_provided))
    assert sorted(tuple(row) for row in candles) == [
        (300, MONDAY, 3, True),
        (3600, MONDAY, 1, True),
        (3600, MONDAY + hour, 7, True),
    ]
    (series,) = await rows(database, select(PriceSeries.provided_resolutions, PriceSeries.latest_price))
    assert series == ([300, 3600], 8)


async def test_candles_whose_points_are_gone_are_put_together(database: Database, owner: AsyncEngine) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    await ingested(database, point("lantern", "10", at=MONDAY, quantity="1"))
    await ingested(database, point("lamp", "20", at=MONDAY + MINUTE, quantity="2"))
    async with owner.begin() as connection:
        await connection.execute(text("DELETE FROM prices.price_points"))
    await merged(database, ids["lantern"], ids["lamp"])
    day = select(Candle.open, Candle.high, Candle.close, Candle.volume, Candle.point_count).where(
        Candle.resolution == 86_400
    )
    assert [tuple(row) for row in await rows(database, day)] == [(10, 20, 10, 3, 2)]


async def test_a_newer_price_of_the_loser_is_told_to_who_follows_the_winner(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    await ingested(database, point("lantern", "10", at=MONDAY))
    await ingested(database, point("lamp", "20", at=MONDAY + MINUTE))
    await merged(database, ids["lantern"], ids["lamp"])
    changes = await rows(
        database,
        select(PriceChange.price, ItemVariant.item_id)
        .join(PriceSeries, PriceSeries.id == PriceChange.series_id)
        .join(ItemVariant, ItemVariant.id == PriceSeries.variant_id)
        .order_by(PriceChange.position),
    )
    assert [tuple(row) for row in changes] == [(10, ids["lantern"]), (20, ids["lantern"]), (20, ids["lantern"])]


@pytest.mark.parametrize(
    ("winners", "losers", "price", "seen"),
    [
        ([("10", 0), ("10", 2)], [("10", 0)], 10, 2),
        ([("10", 1)], [("10", 0), ("10", 3)], 10, 3),
        ([("10", 1)], [("9", 0), ("9", 3)], 9, 3),
        ([("9", 0), ("9", 3)], [("10", 1)], 9, 3),
    ],
    ids=[
        "by the winner alone",
        "by the loser later",
        "by the loser at another price",
        "by the winner at another price",
    ],
)
async def test_a_price_was_seen_last_when_either_of_the_two_saw_it(
    database: Database, winners: list[tuple[str, int]], losers: list[tuple[str, int]], price: int, seen: int
) -> None:
    await change_only(database)
    ids = await saved(database, coin("lantern"), coin("lamp"))
    for slug, prices in (("lantern", winners), ("lamp", losers)):
        for amount, days in prices:
            await ingested(database, point(slug, amount, at=MONDAY + timedelta(days=days)))
    await merged(database, ids["lantern"], ids["lamp"])
    (series,) = await rows(database, select(PriceSeries.latest_price, PriceSeries.last_seen_at))
    assert tuple(series) == (price, MONDAY + timedelta(days=seen))


async def test_the_latest_price_is_that_of_the_point_that_stays(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    await ingested(database, point("lantern", "10", at=MONDAY, key="same"))
    await ingested(database, point("lamp", "20", at=MONDAY, key="same"))
    await merged(database, ids["lantern"], ids["lamp"])
    assert [row.price for row in await rows(database, select(PricePoint.price))] == [10]
    assert [row.latest_price for row in await rows(database, select(PriceSeries.latest_price))] == [10]


async def test_valuations_move_and_the_winner_is_valued_anew(database: Database, editor: UUID) -> None:
    winner, loser = await whole_figures(database, editor)
    await merged(database, winner, loser)
    default = (
        await rows(database, select(ItemVariant.id).where(ItemVariant.item_id == winner, ItemVariant.is_default))
    )[0].id
    current = (
        select(Valuation.currency, Valuation.value, Valuation.sample_size)
        .where(Valuation.variant_id == default, Valuation.is_current)
        .order_by(Valuation.currency)
    )
    assert [row.currency for row in await rows(database, current)] == ["EUR", "USD"]
    async with database.transaction() as transaction:
        await value_due_variants(transaction, now=utc_now() + timedelta(hours=2))
    valued = {row.currency: row for row in await rows(database, current)}
    assert valued["USD"].sample_size == 2


async def test_prices_that_name_the_loser_go_to_the_winner(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    await merged(database, ids["lantern"], ids["lamp"])
    by_id = {"item": None, "itemId": public_id(PublicIdTag.ITEM, ids["lamp"])}
    await ingested(
        database,
        point("lamp", "10", at=MONDAY),
        {**point("lamp", "11", at=MONDAY + MINUTE), **by_id},
        point("lantern", "12", at=MONDAY + 2 * MINUTE),
    )
    (series,) = await rows(database, select(PriceSeries.latest_price))
    assert series.latest_price == 12
    assert len(await rows(database, select(PricePoint.price))) == 3


async def test_an_importer_that_knows_both_goes_on(database: Database) -> None:
    one = replace(coin("lantern"), external_ids=(NewExternalId("shop", "1"),))
    two = replace(coin("lamp"), external_ids=(NewExternalId("shop", "2"),))
    ids = await saved(database, one, two)
    await merged(database, ids["lantern"], ids["lamp"])
    assert await saved(database, one, two) == {"lantern": ids["lantern"]}
    assert (await state(database, ids["lantern"]))["externalIds"] == ["shop:1", "shop:2"]


async def test_of_two_merges_of_the_same_two_items_one_is_done(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    outcomes = await asyncio.gather(
        merged(database, ids["lantern"], ids["lamp"]),
        merged(database, ids["lamp"], ids["lantern"]),
        return_exceptions=True,
    )
    (refused,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(refused, CatalogueRefused)
    assert refused.reason is CatalogueErrorCode.ALREADY_MERGED
    assert len(await rows(database, select(Item.id))) == 1


async def test_merges_and_batches_at_once_lose_nothing(database: Database) -> None:
    coins = [coin(f"lantern-{number}") for number in range(4)]
    ids = await saved(database, *coins)
    for item in coins:
        await ingested(database, point(item.slug, "1", at=MONDAY - timedelta(days=1), kind="sale", key=item.slug))
    for minute in range(12):
        lines = [
            point(item.slug, str(minute + 1), at=MONDAY + minute * MINUTE, kind=kind, key=item.slug)
            for item in coins
            for kind in ("sale", "ask")
        ]
        await accepted(database, lines)

    async def merge_all() -> None:
        for loser in ("lantern-1", "lantern-2", "lantern-3"):
            await merged(database, ids["lantern-0"], ids[loser])

    await asyncio.gather(
        process_waiting_batches(database, price_batches()),
        process_waiting_batches(database, price_batches()),
        merge_all(),
    )
    # What a merge came in between of is tried again.
    await process_waiting_batches(database, price_batches())
    kinds = await rows(
        database,
        text(
            "SELECT kind, count(*) FROM prices.price_points JOIN prices.price_series ON id = series_id "
            "GROUP BY kind ORDER BY kind"
        ),
    )
    assert [tuple(row) for row in kinds] == [("ask", 48), ("sale", 52)]
    statuses = await rows(database, text("SELECT DISTINCT status, rejected_count FROM ingestion.ingest_batches"))
    assert [tuple(row) for row in statuses] == [("processed", 0)]


async def test_a_batch_that_found_a_series_just_before_it_went_is_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await saved(database, coin("lantern"), coin("lamp"))
    await ingested(database, point("lantern", "1", at=MONDAY), point("lamp", "2", at=MONDAY))
    await accepted(database, [point("lamp", "3", at=MONDAY + MINUTE)])
    tries: list[int] = []

    async def resolve_then_merge(*arguments: Any) -> Any:
        resolved = await resolve_series(*arguments)
        if not tries:
            await merged(database, ids["lantern"], ids["lamp"])
        tries.append(1)
        return resolved

    monkeypatch.setattr("app.prices.commands.ingest_points.resolve_series", resolve_then_merge)
    assert await process_waiting_batches(database, price_batches()) == 0
    assert await process_waiting_batches(database, price_batches()) == 1
    (row,) = await rows(
        database,
        text("SELECT attempts FROM ingestion.ingest_batches WHERE status = 'processed' ORDER BY sequence DESC LIMIT 1"),
    )
    assert row.attempts == 0
    (series,) = await rows(database, select(PriceSeries.latest_price))
    assert series.latest_price == 3


async def test_a_merge_and_the_erasure_of_who_made_both_do_not_wait_for_each_other(
    database: Database, editor: UUID
) -> None:
    ids = []
    for slug in ("first", "lantern", "lamp"):
        async with database.transaction() as transaction:
            item = GivenItem({"name": slug}, GivenDetails(ItemKind.COIN, {"symbol": "A"}))
            ids.append(await create_item(transaction, item, editor_id=editor, idempotency_key=slug))

    async def erased() -> None:
        async with database.transaction() as transaction:
            await erase(transaction, editor)

    async with database.transaction() as holding:
        await holding.connection.execute(select(CreationKey).where(CreationKey.key == "first").with_for_update())
        erasing = asyncio.create_task(erased())
        await until_somebody_waits(database)
        merging = asyncio.create_task(merged(database, ids[1], ids[2]))
        await until_somebody_waits(database, count=2)
    await asyncio.gather(erasing, merging)
    assert {row.user_id for row in await rows(database, select(ItemRevision.user_id))} == {None}
    assert await rows(database, select(CreationKey.key)) == []
