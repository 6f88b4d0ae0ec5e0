"""Imports for tests: files in the strict shape, and what became of them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.core.database import Database
from app.portfolios.commands.apply_import import apply_import
from app.portfolios.commands.preview_import import FileToImport, preview_file
from app.portfolios.imports.mappings import FileSource
from app.portfolios.models import ImportRow, PortfolioImport
from tests.portfolios.builders import Possessions, change

COLUMNS = "kind,occurred_at,item,quantity,price,fee,currency,id,holding,variant"


def line(kind: str, quantity: str, price: str = "", *, day: int = 1, item: str = "aurum", **more: str) -> str:
    """A row in the strict shape, at noon of a day of January."""
    values = {
        "kind": kind,
        "occurred_at": f"2024-01-{day:02}T12:00:00Z",
        "item": item,
        "quantity": quantity,
        "price": price,
        "currency": "USD",
        **more,
    }
    return ",".join(values.get(name, "") for name in COLUMNS.split(","))


def file_of(*lines: str, columns: str = COLUMNS, source: FileSource = FileSource.TROVE, **more: Any) -> FileToImport:
    """A file of these rows."""
    return FileToImport(content="\n".join([columns, *lines]).encode(), source=source, **more)


async def previewed(database: Database, own: Possessions, file: FileToImport) -> UUID:
    """The id of a preview."""
    found: UUID = await change(database, preview_file, own.portfolio_id, file, owner_id=own.owner_id)
    return found


async def applied(database: Database, own: Possessions, file: FileToImport) -> UUID:
    """The id of an import that was previewed and applied."""
    import_id = await previewed(database, own, file)
    await change(database, apply_import, import_id, owner_id=own.owner_id)
    return import_id


async def import_of(database: Database, import_id: UUID) -> Any:
    """An import as it is stored."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(*PortfolioImport.__table__.columns).where(PortfolioImport.id == import_id)
        )
        return found.one()


async def rows_of(database: Database, import_id: UUID) -> Sequence[Any]:
    """The rows of an import, in their order."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(*ImportRow.__table__.columns).where(ImportRow.import_id == import_id).order_by(ImportRow.number)
        )
        return found.all()
