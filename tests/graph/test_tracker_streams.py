"""The streams of trackers: where they move and what becomes of them, to those who see them, without gap or double."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import orjson
import pytest
from sqlalchemy import delete, text, update

from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.core.paging import encode_cursor
from app.graph.execution import Request
from app.graph.live import MOST_WAITING_CHANGES, WAITING_CHANGES_PER_SUBSCRIBER, FellBehind, Subscriber
from app.graph.transports.answers import Answers
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE, Caller, Viewer
from app.trackers.commands.tracker_events import NewTrackerEvent, record_events
from app.trackers.history_models import TEN_MILLIONTHS, TrackerEvent, TrackerEventKind
from app.trackers.models import Membership, MembershipRole, TrackerStatus
from app.trackers.points import Point
from app.trackers.queries.events import TrackerEventRow
from tests.graph.conftest import Graph
from tests.graph.stream_followers import SECONDS, Following, following, refused, subscribers, until
from tests.identity.builders import session_of
from tests.trackers.builders import MONDAY, Organisation, member_of, organisation, tracker_of

MOVED = """
subscription ($trackers: [ID!], $run: ID, $box: BoundingBox, $since: String) {
  trackerMoved(trackerIds: $trackers, productionRunId: $run, box: $box, since: $since) {
    cursor occurredAt position { latitude longitude } accuracyMeters tracker { name }
  }
}
"""
CHANGED = """
subscription ($trackers: [ID!], $run: ID, $client: ID, $since: String) {
  trackerStatusChanged(trackerIds: $trackers, productionRunId: $run, clientId: $client, since: $since) {
    cursor occurredAt status place { name } tracker { name }
  }
}
"""
HAMBURG = {"west": 9, "south": 53, "east": 11, "north": 54}
FIJI_AND_SAMOA = {"west": 170, "south": -30, "east": -165, "north": 0}


async def minute_of_next(seen: Following) -> int:
    """How many minutes after Monday the next update is of."""
    occurred = str((await seen.next())["occurredAt"])
    return int(occurred[11:13]) * 60 + int(occurred[14:16])


async def tell(database: Database, *events: NewTrackerEvent) -> None:
    """Record events in one transaction, as the worker does."""
    async with database.transaction() as transaction:
        await record_events(transaction, events)


def moved(known: Organisation, minutes: int, at: tuple[float, float] = (53.5, 10), **more: Any) -> NewTrackerEvent:
    """A movement of the tracker of the organisation, so many minutes after Monday."""
    values: dict[str, Any] = {
        "client_id": known.client_id,
        "tracker_id": known.tracker_id,
        "production_run_id": known.run_id,
        "kind": TrackerEventKind.MOVED,
        "occurred_at": MONDAY + timedelta(minutes=minutes),
        "status": TrackerStatus.IN_TRANSIT,
        "point": Point(*(round(degrees * TEN_MILLIONTHS) for degrees in at)),
        "accuracy_meters": 12.5,
    }
    return NewTrackerEvent(**(values | more))


def changed(known: Organisation, minutes: int, *at: tuple[float, float], **more: Any) -> NewTrackerEvent:
    """A new status of the tracker of the organisation, so many minutes after Monday."""
    return moved(known, minutes, *at, kind=TrackerEventKind.STATUS_CHANGED, **more)


def foreign(known: Organisation) -> dict[str, Any]:
    """What makes an event one of the stranger's client."""
    return {"client_id": known.strangers_client_id, "tracker_id": UUID(int=7), "production_run_id": None}


async def test_a_movement_is_told_with_where_it_was_and_of_what(database: Database, live: Graph) -> None:
    known = await organisation(database)
    async with following(live, known.viewer, MOVED, trackers=[known.tracker]) as seen:
        await tell(database, moved(known, 10, (53.5461, 9.9661)))
        told = await seen.next()
    assert told.pop("cursor")
    assert told == {
        "occurredAt": "2026-03-02T00:10:00Z",
        "position": {"latitude": 53.5461, "longitude": 9.9661},
        "accuracyMeters": 12.5,
        "tracker": {"name": "Box 1"},
    }


