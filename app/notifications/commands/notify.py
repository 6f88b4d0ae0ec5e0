"""Tells people something: in the app at once, and elsewhere as soon as a worker looks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from sqlalchemy import text

from app.alerts.commands.record_alerts import RecordedAlert
from app.alerts.models import Condition, RuleTarget, Severity
from app.core.database import Transaction
from app.core.events import Event, Topic
from app.core.ids import new_id
from app.core.jobs import Job
from app.notifications.models import EventType

# Held from the drawing of positions in notifications to the commit, so that positions become visible in their order.
NOTIFICATIONS_LOCK = 7_209_463_141_903
ROUTE_NOTIFICATIONS = Job("route_notifications", key="route_notifications")

_TYPES_OF_TARGETS = {
    RuleTarget.PORTFOLIO: EventType.PORTFOLIO,
    RuleTarget.TRACKER: EventType.TRACKER,
    RuleTarget.PLACE: EventType.TRACKER,
    RuleTarget.PRODUCTION_RUN: EventType.TRACKER,
    RuleTarget.PREORDER: EventType.PREORDER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """Something to tell somebody; who was told of the same `key` before is told nothing."""

    owner_id: UUID
    key: str
    event_type: EventType
    severity: Severity
    title: str
    body: str | None = None
    alert_id: UUID | None = None
    channels: Sequence[str] | None = None


async def notify_of_alerts(transaction: Transaction, alerts: Collection[RecordedAlert]) -> None:
    """Tell those whose alerts these are. The last step before the commit: others queue for its lock."""
    await notify(
        transaction,
        [
            NewNotification(
                owner_id=alert.owner_id,
                key=f"alert:{alert.id}",
                event_type=_type_of(alert),
                severity=Severity(alert.severity),
                title=alert.title,
                body=alert.notes,
                alert_id=alert.id,
                channels=alert.channels,
            )
            for alert in alerts
        ],
    )


async def notify(transaction: Transaction, given: Collection[NewNotification]) -> None:
    """Tell somebody something. The last step before the commit: others queue for its lock."""
    if not given:
        return
    await transaction.connection.execute(_LOCK, {"lock": NOTIFICATIONS_LOCK})
    rows = [
        {
            "id": new_id(),
            "owner_id": one.owner_id,
            "key": one.key,
            "event_type": one.event_type.value,
            "severity": one.severity.value,
            "title": one.title,
            "body": one.body,
            "alert_id": one.alert_id,
            "channels": None if one.channels is None else list(one.channels),
        }
        for one in given
    ]
    stored = await transaction.connection.execute(_STORE, {"rows": orjson.dumps(rows, default=str).decode()})
    if stored.rowcount:
        transaction.announce(Event(Topic.NOTIFIED))
        transaction.enqueue(ROUTE_NOTIFICATIONS)


def _type_of(alert: RecordedAlert) -> EventType:
    if alert.condition == Condition.WANT_MET:
        return EventType.WANT
    return _TYPES_OF_TARGETS.get(RuleTarget(alert.target), EventType.PRICE)


_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
# By one statement however many they are, at positions in their order.
_COLUMNS = "id, owner_id, key, event_type, severity, title, body, alert_id, channels"
_STORE = text(f"""
    INSERT INTO notifications.notifications ({_COLUMNS})
    SELECT {_COLUMNS}
    FROM json_populate_recordset(CAST(NULL AS notifications.notifications), CAST(CAST(:rows AS text) AS json))
    ON CONFLICT (owner_id, key) DO NOTHING
""")  # noqa: S608  # names of our own columns
