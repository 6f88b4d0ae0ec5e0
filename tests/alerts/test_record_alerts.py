"""What fired becomes alerts and notifications, each crossing once, with one line that says what happened."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from app.alerts.commands.record_alerts import record_alerts
from app.alerts.commands.rules import pause_rule
from app.alerts.fired import Fired
from app.alerts.models import Alert, Condition, Rule, RuleTarget
from app.core.database import Database, DatabaseRole, DatabaseViewer
from app.core.ids import new_id
from app.notifications.commands.notify import notify_of_alerts
from app.notifications.models import Notification
from app.portfolios.commands.preorders import add_preorder, reschedule_preorder
from app.portfolios.given_wishes import release_month
from app.portfolios.wish_models import PreorderDateChange
from app.prices.models import Source
from tests.alerts.builders import row_of, rule_of
from tests.lock_waits import until_somebody_waits
from tests.portfolios.builders import change
from tests.portfolios.wishes_builders import Scene, rate, scene_of
from tests.prices.builders import ingested, point
from tests.trackers.builders import client_of, place_of_client, tracker_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Ada, Bob and a catalogue, with a price of the heron."""
    scene = await scene_of(database)
    await ingested(database, point("heron", "90"))
    async with database.transaction() as transaction:
        await rate(transaction.connection, "USD", "1.25", date(2024, 1, 1))
    return scene


async def told(database: Database, *fired: Fired) -> list[str]:
    """The titles of the alerts that are new, stored as a worker does it."""
    async with database.transaction(role=DatabaseRole.WORKER) as transaction:
        alerts = await record_alerts(transaction, fired)
        await notify_of_alerts(transaction, alerts)
    return [alert.title for alert in alerts]


async def types_told(database: Database) -> set[str]:
    """Of which types of event notifications are."""
    async with database.transaction() as transaction:
        return set(await transaction.connection.scalars(select(Notification.event_type)))


async def count_of(database: Database, table: Any) -> int:
    """How many rows a table has."""
    async with database.transaction() as transaction:
        return int(await transaction.connection.scalar(select(func.count()).select_from(table)) or 0)


async def test_a_crossing_is_told_once_however_often_it_comes(database: Database, scene: Scene) -> None:
    rule_id = await rule_of(database, scene.ada, RuleTarget.ITEM, scene.items["heron"])
    first = Fired(rule_id=rule_id, crossing="1@a", observed_at=NOON, new_value=Decimal(101), currency="EUR")
    second = Fired(rule_id=rule_id, crossing="1@b", observed_at=NOON - timedelta(hours=1), new_value=Decimal(102))
    assert len(await told(database, first, first)) == 1
    assert len(await told(database, first, second)) == 1
    assert await told(database, second, first) == []
    row = await row_of(database, rule_id)
    assert (row["fired_count"], row["last_fired_at"], row["is_active"]) == (2, NOON, True)
    assert await count_of(database, Notification) == 2


async def test_a_rule_that_fires_once_does_so_at_the_first_of_its_crossings_and_ends(
    database: Database, scene: Scene
) -> None:
    rule_id = await rule_of(database, scene.ada, RuleTarget.ITEM, scene.items["heron"], is_recurring=False)
    later = Fired(rule_id=rule_id, crossing="2", observed_at=NOON + timedelta(hours=1), new_value=Decimal(103))
    sooner = Fired(rule_id=rule_id, crossing="1", observed_at=NOON, new_value=Decimal(101))
    assert len(await told(database, later, sooner)) == 1
    assert await told(database, later) == []
    row = await row_of(database, rule_id)
    assert (row["fired_count"], row["last_fired_at"], row["is_active"]) == (1, NOON, False)
    assert row["ended_at"] is not None


async def test_a_rule_that_fires_once_does_so_though_two_find_it_at_the_same_time(
    database: Database, scene: Scene
) -> None:
    rule_id = await rule_of(database, scene.ada, RuleTarget.ITEM, scene.items["heron"], is_recurring=False)
    first, second = [
        Fired(rule_id=rule_id, crossing=crossing, observed_at=NOON, new_value=Decimal(101)) for crossing in "12"
    ]
    async with database.transaction(role=DatabaseRole.WORKER) as transaction:
        assert len(await record_alerts(transaction, [first])) == 1
        later = asyncio.create_task(told(database, second))
        await until_somebody_waits(database)
    assert await later == []
    assert await count_of(database, Alert) == 1


async def test_a_rule_that_was_paused_or_is_gone_does_not_fire(database: Database, scene: Scene) -> None:
    rule_id = await rule_of(database, scene.ada, RuleTarget.ITEM, scene.items["heron"])
    await change(database, pause_rule, rule_id, owner_id=scene.ada)
    paused = Fired(rule_id=rule_id, crossing="1", observed_at=NOON)
    assert await told(database, paused, Fired(rule_id=new_id(), crossing="1", observed_at=NOON)) == []
    assert await count_of(database, Alert) == 0