async def test_a_new_status_is_told_with_its_place_and_nothing_else_is(database: Database, live: Graph) -> None:
    known = await organisation(database)
    async with following(live, known.viewer, CHANGED, trackers=[known.tracker]) as seen:
        await tell(
            database,
            moved(known, 10),
            moved(known, 10, kind=TrackerEventKind.ENTERED, place_id=known.warehouse_id),
            changed(known, 20, status=TrackerStatus.IN_STORAGE, place_id=known.warehouse_id),
            changed(known, 30, status=TrackerStatus.SILENT),
        )
        first, second = await seen.next(), await seen.next()
    assert (first["status"], first["place"], first["tracker"]) == (
        "IN_STORAGE",
        {"name": "Warehouse"},
        {"name": "Box 1"},
    )
    assert (second["status"], second["place"]) == ("SILENT", None)


async def test_movements_are_followed_by_ids_by_run_and_by_box(database: Database, live: Graph) -> None:
    known = await organisation(database)
    async with database.transaction() as transaction:
        other = await tracker_of(transaction.connection, known.client_id, "Box 2")
    without_run = {"tracker_id": other, "production_run_id": None}
    async with (
        following(live, known.viewer, MOVED, trackers=[public_id(PublicIdTag.TRACKER, other)]) as by_id,
        following(live, known.viewer, MOVED, run=known.run) as by_run,
        following(live, known.viewer, MOVED, box=HAMBURG) as by_box,
        following(live, known.viewer, MOVED, box=FIJI_AND_SAMOA) as across,
    ):
        await tell(
            database,
            moved(known, 0),
            moved(known, 10, (-18, 178)),
            moved(known, 20, (-14, -172), **without_run),
            moved(known, 30, (53, 9), **without_run),
            moved(known, 40, (0, 0), **without_run),
            moved(known, 50, (0, 180)),
            moved(known, 60, (54, 11)),
            moved(known, 70, (54.0001, 11)),
        )
        assert [await minute_of_next(by_id) for _ in range(3)] == [20, 30, 40]
        assert [await minute_of_next(by_run) for _ in range(5)] == [0, 10, 50, 60, 70]
        # Where a tracker leaves a box it is told once.
        assert [await minute_of_next(by_box) for _ in range(6)] == [0, 10, 30, 40, 60, 70]
        assert [await minute_of_next(across) for _ in range(5)] == [10, 20, 30, 50, 60]
        assert by_id.sent.empty()
        assert by_box.sent.empty()


async def test_leaving_a_box_is_told_once_also_after_a_reconnect_and_to_a_slow_reader(
    database: Database, live: Graph
) -> None:
    known = await organisation(database)
    far, farther = (0, 0), (1, 1)
    async with following(live, known.viewer, MOVED, box=HAMBURG) as seen:
        await tell(database, moved(known, 0, far), moved(known, 10), moved(known, 20, far), moved(known, 30, farther))
        first = await seen.next()
        left = await seen.next()
        assert left["position"] == {"latitude": 0, "longitude": 0}
        await tell(database, moved(known, 40))
        assert await minute_of_next(seen) == 40
    await until(lambda: subscribers(live) == 0)
    async with following(live, known.viewer, MOVED, box=HAMBURG, since=first["cursor"]) as seen:
        assert [await minute_of_next(seen) for _ in range(2)] == [20, 40]
        await tell(database, moved(known, 50, far), moved(known, 60, farther), moved(known, 70))
        assert [await minute_of_next(seen) for _ in range(2)] == [50, 70]
    await until(lambda: subscribers(live) == 0)
    feed = live.engine.resources.feeds.trackers
    with patch("app.graph.live.WAITING_CHANGES_PER_SUBSCRIBER", 1):
        async with stalled(live, known.viewer, MOVED, box=HAMBURG) as answers:
            told = asyncio.ensure_future(anext(answers))
            await until(lambda: subscribers(live) == 1)
            await tell(database, moved(known, 80))
            await told
            await tell(database, *(moved(known, minutes, far) for minutes in (90, 100, 110)))
            async with database.transaction() as transaction:
                last = await transaction.connection.scalar(text("SELECT max(position) FROM trackers.tracker_events"))
            await until(lambda: feed._position == last)
            (latest,) = orjson.loads((await asyncio.wait_for(anext(answers), SECONDS)).json)["data"].values()
    assert latest["occurredAt"] > "2026-03-02T01:30:00Z"


