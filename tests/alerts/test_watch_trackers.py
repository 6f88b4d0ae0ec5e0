"""Rules over what becomes of trackers fire once, for those who may see it."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database, Transaction
from app.notifications.commands.tracker_alerts import tell_of_trackers
from app.trackers.commands.remake_histories import remake_histories
from app.trackers.commands.tracker_events import NewTrackerEvent
from tests.alerts.watching import alerts, changed, member, person, rule, rule_row
from tests.identity.builders import SECRETS
from tests.lock_waits import until_somebody_waits
from tests.trackers.history_builders import (
    TestPlace,
    Told,
    minutes,
    north,
    save_client,
    save_place,
    save_run,
    save_tracker,
    take_in,
)
from tests.trackers.sending import accepted, add_tag, ndjson, sighting
from workers.ingestion import BatchRunner


class World(NamedTuple):
    """A tracker of a run, with a yard at (50, 10) and a shop 5 km to the north, and somebody who may only look."""

    client_id: UUID
    tracker_id: UUID
    run_id: UUID
    yard: UUID
    shop: UUID
    viewer_id: UUID


@pytest.fixture
async def world(database: Database) -> World:
    async with database.transaction() as transaction:
        client_id = await save_client(transaction)
        run_id = await save_run(transaction, client_id)
        tracker_id = await save_tracker(transaction, client_id, run_id=run_id, created_at=minutes(-60))
        yard = await save_place(transaction, client_id, TestPlace(50, 10))
        shop = await save_place(transaction, client_id, TestPlace(50 + north(5000), 10, kind="delivery"))
    return World(client_id, tracker_id, run_id, yard, shop, await member(database, client_id))


def way(tracker_id: UUID, meters_north: Iterable[float], *, begin: float = 0) -> list[Told]:
    """A report every ten minutes, so far north of the yard."""
    return [
        Told(tracker_id, minutes(begin + 10 * number), 50 + north(meters), 10)
        for number, meters in enumerate(meters_north)
    ]


async def go(database: Database, reports: list[Told], *, now: datetime) -> None:
    await take_in(database, reports, now=now, watch=tell_of_trackers)


async def times_of(database: Database, rule_id: UUID) -> list[datetime]:
    return [alert.observed_at for alert in await alerts(database, rule_id)]


# To the shop, back to the yard, and to the shop again.
THERE_AND_BACK = [0, 900, 2500, 5000, 2500, 900, 0, 2500, 3000, 5000]


@pytest.mark.parametrize(
    ("target", "condition", "expected"),
    [
        ("tracker", "entered", [0, 30, 60, 90]),
        ("shop", "entered", [30, 90]),
        ("yard", "left", [10, 70]),
        ("production_run", "delivered", [30, 90]),
        ("yard", "delivered", []),
    ],
)
async def test_a_rule_of_a_tracker_a_place_or_a_run_fires_once_each_time(
    database: Database, world: World, target: str, condition: str, expected: list[int]
) -> None:
    ids = {"tracker": world.tracker_id, "shop": world.shop, "yard": world.yard, "production_run": world.run_id}
    column = "place" if target in {"shop", "yard"} else target
    rule_id = await rule(database, world.viewer_id, column, ids[target], condition)

    reports = way(world.tracker_id, THERE_AND_BACK)
    for count in (1, 4, 4, 7, 10, 10):
        await go(database, reports[:count], now=minutes(10 * count))
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE trackers.trackers SET recompute_from = '1970-01-01Z'"))
        await remake_histories(transaction, limit=10, now=minutes(110), watch=tell_of_trackers)

    assert await times_of(database, rule_id) == [minutes(count) for count in expected]
    row = await rule_row(database, rule_id)
    assert (row["fired_count"], row["last_fired_at"]) == (
        len(expected),
        minutes(expected[-1]) if expected else None,
    )


async def test_it_comes_to_the_same_whether_reports_come_one_by_one_or_at_once(
    database: Database, world: World
) -> None:
    async with database.transaction() as transaction:
        other_id = await save_tracker(transaction, world.client_id, run_id=world.run_id, created_at=minutes(-60))
    rule_id = await rule(database, world.viewer_id, "place", world.shop, "entered")

    for report in way(world.tracker_id, THERE_AND_BACK):
        await go(database, [report], now=minutes(110))
    await go(database, way(other_id, THERE_AND_BACK), now=minutes(110))

    told = [(alert.tracker_id, alert.observed_at) for alert in await alerts(database, rule_id)]
    assert sorted(told) == sorted((one, minutes(at)) for one in (world.tracker_id, other_id) for at in (30, 90))


async def test_a_late_report_that_moves_an_arrival_forward_does_not_fire_again(
    database: Database, world: World
) -> None:
    async with database.transaction() as transaction:
        await save_place(transaction, world.client_id, TestPlace(51, 10, dwell_fixes=2, dwell_minutes=20))
        other_id = await save_tracker(transaction, world.client_id, created_at=minutes(-60))
    rule_id = await rule(database, world.viewer_id, "tracker", world.tracker_id, "entered")
    stay = [Told(world.tracker_id, minutes(at), 51, 10) for at in (20, 40)]
    await go(database, stay, now=minutes(50))
    assert await times_of(database, rule_id) == [minutes(20)]
    # Another comes and goes between the two arrivals, which is none of its business.
    visit = [Told(other_id, minutes(at), 51, 10) for at in (-30, -10, 10)]
    await go(database, [*visit, *(Told(other_id, minutes(at), 50, 10) for at in (20, 30, 40))], now=minutes(50))

    await go(database, [Told(world.tracker_id, minutes(10), 51, 10)], now=minutes(60))

    async with database.transaction() as transaction:
        arrivals = await transaction.connection.scalars(
            text(
                "SELECT occurred_at FROM trackers.tracker_events WHERE kind = 'entered' AND tracker_id = :tracker "
                "ORDER BY occurred_at"
            ),
            {"tracker": world.tracker_id},
        )
        assert arrivals.all() == [minutes(10), minutes(20)]
    assert await times_of(database, rule_id) == [minutes(20)]


async def test_only_members_of_the_client_are_told_and_no_more_once_they_left(database: Database, world: World) -> None:
    async with database.transaction() as transaction:
        elsewhere = await save_client(transaction)
    stranger = await member(database, elsewhere, role="owner")
    left, stays = await member(database, world.client_id), await member(database, world.client_id, role="owner")
    rules = {
        name: await rule(database, owner_id, "tracker", world.tracker_id, "entered")
        for name, owner_id in {
            "viewer": world.viewer_id,
            "owner": stays,
            "left": left,
            "stranger": stranger,
            "nobody": await person(database),
        }.items()
    }
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text("DELETE FROM trackers.memberships WHERE user_id = :user"), {"user": left}
        )

    await go(database, way(world.tracker_id, [0]), now=minutes(10))

    told = {name: await times_of(database, rule_id) for name, rule_id in rules.items()}
    assert told == {"viewer": [minutes(0)], "owner": [minutes(0)], "left": [], "stranger": [], "nobody": []}


async def test_of_a_retired_tracker_nothing_is_told(database: Database, world: World) -> None:
    rule_id = await rule(database, world.viewer_id, "tracker", world.tracker_id, "entered")
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE trackers.trackers SET retired_at = now()"))
    await go(database, way(world.tracker_id, [0]), now=minutes(10))
    assert await times_of(database, rule_id) == []


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, [0, 30, 60, 90]),
        ({"is_recurring": False}, [0]),
        ({"cooldown_minutes": 31}, [0, 60]),
        ({"watches_from": minutes(30)}, [0, 30, 60, 90]),
        ({"expires_at": minutes(30)}, [0]),
        ({"is_active": False}, []),
        ({"condition": "silent_for", "duration_minutes": 60, "next_look_at": minutes(0)}, []),
    ],
)
async def test_what_a_rule_says_of_itself_holds_in_a_batch_as_over_several(
    database: Database, world: World, columns: dict[str, object], expected: list[int]
) -> None:
    values = {"condition": "entered"} | columns
    condition = str(values.pop("condition"))
    at_once = await rule(database, world.viewer_id, "production_run", world.run_id, condition, **values)
    await go(database, way(world.tracker_id, THERE_AND_BACK), now=minutes(110))
    assert await times_of(database, at_once) == [minutes(at) for at in expected]

    async with database.transaction() as transaction:
        other_id = await save_tracker(transaction, world.client_id, created_at=minutes(-60))
    one_by_one = await rule(database, world.viewer_id, "tracker", other_id, condition, **values)
    for report in way(other_id, THERE_AND_BACK):
        await go(database, [report], now=minutes(110))
    assert await times_of(database, one_by_one) == [minutes(at) for at in expected]


@pytest.mark.parametrize(("age", "expected"), [(timedelta(days=1), 1), (timedelta(days=1, seconds=1), 0)])
async def test_what_was_reported_more_than_a_day_late_does_not_fire(
    database: Database, world: World, age: timedelta, expected: int
) -> None:
    rule_id = await rule(database, world.viewer_id, "tracker", world.tracker_id, "entered")
    await go(database, way(world.tracker_id, [0]), now=minutes(0) + age)
    assert len(await alerts(database, rule_id)) == expected


async def test_a_rule_that_is_to_fire_once_does_so_at_one_of_several_trackers_that_come_at_once(
    database: Database, world: World
) -> None:
    async with database.transaction() as transaction:
        trackers = [await save_tracker(transaction, world.client_id, created_at=minutes(-60)) for _ in range(4)]
    rule_id = await rule(database, world.viewer_id, "place", world.yard, "entered", is_recurring=False)
    await asyncio.gather(*(go(database, way(tracker_id, [0]), now=minutes(10)) for tracker_id in trackers))
    assert len(await alerts(database, rule_id)) == 1
    row = await rule_row(database, rule_id)
    assert (row["is_active"], row["fired_count"]) == (False, 1)


async def test_what_is_rolled_back_after_it_fired_fires_when_it_comes_again(database: Database, world: World) -> None:
    rule_id = await rule(database, world.viewer_id, "place", world.yard, "entered", cooldown_minutes=60)

    async def alert_and_fail(transaction: Transaction, events: Sequence[NewTrackerEvent], known_at: datetime) -> None:
        await tell_of_trackers(transaction, events, known_at)
        raise RuntimeError("at the last moment")

    with pytest.raises(RuntimeError, match="at the last moment"):
        await take_in(database, way(world.tracker_id, [0]), now=minutes(10), watch=alert_and_fail)
    assert await alerts(database, rule_id) == []
    await go(database, way(world.tracker_id, [0]), now=minutes(10))
    assert await times_of(database, rule_id) == [minutes(0)]


async def test_a_rule_that_is_paused_while_a_batch_comes_in_does_not_fire(database: Database, world: World) -> None:
    rule_id = await rule(database, world.viewer_id, "place", world.yard, "entered")
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text("UPDATE alerts.rules SET is_active = false, paused_at = now() WHERE id = :id"), {"id": rule_id}
        )
        coming_in = asyncio.create_task(go(database, way(world.tracker_id, [0]), now=minutes(10)))
        await until_somebody_waits(database)
    await coming_in
    assert await alerts(database, rule_id) == []


@pytest.mark.parametrize("made", [9.9, 30])
@pytest.mark.parametrize("condition", ["entered", "delivered"])
async def test_what_becomes_known_after_a_rule_was_made_fires_however_its_time_is_told(
    database: Database, world: World, condition: str, made: float
) -> None:
    # Times are the beginnings of ten minutes, and phones tell late.
    rule_id = await rule(database, world.viewer_id, "tracker", world.tracker_id, condition, watches_from=minutes(made))
    reports = way(world.tracker_id, [5000])
    for _ in range(2):
        await go(database, reports, now=minutes(made + 1))
        await go(database, [told._replace(reported_at=minutes(9.95)) for told in reports], now=minutes(made + 1))
    assert await times_of(database, rule_id) == [minutes(0)]


async def test_a_departure_that_late_reports_tell_of_fires_after_the_rule_was_made(
    database: Database, world: World
) -> None:
    await go(database, way(world.tracker_id, [0, 0]), now=minutes(20))
    rule_id = await rule(database, world.viewer_id, "place", world.yard, "left", watches_from=minutes(60))
    await go(database, way(world.tracker_id, [0, 0, 2500, 5000]), now=minutes(70))
    assert await times_of(database, rule_id) == [minutes(20)]


@pytest.mark.parametrize("later", [False, True])
async def test_a_visit_that_was_known_before_a_rule_does_not_fire_when_it_is_written_again(
    database: Database, world: World, later: bool
) -> None:
    async with database.transaction() as transaction:
        await save_place(transaction, world.client_id, TestPlace(51, 10, dwell_fixes=2, dwell_minutes=20))
    stay = [Told(world.tracker_id, minutes(at), 51, 10) for at in (20, 30, 40)]
    await go(database, stay, now=minutes(50))
    rule_id = await rule(database, world.viewer_id, "tracker", world.tracker_id, "entered", watches_from=minutes(55))
    # A better report has it elsewhere when it was thought to come, or it was there before.
    late = Told(world.tracker_id, minutes(21), 50.99, 10, 1.0) if later else Told(world.tracker_id, minutes(10), 51, 10)
    await go(database, [late, Told(world.tracker_id, minutes(50), 51, 10)], now=minutes(60))
    async with database.transaction() as transaction:
        arrivals = await transaction.connection.scalars(
            text("SELECT arrived_at FROM trackers.visits WHERE tracker_id = :tracker"), {"tracker": world.tracker_id}
        )
        assert arrivals.all() == [minutes(30 if later else 10)]
    assert await times_of(database, rule_id) == []


async def test_a_place_that_is_made_where_a_tracker_is_does_not_fire_rules_that_are_as_young(
    database: Database, world: World
) -> None:
    await go(database, [Told(world.tracker_id, minutes(0), 51, 10)], now=minutes(5))
    async with database.transaction() as transaction:
        place_id = await save_place(transaction, world.client_id, TestPlace(51, 10))
    rule_id = await rule(database, world.viewer_id, "place", place_id, "entered", watches_from=minutes(8))
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE trackers.trackers SET recompute_from = '1970-01-01Z'"))
        await remake_histories(transaction, limit=10, now=minutes(9), watch=tell_of_trackers)
    async with database.transaction() as transaction:
        told = text("SELECT count(*) FROM trackers.tracker_events WHERE kind = 'entered'")
        assert await transaction.connection.scalar(told) == 1
    assert await times_of(database, rule_id) == []


async def test_a_paused_rule_that_goes_on_begins_anew(database: Database, world: World) -> None:
    rule_id = await rule(database, world.viewer_id, "place", world.shop, "entered", is_active=False)
    await go(database, way(world.tracker_id, THERE_AND_BACK[:4]), now=minutes(40))
    await changed(database, rule_id, is_active=True, watches_from=minutes(40))
    await go(database, way(world.tracker_id, THERE_AND_BACK), now=minutes(110))
    assert await times_of(database, rule_id) == [minutes(90)]


async def test_a_batch_of_reports_through_two_places_is_told_by_the_worker_that_takes_it_in(
    database: Database,
) -> None:
    tag = await add_tag(database)
    async with database.transaction() as transaction:
        yard = await save_place(transaction, tag.client_id, TestPlace(50, 10))
        shop = await save_place(transaction, tag.client_id, TestPlace(50 + north(5000), 10, kind="delivery"))
        await transaction.connection.execute(
            text("UPDATE trackers.trackers SET created_at = now() - interval '1 day', status_since = created_at")
        )
    viewer_id = await member(database, tag.client_id)
    rules = [
        await rule(database, viewer_id, "place", yard, "left"),
        await rule(database, tag.operator_id, "tracker", tag.id, "delivered", severity="critical", notes="At last."),
        await rule(database, viewer_id, "place", shop, "entered"),
    ]
    begin = utc_now() - timedelta(hours=3)
    lines = [
        sighting(
            tag,
            latitude=50 + north(meters),
            longitude=10,
            accuracy=10,
            reportedAt=(begin + number * timedelta(minutes=10)).isoformat(),
        )
        for number, meters in enumerate([0, 2500, 3000, 5000])
    ]
    runner = BatchRunner(database, SECRETS)
    for payload in (ndjson(*lines), ndjson(*lines), ndjson(*reversed(lines))):
        await accepted(database, payload)
        await runner.run()
    await runner.stop()

    told = [await alerts(database, rule_id) for rule_id in rules]
    assert [len(found) for found in told] == [1, 1, 1]
    assert [found[0].place_id for found in told] == [yard, shop, shop]
    delivered = told[1][0]
    assert (delivered.owner_id, delivered.tracker_id) == (tag.operator_id, tag.id)
    assert (delivered.severity, delivered.notes, delivered.condition) == ("critical", "At last.", "delivered")
