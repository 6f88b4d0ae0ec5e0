"""Photos of items, and the links that hold for hours by which photos are shown."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import Parent

from app.catalogue import models
from app.catalogue.pictures import THUMBNAIL_SIDES, PhotoSize, object_key
from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import resolved, show_enum
from app.graph.reads.fields import column, edge, shows
from app.graph.reads.layout import Row, value_of
from app.graph.reads.tables import Expression
from app.graph.relay import Node
from app.graph.scalars import URL

if TYPE_CHECKING:
    from app.graph.catalogue.items import Item

show_enum(
    PhotoSize,
    "How large a photo is shown. All but the whole one are WebP.",
    {
        PhotoSize.SMALL: f"{THUMBNAIL_SIDES[PhotoSize.SMALL]} pixels on the longer side at most.",
        PhotoSize.MEDIUM: f"{THUMBNAIL_SIDES[PhotoSize.MEDIUM]} pixels on the longer side at most.",
        PhotoSize.LARGE: f"{THUMBNAIL_SIDES[PhotoSize.LARGE]} pixels on the longer side at most.",
        PhotoSize.ORIGINAL: "As large as it was sent, of the type that `contentType` says.",
    },
)


def photo_url(storage_key: Expression, content_type: Expression) -> Any:
    """The field by which a photo is loaded; its row carries these two."""

    @resolved(
        "Where anybody who has the address can load the photo. It holds for 6 hours at least and stays the same for up "
        "to one, so ask again rather than keep it. Null, with an error, where the store cannot be reached."
    )
    async def url(
        root: Parent[Row],
        info: Info,
        size: Annotated[PhotoSize, strawberry.argument(description="How large it is to be.")] = PhotoSize.LARGE,
    ) -> URL | None:
        key = object_key(value_of(root, storage_key), size, value_of(root, content_type))
        return URL(await info.context.resources.storage.link(key, now=info.context.now))

    return url


@strawberry.type(description="A photo of an item. What its file said beside the picture, such as the place, is gone.")
@shows(
    models.ItemPhoto,
    PublicIdTag.ITEM_PHOTO,
    carries=[models.ItemPhoto.storage_key, models.ItemPhoto.content_type],
)
class Photo(Node):
    width: int = column(models.ItemPhoto.width, "The width of the whole photo, in pixels.")
    height: int = column(models.ItemPhoto.height, "The height of the whole photo, in pixels.")
    content_type: str = column(models.ItemPhoto.content_type, "`image/jpeg`, `image/png` or `image/webp`.")
    caption: str | None = column(models.ItemPhoto.caption, "What it shows; null where nobody has said it.")
    credit: str | None = column(models.ItemPhoto.credit, "Whom it is owed to; null where nobody has said it.")
    position: int = column(models.ItemPhoto.position, "Its place among the photos of its item, from 0.")
    is_primary: bool = column(models.ItemPhoto.is_primary, "Whether it is the one that stands for the item.")
    created_at: datetime = column(models.ItemPhoto.created_at, "When it was added.")
    item: Annotated["Item", strawberry.lazy("app.graph.catalogue.items")] = edge(
        "The item that it shows.", on=models.ItemPhoto.item_id, to=models.Item.id
    )

    url = photo_url(models.ItemPhoto.storage_key, models.ItemPhoto.content_type)
