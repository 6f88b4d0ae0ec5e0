"""Trackers on a map: where they were last heard of."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import utc_now
from app.trackers.models import TrackerStatus
from tests.trackers.builders import point, tracker_of


async def located(
    connection: AsyncConnection, client_id: UUID, at: tuple[float, float], name: str = "Box", **columns: Any
) -> UUID:
    """A tracker on its way that was last heard of at a place, now unless told otherwise."""
    values: dict[str, Any] = {
        "status": TrackerStatus.IN_TRANSIT.value,
        "last_position": point(*at),
        "last_fix_at": utc_now(),
        "last_reported_at": utc_now(),
        "last_accuracy_meters": 10,
    }
    return await tracker_of(connection, client_id, name, **(values | columns))
