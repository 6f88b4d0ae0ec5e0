"""Trackers: radio tags, their keys, and what they ride with."""

from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.context import Info
from app.graph.fields import resolved
from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import column, connection, edge, edges, embedded, shows
from app.graph.reads.layout import Row, value_of
from app.graph.relay import Connection, Node
from app.graph.scalars import GeoJSON
from app.graph.trackers.clients import Client, ProductionRun
from app.graph.trackers.errors import MEMBERS_ALONE, TRACKERS_READ
from app.graph.trackers.history import (
    STATUS_ORDERS,
    VISIT_ORDERS,
    City,
    LocationFix,
    TrackerStatusChange,
    TrackerVisit,
)
from app.graph.trackers.points import LatLng
from app.graph.trackers.tracker_lists import TRACKER_ORDERS, TrackerFilter
from app.graph.trackers.tracks import OF_A_TIME, asked_fixes, check_times, fixes_of_tracker
from app.portfolios.models import Holding as HoldingRow
from app.portfolios.wish_models import Preorder as PreorderRow
from app.trackers.history_models import StatusChange as StatusRow
from app.trackers.history_models import Visit as VisitRow
from app.trackers.lines import geojson_line
from app.trackers.models import City as CityRow
from app.trackers.models import Client as ClientRow
from app.trackers.models import Place as PlaceRow
from app.trackers.models import ProductionRun as RunRow
from app.trackers.models import Tracker as TrackerRow
from app.trackers.models import TrackerAttachment as AttachmentRow
from app.trackers.models import TrackerKey as KeyRow
from app.trackers.models import TrackerStatus
from app.trackers.queries.fixes import AskedTrack, distances_of, lines_of
from app.trackers.queries.keys import ADVERTISED_KEY, HASHED_KEY
from app.trackers.queries.positions import HAS_FIX, POINT, latitude_of, longitude_of
from app.trackers.queries.status_times import AskedTimes, StatusTimes, status_times_of

if TYPE_CHECKING:
    from app.graph.portfolios.holdings import Holding
    from app.graph.trackers.places import Place
    from app.graph.wishes.preorders import Preorder

# `from` is a word of Python's own.
Since = Annotated[datetime | None, strawberry.argument(name="from")]


class AttachmentOrder(Enum):
    """What the rides of a tracker are ordered by."""

    ATTACHED_AT = "attached_at"


ATTACHMENT_ORDERS = Orders(
    "tracker-attachments",
    {AttachmentOrder.ATTACHED_AT: AttachmentRow.attached_at},
    tie=AttachmentRow.id,
    newest_first=True,
)


@strawberry.type(description="A key that a tracker advertises. Its private part never leaves the server.")
@private(MEMBERS_ALONE)
@shows(KeyRow, PublicIdTag.TRACKER_KEY)
class TrackerKey(Node):
    advertised_key: str = column(ADVERTISED_KEY, "What it advertises: base64 of 28 bytes.")
    hashed_key: str = column(HASHED_KEY, "What reports name it by: base64 of the SHA-256 of the advertised key.")
    created_at: datetime = column(KeyRow.created_at, "When it was given to the tracker.")
    retired_at: datetime | None = column(KeyRow.retired_at, "When it stopped being asked for; null while it is in use.")


@strawberry.type(
    description="What a tracker rode with: a holding, a preorder, or a parcel of a production run. What is somebody's "
    "own is theirs alone to see."
)
@private(MEMBERS_ALONE)
@shows(AttachmentRow, PublicIdTag.TRACKER_ATTACHMENT)
class TrackerAttachment(Node):
    attached_at: datetime = column(AttachmentRow.attached_at, "Since when.")
    detached_at: datetime | None = column(AttachmentRow.detached_at, "Until when; null while it does.")
    parcel: str | None = column(AttachmentRow.parcel, "What the parcel is called; null of anything else.")
    tracker: Annotated["Tracker", strawberry.lazy("app.graph.trackers.trackers")] | None = edge(
        "The tracker.", on=AttachmentRow.tracker_id, to=TrackerRow.id
    )
    production_run: ProductionRun | None = edge(
        "The production run that the parcel is of; null of anything else.",
        on=AttachmentRow.production_run_id,
        to=RunRow.id,
    )
    holding: Annotated["Holding", strawberry.lazy("app.graph.portfolios.holdings")] | None = edge(
        "The holding; null of anything else.",
        on=AttachmentRow.holding_id,
        to=HoldingRow.id,
        access=PORTFOLIOS_READ,
    )
    preorder: Annotated["Preorder", strawberry.lazy("app.graph.wishes.preorders")] | None = edge(
        "The preorder; null of anything else.",
        on=AttachmentRow.preorder_id,
        to=PreorderRow.id,
        access=PORTFOLIOS_READ,
    )


@strawberry.type(description="Where a tracker was when it was last heard of.")
@private(MEMBERS_ALONE)
@shows(TrackerRow)
class LastFix:
    bucket: datetime = column(TrackerRow.last_fix_at, "The start of the ten minutes that it is of.", present=True)
    last_reported_at: datetime = column(
        TrackerRow.last_reported_at, "When the last of its reports saw it.", present=True
    )
    position: LatLng = embedded(
        "Where it was.",
        instead={
            POINT.c.latitude: latitude_of(TrackerRow.last_position),
            POINT.c.longitude: longitude_of(TrackerRow.last_position),
        },
    )
    accuracy_meters: float = column(
        TrackerRow.last_accuracy_meters, "Within how many metres, as far as the reports say.", present=True
    )
    confidence: int | None = column(
        TrackerRow.last_confidence, "The highest confidence of its reports, as their network gave it."
    )
    nearest_city: City | None = edge(
        "The nearest city within 50 km; null where there is none.", on=TrackerRow.last_city_id, to=CityRow.id
    )


