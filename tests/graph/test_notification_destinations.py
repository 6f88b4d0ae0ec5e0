"""Browsers, webhooks and services: kept, changed and tried by their owner, and their secrets shown to nobody."""

import asyncio
import base64
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, parse_public_id, public_id
from app.core.secrets import place_of
from app.graph.context import Resources
from app.identity.actions import AuditAction
from app.identity.models import AuditEntry
from app.identity.scopes import Scope
from app.notifications.commands.destinations import after_failure
from app.notifications.commands.outbox import claim_due
from app.notifications.commands.redeliver import REDELIVERIES
from app.notifications.commands.trials import MOST_TRIALS_PER_HOUR
from app.notifications.models import Channel, ChannelKind, Delivery, Notification, PushSubscription, Service, Webhook
from app.notifications.sending import NotDelivered
from tests.graph.changing import change, code_of, done
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.notifications.outbox_builders import prefers
from tests.notifications.sender_builders import outgoing
from tests.notifications.told_people import Told, browser, in_base64url, person, tell

NO_MORE_THAN_WEBHOOKS = {Scope.ALERTS_READ, Scope.NOTIFICATIONS_READ, Scope.NOTIFICATIONS_WRITE}
WEBHOOK = {"name": "Mine", "url": "https://hooks.example.com/trove"}
SERVICE = {"name": "Phone", "address": "ntfys://ntfy.sh/hunter2"}
DOCUMENT = "query ($notificationId: ID!) { node(id: $notificationId) { id } }"
BROWSERS = "{ viewer { pushSubscriptions { id host name lastDeliveredAt } } }"
PRIVATE_URLS = (
    "http://hooks.example.com/",
    "https://",
    "https://[::ffff:10.0.0.1]/",
    "https://10.0.0.8/",
    "https://169.254.169.254/latest",
    "https://intranet/",
    "https://printer.local/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://127.1/",
    "https://user:hunter2@hooks.example.com/",
    "https://hooks.example.com/#part",
    "https://hooks.example.com/" + "a" * 2_000,
    "ftp://hooks.example.com/",
)


def key_of(id: str) -> UUID:
    """The key behind an id."""
    parsed = parse_public_id(id)
    assert parsed is not None
    assert isinstance(parsed[1], UUID)
    return parsed[1]


async def browsers(graph: Graph, told: Told) -> list[dict[str, Any]]:
    """Those of somebody."""
    return list((await graph.ask(BROWSERS, told.viewer))["viewer"]["pushSubscriptions"])


async def stored(database: Database, column: Any, id: str) -> Any:
    """What stands in a column of the row with this id, as a worker reads it."""
    async with database.transaction() as transaction:
        return await transaction.connection.scalar(select(column).where(column.class_.id == key_of(id)))


def secrets_of(graph: Graph) -> Any:
    """What the server encrypts with."""
    resources: Resources = graph.engine.resources
    return resources.identity.secrets


async def test_a_browser_is_kept_as_it_was_given_and_encrypted(database: Database, graph: Graph) -> None:
    ada, given = await person(database), browser(name=" Laptop ")
    payload = await done(graph, ada.viewer, "addPushSubscription", "pushSubscription { id host name }", **given)
    id_ = payload["pushSubscription"].pop("id")
    assert payload["pushSubscription"] == {"host": "push.example.com", "name": "Laptop"}
    ciphertext = await stored(database, PushSubscription.subscription, id_)
    place = place_of(PushSubscription.subscription, key_of(id_))
    assert orjson.loads(secrets_of(graph).decrypt(ciphertext, place)) == {
        "endpoint": given["endpoint"],
        "keys": {"p256dh": given["p256dh"], "auth": given["auth"]},
    }


async def test_browsers_are_given_one_key_of_the_server(database: Database, graph: Graph) -> None:
    ada, bob, query = await person(database), await person(database), "{ vapidPublicKey }"
    first = (await graph.ask(query, ada.viewer))["vapidPublicKey"]
    point = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))
    assert EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    assert (await graph.ask(query, bob.viewer))["vapidPublicKey"] == first


async def test_the_same_endpoint_again_replaces_its_keys(database: Database, graph: Graph) -> None:
    ada, shown = await person(database), "pushSubscription { id }"
    first = await done(graph, ada.viewer, "addPushSubscription", shown, **browser(name="Old"))
    before = await stored(database, PushSubscription.subscription, first["pushSubscription"]["id"])
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(PushSubscription).values(refusals=2))
    again = await done(graph, ada.viewer, "addPushSubscription", shown, **browser(name="New"))
    assert again == first
    assert await stored(database, PushSubscription.subscription, first["pushSubscription"]["id"]) != before
    assert await stored(database, PushSubscription.refusals, first["pushSubscription"]["id"]) == 0
    assert [one["name"] for one in await browsers(graph, ada)] == ["New"]