async def test_statuses_are_followed_by_ids_by_run_and_by_client(database: Database, live: Graph) -> None:
    known = await organisation(database)
    async with database.transaction() as transaction:
        other = await tracker_of(transaction.connection, known.client_id, "Box 2")
    async with (
        following(
            live, known.viewer, CHANGED, trackers=[known.tracker, public_id(PublicIdTag.TRACKER, other)]
        ) as by_id,
        following(live, known.viewer, CHANGED, run=known.run) as by_run,
        following(live, known.viewer, CHANGED, client=known.client) as by_client,
    ):
        await tell(
            database,
            changed(known, 0),
            changed(known, 10, **foreign(known)),
            changed(known, 20, tracker_id=other, production_run_id=None),
            changed(known, 30),
        )
        assert [await minute_of_next(by_id) for _ in range(3)] == [0, 20, 30]
        assert [await minute_of_next(by_run) for _ in range(2)] == [0, 30]
        assert [await minute_of_next(by_client) for _ in range(3)] == [0, 20, 30]


@pytest.mark.parametrize("query", [MOVED, CHANGED])
async def test_a_reconnect_goes_on_without_gap_or_double(database: Database, live: Graph, query: str) -> None:
    known = await organisation(database)
    event: Callable[..., NewTrackerEvent] = moved if query == MOVED else changed
    async with following(live, known.viewer, query, trackers=[known.tracker]) as seen:
        await tell(database, event(known, 0), event(known, 10))
        cursor = (await seen.next())["cursor"]
    await until(lambda: subscribers(live) == 0)
    # More than are read at a time; among them some that are not watched.
    with patch("app.graph.live.CHANGES_PER_READ", 2):
        for minutes in range(20, 60, 10):
            await tell(database, event(known, minutes), event(known, minutes, **foreign(known)))
        async with following(live, known.viewer, query, trackers=[known.tracker], since=cursor) as seen:
            await tell(database, event(known, 60))
            assert [await minute_of_next(seen) for _ in range(6)] == [10, 20, 30, 40, 50, 60]
            await tell(database, event(known, 70))
            assert await minute_of_next(seen) == 70
        # A replay is of the box alone, too.
        if query == MOVED:
            async with following(live, known.viewer, query, box=FIJI_AND_SAMOA, since=cursor) as seen:
                await tell(database, event(known, 80, (-18, 178)))
                assert await minute_of_next(seen) == 80


async def test_a_cursor_that_is_too_old_or_of_another_list_is_refused(database: Database, live: Graph) -> None:
    known = await organisation(database)
    asked = {"trackers": [known.tracker]}
    async with following(live, known.viewer, MOVED, **asked) as seen:
        await tell(database, moved(known, 0))
        await seen.next()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(TrackerEvent).values(recorded_at=TrackerEvent.recorded_at - timedelta(days=6, minutes=1))
        )
    async with following(live, known.viewer, MOVED, **asked) as seen:
        await tell(database, moved(known, 10))
        await seen.next()
    old = encode_cursor("tracker-events", [1, 1_700_000_000])
    for since in (old, "nonsense", encode_cursor("prices", [1, 1])):
        assert await refused(live, known.viewer, MOVED, since=since, **asked) == "BAD_USER_INPUT"


