"""The photos of an item: added from uploads, put in order, and taken away.

One after the other for each item, so that positions run from 0 without gaps and one photo is the primary one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.photo_order import placed, put_in_order
from app.catalogue.commands.photo_uploads import UPLOADS_KEPT_FOR, claim_uploads
from app.catalogue.errors import PhotoErrorCode, PhotoRefused
from app.catalogue.models import Item, ItemPhoto, PhotoUpload
from app.core.database import Transaction
from app.identity.viewer import Viewer

MAXIMUM_PHOTOS = 50
LONGEST_TEXT = 500
LONGEST_IDEMPOTENCY_KEY = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """What an edit leaves as it is."""


KEPT = Kept()


async def add_photo(
    transaction: Transaction,
    *,
    viewer: Viewer,
    item_id: UUID,
    upload_id: UUID,
    caption: str | None = None,
    credit: str | None = None,
    is_primary: bool = False,
    idempotency_key: str | None = None,
) -> UUID:
    """Make an upload of the viewer's the last photo of an item, and the primary one if wanted; gives its id.

    The first photo of an item is its primary one in any case. A repeat with the same key within a day gives the first
    one again.
    Raises PhotoRefused for an item or an upload that is not there, for texts that are too long, for the 51st photo, and
    for a key that was used for something else within a day.
    """
    caption, credit = _text(caption, "caption"), _text(credit, "credit")
    await _hold(transaction.connection, f"catalogue.photo_uploads:{viewer.own_id}")
    if idempotency_key is not None and await _is_repeat(
        transaction, viewer, idempotency_key, item_id=item_id, upload_id=upload_id
    ):
        return upload_id
    # Held first: an item that is being merged into another is gone once we may go on.
    photos = await _photos_of(transaction, item_id)
    is_there = await transaction.connection.scalar(select(Item.id).where(Item.id == item_id))
    if is_there is None:
        raise PhotoRefused(PhotoErrorCode.NOT_FOUND, "There is no such item.", field=["itemId"])
    if len(photos) >= MAXIMUM_PHOTOS:
        raise PhotoRefused(
            PhotoErrorCode.TOO_MANY, f"An item has at most {MAXIMUM_PHOTOS} photos; delete one first.", field=["itemId"]
        )
    claimed = await claim_uploads(
        transaction.connection,
        [upload_id],
        uploaded_by=viewer.own_id,
        item_id=item_id,
        idempotency_key=idempotency_key,
    )
    if upload_id not in claimed:
        raise no_such_upload()
    is_primary = is_primary or not photos
    if is_primary:
        await _unset_primary(transaction, item_id)
    await transaction.connection.execute(
        insert(ItemPhoto).values(
            id=upload_id,
            item_id=item_id,
            position=len(photos),
            is_primary=is_primary,
            caption=caption,
            credit=credit,
            **asdict(claimed[upload_id]),
        )
    )
    return upload_id


async def edit_photo(
    transaction: Transaction,
    photo_id: UUID,
    *,
    caption: str | Kept | None = KEPT,
    credit: str | Kept | None = KEPT,
    position: int | None = None,
    is_primary: bool | None = None,
) -> None:
    """Change what is said of a photo, its place among the photos of its item, or make it the primary one.

    Raises PhotoRefused where there is no such photo, for texts that are too long, for a position that there is not, and
    for taking the primary photo's place away without giving it to another; and where the viewer's grant has just ended.
    """
    changed: dict[str, object] = {}
    if not isinstance(caption, Kept):
        changed["caption"] = _text(caption, "caption")
    if not isinstance(credit, Kept):
        changed["credit"] = _text(credit, "credit")
    item_id, photos = await _photos_beside(transaction, photo_id)
    photo = _find(photos, photo_id)
    if position is not None:
        await _move(transaction, photos, photo, position)
    if is_primary is False and photo.is_primary:
        raise PhotoRefused(
            PhotoErrorCode.INVALID_INPUT, "Make another photo the primary one instead.", field=["isPrimary"]
        )
    if is_primary and not photo.is_primary:
        await _unset_primary(transaction, item_id)
        changed["is_primary"] = True
    edited = await transaction.connection.execute(
        update(ItemPhoto).where(ItemPhoto.id == photo_id).values(**changed, updated_at=func.now())
    )
    _require_done(edited.rowcount)


async def delete_photo(transaction: Transaction, photo_id: UUID) -> UUID:
    """Take a photo away; the next one becomes the primary one if this was it. Gives the id of its item.

    Its objects go after the commit, by a worker. Raises PhotoRefused where there is no such photo.
    """
    item_id, photos = await _photos_beside(transaction, photo_id)
    photo = _find(photos, photo_id)
    deleted = await transaction.connection.execute(delete(ItemPhoto).where(ItemPhoto.id == photo_id))
    _require_done(deleted.rowcount)
    left = [one.id for one in photos if one.id != photo_id]
    await _put_in_order(transaction, photos, left)
    if photo.is_primary and left:
        following = left[min(photo.position, len(left) - 1)]
        await transaction.connection.execute(
            update(ItemPhoto).where(ItemPhoto.id == following).values(is_primary=True, updated_at=func.now())
        )
    return item_id


def no_such_photo() -> PhotoRefused:
    """The refusal for a photo that is not there."""
    return PhotoRefused(PhotoErrorCode.NOT_FOUND, "There is no such photo; it may have been deleted.", field=["id"])


def no_such_upload() -> PhotoRefused:
    """The refusal for an upload that is none of the viewer's, was used, or has gone."""
    return PhotoRefused(
        PhotoErrorCode.NOT_FOUND,
        "You have no such upload, or it was added already, or it is older than a day: send the photo again to "
        "`POST /uploads/photos`.",
        field=["uploadId"],
    )


