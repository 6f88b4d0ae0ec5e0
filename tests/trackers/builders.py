"""Clients with members, trackers, places and a history for tests, written straight into the tables."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.secrets import place_of
from app.identity.viewer import Viewer
from app.trackers.history_models import LocationFix, StatusChange, Visit
from app.trackers.models import (
    ADVERTISED_KEY_BYTES,
    Brand,
    Client,
    Membership,
    MembershipRole,
    Place,
    PlaceKind,
    ProductionRun,
    ProductionRunPlace,
    Tracker,
    TrackerAttachment,
    TrackerKey,
    TrackerStatus,
)
from tests.identity.builders import SECRETS, add_person, session_of

# Monday, from where the journeys of tests begin.
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
BUCKET = timedelta(minutes=10)
# Latitude and longitude of the two ends of a journey.
WAREHOUSE = (53.5461, 9.9661)
CUSTOMER = (48.1374, 11.5755)


def point(latitude: float, longitude: float) -> str:
    """A point as the text of a geography column."""
    return f"SRID=4326;POINT({longitude!r} {latitude!r})"


async def client_of(
    connection: AsyncConnection,
    *owners: UUID,
    members: Mapping[UUID, MembershipRole] | None = None,
    name: str = "Grey Quay",
    **columns: Any,
) -> UUID:
    """A client of these owners, and of others by their roles."""
    client_id = new_id()
    await connection.execute(insert(Client).values(id=client_id, name=name, **columns))
    for user_id, role in (dict.fromkeys(owners, MembershipRole.OWNER) | dict(members or {})).items():
        await member_of(connection, client_id, user_id, role)
    return client_id


async def member_of(connection: AsyncConnection, client_id: UUID, user_id: UUID, role: MembershipRole) -> UUID:
    """Somebody who belongs to a client; gives the membership."""
    membership_id = new_id()
    await connection.execute(
        insert(Membership).values(id=membership_id, client_id=client_id, user_id=user_id, role=role.value)
    )
    return membership_id


async def brand_of(connection: AsyncConnection, client_id: UUID, name: str = "Hollow Pine", **columns: Any) -> UUID:
    """A brand of a client."""
    brand_id = new_id()
    await connection.execute(insert(Brand).values(id=brand_id, client_id=client_id, name=name, **columns))
    return brand_id


async def run_of(
    connection: AsyncConnection, client_id: UUID, brand_id: UUID, description: str = "First batch", **columns: Any
) -> UUID:
    """A production run that began on Monday."""
    run_id = new_id()
    values = {"started_at": MONDAY} | columns
    await connection.execute(
        insert(ProductionRun).values(
            id=run_id, client_id=client_id, brand_id=brand_id, description=description, **values
        )
    )
    return run_id


async def place_of_client(
    connection: AsyncConnection,
    client_id: UUID,
    name: str = "Warehouse",
    *runs: UUID,
    kind: PlaceKind = PlaceKind.STORAGE,
    at: tuple[float, float] = WAREHOUSE,
    radius_meters: float = 100,
    **columns: Any,
) -> UUID:
    """A round place of a client, for these production runs or for all trackers."""
    place_id = new_id()
    shape = {"shape": point(*at), "center": point(*at), "reach_meters": radius_meters}
    await connection.execute(
        insert(Place).values(
            id=place_id,
            client_id=client_id,
            name=name,
            kind=kind.value,
            radius_meters=radius_meters,
            **(shape | columns),
        )
    )
    for run_id in runs:
        await connection.execute(
            insert(ProductionRunPlace).values(production_run_id=run_id, place_id=place_id, client_id=client_id)
        )
    return place_id


async def tracker_of(
    connection: AsyncConnection, client_id: UUID, name: str = "Box 1", *, run_id: UUID | None = None, **columns: Any
) -> UUID:
    """A tracker of a client, in a production run if one is named."""
    tracker_id = new_id()
    await connection.execute(
        insert(Tracker).values(id=tracker_id, client_id=client_id, name=name, production_run_id=run_id, **columns)
    )
    return tracker_id


async def key_of(
    connection: AsyncConnection, client_id: UUID, tracker_id: UUID, *, private_key: bytes | None = None, **columns: Any
) -> bytes:
    """A key of a tracker, of random bytes that are on no curve; gives the hashed key that reports name."""
    key_id, advertised = new_id(), os.urandom(ADVERTISED_KEY_BYTES)
    hashed = hashlib.sha256(advertised).digest()
    secret = private_key or os.urandom(ADVERTISED_KEY_BYTES)
    values = {
        "advertised_key": advertised,
        "hashed_key": hashed,
        "private_key": SECRETS.encrypt(secret, place_of(TrackerKey.private_key, key_id)),
    }
    await connection.execute(
        insert(TrackerKey).values(id=key_id, client_id=client_id, tracker_id=tracker_id, **(values | columns))
    )
    return hashed


async def attachment_of(
    connection: AsyncConnection,
    client_id: UUID,
    tracker_id: UUID,
    *,
    run_id: UUID | None = None,
    owner_id: UUID | None = None,
    holding_id: UUID | None = None,
    preorder_id: UUID | None = None,
    **columns: Any,
) -> UUID:
    """What a tracker rides with: a parcel of a production run, or somebody's holding or preorder."""
    attachment_id = new_id()
    values = {"parcel": None if run_id is None else "Parcel 1"} | columns
    await connection.execute(
        insert(TrackerAttachment).values(
            id=attachment_id,
            client_id=client_id,
            tracker_id=tracker_id,
            production_run_id=run_id,
            owner_id=owner_id,
            holding_id=holding_id,
            preorder_id=preorder_id,
            **values,
        )
    )
    return attachment_id


