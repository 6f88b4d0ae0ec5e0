"""Previews that nobody applied go after a day."""

from sqlalchemy import delete, func, select, update

from app.core.database import Transaction, among
from app.portfolios.models import ImportRow, ImportStatus, PortfolioImport

AT_ONCE = 20


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
    if ids:
        await connection.execute(delete(ImportRow).where(among(ImportRow.import_id, ids)))
        await connection.execute(
            update(PortfolioImport)
            .where(among(PortfolioImport.id, ids))
            .values(status=ImportStatus.EXPIRED.value, expires_at=None)
        )
    return len(ids)
