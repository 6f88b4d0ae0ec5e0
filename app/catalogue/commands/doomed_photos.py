"""The objects of photos that are gone: deleted from the store after the commit that made them so."""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import delete, func, select, update

from app.catalogue.models import DoomedPhoto
from app.catalogue.pictures import object_keys
from app.core.database import Transaction
from app.core.storage import Storage, StorageUnavailable

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deletion:
    """What came of one doomed photo."""

    is_done: bool


async def delete_next_doomed_photo(
    transaction: Transaction, storage: Storage, *, attempted_before: datetime
) -> Deletion | None:
    """Delete the objects of the photo that was not tried for the longest time; None where there is none to try.

    What the store does not delete waits behind all others. An object that was deleted before a commit that failed is
    simply not there the next time.
    """
    doomed = (
        await transaction.connection.execute(
            select(DoomedPhoto.storage_key, DoomedPhoto.content_type)
            .where(DoomedPhoto.attempted_at < attempted_before)
            .order_by(DoomedPhoto.attempted_at, DoomedPhoto.storage_key)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
    ).one_or_none()
    if doomed is None:
        return None
    is_this = DoomedPhoto.storage_key == doomed.storage_key
    try:
        await storage.delete(object_keys(doomed.storage_key, doomed.content_type))
    except StorageUnavailable:
        await transaction.connection.execute(
            update(DoomedPhoto).where(is_this).values(attempted_at=func.clock_timestamp())
        )
        return Deletion(is_done=False)
    await transaction.connection.execute(delete(DoomedPhoto).where(is_this))
    return Deletion(is_done=True)
