"""Items for tests, saved by the command that importers use; what became of them, and why a change was refused."""

from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.catalogue.commands.save_items import save_items
from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.catalogue.models import Item
from app.catalogue.new_items import (
    CardDetails,
    CoinDetails,
    Details,
    FigureDetails,
    NewCardSet,
    NewItem,
    NewRelease,
    NewVariant,
    SkinDetails,
)
from app.catalogue.queries.states import state_of
from app.core.database import Database


def coin(slug: str, name: str | None = None, *, symbol: str = "AAA", variants: tuple[NewVariant, ...] = ()) -> NewItem:
    """A coin."""
    return NewItem(slug=slug, name=name or slug, details=CoinDetails(symbol=symbol, decimals=8), variants=variants)


def skin(slug: str, name: str | None = None) -> NewItem:
    """A painted rifle."""
    details = SkinDetails(
        market_hash_name=name or slug, category="Rifle", weapon="AK-47", skin="Tide", wear="Factory New"
    )
    return NewItem(slug=slug, name=name or slug, details=details)


def card(slug: str, name: str | None = None) -> NewItem:
    """A card of an invented game."""
    return NewItem(
        slug=slug,
        name=name or slug,
        details=CardDetails(game="Tidewatch", card_set=NewCardSet("Tidewatch", "TW1"), number="7"),
    )


def figure(slug: str, name: str | None = None, *, releases: tuple[NewRelease, ...] | None = None) -> NewItem:
    """A figure."""
    details: Details = FigureDetails(manufacturer="Hollow Pine", scale="1/7", series=("Lanterns",), releases=releases)
    return NewItem(slug=slug, name=name or slug, details=details)


async def saved(database: Database, *items: NewItem) -> dict[str, UUID]:
    """Save the items; their ids by slug."""
    async with database.transaction() as transaction:
        await save_items(transaction, items)
        rows = await transaction.connection.execute(select(Item.slug, Item.id))
        return {row.slug: row.id for row in rows}


async def state(database: Database, item_id: UUID) -> dict[str, Any]:
    """What an item is."""
    async with database.transaction() as transaction:
        return dict(await state_of(transaction.connection, item_id))


async def refusal_of(change: Awaitable[object]) -> tuple[CatalogueErrorCode, list[str]]:
    """Why a change was refused, and where."""
    with pytest.raises(CatalogueRefused) as refused:
        await change
    return refused.value.reason, refused.value.field
