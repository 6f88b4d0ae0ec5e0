"""What happened to trackers, in the order in which it became visible."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from sqlalchemy import BigInteger, and_, cast, exists, func, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.core.changes import ChangeTable
from app.core.database import among
from app.core.events import Topic
from app.trackers.history_models import TrackerEvent, TrackerEventKind
from app.trackers.models import Client, ProductionRun, Tracker
from app.trackers.queries.positions import latitude_of, longitude_of


@dataclass(frozen=True)
class TrackerEventRow:
    """An event at its position in the order of commits, and whose it is; nothing of where."""

    position: int
    client_id: UUID
    tracker_id: UUID
    production_run_id: UUID | None
    kind: str

    @cached_property
    def watched_by(self) -> frozenset[UUID]:
        """The tracker, its production run and its client."""
        keys = {self.tracker_id, self.client_id}
        return frozenset(keys if self.production_run_id is None else keys | {self.production_run_id})

    @property
    def subject(self) -> UUID:
        """The tracker."""
        return self.tracker_id


@dataclass(frozen=True, slots=True)
class Box:
    """Between two parallels and two meridians, in degrees; where `west > east` it lies across the antimeridian."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose events somebody follows: those of these keys, of trackers, production runs or clients, within a box."""

    keys: Sequence[UUID]
    kind: TrackerEventKind
    box: Box | None = None


# When an event was recorded, in whole seconds since 1970.
RECORDED_SECOND: ColumnElement[int] = cast(func.floor(func.extract("epoch", TrackerEvent.recorded_at)), BigInteger)
_ROW = (
    TrackerEvent.position,
    TrackerEvent.client_id,
    TrackerEvent.tracker_id,
    TrackerEvent.production_run_id,
    TrackerEvent.kind,
)
# The process hands events to those who may see them, so it reads whose they are past the policies, and no more.
_LAST_POSITION = text("SELECT trackers.last_event_position()")
_EVENTS_AFTER = text("""
    SELECT event_position, client_id, tracker_id, production_run_id, kind
    FROM trackers.events_after(:position, :limit)
""")


async def last_event_position(connection: AsyncConnection) -> int:
    """The position of the newest event of anybody's, 0 before the first."""
    return int((await connection.execute(_LAST_POSITION)).scalar_one())


async def events_after(connection: AsyncConnection, *, position: int, limit: int) -> list[TrackerEventRow]:
    """Up to `limit` events of anybody's beyond a position, in order."""
    rows = await connection.execute(_EVENTS_AFTER, {"position": position, "limit": limit})
    return [TrackerEventRow(*row) for row in rows]


async def events_watched(
    connection: AsyncConnection, *, watched: Watched, after: int, up_to: int, limit: int
) -> list[TrackerEventRow]:
    """Up to `limit` of the viewer's watched events with `after < position <= up_to`, in order."""
    keys = watched.keys
    rows = await connection.execute(
        select(*_ROW)
        .where(
            TrackerEvent.position > after,
            TrackerEvent.position <= up_to,
            TrackerEvent.kind == watched.kind.value,
            or_(
                among(TrackerEvent.tracker_id, keys),
                among(TrackerEvent.production_run_id, keys),
                among(TrackerEvent.client_id, keys),
            ),
            true() if watched.box is None else _is_within(watched.box),
        )
        .order_by(TrackerEvent.position)
        .limit(limit)
    )
    return [TrackerEventRow(*row) for row in rows]


async def may_be_told(connection: AsyncConnection, *, position: int, box: Box | None) -> bool:
    """Whether the viewer sees the event, and it lies within the box if there is one."""
    seen = select(TrackerEvent.position).where(TrackerEvent.position == position)
    if box is not None:
        seen = seen.where(_is_within(box))
    return bool(await connection.scalar(select(exists(seen))))


async def clients_of_viewer(connection: AsyncConnection) -> list[UUID]:
    """The clients that the viewer is a member of."""
    return list(await connection.scalars(select(Client.id)))


async def visible_trackers(connection: AsyncConnection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the trackers that the viewer sees."""
    return set(await connection.scalars(select(Tracker.id).where(among(Tracker.id, ids))))


async def is_visible_run(connection: AsyncConnection, run_id: UUID) -> bool:
    """Whether the viewer sees the production run."""
    return bool(await connection.scalar(select(exists().where(ProductionRun.id == run_id))))


def _is_within(box: Box) -> ColumnElement[bool]:
    latitude, longitude = latitude_of(TrackerEvent.point), longitude_of(TrackerEvent.point)
    if box.west <= box.east:
        between = and_(longitude >= box.west, longitude <= box.east)
    else:
        between = or_(longitude >= box.west, longitude <= box.east)
    return and_(latitude >= box.south, latitude <= box.north, between)


TRACKER_EVENTS: ChangeTable[TrackerEventRow] = ChangeTable(
    "trackers", Topic.TRACKERS_CHANGED, last_position=last_event_position, changes_after=events_after
)
