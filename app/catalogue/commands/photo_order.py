"""The order of photos, of an item or of a holding: positions from 0 without gaps."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import StoredPhoto


def placed(order: Sequence[UUID], photo_id: UUID, position: int) -> list[UUID]:
    """The order with a photo at a position, wherever it was before."""
    others = [one for one in order if one != photo_id]
    return [*others[:position], photo_id, *others[position:]]


async def put_in_order(
    connection: AsyncConnection, kind: type[StoredPhoto], positions: Mapping[UUID, int], order: Sequence[UUID]
) -> None:
    """Give photos of a kind their places in an order, which is of 50 at most; those that stay are not written.

    `positions` are the places that they have. Nobody else changes them meanwhile.
    """
    for position, photo_id in enumerate(order):
        if positions[photo_id] != position:
            await connection.execute(
                update(kind).where(kind.id == photo_id).values(position=position, updated_at=func.now())
            )
