"""Photos that owners took of their holdings, and turntables."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.catalogue.photos import photo_url
from app.graph.portfolios.errors import OWNER_ALONE
from app.graph.reads.fields import column, edge, edges, shows
from app.graph.relay import Node
from app.portfolios.commands.holding_photos import FEWEST_FRAMES, MOST_FRAMES
from app.portfolios.models import Holding as HoldingRow
from app.portfolios.models import HoldingPhoto as PhotoRow
from app.portfolios.models import HoldingTurntable as TurntableRow
from app.portfolios.models import TurntableFrame as FrameRow
from app.portfolios.models import shared_holding_photos

if TYPE_CHECKING:
    from app.graph.portfolios.holdings import Holding

WIDTH = "The width of the whole photo, in pixels."
HEIGHT = "The height of the whole photo, in pixels."
CONTENT_TYPE = "`image/jpeg`, `image/png` or `image/webp`."


@strawberry.type(description="A photo of a holding. What its file said beside the picture, such as the place, is gone.")
@private(OWNER_ALONE)
@shows(PhotoRow, PublicIdTag.HOLDING_PHOTO, carries=[PhotoRow.storage_key, PhotoRow.content_type])
class HoldingPhoto(Node):
    width: int = column(PhotoRow.width, WIDTH)
    height: int = column(PhotoRow.height, HEIGHT)
    content_type: str = column(PhotoRow.content_type, CONTENT_TYPE)
    position: int = column(PhotoRow.position, "Its place among the photos of its holding, from 0.")
    created_at: datetime = column(PhotoRow.created_at, "When it was added.")
    holding: Annotated["Holding", strawberry.lazy("app.graph.portfolios.holdings")] | None = edge(
        "The holding that it shows.", on=PhotoRow.holding_id, to=HoldingRow.id
    )
    url = photo_url(PhotoRow.storage_key, PhotoRow.content_type)


@strawberry.type(description="One of the photos of a turntable.")
@private(OWNER_ALONE)
@shows(FrameRow, key=FrameRow.id, carries=[FrameRow.storage_key, FrameRow.content_type])
class TurntableFrame:
    width: int = column(FrameRow.width, WIDTH)
    height: int = column(FrameRow.height, HEIGHT)
    content_type: str = column(FrameRow.content_type, CONTENT_TYPE)
    position: int = column(FrameRow.position, "Its place in the turn, from 0.")
    url = photo_url(FrameRow.storage_key, FrameRow.content_type)


@strawberry.type(description="A holding from all sides, by photos that were taken in even steps around it.")
@private(OWNER_ALONE)
@shows(TurntableRow, key=TurntableRow.holding_id)
class HoldingTurntable:
    created_at: datetime = column(TurntableRow.created_at, "When it was set.")
    frames: list[TurntableFrame] = edges(
        f"Its photos in the order of the turn, {FEWEST_FRAMES} to {MOST_FRAMES}.",
        on=TurntableRow.holding_id,
        to=FrameRow.holding_id,
        order=[FrameRow.position, FrameRow.id],
    )


@strawberry.type(description="A photo of something held in a portfolio that is shared.")
@shows(
    shared_holding_photos,
    carries=[shared_holding_photos.c.storage_key, shared_holding_photos.c.content_type],
)
class SharedPhoto:
    width: int = column(shared_holding_photos.c.width, WIDTH)
    height: int = column(shared_holding_photos.c.height, HEIGHT)
    content_type: str = column(shared_holding_photos.c.content_type, CONTENT_TYPE)
    position: int = column(shared_holding_photos.c.position, "Its place among the photos of the holding, from 0.")
    url = photo_url(shared_holding_photos.c.storage_key, shared_holding_photos.c.content_type)
