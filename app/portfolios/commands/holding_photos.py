"""The photos of a holding, and its turntable: made of uploads, put in order, and taken away.

One after the other for each holding, so that positions run from 0 without gaps.
"""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.photo_order import placed, put_in_order
from app.catalogue.commands.photo_uploads import claim_uploads
from app.core.database import Transaction
from app.portfolios.commands.holds import hold_holding
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import HoldingPhoto, HoldingTurntable, TurntableFrame
from app.portfolios.texts import not_found, refused

MOST_PHOTOS = 50
MOST_FRAMES = 250
# Fewer show no turn.
FEWEST_FRAMES = 2


async def add_holding_photo(
    transaction: Transaction, *, owner_id: UUID, holding_id: UUID, upload_id: UUID, position: int | None = None
) -> UUID:
    """Make an upload of the owner's a photo of a holding, behind the others unless a position is given; gives its id.

    A repeat with the same upload gives the same photo again, where it is now. Raises PortfolioRefused for a holding or
    an upload that is not there, for a position that there is not, and for the 51st photo.
    """
    connection = transaction.connection
    holding = await hold_holding(connection, holding_id, owner_id=owner_id, field=["holdingId"])
    photos = await _photos_of(connection, holding_id)
    if upload_id in photos:
        return upload_id
    if len(photos) >= MOST_PHOTOS:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY,
            f"A holding has at most {MOST_PHOTOS} photos; delete one first.",
            field=["holdingId"],
        )
    place = len(photos) if position is None else position
    _require_position(place, len(photos))
    claimed = await claim_uploads(connection, [upload_id], uploaded_by=owner_id)
    if upload_id not in claimed:
        raise no_such_upload("uploadId")
    await connection.execute(
        insert(HoldingPhoto).values(
            id=upload_id,
            holding_id=holding_id,
            owner_id=owner_id,
            portfolio_id=holding.portfolio_id,
            position=len(photos),
            **asdict(claimed[upload_id]),
        )
    )
    await _put_in_order(connection, [*photos, upload_id], placed(photos, upload_id, place))
    return upload_id


async def edit_holding_photo(
    transaction: Transaction, photo_id: UUID, *, owner_id: UUID, position: int | None = None
) -> None:
    """Give a photo another place among those of its holding; those in between move up or down.

    Raises PortfolioRefused where there is no such photo, and for a position that there is not.
    """
    connection = transaction.connection
    _, photos = await _photos_beside(connection, photo_id, owner_id=owner_id)
    if position is None:
        return
    _require_position(position, len(photos) - 1)
    await _put_in_order(connection, photos, placed(photos, photo_id, position))


async def delete_holding_photo(transaction: Transaction, photo_id: UUID, *, owner_id: UUID) -> UUID:
    """Take a photo away; gives the id of its holding. Its objects go after the commit, by a worker.

    Raises PortfolioRefused where there is no such photo.
    """
    connection = transaction.connection
    holding_id, photos = await _photos_beside(connection, photo_id, owner_id=owner_id)
    await connection.execute(delete(HoldingPhoto).where(HoldingPhoto.id == photo_id))
    await _put_in_order(connection, photos, [one for one in photos if one != photo_id])
    return holding_id