async def test_a_browser_tells_who_is_signed_in_there_now(database: Database, graph: Graph) -> None:
    ada, bob, given = await person(database), await person(database), browser()
    await done(graph, ada.viewer, "addPushSubscription", "__typename", **given)
    await done(graph, ada.viewer, "addPushSubscription", "__typename", **browser("https://push.example.com/send/2"))
    payload = await done(graph, bob.viewer, "addPushSubscription", "pushSubscription { id }", **given)
    assert [one["id"] for one in await browsers(graph, bob)] == [payload["pushSubscription"]["id"]]
    assert len(await browsers(graph, ada)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "https://10.0.0.8/send"},
        {"endpoint": "http://push.example.com/send"},
        {"p256dh": "garbage!"},
        {"p256dh": in_base64url(bytes(65))},
        {"p256dh": in_base64url(b"\x04" + bytes(64))},
        {"p256dh": in_base64url(b"\x04" + bytes(63))},
        {"p256dh": "A" * 10_000},
        {"auth": in_base64url(bytes(15))},
        {"auth": ""},
        {"name": "a" * 101},
        {"name": "a\nb"},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
async def test_what_no_browser_gives_is_refused(database: Database, graph: Graph, wrong: dict[str, str]) -> None:
    ada = await person(database)
    assert await code_of(graph, ada.viewer, "addPushSubscription", **(browser() | wrong)) == "INVALID_INPUT"
    assert await browsers(graph, ada) == []


async def test_a_browser_is_removed_by_its_owner(database: Database, graph: Graph) -> None:
    ada, bob = await person(database), await person(database)
    payload = await done(graph, ada.viewer, "addPushSubscription", "pushSubscription { id }", **browser())
    id_ = payload["pushSubscription"]["id"]
    assert await code_of(graph, bob.viewer, "removePushSubscription", id=id_) == "NOT_FOUND"
    removed = await done(graph, ada.viewer, "removePushSubscription", "deletedId", id=id_)
    assert removed["deletedId"] == id_
    assert await code_of(graph, ada.viewer, "removePushSubscription", id=id_) == "NOT_FOUND"


async def test_a_webhook_shows_its_secret_once(database: Database, graph: Graph) -> None:
    ada, shown = await person(database), "secret webhook { id name url eventTypes minimumSeverity isEnabled version }"
    given = {**WEBHOOK, "eventTypes": ["PRICE", "PRICE", "WANT"], "idempotencyKey": "once"}
    first = await done(graph, ada.viewer, "createWebhook", shown, **given)
    id_ = first["webhook"].pop("id")
    assert first["webhook"] == {
        "name": "Mine",
        "url": "https://hooks.example.com/trove",
        "eventTypes": ["PRICE", "WANT"],
        "minimumSeverity": "INFO",
        "isEnabled": True,
        "version": 1,
    }
    assert len(base64.b64decode(first["secret"].removeprefix("whsec_"))) == 32
    ciphertext = await stored(database, Webhook.secret, id_)
    place = place_of(Webhook.secret, key_of(id_))
    assert secrets_of(graph).decrypt(ciphertext, place).decode() == first["secret"]
    again = await done(graph, ada.viewer, "createWebhook", "secret webhook { id }", **given)
    assert again["secret"] is None
    assert again["webhook"]["id"] == id_
    assert await code_of(graph, ada.viewer, "createWebhook", **(given | {"name": "Other"})) == "IDEMPOTENCY_KEY_REUSED"


async def test_a_webhook_is_changed_and_what_is_left_out_stays(database: Database, graph: Graph) -> None:
    ada, shown = await person(database), "webhook { name url document eventTypes minimumSeverity version }"
    made = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK, document=DOCUMENT)
    id_ = made["webhook"]["id"]
    edited = await done(
        graph, ada.viewer, "editWebhook", shown, id=id_, expectedVersion=1, name="Ours", eventTypes=["TRACKER"]
    )
    assert edited["webhook"] == {
        "name": "Ours",
        "url": "https://hooks.example.com/trove",
        "document": DOCUMENT,
        "eventTypes": ["TRACKER"],
        "minimumSeverity": "INFO",
        "version": 2,
    }
    cleared = await done(
        graph, ada.viewer, "editWebhook", shown, id=id_, eventTypes=None, document=None, minimumSeverity="CRITICAL"
    )
    assert cleared["webhook"] == {
        **edited["webhook"],
        "document": None,
        "eventTypes": None,
        "minimumSeverity": "CRITICAL",
        "version": 3,
    }
    assert await code_of(graph, ada.viewer, "editWebhook", id=id_, name="Late", expectedVersion=2) == "CONFLICT"


