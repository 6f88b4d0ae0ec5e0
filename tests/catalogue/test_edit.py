"""Staff make and change items: what is given is stored, the rest stays, and each change leaves a revision."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.catalogue.commands.edit_items import create_item, edit_item
from app.catalogue.commands.edit_variants import add_item_variant, edit_item_variant
from app.catalogue.commands.save_items import save_items
from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.catalogue.given import LARGEST_POSITION, GivenDetails, GivenItem
from app.catalogue.models import (
    CardSet,
    CreationKey,
    Item,
    ItemKind,
    ItemRedirect,
    ItemRevision,
    ItemVariant,
    SearchDocument,
)
from app.catalogue.new_items import FigureDetails, NewExternalId, NewRelease, NewVariant, SkinDetails
from app.core.database import Database
from app.core.ids import new_id
from tests.catalogue.builders import card, coin, figure, refusal_of, saved, skin, state
from tests.identity.builders import add_person
from tests.lock_waits import until_somebody_waits


def given(kind: ItemKind | None = None, details: dict[str, Any] | None = None, **values: Any) -> GivenItem:
    """What is said of an item."""
    return GivenItem(values, None if kind is None else GivenDetails(kind, details or {}))


async def created(database: Database, item: GivenItem, editor: UUID | None = None, key: str | None = None) -> UUID:
    """A new item."""
    async with database.transaction() as transaction:
        return await create_item(transaction, item, editor_id=editor, idempotency_key=key)


async def edited(
    database: Database, item_id: UUID, item: GivenItem, editor: UUID | None = None, expected: int | None = None
) -> None:
    """A change."""
    async with database.transaction() as transaction:
        await edit_item(transaction, item_id, item, editor_id=editor, expected_revision=expected)


async def revisions(database: Database, item_id: UUID) -> list[Any]:
    """The history of an item."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(ItemRevision.number, ItemRevision.action, ItemRevision.user_id, ItemRevision.changes)
            .where(ItemRevision.item_id == item_id)
            .order_by(ItemRevision.number)
        )
        return list(rows)


async def trace(database: Database) -> list[Any]:
    """Everything that an edit could leave behind."""
    tables = [
        *("items", "skins", "coins", "cards", "figures", "figure_series", "figure_releases", "item_variants"),
        *("external_ids", "item_revisions", "item_redirects", "creation_keys", "manufacturers", "series"),
    ]
    async with database.transaction() as transaction:
        return [
            sorted(map(str, await transaction.connection.execute(text(f"SELECT * FROM catalogue.{table}"))))
            for table in tables
        ]


async def test_a_new_item_of_each_kind_is_stored_with_its_details(database: Database, editor: UUID) -> None:
    await saved(database, card("in-a-set"))
    async with database.transaction() as transaction:
        set_id = await transaction.connection.scalar(select(CardSet.id))
    items = [
        given(
            ItemKind.SKIN,
            {"market_hash_name": "AK-47 | Tide", "float_minimum": 0.1, "float_maximum": 0.9, "crates": ["One", "Two"]},
            name="AK-47 | Tide",
            external_ids=[{"provider": "steam-market", "id": "AK-47 | Tide"}],
        ),
        given(ItemKind.COIN, {"symbol": "LAN", "decimals": 8}, name="Lantern coin", slug="lantern"),
        given(ItemKind.CARD, {"game": "Tidewatch", "set_id": set_id, "number": "9"}, name="Lighthouse", is_nsfw=True),
        given(
            ItemKind.FIGURE,
            {
                "manufacturer": "Hollow  Pine",
                "origins": ["Lanterns"],
                "releases": [
                    {"released_on": date(2024, 5, 1), "list_price": Decimal("120.50"), "currency": "JPY"},
                    {"jan": "4901234567894"},
                ],
            },
            name="Keeper, 1/7",
        ),
    ]
    states = [await state(database, await created(database, item, editor)) for item in items]
    assert [one["slug"] for one in states] == ["ak-47-tide", "lantern", "lighthouse", "keeper-1-7"]
    assert states[0]["externalIds"] == ["steam-market:AK-47 | Tide"]
    assert (states[0]["floatMinimum"], states[0]["crates"]) == (0.1, ["One", "Two"])
    assert states[2]["set"] == {"game": "Tidewatch", "code": "TW1"}
    assert states[2]["isNsfw"] is True
    assert states[3]["manufacturer"] == "Hollow Pine"
    assert states[3]["releases"] == [
        {"releasedOn": "2024-05-01", "listPrice": "120.50", "currency": "JPY", "jan": None},
        {"releasedOn": None, "listPrice": None, "currency": None, "jan": "4901234567894"},
    ]
    assert [one["variants"] for one in states] == [[{"key": "default", "name": "Default", "position": 0}]] * 4