def not_granted() -> PhotoRefused:
    """The refusal for somebody whose permission has just been taken back."""
    return PhotoRefused(
        PhotoErrorCode.NOT_GRANTED, "You may not change photos any more; ask an administrator for the role."
    )


async def hold_photos(connection: AsyncConnection, item_id: UUID) -> None:
    """Have others wait who change the photos of an item, until this transaction ends."""
    await _hold(connection, f"catalogue.item_photos:{item_id}")


async def _hold(connection: AsyncConnection, what: str) -> None:
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0))))


async def _photos_of(transaction: Transaction, item_id: UUID) -> Sequence[Row[UUID, int, bool]]:
    """The photos of an item in their order, which nobody else changes until this transaction ends."""
    await hold_photos(transaction.connection, item_id)
    rows = await transaction.connection.execute(
        select(ItemPhoto.id, ItemPhoto.position, ItemPhoto.is_primary)
        .where(ItemPhoto.item_id == item_id)
        .order_by(ItemPhoto.position)
    )
    return rows.all()


async def _photos_beside(transaction: Transaction, photo_id: UUID) -> tuple[UUID, Sequence[Row[UUID, int, bool]]]:
    """The item of a photo, and its photos as `_photos_of` gives them."""
    item_id = await _item_of(transaction, photo_id)
    while True:
        photos = await _photos_of(transaction, item_id)
        # While we waited, the item may have been merged into another, which has the photo now.
        current = await _item_of(transaction, photo_id)
        if current == item_id:
            return item_id, photos
        item_id = current


async def _item_of(transaction: Transaction, photo_id: UUID) -> UUID:
    item_id: UUID | None = await transaction.connection.scalar(
        select(ItemPhoto.item_id).where(ItemPhoto.id == photo_id)
    )
    if item_id is None:
        raise no_such_photo()
    return item_id


def _find(photos: Sequence[Row[UUID, int, bool]], photo_id: UUID) -> Row[UUID, int, bool]:
    """The photo among those of its item; somebody may have deleted it while we waited for them."""
    for photo in photos:
        if photo.id == photo_id:
            return photo
    raise no_such_photo()


def _require_done(rows: int) -> None:
    """Refuse what the database let pass without doing it: the grant behind the credential was just taken back."""
    if not rows:
        raise not_granted()


async def _is_repeat(
    transaction: Transaction, viewer: Viewer, idempotency_key: str, *, item_id: UUID, upload_id: UUID
) -> bool:
    """Whether the key was used for this within a day; one that was used before that is free again."""
    if not 1 <= len(idempotency_key) <= LONGEST_IDEMPOTENCY_KEY or "\0" in idempotency_key:
        raise PhotoRefused(
            PhotoErrorCode.INVALID_INPUT,
            f"An idempotency key has 1 to {LONGEST_IDEMPOTENCY_KEY} characters.",
            field=["idempotencyKey"],
        )
    known = (
        await transaction.connection.execute(
            select(PhotoUpload.id, PhotoUpload.item_id).where(
                PhotoUpload.uploaded_by == viewer.own_id,
                PhotoUpload.idempotency_key == idempotency_key,
                PhotoUpload.claimed_at > func.now() - UPLOADS_KEPT_FOR,
            )
        )
    ).one_or_none()
    if known is None:
        await transaction.connection.execute(
            update(PhotoUpload)
            .where(PhotoUpload.uploaded_by == viewer.own_id, PhotoUpload.idempotency_key == idempotency_key)
            .values(idempotency_key=None)
        )
        return False
    if (known.id, known.item_id) != (upload_id, item_id):
        raise PhotoRefused(
            PhotoErrorCode.IDEMPOTENCY_KEY_REUSED,
            "This key was used for another photo or item within the last day; use a new one for each.",
            field=["idempotencyKey"],
        )
    if await transaction.connection.scalar(select(ItemPhoto.id).where(ItemPhoto.id == upload_id)) is None:
        # It was deleted since.
        raise no_such_upload()
    return True


async def _unset_primary(transaction: Transaction, item_id: UUID) -> None:
    await transaction.connection.execute(
        update(ItemPhoto)
        .where(ItemPhoto.item_id == item_id, ItemPhoto.is_primary)
        .values(is_primary=False, updated_at=func.now())
    )


async def _move(
    transaction: Transaction, photos: Sequence[Row[UUID, int, bool]], photo: Row[UUID, int, bool], position: int
) -> None:
    if not 0 <= position < len(photos):
        raise PhotoRefused(
            PhotoErrorCode.INVALID_INPUT,
            f"`position` is 0 to {len(photos) - 1}: the item has {len(photos)} photos.",
            field=["position"],
        )
    await _put_in_order(transaction, photos, placed([one.id for one in photos], photo.id, position))


async def _put_in_order(
    transaction: Transaction, photos: Sequence[Row[UUID, int, bool]], order: Sequence[UUID]
) -> None:
    positions = {photo.id: photo.position for photo in photos}
    await put_in_order(transaction.connection, ItemPhoto, positions, order)


def _text(text: str | None, field: str) -> str | None:
    """The text without spaces around it, and none where nothing is left."""
    stripped = (text or "").strip()
    if len(stripped) > LONGEST_TEXT or any(character < " " and character not in "\t\n" for character in stripped):
        raise PhotoRefused(
            PhotoErrorCode.INVALID_INPUT,
            f"A {field} has at most {LONGEST_TEXT} characters, and no control characters among them.",
            field=[field],
        )
    return stripped or None
