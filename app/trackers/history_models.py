"""Reports of where trackers were, as they came, and the history that follows from them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.geography import Geography
from app.identity.models import User
from app.trackers.models import SCHEMA

TEN_MILLIONTHS = 10_000_000


class ReportSource(StrEnum):
    """How a report came."""

    PARTNER = "partner"
    FIND_MY = "find_my"
    OWNTRACKS = "owntracks"
    OSMAND = "osmand"
    NMEA = "nmea"
    GPX = "gpx"


class TrackerEventKind(StrEnum):
    """What is told of a tracker to those who follow it, and to alerts."""

    MOVED = "moved"
    STATUS_CHANGED = "status_changed"
    ENTERED = "entered"
    LEFT = "left"
    DELIVERED = "delivered"
    SILENT = "silent"
    MOVED_IN_STORAGE = "moved_in_storage"


class LocationReport(Base):
    """A report, as it came. Its identity is (who was reported, time, place), so a repeat changes nothing.

    Only where it tells a smaller accuracy, or of equal ones a higher confidence, it takes the other's place: which of
    them came first then makes no difference.

    `subject` is the hashed key that was reported (32 bytes), or the id of the tracker where that was named (16 bytes).
    Latitude and longitude are in ten-millionths of a degree. The three times are when the tracker was seen, when that
    was published, and when it came in here. An accuracy that was not told is null.
    """

    __tablename__ = "location_reports"
    __table_args__ = (
        CheckConstraint("octet_length(subject) IN (16, 32)", name="subject_is_a_key_or_an_id"),
        CheckConstraint("latitude_e7 BETWEEN -900000000 AND 900000000", name="latitude_is_on_earth"),
        CheckConstraint("longitude_e7 BETWEEN -1800000000 AND 1800000000", name="longitude_is_on_earth"),
        CheckConstraint("accuracy_meters >= 0", name="accuracy_is_not_negative"),
        Index("location_reports_by_tracker", "tracker_id", "reported_at"),
        {"schema": SCHEMA, "postgresql_partition_by": "RANGE (reported_at)"},
    )

    subject: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    reported_at: Mapped[datetime] = mapped_column(primary_key=True)
    latitude_e7: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    longitude_e7: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    tracker_id: Mapped[UUID]
    client_id: Mapped[UUID]
    accuracy_meters: Mapped[float | None]
    confidence: Mapped[int | None] = mapped_column(SmallInteger)
    status_byte: Mapped[int | None] = mapped_column(SmallInteger)
    source: Mapped[str]
    published_at: Mapped[datetime | None]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OrphanReport(Base):
    """A report of a hashed key that no tracker has yet: `content` is its row as it came, taken in once one has it.

    It is attached only where its sender may send reports for the tracker's client; one without a sender anywhere.
    """

    __tablename__ = "orphan_reports"
    __table_args__ = (
        CheckConstraint("octet_length(hashed_key) = 32", name="hashed_key_is_whole"),
        Index("orphan_reports_by_sender", "sender_id"),
        Index("orphan_reports_by_age", "received_at"),
        {"schema": SCHEMA},
    )

    hashed_key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    sender_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    content: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LocationFix(Base):
    """Where a tracker was in a bucket of ten minutes, labelled by its start: the best estimate of the bucket's reports.

    `dropped_count` of its reports lay too far from the others. An anomalous fix is kept and left out of everything
    else. `checkpoint` holds what was known of the journey after some of the fixes, from where to go on.
    """

    __tablename__ = "location_fixes"
    __table_args__ = (
        CheckConstraint("report_count > dropped_count", name="some_report_counts"),
        {"schema": SCHEMA, "postgresql_partition_by": "RANGE (bucket)"},
    )

    tracker_id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    client_id: Mapped[UUID]
    position: Mapped[Any] = mapped_column(Geography("Point"))
    accuracy_meters: Mapped[float]
    confidence: Mapped[int | None] = mapped_column(SmallInteger)
    last_reported_at: Mapped[datetime]
    report_count: Mapped[int]
    dropped_count: Mapped[int]
    is_anomalous: Mapped[bool]
    city_id: Mapped[int | None]
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class StatusChange(Base):
    """A time in the life of a tracker in which its status and place stayed the same; the last one is still open."""

    __tablename__ = "status_changes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tracker_id", "client_id"], [f"{SCHEMA}.trackers.id", f"{SCHEMA}.trackers.client_id"], ondelete="CASCADE"
        ),
        CheckConstraint(
            "status IN ('created', 'in_storage', 'in_transit', 'delivered', 'silent')", name="status_is_known"
        ),
        CheckConstraint("ended_at > started_at", name="ends_after_it_starts"),
        Index("status_changes_by_place", "place_id", "started_at"),
        {"schema": SCHEMA},
    )

    tracker_id: Mapped[UUID] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    client_id: Mapped[UUID]
    status: Mapped[str]
    place_id: Mapped[UUID | None]
    ended_at: Mapped[datetime | None]


class Visit(Base):
    """A stay of a tracker at a place; `departed_at` is null while it lasts."""

    __tablename__ = "visits"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tracker_id", "client_id"], [f"{SCHEMA}.trackers.id", f"{SCHEMA}.trackers.client_id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["place_id", "client_id"], [f"{SCHEMA}.places.id", f"{SCHEMA}.places.client_id"], ondelete="CASCADE"
        ),
        CheckConstraint("departed_at > arrived_at", name="ends_after_it_starts"),
        Index("visits_by_place", "place_id", "arrived_at", "tracker_id"),
        {"schema": SCHEMA},
    )

    tracker_id: Mapped[UUID] = mapped_column(primary_key=True)
    arrived_at: Mapped[datetime] = mapped_column(primary_key=True)
    client_id: Mapped[UUID]
    place_id: Mapped[UUID]
    departed_at: Mapped[datetime | None]
    fix_count: Mapped[int]


class TrackerEvent(Base):
    """Something that is told of a tracker, at its position in the order of commits; kept for seven days.

    All but `moved` are told once of one (tracker, kind, time, place), however often histories are made anew.
    """

    __tablename__ = "tracker_events"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('moved', 'status_changed', 'entered', 'left', 'delivered', 'silent', 'moved_in_storage')",
            name="kind_is_known",
        ),
        Index("tracker_events_by_tracker", "tracker_id", "position"),
        Index("tracker_events_by_client", "client_id", "position"),
        Index("tracker_events_by_time", "recorded_at", postgresql_using="brin"),
        Index(
            "tracker_events_told_once",
            "tracker_id",
            "kind",
            "occurred_at",
            text("COALESCE(place_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
            unique=True,
            postgresql_where=text("kind <> 'moved'"),
        ),
        {"schema": SCHEMA},
    )

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    client_id: Mapped[UUID]
    tracker_id: Mapped[UUID]
    production_run_id: Mapped[UUID | None]
    kind: Mapped[str]
    occurred_at: Mapped[datetime]
    status: Mapped[str | None]
    place_id: Mapped[UUID | None]
    point: Mapped[Any | None] = mapped_column(Geography("Point"))
    accuracy_meters: Mapped[float | None]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())
