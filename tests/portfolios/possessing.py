"""Portfolios for tests: holdings with trades, and what these come to, first in, first out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import Item, ItemVariant
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.identity.viewer import Viewer
from app.portfolios.commands.recompute import recompute_holdings
from app.portfolios.models import Holding, HoldingDetails, Portfolio, Trade
from tests.identity.builders import add_person, session_of


@dataclass(frozen=True, slots=True)
class Deal:
    """One trade; `rate` is what a unit of its currency was in the base currency."""

    kind: str
    quantity: str
    price: str = "0"
    fee: str = "0"
    currency: str = "EUR"
    rate: str = "1"
    at: datetime | None = None
    may_lack: bool = False


@dataclass(frozen=True, slots=True)
class Owned:
    """Somebody's portfolio."""

    viewer: Viewer
    id: UUID

    @property
    def owner_id(self) -> UUID:
        """Whose it is."""
        assert self.viewer.user_id is not None
        return self.viewer.user_id

    @property
    def public_id(self) -> str:
        """Its id in the graph."""
        return public_id(PublicIdTag.PORTFOLIO, self.id)


async def portfolio_of_somebody(
    database: Database, *, base_currency: str = "EUR", viewer: Viewer | None = None
) -> Owned:
    """An empty portfolio, of a new person unless of one who is named."""
    if viewer is None:
        async with database.transaction() as transaction:
            await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
            user_id = await add_person(transaction.connection)
        viewer = await session_of(database, user_id)
    portfolio_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Portfolio).values(
                id=portfolio_id, owner_id=viewer.user_id, name="Things", base_currency=base_currency
            )
        )
    return Owned(viewer, portfolio_id)


async def hold(
    database: Database, owned: Owned, slug: str, *deals: Deal, position: int = 0, place: str | None = None, **more: Any
) -> UUID:
    """A holding of the item's default variant with these trades, in their order."""
    holding_id = new_id()
    keys = {"holding_id": holding_id, "portfolio_id": owned.id, "owner_id": owned.owner_id}
    trades = [_trade(keys, deal, number) for number, deal in enumerate(deals)]
    async with database.transaction() as transaction:
        connection = transaction.connection
        await connection.execute(
            insert(Holding).values(
                id=holding_id,
                portfolio_id=owned.id,
                owner_id=owned.owner_id,
                variant_id=await _default_variant(connection, slug),
                position=position,
                **more,
            )
        )
        if place is not None:
            await connection.execute(insert(HoldingDetails).values(place=place, **keys))
        if trades:
            await connection.execute(insert(Trade), trades)
            await recompute_holdings(connection, [holding_id])
    return holding_id


async def _default_variant(connection: AsyncConnection, slug: str) -> UUID:
    found = await connection.execute(
        select(ItemVariant.id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(Item.slug == slug, ItemVariant.is_default)
    )
    return found.scalar_one()


def _trade(keys: dict[str, UUID], deal: Deal, number: int) -> dict[str, Any]:
    return {
        **keys,
        "id": new_id(),
        "kind": deal.kind,
        "occurred_at": deal.at or utc_now() - timedelta(days=10) + timedelta(seconds=number),
        "quantity": Decimal(deal.quantity),
        "price": Decimal(deal.price),
        "fee": Decimal(deal.fee),
        "currency": deal.currency,
        "exchange_rate": Decimal(deal.rate),
        "may_lack_acquisitions": deal.may_lack,
    }