@strawberry.type(description="A radio tag that rides with something. Where it is follows from reports of it.")
@private(MEMBERS_ALONE)
@shows(TrackerRow, PublicIdTag.TRACKER)
class Tracker(Node):
    name: str = column(TrackerRow.name, "Its name.")
    status: TrackerStatus = column(TrackerRow.status, "Where it is in the life of what it rides with.")
    status_since: datetime = column(TrackerRow.status_since, "Since when.")
    retired_at: datetime | None = column(TrackerRow.retired_at, "When it was put away; null while it is in use.")
    last_report_requested_at: datetime | None = column(
        TrackerRow.last_report_requested_at, "When its reports were last asked for; null where they never were."
    )
    last_report_received_at: datetime | None = column(
        TrackerRow.last_report_received_at, "When a report of it last came in; null where none did."
    )
    version: int = column(TrackerRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(TrackerRow.created_at, "When it was made.")
    updated_at: datetime = column(TrackerRow.updated_at, "When it was last changed.")
    client: Client | None = edge("Whose it is.", on=TrackerRow.client_id, to=ClientRow.id)
    production_run: ProductionRun | None = edge(
        "The production run that it belongs to; null where it belongs to none.",
        on=TrackerRow.production_run_id,
        to=RunRow.id,
    )
    keys: list[TrackerKey] = edges(
        "The keys that it advertises, and those that it did, the oldest first.",
        on=TrackerRow.id,
        to=KeyRow.tracker_id,
        order=[KeyRow.created_at, KeyRow.id],
    )
    place: Annotated["Place", strawberry.lazy("app.graph.trackers.places")] | None = edge(
        "Where it is stored or delivered; null otherwise.", on=TrackerRow.status_place_id, to=PlaceRow.id
    )
    last_fix: LastFix | None = embedded(
        "Where it was when it was last heard of; null where it never was.", when=HAS_FIX
    )
    fixes: list[LocationFix] = fixes_of_tracker()
    status_changes: Connection[TrackerStatusChange] | None = connection(
        "Its statuses, the newest first.", on=TrackerRow.id, to=StatusRow.tracker_id, orders=STATUS_ORDERS
    )
    visits: Connection[TrackerVisit] | None = connection(
        "Its stays at places, the newest first.", on=TrackerRow.id, to=VisitRow.tracker_id, orders=VISIT_ORDERS
    )
    carrying: TrackerAttachment | None = edge(
        "What it rides with now; null where that is nothing, or somebody else's.",
        on=TrackerRow.id,
        to=AttachmentRow.tracker_id,
        where=AttachmentRow.detached_at.is_(None),
    )
    attachments: Connection[TrackerAttachment] | None = connection(
        "What it rode with, the newest first; without what is somebody else's.",
        on=TrackerRow.id,
        to=AttachmentRow.tracker_id,
        orders=ATTACHMENT_ORDERS,
    )

    @resolved(f"How far it went in metres: along its fixes without anomalies {OF_A_TIME}.")
    @staticmethod
    async def distance(root: Parent[Row], info: Info, from_: Since = None, to: datetime | None = None) -> float:
        fixes = asked_fixes(from_, to, now=info.context.now)
        asked = AskedTrack(value_of(root, TrackerRow.id), fixes)
        (meters,) = await info.context.loaders.several(distances_of, [asked])
        return meters or 0.0

    @resolved(
        f"The line through its fixes without anomalies {OF_A_TIME}: a LineString, or a MultiLineString where it is cut "
        "at the antimeridian. Null of fewer than two fixes. Fixes after one another at the same position are one "
        "position of it, so it has fewer than `fixes`. `simplifyMeters` leaves positions out as in `fixes`."
    )
    @staticmethod
    async def path(
        root: Parent[Row],
        info: Info,
        from_: Since = None,
        to: datetime | None = None,
        simplify_meters: float | None = None,
    ) -> GeoJSON | None:
        fixes = asked_fixes(from_, to, now=info.context.now, simplify_meters=simplify_meters)
        asked = AskedTrack(value_of(root, TrackerRow.id), fixes)
        (positions,) = await info.context.loaders.several(lines_of, [asked])
        line = geojson_line(positions or [])
        return None if line is None else GeoJSON(line)

    @resolved(
        "How long it was on its way, from `from` until `to` where they are given: the sum of its statuses "
        "`IN_TRANSIT`; one that lasts ends now. The transit times in the statistics of a production run are others: "
        "from when a tracker first set off until it was delivered, with what it was stored or silent meanwhile."
    )
    @staticmethod
    async def transit_time(root: Parent[Row], info: Info, from_: Since = None, to: datetime | None = None) -> timedelta:
        return (await _status_times(root, info, from_, to)).in_transit

    @resolved(
        "How long it was in storage, from `from` until `to` where they are given: the sum of its statuses "
        "`IN_STORAGE`; one that lasts ends now."
    )
    @staticmethod
    async def storage_time(root: Parent[Row], info: Info, from_: Since = None, to: datetime | None = None) -> timedelta:
        return (await _status_times(root, info, from_, to)).in_storage


async def _status_times(root: Row, info: Info, since: datetime | None, until: datetime | None) -> StatusTimes:
    check_times(since, until)
    asked = AskedTimes(value_of(root, TrackerRow.id), since, until, info.context.now)
    (times,) = await info.context.loaders.several(status_times_of, [asked])
    return times or StatusTimes()


@strawberry.type
class TrackerQueries:
    trackers: Connection[Tracker] | None = connection(
        "The trackers of one's clients, by name unless ordered otherwise.",
        orders=TRACKER_ORDERS,
        filter=TrackerFilter,
        access=TRACKERS_READ,
    )
