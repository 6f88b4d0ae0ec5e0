"""What people were told, in the order in which it became visible."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import exists, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.alerts.models import Alert, Rule, Severity
from app.core.changes import ChangeTable
from app.core.database import among
from app.core.events import Topic
from app.notifications.models import Notification


@dataclass(frozen=True, slots=True)
class Told:
    """A notification at its position in the order of commits, and whose it is; nothing of what it says."""

    position: int
    owner_id: UUID
    id: UUID
    alert_id: UUID | None

    @property
    def watched_by(self) -> frozenset[UUID]:
        """Its owner."""
        return frozenset({self.owner_id})

    @property
    def subject(self) -> UUID:
        """The notification itself: none stands for another."""
        return self.id


@dataclass(frozen=True, slots=True)
class AlertsWatched:
    """Which alerts somebody follows: those of these rules, or of all, and of this severity, or of any."""

    rule_ids: Collection[UUID] | None = None
    severity: Severity | None = None


_COLUMNS = (Notification.position, Notification.owner_id, Notification.id, Notification.alert_id)
# The process hands notifications to those whose they are, so it reads whose they are past the policies, and no more.
_LAST_POSITION = text("SELECT notifications.last_position()")
_TOLD_AFTER = text(
    "SELECT told_position, owner_id, id, alert_id FROM notifications.told_after(:position, CAST(:limit AS integer))"
)


async def last_position(connection: AsyncConnection) -> int:
    """The position of the newest notification of anybody's, 0 before the first."""
    return int((await connection.execute(_LAST_POSITION)).scalar_one())


async def told_after(connection: AsyncConnection, *, position: int, limit: int) -> list[Told]:
    """Up to `limit` notifications of anybody's beyond a position, in order."""
    rows = await connection.execute(_TOLD_AFTER, {"position": position, "limit": limit})
    return [Told(*row) for row in rows]


async def told_between(
    connection: AsyncConnection,
    *,
    owner_id: UUID,
    alerts: AlertsWatched | None,
    after: int,
    up_to: int,
    limit: int,
) -> Sequence[Told]:
    """Up to `limit` of the owner's notifications with `after < position <= up_to`, in order; with `alerts`, those."""
    rows = await connection.execute(
        select(*_COLUMNS)
        .where(
            Notification.owner_id == owner_id,
            Notification.position > after,
            Notification.position <= up_to,
            _is_watched(alerts),
        )
        .order_by(Notification.position)
        .limit(limit)
    )
    return [Told(*row) for row in rows]


async def may_be_told(connection: AsyncConnection, *, position: int, alerts: AlertsWatched | None) -> bool:
    """Whether the viewer sees the notification, and it is of what they watch."""
    seen = select(Notification.position).where(Notification.position == position, _is_watched(alerts))
    return bool(await connection.scalar(select(exists(seen))))


async def visible_rules(connection: AsyncConnection, ids: Collection[UUID]) -> set[UUID]:
    """Those of the rules that the viewer sees."""
    return set(await connection.scalars(select(Rule.id).where(among(Rule.id, ids))))


def _is_watched(alerts: AlertsWatched | None) -> ColumnElement[bool]:
    if alerts is None:
        return true()
    watched = select(Alert.id).where(Alert.id == Notification.alert_id)
    if alerts.rule_ids is not None:
        watched = watched.where(among(Alert.rule_id, alerts.rule_ids))
    if alerts.severity is not None:
        watched = watched.where(Alert.severity == alerts.severity.value)
    return exists(watched)


NOTIFICATIONS: ChangeTable[Told] = ChangeTable(
    "notifications", Topic.NOTIFIED, last_position=last_position, changes_after=told_after
)
