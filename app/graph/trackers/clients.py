"""Clients: the organisations that trackers belong to, their members, brands and production runs."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import Parent

from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.fields import resolved, show_enum
from app.graph.reads.arguments import OperationContext, Orders
from app.graph.reads.fields import column, connection, edge, edges, keyed_rows, shows
from app.graph.reads.layout import Row, value_of
from app.graph.reads.tables import join
from app.graph.relay import Connection, Node
from app.graph.scalars import URL
from app.graph.trackers.errors import MEMBERS_ALONE, TRACKERS_READ
from app.graph.trackers.place_lists import PLACE_ORDERS, PlaceFilter
from app.graph.trackers.tracker_lists import TRACKER_ORDERS, StatusCount, TrackerFilter, status_counts
from app.identity.models import public_profiles
from app.trackers.models import Brand as BrandRow
from app.trackers.models import Client as ClientRow
from app.trackers.models import Membership as MembershipRow
from app.trackers.models import MembershipRole, TrackerStatus
from app.trackers.models import Place as PlaceRow
from app.trackers.models import ProductionRun as RunRow
from app.trackers.models import ProductionRunPlace as RunPlaceRow
from app.trackers.models import Tracker as TrackerRow
from app.trackers.queries.status_times import RELIABLE_FROM, RUN_IDS, RUN_STATISTICS

if TYPE_CHECKING:
    from app.graph.identity.accounts import User
    from app.graph.trackers.places import Place
    from app.graph.trackers.trackers import Tracker

show_enum(
    MembershipRole,
    "What a member of a client may do.",
    {
        MembershipRole.VIEWER: "See its trackers and places.",
        MembershipRole.OPERATOR: "Change its brands, production runs, trackers and places too, and send reports.",
        MembershipRole.OWNER: "Change the client and its members too.",
    },
)


class ClientOrder(Enum):
    """What clients are ordered by."""

    NAME = "name"


class RunOrder(Enum):
    """What production runs are ordered by."""

    STARTED_AT = "started_at"


CLIENT_ORDERS = Orders("clients", {ClientOrder.NAME: ClientRow.name}, tie=ClientRow.id)
BRAND_ORDERS = Orders("brands", {ClientOrder.NAME: BrandRow.name}, tie=BrandRow.id)
RUN_ORDERS = Orders("production-runs", {RunOrder.STARTED_AT: RunRow.started_at}, tie=RunRow.id, newest_first=True)
OF_STATUS = {status: RUN_STATISTICS.c[f"of_{status.value}"] for status in TrackerStatus}
OF_RUN = join(RunPlaceRow, RunPlaceRow.place_id == PlaceRow.id)


@strawberry.type(description="Somebody who belongs to a client, and what they may do there.")
@private(MEMBERS_ALONE)
@shows(MembershipRow, PublicIdTag.MEMBERSHIP, key=MembershipRow.id)
class Membership(Node):
    role: MembershipRole = column(MembershipRow.role, "What they may do.")
    created_at: datetime = column(MembershipRow.created_at, "Since when they belong to it.")
    user: Annotated["User", strawberry.lazy("app.graph.identity.accounts")] | None = edge(
        "Who it is; null of somebody who is leaving Trove.", on=MembershipRow.user_id, to=public_profiles.c.id
    )
    client: "Client | None" = edge("What they belong to.", on=MembershipRow.client_id, to=ClientRow.id)


@strawberry.type(description="An organisation whose trackers these are. Its members alone see anything of it.")
@private(MEMBERS_ALONE)
@shows(ClientRow, PublicIdTag.CLIENT)
class Client(Node):
    name: str = column(ClientRow.name, "Its name.")
    logo_url: URL | None = column(ClientRow.logo_url, "Its logo; null where none is given.")
    silent_after_minutes: int = column(
        ClientRow.silent_after_minutes, "After how many minutes without a fix a tracker of it is silent."
    )
    version: int = column(ClientRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(ClientRow.created_at, "When it was made.")
    updated_at: datetime = column(ClientRow.updated_at, "When it was last changed.")
    members: list[Membership] = edges(
        "Who belongs to it, the longest first; 250 at most.",
        on=ClientRow.id,
        to=MembershipRow.client_id,
        order=[MembershipRow.created_at, MembershipRow.user_id],
    )
    brands: Connection["Brand"] | None = connection(
        "The names under which it sells, by name.", on=ClientRow.id, to=BrandRow.client_id, orders=BRAND_ORDERS
    )
    production_runs: Connection["ProductionRun"] | None = connection(
        "What it makes, the newest first.", on=ClientRow.id, to=RunRow.client_id, orders=RUN_ORDERS
    )
    trackers: Connection[Annotated["Tracker", strawberry.lazy("app.graph.trackers.trackers")]] | None = connection(
        "Its trackers, by name unless ordered otherwise.",
        on=ClientRow.id,
        to=TrackerRow.client_id,
        orders=TRACKER_ORDERS,
        filter=TrackerFilter,
    )
    places: Connection[Annotated["Place", strawberry.lazy("app.graph.trackers.places")]] | None = connection(
        "Its places, by name.", on=ClientRow.id, to=PlaceRow.client_id, orders=PLACE_ORDERS, filter=PlaceFilter
    )


@strawberry.type(description="A name under which a client sells.")
@private(MEMBERS_ALONE)
@shows(BrandRow, PublicIdTag.BRAND)
class Brand(Node):
    name: str = column(BrandRow.name, "Its name, unique among its client's.")
    logo_url: URL | None = column(BrandRow.logo_url, "Its logo; null where none is given.")
    version: int = column(BrandRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(BrandRow.created_at, "When it was made.")
    updated_at: datetime = column(BrandRow.updated_at, "When it was last changed.")
    client: Client | None = edge("Whose it is.", on=BrandRow.client_id, to=ClientRow.id)
    production_runs: Connection["ProductionRun"] | None = connection(
        "What was made under it, the newest first.", on=BrandRow.id, to=RunRow.brand_id, orders=RUN_ORDERS
    )


@strawberry.type(
    description="How the trackers of a production run get on. A transit time is here from when a tracker first set off "
    "until it was first delivered after that, with what it was stored or silent on its way; `Tracker.transitTime` is "
    "without that."
)
@private(MEMBERS_ALONE)
@shows(RUN_STATISTICS, carries=list(OF_STATUS.values()))
class ProductionRunStatistics:
    tracker_count: int = column(RUN_STATISTICS.c.tracker_count, "How many trackers ride with it.")
    sample_size: int = column(
        RUN_STATISTICS.c.sample_size, "How many of them were delivered: of so many transit times."
    )
    is_reliable: bool = column(RUN_STATISTICS.c.is_reliable, f"Whether there are {RELIABLE_FROM} at least.")
    median_transit_time: timedelta | None = column(
        RUN_STATISTICS.c.median_transit_time, "The median of their transit times; null where there are none."
    )
    p80_transit_time: timedelta | None = column(
        RUN_STATISTICS.c.p80_transit_time,
        "The transit time that four of five do not exceed (nearest rank); null where there are none.",
    )

    @resolved("How many of its trackers have which status; without those that none has.")
    @staticmethod
    def statuses(root: Parent[Row]) -> list[StatusCount]:
        return status_counts({status: value_of(root, count) for status, count in OF_STATUS.items()})


def _no_values(_: Mapping[str, Any], __: OperationContext) -> dict[str, Any]:
    return {}


@strawberry.type(description="A batch of one brand's goods that is made, stored and delivered together.")
@private(MEMBERS_ALONE)
@shows(RunRow, PublicIdTag.PRODUCTION_RUN)
class ProductionRun(Node):
    description: str = column(RunRow.description, "What it is.")
    started_at: datetime = column(RunRow.started_at, "When it began.")
    ended_at: datetime | None = column(RunRow.ended_at, "When it ended; null while it goes on.")
    image_url: URL | None = column(RunRow.image_url, "A picture of it; null where none is given.")
    version: int = column(RunRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(RunRow.created_at, "When it was recorded.")
    updated_at: datetime = column(RunRow.updated_at, "When it was last changed.")
    brand: Brand | None = edge("The brand that it is of.", on=RunRow.brand_id, to=BrandRow.id)
    client: Client | None = edge("Whose it is.", on=RunRow.client_id, to=ClientRow.id)
    places: list[Annotated["Place", strawberry.lazy("app.graph.trackers.places")]] = edges(
        "The places that it passes through, by name; 250 at most. A place without production runs is not among them.",
        on=RunRow.id,
        to=RunPlaceRow.production_run_id,
        joins=[OF_RUN],
        where=PlaceRow.deleted_at.is_(None),
        order=[PlaceRow.name, PlaceRow.id],
    )
    trackers: Connection[Annotated["Tracker", strawberry.lazy("app.graph.trackers.trackers")]] | None = connection(
        "The trackers that ride with it, by name.",
        on=RunRow.id,
        to=TrackerRow.production_run_id,
        orders=TRACKER_ORDERS,
        filter=TrackerFilter,
    )
    statistics: ProductionRunStatistics | None = keyed_rows(
        "How its trackers get on.",
        on=RunRow.id,
        to=RUN_STATISTICS.c.production_run_id,
        keys=RUN_IDS,
        order=[RUN_STATISTICS.c.production_run_id],
        is_list=False,
        values=_no_values,
        arguments=[],
    )


@strawberry.type
class ClientQueries:
    clients: Connection[Client] | None = connection(
        "The clients that one is a member of, by name.", orders=CLIENT_ORDERS, access=TRACKERS_READ
    )