async def test_a_new_item_begins_its_history_and_is_found(database: Database, editor: UUID) -> None:
    item_id = await created(database, given(ItemKind.COIN, {"symbol": "LAN"}, name="Lantern"), editor)
    ((number, action, who, changes),) = await revisions(database, item_id)
    assert (number, action, who) == (1, "created", editor)
    assert changes["symbol"] == {"before": None, "after": "LAN"}
    async with database.transaction() as transaction:
        names = await transaction.connection.scalars(select(SearchDocument.folded_name))
        assert names.all() == ["lantern"]


async def test_only_what_is_given_changes_and_null_clears(database: Database, editor: UUID) -> None:
    item_id = (await saved(database, skin("tide", "AK-47 | Tide")))["tide"]
    before = await state(database, item_id)
    await edited(
        database,
        item_id,
        given(ItemKind.SKIN, {"wear": None, "float_minimum": 0.25}, name="Tide", image_url="https://p.example/a.png"),
        editor,
    )
    changed = {"name": "Tide", "imageUrl": "https://p.example/a.png", "floatMinimum": 0.25}
    after = {name: value for name, value in (before | changed).items() if name != "wear"}
    assert await state(database, item_id) == after
    ((number, action, who, changes),) = await revisions(database, item_id)
    assert (number, action, who) == (1, "edited", editor)
    assert changes == {
        "name": {"before": "AK-47 | Tide", "after": "Tide"},
        "imageUrl": {"before": None, "after": "https://p.example/a.png"},
        "wear": {"before": "Factory New", "after": None},
        "floatMinimum": {"before": None, "after": 0.25},
    }


async def test_what_a_figure_is_linked_to_is_replaced_as_a_whole(database: Database, editor: UUID) -> None:
    item_id = (await saved(database, figure("keeper")))["keeper"]
    details = {
        "manufacturer": None,
        "origins": ["Foghorns", "lanterns"],
        "characters": ["The keeper"],
        "releases": [{"released_on": date(2025, 1, 2)}],
    }
    await edited(database, item_id, given(ItemKind.FIGURE, details), editor)
    now = await state(database, item_id)
    assert "manufacturer" not in now
    assert (now["origins"], now["characters"], now["sculptors"]) == (["Foghorns", "Lanterns"], ["The keeper"], [])
    assert [release["releasedOn"] for release in now["releases"]] == ["2025-01-02"]
    await edited(database, item_id, given(ItemKind.FIGURE, {"origins": [], "releases": None}), editor)
    now = await state(database, item_id)
    assert (now["origins"], now["characters"], now["releases"]) == ([], ["The keeper"], [])


async def test_a_change_that_changes_nothing_leaves_no_revision(database: Database, editor: UUID) -> None:
    item_id = (await saved(database, coin("lantern", "Lantern")))["lantern"]
    before = await trace(database)
    await edited(database, item_id, given(ItemKind.COIN, {"symbol": "AAA"}, name="Lantern", slug="lantern"), editor)
    await edited(database, item_id, given(), editor)
    assert await trace(database) == before


