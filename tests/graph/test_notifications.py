"""What people were told: listed, counted, read, dismissed and put off by themselves alone."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from app.alerts.models import Severity
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.graph.scalars import write_date_time
from app.identity.scopes import OWN, Scope
from app.identity.viewer import Viewer
from app.notifications.models import Channel, ChannelKind, EventType
from tests.graph.changing import change, code_of, done
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.notifications.told_people import Told, alert_of, person, rule_of, tell

LIST = """
query (
  $unread: Boolean, $severity: AlertSeverity, $type: NotificationEventType, $all: Boolean, $first: Int, $after: String
) {
  viewer {
    notifications(
      unread: $unread, severity: $severity, eventType: $type, includeDismissed: $all, first: $first, after: $after
    ) { totalCount pageInfo { hasNextPage endCursor } nodes { title } }
  }
}
"""
COUNTS = "{ viewer { notificationCounts { unread critical snoozed } } }"
PREFERENCES = """
{ viewer { notificationPreferences {
  timeZone quietFrom quietUntil digest digestAt version routes { eventType channel minimumSeverity }
} } }
"""


async def titles(graph: Graph, told: Told, **narrowed: Any) -> list[str]:
    """What the list shows."""
    listed = await graph.ask(LIST, told.viewer, **narrowed)
    return [node["title"] for node in listed["viewer"]["notifications"]["nodes"]]


async def counts(graph: Graph, told: Told) -> dict[str, int]:
    """How much is unread."""
    return dict((await graph.ask(COUNTS, told.viewer))["viewer"]["notificationCounts"])


def in_days(days: float) -> str:
    """An instant so many days from now."""
    return write_date_time(utc_now() + timedelta(days=days))


async def test_notifications_are_listed_newest_first_and_page_by_page(database: Database, graph: Graph) -> None:
    ada = await person(database)
    for title in ("one", "two", "three"):
        await tell(database, ada, title)
    first = (await graph.ask(LIST, ada.viewer, first=2))["viewer"]["notifications"]
    assert [node["title"] for node in first["nodes"]] == ["three", "two"]
    assert first["totalCount"] == 3
    assert await titles(graph, ada, first=2, after=first["pageInfo"]["endCursor"]) == ["one"]


async def test_notifications_are_narrowed_by_severity_type_and_whether_they_are_unread(
    database: Database, graph: Graph
) -> None:
    ada = await person(database)
    await tell(database, ada, "a price", severity=Severity.WARNING)
    await tell(database, ada, "a tracker", severity=Severity.CRITICAL, event_type=EventType.TRACKER)
    read = await tell(database, ada, "read before")
    await done(graph, ada.viewer, "markRead", "notifications { id }", ids=[read])
    assert await titles(graph, ada, severity="WARNING") == ["a price"]
    assert await titles(graph, ada, type="TRACKER") == ["a tracker"]
    assert await titles(graph, ada, unread=True) == ["a tracker", "a price"]
    assert await titles(graph, ada, unread=False) == ["read before"]
    assert await counts(graph, ada) == {"unread": 2, "critical": 1, "snoozed": 0}


async def test_a_notification_is_marked_as_read_once(database: Database, graph: Graph) -> None:
    ada = await person(database)
    id_ = await tell(database, ada, "one")
    shown = "notifications { id isUnread readAt }"
    first = await done(graph, ada.viewer, "markRead", shown, ids=[id_, id_])
    again = await done(graph, ada.viewer, "markRead", shown, ids=[id_])
    assert [node["id"] for node in first["notifications"]] == [id_]
    assert not first["notifications"][0]["isUnread"]
    assert again == first


async def test_all_up_to_one_are_marked_as_read(database: Database, graph: Graph) -> None:
    ada, bob = await person(database), await person(database)
    await tell(database, ada, "one")
    second = await tell(database, ada, "two")
    await tell(database, bob, "of Bob")
    await tell(database, ada, "three")
    payload = await done(graph, ada.viewer, "markRead", "markedCount notifications { id }", upToId=second)
    assert payload["markedCount"] == 2
    assert payload["notifications"] is None
    assert await titles(graph, ada, unread=True) == ["three"]
    assert await titles(graph, bob, unread=True) == ["of Bob"]


async def test_what_is_put_off_comes_back_though_all_was_marked_as_read_meanwhile(
    database: Database, graph: Graph
) -> None:
    ada = await person(database)
    later, named, newest = [await tell(database, ada, title) for title in ("later", "named", "newest")]
    await done(graph, ada.viewer, "snooze", "__typename", ids=[later, named], until=in_days(1))
    payload = await done(graph, ada.viewer, "markRead", "markedCount", upToId=newest)
    assert payload["markedCount"] == 1
    assert await counts(graph, ada) == {"unread": 0, "critical": 0, "snoozed": 2}
    payload = await done(graph, ada.viewer, "markRead", "markedCount", upToId=named)
    assert payload["markedCount"] == 1
    await done(graph, ada.viewer, "snooze", "__typename", ids=[later], until=None)
    assert await titles(graph, ada, unread=True) == ["later"]


async def test_what_is_dismissed_is_left_out_until_it_is_asked_for(database: Database, graph: Graph) -> None:
    ada = await person(database)
    id_ = await tell(database, ada, "one")
    await tell(database, ada, "two")
    payload = await done(graph, ada.viewer, "dismiss", "notifications { dismissedAt isUnread }", ids=[id_])
    assert payload["notifications"][0]["dismissedAt"] is not None
    assert not payload["notifications"][0]["isUnread"]
    assert await titles(graph, ada) == ["two"]
    assert await titles(graph, ada, all=True) == ["two", "one"]
    assert await counts(graph, ada) == {"unread": 1, "critical": 0, "snoozed": 0}


async def test_what_is_put_off_is_not_unread_until_then(database: Database, graph: Graph) -> None:
    ada = await person(database)
    id_ = await tell(database, ada, "one")
    payload = await done(graph, ada.viewer, "snooze", "notifications { isUnread }", ids=[id_], until=in_days(1))
    assert payload["notifications"] == [{"isUnread": False}]
    assert await titles(graph, ada) == ["one"]
    assert await counts(graph, ada) == {"unread": 0, "critical": 0, "snoozed": 1}
    back = await done(graph, ada.viewer, "snooze", "notifications { isUnread snoozedUntil }", ids=[id_], until=None)
    assert back["notifications"] == [{"isUnread": True, "snoozedUntil": None}]
    await done(graph, ada.viewer, "dismiss", "__typename", ids=[id_])
    put_off = await done(graph, ada.viewer, "snooze", "notifications { dismissedAt }", ids=[id_], until=in_days(1))
    assert put_off["notifications"] == [{"dismissedAt": None}]
    assert await counts(graph, ada) == {"unread": 0, "critical": 0, "snoozed": 1}


async def test_an_alert_stands_for_its_notification(database: Database, graph: Graph) -> None:
    ada = await person(database)
    alert = await alert_of(database, ada, await rule_of(database, ada))
    id_ = await tell(database, ada, "of an alert", alert_id=alert)
    payload = await done(
        graph, ada.viewer, "markRead", "notifications { id alert { title } }", ids=[public_id(PublicIdTag.ALERT, alert)]
    )
    assert payload["notifications"] == [{"id": id_, "alert": {"title": "It can be had"}}]


@pytest.mark.parametrize("until", [-1, 366, None])
async def test_a_time_that_no_notification_can_be_put_off_to_is_refused(
    database: Database, graph: Graph, until: int | None
) -> None:
    ada = await person(database)
    id_ = await tell(database, ada, "one")
    given = {} if until is None else {"until": in_days(until)}
    assert await code_of(graph, ada.viewer, "snooze", ids=[id_], **given) == "INVALID_INPUT"


async def test_nothing_is_changed_where_one_of_them_is_somebody_elses(database: Database, graph: Graph) -> None:
    ada, bob = await person(database), await person(database)
    own, other = await tell(database, ada, "own"), await tell(database, bob, "of Bob")
    nothing = public_id(PublicIdTag.NOTIFICATION, new_id())
    for bad in (other, nothing, "garbage", public_id(PublicIdTag.ALERT, new_id())):
        payload = await change(graph, ada.viewer, "dismiss", "notifications { id }", ids=[own, bad])
        (error,) = payload["userErrors"]
        assert (error["code"], error["field"]) == ("NOT_FOUND", ["input", "ids", "1"])
    assert await code_of(graph, ada.viewer, "markRead", upToId=other) == "NOT_FOUND"
    assert await titles(graph, ada, unread=True) == ["own"]
    assert await titles(graph, bob, unread=True) == ["of Bob"]


async def test_ids_are_some_and_not_too_many_and_not_both_ways(database: Database, graph: Graph) -> None:
    ada = await person(database)
    id_ = await tell(database, ada, "one")
    assert await code_of(graph, ada.viewer, "dismiss", ids=[]) == "INVALID_INPUT"
    assert await code_of(graph, ada.viewer, "dismiss", ids=[id_] * 251) == "TOO_MANY"
    assert await code_of(graph, ada.viewer, "markRead", ids=[id_], upToId=id_) == "INVALID_INPUT"
    assert await code_of(graph, ada.viewer, "markRead") == "INVALID_INPUT"


async def test_nobody_else_sees_what_somebody_was_told(database: Database, graph: Graph) -> None:
    ada, bob = await person(database), await person(database, permissions=[Scope.ACCOUNTS_READ])
    id_ = await tell(database, ada, "secret")
    account = public_id(PublicIdTag.ACCOUNT, ada.id)
    staff = await graph.ask(
        """query ($id: ID!, $node: ID!) {
          account(id: $id) {
            notifications { totalCount } notificationCounts { unread } notificationPreferences { timeZone }
            pushSubscriptions { id } webhooks { id } notificationServices { id } deliveries { totalCount }
          }
          node(id: $node) { id }
        }""",
        bob.viewer,
        id=account,
        node=id_,
    )
    assert staff == {
        "account": {
            "notifications": {"totalCount": 0},
            "notificationCounts": None,
            "notificationPreferences": None,
            "pushSubscriptions": [],
            "webhooks": [],
            "notificationServices": [],
            "deliveries": {"totalCount": 0},
        },
        "node": None,
    }


@pytest.mark.parametrize(
    "field",
    [
        *("notifications { totalCount }", "notificationCounts { unread }", "notificationPreferences { version }"),
        *("pushSubscriptions { id }", "webhooks { id }", "notificationServices { id }", "deliveries { totalCount }"),
    ],
)
async def test_what_is_ones_own_takes_the_scope_of_notifications(database: Database, graph: Graph, field: str) -> None:
    ada = await person(database)
    without = await session_of(database, ada.id, scopes=OWN - {Scope.NOTIFICATIONS_READ})
    refusal = await graph.refusal(f"{{ viewer {{ {field} }} }}", without)
    assert refusal["extensions"]["code"] == "FORBIDDEN"


async def test_preferences_are_the_usual_ones_until_they_are_chosen(database: Database, graph: Graph) -> None:
    ada = await person(database, timezone="Europe/Vienna")
    assert (await graph.ask(PREFERENCES, ada.viewer))["viewer"]["notificationPreferences"] == {
        "timeZone": "Europe/Vienna",
        "quietFrom": None,
        "quietUntil": None,
        "digest": "NONE",
        "digestAt": "08:00",
        "version": 0,
        "routes": [],
    }


async def test_preferences_are_changed_and_what_is_left_out_stays(database: Database, graph: Graph) -> None:
    ada = await person(database, timezone="Europe/Vienna")
    routes = [
        {"eventType": "PRICE", "channel": "EMAIL", "minimumSeverity": "CRITICAL"},
        {"eventType": "TRACKER", "channel": "WEB_PUSH", "minimumSeverity": None},
    ]
    shown = "notificationPreferences { version }"
    first = await done(
        graph,
        ada.viewer,
        "editNotificationPreferences",
        shown,
        quietFrom="22:30",
        quietUntil="07:00",
        routes=routes,
        expectedVersion=0,
    )
    assert first["notificationPreferences"] == {"version": 1}
    await done(
        graph, ada.viewer, "editNotificationPreferences", shown, digest="DAILY", digestAt="18:15", expectedVersion=1
    )
    assert (await graph.ask(PREFERENCES, ada.viewer))["viewer"]["notificationPreferences"] == {
        "timeZone": "Europe/Vienna",
        "quietFrom": "22:30",
        "quietUntil": "07:00",
        "digest": "DAILY",
        "digestAt": "18:15",
        "version": 2,
        "routes": routes,
    }
    cleared = await done(
        graph,
        ada.viewer,
        "editNotificationPreferences",
        "notificationPreferences { quietFrom routes { channel } }",
        quietFrom=None,
        quietUntil=None,
        routes=[],
    )
    assert cleared["notificationPreferences"] == {"quietFrom": None, "routes": []}


@pytest.mark.parametrize(
    "given",
    [
        {"timeZone": "Europe/Nowhere"},
        {"timeZone": None},
        {"quietFrom": "22:30"},
        {"quietFrom": "22:30", "quietUntil": "22:30"},
        {"quietFrom": "24:00", "quietUntil": "07:00"},
        {"quietFrom": "9:00", "quietUntil": "10:00"},
        {"digest": None},
        {"digestAt": None},
        {"routes": None},
        {"routes": [{"eventType": "PRICE", "channel": "IN_APP"}]},
        {"routes": [{"eventType": "PRICE", "channel": "EMAIL"}] * 2},
    ],
    ids=str,
)
async def test_preferences_that_cannot_be_are_refused(database: Database, graph: Graph, given: dict[str, Any]) -> None:
    ada = await person(database)
    assert await code_of(graph, ada.viewer, "editNotificationPreferences", **given) == "INVALID_INPUT"
    assert (await graph.ask(PREFERENCES, ada.viewer))["viewer"]["notificationPreferences"]["version"] == 0


async def test_preferences_that_were_changed_meanwhile_are_not_changed(database: Database, graph: Graph) -> None:
    ada = await person(database)
    await done(graph, ada.viewer, "editNotificationPreferences", "__typename", digest="HOURLY")
    assert (
        await code_of(graph, ada.viewer, "editNotificationPreferences", digest="NONE", expectedVersion=0) == "CONFLICT"
    )


async def test_no_more_are_counted_than_are_kept_of_somebody(database: Database, graph: Graph) -> None:
    ada = await person(database)
    many = """
        INSERT INTO notifications.notifications (id, owner_id, key, event_type, severity, title)
        SELECT gen_random_uuid(), :owner_id, CAST(number AS text), 'price', 'info', 'Gold is up'
        FROM generate_series(1, 10001) AS number
    """
    async with database.transaction() as transaction:
        await transaction.connection.execute(text(many), {"owner_id": ada.id})
    assert await counts(graph, ada) == {"unread": 10_000, "critical": 0, "snoozed": 0}


@pytest.fixture
async def channels(owner: AsyncEngine) -> None:
    """The kinds of channels, as the migration makes them."""
    async with owner.begin() as connection:
        # The first test of all finds those of the migration, the others an empty table.
        kinds = upsert(Channel).values([{"kind": kind.value} for kind in ChannelKind])
        await connection.execute(kinds.on_conflict_do_nothing())


async def _switch(graph: Graph, viewer: Viewer, **more: Any) -> Any:
    shown = "channel { kind isEnabled version }"
    return await change(
        graph, viewer, "editNotificationChannel", shown, **({"kind": "EMAIL", "isEnabled": False} | more)
    )


async def test_staff_switch_channels(database: Database, graph: Graph, channels: None) -> None:
    staff = await person(database, permissions=[Scope.OPERATIONS_WRITE])
    assert await _switch(graph, staff.viewer, expectedVersion=1) == {
        "channel": {"kind": "EMAIL", "isEnabled": False, "version": 2},
        "userErrors": [],
    }
    listed = await graph.ask("{ notificationChannels { nodes { kind isEnabled } } }", staff.viewer)
    assert {node["kind"]: node["isEnabled"] for node in listed["notificationChannels"]["nodes"]} == {
        "EMAIL": False,
        "IN_APP": True,
        "SERVICE": True,
        "WEB_PUSH": True,
        "WEBHOOK": True,
    }
    (error,) = (await _switch(graph, staff.viewer, expectedVersion=1, isEnabled=True))["userErrors"]
    assert error["code"] == "CONFLICT"
    (error,) = (await _switch(graph, staff.viewer, kind="IN_APP"))["userErrors"]
    assert error["code"] == "INVALID_INPUT"


async def test_who_only_claims_to_be_staff_switches_nothing(database: Database, graph: Graph, channels: None) -> None:
    ada = await person(database)
    claiming = await session_of(database, ada.id, scopes=[Scope.OPERATIONS_WRITE, *OWN])
    (error,) = (await _switch(graph, claiming))["userErrors"]
    assert error["code"] == "NOT_GRANTED"