async def test_what_is_followed_must_be_said_once_and_be_ones_own(database: Database, live: Graph) -> None:
    known = await organisation(database)
    foreign_client = public_id(PublicIdTag.CLIENT, known.strangers_client_id)
    for query, variables, code in (
        (MOVED, {}, "BAD_USER_INPUT"),
        (MOVED, {"run": known.run, "box": HAMBURG}, "BAD_USER_INPUT"),
        (MOVED, {"trackers": []}, "BAD_USER_INPUT"),
        (MOVED, {"trackers": [known.tracker] * 251}, "BAD_USER_INPUT"),
        (MOVED, {"box": HAMBURG | {"south": 60}}, "BAD_USER_INPUT"),
        (MOVED, {"trackers": [known.run]}, "NOT_FOUND"),
        (MOVED, {"run": public_id(PublicIdTag.PRODUCTION_RUN, UUID(int=9))}, "NOT_FOUND"),
        (CHANGED, {"client": foreign_client}, "NOT_FOUND"),
        (CHANGED, {}, "BAD_USER_INPUT"),
    ):
        assert await refused(live, known.viewer, query, **variables) == code


async def test_nobody_but_members_with_the_scope_follows_a_tracker(database: Database, live: Graph) -> None:
    known = await organisation(database)
    assert known.viewer.user_id is not None
    without = await session_of(database, known.viewer.user_id, scopes=[Scope.ACCOUNT_READ])
    for query, by_more in ((MOVED, {"box": HAMBURG}), (CHANGED, {"client": known.client})):
        by_id = {"trackers": [known.tracker]}
        for variables in (by_id, {"run": known.run}, by_more):
            assert await refused(live, ANYONE, query, **variables) == "UNAUTHENTICATED"
            assert await refused(live, without, query, **variables) == "FORBIDDEN"
        assert await refused(live, known.stranger, query, **by_id) == "NOT_FOUND"
        assert await refused(live, known.stranger, query, run=known.run) == "NOT_FOUND"
    assert await refused(live, known.stranger, CHANGED, client=known.client) == "NOT_FOUND"
    # In a box everybody hears of their own alone.
    async with (
        following(live, known.viewer, MOVED, box=HAMBURG) as member,
        following(live, known.stranger, MOVED, box=HAMBURG) as stranger,
    ):
        await tell(database, moved(known, 0), moved(known, 10, **foreign(known)), moved(known, 20))
        assert [await minute_of_next(member) for _ in range(2)] == [0, 20]
        assert await minute_of_next(stranger) == 10
        assert stranger.sent.empty()


async def test_who_is_a_member_no_longer_hears_no_more(database: Database, live: Graph) -> None:
    known = await organisation(database)
    assert known.viewer.user_id is not None
    async with (
        following(live, known.viewer, MOVED, trackers=[known.tracker]) as gone,
        following(live, known.viewer, CHANGED, client=known.client) as told,
        following(live, known.owner, MOVED, trackers=[known.tracker]) as owner,
    ):
        await tell(database, moved(known, 0), changed(known, 0))
        assert (await minute_of_next(gone), await minute_of_next(told), await minute_of_next(owner)) == (0, 0, 0)
        async with database.transaction() as transaction:
            await transaction.connection.execute(delete(Membership).where(Membership.user_id == known.viewer.user_id))
        await tell(database, moved(known, 10), changed(known, 10))
        assert await minute_of_next(owner) == 10
        async with database.transaction() as transaction:
            await member_of(transaction.connection, known.client_id, known.viewer.user_id, MembershipRole.VIEWER)
        # What happened meanwhile is never told.
        await tell(database, moved(known, 20), changed(known, 20))
        assert (await minute_of_next(gone), await minute_of_next(told), await minute_of_next(owner)) == (20, 20, 20)


@asynccontextmanager
async def stalled(graph: Graph, viewer: Viewer, query: str, **variables: Any) -> AsyncIterator[Any]:
    """Somebody who follows a stream, and reads the next answer only where it is asked for."""
    operation = graph.engine.prepare(Request(query, variables))
    async with aclosing(Answers(graph.engine).stream(operation, Caller(viewer))) as answers:
        yield answers


