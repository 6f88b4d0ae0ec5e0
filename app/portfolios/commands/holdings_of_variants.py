"""Which portfolio a holding is in, which holdings a variant has, and new ones where it has none."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import ItemVariant
from app.core.database import among, insert_at_once
from app.core.ids import new_id
from app.portfolios.commands.holds import HeldPortfolio
from app.portfolios.models import Holding
from app.portfolios.texts import no_such


async def portfolio_of(connection: AsyncConnection, holding_id: UUID, *, owner_id: UUID, field: Sequence[str]) -> UUID:
    """The portfolio that a holding of one's own is in."""
    found: UUID | None = await connection.scalar(
        select(Holding.portfolio_id).where(Holding.id == holding_id, Holding.owner_id == owner_id)
    )
    if found is None:
        raise no_such("holding", *field)
    return found


async def holdings_of_variants(
    connection: AsyncConnection, portfolio_id: UUID, variant_ids: Collection[UUID]
) -> dict[UUID, list[UUID]]:
    """The holdings of each variant that are not archived."""
    rows = await connection.execute(
        select(Holding.variant_id, Holding.id)
        .where(Holding.portfolio_id == portfolio_id, Holding.archived_at.is_(None))
        .where(among(Holding.variant_id, variant_ids))
        .order_by(Holding.position, Holding.id)
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row.variant_id, []).append(row.id)
    return found


async def add_empty_holdings(
    connection: AsyncConnection, portfolio: HeldPortfolio, variant_ids: Sequence[UUID]
) -> dict[UUID, UUID]:
    """Make a holding of each variant, behind the others; the portfolio is held alone. Every variant must be there."""
    last = await connection.scalar(select(func.max(Holding.position)).where(Holding.portfolio_id == portfolio.id))
    first = 0 if last is None else last + 1
    made = {variant_id: new_id() for variant_id in variant_ids}
    await insert_at_once(
        connection,
        Holding,
        [
            {
                "id": holding_id,
                "owner_id": portfolio.owner_id,
                "portfolio_id": portfolio.id,
                "variant_id": variant_id,
                "position": first + place,
            }
            for place, (variant_id, holding_id) in enumerate(made.items())
        ],
    )
    return made


async def known_variants(connection: AsyncConnection, variant_ids: Collection[UUID]) -> frozenset[UUID]:
    """Those of the variants that the catalogue has."""
    rows = await connection.execute(select(ItemVariant.id).where(among(ItemVariant.id, variant_ids)))
    return frozenset(rows.scalars())