async def test_a_webhook_gets_another_secret(database: Database, graph: Graph) -> None:
    ada = await person(database)
    made = await done(graph, ada.viewer, "createWebhook", "secret webhook { id }", **WEBHOOK)
    id_ = made["webhook"]["id"]
    rotated = await done(graph, ada.viewer, "rotateWebhookSecret", "secret webhook { version }", id=id_)
    assert rotated["secret"] != made["secret"]
    assert rotated["webhook"] == {"version": 2}
    ciphertext = await stored(database, Webhook.secret, id_)
    place = place_of(Webhook.secret, key_of(id_))
    assert secrets_of(graph).decrypt(ciphertext, place).decode() == rotated["secret"]


async def test_a_webhook_is_disabled_and_enabled_with_its_failures_forgotten(database: Database, graph: Graph) -> None:
    ada = await person(database)
    key = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Webhook).values(
                id=key,
                owner_id=ada.id,
                **WEBHOOK,
                secret=b"",
                is_enabled=False,
                failing_since=utc_now(),
                disabled_at=utc_now(),
            )
        )
    id_, shown = public_id(PublicIdTag.WEBHOOK, key), "webhook { isEnabled failingSince disabledAt }"
    enabled = await done(graph, ada.viewer, "enableWebhook", shown, id=id_)
    assert enabled["webhook"] == {"isEnabled": True, "failingSince": None, "disabledAt": None}
    disabled = await done(graph, ada.viewer, "disableWebhook", shown, id=id_)
    assert not disabled["webhook"]["isEnabled"]
    assert disabled["webhook"]["disabledAt"] is not None


async def test_the_failures_of_an_address_are_none_of_the_next(database: Database, graph: Graph) -> None:
    ada = await person(database)
    made = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK)
    id_, shown = made["webhook"]["id"], "webhook { failingSince }"
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Webhook).values(failing_since=utc_now()))
    renamed = await done(graph, ada.viewer, "editWebhook", shown, id=id_, name="Ours", url=WEBHOOK["url"])
    assert renamed["webhook"]["failingSince"] is not None
    moved = await done(graph, ada.viewer, "editWebhook", shown, id=id_, url="https://elsewhere.example.com/")
    assert moved["webhook"]["failingSince"] is None


async def test_a_webhook_is_deleted_with_what_is_on_its_way(database: Database, graph: Graph) -> None:
    ada = await person(database)
    made = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK)
    await done(graph, ada.viewer, "sendTestNotification", "__typename", destinationId=made["webhook"]["id"])
    deleted = await done(graph, ada.viewer, "deleteWebhook", "deletedId", id=made["webhook"]["id"], expectedVersion=1)
    assert deleted["deletedId"] == made["webhook"]["id"]
    listed = await graph.ask("{ viewer { webhooks { id } deliveries { totalCount } } }", ada.viewer)
    assert listed["viewer"] == {"webhooks": [], "deliveries": {"totalCount": 0}}


@pytest.mark.parametrize("url", PRIVATE_URLS, ids=lambda url: url[:40])
async def test_a_webhook_leads_to_an_address_that_everybody_can_reach(
    database: Database, graph: Graph, url: str
) -> None:
    ada = await person(database)
    payload = await change(graph, ada.viewer, "createWebhook", "webhook { id }", name="Mine", url=url)
    (error,) = payload["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID_INPUT", ["input", "url"])
    assert "hunter2" not in error["message"]


@pytest.mark.parametrize(
    "wrong", [{"name": " "}, {"eventTypes": []}, {"document": " "}, {"document": "{ nothing }"}], ids=str
)
async def test_a_webhook_that_cannot_be_is_refused(database: Database, graph: Graph, wrong: dict[str, Any]) -> None:
    ada = await person(database)
    assert await code_of(graph, ada.viewer, "createWebhook", **(WEBHOOK | wrong)) == "INVALID_INPUT"