async def test_a_reader_that_falls_behind_is_told_so_and_loses_no_status(database: Database, live: Graph) -> None:
    known = await organisation(database)
    feed = live.engine.resources.feeds.trackers
    asked = {"trackers": [known.tracker]}
    with patch("app.graph.live.MOST_WAITING_CHANGES", 3):
        async with stalled(live, known.viewer, CHANGED, **asked) as answers:
            first = asyncio.ensure_future(anext(answers))
            await until(lambda: subscribers(live) == 1)
            await tell(database, changed(known, 0))
            cursor = orjson.loads((await first).json)["data"]["trackerStatusChanged"]["cursor"]
            await tell(database, *(changed(known, minutes) for minutes in range(10, 60, 10)))
            async with database.transaction() as transaction:
                last = await transaction.connection.scalar(text("SELECT max(position) FROM trackers.tracker_events"))
            await until(lambda: feed._position == last)
            (error,) = orjson.loads((await anext(answers)).json)["errors"]
            assert error["extensions"]["code"] == "BAD_USER_INPUT"
            assert "`since`" in error["message"]
            assert [answer async for answer in answers] == []
    async with following(live, known.viewer, CHANGED, since=cursor, **asked) as seen:
        assert [await minute_of_next(seen) for _ in range(5)] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("is_status", [True, False])
async def test_what_a_reader_does_not_follow_takes_nothing_from_it(
    database: Database, live: Graph, is_status: bool
) -> None:
    known = await organisation(database)
    feed = live.engine.resources.feeds.trackers
    status, movement = TrackerEventKind.STATUS_CHANGED, TrackerEventKind.MOVED
    wanted, other = (status, movement) if is_status else (movement, status)
    room = "MOST_WAITING_CHANGES" if is_status else "WAITING_CHANGES_PER_SUBSCRIBER"
    with patch(f"app.graph.live.{room}", 3):
        async with stalled(live, known.viewer, CHANGED if is_status else MOVED, trackers=[known.tracker]) as answers:
            first = asyncio.ensure_future(anext(answers))
            await until(lambda: subscribers(live) == 1)
            await tell(database, moved(known, 0, kind=wanted))
            await first
            others = (moved(known, minutes, kind=other) for minutes in range(10, 60, 10))
            await tell(database, moved(known, 10, kind=wanted), *others)
            async with database.transaction() as transaction:
                last = await transaction.connection.scalar(text("SELECT max(position) FROM trackers.tracker_events"))
            await until(lambda: feed._position == last)
            second = orjson.loads((await asyncio.wait_for(anext(answers), SECONDS)).json)
    assert "errors" not in second
    (told,) = second["data"].values()
    assert told["occurredAt"] == "2026-03-02T00:10:00Z"


def event_row(position: int, tracker: int) -> TrackerEventRow:
    """An event as a feed hands it on."""
    return TrackerEventRow(position, UUID(int=1), UUID(int=tracker), None, "moved")


async def test_a_stalled_reader_of_movements_keeps_the_latest_of_each_tracker() -> None:
    subscriber: Subscriber[TrackerEventRow] = Subscriber([])
    for position in range(WAITING_CHANGES_PER_SUBSCRIBER * 4):
        subscriber.offer(event_row(position, position % 3))
    latest = {}
    for _ in range(len(subscriber._waiting)):
        change = await subscriber.next()
        latest[change.tracker_id.int] = change.position
    total = WAITING_CHANGES_PER_SUBSCRIBER * 4
    assert latest == {position % 3: position for position in range(total - 3, total)}


async def test_a_reader_that_loses_nothing_is_ended_when_more_waits_than_may() -> None:
    subscriber: Subscriber[TrackerEventRow] = Subscriber([], loses_nothing=True)
    for position in range(MOST_WAITING_CHANGES):
        subscriber.offer(event_row(position, 1))
    assert (await subscriber.next()).position == 0
    subscriber.offer(event_row(MOST_WAITING_CHANGES, 1))
    assert (await subscriber.next()).position == 1
    for position in range(2):
        subscriber.offer(event_row(MOST_WAITING_CHANGES + 1 + position, 1))
    with pytest.raises(FellBehind, match="read faster"):
        await subscriber.next()
