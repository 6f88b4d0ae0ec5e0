"""Deliveries are made once, tried again as planned, dropped when needless, and wait for nobody of another kind."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.alerts.models import Severity
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.telemetry import DELIVERIES_WAITING, DELIVERY_LAG_SECONDS
from app.identity.models import User
from app.identity.viewer import Caller, Viewer
from app.notifications.commands.notify import ROUTE_NOTIFICATIONS, NewNotification, notify
from app.notifications.commands.outbox import (
    CANDIDATES,
    LEASE,
    Bounds,
    Parcel,
    claim_due,
    mark_delivered,
    mark_not_delivered,
)
from app.notifications.commands.preferences import edit_preferences
from app.notifications.commands.route_notifications import DELIVER, route_notifications
from app.notifications.commands.services import remove_service
from app.notifications.commands.trials import TITLE, Destination, send_trial
from app.notifications.commands.webhooks import delete_webhook
from app.notifications.models import (
    ChannelKind,
    Delivery,
    DeliveryStatus,
    Digest,
    EventType,
    Notification,
    PushSubscription,
    Route,
    Webhook,
)
from app.notifications.retry_plans import FOUR_HOURS, KEPT_FOR, LONGEST_WAIT_ASKED_FOR, pause_after
from app.notifications.sending import NotDelivered, ProviderAway
from tests.core.mail_builders import Mailbox, mail_server
from tests.lock_waits import until_somebody_waits
from tests.notifications.outbox_builders import (
    Desk,
    PostingSender,
    changed,
    deliveries,
    desk_server,
    mails_by,
    moved_back,
    noted,
    notifications,
    prefers,
    service_of,
    somebody,
    switched,
    told,
    webhook_of,
)
from tests.outages_builders import eventually
from workers.deliveries import CAPACITIES, Capacity, ChannelRunner, DeliveryMeter, DeliveryRunner, prune_old_deliveries

EMAIL, WEBHOOK, SERVICE = ChannelKind.EMAIL, ChannelKind.WEBHOOK, ChannelKind.SERVICE


async def claimed(database: Database, channel: ChannelKind = WEBHOOK, **more: Any) -> list[Parcel]:
    """Take what is due."""
    given: dict[str, Any] = {"now": utc_now(), "limit": 100} | more
    async with database.transaction() as transaction:
        return await claim_due(transaction, channel, **given)


async def statuses(database: Database) -> list[str]:
    """What became of all deliveries."""
    return [row.status for row in await deliveries(database)]


def titles(parcels: Sequence[Parcel]) -> list[str]:
    """What is told."""
    return [one.title for parcel in parcels for one in parcel.outgoing]


async def test_a_notification_is_routed_once_to_each_destination(database: Database) -> None:
    ada, eve = await somebody(database), await somebody(database, address=None)
    hooks = [await webhook_of(database, ada) for _ in range(2)]
    await webhook_of(database, eve)
    await told(database, ada, "Gold is up")
    rows = await deliveries(database)
    assert [(row.channel, row.webhook_id, row.owner_id) for row in rows if row.channel == "email"] == [
        ("email", None, ada)
    ]
    assert {row.webhook_id for row in rows if row.channel == "webhook"} == set(hooks)
    async with database.transaction() as transaction:
        # As after a crash of somebody who forgot to commit half of it.
        await transaction.connection.execute(update(Notification).values(routed_at=None))
        assert await route_notifications(transaction, limit=10, now=utc_now()) == 1
        assert transaction.jobs == [DELIVER]
        assert await route_notifications(transaction, limit=10, now=utc_now()) == 0
    assert {row.id for row in await deliveries(database)} == {row.id for row in rows}


async def test_a_webhook_gets_what_it_asks_for(database: Database) -> None:
    ada = await somebody(database, address=None)
    of_prices = await webhook_of(database, ada, event_types=["price", "want"])
    of_trackers = await webhook_of(database, ada, event_types=["tracker"])
    of_emergencies = await webhook_of(database, ada, minimum_severity="critical")
    await told(database, ada, "a price")
    await told(database, ada, "a tracker", event_type=EventType.TRACKER, severity=Severity.CRITICAL)
    planned = {(row.title, row.webhook_id) for row in await deliveries(database)}
    assert planned == {("a price", of_prices), ("a tracker", of_trackers), ("a tracker", of_emergencies)}


async def test_what_is_told_becomes_visible_in_its_order_and_is_told_once(database: Database) -> None:
    ada = await somebody(database, address=None)
    first, second = [
        NewNotification(owner_id=ada, key=key, event_type=EventType.PRICE, severity=Severity.INFO, title=key)
        for key in ("first", "second")
    ]

    async def tell(one: NewNotification) -> list[object]:
        async with database.transaction() as transaction:
            await notify(transaction, [one])
            return [*transaction.jobs]

    async with database.transaction() as transaction:
        await notify(transaction, [first])
        later = asyncio.create_task(tell(second))
        # Else who follows the positions would go past the first one.
        await until_somebody_waits(database)
    assert await later == [ROUTE_NOTIFICATIONS]
    assert await tell(first) == []
    assert len(await notifications(database)) == 2


async def test_what_was_read_before_anybody_looked_goes_nowhere(database: Database) -> None:
    ada = await somebody(database)
    await told(database, ada, "Gold is up")
    async with database.transaction() as transaction:
        await transaction.connection.execute(Delivery.__table__.delete())  # type: ignore[attr-defined]  # a table
        await transaction.connection.execute(update(Notification).values(routed_at=None, read_at=utc_now()))
        assert await route_notifications(transaction, limit=10, now=utc_now()) == 1
    assert await deliveries(database) == []
    assert [row.routed_at is None for row in await notifications(database)] == [False]


async def test_two_who_take_at_once_take_each_delivery_once(database: Database) -> None:
    ada = await somebody(database)
    await webhook_of(database, ada)
    await told(database, ada, *(f"News {number}" for number in range(40)))
    taken = await asyncio.gather(*(claimed(database, limit=15) for _ in range(4)))
    assert sorted(len(parcels) for parcels in taken) == [0, 10, 15, 15]
    assert len(set(titles([parcel for parcels in taken for parcel in parcels]))) == 40


async def test_what_was_taken_and_never_told_of_comes_again_with_the_same_id(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    (first,) = await claimed(database)
    assert await claimed(database, now=utc_now() + LEASE - timedelta(seconds=1)) == []
    (second,) = await claimed(database, now=utc_now() + LEASE)
    assert first.outgoing[0].id == second.outgoing[0].id
    assert (first.outgoing[0].attempt, second.outgoing[0].attempt) == (1, 2)
    async with database.transaction() as transaction:
        # Who comes late with a failure changes nothing of what another has taken since.
        assert await mark_not_delivered(transaction, first, NotDelivered("No."), now=utc_now()) is None
        await mark_delivered(transaction, second, now=utc_now())
    (row,) = await deliveries(database)
    assert (row.status, row.attempts, row.last_error) == ("delivered", 2, None)
    assert row.delivered_at is not None


async def test_a_failure_is_tried_again_eight_times_over_four_hours_and_then_given_up(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    began = now = utc_now()
    for attempt in range(1, 10):
        (parcel,) = await claimed(database, now=now)
        assert parcel.outgoing[0].attempt == attempt
        async with database.transaction() as transaction:
            failure = NotDelivered("It answered 500.", status=500)
            status = await mark_not_delivered(transaction, parcel, failure, now=now)
        (row,) = await deliveries(database)
        assert (row.attempts, row.last_error, row.last_status) == (attempt, "It answered 500.", 500)
        assert status == row.status == ("waiting" if attempt < 9 else "failed")
        assert await claimed(database, now=now) == []
        last, now = now, row.next_attempt_at
    assert timedelta(hours=4) <= last - began <= timedelta(hours=4.4)


def test_pauses_are_planned_with_chance_and_as_asked_for_within_bounds() -> None:
    assert sum(FOUR_HOURS.pauses, timedelta()) == timedelta(hours=4)
    assert len(FOUR_HOURS.pauses) == 8

    def pause(failure: NotDelivered, *, channel: ChannelKind = WEBHOOK, **more: Any) -> timedelta | None:
        given: dict[str, Any] = {"attempt": 1, "age": timedelta(), "chance": lambda: 0.0} | more
        return pause_after(channel, failure, **given)

    half_a_minute, hour = timedelta(seconds=30), timedelta(hours=1)
    assert pause(NotDelivered("")) == half_a_minute
    assert pause(NotDelivered(""), chance=lambda: 1.0) == half_a_minute * 1.1
    assert pause(NotDelivered("", retry_after=hour)) == hour
    assert pause(NotDelivered("", retry_after=timedelta(seconds=1))) == half_a_minute
    assert pause(NotDelivered("", retry_after=timedelta(days=9))) == LONGEST_WAIT_ASKED_FOR
    assert pause(NotDelivered("", is_permanent=True)) is None
    assert pause(NotDelivered("", is_gone=True)) is None
    assert pause(NotDelivered(""), age=KEPT_FOR) is None
    # A mail server that is away costs no mail its attempts, for days.
    for channel in (WEBHOOK, SERVICE, ChannelKind.WEB_PUSH):
        assert pause(NotDelivered(""), channel=channel, attempt=8) == timedelta(minutes=95)
        assert pause(NotDelivered(""), channel=channel, attempt=9) is None
    assert pause(NotDelivered(""), channel=EMAIL, attempt=500, age=KEPT_FOR - hour) == hour
    assert pause(NotDelivered(""), channel=EMAIL, attempt=2, age=KEPT_FOR) is None
    assert pause(ProviderAway(""), channel=EMAIL, attempt=500, age=hour) == timedelta(minutes=10)
    assert pause(ProviderAway(""), channel=EMAIL, attempt=500, age=KEPT_FOR) is None


@pytest.mark.parametrize("settled", ["read_at", "dismissed_at", "snoozed_until"])
async def test_what_is_settled_before_it_went_is_dropped(settled: str, database: Database) -> None:
    ada = await somebody(database)
    await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    await changed(database, **{settled: utc_now() + timedelta(hours=1)})
    assert await claimed(database) == []
    assert await claimed(database, EMAIL) == []
    assert await statuses(database) == ["dropped", "dropped"]
    assert [row.last_error for row in await deliveries(database)] == [
        "It was read, dismissed or put off in the app before it went out."
    ] * 2


async def test_what_was_put_off_until_a_moment_ago_goes(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    await changed(database, snoozed_until=utc_now() - timedelta(seconds=1))
    assert titles(await claimed(database)) == ["Gold is up"]


async def test_what_goes_to_a_webhook_that_was_disabled_is_dropped(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Webhook).values(is_enabled=False))
    assert await claimed(database) == []
    await told(database, ada, "Gold is down")
    assert await statuses(database) == ["dropped"]
    assert "removed or switched off" in (await deliveries(database))[0].last_error


@pytest.mark.parametrize("is_chosen", [False, True])
async def test_mails_that_wait_go_no_more_once_the_profile_wants_none_unless_they_were_chosen(
    is_chosen: bool, database: Database
) -> None:
    ada = await somebody(database)
    if is_chosen:
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                insert(Route).values(owner_id=ada, event_type="price", channel="email", minimum_severity="info")
            )
    await told(database, ada, "Gold is up")
    await told(database, ada, "by the rule's own way", channels=["email"])
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(User).where(User.id == ada).values(notifies_by_email=False))
    left = ["Gold is up", "by the rule's own way"] if is_chosen else ["by the rule's own way"]
    assert sorted(titles(await claimed(database, EMAIL))) == left


async def test_a_test_of_one_destination_goes_also_where_nothing_of_its_kind_is_wanted(database: Database) -> None:
    ada = await somebody(database, address=None)
    hook = await webhook_of(database, ada)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Route).values(owner_id=ada, event_type="account", channel="webhook", minimum_severity=None)
        )
        destination = Destination(WEBHOOK, hook)
        await send_trial(transaction, owner_id=ada, severity=Severity.INFO, now=utc_now(), destination=destination)
    assert titles(await claimed(database, now=utc_now() + timedelta(seconds=1))) == [TITLE]


async def test_a_channel_that_staff_switched_off_rests_and_gets_nothing_new(
    database: Database, owner: AsyncEngine
) -> None:
    ada = await somebody(database)
    await webhook_of(database, ada)
    await told(database, ada, "before")
    await switched(owner, "webhook", is_enabled=False)
    assert await claimed(database) == []
    await told(database, ada, "meanwhile")
    await switched(owner, "webhook", is_enabled=True)
    assert titles(await claimed(database)) == ["before"]
    assert titles(await claimed(database, EMAIL)) == ["before", "meanwhile"]


async def test_a_retry_waits_for_the_end_of_quiet_hours_that_were_chosen_since(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada)
    await told(database, ada, "a warning")
    await told(database, ada, "critical", severity=Severity.CRITICAL)
    await prefers(database, ada, quiet_from=time(0), quiet_until=time(23, 59, 59))
    noon = (utc_now() + timedelta(days=1)).replace(hour=12)
    assert titles(await claimed(database, now=noon)) == ["critical"]
    (warning,) = [row for row in await deliveries(database) if row.title == "a warning"]
    assert warning.next_attempt_at == noon.replace(hour=23, minute=59, second=59, microsecond=0)
    assert (warning.status, warning.attempts) == ("waiting", 0)


async def test_quiet_hours_follow_the_accounts_time_zone_until_another_is_chosen(database: Database) -> None:
    ada, noon = await somebody(database, timezone="Asia/Tokyo"), datetime(2026, 7, 1, 12, tzinfo=UTC)
    async with database.transaction() as transaction:
        await edit_preferences(transaction, {"quiet_from": "11:00", "quiet_until": "13:00"}, owner_id=ada)
        await transaction.connection.execute(update(User).where(User.id == ada).values(timezone="Europe/Vienna"))
    await webhook_of(database, ada)
    await noted(database, ada, "Gold is up")
    one_hour = timedelta(hours=1)
    async with database.transaction() as transaction:
        assert await route_notifications(transaction, limit=10, now=noon - 2 * one_hour) == 1
    assert {row.next_attempt_at for row in await deliveries(database)} == {noon - one_hour}
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(User).where(User.id == ada).values(timezone="UTC"))
    assert await claimed(database, now=noon) == []
    async with database.transaction() as transaction:
        await edit_preferences(transaction, {"time_zone": "America/New_York"}, owner_id=ada)
    assert {row.next_attempt_at for row in await deliveries(database) if row.channel == "webhook"} == {noon + one_hour}
    assert titles(await claimed(database, now=noon + one_hour)) == ["Gold is up"]


@pytest.mark.parametrize("has_arrived", [False, True])
async def test_who_removes_a_webhook_while_an_outcome_is_noted_waits_and_is_not_refused(
    has_arrived: bool, database: Database
) -> None:
    ada = await somebody(database, address=None)
    hook = await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    (parcel,) = await claimed(database)

    async def remove() -> None:
        async with database.transaction() as transaction:
            await delete_webhook(transaction, hook, caller=Caller(Viewer(user_id=ada)))

    async def note() -> DeliveryStatus | None:
        async with database.transaction() as transaction:
            if has_arrived:
                await mark_delivered(transaction, parcel, now=utc_now())
                return None
            return await mark_not_delivered(transaction, parcel, NotDelivered("No."), now=utc_now())

    async with database.transaction() as transaction:
        await transaction.connection.execute(select(Webhook.id).where(Webhook.id == hook).with_for_update())
        removing = asyncio.create_task(remove())
        await until_somebody_waits(database)
        noting = asyncio.create_task(note())
        await until_somebody_waits(database, count=2)
    await removing
    assert await noting is None
    assert await deliveries(database) == []


@pytest.mark.parametrize("is_webhook", [True, False])
async def test_what_is_routed_while_its_destination_is_removed_goes_elsewhere_alone(
    is_webhook: bool, database: Database
) -> None:
    ada = await somebody(database)
    key = await (webhook_of if is_webhook else service_of)(database, ada)
    await noted(database, ada, "Gold is up")

    async def route() -> int:
        async with database.transaction() as transaction:
            return await route_notifications(transaction, limit=10, now=utc_now())

    async with database.transaction() as transaction:
        removal = delete_webhook if is_webhook else remove_service
        await removal(transaction, key, caller=Caller(Viewer(user_id=ada)))
        routing = asyncio.create_task(route())
        await until_somebody_waits(database)
    assert await routing == 1
    assert [row.channel for row in await deliveries(database)] == ["email"]


async def test_what_waited_for_too_long_is_given_up(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    assert await claimed(database, now=utc_now() + timedelta(days=6)) == []
    (row,) = await deliveries(database)
    assert (row.status, row.last_error) == ("failed", "It could not be sent for days.")


async def test_mails_of_a_digest_are_taken_together_and_others_one_by_one(database: Database) -> None:
    ada, eve = await somebody(database), await somebody(database, address="eve@example.com")
    await prefers(database, ada, digest=Digest.HOURLY.value)
    await told(database, ada, "one", "two")
    await told(database, eve, "three", "four")
    await told(database, ada, "five")
    await told(database, ada, "critical", severity=Severity.CRITICAL)
    alone = await claimed(database, EMAIL)
    assert sorted(titles(alone)) == ["critical", "four", "three"]
    async with database.transaction() as transaction:
        for parcel in alone:
            await mark_delivered(transaction, parcel, now=utc_now())
    full_hour = (utc_now() + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    assert {row.digest_at for row in await deliveries(database)} == {None, full_hour}
    assert await claimed(database, EMAIL, now=full_hour - timedelta(seconds=1)) == []
    (digest,) = await claimed(database, EMAIL, now=full_hour, limit=1, bounds=Bounds(in_lane=1))
    assert [one.title for one in digest.outgoing] == ["one", "two", "five"]
    async with database.transaction() as transaction:
        await mark_delivered(transaction, digest, now=utc_now())
    assert await statuses(database) == ["delivered"] * 6


async def test_digests_of_another_time_and_of_somebody_else_are_taken_by_themselves(database: Database) -> None:
    ada, eve = await somebody(database), await somebody(database, address="eve@example.com")
    eight, hour = datetime(2026, 7, 1, 8, tzinfo=UTC), timedelta(hours=1)
    for owner_id in (ada, eve):
        await prefers(database, owner_id, digest=Digest.HOURLY.value)
    for title, owner_id, told_at in (("one", ada, eight), ("two", ada, eight + hour), ("three", eve, eight + hour)):
        await noted(database, owner_id, title)
        async with database.transaction() as transaction:
            await route_notifications(transaction, limit=10, now=told_at)
    late = {"now": eight + 3 * hour, "bounds": Bounds(in_lane=1)}
    assert titles(await claimed(database, EMAIL, **late)) == ["one", "three"]
    assert titles(await claimed(database, EMAIL, **late)) == ["two"]


async def test_of_a_digest_of_hundreds_what_was_read_meanwhile_is_left_out(database: Database) -> None:
    ada, eight = await somebody(database), datetime(2026, 7, 1, 8, tzinfo=UTC)
    await prefers(database, ada, digest=Digest.HOURLY.value)
    await noted(database, ada, *(f"News {number}" for number in range(CANDIDATES + 2)))
    async with database.transaction() as transaction:
        await route_notifications(transaction, limit=CANDIDATES + 2, now=eight)
        # Which the first look does not reach.
        last = select(Delivery.notification_id).order_by(Delivery.id.desc()).limit(1).scalar_subquery()
        await transaction.connection.execute(
            update(Notification).where(Notification.id == last).values(read_at=utc_now())
        )
    (digest,) = await claimed(database, EMAIL, now=eight + timedelta(hours=1))
    assert len(digest.outgoing) == CANDIDATES + 1


async def test_a_digest_waits_three_days_for_the_mail_server_from_when_it_was_to_go(database: Database) -> None:
    ada, morning = await somebody(database), datetime(2026, 7, 1, 8, tzinfo=UTC)
    await prefers(database, ada, digest=Digest.DAILY.value)
    await noted(database, ada, "Gold is up")
    await changed(database, created_at=morning - timedelta(hours=23))
    async with database.transaction() as transaction:
        await route_notifications(transaction, limit=10, now=morning - timedelta(hours=23))
    for tried, status in ((morning + KEPT_FOR - timedelta(hours=1), "waiting"), (morning + KEPT_FOR, "failed")):
        (parcel,) = await claimed(database, EMAIL, now=tried)
        async with database.transaction() as transaction:
            assert await mark_not_delivered(transaction, parcel, ProviderAway("Away."), now=tried) == status


async def test_lanes_that_are_full_are_passed_over(database: Database) -> None:
    ada = await somebody(database, address=None)
    for url in ("https://slow.example/a", "https://user@SLOW.example/b?c", "http://quick.example:8080"):
        await webhook_of(database, ada, url=url)
    await told(database, ada, *(f"News {number}" for number in range(150)))
    first = await claimed(database, limit=400, bounds=Bounds(in_lane=3))
    slow = [parcel for parcel in first if parcel.lane == "slow.example"]
    second = await claimed(database, limit=400, bounds=Bounds(in_lane=3), under_way=slow[:2])
    third = await claimed(database, limit=400, bounds=Bounds(in_lane=3), under_way=slow)
    assert sorted(parcel.lane for parcel in first) == [*["quick.example:8080"] * 3, *["slow.example"] * 3]
    assert sorted(parcel.lane for parcel in second) == [*["quick.example:8080"] * 3, "slow.example"]
    assert [parcel.lane for parcel in third] == ["quick.example:8080"] * 3


async def test_one_persons_many_hosts_leave_places_for_others(database: Database) -> None:
    ada, eve = await somebody(database, address=None), await somebody(database, address=None)
    for number in range(20):
        await webhook_of(database, ada, url=f"https://slow{number}.example/")
    await told(database, ada, *(f"slow {number}" for number in range(15)))
    await webhook_of(database, eve, url="https://quick.example/")
    await told(database, eve, "quick")
    capacity = CAPACITIES[WEBHOOK]
    bounds = Bounds(in_lane=capacity.in_lane, of_owner=capacity.of_owner)
    first = await claimed(database, limit=capacity.at_once, bounds=bounds)
    second = await claimed(database, limit=capacity.at_once - len(first), bounds=bounds, under_way=first)
    assert len(first) == capacity.of_owner
    assert titles(second) == ["quick"]


async def test_one_slow_host_takes_some_places_and_others_go_past_it(database: Database) -> None:
    ada, desk = await somebody(database, address=None), Desk(slow={"slow.example"})
    await webhook_of(database, ada, url="https://slow.example/")
    await told(database, ada, *(f"slow {number}" for number in range(30)))
    eve = await somebody(database, address=None)
    await webhook_of(database, eve, url="https://quick.example/")
    await told(database, eve, *(f"quick {number}" for number in range(10)))
    async with desk_server(desk) as port:
        capacity = Capacity(at_once=6, in_lane=3)
        runner = ChannelRunner(database, WEBHOOK, PostingSender(database, port), capacity=capacity)
        looking = asyncio.create_task(runner.keep_looking())
        await eventually("the quick ones are delivered", lambda: _has(desk, 10))
        assert all(title.startswith("quick") for title in desk.taken)
        desk.released.set()
        await eventually("the slow ones are delivered too", lambda: _has(desk, 40))
        await runner.stop()
        await looking
    assert desk.most_by_host["slow.example"] == 3
    assert len(set(desk.taken)) == 40


async def _has(desk: Desk, count: int) -> bool:
    return len(desk.taken) >= count


class _CountingPort:
    """A port at which nobody listens; how often it was tried is counted by the sender before it."""

    def __init__(self, sender: Any) -> None:
        self.sender = sender
        self.tries = 0

    async def send(self, outgoing: Sequence[Any]) -> None:
        self.tries += 1
        await self.sender.send(outgoing)


async def test_a_dead_mail_server_delays_no_webhook_and_loses_nothing(database: Database) -> None:
    ada, desk, mailbox = await somebody(database), Desk(), Mailbox()
    await told(database, ada, *(f"mail {number}" for number in range(60)))
    eve = await somebody(database, address=None)
    await webhook_of(database, eve)
    await told(database, eve, "hook")
    async with mail_server(mailbox) as port:
        pass
    clock = [0.0]
    capacity = Capacity(at_once=4, in_lane=4, pause_seconds=30)
    async with desk_server(desk) as desk_port:
        away = _CountingPort(mails_by(database, port))
        mails = ChannelRunner(database, EMAIL, away, capacity=capacity, clock=lambda: clock[0])
        hooks = ChannelRunner(database, WEBHOOK, PostingSender(database, desk_port))
        both = DeliveryRunner([mails, hooks])
        await both.run()
        await mails.send_all()
        await hooks.send_all()
        assert desk.taken == ["hook"]
        # Those that were under way found out, and no others.
        assert away.tries == 4
        clock[0] = 31.0
        await mails.send_all()
        assert away.tries == 5
    async with mail_server(mailbox) as port:
        away.sender = mails_by(database, port)
        clock[0] = 62.0
        # Those that were tried have waited as long.
        await moved_back(database, timedelta(minutes=2))
        await mails.send_all()
    assert sorted(message["Subject"] for message in mailbox.messages()) == sorted(f"mail {n}" for n in range(60))
    assert set(await statuses(database)) == {"delivered"}


class _Mistaken:
    """A sender with a mistake that shows what it should not."""

    async def send(self, outgoing: Sequence[Any]) -> None:
        raise KeyError(outgoing[0].title)


async def test_a_mistake_of_ours_keeps_nothing_else_back_and_tells_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await somebody(database, address=None)
    await service_of(database, ada)
    await told(database, ada, "secret plans", "more secret plans")
    await ChannelRunner(database, SERVICE, _Mistaken()).send_all()
    for row in await deliveries(database):
        assert (row.status, row.attempts) == ("waiting", 1)
        assert row.last_error == "Sending failed by a mistake of ours: KeyError."
        # As `viewer.deliveries` and the receiver of a webhook have it.
        assert public_id(PublicIdTag.DELIVERY, row.id) in caplog.text
    assert "not_delivered" in caplog.text
    assert "secret" not in caplog.text


async def test_a_mistake_of_ours_disables_no_webhook(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada, failing_since=utc_now() - timedelta(days=2))
    await told(database, ada, "Gold is up")
    for _ in range(2):
        await ChannelRunner(database, WEBHOOK, _Mistaken()).send_all()
        await moved_back(database, timedelta(hours=1))
    (row,) = await deliveries(database)
    assert row.attempts == 2
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(Webhook.is_enabled))


async def test_what_a_destination_refuses_now_it_gets_later(database: Database) -> None:
    ada, desk = await somebody(database, address=None), Desk(statuses=[HTTPStatus.SERVICE_UNAVAILABLE])
    await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    async with desk_server(desk) as port:
        runner = ChannelRunner(database, WEBHOOK, PostingSender(database, port))
        await runner.send_all()
        assert await statuses(database) == ["waiting"]
        await moved_back(database, timedelta(minutes=1))
        await runner.send_all()
    assert desk.taken == ["Gold is up", "Gold is up"]
    (row,) = await deliveries(database)
    assert (row.status, row.attempts, row.last_error) == ("delivered", 2, None)


async def test_services_of_a_kind_that_hangs_leave_room_for_other_kinds(database: Database) -> None:
    for _ in range(3):
        ada = await somebody(database, address=None)
        for _ in range(3):
            await service_of(database, ada)
        await told(database, ada, "Gold is up")
    await service_of(database, eve := await somebody(database, address=None), kind="discord")
    await told(database, eve, "Gold is down")
    capacity = CAPACITIES[SERVICE]
    bounds = Bounds(in_lane=capacity.in_lane, of_owner=capacity.of_owner)
    parcels = await claimed(database, SERVICE, limit=capacity.at_once, bounds=bounds)
    assert [parcel.lane for parcel in parcels] == ["ntfys"] * 6 + ["discord"]


async def test_a_failure_that_comes_late_brings_back_nothing_that_was_dropped(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada)
    await told(database, ada, "Gold is up")
    (parcel,) = await claimed(database)
    await changed(database, read_at=utc_now())
    assert await claimed(database, now=parcel.held_until) == []
    async with database.transaction() as transaction:
        assert await mark_not_delivered(transaction, parcel, NotDelivered("No."), now=parcel.held_until) is None
    assert await statuses(database) == ["dropped"]


async def test_nothing_is_pushed_any_more_once_the_profile_wants_no_pushes(database: Database) -> None:
    ada = await somebody(database, address=None)
    async with database.transaction() as transaction:
        browser = {"endpoint_hash": bytes(32), "host": "push.example", "subscription": b""}
        await transaction.connection.execute(insert(PushSubscription).values(id=new_id(), owner_id=ada, **browser))
    await told(database, ada, "before")
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(User).where(User.id == ada).values(notifies_by_push=False))
    await told(database, ada, "after")
    assert await claimed(database, ChannelKind.WEB_PUSH) == []
    assert [(row.title, row.status) for row in await deliveries(database)] == [("before", "dropped")]


async def test_what_was_told_first_is_routed_first(database: Database) -> None:
    await noted(database, await somebody(database), "first", "second")
    async with database.transaction() as transaction:
        assert await route_notifications(transaction, limit=1, now=utc_now()) == 1
    assert [row.title for row in await deliveries(database)] == ["first"]


async def test_two_tests_at_once_are_two(database: Database) -> None:
    ada, now = await somebody(database), utc_now()

    async def send() -> UUID:
        async with database.transaction() as transaction:
            return await send_trial(transaction, owner_id=ada, severity=Severity.INFO, now=now)

    async with database.transaction() as transaction:
        first = await send_trial(transaction, owner_id=ada, severity=Severity.INFO, now=now)
        second = asyncio.create_task(send())
        await until_somebody_waits(database)
    assert await second != first


async def test_what_was_over_long_ago_goes_and_what_waits_stays(database: Database) -> None:
    ada = await somebody(database, address=None)
    await webhook_of(database, ada)
    await told(database, ada, "over", "waiting", "new")
    async with database.transaction() as transaction:
        for title, status, days in (("over", "failed", 91), ("waiting", "waiting", 91), ("new", "delivered", 89)):
            (row,) = [row for row in await deliveries(database) if row.title == title]
            created_at = utc_now() - timedelta(days=days)
            await transaction.connection.execute(
                update(Delivery).where(Delivery.id == row.id).values(status=status, created_at=created_at)
            )
    await prune_old_deliveries(database)
    assert [row.title for row in await deliveries(database)] == ["waiting", "new"]


async def test_what_waits_is_measured(database: Database) -> None:
    ada = await somebody(database)
    await webhook_of(database, ada)
    await told(database, ada, "one", "two")
    await moved_back(database, timedelta(hours=1))
    await DeliveryMeter(database).run()

    def gauge(metric: Any, channel: ChannelKind) -> float:
        return float(metric.labels(channel.value)._value.get())

    assert gauge(DELIVERIES_WAITING, EMAIL) == gauge(DELIVERIES_WAITING, WEBHOOK) == 2
    assert gauge(DELIVERIES_WAITING, SERVICE) == gauge(DELIVERY_LAG_SECONDS, SERVICE) == 0
    assert 3600 <= gauge(DELIVERY_LAG_SECONDS, WEBHOOK) < 3700