async def test_nobody_takes_a_crossing_away_from_a_rule_of_somebody_elses(database: Database, scene: Scene) -> None:
    rule_id = await rule_of(database, scene.ada, RuleTarget.ITEM, scene.items["heron"])
    taken = {"crossing": "1", "condition": "crosses_above", "severity": "info", "title": "Taken", "observed_at": NOON}
    with pytest.raises(IntegrityError):
        async with database.transaction(role=DatabaseRole.API, viewer=DatabaseViewer(scene.bob)) as transaction:
            await transaction.connection.execute(insert(Alert).values(owner_id=scene.bob, rule_id=rule_id, **taken))
    assert len(await told(database, Fired(rule_id=rule_id, crossing="1", observed_at=NOON))) == 1


async def test_ten_thousand_rules_fire_in_one_transaction(database: Database, scene: Scene) -> None:
    rule_ids = [new_id() for _ in range(10_000)]
    given = {
        "owner_id": scene.ada,
        "target": "item",
        "item_id": scene.items["heron"],
        "condition": "crosses_above",
        "threshold": Decimal(100),
        "reach_low": Decimal(100),
        "reach_high": Decimal(100),
        "currency": "USD",
        "channels": ["email"],
        "notes": "“Sell”\n",
    }
    for start in range(0, len(rule_ids), 1_000):
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                insert(Rule).values([{"id": rule_id, **given} for rule_id in rule_ids[start : start + 1_000]])
            )
    fired = [
        Fired(
            rule_id=rule_id,
            crossing="1",
            observed_at=NOON,
            item_id=scene.items["heron"],
            new_value=Decimal("100.5"),
            currency="USD",
        )
        for rule_id in rule_ids
    ]
    assert set(await told(database, *fired)) == {"heron rose above 100.00 USD: 100.50"}
    async with database.transaction() as transaction:
        connection = transaction.connection
        assert await connection.scalar(select(func.sum(Rule.fired_count))) == 10_000
        stored = (await connection.execute(select(Notification.body, Notification.channels).distinct())).all()
        assert [tuple(row) for row in stored] == [("“Sell”\n", ["email"])]
        # Positions are in the order of the alerts.
        by_position = (await connection.scalars(select(Notification.alert_id).order_by(Notification.position))).all()
        assert list(by_position) == sorted(by_position, key=str)


@pytest.mark.parametrize(
    ("condition", "old", "new", "title"),
    [
        (Condition.CROSSES_ABOVE, "99", "1101.5", "{foil} rose above 100.00 EUR: 1,101.50 on test-market"),
        (
            Condition.CROSSES_ABOVE,
            "99",
            "100.00001",
            "{foil} rose above 100.00 EUR: 100.00001 on test-market",
        ),
        (Condition.CROSSES_BELOW, "101", "0.004", "{foil} fell below 100.00 EUR: 0.004 on test-market"),
        (Condition.CROSSES_LEVEL, "99", "101", "{foil} rose above 100.00 EUR: 101.00 on test-market"),
        (Condition.CROSSES_LEVEL, "101", "99", "{foil} fell below 100.00 EUR: 99.00 on test-market"),
        (Condition.AT_OR_BELOW, "101", "100", "{foil} fell to 100.00 EUR or less: 100.00 on test-market"),
        (
            Condition.RISES_BY,
            "3",
            "6.256",
            "{foil} rose by 6.26 % within 1 day, from 95.00 EUR on test-market",
        ),
        (Condition.FALLS_BY, "3", "6", "{foil} fell by 6 % within 1 day, from 95.00 EUR on test-market"),
        # More digits than decimals have unless told so: whoever owns next to nothing may own a lot tomorrow.
        (
            Condition.RISES_BY,
            "3",
            "1e35",
            f"{{foil}} rose by {10**35:,} % within 1 day, from 95.00 EUR on test-market",
        ),
        (Condition.CROSSES_ABOVE, "99", "1e30", f"{{foil}} rose above 100.00 EUR: {10**30:,}.00 on test-market"),
    ],
)
async def test_an_alert_about_a_price_says_what_where_and_how_much(
    database: Database, scene: Scene, condition: Condition, old: str, new: str, title: str
) -> None:
    is_change = condition in {Condition.RISES_BY, Condition.FALLS_BY}
    more = {"window": timedelta(days=1)} if is_change else {}
    threshold = "5" if is_change else "100"
    variant_id = scene.variant("lantern-old", "foil")
    rule_id = await rule_of(database, scene.ada, RuleTarget.VARIANT, variant_id, condition, threshold, **more)
    async with database.transaction() as transaction:
        source_id = await transaction.connection.scalar(select(Source.id).where(Source.code == "test-market"))
    fired = Fired(
        rule_id=rule_id,
        crossing="1",
        observed_at=NOON,
        variant_id=variant_id,
        source_id=source_id,
        old_value=Decimal(old),
        new_value=Decimal(new),
        base_value=Decimal(95) if is_change else None,
        currency="EUR",
    )
    assert await told(database, fired) == [title.format(foil="lantern-old (Foil)")]
    assert await types_told(database) == {"price"}


