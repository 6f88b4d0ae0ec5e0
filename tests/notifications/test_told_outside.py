"""From something that happened to a browser, a webhook and a service that are told of it, each by its own wire."""

from contextlib import AsyncExitStack

import pytest
from sqlalchemy import insert
from standardwebhooks import Webhook as Receiver

from app.alerts.models import Severity
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.settings import Settings
from app.graph.webhook_payloads import check_webhook_document, open_webhook_payloads
from app.notifications.commands.notify import NewNotification, notify
from app.notifications.commands.outbox import LEASE
from app.notifications.commands.vapid_keys import vapid_key
from app.notifications.models import Delivery, EventType, Notification, PushSubscription, Service, Webhook
from app.notifications.sealed import new_webhook_secret, seal_browser, seal_service_address
from app.notifications.senders.configured import senders_of
from app.notifications.senders.service import ServiceProcess
from tests.conftest import READY_SECONDS, running
from tests.identity.builders import SECRETS
from tests.notifications.outbox_builders import moved_back, noted, worker_to_kill
from tests.notifications.sender_builders import (
    SILENCE,
    Browser,
    add_browser,
    add_service,
    add_webhook,
    client,
    listening,
    rows,
)
from tests.outages_builders import eventually
from tests.providers.builders import answer
from workers.deliveries import ChannelRunner, route_all_notifications

TAKEN = answer(b"{}")
DOCUMENT = """
query Told($notificationId: ID!) { node(id: $notificationId) { id ... on Notification { title severity eventType } } }
"""


async def test_all_who_are_told_get_it_signed_encrypted_and_once_and_who_is_gone_is_told_no_more(
    database: Database, partner: None, trove_settings: Settings
) -> None:
    browser, secret, browser_id, service_id = Browser(), new_webhook_secret(), new_id(), new_id()
    async with (
        listening() as shop,
        listening() as push_service,
        listening(answer(b"{}")) as ntfy,
        client() as http,
        open_webhook_payloads(trove_settings) as payloads,
        AsyncExitStack() as closing,
    ):
        settings = trove_settings.model_copy(update={"notification_hosts": (f"127.0.0.1:{ntfy.port}",)})
        services = ServiceProcess(settings)
        closing.push_async_callback(services.close)
        senders = senders_of(database, SECRETS, settings, http=http, answer_document=payloads, services=services)
        webhook = await add_webhook(database, shop.url(), secret=secret, document=check_webhook_document(DOCUMENT))
        endpoint = browser.endpoint(push_service.url("push.example"))
        address = f"ntfy://127.0.0.1:{ntfy.port}/my-alerts"
        async with database.transaction() as transaction:
            await vapid_key(transaction, SECRETS)
            await transaction.connection.execute(
                insert(PushSubscription).values(
                    id=browser_id,
                    owner_id=webhook.owner_id,
                    endpoint_hash=b"x" * 32,
                    host="push.example",
                    subscription=seal_browser(SECRETS, browser_id, endpoint),
                )
            )
            await transaction.connection.execute(
                insert(Service).values(
                    id=service_id,
                    owner_id=webhook.owner_id,
                    name="My phone",
                    kind="ntfy",
                    address=seal_service_address(SECRETS, service_id, address),
                )
            )

        async def tell(title: str) -> None:
            """Tell the owner something, and send it wherever it goes."""
            told = NewNotification(
                owner_id=webhook.owner_id,
                key=title,
                event_type=EventType.PRICE,
                severity=Severity.WARNING,
                title=title,
            )
            async with database.transaction() as transaction:
                await notify(transaction, [told])
            await route_all_notifications(database)
            for kind, sender in senders.items():
                await ChannelRunner(database, kind, sender).send_all()

        await tell("Charizard is above 400 EUR")
        await tell("Charizard is above 400 EUR")
        (notification,) = await rows(database, Notification)
        key = public_id(PublicIdTag.NOTIFICATION, notification.id)
        (by_webhook,), (by_push,), (by_ntfy,) = shop.taken, push_service.taken, ntfy.taken
        assert Receiver(secret).verify(by_webhook.body, dict(by_webhook.headers)) == {
            "data": {
                "node": {
                    "id": key,
                    "title": "Charizard is above 400 EUR",
                    "severity": "WARNING",
                    "eventType": "PRICE",
                }
            }
        }
        assert browser.read(by_push)["id"] == key
        assert by_ntfy.json["message"] == "Charizard is above 400 EUR"
        assert [row.status for row in await rows(database, Delivery)] == ["delivered"] * 3

        for listener in (shop, push_service):
            listener.says[:] = [answer(status="410 Gone")]
        await tell("Charizard is above 500 EUR")
        assert await rows(database, PushSubscription) == []
        (disabled,) = await rows(database, Webhook)
        assert not disabled.is_enabled
        titles = {row.title for row in await rows(database, Notification)}
        assert "The webhook My shop was disabled" in titles
        await tell("Charizard is above 600 EUR")
        assert (len(shop.taken), len(push_service.taken)) == (2, 2)


async def test_a_worker_killed_before_it_hears_an_answer_leaves_all_to_the_next_with_the_same_ids(
    database: Database, trove_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, secret = Browser(), new_webhook_secret()
    async with database.transaction() as transaction:
        await vapid_key(transaction, SECRETS)
    async with (
        listening(SILENCE, TAKEN) as shop,
        listening(SILENCE, TAKEN) as pushed,
        listening(SILENCE, TAKEN) as ntfy,
    ):
        monkeypatch.setenv("TROVE_NOTIFICATION_HOSTS", f'["127.0.0.1:{ntfy.port}"]')
        outgoing = [
            await add_webhook(database, shop.url("127.0.0.1"), secret=secret),
            await add_browser(database, browser, pushed.url("127.0.0.1")),
            await add_service(database, f"ntfy://127.0.0.1:{ntfy.port}/my-alerts"),
        ]
        for number, one in enumerate(outgoing):
            await noted(database, one.owner_id, f"Gold is up, {number}")

        async def has_asked(times: int) -> bool:
            return [len(listener.taken) for listener in (shop, pushed, ntfy)] == [times] * 3

        async def is_delivered() -> bool:
            return [row.status for row in await rows(database, Delivery)] == ["delivered"] * 3

        with worker_to_kill(trove_settings) as kill:
            await eventually("all are asked", lambda: has_asked(1), within=READY_SECONDS)
            kill()
        await moved_back(database, LEASE)
        with running(["worker"], trove_settings):
            await eventually("all is delivered", is_delivered, within=READY_SECONDS)
        assert await has_asked(2)
        first, again = shop.taken
        assert first.headers["webhook-id"] == again.headers["webhook-id"]
        assert Receiver(secret).verify(first.body, dict(first.headers)) == Receiver(secret).verify(
            again.body, dict(again.headers)
        )
        assert browser.read(pushed.taken[0]) == browser.read(pushed.taken[1])
        assert ntfy.taken[0].json == ntfy.taken[1].json
    assert [row.attempts for row in await rows(database, Delivery)] == [2] * 3
    assert len(await rows(database, Notification)) == 3
