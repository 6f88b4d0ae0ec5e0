"""From which severity on somebody wants what, and by which kinds of channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.models import Severity
from app.notifications.given import refuse_long_list, refused
from app.notifications.models import ChannelKind, EventType, Route


@dataclass(frozen=True, slots=True)
class GivenRoute:
    """A choice: of this type of event, by this kind of channel, from this severity on; None for never."""

    event_type: EventType
    channel: ChannelKind
    minimum_severity: Severity | None


def read_routes(routes: Sequence[GivenRoute]) -> Sequence[GivenRoute]:
    """The choices, each once and of channels outside of the app; raises NotificationRefused."""
    refuse_long_list(routes, "routes")
    seen = set()
    for place, route in enumerate(routes):
        if route.channel is ChannelKind.IN_APP:
            raise refused("In the app everything is told; choose among the other channels.", "routes", str(place))
        if (route.event_type, route.channel) in seen:
            raise refused("There is another choice for this type and channel already.", "routes", str(place))
        seen.add((route.event_type, route.channel))
    return routes


async def save_routes(connection: AsyncConnection, routes: Sequence[GivenRoute], *, owner_id: UUID) -> None:
    """Keep these choices in place of all that there are; the owner is held."""
    await connection.execute(delete(Route).where(Route.owner_id == owner_id))
    if routes:
        await connection.execute(
            insert(Route).values(
                [
                    {
                        "owner_id": owner_id,
                        "event_type": route.event_type.value,
                        "channel": route.channel.value,
                        "minimum_severity": None if route.minimum_severity is None else route.minimum_severity.value,
                    }
                    for route in routes
                ]
            )
        )