async def fixes_of(
    connection: AsyncConnection,
    client_id: UUID,
    tracker_id: UUID,
    *path: tuple[float, float],
    start: datetime = MONDAY,
    accuracy_meters: float = 10,
) -> list[datetime]:
    """A fix in each bucket from `start` on, one for each point of the path; gives the buckets."""
    buckets = [start + number * BUCKET for number in range(len(path))]
    await connection.execute(
        text("SELECT trackers.ensure_partitions('location_fixes', CAST(:buckets AS timestamptz[]))"),
        {"buckets": buckets},
    )
    for bucket, place in zip(buckets, path, strict=True):
        await connection.execute(
            insert(LocationFix).values(
                tracker_id=tracker_id,
                bucket=bucket,
                client_id=client_id,
                position=point(*place),
                accuracy_meters=accuracy_meters,
                last_reported_at=bucket,
                report_count=1,
                dropped_count=0,
                is_anomalous=False,
            )
        )
    return buckets


async def status_of(
    connection: AsyncConnection,
    client_id: UUID,
    tracker_id: UUID,
    status: TrackerStatus,
    started_at: datetime,
    *,
    ended_at: datetime | None = None,
    place_id: UUID | None = None,
) -> None:
    """A time in the life of a tracker."""
    await connection.execute(
        insert(StatusChange).values(
            tracker_id=tracker_id,
            client_id=client_id,
            started_at=started_at,
            ended_at=ended_at,
            status=status.value,
            place_id=place_id,
        )
    )


async def visit_of(
    connection: AsyncConnection,
    client_id: UUID,
    tracker_id: UUID,
    place_id: UUID,
    arrived_at: datetime,
    *,
    departed_at: datetime | None = None,
    fix_count: int = 1,
) -> None:
    """A stay of a tracker at a place."""
    await connection.execute(
        insert(Visit).values(
            tracker_id=tracker_id,
            client_id=client_id,
            place_id=place_id,
            arrived_at=arrived_at,
            departed_at=departed_at,
            fix_count=fix_count,
        )
    )