BAD_VALUES: list[tuple[GivenItem, list[str]]] = [
    (given(name=" "), ["name"]),
    (given(name=None), ["name"]),
    (given(name="a" * 201), ["name"]),
    (given(name="a\x00b"), ["name"]),
    (given(name="a\ud800b"), ["name"]),
    (given(slug="Two Words"), ["slug"]),
    (given(slug=None), ["slug"]),
    (given(image_url="http://p.example/a.png"), ["imageUrl"]),
    (given(image_url="https://u:p@p.example/a.png"), ["imageUrl"]),
    (given(image_url="javascript:alert(1)"), ["imageUrl"]),
    (given(is_nsfw=None), ["isNsfw"]),
    (
        given(external_ids=[{"provider": "shop", "id": "1"}, {"provider": "SHOP", "id": "1"}]),
        ["externalIds", "1", "provider"],
    ),
    (given(external_ids=[{"provider": "shop", "id": ""}]), ["externalIds", "0", "id"]),
    (given(ItemKind.SKIN, {"float_minimum": 0.8, "float_maximum": 0.2}), ["details", "skin", "floatMinimum"]),
    (given(ItemKind.SKIN, {"float_maximum": 1.5}), ["details", "skin", "floatMaximum"]),
    (given(ItemKind.SKIN, {"float_minimum": float("nan")}), ["details", "skin", "floatMinimum"]),
    (given(ItemKind.SKIN, {"market_hash_name": None}), ["details", "skin", "marketHashName"]),
    (given(ItemKind.SKIN, {"crates": ["a"] * 251}), ["details", "skin", "crates"]),
    (given(ItemKind.SKIN, {"crates": ["a", ""]}), ["details", "skin", "crates", "1"]),
]


@pytest.mark.parametrize(
    ("item", "field"), BAD_VALUES, ids=lambda value: ".".join(value) if isinstance(value, list) else ""
)
async def test_a_value_that_no_skin_can_have_is_refused_with_its_path(
    database: Database, item: GivenItem, field: list[str]
) -> None:
    item_id = (await saved(database, skin("tide")))["tide"]
    before = await trace(database)
    assert await refusal_of(edited(database, item_id, item)) == (CatalogueErrorCode.INVALID_INPUT, field)
    assert await trace(database) == before


BAD_RELEASES = [
    ({"jan": "4901234567890"}, ["0", "jan"]),
    ({"jan": "490123456789"}, ["0", "jan"]),
    ({"jan": "４901234567894"}, ["0", "jan"]),
    ({"list_price": Decimal(5)}, ["0", "currency"]),
    ({"list_price": Decimal("1e-20000"), "currency": "JPY"}, ["0", "listPrice"]),
    ({"list_price": Decimal("NaN"), "currency": "JPY"}, ["0", "listPrice"]),
    ({"currency": "JPY"}, ["0", "listPrice"]),
    ({"list_price": Decimal(-5), "currency": "JPY"}, ["0", "listPrice"]),
    ({"list_price": Decimal(5), "currency": "ZZZ"}, ["0", "currency"]),
    ({}, ["0"]),
]


@pytest.mark.parametrize(("release", "path"), BAD_RELEASES, ids=lambda value: str(value)[:40])
async def test_a_release_that_cannot_be_is_refused_with_its_path(
    database: Database, release: dict[str, Any], path: list[str]
) -> None:
    item_id = (await saved(database, figure("keeper")))["keeper"]
    before = await trace(database)
    item = given(ItemKind.FIGURE, {"manufacturer": "Never stored", "releases": [release]})
    code, field = await refusal_of(edited(database, item_id, item))
    assert (code, field) == (CatalogueErrorCode.INVALID_INPUT, ["details", "figure", "releases", *path])
    assert await trace(database) == before


@pytest.mark.parametrize("jan", ["4901234567894", "4006381333931", "73513537"])
async def test_a_jan_with_the_right_last_digit_is_taken(database: Database, jan: str) -> None:
    item_id = (await saved(database, figure("keeper")))["keeper"]
    await edited(database, item_id, given(ItemKind.FIGURE, {"releases": [{"jan": jan}]}))
    assert (await state(database, item_id))["releases"][0]["jan"] == jan