async def test_a_document_reads_no_more_than_who_makes_the_webhook(database: Database, graph: Graph) -> None:
    ada = await person(database)
    made = await done(
        graph, ada.viewer, "createWebhook", "webhook { id scopes }", **WEBHOOK, scopes=["TRACKERS_READ", "ALERTS_READ"]
    )
    assert made["webhook"]["scopes"] == ["TRACKERS_READ"]
    edited = await done(graph, ada.viewer, "editWebhook", "webhook { scopes }", id=made["webhook"]["id"], scopes=[])
    assert edited["webhook"] == {"scopes": []}
    token = await session_of(database, ada.id, scopes=NO_MORE_THAN_WEBHOOKS)
    assert (await done(graph, token, "createWebhook", "webhook { scopes }", **WEBHOOK))["webhook"] == {"scopes": []}
    assert await code_of(graph, token, "createWebhook", **WEBHOOK, scopes=["TRACKERS_READ"]) == "INVALID_INPUT"
    assert await code_of(graph, ada.viewer, "createWebhook", **WEBHOOK, scopes=["ACCOUNTS_READ"]) == "INVALID_INPUT"
    for lacking in (Scope.ALERTS_READ, Scope.NOTIFICATIONS_READ):
        narrower = await session_of(database, ada.id, scopes=[*NO_MORE_THAN_WEBHOOKS - {lacking}])
        assert await code_of(graph, narrower, "createWebhook", **WEBHOOK) == "INVALID_INPUT", lacking


async def test_a_token_turns_no_webhook_to_what_it_may_not_read_itself(database: Database, graph: Graph) -> None:
    ada = await person(database)
    made = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK, scopes=["PORTFOLIOS_READ"])
    id_ = made["webhook"]["id"]
    token = await session_of(database, ada.id, scopes=NO_MORE_THAN_WEBHOOKS)
    for more in ({"url": "https://elsewhere.example.com/"}, {"document": DOCUMENT}, {"document": None}):
        payload = await change(graph, token, "editWebhook", "__typename", id=id_, **more)
        assert [(one["code"], one["field"]) for one in payload["userErrors"]] == [
            ("INVALID_INPUT", ["input", "scopes"])
        ]
    renamed = await done(graph, token, "editWebhook", "webhook { name url document }", id=id_, name="Ours")
    assert renamed["webhook"] == {"name": "Ours", "url": WEBHOOK["url"], "document": None}
    taken = await done(
        graph, token, "editWebhook", "webhook { url scopes }", id=id_, url="https://elsewhere.example.com/", scopes=[]
    )
    assert taken["webhook"] == {"url": "https://elsewhere.example.com/", "scopes": []}


async def test_a_service_is_kept_encrypted_and_shown_by_its_kind(database: Database, graph: Graph) -> None:
    ada, shown = await person(database), "service { id name kind isEnabled version }"
    with capture_logs() as logs:
        made = await done(graph, ada.viewer, "addNotificationService", shown, **SERVICE, idempotencyKey="once")
    again = await done(graph, ada.viewer, "addNotificationService", shown, **SERVICE, idempotencyKey="once")
    id_ = made["service"]["id"]
    assert made["service"] == {"id": id_, "name": "Phone", "kind": "ntfys", "isEnabled": True, "version": 1}
    assert again == made
    ciphertext = await stored(database, Service.address, id_)
    assert secrets_of(graph).decrypt(ciphertext, place_of(Service.address, key_of(id_))).decode() == SERVICE["address"]
    assert "hunter2" not in str(logs)
    other = SERVICE | {"address": "ntfys://ntfy.sh/other", "idempotencyKey": "once"}
    assert await code_of(graph, ada.viewer, "addNotificationService", **other) == "IDEMPOTENCY_KEY_REUSED"


async def test_a_service_is_changed_and_forgotten(database: Database, graph: Graph) -> None:
    ada = await person(database)
    made = await done(graph, ada.viewer, "addNotificationService", "service { id }", **SERVICE)
    id_, shown = made["service"]["id"], "service { name kind isEnabled version }"
    edited = await done(
        graph,
        ada.viewer,
        "editNotificationService",
        shown,
        id=id_,
        address="discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        isEnabled=False,
        expectedVersion=1,
    )
    assert edited["service"] == {"name": "Phone", "kind": "discord", "isEnabled": False, "version": 2}
    assert await code_of(graph, ada.viewer, "editNotificationService", id=id_, isEnabled=None) == "INVALID_INPUT"
    assert await code_of(graph, ada.viewer, "removeNotificationService", id=id_, expectedVersion=1) == "CONFLICT"
    removed = await done(graph, ada.viewer, "removeNotificationService", "deletedId", id=id_, expectedVersion=2)
    assert removed["deletedId"] == id_


