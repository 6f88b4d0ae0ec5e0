"""The journey of a tracker: from its fixes, and how far each is from places, to its stays and its statuses.

A fix is inside a place when it is within the place's radius of its shape. A tracker arrives after as many fixes in a
row inside as the place's dwell asks for, which span its minutes, and then has been there since the first of them; where
it arrives at several places at once, the one with the nearest centre counts, then the smaller one. It has left when two
fixes in a row were out of the place: beyond its radius by more than their accuracy (of which at most 200 m count) and a
margin of 20 m, or a fifth of the place's reach where that is more. It left at the first of them. From a place straight
to another one that contains the fixes better, or that they lie in before it has left, it moves after two fixes in a row
at least. A place that is active no longer is left at the next fix.

All times are starts of buckets. What happened is known only some fixes later, so a later fix may change the past, but
never from before `JourneyState.settled_until`. Silence lies over all of it: it changes the status and ends no stay.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self
from uuid import UUID

from app.trackers.buckets import silent_from
from app.trackers.models import PlaceKind, TrackerStatus
from app.trackers.points import Point, distance_meters

MOST_ACCURACY_METERS = 200.0
LEAST_MARGIN_METERS = 20.0
MARGIN_OF_REACH = 0.2
FIXES_TO_LEAVE = 2
# A thing at rest seems to move by as much as this, however good its fixes claim to be.
UNREST_METERS = 20.0

_STATUS_AT: Mapping[PlaceKind, TrackerStatus] = {
    PlaceKind.STORAGE: TrackerStatus.IN_STORAGE,
    PlaceKind.DELIVERY: TrackerStatus.DELIVERED,
}


@dataclass(frozen=True, slots=True)
class PlaceRules:
    """What a journey has to know of a place; `reach_meters` is the radius of a circle as large as it."""

    id: UUID
    kind: PlaceKind
    radius_meters: float
    reach_meters: float
    dwell_fixes: int = 1
    dwell_minutes: int = 0
    active_from: datetime | None = None
    active_until: datetime | None = None

    @property
    def margin_meters(self) -> float:
        """How far beyond the radius one has to be, at least, to have left."""
        return max(LEAST_MARGIN_METERS, MARGIN_OF_REACH * self.reach_meters)

    @property
    def farthest_meters(self) -> float:
        """How far from the shape a fix may be that is not out of the place for certain."""
        return self.radius_meters + self.margin_meters + MOST_ACCURACY_METERS

    def is_active(self, instant: datetime) -> bool:
        """Whether the place counts then."""
        return (self.active_from is None or self.active_from <= instant) and (
            self.active_until is None or instant < self.active_until
        )


class Nearness(NamedTuple):
    """How far a fix is from a place: from its shape, and from its centre."""

    place_id: UUID
    shape_meters: float
    center_meters: float


class JourneyFix(NamedTuple):
    """A fix, with all places of which it may not be out."""

    bucket: datetime
    point: Point
    accuracy_meters: float
    near: Sequence[Nearness] = ()


class Row(NamedTuple):
    """Fixes in a row inside a place where the tracker is not yet."""

    place_id: UUID
    since: datetime
    fix_count: int


class Silence(NamedTuple):
    """A time in which nothing was heard, until the next fix."""

    started_at: datetime
    ended_at: datetime


@dataclass(slots=True)
class Stay:
    """A time at one place, or at none; it lasts until the next begins. `known_at` is the fix by which it was known.

    None for what was known before.
    """

    since: datetime
    place_id: UUID | None
    fix_count: int
    known_at: datetime | None


class MovedInStorage(NamedTuple):
    """A fix of a stored tracker that lies farther from where it came to rest than the accuracies allow."""

    fix: JourneyFix
    place_id: UUID


class StatusSpan(NamedTuple):
    """A time in which status and place stayed the same; open without an end. `known_at` as `Stay` has it."""

    started_at: datetime
    ended_at: datetime | None
    status: TrackerStatus
    place_id: UUID | None
    known_at: datetime | None


class JourneyState(NamedTuple):
    """What is to be known of a journey after a fix, to go on from it."""

    last_bucket: datetime
    since: datetime
    place_id: UUID | None
    fix_count: int
    resting: Point
    resting_accuracy_meters: float
    leaving_since: datetime | None
    rows: Sequence[Row]
    silences: Sequence[Silence]

    @property
    def settled_until(self) -> datetime:
        """What was before then stays as it is, whatever comes."""
        if not self.rows:
            return self.last_bucket if self.leaving_since is None else self.leaving_since
        pending = [max(row.since, self.since) for row in self.rows]
        if self.leaving_since is not None:
            pending.append(self.leaving_since)
        return min(pending)

    def as_json(self) -> dict[str, Any]:
        """The state as a small JSON object."""
        return {
            "last": self.last_bucket.isoformat(),
            "since": self.since.isoformat(),
            "place": None if self.place_id is None else str(self.place_id),
            "fixes": self.fix_count,
            "rest": [*self.resting, self.resting_accuracy_meters],
            "leaving": None if self.leaving_since is None else self.leaving_since.isoformat(),
            "rows": [[str(row.place_id), row.since.isoformat(), row.fix_count] for row in self.rows],
            "silences": [[instant.isoformat() for instant in silence] for silence in self.silences],
        }

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Self:
        """The state that `as_json` gave."""
        latitude_e7, longitude_e7, accuracy_meters = given["rest"]
        return cls(
            last_bucket=datetime.fromisoformat(given["last"]),
            since=datetime.fromisoformat(given["since"]),
            place_id=None if given["place"] is None else UUID(given["place"]),
            fix_count=given["fixes"],
            resting=Point(latitude_e7, longitude_e7),
            resting_accuracy_meters=accuracy_meters,
            leaving_since=None if given["leaving"] is None else datetime.fromisoformat(given["leaving"]),
            rows=tuple(Row(UUID(place), datetime.fromisoformat(since), count) for place, since, count in given["rows"]),
            silences=tuple(Silence(*map(datetime.fromisoformat, silence)) for silence in given["silences"]),
        )


@dataclass(slots=True)
class _Rest:
    """Where a tracker came to rest."""

    point: Point
    accuracy_meters: float


@dataclass(slots=True)
class Journey:
    """Goes along the fixes of a tracker in the order of time, from the first of all or on from a state.

    `stays` begins with the one that the state was in, whole; `silences` are those since the state was settled.
    """

    places: Mapping[UUID, PlaceRules]
    silent_after_minutes: int
    stays: list[Stay] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    moves: list[MovedInStorage] = field(default_factory=list)
    settled_until: datetime | None = None
    _last_bucket: datetime | None = None
    _rest: _Rest | None = None
    _leaving_since: datetime | None = None
    _rows: list[Row] = field(default_factory=list)

    @classmethod
    def beginning_with(
        cls, state: JourneyState | None, *, places: Mapping[UUID, PlaceRules], silent_after_minutes: int
    ) -> Self:
        """The journey from this state on; None before the first fix."""
        if state is None:
            return cls(places, silent_after_minutes)
        return cls(
            places,
            silent_after_minutes,
            stays=[Stay(state.since, state.place_id, state.fix_count, known_at=None)],
            silences=list(state.silences),
            settled_until=state.settled_until,
            _last_bucket=state.last_bucket,
            _rest=_Rest(state.resting, state.resting_accuracy_meters),
            _leaving_since=state.leaving_since,
            _rows=list(state.rows),
        )

    @property
    def silent_at(self) -> datetime | None:
        """When the tracker falls silent, if nothing comes after the last fix; None before the first."""
        return None if self._last_bucket is None else silent_from(self._last_bucket, self.silent_after_minutes)

    def go_on(self, fix: JourneyFix) -> None:
        """Take the next fix in."""
        silent_at = self.silent_at
        if silent_at is not None and fix.bucket > silent_at:
            self.silences.append(Silence(silent_at, fix.bucket))
        self._last_bucket = fix.bucket
        if not self.stays:
            self.stays.append(Stay(fix.bucket, None, 0, fix.bucket))
        self.stays[-1].fix_count += 1
        near = {nearness.place_id: nearness for nearness in fix.near if self._is_active(nearness.place_id, fix.bucket)}
        inside = {
            place_id: nearness
            for place_id, nearness in near.items()
            if nearness.shape_meters <= self.places[place_id].radius_meters
        }
        before = self.stays[-1]
        self._extend_rows(fix.bucket, inside)
        self._look_for_departure(fix, near)
        self._look_for_arrival(fix, inside)
        self._look_for_moves(fix, came_to_rest=self.stays[-1] is not before)

    def state(self) -> JourneyState:
        """What is to be known after the last fix, of which there is one."""
        if self._last_bucket is None or self._rest is None:
            raise ValueError("a journey without a fix has no state")
        current = self.stays[-1]
        state = JourneyState(
            last_bucket=self._last_bucket,
            since=current.since,
            place_id=current.place_id,
            fix_count=current.fix_count,
            resting=self._rest.point,
            resting_accuracy_meters=self._rest.accuracy_meters,
            leaving_since=self._leaving_since,
            rows=tuple(self._rows),
            silences=(),
        )
        if not self.silences:
            return state
        settled_until = state.settled_until
        return state._replace(
            silences=tuple(silence for silence in self.silences if silence.started_at >= settled_until)
        )

    def statuses(self, *, created_at: datetime, now: datetime) -> list[StatusSpan]:
        """The statuses since the state was settled, or since the tracker was made, up to now; the last one is open."""
        marks = list(self._marks(created_at, now))
        ends = [started_at for started_at, *_ in marks[1:]]
        return [
            StatusSpan(started_at, ended_at, status, place_id, known_at)
            for (started_at, status, place_id, known_at), ended_at in zip(marks, [*ends, None], strict=True)
            if started_at != ended_at
        ]

    def _marks(
        self, created_at: datetime, now: datetime
    ) -> Iterable[tuple[datetime, TrackerStatus, UUID | None, datetime | None]]:
        """When each status began. Silences lie between fixes, and stays begin at fixes."""
        if self.settled_until is None and self.stays and created_at < self.stays[0].since:
            yield created_at, TrackerStatus.CREATED, None, None
        silences = list(self.silences)
        for stay, following in zip(self.stays, [*self.stays[1:], None], strict=True):
            status = self.status_at(stay.place_id)
            started_at = stay.since if self.settled_until is None else max(stay.since, self.settled_until)
            yield started_at, status, stay.place_id, stay.known_at
            while silences and (following is None or silences[0].started_at < following.since):
                silence = silences.pop(0)
                yield silence.started_at, TrackerStatus.SILENT, None, silence.started_at
                if following is None or silence.ended_at < following.since:
                    yield silence.ended_at, status, stay.place_id, silence.ended_at
        silent_at = self.silent_at
        if silent_at is not None and silent_at <= now:
            yield silent_at, TrackerStatus.SILENT, None, silent_at

    def status_at(self, place_id: UUID | None) -> TrackerStatus:
        """The status that a tracker has at a place, or at none."""
        place = None if place_id is None else self.places.get(place_id)
        return TrackerStatus.IN_TRANSIT if place is None else _STATUS_AT[place.kind]

    def _is_active(self, place_id: UUID, bucket: datetime) -> bool:
        place = self.places.get(place_id)
        return place is not None and place.is_active(bucket)

    def _extend_rows(self, bucket: datetime, inside: Mapping[UUID, Nearness]) -> None:
        """Count the fixes in a row inside places other than the one the tracker is at, if they contain it better."""
        if not inside:
            self._rows = []
            return
        rows = {row.place_id: row for row in self._rows}
        current = self.stays[-1].place_id
        self._rows = []
        for place_id in sorted(self._better_than(current, inside)):
            row = rows.get(place_id, Row(place_id, bucket, 0))
            self._rows.append(row._replace(fix_count=row.fix_count + 1))

    def _better_than(self, place_id: UUID | None, inside: Mapping[UUID, Nearness]) -> Collection[UUID]:
        """The places that contain a fix, and better than this one."""
        if place_id is None or place_id not in inside:
            return inside.keys() - {place_id}
        limit = self._preference(inside[place_id])
        return [other for other, nearness in inside.items() if self._preference(nearness) < limit]

    def _preference(self, nearness: Nearness) -> tuple[float, float, UUID]:
        return nearness.center_meters, self.places[nearness.place_id].reach_meters, nearness.place_id

    def _look_for_departure(self, fix: JourneyFix, near: Mapping[UUID, Nearness]) -> None:
        place_id = self.stays[-1].place_id
        if place_id is None:
            return
        if not self._is_active(place_id, fix.bucket):
            self._begin(None, fix.bucket, fix_count=1, known_at=fix.bucket)
        elif not self._is_out(fix, near.get(place_id)):
            self._leaving_since = None
        elif self._leaving_since is None:
            self._leaving_since = fix.bucket
        else:
            self._begin(None, self._leaving_since, fix_count=FIXES_TO_LEAVE, known_at=fix.bucket)

    def _is_out(self, fix: JourneyFix, nearness: Nearness | None) -> bool:
        if nearness is None:
            return True
        place = self.places[nearness.place_id]
        certainly = nearness.shape_meters - min(fix.accuracy_meters, MOST_ACCURACY_METERS)
        return certainly > place.radius_meters + place.margin_meters

    def _look_for_arrival(self, fix: JourneyFix, inside: Mapping[UUID, Nearness]) -> None:
        if not self._rows:
            return
        current = self.stays[-1]
        arrived = [
            row for row in self._rows if self._has_dwelt(row, fix.bucket, is_elsewhere=current.place_id is not None)
        ]
        if not arrived:
            return
        best = min(arrived, key=lambda row: self._preference(inside[row.place_id]))
        self._begin(
            best.place_id,
            max(best.since, current.since),
            fix_count=min(best.fix_count, current.fix_count),
            known_at=fix.bucket,
        )
        better = self._better_than(best.place_id, inside)
        self._rows = [row for row in self._rows if row.place_id in better]

    def _has_dwelt(self, row: Row, bucket: datetime, *, is_elsewhere: bool) -> bool:
        place = self.places[row.place_id]
        wanted = max(place.dwell_fixes, FIXES_TO_LEAVE) if is_elsewhere else place.dwell_fixes
        return row.fix_count >= wanted and bucket - row.since >= timedelta(minutes=place.dwell_minutes)

    def _begin(self, place_id: UUID | None, since: datetime, *, fix_count: int, known_at: datetime) -> None:
        """Have been somewhere else since then, for so many fixes."""
        current = self.stays[-1]
        current.fix_count -= fix_count
        if current.since == since:
            self.stays.pop()
        self.stays.append(Stay(since, place_id, fix_count, known_at))
        self._leaving_since = None

    def _look_for_moves(self, fix: JourneyFix, *, came_to_rest: bool) -> None:
        place_id = self.stays[-1].place_id
        if came_to_rest or place_id is None or self._rest is None:
            self._rest = _Rest(fix.point, fix.accuracy_meters)
            return
        if self._leaving_since is not None:
            return
        allowed = self._rest.accuracy_meters + fix.accuracy_meters + UNREST_METERS
        if distance_meters(self._rest.point, fix.point) > allowed:
            self._rest = _Rest(fix.point, fix.accuracy_meters)
            if self.status_at(place_id) is TrackerStatus.IN_STORAGE:
                self.moves.append(MovedInStorage(fix, place_id))