@pytest.mark.parametrize(
    ("condition", "new", "title"),
    [
        (Condition.CROSSES_ABOVE, "10250.1", "Everything in Things is worth more than 10,000.00 EUR: 10,250.10"),
        (Condition.CROSSES_BELOW, "9999.5", "Everything in Things is worth less than 10,000.00 EUR: 9,999.50"),
        (Condition.AT_OR_BELOW, "10000", "Everything in Things is worth 10,000.00 EUR or less: 10,000.00"),
        (Condition.RISES_BY, "12.5", "Everything in Things gained 12.5 % within 7 days"),
        (Condition.FALLS_BY, "12.5", "Everything in Things lost 12.5 % within 7 days"),
    ],
)
async def test_an_alert_about_a_portfolio_says_what_it_is_worth(
    database: Database, scene: Scene, condition: Condition, new: str, title: str
) -> None:
    is_change = condition in {Condition.RISES_BY, Condition.FALLS_BY}
    more = {"window": timedelta(days=7)} if is_change else {}
    rule_id = await rule_of(
        database,
        scene.ada,
        RuleTarget.PORTFOLIO,
        scene.portfolio_id,
        condition,
        "10" if is_change else "10000",
        **more,
    )
    fired = Fired(
        rule_id=rule_id,
        crossing="1",
        observed_at=NOON,
        portfolio_id=scene.portfolio_id,
        new_value=Decimal(new),
        currency="EUR",
    )
    assert await told(database, fired) == [title]
    assert await types_told(database) == {"portfolio"}


@pytest.mark.parametrize(
    ("condition", "title"),
    [
        (Condition.ENTERED, "Box 1 arrived at Warehouse"),
        (Condition.LEFT, "Box 1 left Warehouse"),
        (Condition.DELIVERED, "Box 1 was delivered to Warehouse"),
        (Condition.MOVED_IN_STORAGE, "Box 1 moved while in storage at Warehouse"),
        (Condition.SILENT_FOR, "Box 1 has not been heard of for 36 hours"),
    ],
)
async def test_an_alert_about_a_tracker_says_which_and_where(
    database: Database, scene: Scene, condition: Condition, title: str
) -> None:
    async with database.transaction() as transaction:
        client_id = await client_of(transaction.connection, scene.ada)
        tracker_id = await tracker_of(transaction.connection, client_id)
        place_id = await place_of_client(transaction.connection, client_id)
    more = {"duration": timedelta(hours=36)} if condition is Condition.SILENT_FOR else {}
    rule_id = await rule_of(database, scene.ada, RuleTarget.TRACKER, tracker_id, condition, None, **more)
    fired = Fired(rule_id=rule_id, crossing="1", observed_at=NOON, tracker_id=tracker_id, place_id=place_id)
    assert await told(database, fired) == [title]
    if condition is not Condition.SILENT_FOR:
        of_place = await rule_of(database, scene.ada, RuleTarget.PLACE, place_id, condition, None)
        assert await told(database, replace(fired, rule_id=of_place)) == [title]
    assert await types_told(database) == {"tracker"}


async def test_an_alert_about_a_release_says_from_when_to_when(database: Database, scene: Scene) -> None:
    async with database.transaction() as transaction:
        preorder_id = await add_preorder(
            transaction, {"release": release_month("2026-03")}, owner_id=scene.ada, variant_id=scene.variant("warden")
        )
        await reschedule_preorder(transaction, preorder_id, release_month("2026-06"), owner_id=scene.ada)
        change_id = await transaction.connection.scalar(select(PreorderDateChange.id))
    rule_id = await rule_of(database, scene.ada, RuleTarget.PREORDER, preorder_id, Condition.DATE_SLIPPED, None)

    def slipped(crossing: str) -> Fired:
        return Fired(
            rule_id=rule_id, crossing=crossing, observed_at=NOON, preorder_id=preorder_id, new_value=Decimal(92)
        )

    assert await told(database, slipped(f"date_slipped:{change_id}")) == [
        "The release of warden moved from 2026-03 to 2026-06"
    ]
    assert await told(database, slipped("another")) == ["The release of warden was put off by 92 days"]
    assert await types_told(database) == {"preorder"}


async def test_an_alert_about_a_want_says_for_how_much(database: Database, scene: Scene) -> None:
    rule_id = await rule_of(database, scene.ada, RuleTarget.WANTS, None, Condition.WANT_MET, None)
    fired = Fired(
        rule_id=rule_id,
        crossing="1",
        observed_at=NOON,
        variant_id=scene.variant("heron"),
        new_value=Decimal("0.0123456789"),
        currency="BTC",
    )
    assert await told(database, fired) == ["heron can be had for 0.0123457 BTC"]
    assert await types_told(database) == {"want"}


async def test_what_is_gone_meanwhile_has_no_name(database: Database, scene: Scene) -> None:
    rule_id = await rule_of(database, scene.ada, RuleTarget.ITEM, scene.items["heron"])
    gone = Fired(
        rule_id=rule_id, crossing="1", observed_at=NOON, item_id=new_id(), new_value=Decimal(101), currency="EUR"
    )
    assert await told(database, gone) == ["An item rose above 100.00 EUR: 101.00"]