@pytest.mark.parametrize("address", ["hunter2", "ntfys:/hunter2", "://hunter2", "json://hunter2@127.1/", "a" * 3_000])
async def test_what_is_no_address_of_a_service_is_refused_without_being_repeated(
    database: Database, graph: Graph, address: str
) -> None:
    ada = await person(database)
    payload = await change(graph, ada.viewer, "addNotificationService", "service { id }", name="Phone", address=address)
    (error,) = payload["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID_INPUT", ["input", "address"])
    assert "hunter2" not in error["message"]


async def test_twenty_of_each_is_the_most_also_where_many_come_at_once(database: Database, graph: Graph) -> None:
    ada = await person(database)
    async with database.transaction() as transaction:
        for table, values in (
            (Webhook, WEBHOOK | {"secret": b""}),
            (Service, {"name": "Phone", "kind": "ntfys", "address": b""}),
        ):
            rows = [{"id": new_id(), "owner_id": ada.id, **values} for _ in range(19)]
            await transaction.connection.execute(insert(table).values(rows))
        rows = [
            {"owner_id": ada.id, "endpoint_hash": bytes([number] * 32), "host": "push.example.com", "subscription": b""}
            for number in range(19)
        ]
        await transaction.connection.execute(insert(PushSubscription).values([{"id": new_id()} | row for row in rows]))
    for name, given in (
        ("createWebhook", [WEBHOOK, WEBHOOK]),
        ("addNotificationService", [SERVICE, SERVICE]),
        ("addPushSubscription", [browser("https://push.example.com/a"), browser("https://push.example.com/b")]),
    ):
        payloads = await asyncio.gather(*(change(graph, ada.viewer, name, "__typename", **each) for each in given))
        codes = [error["code"] for payload in payloads for error in payload["userErrors"]]
        assert codes == ["TOO_MANY"], name


async def test_what_is_somebody_elses_is_not_there(database: Database, graph: Graph) -> None:
    ada, bob = await person(database), await person(database)
    webhook = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK)
    service = await done(graph, ada.viewer, "addNotificationService", "service { id }", **SERVICE)
    for name in ("editWebhook", "rotateWebhookSecret", "enableWebhook", "disableWebhook", "deleteWebhook"):
        assert await code_of(graph, bob.viewer, name, id=webhook["webhook"]["id"]) == "NOT_FOUND"
    for name in ("editNotificationService", "removeNotificationService"):
        assert await code_of(graph, bob.viewer, name, id=service["service"]["id"]) == "NOT_FOUND"
    for id_ in (webhook["webhook"]["id"], service["service"]["id"], "garbage"):
        assert await code_of(graph, bob.viewer, "sendTestNotification", destinationId=id_) == "NOT_FOUND"


async def test_a_test_goes_to_one_destination_alone(database: Database, graph: Graph) -> None:
    ada = await person(database)
    webhook = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK)
    service = await done(graph, ada.viewer, "addNotificationService", "service { id }", **SERVICE)
    added = await done(graph, ada.viewer, "addPushSubscription", "pushSubscription { id }", **browser())
    shown = "notification { severity eventType deliveries { channel status webhook { id } service { id } "
    shown += "pushSubscription { id } } }"
    for channel, edge, id_ in (
        ("WEBHOOK", "webhook", webhook["webhook"]["id"]),
        ("SERVICE", "service", service["service"]["id"]),
        ("WEB_PUSH", "pushSubscription", added["pushSubscription"]["id"]),
    ):
        sent = await done(graph, ada.viewer, "sendTestNotification", shown, destinationId=id_, severity="WARNING")
        nowhere = {"webhook": None, "service": None, "pushSubscription": None}
        assert sent["notification"] == {
            "severity": "WARNING",
            "eventType": "ACCOUNT",
            "deliveries": [{"channel": channel, "status": "WAITING", **nowhere, edge: {"id": id_}}],
        }
    async with database.transaction() as transaction:
        channels = await transaction.connection.scalars(select(Notification.channels))
    assert list(channels) == [[], [], []]


async def test_a_test_by_routes_is_left_to_them(database: Database, graph: Graph) -> None:
    ada = await person(database)
    sent = await done(graph, ada.viewer, "sendTestNotification", "notification { deliveries { id } }")
    assert sent["notification"] == {"deliveries": []}
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(Notification.channels)) is None


