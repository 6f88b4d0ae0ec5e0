"""What is shown of notifications and of how people want them."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    DateTime,
    Integer,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    literal_column,
    or_,
    text,
)
from sqlalchemy.sql.elements import ColumnElement

from app.core.database import OPERATION_TIME
from app.notifications.models import Delivery, DeliveryStatus, Notification

_WAITING: ColumnElement[Any] = literal_column(f"'{DeliveryStatus.WAITING.value}'", Text())

IS_DISMISSED: ColumnElement[bool] = Notification.dismissed_at.is_not(None)
IS_UNREAD: ColumnElement[bool] = and_(
    Notification.read_at.is_(None),
    Notification.dismissed_at.is_(None),
    or_(Notification.snoozed_until.is_(None), Notification.snoozed_until <= OPERATION_TIME),
)
# Of an alert, whose notification may be gone.
IS_UNREAD_ALERT: ColumnElement[bool] = and_(Notification.id.is_not(None), IS_UNREAD)
# What was delivered, given up or has become needless is not tried again.
NEXT_ATTEMPT: ColumnElement[Any] = case((Delivery.status == _WAITING, Delivery.next_attempt_at))

# What counts for somebody, chosen or not; of the viewer alone, for others it would be what nobody chose.
PREFERENCES = (
    text(
        r"""
        SELECT person.id AS owner_id, coalesce(chosen.time_zone, person.timezone) AS time_zone,
            to_char(chosen.quiet_from, 'HH24\:MI') AS quiet_from,
            to_char(chosen.quiet_until, 'HH24\:MI') AS quiet_until,
            coalesce(chosen.digest, 'none') AS digest,
            coalesce(to_char(chosen.digest_at, 'HH24\:MI'), '08\:00') AS digest_at,
            coalesce(chosen.version, 0) AS version
        FROM identity.users AS person
        LEFT JOIN notifications.preferences AS chosen ON chosen.owner_id = person.id
        WHERE person.id = (SELECT identity.viewer_id())
        """
    )
    .columns(
        Column("owner_id", Uuid, nullable=False),
        Column("time_zone", Text, nullable=False),
        Column("quiet_from", Text),
        Column("quiet_until", Text),
        Column("digest", Text, nullable=False),
        Column("digest_at", Text, nullable=False),
        Column("version", Integer, nullable=False),
    )
    .subquery("notification_preferences")
)

# By the index of what is unread alone; of the newest, as many as are kept of somebody, so that no more costs no more.
COUNTS = (
    text(
        """
        SELECT owner.id AS owner_id,
            CAST(count(told.severity) FILTER (WHERE told.is_awake) AS integer) AS unread,
            CAST(count(told.severity) FILTER (WHERE told.is_awake AND told.severity = 'critical') AS integer)
                AS critical,
            CAST(count(told.severity) FILTER (WHERE NOT told.is_awake) AS integer) AS snoozed
        FROM unnest(:owner_ids) AS owner (id)
        LEFT JOIN LATERAL (
            SELECT severity, coalesce(snoozed_until <= :now, true) AS is_awake
            FROM notifications.notifications
            WHERE owner_id = owner.id AND read_at IS NULL AND dismissed_at IS NULL
            ORDER BY position DESC LIMIT 10000
        ) AS told ON true
        WHERE owner.id = (SELECT identity.viewer_id())
        GROUP BY owner.id
        """
    )
    .bindparams(bindparam("owner_ids", type_=ARRAY(Uuid)), bindparam("now", type_=DateTime(timezone=True)))
    .columns(
        Column("owner_id", Uuid, nullable=False),
        Column("unread", Integer, nullable=False),
        Column("critical", Integer, nullable=False),
        Column("snoozed", Integer, nullable=False),
    )
    .subquery("notification_counts")
)
