"""How trackers are listed: by what they are ordered and narrowed."""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum

import strawberry

from app.core.ids import PublicIdTag
from app.graph.catalogue.items import OrderDirection
from app.graph.fields import attribute, show_enum
from app.graph.reads.arguments import Orders, narrow, narrow_to_any
from app.graph.relay import key_of
from app.graph.scalars import GeoJSON
from app.graph.trackers.points import Near, near_in, polygon_in
from app.trackers.models import Tracker as TrackerRow
from app.trackers.models import TrackerStatus
from app.trackers.queries.positions import LATITUDE_LONGITUDE_METERS, SILENT_FOR, is_near, is_within

show_enum(
    TrackerStatus,
    "Where a tracker is in the life of what it rides with.",
    {
        TrackerStatus.CREATED: "It was never heard of.",
        TrackerStatus.IN_STORAGE: "At a place where things are stored.",
        TrackerStatus.IN_TRANSIT: "Between places.",
        TrackerStatus.DELIVERED: "At a place where things are delivered.",
        TrackerStatus.SILENT: "It was not heard of for longer than its client waits.",
    },
)


@strawberry.type(description="How many of some trackers have a status.")
class StatusCount:
    status: TrackerStatus = attribute("The status.")
    count: int = attribute("How many of them have it.")


def status_counts(counts: Mapping[TrackerStatus, int]) -> list[StatusCount]:
    """The statuses that any of them have."""
    return [StatusCount(status=status, count=count) for status, count in counts.items() if count]


class TrackerOrderField(Enum):
    """What a list of trackers can be ordered by; the id breaks ties."""

    NAME = "name"
    CREATED_AT = "created_at"
    STATUS_SINCE = "status_since"


show_enum(
    TrackerOrderField,
    "What trackers can be ordered by.",
    {
        TrackerOrderField.NAME: "Their name.",
        TrackerOrderField.CREATED_AT: "When they were made.",
        TrackerOrderField.STATUS_SINCE: "Since when they have their status.",
    },
)


@strawberry.input(description="An order of trackers; ties are broken by the id.")
class TrackerOrder:
    field: TrackerOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


TRACKER_ORDERS = Orders(
    "trackers",
    {
        TrackerOrderField.NAME: TrackerRow.name,
        TrackerOrderField.CREATED_AT: TrackerRow.created_at,
        TrackerOrderField.STATUS_SINCE: TrackerRow.status_since,
    },
    tie=TrackerRow.id,
    input_type=TrackerOrder,
)


@strawberry.input(description="Which trackers to list; what is left out does not narrow the list.")
class TrackerFilter:
    statuses: list[TrackerStatus] | None = narrow_to_any("Only trackers with one of these statuses.", TrackerRow.status)
    client_id: strawberry.ID | None = narrow(
        "Only trackers of this client.",
        TrackerRow.client_id,
        lambda client: TrackerRow.client_id == client,
        check=lambda given, path: key_of(given, PublicIdTag.CLIENT, argument=path),
    )
    production_run_id: strawberry.ID | None = narrow(
        "Only trackers of this production run.",
        TrackerRow.client_id,
        lambda run: TrackerRow.production_run_id == run,
        check=lambda given, path: key_of(given, PublicIdTag.PRODUCTION_RUN, argument=path),
    )
    near: Near | None = narrow(
        "Only trackers in use whose last fix lies near a point.",
        LATITUDE_LONGITUDE_METERS,
        is_near,
        check=near_in,
    )
    within: GeoJSON | None = narrow(
        "Only trackers in use whose last fix lies within a Polygon of 1,000 positions at most, which does not cross "
        "the antimeridian; one that crosses itself holds what its line goes around.",
        TrackerRow.name,
        is_within,
        check=polygon_in,
    )
    silent_for: timedelta | None = narrow(
        "Only trackers that were not heard of for this long: since they were made, where they never were.",
        SILENT_FOR,
        lambda duration: duration <= SILENT_FOR,
    )
    is_retired: bool | None = narrow(
        "Only those that are retired, or that are not.",
        TrackerRow.retired_at.is_(None),
        lambda is_retired: TrackerRow.retired_at.is_not(None) == is_retired,
    )