async def test_releases_that_are_stored_can_be_sent_back_whatever_their_jan(database: Database) -> None:
    wrong = NewRelease(jan="4901234567890")
    item_id = (await saved(database, figure("keeper", releases=(wrong,)), figure("twin", releases=(wrong,))))["keeper"]
    releases = [{"jan": "4901234567890"}, {"jan": "4006381333931"}]
    await edited(database, item_id, given(ItemKind.FIGURE, {"releases": releases}))
    assert [release["jan"] for release in (await state(database, item_id))["releases"]] == [
        release["jan"] for release in releases
    ]


WHOLE_NAMES = ["a" * 300, "two  spaces", "soft\N{SOFT HYPHEN}hyphen"]


@pytest.mark.parametrize("name", WHOLE_NAMES, ids=["long", "spaces", "unprintable"])
async def test_what_importers_stored_can_be_sent_back_as_it_is(database: Database, name: str) -> None:
    crates = [name, *map(str, range(250))]
    tide = replace(
        skin("tide"),
        name=name,
        details=SkinDetails("Tide", weapon=name, crates=tuple(crates)),
        external_ids=(NewExternalId("Old Shop", name),),
    )
    keeper = replace(
        figure("keeper"), details=FigureDetails(manufacturer=name, scale=name, series=(name,), sculptors=(name, "A"))
    )
    ids = await saved(database, tide, keeper, coin("lantern", variants=(NewVariant("boxed", name),)))
    async with database.transaction() as transaction:
        boxed = await transaction.connection.scalar(select(ItemVariant.id).where(ItemVariant.key == "boxed"))
    assert boxed is not None
    before = await trace(database)
    names = [{"provider": "Old Shop", "id": name}]
    whole = given(ItemKind.SKIN, {"weapon": name, "crates": crates}, name=name, slug="tide", external_ids=names)
    await edited(database, ids["tide"], whole)
    details: dict[str, Any] = {"manufacturer": name, "scale": name, "origins": [name], "sculptors": ["A", name]}
    await edited(database, ids["keeper"], given(ItemKind.FIGURE, details))
    async with database.transaction() as transaction:
        await edit_item_variant(transaction, boxed, {"name": name, "position": 1}, editor_id=None)
    assert await trace(database) == before
    await edited(database, ids["tide"], given(external_ids=[*names, {"provider": "shop", "id": "1"}]))
    assert (await state(database, ids["tide"]))["externalIds"] == [f"Old Shop:{name}", "shop:1"]


async def test_names_may_hold_what_joins_letters_and_emoji(database: Database) -> None:
    for name in ("\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}", "\N{ARABIC LETTER FARSI YEH}\N{ZERO WIDTH NON-JOINER}a"):
        item_id = await created(database, given(ItemKind.COIN, {"symbol": "A"}, name=name))
        assert (await state(database, item_id))["name"] == name


async def test_a_jan_of_another_figure_is_refused_with_its_slug(database: Database) -> None:
    ids = await saved(database, figure("keeper", releases=(NewRelease(jan="4901234567894"),)), figure("other"))
    details = {"releases": [{"released_on": date(2026, 5, 1)}, {"jan": "4901234567894"}]}
    for change in (
        created(database, given(ItemKind.FIGURE, details, name="Twin")),
        edited(database, ids["other"], given(ItemKind.FIGURE, details)),
    ):
        with pytest.raises(CatalogueRefused, match="`keeper`") as refused:
            await change
        assert refused.value.reason is CatalogueErrorCode.JAN_TAKEN
        assert refused.value.field == ["details", "figure", "releases", "1", "jan"]
    assert (await state(database, ids["other"]))["releases"] == []


