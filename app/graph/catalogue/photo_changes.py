"""The mutations by which photos of items are added, put in order and deleted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import strawberry
from strawberry import UNSET

from app.catalogue.commands.photo_uploads import parse_upload_token
from app.catalogue.commands.photos import (
    KEPT,
    MAXIMUM_PHOTOS,
    add_photo,
    delete_photo,
    edit_photo,
    no_such_photo,
    no_such_upload,
    not_granted,
)
from app.catalogue.errors import PhotoErrorCode, PhotoRefused
from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.graph.catalogue.items import Item
from app.graph.catalogue.photos import Photo
from app.graph.context import Info
from app.graph.fields import attribute, show_enum
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.graph.user_errors import CODE, REFUSAL, USER_ERRORS, Done, Mutations, UserError
from app.identity.access import needs
from app.identity.queries.permissions import viewer_may
from app.identity.scopes import Scope

MAY_CHANGE = needs(Scope.CATALOGUE_WRITE)

show_enum(
    PhotoErrorCode,
    "Why a change of an item's photos was refused.",
    {
        PhotoErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        PhotoErrorCode.NOT_FOUND: "There is no such item or photo, or no such upload of one's own that still waits.",
        PhotoErrorCode.TOO_MANY: "The item has as many photos as it may have.",
        PhotoErrorCode.NOT_GRANTED: "The role behind the credential has just been taken back.",
        PhotoErrorCode.IDEMPOTENCY_KEY_REUSED: "The key was used for another photo or item within the last day.",
    },
)


@strawberry.type(description=REFUSAL)
class PhotoError(UserError):
    code: PhotoErrorCode = attribute(CODE)


@strawberry.input(description="A photo to add to an item, after those that it has.")
class AddItemPhotoInput:
    item_id: strawberry.ID = strawberry.field(description="The item.")
    upload_id: str = strawberry.field(
        description="What `POST /uploads/photos` answered, to the same person and within the last day."
    )
    caption: str | None = strawberry.field(default=None, description="What it shows, in 500 characters at most.")
    credit: str | None = strawberry.field(default=None, description="Whom it is owed to, in 500 characters at most.")
    is_primary: bool = strawberry.field(
        default=False, description="Whether it is to stand for the item; the first photo does in any case."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeat within a day with the same key, item and upload gives the same photo."
    )


@strawberry.input(description="What to change of a photo; what is left out stays as it is.")
class EditItemPhotoInput:
    id: strawberry.ID = strawberry.field(description="The photo.")
    caption: str | None = strawberry.field(default=UNSET, description="What it shows; null says nothing.")
    credit: str | None = strawberry.field(default=UNSET, description="Whom it is owed to; null says nothing.")
    position: int | None = strawberry.field(
        default=None, description="Its new place, from 0; those in between move up or down."
    )
    is_primary: bool | None = strawberry.field(
        default=None, description="True has it stand for the item instead of the photo that does."
    )


@strawberry.input(description="The photo to delete.")
class DeleteItemPhotoInput:
    id: strawberry.ID = strawberry.field(description="The photo.")


@strawberry.type(description="The photo that was added.")
class AddItemPhotoPayload:
    photo: Photo | None = attribute("The photo; null when refused.")
    user_errors: list[PhotoError] = attribute(USER_ERRORS)


@strawberry.type(description="The photo as it is now.")
class EditItemPhotoPayload:
    photo: Photo | None = attribute("The photo; null when refused.")
    user_errors: list[PhotoError] = attribute(USER_ERRORS)


@strawberry.type(description="The photo that was deleted.")
class DeleteItemPhotoPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    item: Item | None = attribute(
        "The item that it showed; null when refused, and where it is not safe for work and one chose not to see such."
    )
    user_errors: list[PhotoError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class Changed(Done):
    """The payload of a photo that was added or edited."""

    photo: Reference


@dataclass(frozen=True, slots=True)
class Deleted(Done):
    """The payload of a photo that was deleted."""

    deleted_id: str
    item: Reference


_changes = Mutations(PhotoRefused, PhotoError)


@strawberry.type
class PhotoMutations:
    @_changes(
        f"Add a photo that was sent to `POST /uploads/photos` to an item; {MAXIMUM_PHOTOS} at most.",
        type=AddItemPhotoPayload,
        access=MAY_CHANGE,
    )
    @staticmethod
    async def add_item_photo(info: Info, input: AddItemPhotoInput) -> Changed:
        item_id = key_of(input.item_id, PublicIdTag.ITEM, argument="itemId")
        if not isinstance(item_id, UUID):
            raise PhotoRefused(PhotoErrorCode.NOT_FOUND, "There is no such item.", field=["itemId"])
        upload_id = parse_upload_token(input.upload_id)
        if upload_id is None:
            raise no_such_upload()
        async with _changing(info) as transaction:
            photo_id = await add_photo(
                transaction,
                viewer=info.context.viewer,
                item_id=item_id,
                upload_id=upload_id,
                caption=input.caption,
                credit=input.credit,
                is_primary=input.is_primary,
                idempotency_key=input.idempotency_key,
            )
        return Changed(refer(Photo, photo_id))

    @_changes(
        "Change what is said of a photo or its place, or have it stand for its item.",
        type=EditItemPhotoPayload,
        access=MAY_CHANGE,
    )
    @staticmethod
    async def edit_item_photo(info: Info, input: EditItemPhotoInput) -> Changed:
        photo_id = _photo_key(input.id)
        async with _changing(info) as transaction:
            await edit_photo(
                transaction,
                photo_id,
                caption=KEPT if input.caption is UNSET else input.caption,
                credit=KEPT if input.credit is UNSET else input.credit,
                position=input.position,
                is_primary=input.is_primary,
            )
        return Changed(refer(Photo, photo_id))

    @_changes(
        "Delete a photo. The next one stands for the item if this one did; its address leads nowhere soon after.",
        type=DeleteItemPhotoPayload,
        access=MAY_CHANGE,
    )
    @staticmethod
    async def delete_item_photo(info: Info, input: DeleteItemPhotoInput) -> Deleted:
        photo_id = _photo_key(input.id)
        async with _changing(info) as transaction:
            item_id = await delete_photo(transaction, photo_id)
        return Deleted(input.id, refer(Item, item_id))


@asynccontextmanager
async def _changing(info: Info) -> AsyncIterator[Transaction]:
    """The transaction of one change; refuses who carries a permission that nobody grants them any more."""
    async with info.context.transaction() as transaction:
        if not await viewer_may(transaction.connection, Scope.CATALOGUE_WRITE):
            raise not_granted()
        yield transaction


def _photo_key(id: str) -> UUID:
    photo_id = key_of(id, PublicIdTag.ITEM_PHOTO, argument="id")
    if not isinstance(photo_id, UUID):
        raise no_such_photo()
    return photo_id
