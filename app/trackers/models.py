"""Clients with their brands, production runs and members; trackers with their keys and what they ride with; places."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.geography import Geography, Geometry
from app.core.ids import new_id
from app.core.secrets import encrypted
from app.identity.models import User
from app.portfolios.models import Holding
from app.portfolios.wish_models import Preorder

SCHEMA = "trackers"
OF_A_CLIENT = f"{SCHEMA}.clients.id"
HASH_BYTES = 32
ADVERTISED_KEY_BYTES = 28


class MembershipRole(StrEnum):
    """What a member may do: a viewer sees, an operator keeps trackers and places, an owner keeps the client too."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"


class TrackerStatus(StrEnum):
    """Where a tracker is in the life of what it rides with."""

    CREATED = "created"
    IN_STORAGE = "in_storage"
    IN_TRANSIT = "in_transit"
    DELIVERED = "delivered"
    SILENT = "silent"


class PlaceKind(StrEnum):
    """What it means to be at a place."""

    STORAGE = "storage"
    DELIVERY = "delivery"


class Client(Base):
    """An organisation whose trackers these are. Members of one never see a row of another.

    A tracker of it is silent when no fix came for `silent_after_minutes`. One that was deleted has no members any more,
    and a worker removes it with all that is its own.
    """

    __tablename__ = "clients"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        CheckConstraint("silent_after_minutes BETWEEN 10 AND 525600", name="silence_is_within_a_year"),
        Index("clients_deleted", "id", postgresql_where=text("deleted_at IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    logo_url: Mapped[str | None]
    silent_after_minutes: Mapped[int] = mapped_column(server_default=text("1440"))
    deleted_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Membership(Base):
    """A person who belongs to a client, and what they may do there."""

    __tablename__ = "memberships"
    __table_args__ = (
        CheckConstraint("role IN ('viewer', 'operator', 'owner')", name="role_is_known"),
        UniqueConstraint("id"),
        Index("memberships_by_user", "user_id"),
        {"schema": SCHEMA},
    )

    client_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_CLIENT, ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(default=new_id)
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Brand(Base):
    """A name under which a client sells."""

    __tablename__ = "brands"
    __table_args__ = (
        UniqueConstraint("id", "client_id"),
        UniqueConstraint("client_id", "name"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_CLIENT, ondelete="CASCADE"))
    name: Mapped[str]
    logo_url: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ProductionRun(Base):
    """A batch of one brand's goods that is made, stored and delivered together; `ended_at` is null while it goes on."""

    __tablename__ = "production_runs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["brand_id", "client_id"], [f"{SCHEMA}.brands.id", f"{SCHEMA}.brands.client_id"], deferrable=True
        ),
        UniqueConstraint("id", "client_id"),
        CheckConstraint("char_length(description) BETWEEN 1 AND 500", name="description_is_short"),
        CheckConstraint("ended_at >= started_at", name="ends_after_it_starts"),
        Index("production_runs_by_client", "client_id", "started_at", "id"),
        Index("production_runs_by_brand", "brand_id", "started_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_CLIENT, ondelete="CASCADE"))
    brand_id: Mapped[UUID]
    description: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    image_url: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Place(Base):
    """Where things are stored or delivered: within `radius_meters` of `shape`, a point or a polygon (then 0 at first).

    `reach_meters` is the radius of a circle as large as the place, by which leaving it is judged. One arrives after
    `dwell_fixes` fixes in a row within it that span `dwell_minutes`. A place without production runs is one for all
    trackers of its client. It counts for what happened from `active_from` until before `active_until`. `is_changed`
    asks for the histories that it bears on to be made anew.
    """

    __tablename__ = "places"
    __table_args__ = (
        UniqueConstraint("id", "client_id"),
        CheckConstraint("kind IN ('storage', 'delivery')", name="kind_is_known"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        CheckConstraint("radius_meters BETWEEN 0 AND 100000", name="radius_is_of_a_place"),
        CheckConstraint("dwell_fixes BETWEEN 1 AND 100", name="dwell_fixes_are_few"),
        CheckConstraint("dwell_minutes BETWEEN 0 AND 10080", name="dwell_is_within_a_week"),
        CheckConstraint("active_until > active_from", name="ends_after_it_starts"),
        Index("places_by_client", "client_id", "name", "id"),
        Index("places_by_shape", "shape", postgresql_using="gist"),
        Index("places_changed", "id", postgresql_where=text("is_changed")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_CLIENT, ondelete="CASCADE"))
    kind: Mapped[str]
    name: Mapped[str]
    shape: Mapped[Any] = mapped_column(Geography("Geometry"))
    center: Mapped[Any] = mapped_column(Geography("Point"))
    radius_meters: Mapped[float] = mapped_column(server_default=text("100"))
    reach_meters: Mapped[float]
    dwell_fixes: Mapped[int] = mapped_column(server_default=text("1"))
    dwell_minutes: Mapped[int] = mapped_column(server_default=text("0"))
    active_from: Mapped[datetime | None]
    active_until: Mapped[datetime | None]
    is_changed: Mapped[bool] = mapped_column(server_default=text("false"))
    deleted_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ProductionRunPlace(Base):
    """A place that a production run passes through."""

    __tablename__ = "production_run_places"
    __table_args__ = (
        ForeignKeyConstraint(
            ["production_run_id", "client_id"],
            [f"{SCHEMA}.production_runs.id", f"{SCHEMA}.production_runs.client_id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["place_id", "client_id"], [f"{SCHEMA}.places.id", f"{SCHEMA}.places.client_id"], ondelete="CASCADE"
        ),
        Index("production_run_places_by_place", "place_id"),
        {"schema": SCHEMA},
    )

    production_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    place_id: Mapped[UUID] = mapped_column(primary_key=True)
    client_id: Mapped[UUID]


class City(Base):
    """A city of the world, for saying what a fix is near; public."""

    __tablename__ = "cities"
    __table_args__ = (Index("cities_by_position", "position", postgresql_using="gist"), {"schema": SCHEMA})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    country: Mapped[str]
    population: Mapped[int]
    position: Mapped[Any] = mapped_column(Geography("Point"))


class Tracker(Base):
    """A radio tag. `status` and what stands below it follow from its reports, and are written with its history.

    `last_fix_at` is the start of the bucket of its last fix that is no anomaly. It is silent from `silent_at` on, if
    nothing comes before. `recompute_from` asks for its history to be made anew from this time on. `journey` is what is
    to be known of its journey after the last fix, to go on from it.
    """

    __tablename__ = "trackers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["production_run_id", "client_id"],
            [f"{SCHEMA}.production_runs.id", f"{SCHEMA}.production_runs.client_id"],
            deferrable=True,
        ),
        UniqueConstraint("id", "client_id"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        CheckConstraint(
            "status IN ('created', 'in_storage', 'in_transit', 'delivered', 'silent')", name="status_is_known"
        ),
        Index("trackers_by_client", "client_id", "name", "id"),
        Index(
            "trackers_by_production_run", "production_run_id", postgresql_where=text("production_run_id IS NOT NULL")
        ),
        Index("trackers_by_status", "client_id", "status", "id"),
        Index("trackers_by_last_position", "last_position", postgresql_using="gist"),
        # In degrees, for boxes on a map.
        Index("trackers_by_last_point", text("(last_position::geometry)"), postgresql_using="gist"),
        Index("trackers_by_place", "status_place_id", postgresql_where=text("status_place_id IS NOT NULL")),
        Index("trackers_falling_silent", "silent_at", postgresql_where=text("status <> 'silent'")),
        Index("trackers_to_recompute", "id", postgresql_where=text("recompute_from IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_CLIENT, ondelete="CASCADE"))
    production_run_id: Mapped[UUID | None]
    name: Mapped[str]
    retired_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    recompute_from: Mapped[datetime | None]
    last_report_requested_at: Mapped[datetime | None]
    last_report_received_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(server_default=text("'created'"))
    status_since: Mapped[datetime] = mapped_column(server_default=func.now())
    status_place_id: Mapped[UUID | None]
    last_fix_at: Mapped[datetime | None]
    last_reported_at: Mapped[datetime | None]
    last_position: Mapped[Any | None] = mapped_column(Geography("Point"))
    last_accuracy_meters: Mapped[float | None]
    last_confidence: Mapped[int | None]
    last_city_id: Mapped[int | None] = mapped_column(ForeignKey(City.id))
    silent_at: Mapped[datetime | None]
    journey: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class TrackerKey(Base):
    """A key pair on P-224 that a tracker advertises; it has several over time. The private key is 28 bytes, encrypted.

    `hashed_key` is the SHA-256 of the advertised key, under which strangers' phones report it.
    """

    __tablename__ = "tracker_keys"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tracker_id", "client_id"], [f"{SCHEMA}.trackers.id", f"{SCHEMA}.trackers.client_id"], ondelete="CASCADE"
        ),
        UniqueConstraint("hashed_key"),
        CheckConstraint("octet_length(advertised_key) = 28", name="advertised_key_is_whole"),
        CheckConstraint("octet_length(hashed_key) = 32", name="hashed_key_is_whole"),
        Index("tracker_keys_by_tracker", "tracker_id", "created_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[UUID]
    tracker_id: Mapped[UUID]
    advertised_key: Mapped[bytes] = mapped_column(LargeBinary)
    hashed_key: Mapped[bytes] = mapped_column(LargeBinary)
    private_key: Mapped[bytes] = encrypted()
    retired_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TrackerAttachment(Base):
    """What a tracker rode with, from when until when: a holding, a preorder, or a parcel of a production run.

    `owner_id` is whose the holding or preorder is: the row is theirs alone to see. Null of a parcel, which all members
    of the client see. A tracker rides with one thing at a time.
    """

    __tablename__ = "attachments"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tracker_id", "client_id"], [f"{SCHEMA}.trackers.id", f"{SCHEMA}.trackers.client_id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["production_run_id", "client_id"],
            [f"{SCHEMA}.production_runs.id", f"{SCHEMA}.production_runs.client_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("num_nonnulls(holding_id, preorder_id, production_run_id) = 1", name="rides_with_one_thing"),
        CheckConstraint("(owner_id IS NULL) = (production_run_id IS NOT NULL)", name="private_things_have_owners"),
        CheckConstraint("(parcel IS NULL) = (production_run_id IS NULL)", name="parcels_are_of_runs"),
        CheckConstraint("char_length(parcel) BETWEEN 1 AND 100", name="parcel_is_short"),
        CheckConstraint("detached_at >= attached_at", name="ends_after_it_starts"),
        Index("attachments_one_open", "tracker_id", unique=True, postgresql_where=text("detached_at IS NULL")),
        Index("attachments_by_tracker", "tracker_id", "attached_at", "id"),
        Index("attachments_by_holding", "holding_id", postgresql_where=text("holding_id IS NOT NULL")),
        Index("attachments_by_preorder", "preorder_id", postgresql_where=text("preorder_id IS NOT NULL")),
        Index("attachments_by_run", "production_run_id", postgresql_where=text("production_run_id IS NOT NULL")),
        Index("attachments_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[UUID]
    tracker_id: Mapped[UUID]
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    holding_id: Mapped[UUID | None] = mapped_column(ForeignKey(Holding.id, ondelete="CASCADE"))
    preorder_id: Mapped[UUID | None] = mapped_column(ForeignKey(Preorder.id, ondelete="CASCADE"))
    production_run_id: Mapped[UUID | None]
    parcel: Mapped[str | None]
    attached_at: Mapped[datetime] = mapped_column(server_default=func.now())
    detached_at: Mapped[datetime | None]


# The viewer's trackers that were heard of and are in use, for looking by place: row-level security would keep PostGIS
# from its indexes. `point` is the last position in degrees.
tracker_positions = Table(
    "tracker_positions",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("client_id", Uuid, nullable=False),
    Column("production_run_id", Uuid),
    Column("status", Text, nullable=False),
    Column("last_position", Geography("Point"), nullable=False),
    Column("point", Geometry(), nullable=False),
    Column("last_fix_at", DateTime(timezone=True), nullable=False),
    schema=SCHEMA,
)
