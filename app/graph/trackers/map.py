"""Trackers on a map, gathered on the server."""

from dataclasses import dataclass
from uuid import UUID

import strawberry

from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute, resolved
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.graph.trackers.errors import TRACKERS_READ
from app.graph.trackers.points import BoundingBox, box_of
from app.graph.trackers.tracker_lists import StatusCount, status_counts
from app.graph.trackers.trackers import Tracker
from app.trackers.models import TrackerStatus
from app.trackers.queries.clusters import Cluster, WantedClusters, clusters_in_box
from app.trackers.queries.events import Box

MAXIMUM_ZOOM = 22
# No row has it, so an id of something else finds nothing.
NOTHING = UUID(int=0)


@strawberry.type(description="The smallest box that holds something, in degrees.")
class Bounds:
    west: float = attribute("Its western meridian.")
    south: float = attribute("Its southern parallel.")
    east: float = attribute("Its eastern meridian.")
    north: float = attribute("Its northern parallel.")


@strawberry.type(description="Trackers that lie close together at the zoom of a map.")
class TrackerCluster:
    count: int = attribute("How many there are.")
    latitude: float = attribute("Degrees north of the middle of where they are.")
    longitude: float = attribute("Degrees east of it.")
    bounds: Bounds = attribute("What holds them all.")
    statuses: list[StatusCount] = attribute("How many of them have which status; without those that none has.")
    tracker: Tracker | None = attribute("The tracker, where it is alone; null where there are several.")


@dataclass(frozen=True, slots=True)
class _Cluster:
    """A cluster as it was found; the tracker is read with the others'."""

    count: int
    latitude: float
    longitude: float
    bounds: Box
    statuses: list[StatusCount]
    tracker: Reference | None


@strawberry.input(description="Which trackers to show on a map; what is left out does not narrow it.")
class MapFilter:
    client_id: strawberry.ID | None = strawberry.field(default=None, description="Only trackers of this client.")
    production_run_id: strawberry.ID | None = strawberry.field(
        default=None, description="Only trackers of this production run."
    )
    statuses: list[TrackerStatus] | None = strawberry.field(
        default=None, description="Only trackers with one of these statuses."
    )


def _key(id: strawberry.ID | None, tag: PublicIdTag, argument: str) -> UUID | None:
    if id is None:
        return None
    key = key_of(id, tag, argument=argument)
    return key if isinstance(key, UUID) else NOTHING


def _shown(cluster: Cluster) -> _Cluster:
    return _Cluster(
        cluster.count,
        cluster.latitude,
        cluster.longitude,
        cluster.bounds,
        status_counts(cluster.by_status),
        None if cluster.tracker_id is None else refer(Tracker, cluster.tracker_id),
    )


@strawberry.type
class MapQueries:
    @resolved(
        "The trackers in use whose last fix lies in a box, gathered in cells of 64 pixels of a map of tiles at `zoom` "
        f"(0, the whole world in one tile, to {MAXIMUM_ZOOM}), the largest cluster first. Where the box holds more "
        "than 4,096 cells they are gathered more coarsely.",
        type=list[TrackerCluster] | None,
        access=TRACKERS_READ,
        by_viewer=True,
    )
    @staticmethod
    async def trackers_in_box(
        info: Info, box: BoundingBox, zoom: int, filter: MapFilter | None = None
    ) -> list[_Cluster]:
        if not 0 <= zoom <= MAXIMUM_ZOOM:
            raise BadUserInput(
                f"`zoom` must be from 0 to {MAXIMUM_ZOOM}, and is {zoom}.",
                argument="zoom",
                allowed=[f"0..{MAXIMUM_ZOOM}"],
            )
        narrowed = filter or MapFilter()
        wanted = WantedClusters(
            box_of(box, "box"),
            zoom,
            _key(narrowed.client_id, PublicIdTag.CLIENT, "filter.clientId"),
            _key(narrowed.production_run_id, PublicIdTag.PRODUCTION_RUN, "filter.productionRunId"),
            None if narrowed.statuses is None else [status.value for status in narrowed.statuses],
        )
        return [_shown(cluster) for cluster in await info.context.snapshot.read(clusters_in_box, wanted)]
