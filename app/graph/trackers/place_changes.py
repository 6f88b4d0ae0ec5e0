"""The mutations by which places are kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import strawberry

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import GeoJSON
from app.graph.trackers.client_changes import Deleted
from app.graph.trackers.errors import TRACKERS_WRITE, TrackerError, tracker_changes
from app.graph.trackers.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, own_key, sent
from app.graph.trackers.places import Place
from app.graph.user_errors import USER_ERRORS, Done
from app.trackers.commands.places import (
    LARGEST_RADIUS,
    LARGEST_SQUARE_METERS,
    LONGEST_DWELL_MINUTES,
    MOST_DWELL_FIXES,
    MOST_PLACES,
    RADIUS_OF_A_CIRCLE,
    create_place,
    delete_place,
    edit_place,
)
from app.trackers.given import LONGEST_NAME, MOST_AT_ONCE, refuse_long_list
from app.trackers.models import PlaceKind
from app.trackers.shapes import MOST_POSITIONS

_NAME = f"The name, of {LONGEST_NAME} characters at most."
_KIND = "What it means to be there."
_SHAPE = (
    f"GeoJSON: a `Point` for a circle, or a `Polygon` of {MOST_POSITIONS:,} positions at most, with holes if it has "
    f"any, of up to {LARGEST_SQUARE_METERS // 10**6:,} km². It must not cross itself or the antimeridian."
)
_RADIUS = (
    f"How far from the shape one is still there, in metres, up to {LARGEST_RADIUS:,}; default: "
    f"{RADIUS_OF_A_CIRCLE:.0f} of a point, 0 of a polygon."
)
_FIXES = f"After how many fixes in a row there one has arrived, from 1 to {MOST_DWELL_FIXES}."
_MINUTES = f"How many minutes those have to span, up to {LONGEST_DWELL_MINUTES:,}."
_FROM = "Since when it counts; null where it counts for all of the past."
_UNTIL = "Until when it counts; null where it goes on."
_RUNS = f"The production runs that pass through it, {MOST_AT_ONCE} at most; none: it is for all trackers of the client."


@strawberry.input(description="A new place.")
class CreatePlaceInput:
    client_id: strawberry.ID = strawberry.field(description="Whose it is.")
    kind: PlaceKind = strawberry.field(description=_KIND)
    name: str = strawberry.field(description=_NAME)
    shape: GeoJSON = strawberry.field(description=_SHAPE)
    radius_meters: float | None = strawberry.field(default=None, description=_RADIUS)
    dwell_fixes: int = strawberry.field(default=1, description=_FIXES)
    dwell_minutes: int = strawberry.field(default=0, description=_MINUTES)
    active_from: datetime | None = strawberry.field(default=None, description=_FROM)
    active_until: datetime | None = strawberry.field(default=None, description=_UNTIL)
    production_run_ids: list[strawberry.ID] = strawberry.field(default_factory=list, description=_RUNS)
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(
    description="What to change of a place. What is left out stays; histories that it bears on are made anew."
)
class EditPlaceInput:
    id: strawberry.ID = strawberry.field(description="The place.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    kind: PlaceKind | None = given(_KIND)
    name: str | None = given(_NAME)
    shape: GeoJSON | None = given(_SHAPE)
    radius_meters: float | None = given(f"{_RADIUS} Another shape has the default unless it is given.")
    dwell_fixes: int | None = given(_FIXES)
    dwell_minutes: int | None = given(_MINUTES)
    active_from: datetime | None = given(_FROM)
    active_until: datetime | None = given(_UNTIL)
    production_run_ids: list[strawberry.ID] | None = given(f"{_RUNS} In place of those that there are.")


@strawberry.input(description="The place to delete.")
class DeletePlaceInput:
    id: strawberry.ID = strawberry.field(description="The place.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.type(description="What became of the new place.")
class CreatePlacePayload:
    place: Place | None = attribute("The place; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the place.")
class EditPlacePayload:
    place: Place | None = attribute("The place as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="The place that was deleted.")
class DeletePlacePayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class PlaceChanged(Done):
    """The payload of a place that was made or changed."""

    place: Reference


@strawberry.type
class PlaceMutations:
    @tracker_changes(
        f"Make a place of a client, whose operator one is; {MOST_PLACES:,} at most.",
        type=CreatePlacePayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def create_place(info: Info, input: CreatePlaceInput) -> PlaceChanged:
        client_id = own_key(input.client_id, PublicIdTag.CLIENT, "client", "clientId")
        values = _with_keys(sent(input, "client_id", "idempotency_key"))
        async with info.context.transaction() as transaction:
            place_id = await create_place(
                transaction,
                client_id,
                values,
                user_id=info.context.viewer.own_id,
                idempotency_key=input.idempotency_key,
            )
        return PlaceChanged(refer(Place, place_id))

    @tracker_changes(
        "Change a place, and which production runs pass through it.", type=EditPlacePayload, access=TRACKERS_WRITE
    )
    @staticmethod
    async def edit_place(info: Info, input: EditPlaceInput) -> PlaceChanged:
        place_id = own_key(input.id, PublicIdTag.PLACE, "place", "id")
        values = _with_keys(sent(input, "id", "expected_version"))
        async with info.context.transaction() as transaction:
            await edit_place(
                transaction,
                place_id,
                values,
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return PlaceChanged(refer(Place, place_id))

    @tracker_changes(
        "Delete a place; histories are made anew as if it had never been.",
        type=DeletePlacePayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def delete_place(info: Info, input: DeletePlaceInput) -> Deleted:
        place_id = own_key(input.id, PublicIdTag.PLACE, "place", "id")
        async with info.context.transaction() as transaction:
            await delete_place(
                transaction,
                place_id,
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return Deleted(input.id)


def _with_keys(values: dict[str, Any]) -> dict[str, Any]:
    """The values with keys in place of the ids of production runs."""
    if "production_run_ids" not in values:
        return values
    ids = values["production_run_ids"] or ()
    refuse_long_list(ids, "productionRunIds")
    keys = [
        own_key(each, PublicIdTag.PRODUCTION_RUN, "production run", "productionRunIds", str(at))
        for at, each in enumerate(ids)
    ]
    return values | {"production_run_ids": keys}