async def test_ten_tests_in_an_hour_are_the_most(
    database: Database, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = utc_now().replace(minute=0, second=0, microsecond=0)
    ada, bob = await person(database), await person(database)
    monkeypatch.setattr("app.graph.context.utc_now", lambda: hour)
    for told in (ada, bob):
        for _ in range(MOST_TRIALS_PER_HOUR if told is ada else 1):
            await done(graph, told.viewer, "sendTestNotification", "__typename")
    monkeypatch.setattr("app.graph.context.utc_now", lambda: hour + timedelta(minutes=59, seconds=59))
    refused = await change(graph, ada.viewer, "sendTestNotification", "__typename")
    assert [error["code"] for error in refused["userErrors"]] == ["TOO_MANY"]
    monkeypatch.setattr("app.graph.context.utc_now", lambda: hour + timedelta(hours=1))
    await done(graph, ada.viewer, "sendTestNotification", "__typename")


async def test_deliveries_tell_what_became_of_them(database: Database, graph: Graph) -> None:
    ada = await person(database)
    id_ = await tell(database, ada, "one")
    of_ada = {"owner_id": ada.id, "notification_id": key_of(id_)}
    key = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Webhook).values(id=key, owner_id=ada.id, secret=b"", name="Mine", url="https://hooks.example.com")
        )
        now = (await transaction.connection.execute(select(func.now()))).scalar_one()
        for values in (
            {"channel": "email", "status": "delivered", "attempts": 1, "delivered_at": now},
            {"channel": "webhook", "webhook_id": key, "attempts": 2, "last_status": 503, "last_error": "It is away."},
        ):
            await transaction.connection.execute(insert(Delivery).values(id=new_id(), **of_ada, **values))
    query = """query ($status: NotificationDeliveryStatus, $channel: NotificationChannelKind) {
      viewer { deliveries(status: $status, channel: $channel) { nodes {
        channel status attempts lastStatus lastError nextAttemptAt deliveredAt notification { title } webhook { name }
      } } }
    }"""
    (waiting,) = (await graph.ask(query, ada.viewer, status="WAITING"))["viewer"]["deliveries"]["nodes"]
    assert waiting.pop("nextAttemptAt") is not None
    assert waiting == {
        "channel": "WEBHOOK",
        "status": "WAITING",
        "attempts": 2,
        "lastStatus": 503,
        "lastError": "It is away.",
        "deliveredAt": None,
        "notification": {"title": "one"},
        "webhook": {"name": "Mine"},
    }
    (mail,) = (await graph.ask(query, ada.viewer, channel="EMAIL"))["viewer"]["deliveries"]["nodes"]
    assert (mail["status"], mail["nextAttemptAt"], mail["webhook"]) == ("DELIVERED", None, None)


AGAIN = "delivery { status attempts nextAttemptAt deliveredAt }"


async def delivery_of(database: Database, owner_id: UUID, webhook_id: UUID, **columns: Any) -> str:
    """A delivery to a webhook of somebody, of something that they have read since; gives its id."""
    async with database.transaction() as transaction:
        notification_id, key = new_id(), new_id()
        await transaction.connection.execute(
            insert(Notification).values(
                id=notification_id,
                owner_id=owner_id,
                key=str(key),
                event_type="price",
                severity="info",
                title="Gold is up",
                read_at=func.now(),
                routed_at=func.now(),
            )
        )
        await transaction.connection.execute(
            insert(Delivery).values(
                id=key,
                owner_id=owner_id,
                notification_id=notification_id,
                channel="webhook",
                webhook_id=webhook_id,
                **columns,
            )
        )
    return public_id(PublicIdTag.DELIVERY, key)


@pytest.mark.parametrize("status", ["failed", "delivered", "dropped"])
async def test_a_delivery_is_sent_again_with_the_same_id_also_of_what_was_read_long_ago_and_at_night(
    database: Database, graph: Graph, status: str
) -> None:
    ada = await person(database)
    made = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK)
    month_ago = utc_now() - timedelta(days=30)
    id_ = await delivery_of(
        database,
        ada.id,
        key_of(made["webhook"]["id"]),
        status=status,
        attempts=9,
        created_at=month_ago,
        delivered_at=month_ago if status == "delivered" else None,
    )
    now = utc_now()
    hours = {"quiet_from": (now - timedelta(hours=1)).time(), "quiet_until": (now + timedelta(hours=1)).time()}
    await prefers(database, ada.id, time_zone="UTC", **hours)
    for _ in range(2):
        again = (await done(graph, ada.viewer, "redeliver", AGAIN, id=id_))["delivery"]
        assert again.pop("nextAttemptAt") is not None
        assert again == {"status": "WAITING", "attempts": 0, "deliveredAt": None}
    async with database.transaction() as transaction:
        (parcel,) = await claim_due(transaction, ChannelKind.WEBHOOK, now=utc_now(), limit=10)
    assert [(one.id, one.attempt) for one in parcel.outgoing] == [(key_of(id_), 1)]
    assert utc_now() - parcel.meant_for < timedelta(hours=1)
    # Who has it may be sending it: it is left alone.
    again = (await done(graph, ada.viewer, "redeliver", AGAIN, id=id_))["delivery"]
    assert (again["status"], again["attempts"]) == ("WAITING", 1)
    async with database.transaction() as transaction:
        assert await claim_due(transaction, ChannelKind.WEBHOOK, now=utc_now(), limit=10) == []


