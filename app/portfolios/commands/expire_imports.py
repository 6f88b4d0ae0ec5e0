"""Previews that nobody applied go: after a day, and the oldest where newer ones need room."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, among
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import ImportRow, ImportStatus, PortfolioImport

AT_ONCE = 20
# Of one person, of all their portfolios; each keeps its rows. And so many inventories may wait to be read.
MOST_PREVIEWS = 20


async def expire_imports(transaction: Transaction) -> int:
    """Let go of the rows of previews whose day is over; gives how many previews there were."""
    connection = transaction.connection
    over = await connection.scalars(
        select(PortfolioImport.id)
        .where(PortfolioImport.status == ImportStatus.PREVIEWED, PortfolioImport.expires_at <= func.now())
        .order_by(PortfolioImport.expires_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = list(over)
    await _let_go(connection, ids)
    return len(ids)


async def make_room(connection: AsyncConnection, owner_id: UUID) -> None:
    """Let go of previews that are too many with another one of a person: those with bad rows first, then the oldest.

    Raises `PortfolioRefused` where so many inventories of theirs wait to be read.
    """
    waiting = await connection.scalar(
        select(func.count()).where(PortfolioImport.owner_id == owner_id, PortfolioImport.status == ImportStatus.WAITING)
    )
    if (waiting or 0) >= MOST_PREVIEWS:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY,
            f"{MOST_PREVIEWS} inventories of yours wait to be read, and no more may; try again in some minutes.",
        )
    is_previewed = (PortfolioImport.owner_id == owner_id) & (PortfolioImport.status == ImportStatus.PREVIEWED)
    too_many = await connection.scalars(
        select(PortfolioImport.id)
        .where(is_previewed)
        .order_by(PortfolioImport.bad > 0, PortfolioImport.created_at.desc(), PortfolioImport.id.desc())
        .offset(MOST_PREVIEWS - 1)
    )
    # One that is being applied at this moment is left to that.
    free = await connection.scalars(
        select(PortfolioImport.id)
        .where(is_previewed, among(PortfolioImport.id, list(too_many)))
        .with_for_update(skip_locked=True)
    )
    await _let_go(connection, list(free))


async def _let_go(connection: AsyncConnection, ids: Collection[UUID]) -> None:
    if ids:
        await connection.execute(delete(ImportRow).where(among(ImportRow.import_id, ids)))
        await connection.execute(
            update(PortfolioImport)
            .where(among(PortfolioImport.id, ids))
            .values(status=ImportStatus.EXPIRED.value, expires_at=None)
        )