async def test_of_two_figures_that_get_one_jan_at_once_one_has_it(database: Database) -> None:
    ids = await saved(database, figure("keeper"), figure("other"))
    item = given(ItemKind.FIGURE, {"releases": [{"jan": "4901234567894"}]})
    async with database.transaction() as first:
        await edit_item(first, ids["keeper"], item, editor_id=None)
        second = asyncio.create_task(edited(database, ids["other"], item))
        await until_somebody_waits(database)
    code, _ = await refusal_of(second)
    assert (code, (await state(database, ids["other"]))["releases"]) == (CatalogueErrorCode.JAN_TAKEN, [])


async def test_what_another_item_has_is_refused(database: Database, editor: UUID) -> None:
    ids = await saved(database, skin("tide", "Tide"), skin("foam", "Foam"))
    await edited(database, ids["tide"], given(external_ids=[{"provider": "shop", "id": "1"}]))
    before = await trace(database)
    taken = [
        (given(slug="tide"), CatalogueErrorCode.SLUG_TAKEN, ["slug"]),
        (
            given(ItemKind.SKIN, {"market_hash_name": "Tide"}),
            CatalogueErrorCode.NAME_TAKEN,
            ["details", "skin", "marketHashName"],
        ),
        (
            given(external_ids=[{"provider": "shop", "id": "2"}, {"provider": "shop", "id": "1"}]),
            CatalogueErrorCode.EXTERNAL_ID_TAKEN,
            ["externalIds", "1"],
        ),
    ]
    for item, code, field in taken:
        assert await refusal_of(edited(database, ids["foam"], item, editor)) == (code, field)
        whole = GivenItem({"name": "New", **item.values}, item.details or GivenDetails(ItemKind.COIN, {"symbol": "N"}))
        assert await refusal_of(created(database, whole, editor, "key")) == (code, field)
    assert await trace(database) == before


async def test_a_new_item_says_what_its_kind_must_have(database: Database) -> None:
    invalid = CatalogueErrorCode.INVALID_INPUT
    assert await refusal_of(created(database, given(ItemKind.COIN, {"symbol": "A"}))) == (invalid, ["name"])
    assert await refusal_of(created(database, given(name="A"))) == (invalid, ["details"])
    for kind, field in ((ItemKind.COIN, "symbol"), (ItemKind.CARD, "game"), (ItemKind.SKIN, "marketHashName")):
        assert await refusal_of(created(database, given(kind, name="A"))) == (invalid, ["details", kind, field])


async def test_a_set_is_one_that_there_is_and_of_the_cards_game(database: Database) -> None:
    ids = await saved(database, card("lighthouse"))
    field = ["details", "card", "setId"]
    unknown = given(ItemKind.CARD, {"set_id": new_id()})
    assert await refusal_of(edited(database, ids["lighthouse"], unknown)) == (CatalogueErrorCode.NOT_FOUND, field)
    other_game = given(ItemKind.CARD, {"game": "Foglight"})
    assert await refusal_of(edited(database, ids["lighthouse"], other_game)) == (
        CatalogueErrorCode.INVALID_INPUT,
        field,
    )
    await edited(database, ids["lighthouse"], given(ItemKind.CARD, {"game": "Foglight", "set_id": None}))
    assert "set" not in await state(database, ids["lighthouse"])


async def test_an_item_that_is_not_there_or_of_another_kind_is_refused(database: Database) -> None:
    ids = await saved(database, coin("lantern"))
    assert await refusal_of(edited(database, new_id(), given(name="A"))) == (CatalogueErrorCode.NOT_FOUND, ["id"])
    other = given(ItemKind.CARD, {"artist": "A"}, name="Changed")
    assert await refusal_of(edited(database, ids["lantern"], other)) == (
        CatalogueErrorCode.WRONG_KIND,
        ["details", "card"],
    )
    assert (await state(database, ids["lantern"]))["name"] == "lantern"


