"""Places: where things are stored or delivered."""

from datetime import datetime

import strawberry

from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.reads.fields import column, connection, edge, edges, embedded, shows
from app.graph.reads.tables import join
from app.graph.relay import Connection, Node
from app.graph.scalars import GeoJSON
from app.graph.trackers.clients import Client, ProductionRun
from app.graph.trackers.errors import MEMBERS_ALONE, TRACKERS_READ
from app.graph.trackers.history import VISIT_ORDERS, TrackerVisit
from app.graph.trackers.place_lists import PLACE_ORDERS, PlaceFilter
from app.graph.trackers.points import LatLng
from app.graph.trackers.tracker_lists import TRACKER_ORDERS, TrackerFilter
from app.graph.trackers.trackers import Tracker
from app.trackers.history_models import Visit as VisitRow
from app.trackers.models import Client as ClientRow
from app.trackers.models import Place as PlaceRow
from app.trackers.models import PlaceKind
from app.trackers.models import ProductionRun as RunRow
from app.trackers.models import ProductionRunPlace as RunPlaceRow
from app.trackers.models import Tracker as TrackerRow
from app.trackers.queries.positions import POINT, SHAPE_OF_PLACE, latitude_of, longitude_of

OF_PLACE = join(RunPlaceRow, RunPlaceRow.production_run_id == RunRow.id)


@strawberry.type(description="Where things are stored or delivered: a circle or a polygon on the earth.")
@private(MEMBERS_ALONE)
@shows(PlaceRow, PublicIdTag.PLACE, listed=PlaceRow.deleted_at.is_(None))
class Place(Node):
    kind: PlaceKind = column(PlaceRow.kind, "What it means to be there.")
    name: str = column(PlaceRow.name, "Its name.")
    shape: GeoJSON = column(SHAPE_OF_PLACE, "The centre of a circle as a Point, or the Polygon.")
    center: LatLng = embedded(
        "Its middle.",
        instead={POINT.c.latitude: latitude_of(PlaceRow.center), POINT.c.longitude: longitude_of(PlaceRow.center)},
    )
    radius_meters: float = column(PlaceRow.radius_meters, "How far from the shape one is still there, in metres.")
    dwell_fixes: int = column(PlaceRow.dwell_fixes, "After how many fixes in a row there one has arrived.")
    dwell_minutes: int = column(PlaceRow.dwell_minutes, "How many minutes those have to span.")
    active_from: datetime | None = column(
        PlaceRow.active_from, "Since when it counts; null where it counts for all of the past."
    )
    active_until: datetime | None = column(PlaceRow.active_until, "Until when it counts; null where it goes on.")
    version: int = column(PlaceRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(PlaceRow.created_at, "When it was made.")
    updated_at: datetime = column(PlaceRow.updated_at, "When it was last changed.")
    client: Client | None = edge("Whose it is.", on=PlaceRow.client_id, to=ClientRow.id)
    production_runs: list[ProductionRun] = edges(
        "The production runs that pass through it; where there is none it is one for all trackers of its client.",
        on=PlaceRow.id,
        to=RunPlaceRow.place_id,
        joins=[OF_PLACE],
        order=[RunRow.started_at, RunRow.id],
    )
    trackers: Connection[Tracker] | None = connection(
        "The trackers that are there now, by name.",
        on=PlaceRow.id,
        to=TrackerRow.status_place_id,
        orders=TRACKER_ORDERS,
        filter=TrackerFilter,
    )
    visits: Connection[TrackerVisit] | None = connection(
        "The stays of trackers there, the newest first.",
        on=PlaceRow.id,
        to=VisitRow.place_id,
        orders=VISIT_ORDERS,
    )


@strawberry.type
class PlaceQueries:
    places: Connection[Place] | None = connection(
        "The places of one's clients, by name.", orders=PLACE_ORDERS, filter=PlaceFilter, access=TRACKERS_READ
    )
