"""How far sending is behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.notifications.models import ChannelKind, Delivery, DeliveryStatus, Notification
from app.notifications.routing import OUTSIDE


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many deliveries wait, and for how long (seconds) the one that should have been tried first."""

    count: int = 0
    overdue_seconds: float = 0.0


async def waiting_deliveries(connection: AsyncConnection, *, now: datetime) -> Mapping[ChannelKind, Waiting]:
    """Of each kind of channel; for roles that see all rows."""
    waiting: dict[ChannelKind, Waiting] = dict.fromkeys(OUTSIDE, Waiting())
    for row in await connection.execute(
        select(Delivery.channel, func.count().label("count"), func.min(Delivery.next_attempt_at).label("first"))
        .where(Delivery.status == DeliveryStatus.WAITING.value)
        .group_by(Delivery.channel)
    ):
        overdue = max(0.0, (now - row.first).total_seconds())
        waiting[ChannelKind(row.channel)] = Waiting(row._mapping["count"], overdue)
    return waiting


async def notifications_to_route(connection: AsyncConnection) -> int:
    """How many notifications nobody has looked at yet."""
    count: int = (
        await connection.scalar(select(func.count()).select_from(Notification).where(Notification.routed_at.is_(None)))
        or 0
    )
    return count
