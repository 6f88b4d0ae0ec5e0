"""The live streams of trackers: where they move, and what becomes of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import strawberry

from app.core.database import Database, DatabaseViewer
from app.core.errors import BadUserInput, NotFound
from app.core.ids import PublicIdTag
from app.core.paging import decode_cursor
from app.graph.access import private
from app.graph.context import Info
from app.graph.fields import streamed
from app.graph.reads.fields import Reference, column, edge, embedded, refer, shows
from app.graph.reads.wire import cursor_text
from app.graph.relay import key_of
from app.graph.trackers.errors import MEMBERS_ALONE, TRACKERS_READ
from app.graph.trackers.places import Place
from app.graph.trackers.points import BoundingBox, LatLng, box_of
from app.graph.trackers.trackers import Tracker
from app.trackers.history_models import TrackerEvent as EventRow
from app.trackers.history_models import TrackerEventKind
from app.trackers.models import Place as PlaceRow
from app.trackers.models import Tracker as TrackerRow
from app.trackers.models import TrackerStatus
from app.trackers.queries.events import (
    RECORDED_SECOND,
    Box,
    TrackerEventRow,
    Watched,
    clients_of_viewer,
    events_watched,
    is_visible_event,
    is_visible_run,
    place_in_box,
    visible_trackers,
)
from app.trackers.queries.positions import POINT, latitude_of, longitude_of

EVENT_ORDER = "tracker-events"
MAXIMUM_WATCHED_TRACKERS = 250
# Events are kept for seven days; a day less is promised, so that a replay never meets the pruning.
REPLAY_KEPT_FOR = timedelta(days=6)
CURSOR = cursor_text(EVENT_ORDER, [EventRow.position, RECORDED_SECOND])
OF_THE_STREAM = "The position of this update; give it as `since` to go on from here after a reconnect."


@strawberry.type(description="A new last fix of a tracker.")
@private(MEMBERS_ALONE)
@shows(EventRow, key=EventRow.position)
class TrackerMovement:
    cursor: str = column(CURSOR, OF_THE_STREAM)
    occurred_at: datetime = column(EventRow.occurred_at, "The start of the ten minutes that the fix is of.")
    position: LatLng = embedded(
        "Where it was.",
        instead={POINT.c.latitude: latitude_of(EventRow.point), POINT.c.longitude: longitude_of(EventRow.point)},
    )
    accuracy_meters: float | None = column(
        EventRow.accuracy_meters, "Within how many metres, as far as the reports say."
    )
    tracker: Tracker | None = edge("The tracker, as it is now.", on=EventRow.tracker_id, to=TrackerRow.id)


@strawberry.type(description="A new status of a tracker.")
@private(MEMBERS_ALONE)
@shows(EventRow, key=EventRow.position)
class TrackerStatusUpdate:
    cursor: str = column(CURSOR, OF_THE_STREAM)
    occurred_at: datetime = column(EventRow.occurred_at, "Since when it has the status.")
    status: TrackerStatus = column(EventRow.status, "The status.", present=True)
    place: Place | None = edge("Where it is stored or delivered; null otherwise.", on=EventRow.place_id, to=PlaceRow.id)
    tracker: Tracker | None = edge("The tracker, as it is now.", on=EventRow.tracker_id, to=TrackerRow.id)


@strawberry.type
class TrackerSubscriptions:
    @streamed(
        "Each new last fix of trackers (1 to 250, by `trackerIds`), of those of a production run, or of all of one's "
        "clients' while they are within a box, and the one with which they leave it: one of the three. With `since`, a "
        "`cursor` of this stream, first what came after it: no gap and nothing twice. A reader that is slower is sent "
        "only the latest of each tracker.",
        type=TrackerMovement,
        access=TRACKERS_READ,
    )
    @staticmethod
    async def tracker_moved(
        info: Info,
        tracker_ids: list[strawberry.ID] | None = None,
        production_run_id: strawberry.ID | None = None,
        box: BoundingBox | None = None,
        since: str | None = None,
    ) -> AsyncIterator[Reference]:
        _one_of(trackerIds=tracker_ids, productionRunId=production_run_id, box=box)
        keys = await _watched_keys(info, tracker_ids, production_run_id, None)
        watched = Watched(keys, TrackerEventKind.MOVED, None if box is None else box_of(box, "box"))
        return _follow(info, watched, TrackerMovement, since)

    @streamed(
        "Each new status of trackers (1 to 250, by `trackerIds`), of those of a production run, or of those of a "
        "client: one of the three. With `since`, a `cursor` of this stream, first what came after it: no gap and "
        "nothing twice. Nothing is left out: a reader that falls far behind is told so, and goes on by `since`.",
        type=TrackerStatusUpdate,
        access=TRACKERS_READ,
    )
    @staticmethod
    async def tracker_status_changed(
        info: Info,
        tracker_ids: list[strawberry.ID] | None = None,
        production_run_id: strawberry.ID | None = None,
        client_id: strawberry.ID | None = None,
        since: str | None = None,
    ) -> AsyncIterator[Reference]:
        _one_of(trackerIds=tracker_ids, productionRunId=production_run_id, clientId=client_id)
        keys = await _watched_keys(info, tracker_ids, production_run_id, client_id)
        return _follow(info, Watched(keys, TrackerEventKind.STATUS_CHANGED), TrackerStatusUpdate, since)


def _one_of(**given: object) -> None:
    if sum(value is not None for value in given.values()) != 1:
        names = [f"`{name}`" for name in given]
        raise BadUserInput(
            f"Give {', '.join(names[:-1])} or {names[-1]}, one of them.",
            argument=next(iter(given)),
            allowed=list(given),
        )


async def _watched_keys(
    info: Info,
    tracker_ids: Sequence[str] | None,
    production_run_id: str | None,
    client_id: str | None,
) -> list[UUID]:
    """The keys to watch, which the viewer sees; without any named, those of the viewer's clients."""
    read = info.context.snapshot.read
    clients = await read(clients_of_viewer)
    if tracker_ids is not None:
        if not 1 <= len(tracker_ids) <= MAXIMUM_WATCHED_TRACKERS:
            raise BadUserInput(
                f"`trackerIds` must hold 1 to {MAXIMUM_WATCHED_TRACKERS} ids, and holds {len(tracker_ids)}.",
                argument="trackerIds",
                allowed=[f"1..{MAXIMUM_WATCHED_TRACKERS} ids"],
            )
        keys = [key_of(id_, PublicIdTag.TRACKER, argument="trackerIds") for id_ in tracker_ids]
        asked = [key for key in keys if isinstance(key, UUID)]
        if len(asked) < len(keys) or len(await read(visible_trackers, asked)) < len(set(asked)):
            raise NotFound("`trackerIds` holds an id that is no tracker of your clients'; `trackers` lists them.")
        return asked
    if production_run_id is not None:
        run = key_of(production_run_id, PublicIdTag.PRODUCTION_RUN, argument="productionRunId")
        if not isinstance(run, UUID) or not await read(is_visible_run, run):
            raise NotFound("There is no such production run among your clients'; `clients` leads to them.")
        return [run]
    if client_id is not None:
        client = key_of(client_id, PublicIdTag.CLIENT, argument="clientId")
        if client not in clients:
            raise NotFound("There is no such client among yours; `clients` lists them.")
        return [key for key in clients if key == client]
    return clients


