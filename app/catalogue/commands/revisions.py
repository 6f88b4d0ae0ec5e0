"""The history of an item: each change by staff is one revision, numbered from 1."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import ItemRevision, RevisionAction
from app.core.ids import new_id


async def last_revision(connection: AsyncConnection, item_id: UUID) -> int:
    """The number of an item's newest revision, 0 where it has none."""
    newest = select(func.coalesce(func.max(ItemRevision.number), 0)).where(ItemRevision.item_id == item_id)
    return int((await connection.execute(newest)).scalar_one())


async def write_revision(
    connection: AsyncConnection,
    item_id: UUID,
    action: RevisionAction,
    changes: Mapping[str, Any],
    *,
    editor_id: UUID | None,
) -> None:
    """Write down what was changed of an item; the caller is the only writer."""
    await connection.execute(
        insert(ItemRevision).values(
            id=new_id(),
            item_id=item_id,
            number=await last_revision(connection, item_id) + 1,
            user_id=editor_id,
            action=action.value,
            changes=changes,
        )
    )


async def join_histories(connection: AsyncConnection, *, winner_id: UUID, loser_id: UUID) -> None:
    """Make the revisions of two items one history of the winner's, in the order of time."""
    await connection.execute(_JOIN, {"winner": winner_id, "loser": loser_id})


_JOIN = text("""
    UPDATE catalogue.item_revisions AS revision
    SET item_id = :winner, number = placed.number
    FROM (
        SELECT id, row_number() OVER (ORDER BY created_at, item_id, number) AS number
        FROM catalogue.item_revisions
        WHERE item_id IN (:winner, :loser)
    ) AS placed
    WHERE revision.id = placed.id
""")
