"""The mutations by which photos of holdings are added, put in order and deleted, and turntables set and removed."""

from dataclasses import dataclass

import strawberry

from app.catalogue.commands.photo_uploads import parse_upload_token
from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.holding_photos import HoldingPhoto
from app.graph.portfolios.holdings import Holding
from app.graph.portfolios.inputs import key_of, own_key
from app.graph.reads.fields import Reference, refer
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.holding_photos import (
    FEWEST_FRAMES,
    MOST_FRAMES,
    MOST_PHOTOS,
    add_holding_photo,
    delete_holding_photo,
    edit_holding_photo,
    no_such_photo,
    no_such_upload,
    remove_holding_turntable,
    set_holding_turntable,
)


@strawberry.input(description="A photo to add to a holding. A repeat with the same upload gives the same photo.")
class AddHoldingPhotoInput:
    holding_id: strawberry.ID = strawberry.field(description="The holding.")
    upload_id: str = strawberry.field(
        description="What `POST /uploads/photos` answered, to the same person and within the last day."
    )
    position: int | None = strawberry.field(
        default=None, description="Its place among the others, from 0; left out, it comes behind them."
    )


@strawberry.input(description="What to change of a photo; what is left out stays as it is.")
class EditHoldingPhotoInput:
    id: strawberry.ID = strawberry.field(description="The photo.")
    position: int | None = strawberry.field(
        default=None, description="Its new place, from 0; those in between move up or down."
    )


@strawberry.input(description="The photo to delete.")
class DeleteHoldingPhotoInput:
    id: strawberry.ID = strawberry.field(description="The photo.")


@strawberry.input(description="The frames of a turntable, in place of those that the holding has.")
class SetHoldingTurntableInput:
    holding_id: strawberry.ID = strawberry.field(description="The holding.")
    upload_ids: list[str] = strawberry.field(
        description=f"{FEWEST_FRAMES} to {MOST_FRAMES} uploads in the order of the turn, each as "
        "`POST /uploads/photos` answered, to the same person and within the last day."
    )


@strawberry.input(description="The holding whose turntable goes.")
class RemoveHoldingTurntableInput:
    holding_id: strawberry.ID = strawberry.field(description="The holding.")


@strawberry.type(description="The photo that was added.")
class AddHoldingPhotoPayload:
    photo: HoldingPhoto | None = attribute("The photo; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The photo as it is now.")
class EditHoldingPhotoPayload:
    photo: HoldingPhoto | None = attribute("The photo; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The photo that was deleted.")
class DeleteHoldingPhotoPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    holding: Holding | None = attribute("The holding that it showed; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The holding with its new turntable.")
class SetHoldingTurntablePayload:
    holding: Holding | None = attribute("The holding; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The holding without its turntable.")
class RemoveHoldingTurntablePayload:
    holding: Holding | None = attribute("The holding; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class PhotoChanged(Done):
    """The payload of a photo that was added or moved."""

    photo: Reference


@dataclass(frozen=True, slots=True)
class PhotoDeleted(Done):
    """The payload of a photo that was deleted."""

    deleted_id: str
    holding: Reference


@dataclass(frozen=True, slots=True)
class TurntableChanged(Done):
    """The payload of a turntable that was set or removed."""

    holding: Reference


@strawberry.type
class HoldingPhotoMutations:
    @portfolio_changes(
        f"Add a photo that was sent to `POST /uploads/photos` to a holding; {MOST_PHOTOS} at most.",
        type=AddHoldingPhotoPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def add_holding_photo(info: Info, input: AddHoldingPhotoInput) -> PhotoChanged:
        holding_id = own_key(input.holding_id, PublicIdTag.HOLDING, "holding", "holdingId")
        upload_id = parse_upload_token(input.upload_id)
        if upload_id is None:
            raise no_such_upload("uploadId")
        async with info.context.transaction() as transaction:
            photo_id = await add_holding_photo(
                transaction,
                owner_id=info.context.viewer.own_id,
                holding_id=holding_id,
                upload_id=upload_id,
                position=input.position,
            )
        return PhotoChanged(refer(HoldingPhoto, photo_id))

    @portfolio_changes(
        "Give a photo another place among those of its holding; the first one is its `cover`.",
        type=EditHoldingPhotoPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def edit_holding_photo(info: Info, input: EditHoldingPhotoInput) -> PhotoChanged:
        photo_id = key_of(input.id, PublicIdTag.HOLDING_PHOTO)
        if photo_id is None:
            raise no_such_photo()
        async with info.context.transaction() as transaction:
            await edit_holding_photo(
                transaction, photo_id, owner_id=info.context.viewer.own_id, position=input.position
            )
        return PhotoChanged(refer(HoldingPhoto, photo_id))

    @portfolio_changes(
        "Delete a photo of a holding; its address leads nowhere soon after.",
        type=DeleteHoldingPhotoPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def delete_holding_photo(info: Info, input: DeleteHoldingPhotoInput) -> PhotoDeleted:
        photo_id = key_of(input.id, PublicIdTag.HOLDING_PHOTO)
        if photo_id is None:
            raise no_such_photo()
        async with info.context.transaction() as transaction:
            holding_id = await delete_holding_photo(transaction, photo_id, owner_id=info.context.viewer.own_id)
        return PhotoDeleted(input.id, refer(Holding, holding_id))

    @portfolio_changes(
        "Show a holding from all sides by photos that were sent to `POST /uploads/photos`, in place of those that it "
        "has. A repeat with the same uploads changes nothing.",
        type=SetHoldingTurntablePayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def set_holding_turntable(info: Info, input: SetHoldingTurntableInput) -> TurntableChanged:
        holding_id = own_key(input.holding_id, PublicIdTag.HOLDING, "holding", "holdingId")
        upload_ids = []
        for place, token in enumerate(input.upload_ids):
            upload_id = parse_upload_token(token)
            if upload_id is None:
                raise no_such_upload("uploadIds", str(place))
            upload_ids.append(upload_id)
        async with info.context.transaction() as transaction:
            await set_holding_turntable(
                transaction, owner_id=info.context.viewer.own_id, holding_id=holding_id, upload_ids=upload_ids
            )
        return TurntableChanged(refer(Holding, holding_id))

    @portfolio_changes(
        "Remove the turntable of a holding; the addresses of its frames lead nowhere soon after.",
        type=RemoveHoldingTurntablePayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def remove_holding_turntable(info: Info, input: RemoveHoldingTurntableInput) -> TurntableChanged:
        holding_id = own_key(input.holding_id, PublicIdTag.HOLDING, "holding", "holdingId")
        async with info.context.transaction() as transaction:
            await remove_holding_turntable(transaction, owner_id=info.context.viewer.own_id, holding_id=holding_id)
        return TurntableChanged(refer(Holding, holding_id))