async def _follow(info: Info, watched: Watched, shown: type, since: str | None) -> AsyncIterator[Reference]:
    """The watched events as they come, those that the viewer sees at that moment."""
    position = None if since is None else _replay_position(since, info.context.now)
    database, viewer = info.context.resources.database, info.context.viewer.in_database
    changes = info.context.resources.feeds.trackers.subscribe(
        watched.keys,
        since=position,
        missed=partial(events_watched, watched=watched),
        viewer=viewer,
        wants=lambda change: change.kind == watched.kind,
        loses_nothing=watched.kind is not TrackerEventKind.MOVED,
    )
    # Of a reader so slow that the movement out of the box was left out, a later one tells that the tracker has left.
    told_within: set[UUID] = set()
    # Closed with this stream, not some time after it: until then the feed would keep its place.
    async with aclosing(changes):
        async for change in changes:
            if await _may_be_told(database, viewer, change, watched.box, told_within):
                yield refer(shown, change.position)


async def _may_be_told(
    database: Database,
    viewer: DatabaseViewer | None,
    change: TrackerEventRow,
    box: Box | None,
    told_within: set[UUID],
) -> bool:
    """Whether the viewer sees the event, and it lies within the box or leads out of it, if there is one."""
    snapshot = database.snapshot(viewer=viewer)
    try:
        if box is None:
            return await snapshot.read(is_visible_event, position=change.position)
        place = await snapshot.read(place_in_box, position=change.position, box=box)
    finally:
        await snapshot.close()
    if place is None:
        return False
    if place.is_within:
        told_within.add(change.tracker_id)
        return True
    has_left = place.has_left or change.tracker_id in told_within
    told_within.discard(change.tracker_id)
    return has_left


def _replay_position(since: str, now: datetime) -> int:
    """The position behind a cursor of the stream; refuses one that is older than what is kept."""
    position, recorded_at = decode_cursor(since, order=EVENT_ORDER, argument="since", types=[int, int])
    if int(recorded_at or 0) < (now - REPLAY_KEPT_FOR).timestamp():
        raise BadUserInput(
            f"`since` is older than the {REPLAY_KEPT_FOR.days} days that updates are kept for; "
            "read where the trackers are and subscribe without it.",
            argument="since",
            allowed=["a `cursor` of the last days"],
        )
    return int(position or 0)