async def test_what_waits_for_long_is_tried_now(database: Database, graph: Graph) -> None:
    ada = await person(database)
    made = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK)
    later = utc_now() + timedelta(hours=1)
    id_ = await delivery_of(database, ada.id, key_of(made["webhook"]["id"]), attempts=7, next_attempt_at=later)
    again = (await done(graph, ada.viewer, "redeliver", AGAIN, id=id_))["delivery"]
    assert again["attempts"] == 7
    assert datetime.fromisoformat(again["nextAttemptAt"]) <= utc_now()


async def test_redelivering_takes_ones_own_delivery_an_enabled_webhook_and_patience(
    database: Database, graph: Graph
) -> None:
    ada, bob = await person(database), await person(database)
    made = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK)
    webhook_id = made["webhook"]["id"]
    id_ = await delivery_of(database, ada.id, key_of(webhook_id), status="failed")
    for viewer, wrong in ((bob.viewer, id_), (ada.viewer, webhook_id), (ada.viewer, "garbage")):
        assert await code_of(graph, viewer, "redeliver", id=wrong) == "NOT_FOUND"
    await done(graph, ada.viewer, "disableWebhook", "__typename", id=webhook_id)
    assert await code_of(graph, ada.viewer, "redeliver", id=id_) == "INVALID_INPUT"
    await done(graph, ada.viewer, "enableWebhook", "__typename", id=webhook_id)
    for _ in range(REDELIVERIES.tries):
        await done(graph, ada.viewer, "redeliver", "__typename", id=id_)
    assert await code_of(graph, ada.viewer, "redeliver", id=id_) == "TOO_MANY"


