"""What follows from reports: fixes, statuses, visits, and what is told of them."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.core.database import Database
from app.trackers import histories
from app.trackers.commands.remake_histories import remake_histories, tell_silent
from app.trackers.commands.tracker_events import NewTrackerEvent
from tests.trackers.history_builders import (
    MONDAY,
    TestPlace,
    Told,
    history_of,
    minutes,
    north,
    save_cities,
    save_client,
    save_place,
    save_run,
    save_tracker,
    take_in,
)

LATER = minutes(20 * 60)


class World(NamedTuple):
    """A tracker of a client with a yard at (50, 10) and a shop 5 km to the north."""

    client_id: UUID
    tracker_id: UUID
    yard: UUID
    shop: UUID


async def world(database: Database, *, silent_after_minutes: int = 1440) -> World:
    async with database.transaction() as transaction:
        client_id = await save_client(transaction, silent_after_minutes=silent_after_minutes)
        tracker_id = await save_tracker(transaction, client_id, created_at=minutes(-60))
        yard = await save_place(transaction, client_id, TestPlace(50, 10))
        shop = await save_place(transaction, client_id, TestPlace(50 + north(5000), 10, kind="delivery"))
    return World(client_id, tracker_id, yard, shop)


def on_the_way(tracker_id: UUID, meters_north: Iterable[float], *, begin: float = 0) -> list[Told]:
    """A report every ten minutes, so far north of the yard."""
    return [
        Told(tracker_id, minutes(begin + 10 * number), 50 + north(meters), 10)
        for number, meters in enumerate(meters_north)
    ]


async def test_a_box_goes_from_the_yard_to_the_shop_and_its_statuses_and_visits_say_so(database: Database) -> None:
    _, tracker_id, yard, shop = await world(database)

    await take_in(database, on_the_way(tracker_id, [0, 20, 900, 2500, 4990, 5000]), now=minutes(60))

    history = await history_of(database, tracker_id)
    assert history.statuses == [
        (minutes(-60), MONDAY, "created", None),
        (MONDAY, minutes(20), "in_storage", yard),
        (minutes(20), minutes(40), "in_transit", None),
        (minutes(40), None, "delivered", shop),
    ]
    assert history.visits == [(MONDAY, minutes(20), yard, 2), (minutes(40), None, shop, 2)]
    assert history.tracker[0][:4] == ("delivered", minutes(40), shop, minutes(50))


async def test_a_tracker_that_goes_on_as_before_has_its_status_since_it_began(database: Database) -> None:
    _, tracker_id, yard, _ = await world(database)

    for batch in ([900], [1000], [1100]):
        await take_in(database, on_the_way(tracker_id, batch, begin=batch[0] / 10), now=minutes(120))
        assert (await history_of(database, tracker_id)).tracker[0][:2] == ("in_transit", minutes(90))
    for begin in (120, 130, 140):
        await take_in(database, on_the_way(tracker_id, [0], begin=begin), now=minutes(150))
        assert (await history_of(database, tracker_id)).tracker[0][:3] == ("in_storage", minutes(120), yard)

    assert (await history_of(database, tracker_id)).statuses == [
        (minutes(-60), minutes(90), "created", None),
        (minutes(90), minutes(120), "in_transit", None),
        (minutes(120), None, "in_storage", yard),
    ]


def spelled(events: Iterable[NewTrackerEvent]) -> list[tuple[str, datetime]]:
    return [(event.kind.value, event.occurred_at) for event in events]


async def recorded(database: Database, tracker_id: UUID) -> list[tuple[str, datetime]]:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            text("SELECT kind, occurred_at FROM trackers.tracker_events WHERE tracker_id = :id ORDER BY position"),
            {"id": tracker_id},
        )
        return [(row.kind, row.occurred_at) for row in rows]


async def remade(database: Database, *, now: datetime = LATER) -> int:
    async with database.transaction() as transaction:
        return await remake_histories(transaction, limit=100, now=now)


async def fallen_silent(database: Database, *, now: datetime) -> int:
    async with database.transaction() as transaction:
        return await tell_silent(transaction, limit=100, now=now)


async def test_what_happens_is_told_once_and_in_its_order(database: Database) -> None:
    _, tracker_id, yard, shop = await world(database)
    way = on_the_way(tracker_id, [0, 20, 900, 2500, 5000])

    first = await take_in(database, way[:3], now=minutes(30))
    assert spelled(first) == [("status_changed", MONDAY), ("entered", MONDAY), ("moved", minutes(20))]
    second = await take_in(database, way[3:], now=minutes(50))
    assert spelled(second) == [
        ("status_changed", minutes(20)),
        ("left", minutes(20)),
        ("moved", minutes(40)),
        ("status_changed", minutes(40)),
        ("entered", minutes(40)),
        ("delivered", minutes(40)),
    ]
    arrival = next(event for event in second if event.kind == "delivered")
    assert (arrival.status, arrival.place_id, arrival.point) == ("delivered", shop, second[2].point)
    assert next(event for event in second if event.kind == "left").place_id == yard
    assert await take_in(database, way, now=minutes(51)) == []
    again = await take_in(database, [Told(tracker_id, minutes(41), 50 + north(4999), 10)], now=minutes(52))
    assert [kind for kind, _ in spelled(again)] == ["moved", "status_changed", "entered", "delivered"]
    assert await recorded(database, tracker_id) == [*spelled(first), *spelled(second), ("moved", minutes(40))]


async def test_a_past_that_is_made_anew_is_not_told(database: Database) -> None:
    _, tracker_id, *_ = await world(database)
    await take_in(database, on_the_way(tracker_id, [900, 900, 900, 900]), now=minutes(40))

    assert await take_in(database, on_the_way(tracker_id, [0, 0], begin=-40), now=minutes(41)) == []

    history = await history_of(database, tracker_id)
    assert [row[2] for row in history.statuses] == ["created", "in_storage", "in_transit"]


async def test_of_what_happened_more_than_a_week_ago_only_the_last_fix_is_told(database: Database) -> None:
    _, tracker_id, *_ = await world(database)
    events = await take_in(database, on_the_way(tracker_id, [0, 900, 900, 5000]), now=MONDAY + timedelta(days=9))
    assert spelled(events) == [("moved", minutes(30))]
    assert len((await history_of(database, tracker_id)).visits) == 2


async def test_a_box_that_moves_within_the_yard_is_told_of(database: Database) -> None:
    _, tracker_id, *_ = await world(database)
    events = await take_in(database, on_the_way(tracker_id, [0, 5, 70, 75]), now=minutes(40))
    assert ("moved_in_storage", minutes(20)) in spelled(events)
    assert [kind for kind, _ in spelled(events)].count("moved_in_storage") == 1


async def test_a_tracker_falls_silent_and_comes_back(database: Database) -> None:
    _, tracker_id, yard, _ = await world(database, silent_after_minutes=60)
    await take_in(database, on_the_way(tracker_id, [0]), now=minutes(5))

    assert await fallen_silent(database, now=minutes(69)) == 0
    assert await fallen_silent(database, now=minutes(70)) == 1
    assert await fallen_silent(database, now=minutes(71)) == 0
    silent = await history_of(database, tracker_id)
    assert silent.statuses[1:] == [
        (MONDAY, minutes(70), "in_storage", yard),
        (minutes(70), None, "silent", None),
    ]
    assert silent.visits == [(MONDAY, None, yard, 1)]
    assert silent.tracker[0][:3] == ("silent", minutes(70), None)
    back = await take_in(database, on_the_way(tracker_id, [1], begin=100), now=minutes(101))
    assert ("status_changed", minutes(100)) in spelled(back)
    assert (await history_of(database, tracker_id)).statuses[2:] == [
        (minutes(70), minutes(100), "silent", None),
        (minutes(100), None, "in_storage", yard),
    ]
    assert [kind for kind, _ in await recorded(database, tracker_id)].count("silent") == 1


async def test_an_impossible_fix_is_kept_marked_and_counts_for_nothing(database: Database) -> None:
    _, tracker_id, yard, _ = await world(database)
    way = on_the_way(tracker_id, [0, 3_000_000, 10, 20])
    await take_in(database, way[:2], now=minutes(20))
    assert (await history_of(database, tracker_id)).tracker[0][3] == minutes(10)

    await take_in(database, way[2:], now=minutes(40))

    history = await history_of(database, tracker_id)
    assert [row[7] for row in history.fixes] == [False, True, False, False]
    assert history.visits == [(MONDAY, None, yard, 3)]


async def test_a_late_report_is_worked_in_from_the_checkpoint_before_it(database: Database) -> None:
    _, tracker_id, *_ = await world(database)
    way = [0 if number % 40 < 20 else 900 for number in range(400)]
    await take_in(database, on_the_way(tracker_id, way), now=LATER + timedelta(days=9))
    before = await history_of(database, tracker_id)
    held = [row[0] for row in before.fixes if row[9] is not None]
    assert held == [row[0] for row in before.fixes if histories.holds_checkpoint(row[0])]
    assert 4 < len(held) < 40

    async with database.transaction() as transaction:
        # Nothing before the checkpoint is looked at: what stands there would come out otherwise.
        await transaction.connection.execute(
            text("DELETE FROM trackers.location_fixes WHERE tracker_id = :id AND bucket < :before"),
            {"id": tracker_id, "before": minutes(400)},
        )
    late = on_the_way(tracker_id, [900] * 6, begin=3205)
    await take_in(database, late, now=LATER + timedelta(days=9))

    after = await history_of(database, tracker_id)
    assert after.statuses[:2] == before.statuses[:2]
    assert after.statuses[-1] == before.statuses[-1]
    assert after.statuses != before.statuses


async def test_a_place_is_for_the_trackers_of_its_runs_and_without_one_for_all_of_its_client(
    database: Database,
) -> None:
    async with database.transaction() as transaction:
        client_id, stranger = await save_client(transaction), await save_client(transaction)
        run_id, other_run = await save_run(transaction, client_id), await save_run(transaction, client_id)
        of_run = await save_tracker(transaction, client_id, run_id=run_id)
        of_other = await save_tracker(transaction, client_id, run_id=other_run)
        of_stranger = await save_tracker(transaction, stranger)
        yard = await save_place(transaction, client_id, TestPlace(50, 10, production_run_ids=[run_id]))
        depot = await save_place(transaction, client_id, TestPlace(50.001, 10, radius_meters=200))
    trackers = (of_run, of_other, of_stranger)
    await take_in(database, [Told(tracker_id, MONDAY, 50, 10) for tracker_id in trackers], now=minutes(5))
    assert [(await history_of(database, one)).tracker[0][2] for one in trackers] == [yard, depot, None]


async def test_a_polygon_is_left_by_its_edge_and_not_by_its_centre(database: Database) -> None:
    async with database.transaction() as transaction:
        client_id = await save_client(transaction)
        tracker_id = await save_tracker(transaction, client_id)
        shape = "POLYGON((10 50, 10.1 50, 10.1 50.1, 10 50.1, 10 50))"
        site = await save_place(
            transaction, client_id, TestPlace(50.05, 10.05, shape=shape, radius_meters=0, reach_meters=5000)
        )
    far_end = [Told(tracker_id, minutes(10 * number), 50.0999, 10.0999) for number in range(2)]
    near = [Told(tracker_id, minutes(20 + 10 * number), 50.1 + north(900), 10.05) for number in range(2)]
    out = [Told(tracker_id, minutes(40 + 10 * number), 50.1 + north(1100), 10.05) for number in range(2)]
    await take_in(database, [*far_end, *near, *out], now=LATER)
    assert (await history_of(database, tracker_id)).visits == [(MONDAY, minutes(40), site, 4)]


async def test_a_changed_place_has_the_histories_it_bears_on_made_anew(database: Database) -> None:
    client_id, tracker_id, yard, shop = await world(database)
    await take_in(database, on_the_way(tracker_id, [0, 0, 900, 900, 5000, 5000]), now=minutes(60))
    assert await remade(database) == 0

    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text(
                "UPDATE trackers.places SET radius_meters = 950, reach_meters = 950, is_changed = true WHERE id = :id"
            ),
            {"id": yard},
        )
        await transaction.connection.execute(
            text("UPDATE trackers.places SET deleted_at = now(), is_changed = true WHERE id = :id"), {"id": shop}
        )
        field = await save_place(transaction, client_id, TestPlace(50 + north(5050), 10, radius_meters=60))
        await transaction.connection.execute(
            text("UPDATE trackers.places SET is_changed = true WHERE id = :id"), {"id": field}
        )
    assert await remade(database) == 1
    assert await remade(database) == 0

    history = await history_of(database, tracker_id)
    assert history.visits == [(MONDAY, minutes(40), yard, 4), (minutes(40), None, field, 2)]
    assert history.tracker[0][:3] == ("in_storage", minutes(40), field)


async def test_another_silence_has_the_history_made_anew(database: Database) -> None:
    client_id, tracker_id, yard, _ = await world(database)
    await take_in(database, on_the_way(tracker_id, [0, 0]) + on_the_way(tracker_id, [0], begin=300), now=minutes(301))
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text("UPDATE trackers.clients SET silent_after_minutes = 60 WHERE id = :id"), {"id": client_id}
        )
        await transaction.connection.execute(text("UPDATE trackers.trackers SET recompute_from = created_at"))
    assert await remade(database, now=minutes(302)) == 1

    history = await history_of(database, tracker_id)
    assert history.statuses[1:] == [
        (MONDAY, minutes(80), "in_storage", yard),
        (minutes(80), minutes(300), "silent", None),
        (minutes(300), None, "in_storage", yard),
    ]
    assert history.tracker[0][9] == minutes(370)


async def test_fixes_know_the_nearest_city_within_fifty_kilometres(database: Database) -> None:
    async with database.transaction() as transaction:
        await save_cities(transaction, {1: ("Here", 50, 10), 2: ("There", 50.5, 10), 3: ("Fiji", -17, 179.99)})
        client_id = await save_client(transaction)
        tracker_id = await save_tracker(transaction, client_id)
    places = [(50.1, 10), (50.3, 10), (50.94, 10), (50.96, 10), (0, -30), (-17, -179.99)]
    await take_in(
        database,
        [Told(tracker_id, MONDAY + number * timedelta(days=1), *place) for number, place in enumerate(places)],
        now=MONDAY + timedelta(days=6),
    )
    history = await history_of(database, tracker_id)
    assert [row[8] for row in history.fixes] == [1, 2, 2, None, None, 3]
    assert history.tracker[0][8] == 3


async def test_partitions_are_made_for_whichever_month_reports_are_of(database: Database) -> None:
    _, tracker_id, *_ = await world(database)
    years = [MONDAY.replace(year=year) for year in (2009, 2017, 2031)]
    await take_in(database, [Told(tracker_id, year, 50, 10) for year in years], now=LATER)
    history = await history_of(database, tracker_id)
    assert [row[0] for row in history.fixes] == years
    # Reports from before the tracker was made: its history begins with them.
    assert [row[2] for row in history.statuses] == ["in_storage", "silent", "in_storage", "silent", "in_storage"]


_POINT = re.compile(r'<trkpt lat="([^"]+)" lon="([^"]+)">(?:(?!</trkpt>).)*?<time>([^<]+)</time>', re.DOTALL)


async def test_a_real_walk_between_two_places_gives_its_statuses_also_backwards_and_in_pieces(
    database: Database, trove_data: Path
) -> None:
    walk = (trove_data / "location" / "gpx" / "korita-zbevnica.gpx").read_text()
    points = [
        (datetime.fromisoformat(at), float(latitude), float(longitude))
        for latitude, longitude, at in _POINT.findall(walk)
    ]
    assert len(points) == 513
    created_at = points[0][0] - timedelta(days=1)
    async with database.transaction() as transaction:
        client_id = await save_client(transaction)
        trackers = [await save_tracker(transaction, client_id, created_at=created_at) for _ in range(3)]
        start = await save_place(transaction, client_id, TestPlace(45.4526, 14.0182, radius_meters=200))
        summit = await save_place(
            transaction, client_id, TestPlace(45.4610, 14.0110, kind="delivery", radius_meters=200)
        )
    now = points[-1][0]
    forwards, backwards, pieces = ([Told(one, *point) for point in points] for one in trackers)

    await take_in(database, forwards, now=now)
    await take_in(database, reversed(backwards), now=now)
    for batch in (pieces[300:], pieces[:200] + pieces[400:410], pieces[150:350]):
        await take_in(database, reversed(batch), now=now)

    def at(hour: int, minute: int) -> datetime:
        return created_at.replace(day=3, hour=hour, minute=minute, second=0)

    expected = await history_of(database, trackers[0])
    assert expected.statuses == [
        (created_at, at(9, 30), "created", None),
        (at(9, 30), at(10, 0), "in_storage", start),
        (at(10, 0), at(10, 50), "in_transit", None),
        (at(10, 50), at(12, 0), "delivered", summit),
        (at(12, 0), at(13, 10), "in_transit", None),
        (at(13, 10), None, "in_storage", start),
    ]
    assert await history_of(database, trackers[1]) == expected
    assert await history_of(database, trackers[2]) == expected
