"""What follows from reports: fixes, statuses, visits and what is told, whichever way the reports come."""

from typing import NamedTuple
from uuid import UUID

from app.core.database import Database
from tests.trackers.history_builders import (
    MONDAY,
    TestPlace,
    Told,
    history_of,
    minutes,
    north,
    save_client,
    save_place,
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


def on_the_way(tracker_id: UUID, meters_north: list[float], *, begin: float = 0) -> list[Told]:
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


async def test_batches_backwards_and_with_repeats_give_the_same_history(database: Database) -> None:
    way = [0, 10, 30, 900, 130, 2000, 2500, 3000, 200, 3500, 4960, 5010, 5000, 4000, 90, 60]
    first, second = await world(database), await world(database)
    at_once = on_the_way(first.tracker_id, way)
    one_by_one = on_the_way(second.tracker_id, way)

    await take_in(database, at_once, now=LATER)
    for report in [*reversed(one_by_one), *one_by_one[:4]]:
        await take_in(database, [report], now=LATER)

    expected, found = await history_of(database, first.tracker_id), await history_of(database, second.tracker_id)
    assert found.fixes[0][:9] == expected.fixes[0][:9]
    assert [row[:3] for row in found.statuses] == [row[:3] for row in expected.statuses]
    assert [(row[0], row[1], row[3]) for row in found.visits] == [(row[0], row[1], row[3]) for row in expected.visits]
