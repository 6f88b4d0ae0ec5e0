"""What people are told, how they want to be told it, and what became of each delivery."""

from datetime import datetime, time
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Text,
    Time,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.ids import new_id
from app.core.secrets import encrypted
from app.identity.models import User

SCHEMA = "notifications"
KINDS_OF_CHANNELS = "'in_app', 'email', 'web_push', 'webhook', 'service'"


class ChannelKind(StrEnum):
    """A way to reach people. What stands in the app is the truth; a `service` is whatever Apprise can reach."""

    IN_APP = "in_app"
    EMAIL = "email"
    WEB_PUSH = "web_push"
    WEBHOOK = "webhook"
    SERVICE = "service"


class EventType(StrEnum):
    """What a notification is about, by which people choose where they want it."""

    PRICE = "price"
    PORTFOLIO = "portfolio"
    TRACKER = "tracker"
    PREORDER = "preorder"
    WANT = "want"
    ACCOUNT = "account"


class Digest(StrEnum):
    """How mails are gathered."""

    NONE = "none"
    HOURLY = "hourly"
    DAILY = "daily"


class DeliveryStatus(StrEnum):
    """What became of a delivery: it waits for its next attempt, has arrived, was given up, or became needless."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


class Notification(Base):
    """Something that somebody is told, in the app and maybe elsewhere; at its position in the order of commits.

    Of an alert it has the alert's words. `key` makes it one: who is told the same again is told nothing. Until
    `routed_at` nobody has looked where else it is to go.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("id", "owner_id"),
        UniqueConstraint("owner_id", "key"),
        UniqueConstraint("position"),
        CheckConstraint(
            "event_type IN ('price', 'portfolio', 'tracker', 'preorder', 'want', 'account')", name="event_type_is_known"
        ),
        CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity_is_known"),
        ForeignKeyConstraint(
            ["alert_id", "owner_id"], ["alerts.alerts.id", "alerts.alerts.owner_id"], ondelete="CASCADE"
        ),
        Index("notifications_by_owner", "owner_id", "position"),
        Index(
            "notifications_unread",
            "owner_id",
            "position",
            postgresql_include=["severity", "snoozed_until"],
            postgresql_where=text("read_at IS NULL AND dismissed_at IS NULL"),
        ),
        Index("notifications_by_time", "created_at", postgresql_using="brin"),
        Index("notifications_to_route", "position", postgresql_where=text("routed_at IS NULL")),
        Index("notifications_by_alert", "alert_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    key: Mapped[str]
    event_type: Mapped[str]
    severity: Mapped[str]
    alert_id: Mapped[UUID | None]
    title: Mapped[str]
    body: Mapped[str | None]
    # Kinds of channels; null where the owner's routes say which.
    channels: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    read_at: Mapped[datetime | None]
    dismissed_at: Mapped[datetime | None]
    snoozed_until: Mapped[datetime | None]
    routed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Channel(Base):
    """Whether a kind of channel is there for anybody; staff switch it."""

    __tablename__ = "channels"
    __table_args__ = (
        CheckConstraint(f"kind IN ({KINDS_OF_CHANNELS})", name="kind_is_known"),
        CheckConstraint("is_enabled OR kind <> 'in_app'", name="app_always_tells"),
        {"schema": SCHEMA},
    )

    kind: Mapped[str] = mapped_column(primary_key=True)
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Preferences(Base):
    """When somebody wants to be left alone, and how their mails are gathered; without a row nothing is held back.

    Between `quiet_from` and `quiet_until` on the clock of the time zone nothing is sent outside but what is critical:
    it waits. A digest comes at each full hour, or once a day at `digest_at`.
    """

    __tablename__ = "preferences"
    __table_args__ = (
        CheckConstraint("(quiet_from IS NULL) = (quiet_until IS NULL)", name="quiet_hours_are_whole"),
        CheckConstraint("quiet_from <> quiet_until", name="quiet_hours_are_not_all_hours"),
        CheckConstraint("digest IN ('none', 'hourly', 'daily')", name="digest_is_known"),
        {"schema": SCHEMA},
    )

    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    # Null for the account's.
    time_zone: Mapped[str | None]
    quiet_from: Mapped[time | None] = mapped_column(Time)
    quiet_until: Mapped[time | None] = mapped_column(Time)
    digest: Mapped[str] = mapped_column(server_default=text("'none'"))
    digest_at: Mapped[time] = mapped_column(Time, server_default=text("'08:00'"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Route(Base):
    """From which severity on somebody wants a type of event by a kind of channel; null for never.

    Without a row: webhooks get all that they ask for themselves, push and services everything, mails from `warning` on.
    """

    __tablename__ = "routes"
    __table_args__ = (
        CheckConstraint(
            "event_type IN ('price', 'portfolio', 'tracker', 'preorder', 'want', 'account')", name="event_type_is_known"
        ),
        CheckConstraint(f"channel IN ({KINDS_OF_CHANNELS}) AND channel <> 'in_app'", name="channel_is_outside"),
        CheckConstraint("minimum_severity IN ('info', 'warning', 'critical')", name="severity_is_known"),
        {"schema": SCHEMA},
    )

    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    event_type: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    minimum_severity: Mapped[str | None]


class PushSubscription(Base):
    """A browser that somebody allowed to be told by Web Push; its endpoint and keys as the browser gave them."""

    __tablename__ = "push_subscriptions"
    __table_args__ = (
        UniqueConstraint("id", "owner_id"),
        UniqueConstraint("endpoint_hash"),
        CheckConstraint("octet_length(endpoint_hash) = 32", name="endpoint_hash_is_whole"),
        Index("push_subscriptions_by_owner", "owner_id", "created_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    # The SHA-256 of the endpoint: who knows the endpoint may push to it.
    endpoint_hash: Mapped[bytes]
    host: Mapped[str]
    subscription: Mapped[bytes] = encrypted()
    name: Mapped[str | None]
    refusals: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    last_delivered_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Webhook(Base):
    """An address of somebody's own that is told, signed with a secret that both know.

    `document` is the query whose answer it gets, asked with `scopes` beside what a notification takes. `failing_since`
    is when the first of a row of failures was; after a day of these it is disabled.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        UniqueConstraint("id", "owner_id"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        CheckConstraint("minimum_severity IN ('info', 'warning', 'critical')", name="severity_is_known"),
        Index("webhooks_by_owner", "owner_id", "created_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    name: Mapped[str]
    url: Mapped[str]
    secret: Mapped[bytes] = encrypted()
    document: Mapped[str | None]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    # Null for all.
    event_types: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    minimum_severity: Mapped[str] = mapped_column(server_default=text("'info'"))
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    failing_since: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    last_delivered_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Service(Base):
    """Another service that somebody is told by, at an address of Apprise, which holds its secrets: ntfy, Discord, …"""

    __tablename__ = "services"
    __table_args__ = (
        UniqueConstraint("id", "owner_id"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        Index("services_by_owner", "owner_id", "created_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    name: Mapped[str]
    # The scheme of its address, such as `ntfys`.
    kind: Mapped[str]
    address: Mapped[bytes] = encrypted()
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    last_delivered_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Delivery(Base):
    """A notification on its way to one destination, with its attempts; a mail has no destination but the account's
    address.

    Its id is the same at each attempt, and what is sent carries it, so that who gets it twice can tell. Mails with the
    same `digest_at` are sent as one, and those that were tried as one have the same `digest_id` from then on: it is the
    first one's id. `asked_at` is when its owner asked to have it sent again.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["notification_id", "owner_id"],
            [f"{SCHEMA}.notifications.id", f"{SCHEMA}.notifications.owner_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(f"channel IN ({KINDS_OF_CHANNELS}) AND channel <> 'in_app'", name="channel_is_outside"),
        CheckConstraint("status IN ('waiting', 'delivered', 'failed', 'dropped')", name="status_is_known"),
        *(
            ForeignKeyConstraint(
                [f"{one}_id", "owner_id"], [f"{SCHEMA}.{one}s.id", f"{SCHEMA}.{one}s.owner_id"], ondelete="CASCADE"
            )
            for one in ("push_subscription", "webhook", "service")
        ),
        CheckConstraint(
            "num_nonnulls(push_subscription_id, webhook_id, service_id) = CASE channel WHEN 'email' THEN 0 ELSE 1 END",
            name="has_one_destination",
        ),
        Index(
            "deliveries_once",
            "notification_id",
            "channel",
            text("COALESCE(push_subscription_id, webhook_id, service_id, notification_id)"),
            unique=True,
        ),
        Index("deliveries_due", "channel", "next_attempt_at", postgresql_where=text("status = 'waiting'")),
        Index("deliveries_by_owner", "owner_id", "created_at", "id"),
        *(
            Index(f"deliveries_by_{one}", f"{one}_id", "created_at", postgresql_where=text(f"{one}_id IS NOT NULL"))
            for one in ("push_subscription", "webhook", "service")
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    notification_id: Mapped[UUID]
    channel: Mapped[str]
    push_subscription_id: Mapped[UUID | None]
    webhook_id: Mapped[UUID | None]
    service_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    digest_at: Mapped[datetime | None]
    digest_id: Mapped[UUID | None]
    asked_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class VapidKey(Base):
    """A key by which push services know this server; browsers subscribe to the newest, the others sign for theirs."""

    __tablename__ = "vapid_keys"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    # The point of P-256, uncompressed: 65 bytes, as browsers take it.
    public_key: Mapped[bytes]
    private_key: Mapped[bytes] = encrypted()
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