async def set_holding_turntable(
    transaction: Transaction, *, owner_id: UUID, holding_id: UUID, upload_ids: Sequence[UUID]
) -> None:
    """Make uploads of the owner's the frames of a holding's turntable, in this order, in place of those that it has.

    A repeat with the same uploads changes nothing. Raises PortfolioRefused for a holding or an upload that is not
    there, for an upload that is named twice, and for fewer than 2 or more than 250.
    """
    connection = transaction.connection
    if not FEWEST_FRAMES <= len(upload_ids) <= MOST_FRAMES:
        raise refused(
            f"A turntable has from {FEWEST_FRAMES} to {MOST_FRAMES} frames, and these are {len(upload_ids)}.",
            "uploadIds",
        )
    seen: set[UUID] = set()
    for place, upload_id in enumerate(upload_ids):
        if upload_id in seen:
            raise refused("This upload is named before; send each frame once.", "uploadIds", str(place))
        seen.add(upload_id)
    holding = await hold_holding(connection, holding_id, owner_id=owner_id, field=["holdingId"])
    if await _frames_of(connection, holding_id) == list(upload_ids):
        return
    claimed = await claim_uploads(connection, upload_ids, uploaded_by=owner_id)
    for place, upload_id in enumerate(upload_ids):
        if upload_id not in claimed:
            raise no_such_upload("uploadIds", str(place))
    await connection.execute(delete(HoldingTurntable).where(HoldingTurntable.holding_id == holding_id))
    of_holding = {"holding_id": holding_id, "owner_id": owner_id}
    await connection.execute(insert(HoldingTurntable).values(**of_holding, portfolio_id=holding.portfolio_id))
    await connection.execute(
        insert(TurntableFrame),
        [
            {"id": upload_id, "position": place} | of_holding | asdict(claimed[upload_id])
            for place, upload_id in enumerate(upload_ids)
        ],
    )


async def remove_holding_turntable(transaction: Transaction, *, owner_id: UUID, holding_id: UUID) -> None:
    """Take the turntable of a holding away; its objects go after the commit, by a worker.

    Raises PortfolioRefused for a holding that is not there, or has no turntable.
    """
    connection = transaction.connection
    await hold_holding(connection, holding_id, owner_id=owner_id, field=["holdingId"])
    removed = await connection.execute(delete(HoldingTurntable).where(HoldingTurntable.holding_id == holding_id))
    if not removed.rowcount:
        raise not_found("This holding has no turntable.", "holdingId")


def no_such_upload(*field: str) -> PortfolioRefused:
    """The refusal for an upload that is none of the owner's, was used, or has gone."""
    return not_found(
        "You have no such upload, or it was added already, or it is older than a day: send the photo again to "
        "`POST /uploads/photos`.",
        *field,
    )


def no_such_photo() -> PortfolioRefused:
    """The refusal for a photo that is none of the owner's."""
    return not_found("You have no such photo; it may have been deleted.", "id")


async def _photos_beside(connection: AsyncConnection, photo_id: UUID, *, owner_id: UUID) -> tuple[UUID, list[UUID]]:
    """The holding of a photo, which is held from here on, and all its photos."""
    of_photo = select(HoldingPhoto.holding_id).where(HoldingPhoto.id == photo_id, HoldingPhoto.owner_id == owner_id)
    holding_id: UUID | None = await connection.scalar(of_photo)
    if holding_id is None:
        raise no_such_photo()
    await hold_holding(connection, holding_id, owner_id=owner_id, field=["id"])
    photos = await _photos_of(connection, holding_id)
    if photo_id not in photos:
        # It was deleted while we waited.
        raise no_such_photo()
    return holding_id, photos


async def _photos_of(connection: AsyncConnection, holding_id: UUID) -> list[UUID]:
    """The photos of a holding in their order; the holding is held."""
    photos = select(HoldingPhoto.id).where(HoldingPhoto.holding_id == holding_id).order_by(HoldingPhoto.position)
    return list((await connection.scalars(photos)).all())


async def _frames_of(connection: AsyncConnection, holding_id: UUID) -> list[UUID]:
    frames = select(TurntableFrame.id).where(TurntableFrame.holding_id == holding_id).order_by(TurntableFrame.position)
    return list((await connection.scalars(frames)).all())


async def _put_in_order(connection: AsyncConnection, photos: Sequence[UUID], order: Sequence[UUID]) -> None:
    positions = {photo_id: place for place, photo_id in enumerate(photos)}
    await put_in_order(connection, HoldingPhoto, positions, order)


def _require_position(position: int, last: int) -> None:
    if not 0 <= position <= last:
        raise refused(f"It is a place from 0 to {last}.", "position")
