"""What happened to trackers, in the order in which it became visible."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, and_, case, cast, exists, func, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased
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


@dataclass(frozen=True, slots=True)
class PlaceInBox:
    """Whether a movement lies within a box, or else leads out of it: the one of its tracker before lay within."""

    is_within: bool
    has_left: bool


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
            true() if watched.box is None else or_(_is_within(watched.box), _came_from(watched.box)),
        )
        .order_by(TrackerEvent.position)
        .limit(limit)
    )
    return [TrackerEventRow(*row) for row in rows]


async def is_visible_event(connection: AsyncConnection, *, position: int) -> bool:
    """Whether the viewer sees the event."""
    seen = select(TrackerEvent.position).where(TrackerEvent.position == position)
    return bool(await connection.scalar(select(exists(seen))))


async def place_in_box(connection: AsyncConnection, *, position: int, box: Box) -> PlaceInBox | None:
    """Where a movement lies; None where the viewer does not see it."""
    is_within = _is_within(box)
    row = (
        await connection.execute(
            select(
                is_within.label("is_within"), case((is_within, False), else_=_came_from(box)).label("has_left")
            ).where(TrackerEvent.position == position)
        )
    ).one_or_none()
    return None if row is None else PlaceInBox(bool(row.is_within), bool(row.has_left))


async def clients_of_viewer(connection: AsyncConnection) -> list[UUID]:
    """The clients that the viewer is a member of."""
    return list(await connection.scalars(select(Client.id)))


async def visible_trackers(connection: AsyncConnection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the trackers that the viewer sees."""
    return set(await connection.scalars(select(Tracker.id).where(among(Tracker.id, ids))))


async def is_visible_run(connection: AsyncConnection, run_id: UUID) -> bool:
    """Whether the viewer sees the production run."""
    return bool(await connection.scalar(select(exists().where(ProductionRun.id == run_id))))


def _came_from(box: Box) -> ColumnElement[bool]:
    """Whether the movement of the same tracker before lay within the box."""
    before = aliased(TrackerEvent)
    last = (
        select(before.point)
        .where(
            before.tracker_id == TrackerEvent.tracker_id,
            before.kind == TrackerEventKind.MOVED.value,
            before.position < TrackerEvent.position,
        )
        .order_by(before.position.desc())
        .limit(1)
        .correlate(TrackerEvent)
        .subquery("last")
    )
    return exists(select(last.c.point).where(_is_within(box, last.c.point)))


def _is_within(box: Box, point: Any = TrackerEvent.point) -> ColumnElement[bool]:
    latitude, longitude = latitude_of(point), longitude_of(point)
    if box.west <= box.east:
        between = and_(longitude >= box.west, longitude <= box.east)
    else:
        between = or_(longitude >= box.west, longitude <= box.east)
    return and_(latitude >= box.south, latitude <= box.north, between)


TRACKER_EVENTS: ChangeTable[TrackerEventRow] = ChangeTable(
    "trackers", Topic.TRACKERS_CHANGED, last_position=last_event_position, changes_after=events_after
)