async def test_an_old_slug_leads_to_its_item_and_to_no_other(database: Database) -> None:
    ids = await saved(database, coin("lantern"), coin("harbour", symbol="BBB"))
    await edited(database, ids["lantern"], given(slug="lamp"))
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(select(ItemRedirect.slug, ItemRedirect.item_id))
        assert rows.all() == [("lantern", ids["lantern"])]
    assert await refusal_of(edited(database, ids["harbour"], given(slug="lantern"))) == (
        CatalogueErrorCode.SLUG_TAKEN,
        ["slug"],
    )
    new = given(ItemKind.COIN, {"symbol": "CCC"}, name="Lantern")
    assert (await state(database, await created(database, new)))["slug"].startswith("lantern-")


async def test_an_item_takes_its_own_old_slug_again(database: Database) -> None:
    ids = await saved(database, coin("lantern"))
    for slug in ("lamp", "lantern"):
        await edited(database, ids["lantern"], given(slug=slug))
    async with database.transaction() as transaction:
        slugs = await transaction.connection.scalars(select(ItemRedirect.slug))
        assert slugs.all() == ["lamp"]


async def test_an_importer_finds_an_item_by_the_slug_that_it_had(database: Database) -> None:
    ids = await saved(database, coin("lantern"))
    await edited(database, ids["lantern"], given(slug="lamp"))
    assert await saved(database, coin("lantern", "Lantern")) == {"lamp": ids["lantern"]}
    assert (await state(database, ids["lantern"]))["name"] == "Lantern"


async def test_the_same_key_gives_the_same_item_for_a_day(database: Database, editor: UUID, owner: AsyncEngine) -> None:
    item = given(ItemKind.COIN, {"symbol": "LAN"}, name="Lantern")
    first = await created(database, item, editor, "monday")
    assert await created(database, item, editor, "monday") == first
    assert len(await revisions(database, first)) == 1
    other = given(ItemKind.COIN, {"symbol": "LAN"}, name="Lamp")
    assert await refusal_of(created(database, other, editor, "monday")) == (
        CatalogueErrorCode.IDEMPOTENCY_KEY_REUSED,
        ["idempotencyKey"],
    )
    async with owner.begin() as connection:
        await connection.execute(update(CreationKey).values(created_at=func.now() - timedelta(hours=24, seconds=1)))
    assert await created(database, other, editor, "monday") != first


async def test_the_key_of_one_person_is_not_that_of_another(
    database: Database, editor: UUID, owner: AsyncEngine
) -> None:
    async with owner.begin() as connection:
        other = await add_person(connection)
    item = given(ItemKind.COIN, {"symbol": "LAN"}, name="Lantern")
    assert await created(database, item, editor, "monday") != await created(database, item, other, "monday")


async def test_of_two_who_use_one_key_at_once_both_get_one_item(database: Database, editor: UUID) -> None:
    item = given(ItemKind.COIN, {"symbol": "LAN"}, name="Lantern")
    made = await asyncio.gather(*(created(database, item, editor, "monday") for _ in range(3)))
    assert len(set(made)) == 1


async def test_who_expects_an_older_revision_is_told_that_somebody_was_faster(database: Database, editor: UUID) -> None:
    ids = await saved(database, coin("lantern"))
    await edited(database, ids["lantern"], given(name="First"), editor, expected=0)
    assert await refusal_of(edited(database, ids["lantern"], given(name="Second"), editor, expected=0)) == (
        CatalogueErrorCode.CONFLICT,
        ["expectedRevision"],
    )
    await edited(database, ids["lantern"], given(name="Second"), editor, expected=1)
    assert [row.number for row in await revisions(database, ids["lantern"])] == [1, 2]


async def test_of_two_edits_at_once_with_one_expectation_one_wins(database: Database, editor: UUID) -> None:
    ids = await saved(database, coin("lantern"))
    names = ["One", "Two", "Three"]
    outcomes = await asyncio.gather(
        *(edited(database, ids["lantern"], given(name=name), editor, expected=0) for name in names),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if outcome] == [CatalogueRefused] * 2
    (row,) = await revisions(database, ids["lantern"])
    assert row.changes["name"]["after"] == (await state(database, ids["lantern"]))["name"]


