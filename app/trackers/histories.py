"""The history of a tracker, worked out from its fixes: what is to be written, and what there is to tell.

Pure: nothing here asks the database. Work goes on from a state of the journey that the change cannot have touched: the
one after the last fix, where fixes were only appended, else a checkpoint before the first fix that changed.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

from app.trackers.anomalies import NEIGHBOURS, anomalous
from app.trackers.best_fix import BestFix
from app.trackers.buckets import bucket_number
from app.trackers.commands.tracker_events import TRACKER_EVENTS_KEPT_FOR, NewTrackerEvent
from app.trackers.history_models import TrackerEventKind
from app.trackers.journey import Journey, JourneyFix, JourneyState, Nearness, PlaceRules, StatusSpan
from app.trackers.models import TrackerStatus
from app.trackers.points import Point

# Before all reports. Only what nobody ever reported is older.
BEGINNING = datetime(1, 1, 2, tzinfo=UTC)
# A changed fix changes the marks of so many before it, each of which looks at so many before itself.
FIXES_BEFORE = 2 * NEIGHBOURS
# One fix in so many holds a checkpoint.
FIXES_PER_CHECKPOINT = 32

_TOLD_IN_ORDER = list(TrackerEventKind)


class Fix(NamedTuple):
    """A row of `location_fixes`; the tracker is known from elsewhere."""

    bucket: datetime
    point: Point
    accuracy_meters: float
    confidence: int | None
    last_reported_at: datetime
    report_count: int
    dropped_count: int
    is_anomalous: bool
    city_id: int | None
    checkpoint: Mapping[str, Any] | None

    @property
    def bearing(self) -> tuple[Point, float, bool]:
        """What of it bears on the journey."""
        return self.point, self.accuracy_meters, self.is_anomalous


class StatusRow(NamedTuple):
    """A row of `status_changes`."""

    started_at: datetime
    ended_at: datetime | None
    status: TrackerStatus
    place_id: UUID | None


class VisitRow(NamedTuple):
    """A row of `visits`."""

    arrived_at: datetime
    departed_at: datetime | None
    place_id: UUID
    fix_count: int


class TrackerBefore(NamedTuple):
    """A locked tracker as it was before its history changes."""

    id: UUID
    client_id: UUID
    production_run_id: UUID | None
    created_at: datetime
    silent_after_minutes: int
    last_fix_at: datetime | None
    last_accuracy_meters: float | None
    last_point: Point | None
    status: TrackerStatus
    status_since: datetime
    status_place_id: UUID | None
    journey: Mapping[str, Any] | None


class _News(NamedTuple):
    """Something that may be told; by `known_at`, the fix by which it was known, None for what was known before."""

    known_at: datetime | None
    kind: TrackerEventKind
    occurred_at: datetime
    status: TrackerStatus
    place_id: UUID | None


class StatusesToWrite(NamedTuple):
    """Rows of status changes that are new or differ, the starts of those that are no more, and that of the last one."""

    written: Sequence[StatusRow]
    deleted: Sequence[datetime]
    last_since: datetime


class VisitsToWrite(NamedTuple):
    """Rows of visits that are new or differ, and the arrivals of those that are no more."""

    written: Sequence[VisitRow]
    deleted: Sequence[datetime]


@dataclass(slots=True)
class History:
    """The part of a tracker's history that is worked out anew.

    `stored` are its fixes from ten before the first one that may change, all to the last, by their buckets. Call in
    this order: `merge`, then `add_earlier` where `needs_earlier`, then `go`, then the rest.
    """

    tracker: TrackerBefore
    stored: dict[datetime, Fix]
    fixes: list[Fix] = field(default_factory=list)
    deleted: Sequence[datetime] = ()
    needs_earlier: bool = False
    journey: Journey | None = None
    _state: JourneyState | None = None
    _start: int = 0
    _first_changed: datetime | None = None
    _is_by_report: bool = True

    def merge(
        self, best: Mapping[datetime, BestFix], touched: Collection[datetime], *, remade_since: datetime | None
    ) -> None:
        """Put the fixes of the touched buckets among the stored ones, mark anomalies, and find where to begin.

        The journey is gone along again from `remade_since` on, even where no fix changed.
        """
        self._is_by_report = remade_since is None
        merged = {bucket: fix for bucket, fix in self.stored.items() if bucket not in touched}
        merged |= {bucket: _fix(bucket, found, self.stored.get(bucket)) for bucket, found in best.items()}
        self.deleted = sorted(self.stored.keys() - merged.keys())
        self.fixes = [merged[bucket] for bucket in sorted(merged)]
        self._mark(min(touched, default=None))
        changed = [*self.deleted, *self._bearing_otherwise()]
        self._first_changed = min(changed if remade_since is None else [*changed, remade_since], default=None)
        self._find_start()

    def add_earlier(self, earlier: Sequence[Fix]) -> None:
        """Take in the fixes before those that are stored here, from the last checkpoint or the first fix of all on."""
        self.stored |= {fix.bucket: fix for fix in earlier}
        self.fixes = [*earlier, *self.fixes]
        self.needs_earlier = False
        self._begin_at_checkpoint(len(earlier))

    @property
    def is_remade(self) -> bool:
        """Whether there is anything to work out beyond the rows of fixes."""
        return self._first_changed is not None and bool(self.fixes or self._state)

    def along(self) -> list[Fix]:
        """The fixes that the journey is to go along."""
        return [fix for fix in self.fixes[self._start :] if not fix.is_anomalous] if self.is_remade else []

    def without_city(self) -> list[Fix]:
        """The fixes whose nearest city is not known: those that are new, or elsewhere than before."""
        found = []
        for fix in self.fixes:
            stored = self.stored.get(fix.bucket)
            if stored is not fix and (stored is None or stored.point != fix.point):
                found.append(fix)
        return found

    def set_cities(self, cities: Mapping[datetime, int | None]) -> None:
        """Give these fixes their nearest cities."""
        self.fixes = [fix._replace(city_id=cities[fix.bucket]) if fix.bucket in cities else fix for fix in self.fixes]

    def go(self, places: Mapping[UUID, PlaceRules], near: Mapping[datetime, Sequence[Nearness]]) -> None:
        """Go along the fixes, given how far each is from places."""
        journey = Journey.beginning_with(
            self._state, places=places, silent_after_minutes=self.tracker.silent_after_minutes
        )
        self.journey = journey
        for index in range(self._start, len(self.fixes)):
            fix = self.fixes[index]
            if not fix.is_anomalous:
                nearness = near.get(fix.bucket, ())
                journey.go_on(JourneyFix(fix.bucket, fix.point, fix.accuracy_meters, nearness))
            if self._first_changed is not None and fix.bucket >= self._first_changed:
                if not fix.is_anomalous and holds_checkpoint(fix.bucket):
                    self.fixes[index] = fix._replace(checkpoint=journey.state().as_json())
                elif fix.checkpoint is not None:
                    self.fixes[index] = fix._replace(checkpoint=None)

    def fixes_to_write(self) -> list[Fix]:
        """The fixes that are new, or not as they are stored."""
        found = []
        for fix in self.fixes:
            stored = self.stored.get(fix.bucket)
            if stored is not fix and stored != fix:
                found.append(fix)
        return found

    @property
    def last_fix(self) -> Fix | None:
        """The last fix that is no anomaly; None where none is at hand."""
        return next((fix for fix in reversed(self.fixes) if not fix.is_anomalous), None)

    @property
    def statuses_from(self) -> datetime:
        """From when on rows of status changes may be others now."""
        return BEGINNING if self._state is None else self._state.settled_until

    @property
    def visits_from(self) -> datetime:
        """From when on rows of visits may be others now."""
        if self._state is None:
            return BEGINNING
        return self._state.settled_until if self._state.place_id is None else self._state.since

    def statuses_to_write(self, spans: Sequence[StatusSpan], stored: Iterable[StatusRow]) -> StatusesToWrite:
        """What differs from the stored rows: those since `statuses_from`, and the last one before. There is a span."""
        rows = [StatusRow(span.started_at, span.ended_at, span.status, span.place_id) for span in spans]
        by_start = {row.started_at: row for row in stored}
        before = max((row for row in by_start.values() if row.started_at < self.statuses_from), default=None)
        if before is not None:
            if before[2:] == rows[0][2:]:
                rows[0] = rows[0]._replace(started_at=before.started_at)
            else:
                rows.insert(0, before._replace(ended_at=rows[0].started_at))
        kept = {row.started_at for row in rows}
        return StatusesToWrite(
            written=[row for row in rows if by_start.get(row.started_at) != row],
            deleted=sorted(by_start.keys() - kept),
            last_since=rows[-1].started_at,
        )

    def is_as_before(self, spans: Sequence[StatusSpan]) -> bool:
        """Whether the tracker is all the while in the status in which it was since before: no row of them differs."""
        before = self.tracker
        return (
            len(spans) == 1
            and (spans[0].status, spans[0].place_id) == (before.status, before.status_place_id)
            and before.status_since < self.statuses_from
        )

    def is_nowhere_as_before(self, spans: Sequence[StatusSpan]) -> bool:
        """Whether the tracker is at no place all the while, and was at none: no row of visits differs."""
        stays = [] if self.journey is None else self.journey.stays
        return [stay.place_id for stay in stays] == [None] and self.is_as_before(spans)

    def visits_to_write(self, stored: Iterable[VisitRow]) -> VisitsToWrite:
        """What differs from the stored rows since `visits_from`."""
        stays = [] if self.journey is None else self.journey.stays
        rows = [
            VisitRow(stay.since, None if following is None else following.since, stay.place_id, stay.fix_count)
            for stay, following in zip(stays, [*stays[1:], None], strict=False)
            if stay.place_id is not None
        ]
        by_arrival = {row.arrived_at: row for row in stored}
        return VisitsToWrite(
            written=[row for row in rows if by_arrival.get(row.arrived_at) != row],
            deleted=sorted(by_arrival.keys() - {row.arrived_at for row in rows}),
        )

    def events(self, spans: Sequence[StatusSpan], *, now: datetime) -> list[NewTrackerEvent]:
        """What there is to tell, in the order in which it was known.

        Only what was known by the last fix that there was before, or later; so a past that is made anew is not told.
        Nor is what was known longer ago than events are kept. Only that the last fix is another is told always.
        """
        since = max(self.tracker.last_fix_at or BEGINNING, now - TRACKER_EVENTS_KEPT_FOR)
        told = [*self._news_of_stays(), *self._news_of_statuses(spans)]
        news = [one for one in told if one.known_at is not None and one.known_at >= since]
        news += self._news_of_last_fix(spans)
        if len(news) > 1:
            news.sort(key=lambda one: (one.known_at, one.occurred_at, _TOLD_IN_ORDER.index(one.kind)))
        return [self._event(one) for one in news]

    def _mark(self, first_touched: datetime | None) -> None:
        position = self._index_of(first_touched)
        marks = anomalous(self.fixes)
        for index in range(max(0, position - NEIGHBOURS), len(self.fixes)):
            if self.fixes[index].is_anomalous != marks[index]:
                self.fixes[index] = self.fixes[index]._replace(is_anomalous=marks[index])

    def _bearing_otherwise(self) -> Iterable[datetime]:
        """The buckets whose fixes are new, or bear otherwise on the journey than those that are stored."""
        for fix in self.fixes:
            stored = self.stored.get(fix.bucket)
            # Most are the very ones that are stored.
            if stored is not fix and (stored is None or stored.bearing != fix.bearing):
                yield fix.bucket

    def _index_of(self, bucket: datetime | None) -> int:
        if bucket is None:
            return len(self.fixes)
        return bisect_left(self.fixes, bucket, key=lambda fix: fix.bucket)

    def _find_start(self) -> None:
        if self._first_changed is None:
            return
        position = self._index_of(self._first_changed)
        if self.tracker.journey is not None and max(self.stored, default=BEGINNING) < self._first_changed:
            self._start = position
            self._state = JourneyState.of_json(self.tracker.journey)
        else:
            self._begin_at_checkpoint(position)
            # With fewer before it, those that are here begin with the first fix of all.
            self.needs_earlier = self._state is None and position > 0 and len(self.stored) >= FIXES_BEFORE

    def _begin_at_checkpoint(self, position: int) -> None:
        """Begin after the last fix before this position that holds a checkpoint, or with the first one."""
        for index in range(position - 1, -1, -1):
            checkpoint = self.fixes[index].checkpoint
            if checkpoint is not None:
                self._start = index + 1
                self._state = JourneyState.of_json(checkpoint)
                return
        self._start = 0

    def _news_of_stays(self) -> Iterable[_News]:
        if self.journey is None:
            return
        stays = self.journey.stays
        for stay, following in zip(stays, [*stays[1:], None], strict=False):
            if stay.place_id is None:
                continue
            status = self.journey.status_at(stay.place_id)
            yield _News(stay.known_at, TrackerEventKind.ENTERED, stay.since, status, stay.place_id)
            if status is TrackerStatus.DELIVERED:
                yield _News(stay.known_at, TrackerEventKind.DELIVERED, stay.since, status, stay.place_id)
            if following is not None:
                status = self.journey.status_at(following.place_id)
                yield _News(following.known_at, TrackerEventKind.LEFT, following.since, status, stay.place_id)
        for moved in self.journey.moves:
            instant = moved.fix.bucket
            yield _News(instant, TrackerEventKind.MOVED_IN_STORAGE, instant, TrackerStatus.IN_STORAGE, moved.place_id)

    def _news_of_statuses(self, spans: Iterable[StatusSpan]) -> Iterable[_News]:
        for span in spans:
            yield _News(span.known_at, TrackerEventKind.STATUS_CHANGED, span.started_at, span.status, span.place_id)
            if span.status is TrackerStatus.SILENT:
                yield _News(span.known_at, TrackerEventKind.SILENT, span.started_at, span.status, span.place_id)

    def _news_of_last_fix(self, spans: Sequence[StatusSpan]) -> list[_News]:
        last, before = self.last_fix, self.tracker
        if last is None or not spans:
            return []
        if (last.bucket, last.point, last.accuracy_meters) == (
            before.last_fix_at,
            before.last_point,
            before.last_accuracy_meters,
        ):
            return []
        return [_News(last.bucket, TrackerEventKind.MOVED, last.bucket, spans[-1].status, spans[-1].place_id)]

    def _event(self, news: _News) -> NewTrackerEvent:
        point, accuracy_meters = self._seen_at(news.occurred_at)
        return NewTrackerEvent(
            client_id=self.tracker.client_id,
            tracker_id=self.tracker.id,
            production_run_id=self.tracker.production_run_id,
            kind=news.kind,
            occurred_at=news.occurred_at,
            status=news.status,
            place_id=news.place_id,
            point=point,
            accuracy_meters=accuracy_meters,
            is_by_report=self._is_by_report,
        )

    def _seen_at(self, instant: datetime) -> tuple[Point | None, float | None]:
        """Where the tracker was seen last, by then."""
        count = bisect_right(self.fixes, instant, key=lambda fix: fix.bucket)
        for fix in reversed(self.fixes[:count]):
            if not fix.is_anomalous:
                return fix.point, fix.accuracy_meters
        return self.tracker.last_point, self.tracker.last_accuracy_meters


def holds_checkpoint(bucket: datetime) -> bool:
    """Whether the fix of this bucket holds a checkpoint: one in 32, whichever others there are."""
    return crc32(bucket_number(bucket).to_bytes(8, signed=True)) % FIXES_PER_CHECKPOINT == 0


def _fix(bucket: datetime, found: BestFix, stored: Fix | None) -> Fix:
    is_elsewhere = stored is None or stored.point != found.point
    return Fix(
        bucket=bucket,
        point=found.point,
        accuracy_meters=found.accuracy_meters,
        confidence=found.confidence,
        last_reported_at=found.last_reported_at,
        report_count=found.report_count,
        dropped_count=found.dropped_count,
        is_anomalous=False,
        city_id=None if stored is None or is_elsewhere else stored.city_id,
        checkpoint=None if stored is None else stored.checkpoint,
    )
