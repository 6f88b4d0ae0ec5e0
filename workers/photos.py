"""Upkeep of photos: uploads that nobody added to anything go after a day, and objects after the photos they were of."""

import structlog

from app.catalogue.commands.doomed_photos import delete_next_doomed_photo
from app.catalogue.commands.photo_uploads import forget_old_uploads
from app.core.database import Database, clock_of
from app.core.storage import Storage

logger = structlog.get_logger(__name__)

# So many that the store refuses, and it is left alone until the next time.
FAILURES_BORNE = 5


async def tidy_photos(database: Database, storage: Storage) -> int:
    """Let go of old uploads, then delete what is doomed, each photo in a transaction of its own; how many went.

    Raises what the database driver raises when it is away.
    """
    async with database.transaction() as transaction:
        await forget_old_uploads(transaction)
    async with database.transaction() as transaction:
        begun = await clock_of(transaction)
    deleted = failed = 0
    while failed < FAILURES_BORNE:
        async with database.transaction() as transaction:
            deletion = await delete_next_doomed_photo(transaction, storage, attempted_before=begun)
        if deletion is None:
            break
        deleted += deletion.is_done
        failed += not deletion.is_done
    if deleted or failed:
        logger.info("photos_tidied", deleted=deleted, failed=failed)
    return deleted
