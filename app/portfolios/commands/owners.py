"""One writer at a time among the wishes of a person, so that counts, places and defaults hold."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection


async def only_writer_of(connection: AsyncConnection, owner_id: UUID, what: str) -> None:
    """Wait for who adds to the same of a person's things, and have others wait for the end of this transaction."""
    name = f"portfolios.{what} {owner_id}"
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
