"""What webhooks get is signed as Standard Webhooks says, and whatever they do, the harm is bounded."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, update
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from app.alerts.models import Alert
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.secrets import KeyRing, Secrets
from app.core.settings import Settings
from app.identity.scopes import OWN, Scope
from app.identity.viewer import Caller, Viewer
from app.notifications.commands.destinations import after_delivery, after_failure
from app.notifications.commands.webhooks import disable_webhook, rotate_webhook_secret
from app.notifications.errors import NotificationErrorCode, NotificationRefused
from app.notifications.models import Notification, Webhook
from app.notifications.sealed import new_webhook_secret, webhook_key
from app.notifications.senders.posting import addresses_of, posting_client
from app.notifications.senders.webhook import WebhookSender
from app.notifications.sending import NotDelivered, Outgoing, PayloadNotMade
from app.notifications.webhook_scopes import ALWAYS, check_webhook_scopes, scopes_of_webhook
from app.notifications.webhook_urls import check_webhook_url
from tests.identity.builders import SECRETS
from tests.lock_waits import until_somebody_waits
from tests.notifications.sender_builders import SILENCE, TOLD_AT, add_webhook, client, listening, rows
from tests.providers.builders import answer

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
DOWN = NotDelivered("Later.", status=503)


async def no_document(document: str, **of_whom: object) -> bytes:
    """For webhooks without a document."""
    raise AssertionError(document)


async def post(database: Database, one: Outgoing, *, secrets: Secrets = SECRETS, **how: float) -> None:
    """Send it."""
    async with client(**how) as http:
        await WebhookSender(database, secrets, http, answer_document=no_document).send([one])


async def failure_of(database: Database, one: Outgoing, **how: Any) -> NotDelivered:
    """How sending fails."""
    with pytest.raises(NotDelivered) as failed:
        await post(database, one, **how)
    return failed.value


async def test_a_receiver_verifies_what_it_gets_and_knows_it_again(database: Database) -> None:
    secret = new_webhook_secret()
    async with listening(answer(status="500 Oh No"), answer(status="204 No Content")) as shop:
        one = await add_webhook(database, shop.url(), secret=secret)
        await failure_of(database, one)
        await post(database, replace(one, attempt=2))
        first, second = shop.taken
    for taken in (first, second):
        read = Receiver(secret).verify(taken.body, dict(taken.headers))
        assert read["data"]["notification"]["title"] == "Charizard is above 400 EUR"
        assert taken.headers["webhook-id"] == public_id(PublicIdTag.DELIVERY, one.id)
        assert taken.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Receiver(new_webhook_secret()).verify(second.body, dict(second.headers))
    with pytest.raises(WebhookVerificationError):
        Receiver(secret).verify(second.body.replace(b"400", b"500"), dict(second.headers))


async def test_without_a_document_the_notification_and_its_alert_are_sent(database: Database) -> None:
    async with listening() as shop:
        one = await add_webhook(database, shop.url())
        alert_id, variant_id = new_id(), new_id()
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                insert(Alert).values(
                    id=alert_id,
                    owner_id=one.owner_id,
                    crossing="7@2026-03-09",
                    condition="crosses_above",
                    severity="warning",
                    title="Charizard is above 400 EUR",
                    variant_id=variant_id,
                    old_value=Decimal("380.00"),
                    new_value=Decimal("1E+3"),
                    threshold=Decimal(400),
                    currency="EUR",
                    series_id=7,
                    price_kind="market",
                    observed_at=TOLD_AT,
                )
            )
        await post(database, replace(one, alert_id=alert_id))
        sent = shop.taken[0].json
    assert sent["type"] == "notification.price"
    assert sent["timestamp"] == "2026-03-09T08:00:00Z"
    assert sent["data"]["notification"] == {
        "id": public_id(PublicIdTag.NOTIFICATION, one.notification_id),
        "eventType": "PRICE",
        "severity": "WARNING",
        "title": "Charizard is above 400 EUR",
        "body": "It was 380 EUR & <b>less</b>.",
    }
    told = sent["data"]["alert"]
    assert told["id"] == public_id(PublicIdTag.ALERT, alert_id)
    assert told["condition"] == "CROSSES_ABOVE"
    assert told["variantId"] == public_id(PublicIdTag.ITEM_VARIANT, variant_id)
    assert told["priceSeriesId"] == public_id(PublicIdTag.PRICE_SERIES, 7)
    assert (told["oldValue"], told["newValue"], told["threshold"]) == ("380.00", "1000", "400")
    assert (told["currency"], told["priceKind"], told["observedAt"]) == ("EUR", "MARKET", "2026-03-09T08:00:00Z")
    assert told["trackerId"] is None


@pytest.mark.parametrize(
    ("said", "status", "is_permanent", "is_gone", "retry_after"),
    [
        (answer(status="400 Bad Request"), 400, False, False, None),
        (answer(status="404 Not Found"), 404, False, False, None),
        (answer(status="410 Gone"), 410, True, True, None),
        (answer(b"x" * 20_000, status="410 Gone"), 410, True, True, None),
        (answer(status="429 Slow Down", headers="Retry-After: 60\r\n"), 429, False, False, timedelta(minutes=1)),
        (answer(status="503 Later"), 503, False, False, None),
        (answer(b"x" * 10_000_000), 200, False, False, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 200, False, False, None),
        (b"", None, False, False, None),
        (b" ", None, False, False, None),
    ],
)
async def test_each_answer_says_what_follows(
    database: Database,
    said: bytes,
    status: int | None,
    is_permanent: bool,
    is_gone: bool,
    retry_after: timedelta | None,
) -> None:
    async with listening(said) as shop:
        one = await add_webhook(database, shop.url("very-secret.example"))
        failure = await failure_of(database, one)
        assert len(shop.taken) == 1
    assert (failure.status, failure.is_permanent, failure.is_gone) == (status, is_permanent, is_gone)
    assert failure.retry_after == retry_after
    assert not isinstance(failure, PayloadNotMade)
    assert "very-secret" not in str(failure)


async def test_a_receiver_that_never_answers_is_given_up(database: Database) -> None:
    async with listening(SILENCE) as shop:
        one = await add_webhook(database, shop.url())
        failure = await failure_of(database, one, total_seconds=0.4)
    assert str(failure) == "The other side did not answer in time."
    assert not failure.is_permanent


async def test_a_redirect_is_not_followed_and_a_private_address_not_called(database: Database) -> None:
    async with listening() as elsewhere:
        moved = answer(status="307 Moved", headers=f"Location: {elsewhere.url()}\r\n")
        async with listening(moved) as shop:
            failure = await failure_of(database, await add_webhook(database, shop.url()))
        assert (failure.status, failure.is_permanent) == (307, False)
        assert (await failure_of(database, await add_webhook(database, elsewhere.url("private.example")))).is_permanent
        assert elsewhere.taken == []


async def test_only_a_developers_own_server_posts_to_this_machine(database: Database, trove_settings: Settings) -> None:
    in_production = trove_settings.model_copy(update={"environment": "production"})
    async with listening() as shop:
        one = await add_webhook(database, shop.url("localhost"))
        for settings in (in_production, trove_settings):
            async with posting_client(addresses_of(settings)) as http:
                sending = WebhookSender(database, SECRETS, http, answer_document=no_document).send([one])
                if settings is in_production:
                    with pytest.raises(NotDelivered, match="not public"):
                        await sending
                    assert shop.taken == []
                else:
                    await sending
        assert len(shop.taken) == 1


async def test_what_was_disabled_or_deleted_meanwhile_gets_nothing_and_is_not_to_blame(database: Database) -> None:
    async with listening() as shop:
        one = await add_webhook(database, shop.url(), is_enabled=False)
        failure = await failure_of(database, one)
        assert shop.taken == []
    assert isinstance(failure, PayloadNotMade)
    assert failure.is_permanent


async def test_a_secret_that_cannot_be_read_waits_for_its_key(database: Database) -> None:
    async with listening() as shop:
        one = await add_webhook(database, shop.url())
        failure = await failure_of(database, one, secrets=Secrets(KeyRing.fresh()))
        assert shop.taken == []
    assert isinstance(failure, PayloadNotMade)
    assert not failure.is_permanent


async def fail(database: Database, one: Outgoing, failure: NotDelivered, *, attempt: int, at: datetime) -> Any:
    """Count a failure; the webhook afterwards."""
    async with database.transaction() as transaction:
        await after_failure(transaction, replace(one, attempt=attempt), failure, now=at)
    (row,) = await rows(database, Webhook)
    return row


async def test_a_webhook_that_failed_for_a_day_is_disabled_and_its_owner_told(database: Database) -> None:
    one = await add_webhook(database, "https://hooks.example/")
    assert (await fail(database, one, DOWN, attempt=1, at=NOW)).failing_since == NOW
    nearly = NOW + timedelta(hours=23, minutes=59)
    assert (await fail(database, one, DOWN, attempt=5, at=nearly)).is_enabled
    # The first attempt after a long time alone proves nothing.
    assert (await fail(database, one, DOWN, attempt=1, at=NOW + timedelta(days=2))).is_enabled
    assert await rows(database, Notification) == []
    over = NOW + timedelta(days=2, minutes=1)
    row = await fail(database, one, DOWN, attempt=2, at=over)
    assert (row.is_enabled, row.disabled_at, row.failing_since, row.version) == (False, over, NOW, 2)
    # What was on its way meanwhile says nothing more.
    await fail(database, one, DOWN, attempt=3, at=over + timedelta(minutes=1))
    (told,) = await rows(database, Notification)
    assert (told.owner_id, told.event_type, told.severity) == (one.owner_id, "account", "warning")
    assert told.title == "The webhook My shop was disabled"


async def test_a_webhook_that_took_something_begins_anew(database: Database) -> None:
    one = await add_webhook(database, "https://hooks.example/")
    await fail(database, one, DOWN, attempt=1, at=NOW)
    async with database.transaction() as transaction:
        await after_delivery(transaction, one, now=NOW + timedelta(hours=20))
    (row,) = await rows(database, Webhook)
    assert (row.failing_since, row.last_delivered_at) == (None, NOW + timedelta(hours=20))
    later = NOW + timedelta(hours=30)
    row = await fail(database, one, DOWN, attempt=2, at=later)
    assert (row.is_enabled, row.failing_since) == (True, later)


async def test_a_webhook_that_says_it_is_gone_is_disabled_at_once(database: Database) -> None:
    one = await add_webhook(database, "https://hooks.example/")
    gone = NotDelivered("No.", is_permanent=True, is_gone=True, status=410)
    row = await fail(database, one, gone, attempt=1, at=NOW)
    assert (row.is_enabled, row.disabled_at) == (False, NOW)
    (told,) = await rows(database, Notification)
    assert told.body is not None
    assert told.body.startswith("It answered that it is gone.")


async def test_what_could_not_be_made_is_no_failure_of_the_webhook(database: Database) -> None:
    one = await add_webhook(database, "https://hooks.example/")
    row = await fail(database, one, PayloadNotMade("The document could not be answered."), attempt=3, at=NOW)
    assert row.failing_since is None


async def test_a_failure_of_one_webhook_is_none_of_another(database: Database) -> None:
    one = await add_webhook(database, "https://hooks.example/")
    other = await add_webhook(database, "https://hooks.example/", owner_id=one.owner_id)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Webhook).values(failing_since=NOW - timedelta(days=3)))
        await after_failure(transaction, replace(one, attempt=2), DOWN, now=NOW)
    enabled: dict[UUID, bool] = {row.id: row.is_enabled for row in await rows(database, Webhook)}
    assert enabled == {one.destination_id: False, other.destination_id: True}


async def test_who_changes_a_webhook_waits_for_who_does_so_already(database: Database) -> None:
    one = await add_webhook(database, "https://hooks.example/")
    key, caller = one.destination_id, Caller(Viewer(user_id=one.owner_id))
    assert key is not None

    async def disable() -> None:
        async with database.transaction() as transaction:
            await disable_webhook(transaction, key, caller=caller, expected_version=1)

    async with database.transaction() as transaction:
        await rotate_webhook_secret(transaction, SECRETS, key, caller=caller, expected_version=1)
        disabling = asyncio.create_task(disable())
        await until_somebody_waits(database)
    with pytest.raises(NotificationRefused) as refused:
        await disabling
    assert refused.value.reason is NotificationErrorCode.CONFLICT


def test_a_secret_holds_32_bytes_and_is_never_the_same() -> None:
    first, second = new_webhook_secret(), new_webhook_secret()
    assert first != second
    assert len(webhook_key(first)) == 32
    for bad in ("", first.removeprefix("whsec_"), "whsec_%"):
        with pytest.raises(ValueError, match="secret"):
            webhook_key(bad)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/trove?key=1",
        "https://hooks.example.com:8443/",
        "https://8.8.8.8/",
        "https://[2001:4860:4860::8888]/a",
        "HTTPS://Hooks.Example.com/",
        "https://xn--bcher-kva.example/",
        "https://hooks.example.com./",
    ],
)
def test_a_url_of_the_public_network_may_be_called(url: str) -> None:
    assert check_webhook_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://",
        "https:///path",
        "https://user@hooks.example.com/",
        "https://user:password@hooks.example.com/",
        "https://hooks.example.com/#there",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\n",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://hooks.example.com\\there",
        "https://bücher.example/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:a00:1]/",
        "https://[::10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[fe80::1%25eth0]/",
        "https://[fd00::1]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://hooks.example.com:443@127.0.0.1/",
        "https://127%2e0%2e0%2e1/",
        "https://0177.0.0.0x1/",
        "https://localhost/",
        "https://shop/",
        "https://shop.local/",
        "https://shop.internal./",
        "https://LOCALHOST/",
        "https://shop.localhost/",
        "https://shop.intranet/",
        "https://shop.lan/",
        "https://shop.home/",
        "https://shop.corp/",
        "https://shop.private/",
        "https://1.0.0.10.in-addr.arpa/",
        "https://shop.onion/",
        "https://a..example/",
        "https://hooks.example.com/" + "x" * 2_000,
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        check_webhook_url(url)
    assert refused.value.argument == "url"


def test_a_developers_own_server_may_tell_itself() -> None:
    for url in ("http://127.0.0.1:9000/", "http://localhost:9000/", "https://[::1]/"):
        assert check_webhook_url(url, is_development=True) == url
        with pytest.raises(BadUserInput):
            check_webhook_url(url)
    for url in ("http://hooks.example.com/", "https://10.0.0.1/"):
        with pytest.raises(BadUserInput):
            check_webhook_url(url, is_development=True)


def test_nobody_gives_a_webhook_what_they_do_not_have() -> None:
    assert check_webhook_scopes(["trackers:read", "portfolios:read", "alerts:read", "portfolios:read"], OWN) == [
        "portfolios:read",
        "trackers:read",
    ]
    for chosen, own in (
        (["portfolios:write"], OWN),
        (["accounts:read"], frozenset(Scope)),
        (["everything"], OWN),
        (["portfolios:read"], ALWAYS | {Scope.NOTIFICATIONS_WRITE, Scope.TRACKERS_READ}),
        # Not even what it reads in any case.
        ([], OWN - {Scope.ALERTS_READ}),
        ([], OWN - {Scope.NOTIFICATIONS_READ}),
    ):
        with pytest.raises(BadUserInput) as refused:
            check_webhook_scopes(chosen, own)
        assert refused.value.argument == "scopes"
    assert scopes_of_webhook(["portfolios:read", "roles:write"]) == {
        Scope.ALERTS_READ,
        Scope.NOTIFICATIONS_READ,
        Scope.PORTFOLIOS_READ,
    }
