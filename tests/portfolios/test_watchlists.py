"""Watchlists by their commands: names, the default, order, versions, and people beside each other."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from app.core.database import Database
from app.core.ids import new_id
from app.portfolios.commands import watchlists
from app.portfolios.commands.watchlists import WatchlistEdit
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.wish_models import Watchlist, WatchlistItem
from tests.portfolios.wishes_builders import Scene, refusal_of, row_of, scene_of


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Two people and a catalogue."""
    return await scene_of(database)


async def made(database: Database, owner_id: UUID, name: str, **more: Any) -> UUID:
    """A new list."""
    async with database.transaction() as transaction:
        return await watchlists.create_watchlist(transaction, owner_id=owner_id, name=name, **more)


async def edited(database: Database, owner_id: UUID, list_id: UUID, version: int | None = None, **edit: Any) -> None:
    """Change a list."""
    async with database.transaction() as transaction:
        await watchlists.edit_watchlist(
            transaction, list_id, WatchlistEdit(**edit), owner_id=owner_id, expected_version=version
        )


async def deleted(database: Database, owner_id: UUID, list_id: UUID) -> None:
    """Delete a list."""
    async with database.transaction() as transaction:
        await watchlists.delete_watchlist(transaction, list_id, owner_id=owner_id)


async def added(database: Database, owner_id: UUID, **what: Any) -> UUID:
    """Put something into a list; gives the entry."""
    async with database.transaction() as transaction:
        _, entry_id = await watchlists.add_to_watchlist(transaction, owner_id=owner_id, **what)
        return entry_id


async def reordered(
    database: Database, owner_id: UUID, list_id: UUID, entries: Sequence[UUID], version: int | None = None
) -> None:
    """Put a list into another order."""
    async with database.transaction() as transaction:
        await watchlists.reorder_watchlist(transaction, list_id, entries, owner_id=owner_id, expected_version=version)


async def moved(database: Database, owner_id: UUID, entry_id: UUID, **where: Any) -> None:
    """Move an entry."""
    async with database.transaction() as transaction:
        await watchlists.move_watchlist_item(transaction, entry_id, owner_id=owner_id, **where)


