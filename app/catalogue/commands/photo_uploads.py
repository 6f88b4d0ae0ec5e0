"""Photos that come in: kept for a day, within which whoever sent one may add it to an item or a holding."""

import asyncio
import base64
import binascii
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.errors import TooManyUploads
from app.catalogue.models import PhotoUpload
from app.catalogue.pictures import PreparedPhoto, object_key, object_keys, prepare_photo
from app.core.database import Database, Transaction, among
from app.core.errors import Forbidden
from app.core.ids import new_id
from app.core.storage import Storage
from app.identity.queries.permissions import viewer_may
from app.identity.scopes import Scope
from app.identity.viewer import Viewer

UPLOADS_KEPT_FOR = timedelta(days=1)
# Of one person: two turntables of the longest sort.
MOST_WAITING = 500
FOLDER = "photos"
_ID_BYTES = 16
# A large photo takes half a gigabyte and more while it is drawn anew: two at a time, whoever else waits.
_PREPARING = ThreadPoolExecutor(max_workers=2, thread_name_prefix="trove-pictures")


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """An upload that can be added to an item or a holding; width and height in pixels, of the picture as it is kept."""

    id: UUID
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ClaimedUpload:
    """An upload that became a photo: what is kept of it, by the names of the columns."""

    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    storage_key: str


async def require_sender(database: Database, viewer: Viewer) -> None:
    """Refuse, before anything is read or drawn, whoever would be refused afterwards: as `store_upload` does."""
    async with database.transaction(viewer=viewer.in_database) as transaction:
        await _require_sender(transaction.connection, viewer)


async def prepare_upload(content: bytes) -> PreparedPhoto:
    """Check a file and draw it anew, in a thread of its own; raises what `prepare_photo` raises."""
    return await asyncio.get_running_loop().run_in_executor(_PREPARING, prepare_photo, content)


async def store_upload(database: Database, storage: Storage, photo: PreparedPhoto, *, viewer: Viewer) -> StoredUpload:
    """Keep a photo that somebody sent; raises StorageUnavailable, and what the driver raises when it is away.

    Raises Forbidden where the viewer's grant has just ended, and TooManyUploads where as many wait as may. The row
    comes first and says last that all is there: whatever fails in between, the row is found after a day, and by it
    every object that came so far.
    """
    upload_id = new_id()
    folder = f"{FOLDER}/{upload_id.hex}"
    original = photo.original
    async with database.transaction(viewer=viewer.in_database) as transaction:
        await _require_sender(transaction.connection, viewer)
        await transaction.connection.execute(
            insert(PhotoUpload).values(
                id=upload_id,
                uploaded_by=viewer.own_id,
                content_type=original.content_type,
                width=original.width,
                height=original.height,
                bytes=len(original.content),
                sha256=photo.digest.hex(),
                storage_key=folder,
            )
        )
    for size, picture in photo.pictures.items():
        key = object_key(folder, size, original.content_type)
        await storage.put(key, picture.content, content_type=picture.content_type)
    async with database.transaction(viewer=viewer.in_database) as transaction:
        stored = await transaction.connection.execute(
            update(PhotoUpload).where(PhotoUpload.id == upload_id).values(stored_at=func.now())
        )
    if not stored.rowcount:
        # Where the person was erased meanwhile the row is gone, and nothing would find these any more.
        await storage.delete(object_keys(folder, original.content_type))
        raise _not_granted()
    return StoredUpload(upload_id, original.content_type, original.width, original.height)


async def claim_uploads(
    connection: AsyncConnection,
    upload_ids: Collection[UUID],
    *,
    uploaded_by: UUID,
    item_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> Mapping[UUID, ClaimedUpload]:
    """Take uploads of a person, which nobody can take a second time; those that cannot be taken are left out.

    That is what is another's, what was taken already, what is older than a day, and what is not stored yet.
    """
    waiting = (
        select(PhotoUpload.id)
        .where(
            among(PhotoUpload.id, upload_ids),
            PhotoUpload.uploaded_by == uploaded_by,
            PhotoUpload.stored_at.is_not(None),
            PhotoUpload.claimed_at.is_(None),
            PhotoUpload.created_at > func.now() - UPLOADS_KEPT_FOR,
        )
        .order_by(PhotoUpload.id)
        .with_for_update()
    )
    free = (await connection.scalars(waiting)).all()
    claimed = await connection.execute(
        update(PhotoUpload)
        .where(among(PhotoUpload.id, free))
        .values(claimed_at=func.now(), item_id=item_id, idempotency_key=idempotency_key)
        .returning(
            PhotoUpload.id,
            PhotoUpload.content_type,
            PhotoUpload.width,
            PhotoUpload.height,
            PhotoUpload.bytes,
            PhotoUpload.sha256,
            PhotoUpload.storage_key,
        )
    )
    return {row[0]: ClaimedUpload(*row[1:]) for row in claimed}


async def forget_old_uploads(transaction: Transaction) -> int:
    """Let go of uploads a day after they came, or were added to something, and doom those that were not; how many.

    The database notes the objects as the rows go.
    """
    kept_since = func.now() - UPLOADS_KEPT_FOR
    deleted = await transaction.connection.execute(
        delete(PhotoUpload).where(
            PhotoUpload.created_at < kept_since,
            func.coalesce(PhotoUpload.claimed_at, PhotoUpload.created_at) < kept_since,
        )
    )
    return deleted.rowcount


async def _require_sender(connection: AsyncConnection, viewer: Viewer) -> None:
    """Refuse who may neither change what they own nor the catalogue, and who has sent enough for now."""
    if Scope.PORTFOLIOS_WRITE not in viewer.scopes and not await viewer_may(connection, Scope.CATALOGUE_WRITE):
        raise _not_granted()
    waiting = select(func.count()).where(PhotoUpload.uploaded_by == viewer.own_id, PhotoUpload.claimed_at.is_(None))
    if (await connection.execute(waiting)).scalar_one() >= MOST_WAITING:
        raise TooManyUploads(
            f"{MOST_WAITING} photos that you sent wait to be added to something; add them, or wait until they go, "
            "which is a day after they came."
        )


def _not_granted() -> Forbidden:
    return Forbidden("You may not change photos any more; ask an administrator for the role.")


def upload_token(upload_id: UUID) -> str:
    """The text by which an upload is named until it is a photo."""
    return base64.urlsafe_b64encode(upload_id.bytes).rstrip(b"=").decode()


def parse_upload_token(token: str) -> UUID | None:
    """The key behind such a text, or None where it is none."""
    try:
        decoded = base64.b64decode(token + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return UUID(bytes=decoded) if len(decoded) == _ID_BYTES and upload_token(UUID(bytes=decoded)) == token else None
