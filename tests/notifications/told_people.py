"""People who are told something, for tests."""

import base64
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import insert, select

from app.alerts.models import Alert, Condition, Rule, RuleTarget, Severity
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.identity.viewer import Viewer
from app.notifications.commands.notify import NewNotification, notify
from app.notifications.models import EventType, Notification
from tests.identity.builders import add_person, session_of


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody, as they are signed in."""

    id: UUID
    viewer: Viewer


async def person(database: Database, **columns: Any) -> Told:
    """Somebody new."""
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, **columns)
    return Told(user_id, await session_of(database, user_id))


async def tell(database: Database, told: Told, title: str, **more: Any) -> str:
    """Tell somebody something; gives the id of the notification."""
    values: dict[str, Any] = {
        "key": f"{title} {new_id()}",
        "event_type": EventType.PRICE,
        "severity": Severity.INFO,
        "title": title,
    }
    given = NewNotification(owner_id=told.id, **(values | more))
    async with database.transaction() as transaction:
        await notify(transaction, [given])
        key = await transaction.connection.scalar(select(Notification.id).where(Notification.key == given.key))
    assert key is not None
    return public_id(PublicIdTag.NOTIFICATION, key)


async def rule_of(database: Database, told: Told) -> UUID:
    """A rule of somebody's, over all that they want."""
    key = new_id()
    values = {"id": key, "owner_id": told.id, "target": RuleTarget.WANTS.value, "condition": Condition.WANT_MET.value}
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(Rule).values(**values))
    return key


async def alert_of(database: Database, told: Told, rule_id: UUID, severity: Severity = Severity.INFO) -> UUID:
    """An alert of a rule, which nobody has been told of yet."""
    key = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Alert).values(
                id=key,
                owner_id=told.id,
                rule_id=rule_id,
                crossing=str(key),
                condition=Condition.WANT_MET.value,
                severity=severity.value,
                title="It can be had",
                observed_at=utc_now(),
            )
        )
    return key


def browser(endpoint: str = "https://push.example.com/send/1", **more: Any) -> dict[str, Any]:
    """What a browser gives that was allowed to be told."""
    point = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {"endpoint": endpoint, "p256dh": in_base64url(point), "auth": in_base64url(bytes(range(16)))} | more


def in_base64url(value: bytes) -> str:
    """As browsers write bytes."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