async def test_of_edits_at_once_without_an_expectation_each_leaves_its_revision(
    database: Database, editor: UUID
) -> None:
    ids = await saved(database, coin("lantern"))
    await asyncio.gather(
        *(edited(database, ids["lantern"], given(name=f"Name {number}"), editor) for number in range(4))
    )
    history = await revisions(database, ids["lantern"])
    assert [row.number for row in history] == [1, 2, 3, 4]
    afters = [row.changes["name"]["after"] for row in history]
    assert [row.changes["name"]["before"] for row in history] == ["lantern", *afters[:-1]]


async def test_a_variant_is_added_named_and_placed(database: Database, editor: UUID) -> None:
    ids = await saved(database, coin("lantern"))
    async with database.transaction() as transaction:
        variant_id = await add_item_variant(
            transaction, ids["lantern"], key="foil", name="Foil", position=None, editor_id=editor
        )
        await edit_item_variant(transaction, variant_id, {"name": "Shiny", "position": 7}, editor_id=editor)
    assert (await state(database, ids["lantern"]))["variants"][1] == {"key": "foil", "name": "Shiny", "position": 7}
    assert [row.action for row in await revisions(database, ids["lantern"])] == ["edited", "edited"]


async def test_a_variant_comes_behind_one_that_stands_as_far_back_as_can_be(database: Database) -> None:
    item_id = (await saved(database, coin("lantern")))["lantern"]
    async with database.transaction() as transaction:
        for key, position in (("last", LARGEST_POSITION), ("boxed", None)):
            await add_item_variant(transaction, item_id, key=key, name=key, position=position, editor_id=None)
    keys = [variant["key"] for variant in (await state(database, item_id))["variants"]]
    assert keys == ["default", "last", "boxed"]


async def test_a_variant_that_cannot_be_is_refused(database: Database) -> None:
    ids = await saved(database, coin("lantern"))
    before = await trace(database)

    async def add(item_id: UUID, key: str, name: str, position: int | None = None) -> None:
        async with database.transaction() as transaction:
            await add_item_variant(transaction, item_id, key=key, name=name, position=position, editor_id=None)

    async def change(variant_id: UUID, **values: Any) -> None:
        async with database.transaction() as transaction:
            await edit_item_variant(transaction, variant_id, values, editor_id=None)

    async with database.transaction() as transaction:
        default: UUID = (await transaction.connection.execute(select(ItemVariant.id))).scalar_one()
    invalid = CatalogueErrorCode.INVALID_INPUT
    assert await refusal_of(add(ids["lantern"], "default", "A")) == (CatalogueErrorCode.KEY_TAKEN, ["key"])
    assert await refusal_of(add(ids["lantern"], "Two Words", "A")) == (invalid, ["key"])
    assert await refusal_of(add(ids["lantern"], "foil", "")) == (invalid, ["name"])
    assert await refusal_of(add(ids["lantern"], "foil", "A", -1)) == (invalid, ["position"])
    assert await refusal_of(add(new_id(), "foil", "A")) == (CatalogueErrorCode.NOT_FOUND, ["itemId"])
    assert await refusal_of(change(default, name=None)) == (invalid, ["name"])
    assert await refusal_of(change(default, position=2**31)) == (invalid, ["position"])
    assert await refusal_of(change(new_id(), name="A")) == (CatalogueErrorCode.NOT_FOUND, ["id"])
    assert await trace(database) == before


async def test_an_importer_writes_no_revision(database: Database) -> None:
    ids = await saved(database, coin("lantern"))
    async with database.transaction() as transaction:
        await save_items(transaction, [coin("lantern", "Changed")])
        count = await transaction.connection.scalar(select(func.count()).select_from(ItemRevision))
        name = await transaction.connection.scalar(select(Item.name).where(Item.id == ids["lantern"]))
    assert (count, name) == (0, "Changed")
