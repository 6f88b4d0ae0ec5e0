"""One writer at a time among what a person chose for notifications, so that counts and versions hold."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.notifications.given import too_many


async def only_writer_of(connection: AsyncConnection, owner_id: UUID) -> None:
    """Wait for who changes the same person's, and have others wait for the end of this transaction."""
    key = func.hashtextextended(f"notifications of {owner_id}", 0)
    await connection.execute(select(func.pg_advisory_xact_lock(key)))


async def refuse_more_than(connection: AsyncConnection, table: Any, most: int, what: str, *, owner_id: UUID) -> None:
    """Refuse one more of what a person has `most` of already."""
    counted = select(func.count(table.id)).where(table.owner_id == owner_id)
    if ((await connection.scalar(counted)) or 0) >= most:
        raise too_many(f"You have {most} {what}, as many as there may be; remove one that you do not need.")


def changed(table: Any) -> dict[str, Any]:
    """What each change of a row sets, beside what is changed."""
    return {"version": table.version + 1, "updated_at": func.now()}