async def lists_of(database: Database, owner_id: UUID) -> list[tuple[str, bool]]:
    """The lists of somebody in their order, each with whether it is the default."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(Watchlist.name, Watchlist.is_default)
            .where(Watchlist.owner_id == owner_id)
            .order_by(Watchlist.position)
        )
        return [(row.name, row.is_default) for row in found]


async def entries_of(database: Database, list_id: UUID) -> list[UUID]:
    """The entries of a list in their order."""
    async with database.transaction() as transaction:
        listed = select(WatchlistItem.id).where(WatchlistItem.watchlist_id == list_id)
        return list(await transaction.connection.scalars(listed.order_by(WatchlistItem.position, WatchlistItem.id)))


async def test_the_first_list_is_the_default_until_another_is_made_it(database: Database, scene: Scene) -> None:
    await made(database, scene.ada, "Cards")
    second = await made(database, scene.ada, "  Figures  of 2026 ")
    assert await lists_of(database, scene.ada) == [("Cards", True), ("Figures of 2026", False)]
    await edited(database, scene.ada, second, is_default=True, position=0)
    assert await lists_of(database, scene.ada) == [("Figures of 2026", True), ("Cards", False)]
    await made(database, scene.ada, "Coins", is_default=True)
    assert await lists_of(database, scene.ada) == [("Figures of 2026", False), ("Cards", False), ("Coins", True)]


async def test_when_the_default_list_goes_the_first_of_the_others_takes_its_place(
    database: Database, scene: Scene
) -> None:
    first = await made(database, scene.ada, "A")
    await made(database, scene.ada, "B")
    await made(database, scene.ada, "C")
    await added(database, scene.ada, item_id=scene.items["keeper"])
    await deleted(database, scene.ada, first)
    assert await lists_of(database, scene.ada) == [("B", True), ("C", False)]
    assert await entries_of(database, first) == []


async def test_a_default_list_cannot_be_told_not_to_be(database: Database, scene: Scene) -> None:
    only = await made(database, scene.ada, "A")
    refused = refusal_of(edited(database, scene.ada, only, is_default=False))
    assert await refused == (PortfolioErrorCode.INVALID_INPUT, ["isDefault"])


async def test_a_name_is_there_once_among_ones_own(database: Database, scene: Scene) -> None:
    await made(database, scene.ada, "Cards")
    await made(database, scene.bob, "Cards")
    other = await made(database, scene.ada, "Other")
    taken = (PortfolioErrorCode.NAME_TAKEN, ["name"])
    assert await refusal_of(made(database, scene.ada, " Cards")) == taken
    await made(database, scene.ada, "Caf\u00e9")
    assert await refusal_of(made(database, scene.ada, "Cafe\u0301")) == taken
    assert await refusal_of(edited(database, scene.ada, other, name="Cards")) == taken
    await edited(database, scene.ada, other, name="Other")


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b", "a\x1bb", "\ud800", "a\u202eb", "\u200b", "\u3164"])
async def test_a_name_that_is_none_is_refused(database: Database, scene: Scene, name: str) -> None:
    assert await refusal_of(made(database, scene.ada, name)) == (PortfolioErrorCode.INVALID_INPUT, ["name"])


async def test_there_are_no_more_lists_than_there_may_be(database: Database, scene: Scene) -> None:
    async with database.transaction() as transaction:
        for number in range(watchlists.MOST_LISTS - 1):
            await transaction.connection.execute(
                insert(Watchlist).values(id=new_id(), owner_id=scene.ada, name=f"List {number}", position=number)
            )
    outcomes = await asyncio.gather(
        *(made(database, scene.ada, name) for name in ("X", "Y", "Z")), return_exceptions=True
    )
    refused = [outcome.reason for outcome in outcomes if isinstance(outcome, PortfolioRefused)]
    assert refused == [PortfolioErrorCode.TOO_MANY] * 2


async def test_an_item_goes_into_a_list_once_and_into_the_default_one_unless_named(
    database: Database, scene: Scene
) -> None:
    first = await made(database, scene.ada, "A")
    second = await made(database, scene.ada, "B")
    foil = scene.variant("lantern-old", "foil")
    entry = await added(database, scene.ada, variant_id=foil, notes=" Signed?\n\n ")
    stored = await row_of(database, WatchlistItem, entry)
    assert (stored["watchlist_id"], stored["item_id"], stored["variant_id"]) == (
        first,
        scene.items["lantern-old"],
        foil,
    )
    assert stored["notes"] == "Signed?"
    again = added(database, scene.ada, item_id=scene.items["lantern-old"])
    assert await refusal_of(again) == (PortfolioErrorCode.ALREADY_LISTED, ["itemId"])
    await added(database, scene.ada, item_id=scene.items["lantern-old"], watchlist_id=second)


async def test_what_is_not_there_or_not_ones_own_is_not_found(database: Database, scene: Scene) -> None:
    keeper = scene.items["keeper"]
    nothing = refusal_of(added(database, scene.ada, item_id=keeper))
    assert await nothing == (PortfolioErrorCode.NOT_FOUND, ["watchlistId"])
    own = await made(database, scene.ada, "A")
    entry = await added(database, scene.ada, item_id=keeper)
    missing = PortfolioErrorCode.NOT_FOUND
    assert await refusal_of(added(database, scene.bob, item_id=keeper, watchlist_id=own)) == (missing, ["watchlistId"])
    assert await refusal_of(added(database, scene.ada, item_id=new_id())) == (missing, ["itemId"])
    assert await refusal_of(added(database, scene.ada, variant_id=new_id())) == (missing, ["variantId"])
    assert await refusal_of(added(database, scene.ada)) == (missing, ["itemId"])
    mixed = added(database, scene.ada, item_id=scene.items["heron"], variant_id=scene.variant("warden"))
    assert await refusal_of(mixed) == (missing, ["variantId"])
    assert await refusal_of(edited(database, scene.bob, own, name="Mine")) == (missing, ["id"])
    assert await refusal_of(deleted(database, scene.bob, own)) == (missing, ["id"])
    assert await refusal_of(reordered(database, scene.bob, own, [entry])) == (missing, ["id"])
    assert await refusal_of(moved(database, scene.bob, entry, after_id=entry)) == (missing, ["id"])
    async with database.transaction() as transaction:
        removing = watchlists.remove_from_watchlist(transaction, entry, owner_id=scene.bob)
        assert await refusal_of(removing) == (missing, ["id"])
        editing = watchlists.edit_watchlist_item(transaction, entry, {"notes": "Mine"}, owner_id=scene.bob)
        assert await refusal_of(editing) == (missing, ["id"])
    assert await entries_of(database, own) == [entry]


async def test_an_entry_gets_other_notes_and_another_variant_of_its_item_alone(
    database: Database, scene: Scene
) -> None:
    list_id = await made(database, scene.ada, "A")
    entry = await added(database, scene.ada, item_id=scene.items["lantern-old"], notes="Old")
    foil = scene.variant("lantern-old", "foil")
    async with database.transaction() as transaction:
        edit = {"variant_id": foil, "notes": None}
        assert await watchlists.edit_watchlist_item(transaction, entry, edit, owner_id=scene.ada) == list_id
    stored = await row_of(database, WatchlistItem, entry)
    assert (stored["variant_id"], stored["notes"]) == (foil, None)
    async with database.transaction() as transaction:
        other = {"variant_id": scene.variant("harbour")}
        refused = watchlists.edit_watchlist_item(transaction, entry, other, owner_id=scene.ada)
        assert await refusal_of(refused) == (PortfolioErrorCode.NOT_FOUND, ["variantId"])
        long = watchlists.edit_watchlist_item(transaction, entry, {"notes": "x" * 2_001}, owner_id=scene.ada)
        assert await refusal_of(long) == (PortfolioErrorCode.INVALID_INPUT, ["notes"])


async def test_a_list_is_put_into_any_order_that_names_each_entry_once(database: Database, scene: Scene) -> None:
    list_id = await made(database, scene.ada, "A")
    a, b, c = [await added(database, scene.ada, item_id=scene.items[slug]) for slug in ("keeper", "warden", "heron")]
    await reordered(database, scene.ada, list_id, [c, a, b])
    assert await entries_of(database, list_id) == [c, a, b]
    wrong = (PortfolioErrorCode.INVALID_INPUT, ["itemIds"])
    for order in ([c, a], [c, a, b, b], [c, a, b, new_id()], [], [new_id() for _ in range(251)]):
        assert await refusal_of(reordered(database, scene.ada, list_id, order)) == wrong
    assert await entries_of(database, list_id) == [c, a, b]


async def test_an_entry_is_moved_before_or_after_another(database: Database, scene: Scene) -> None:
    list_id = await made(database, scene.ada, "A")
    a, b, c = [await added(database, scene.ada, item_id=scene.items[slug]) for slug in ("keeper", "warden", "heron")]
    await moved(database, scene.ada, c, before_id=a)
    assert await entries_of(database, list_id) == [c, a, b]
    await moved(database, scene.ada, c, after_id=a)
    assert await entries_of(database, list_id) == [a, c, b]
    assert await refusal_of(moved(database, scene.ada, a)) == (PortfolioErrorCode.INVALID_INPUT, ["beforeId"])
    both = moved(database, scene.ada, a, before_id=b, after_id=c)
    assert await refusal_of(both) == (PortfolioErrorCode.INVALID_INPUT, ["beforeId"])
    assert await refusal_of(moved(database, scene.ada, a, after_id=a)) == (PortfolioErrorCode.NOT_FOUND, ["afterId"])


async def test_of_two_who_change_the_version_that_they_saw_one_is_told_of_the_other(
    database: Database, scene: Scene
) -> None:
    list_id = await made(database, scene.ada, "A")
    entry = await added(database, scene.ada, item_id=scene.items["keeper"])
    version = (await row_of(database, Watchlist, list_id))["version"]
    assert version == 2
    outcomes = await asyncio.gather(
        edited(database, scene.ada, list_id, version, name="B"),
        reordered(database, scene.ada, list_id, [entry], version),
        edited(database, scene.ada, list_id, version, name="C"),
        return_exceptions=True,
    )
    refused = [outcome.reason for outcome in outcomes if isinstance(outcome, PortfolioRefused)]
    assert refused == [PortfolioErrorCode.CONFLICT] * 2
    assert (await row_of(database, Watchlist, list_id))["version"] == version + 1


async def test_an_item_that_is_added_by_two_at_once_is_there_once(database: Database, scene: Scene) -> None:
    list_id = await made(database, scene.ada, "A")
    adding = [added(database, scene.ada, item_id=scene.items["keeper"]) for _ in range(3)]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    refused = [outcome.reason for outcome in outcomes if isinstance(outcome, PortfolioRefused)]
    assert refused == [PortfolioErrorCode.ALREADY_LISTED] * 2
    assert len(await entries_of(database, list_id)) == 1


async def test_a_list_holds_no_more_than_it_may(
    database: Database, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(database, scene.ada, "A")
    monkeypatch.setattr(watchlists, "MOST_ITEMS", 2)
    for slug in ("keeper", "warden"):
        await added(database, scene.ada, item_id=scene.items[slug])
    refused = added(database, scene.ada, item_id=scene.items["heron"])
    assert await refusal_of(refused) == (PortfolioErrorCode.TOO_MANY, [])