@dataclass(frozen=True, slots=True)
class Organisation:
    """A client with a member of each role, and somebody who belongs to another; each signed in."""

    owner: Viewer
    operator: Viewer
    viewer: Viewer
    # The owner of another client, who is no member of this one.
    stranger: Viewer
    client_id: UUID
    brand_id: UUID
    run_id: UUID
    warehouse_id: UUID
    customer_id: UUID
    tracker_id: UUID
    strangers_client_id: UUID

    @property
    def client(self) -> str:
        """The client's id in the graph."""
        return public_id(PublicIdTag.CLIENT, self.client_id)

    @property
    def brand(self) -> str:
        """The brand's id in the graph."""
        return public_id(PublicIdTag.BRAND, self.brand_id)

    @property
    def run(self) -> str:
        """The production run's id in the graph."""
        return public_id(PublicIdTag.PRODUCTION_RUN, self.run_id)

    @property
    def warehouse(self) -> str:
        """The storage place's id in the graph."""
        return public_id(PublicIdTag.PLACE, self.warehouse_id)

    @property
    def customer(self) -> str:
        """The delivery place's id in the graph."""
        return public_id(PublicIdTag.PLACE, self.customer_id)

    @property
    def tracker(self) -> str:
        """The tracker's id in the graph."""
        return public_id(PublicIdTag.TRACKER, self.tracker_id)


async def organisation(database: Database) -> Organisation:
    """Two clients: one with members of each role, a brand, a run, two places and a tracker with a history."""
    async with database.transaction() as transaction:
        connection = transaction.connection
        await connection.execute(text("SET LOCAL ROLE trove_migrator"))
        owner, operator, viewer, stranger = [
            await add_person(connection, username=name) for name in ("olga", "piet", "vera", "sten")
        ]
        roles = {operator: MembershipRole.OPERATOR, viewer: MembershipRole.VIEWER}
    async with database.transaction() as transaction:
        connection = transaction.connection
        client_id = await client_of(connection, owner, members=roles)
        strangers_client_id = await client_of(connection, stranger, name="Tidewatch")
        brand_id = await brand_of(connection, client_id)
        run_id = await run_of(connection, client_id, brand_id)
        warehouse_id = await place_of_client(connection, client_id, "Warehouse", run_id)
        customer_id = await place_of_client(connection, client_id, "Customer", kind=PlaceKind.DELIVERY, at=CUSTOMER)
        tracker_id = await delivered_tracker(
            connection, client_id, warehouse_id, customer_id, run_id=run_id, start=MONDAY
        )
    return Organisation(
        owner=await session_of(database, owner),
        operator=await session_of(database, operator),
        viewer=await session_of(database, viewer),
        stranger=await session_of(database, stranger),
        client_id=client_id,
        brand_id=brand_id,
        run_id=run_id,
        warehouse_id=warehouse_id,
        customer_id=customer_id,
        tracker_id=tracker_id,
        strangers_client_id=strangers_client_id,
    )


async def delivered_tracker(
    connection: AsyncConnection,
    client_id: UUID,
    warehouse_id: UUID,
    customer_id: UUID,
    *,
    name: str = "Box 1",
    run_id: UUID | None = None,
    start: datetime = MONDAY,
) -> UUID:
    """A tracker that was stored, on its way, and is delivered, with the history that says so and a key."""
    road, arrival = start + 6 * BUCKET, start + 18 * BUCKET
    tracker_id = await tracker_of(
        connection,
        client_id,
        name,
        run_id=run_id,
        status=TrackerStatus.DELIVERED.value,
        status_since=arrival,
        status_place_id=customer_id,
        last_fix_at=arrival,
        last_reported_at=arrival,
        last_position=point(*CUSTOMER),
        last_accuracy_meters=10,
        silent_at=utc_now() + timedelta(days=1),
    )
    await key_of(connection, client_id, tracker_id)
    await fixes_of(connection, client_id, tracker_id, WAREHOUSE, WAREHOUSE, start=start)
    await fixes_of(connection, client_id, tracker_id, (51.0, 10.5), start=road)
    await fixes_of(connection, client_id, tracker_id, CUSTOMER, start=arrival)
    await visit_of(connection, client_id, tracker_id, warehouse_id, start, departed_at=road, fix_count=2)
    await visit_of(connection, client_id, tracker_id, customer_id, arrival)
    for status, begin, end, place_id in (
        (TrackerStatus.IN_STORAGE, start, road, warehouse_id),
        (TrackerStatus.IN_TRANSIT, road, arrival, None),
        (TrackerStatus.DELIVERED, arrival, None, customer_id),
    ):
        await status_of(connection, client_id, tracker_id, status, begin, ended_at=end, place_id=place_id)
    return tracker_id
