"""People with wishes for tests: items to wish for, and why a wish was refused."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import ItemVariant
from app.catalogue.new_items import CardDetails, FigureDetails, NewItem, NewVariant
from app.core.database import Database
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.prices.models import StoredExchangeRate
from tests.catalogue.builders import saved
from tests.identity.builders import add_person
from tests.portfolios.builders import portfolio_of


@dataclass(frozen=True, slots=True)
class Scene:
    """Ada with a portfolio in euros, Bob, and the catalogue: items by slug, variants by slug and key."""

    ada: UUID
    bob: UUID
    portfolio_id: UUID
    items: Mapping[str, UUID]
    variants: Mapping[tuple[str, str], UUID]

    def variant(self, slug: str, key: str = "default") -> UUID:
        """A variant of an item."""
        return self.variants[slug, key]


def lantern_card(slug: str, *, oracle_id: str | None = "lantern", variants: Sequence[NewVariant] = ()) -> NewItem:
    """A print of the card “Lantern”, unless it is said to be of another one."""
    details = CardDetails(game="Tidewatch", number=slug, oracle_id=oracle_id)
    return NewItem(slug=slug, name=slug, details=details, variants=tuple(variants))


def figure_of(slug: str, maker: str) -> NewItem:
    """A figure by a maker."""
    return NewItem(slug=slug, name=slug, details=FigureDetails(manufacturer=maker))


ITEMS = (
    lantern_card("lantern-old", variants=[NewVariant("foil", "Foil")]),
    lantern_card("lantern-new"),
    lantern_card("harbour", oracle_id="harbour"),
    figure_of("keeper", "Hollow Pine"),
    figure_of("warden", "Hollow Pine"),
    figure_of("heron", "Grey Quay"),
)


async def scene_of(database: Database) -> Scene:
    """Two people, the portfolio of one, and a few items."""
    items = await saved(database, *ITEMS)
    slugs = {item_id: slug for slug, item_id in items.items()}
    async with database.transaction() as transaction:
        connection = transaction.connection
        ada, bob = await add_person(connection, username="ada"), await add_person(connection, username="bob")
        portfolio_id = await portfolio_of(connection, ada, base_currency="EUR")
        rows = await connection.execute(select(ItemVariant.item_id, ItemVariant.key, ItemVariant.id))
        variants = {(slugs[row.item_id], row.key): row.id for row in rows}
    return Scene(ada, bob, portfolio_id, items, variants)


async def rate(connection: AsyncConnection, currency: str, units_per_eur: str, on: date) -> None:
    """A reference rate of a day."""
    await connection.execute(
        insert(StoredExchangeRate).values(
            currency=currency, rate_date=on, units_per_eur=Decimal(units_per_eur), source="ECB"
        )
    )


async def refusal_of(change: Awaitable[object]) -> tuple[PortfolioErrorCode, list[str]]:
    """Why a change was refused, and where."""
    with pytest.raises(PortfolioRefused) as refused:
        await change
    return refused.value.reason, refused.value.field


async def row_of(database: Database, table: Any, key: UUID) -> Mapping[str, Any]:
    """A row by its key."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(select(*table.__table__.columns).where(table.id == key))
        return {str(name): value for name, value in found.mappings().one().items()}
