"""Wishes for an item that is merged into another name that one, and nothing is wished for twice."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select

from app.catalogue.commands.merge_items import merge_items
from app.core.database import Database
from app.portfolios.commands.holdings import add_holding
from app.portfolios.commands.merge_wishes import merge_wishes
from app.portfolios.commands.preorders import add_preorder
from app.portfolios.commands.wants import add_want
from app.portfolios.commands.watchlists import add_to_watchlist, create_watchlist
from app.portfolios.errors import PortfolioErrorCode
from app.portfolios.wish_models import Preorder, Want, WatchlistItem
from app.prices.commands.merge_variants import merge_variants
from tests.lock_waits import until_somebody_waits
from tests.portfolios.wishes_builders import Scene, refusal_of, scene_of


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Two people and a catalogue."""
    return await scene_of(database)


async def wished(database: Database, owner_id: UUID, variant_id: UUID, notes: str | None = None) -> None:
    """Have somebody watch, want and preorder something."""
    async with database.transaction() as transaction:
        await add_to_watchlist(transaction, owner_id=owner_id, variant_id=variant_id, notes=notes)
        await add_want(transaction, {}, owner_id=owner_id, variant_id=variant_id)
        await add_preorder(transaction, {}, owner_id=owner_id, variant_id=variant_id)


async def test_what_somebody_wished_of_both_is_one_wish_of_the_winner(database: Database, scene: Scene) -> None:
    async with database.transaction() as transaction:
        for owner_id in (scene.ada, scene.bob):
            await create_watchlist(transaction, owner_id=owner_id, name="Shelf")
    await wished(database, scene.ada, scene.variant("lantern-new"))
    await wished(database, scene.ada, scene.variant("lantern-old"), notes="Signed")
    await wished(database, scene.bob, scene.variant("lantern-old", "foil"))
    winner, loser = scene.items["lantern-new"], scene.items["lantern-old"]
    async with database.transaction() as transaction:
        await merge_items(
            transaction,
            winner_id=winner,
            loser_id=loser,
            editor_id=None,
            followers=[merge_variants, merge_wishes],
        )
    default, foil = scene.variant("lantern-new"), scene.variant("lantern-old", "foil")
    async with database.transaction() as transaction:
        connection = transaction.connection
        entries = await connection.execute(
            select(WatchlistItem.owner_id, WatchlistItem.item_id, WatchlistItem.variant_id, WatchlistItem.notes)
        )
        assert set(map(tuple, entries)) == {
            (scene.ada, winner, default, "Signed"),
            (scene.bob, winner, foil, None),
        }
        wanted = await connection.execute(select(Want.owner_id, Want.variant_id).where(Want.deleted_at.is_(None)))
        assert sorted(map(tuple, wanted)) == sorted([(scene.ada, default), (scene.bob, foil)])
        ordered = (await connection.scalars(select(Preorder.variant_id))).all()
        assert sorted(ordered) == sorted([default, default, foil])


async def test_a_holding_of_what_is_being_merged_away_is_refused_and_the_merge_goes_on(
    database: Database, scene: Scene
) -> None:
    async def adding() -> None:
        async with database.transaction() as transaction:
            await add_holding(
                transaction,
                owner_id=scene.ada,
                portfolio_id=scene.portfolio_id,
                variant_id=scene.variant("lantern-old"),
            )

    async with database.transaction() as transaction:
        await merge_items(
            transaction,
            winner_id=scene.items["lantern-new"],
            loser_id=scene.items["lantern-old"],
            editor_id=None,
            followers=[merge_variants, merge_wishes],
        )
        added = asyncio.create_task(refusal_of(adding()))
        await until_somebody_waits(database)
    assert await added == (PortfolioErrorCode.NOT_FOUND, ["variantId"])