async def log_of(database: Database) -> list[tuple[str, Any, Any, Any, Any]]:
    """What the audit log has of destinations: what was done, by whom, to whose, and what was so before and after."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(AuditEntry.action, AuditEntry.actor_id, AuditEntry.subject_id, AuditEntry.before, AuditEntry.after)
            .where(AuditEntry.action != AuditAction.SIGNED_IN.value)
            .order_by(AuditEntry.occurred_at, AuditEntry.id)
        )
        return [tuple(row) for row in found]


async def test_what_becomes_of_a_webhook_is_written_down_without_its_secrets(database: Database, graph: Graph) -> None:
    ada = await person(database)
    secret_url = "https://hooks.example.com/T0/hunter2?key=hunter2"
    given = {"name": "Mine", "url": secret_url, "document": DOCUMENT, "idempotencyKey": "once"}
    made = await done(graph, ada.viewer, "createWebhook", "webhook { id } secret", **given)
    await done(graph, ada.viewer, "createWebhook", "secret", **given)
    id_ = made["webhook"]["id"]
    elsewhere = {"url": "https://elsewhere.example.com/hunter2", "name": "Mine", "document": None}
    await done(graph, ada.viewer, "editWebhook", "__typename", id=id_, **elsewhere)
    rotated = await done(graph, ada.viewer, "rotateWebhookSecret", "secret", id=id_)
    for name in ("disableWebhook", "enableWebhook", "deleteWebhook"):
        await done(graph, ada.viewer, name, "__typename", id=id_)
    key = str(key_of(id_))
    log = await log_of(database)
    assert {(actor, subject) for _, actor, subject, _, _ in log} == {(ada.id, ada.id)}
    whole: dict[str, Any] = {"name": "Mine", "scopes": [], "eventTypes": None, "minimumSeverity": "info"}
    assert [(action, before, after) for action, _, _, before, after in log] == [
        ("webhook_created", None, {"webhook": key, "host": "hooks.example.com", "hasDocument": True, **whole}),
        (
            "webhook_changed",
            {"webhook": key, "name": "Mine", "host": "hooks.example.com", "hasDocument": True},
            {"webhook": key, "host": "elsewhere.example.com", "hasDocument": False},
        ),
        ("webhook_secret_rotated", None, {"webhook": key, "name": "Mine"}),
        ("webhook_disabled", None, {"webhook": key, "name": "Mine"}),
        ("webhook_enabled", None, {"webhook": key, "name": "Mine"}),
        ("webhook_deleted", {"webhook": key, "host": "elsewhere.example.com", "hasDocument": False, **whole}, None),
    ]
    assert all(secret not in str(log) for secret in ("hunter2", made["secret"], rotated["secret"]))


async def test_what_becomes_of_services_and_browsers_is_written_down_without_their_secrets(
    database: Database, graph: Graph
) -> None:
    ada, given = await person(database), browser("https://push.example.com/hunter2", name="Laptop")
    service = await done(graph, ada.viewer, "addNotificationService", "service { id }", **SERVICE)
    id_ = service["service"]["id"]
    address = "discord://4174216298/hunter2AJHMHI8qBe7bk2ZwO5U711o3dV_js"
    await done(graph, ada.viewer, "editNotificationService", "__typename", id=id_, address=address, isEnabled=False)
    await done(graph, ada.viewer, "removeNotificationService", "__typename", id=id_)
    for _ in range(2):
        added = await done(graph, ada.viewer, "addPushSubscription", "pushSubscription { id }", **given)
    await done(graph, ada.viewer, "removePushSubscription", "__typename", id=added["pushSubscription"]["id"])
    key, of_browser = str(key_of(id_)), str(key_of(added["pushSubscription"]["id"]))
    shown = {"pushSubscription": of_browser, "host": "push.example.com", "name": "Laptop"}
    log = await log_of(database)
    assert {(actor, subject) for _, actor, subject, _, _ in log} == {(ada.id, ada.id)}
    assert [(action, before, after) for action, _, _, before, after in log] == [
        ("notification_service_added", None, {"service": key, "name": "Phone", "kind": "ntfys"}),
        (
            "notification_service_changed",
            {"service": key, "name": "Phone", "kind": "ntfys", "isEnabled": True},
            {"service": key, "kind": "discord", "isEnabled": False, "hasNewAddress": True},
        ),
        ("notification_service_removed", {"service": key, "name": "Phone", "kind": "discord"}, None),
        ("push_subscription_added", None, shown | {"isNew": True}),
        ("push_subscription_added", None, shown | {"isNew": False}),
        ("push_subscription_removed", shown, None),
    ]
    assert all(secret not in str(log) for secret in ("hunter2", given["p256dh"], given["auth"]))


async def test_what_is_disabled_by_its_failures_is_written_down_as_done_by_nobody(
    database: Database, graph: Graph
) -> None:
    ada = await person(database)
    webhook = await done(graph, ada.viewer, "createWebhook", "webhook { id }", **WEBHOOK)
    added = await done(graph, ada.viewer, "addPushSubscription", "pushSubscription { id }", **browser())
    gone = NotDelivered("The other side did not take it (status 410).", is_permanent=True, is_gone=True, status=410)
    for channel, id_ in (
        (ChannelKind.WEBHOOK, webhook["webhook"]["id"]),
        (ChannelKind.WEB_PUSH, added["pushSubscription"]["id"]),
    ):
        async with database.transaction() as transaction:
            await after_failure(transaction, outgoing(ada.id, channel, key_of(id_)), gone, now=utc_now())
    log = [entry for entry in await log_of(database) if entry[1] is None]
    assert [(action, subject) for action, _, subject, _, _ in log] == [
        ("webhook_disabled", ada.id),
        ("push_subscription_removed", ada.id),
    ]
    key = str(key_of(webhook["webhook"]["id"]))
    assert log[0][4] == {"webhook": key, "name": "Mine", "lastError": str(gone)}


async def test_a_channel_that_staff_switch_is_written_down(
    database: Database, graph: Graph, owner: AsyncEngine
) -> None:
    staff = await person(database, permissions=[Scope.OPERATIONS_WRITE])
    async with owner.begin() as connection:
        await connection.execute(insert(Channel).values(kind="webhook"))
    given = {"kind": "WEBHOOK", "isEnabled": True}
    await done(graph, staff.viewer, "editNotificationChannel", "__typename", **given)
    ((action, actor, subject, _, after),) = await log_of(database)
    assert (action, actor, subject) == ("notification_channel_switched", staff.id, None)
    assert after == {"channel": "webhook", "isEnabled": True}
