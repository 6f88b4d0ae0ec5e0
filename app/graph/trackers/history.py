"""Where trackers were: fixes, statuses and stays at places."""

from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.graph.access import private
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import column, edge, embedded, shows
from app.graph.scalars import BigInt
from app.graph.trackers.errors import MEMBERS_ALONE
from app.graph.trackers.points import LatLng
from app.trackers.history_models import StatusChange as StatusRow
from app.trackers.history_models import Visit as VisitRow
from app.trackers.models import City as CityRow
from app.trackers.models import Place as PlaceRow
from app.trackers.models import Tracker as TrackerRow
from app.trackers.models import TrackerStatus
from app.trackers.queries.fixes import FIXES
from app.trackers.queries.positions import POINT, latitude_of, longitude_of
from app.trackers.queries.status_times import DWELL

if TYPE_CHECKING:
    from app.graph.trackers.places import Place
    from app.graph.trackers.trackers import Tracker


class StatusOrder(Enum):
    """What the statuses of a tracker are ordered by."""

    STARTED_AT = "started_at"


class VisitOrder(Enum):
    """What stays are ordered by."""

    ARRIVED_AT = "arrived_at"


STATUS_ORDERS = Orders(
    "tracker-statuses", {StatusOrder.STARTED_AT: StatusRow.started_at}, tie=StatusRow.tracker_id, newest_first=True
)
VISIT_ORDERS = Orders(
    "visits", {VisitOrder.ARRIVED_AT: VisitRow.arrived_at}, tie=VisitRow.tracker_id, newest_first=True
)


@strawberry.type(description="A city of the world. From the bundled table, which is without those below 15,000 people.")
@shows(CityRow, key=CityRow.id)
class City:
    name: str = column(CityRow.name, "Its name.")
    country: str = column(CityRow.country, "The country that it is in, in English.")
    population: BigInt = column(CityRow.population, "How many people live there.")
    position: LatLng = embedded(
        "Where it is.",
        instead={POINT.c.latitude: latitude_of(CityRow.position), POINT.c.longitude: longitude_of(CityRow.position)},
    )


@strawberry.type(description="Where a tracker was in ten minutes: the best estimate of the reports of that time.")
@private(MEMBERS_ALONE)
@shows(FIXES)
class LocationFix:
    bucket: datetime = column(FIXES.c.bucket, "The start of the ten minutes.")
    position: LatLng = embedded(
        "Where it was.",
        instead={POINT.c.latitude: FIXES.c.latitude, POINT.c.longitude: FIXES.c.longitude},
    )
    accuracy_meters: float = column(FIXES.c.accuracy_meters, "Within how many metres, as far as the reports say.")
    confidence: int | None = column(
        FIXES.c.confidence, "The highest confidence of its reports, as their network gave it; null where none did."
    )
    last_reported_at: datetime = column(FIXES.c.last_reported_at, "When the last of its reports saw it.")
    report_count: int = column(FIXES.c.report_count, "How many reports there are of that time.")
    dropped_count: int = column(
        FIXES.c.dropped_count, "How many of them lay too far from the others, and do not count."
    )
    is_anomalous: bool = column(
        FIXES.c.is_anomalous, "Whether getting there and away took an impossible speed: it is left out of all else."
    )
    nearest_city: City | None = edge(
        "The nearest city within 50 km; null where there is none.", on=FIXES.c.city_id, to=CityRow.id
    )


@strawberry.type(description="A time in the life of a tracker in which its status and its place stayed the same.")
@private(MEMBERS_ALONE)
@shows(StatusRow)
class TrackerStatusChange:
    status: TrackerStatus = column(StatusRow.status, "The status.")
    started_at: datetime = column(StatusRow.started_at, "Since when.")
    ended_at: datetime | None = column(StatusRow.ended_at, "Until when; null while it lasts.")
    place: Annotated["Place", strawberry.lazy("app.graph.trackers.places")] | None = edge(
        "Where it is stored or delivered; null otherwise.", on=StatusRow.place_id, to=PlaceRow.id
    )
    tracker: Annotated["Tracker", strawberry.lazy("app.graph.trackers.trackers")] | None = edge(
        "The tracker.", on=StatusRow.tracker_id, to=TrackerRow.id
    )


@strawberry.type(description="A stay of a tracker at a place.")
@private(MEMBERS_ALONE)
@shows(VisitRow)
class TrackerVisit:
    arrived_at: datetime = column(VisitRow.arrived_at, "When it arrived.")
    departed_at: datetime | None = column(VisitRow.departed_at, "When it left; null while it is there.")
    dwell: timedelta = column(DWELL, "How long it was there; until now while it is.")
    fix_count: int = column(VisitRow.fix_count, "How many fixes there are of it there.")
    place: Annotated["Place", strawberry.lazy("app.graph.trackers.places")] | None = edge(
        "Where it was.", on=VisitRow.place_id, to=PlaceRow.id
    )
    tracker: Annotated["Tracker", strawberry.lazy("app.graph.trackers.trackers")] | None = edge(
        "The tracker.", on=VisitRow.tracker_id, to=TrackerRow.id
    )
