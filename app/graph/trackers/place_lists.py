"""How places are listed: by what they are ordered and narrowed."""

from enum import Enum

import strawberry

from app.core.ids import PublicIdTag
from app.graph.fields import show_enum
from app.graph.reads.arguments import Orders, narrow, narrow_to_any
from app.graph.relay import key_of
from app.trackers.models import Place as PlaceRow
from app.trackers.models import PlaceKind

show_enum(
    PlaceKind,
    "What it means to be at a place.",
    {
        PlaceKind.STORAGE: "What is there is in storage.",
        PlaceKind.DELIVERY: "What is there is delivered.",
    },
)


class PlaceOrder(Enum):
    """What places are ordered by."""

    NAME = "name"


PLACE_ORDERS = Orders("places", {PlaceOrder.NAME: PlaceRow.name}, tie=PlaceRow.id)


@strawberry.input(description="Which places to list; what is left out does not narrow the list.")
class PlaceFilter:
    kinds: list[PlaceKind] | None = narrow_to_any("Only places of these kinds.", PlaceRow.kind)
    client_id: strawberry.ID | None = narrow(
        "Only places of this client.",
        PlaceRow.client_id,
        lambda client: PlaceRow.client_id == client,
        check=lambda given, path: key_of(given, PublicIdTag.CLIENT, argument=path),
    )
