"""What is pushed is read by the browser alone, and signed so that its push service knows by whom."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from sqlalchemy import delete, insert, select, update

from app.alerts.models import Severity
from app.core.clock import utc_now
from app.core.database import Database, DatabaseViewer, Transaction
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.settings import Settings
from app.identity.viewer import Caller, Viewer
from app.notifications.commands.destinations import after_delivery, after_failure
from app.notifications.commands.push_subscriptions import add_push_subscription
from app.notifications.commands.services import MOST_SERVICES, ServiceAddress, add_service
from app.notifications.commands.vapid_keys import vapid_key
from app.notifications.errors import NotificationErrorCode, NotificationRefused
from app.notifications.models import ChannelKind, PushSubscription, Service, VapidKey
from app.notifications.sealed import seal_browser
from app.notifications.senders.web_push import LARGEST_PAYLOAD_BYTES, WebPushSender, contact_of, push_payload
from app.notifications.sending import NotDelivered, Outgoing
from tests.identity.builders import SECRETS
from tests.lock_waits import until_somebody_waits
from tests.notifications.outbox_builders import somebody
from tests.notifications.sender_builders import (
    SILENCE,
    Browser,
    Taken,
    add_browser,
    client,
    listening,
    outgoing,
    rows,
)
from tests.notifications.told_people import browser
from tests.providers.builders import answer

CONTACT = "mailto:operator@trove.example"


async def subscribed_key(database: Database) -> bytes:
    """The key that a browser subscribes with now."""
    async with database.transaction() as transaction:
        return await vapid_key(transaction, SECRETS)


def claims_of(taken: Taken, public_key: bytes) -> dict[str, object]:
    """What the signature says, verified by the key that the browser subscribed with, as a push service does it."""
    scheme, _, rest = taken.headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert scheme == "vapid"
    assert base64.urlsafe_b64decode(parts["k"] + "==") == public_key
    x, y = (base64.urlsafe_b64encode(half).rstrip(b"=").decode() for half in (public_key[1:33], public_key[33:]))
    key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    return jwt.decode(parts["t"], key, algorithms=["ES256"]).claims


async def push(database: Database, one: Outgoing, **how: float) -> None:
    """Push it."""
    async with client(**how) as http:
        await WebPushSender(database, SECRETS, http, contact=CONTACT).send([one])


async def failure_of(database: Database, one: Outgoing, **how: float) -> NotDelivered:
    """How pushing fails."""
    with pytest.raises(NotDelivered) as failed:
        await push(database, one, **how)
    return failed.value


async def test_a_browser_reads_what_its_push_service_was_handed_signed(database: Database) -> None:
    public_key = await subscribed_key(database)
    browser = Browser()
    async with listening() as push_service:
        url = push_service.url("push.example")
        one = await add_browser(database, browser, url)
        await push(database, one)
        (taken,) = push_service.taken
    notification = public_id(PublicIdTag.NOTIFICATION, one.notification_id)
    assert browser.read(taken) == {
        "id": notification,
        "title": "Charizard is above 400 EUR",
        "body": "It was 380 EUR & <b>less</b>.",
        "severity": "WARNING",
        "url": f"/notifications/{notification}",
    }
    claims = claims_of(taken, public_key)
    assert claims["aud"] == f"http://push.example:{push_service.port}"
    assert claims["sub"] == CONTACT
    expires = datetime.fromtimestamp(float(str(claims["exp"])), UTC)
    assert timedelta(hours=1) < expires - utc_now() < timedelta(hours=24)
    assert taken.path == "/told"
    assert taken.headers["content-encoding"] == "aes128gcm"
    assert taken.headers["topic"] == one.notification_id.hex
    assert (taken.headers["ttl"], taken.headers["urgency"]) == ("86400", "high")


async def test_what_matters_little_is_no_hurry(database: Database) -> None:
    await subscribed_key(database)
    async with listening() as push_service:
        one = await add_browser(database, Browser(), push_service.url())
        await push(database, replace(one, severity=Severity.INFO))
        assert push_service.taken[0].headers["urgency"] == "normal"


@pytest.mark.parametrize("letter", ["x", "ü", "👜", '"', "\\", "\n", "\u0001"])
def test_a_long_text_is_cut_to_what_push_services_take(letter: str) -> None:
    one = outgoing(new_id(), ChannelKind.WEB_PUSH, new_id(), title=letter * 500, body=letter * 5_000)
    payload = push_payload(one)
    assert LARGEST_PAYLOAD_BYTES - 200 < len(payload) <= LARGEST_PAYLOAD_BYTES


@pytest.mark.parametrize(
    ("said", "is_permanent", "is_gone", "retry_after"),
    [
        (answer(status="400 Bad Request"), True, False, None),
        (answer(status="403 Forbidden"), True, False, None),
        (answer(status="404 Not Found"), True, True, None),
        (answer(status="410 Gone"), True, True, None),
        (answer(status="413 Too Large"), True, False, None),
        (answer(status="302 Found", headers="Location: https://elsewhere.example/\r\n"), True, False, None),
        (answer(status="429 Slow Down", headers="Retry-After: 120\r\n"), False, False, timedelta(seconds=120)),
        (answer(status="500 Oh No"), False, False, None),
        (answer(status="503 Later", headers="Retry-After: 30\r\n"), False, False, timedelta(seconds=30)),
        (answer(b"x" * 20_000, status="201 Created"), False, False, None),
        (b"220 mail.test ESMTP\r\n", False, False, None),
        (SILENCE, False, False, None),
    ],
)
async def test_each_answer_says_what_follows(
    database: Database, said: bytes, is_permanent: bool, is_gone: bool, retry_after: timedelta | None
) -> None:
    await subscribed_key(database)
    async with listening(said) as push_service:
        one = await add_browser(database, Browser(), push_service.url("very-secret.example"))
        failure = await failure_of(database, one, total_seconds=0.4 if said == SILENCE else 10.0)
        assert len(push_service.taken) == 1
    assert (failure.is_permanent, failure.is_gone, failure.retry_after) == (is_permanent, is_gone, retry_after)
    assert "very-secret" not in str(failure)


async def test_an_endpoint_that_leads_into_a_private_network_is_not_called(database: Database) -> None:
    await subscribed_key(database)
    async with listening() as push_service:
        one = await add_browser(database, Browser(), push_service.url("private.example"))
        failure = await failure_of(database, one)
        assert push_service.taken == []
    assert failure.is_permanent
    assert not failure.is_gone


async def test_a_browser_that_unsubscribed_gets_nothing(database: Database) -> None:
    one = await add_browser(database, Browser(), "http://push.example/")
    assert (await failure_of(database, one)).is_permanent
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(PushSubscription))
    assert (await failure_of(database, one)).is_permanent


async def test_keys_that_no_browser_gives_fail_for_good(database: Database) -> None:
    await subscribed_key(database)
    browser = Browser()
    one = await add_browser(database, browser, "http://push.example/")
    assert one.destination_id is not None
    off_the_curve = replace(browser.endpoint("http://push.example/"), p256dh=b"\x04" + b"\x01" * 64)
    sealed = seal_browser(SECRETS, one.destination_id, off_the_curve)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(PushSubscription).values(subscription=sealed))
    assert (await failure_of(database, one)).is_permanent


async def test_a_browser_that_is_gone_is_forgotten(database: Database) -> None:
    one = await add_browser(database, Browser(), "http://push.example/")
    async with database.transaction() as transaction:
        await after_failure(transaction, one, NotDelivered("No.", is_gone=True, status=410), now=utc_now())
    assert await rows(database, PushSubscription) == []


async def test_a_browser_is_forgotten_once_its_push_service_forbids_it_three_times_in_a_row(database: Database) -> None:
    forbidden, down = NotDelivered("No.", status=403), NotDelivered("Later.", status=500)
    one = await add_browser(database, Browser(), "http://push.example/")
    for failure in (forbidden, forbidden, down, None, forbidden, forbidden):
        async with database.transaction() as transaction:
            if failure is None:
                await after_delivery(transaction, one, now=utc_now())
            else:
                await after_failure(transaction, one, failure, now=utc_now())
    (row,) = await rows(database, PushSubscription)
    assert row.refusals == 2
    assert row.last_delivered_at is not None
    async with database.transaction() as transaction:
        await after_failure(transaction, one, forbidden, now=utc_now())
    assert await rows(database, PushSubscription) == []


async def test_all_who_ask_at_once_for_the_first_key_get_the_same(api_database: Database) -> None:
    first, *others = await asyncio.gather(*(subscribed_key(api_database) for _ in range(4)))
    assert len(first) == 65
    assert set(others) == {first}


async def test_of_two_who_give_the_same_browser_at_once_the_later_one_is_told(
    database: Database, api_database: Database
) -> None:
    given, (ada, eve) = browser(), [await somebody(database, address=address) for address in ("a@b.example", None)]
    has_added, may_end = asyncio.Event(), asyncio.Event()

    async def add(owner_id: UUID) -> None:
        async with api_database.transaction(viewer=DatabaseViewer(owner_id)) as transaction:
            await add_push_subscription(transaction, SECRETS, caller=Caller(Viewer(user_id=owner_id)), **given)
            has_added.set()
            await may_end.wait()

    first = asyncio.create_task(add(ada))
    await has_added.wait()
    second = asyncio.create_task(add(eve))
    await until_somebody_waits(database)
    may_end.set()
    await asyncio.gather(first, second)
    async with database.transaction() as transaction:
        owners = await transaction.connection.scalars(select(PushSubscription.owner_id))
    assert list(owners) == [eve]


async def test_who_adds_two_at_once_has_no_more_than_twenty(database: Database, api_database: Database) -> None:
    ada = await somebody(database)
    phone = ServiceAddress("ntfys://my-alerts", "ntfys")
    rows = [{"id": new_id(), "owner_id": ada} for _ in range(MOST_SERVICES - 1)]
    async with database.transaction() as transaction:
        services = [one | {"name": "Phone", "kind": "ntfys", "address": b""} for one in rows]
        await transaction.connection.execute(insert(Service).values(services))
        hashes = [one | {"endpoint_hash": bytes([place] * 32)} for place, one in enumerate(rows)]
        browsers = [one | {"host": "push.example", "subscription": b""} for one in hashes]
        await transaction.connection.execute(insert(PushSubscription).values(browsers))

    async def add_phone(transaction: Transaction) -> None:
        await add_service(transaction, SECRETS, caller=Caller(Viewer(user_id=ada)), name="Phone", address=phone)

    async def add_browser(transaction: Transaction) -> None:
        endpoint = f"https://push.example.com/{new_id()}"
        await add_push_subscription(transaction, SECRETS, caller=Caller(Viewer(user_id=ada)), **browser(endpoint))

    async def refusal_of(add: Callable[[Transaction], Awaitable[None]]) -> NotificationErrorCode:
        with pytest.raises(NotificationRefused) as refused:
            async with api_database.transaction(viewer=DatabaseViewer(ada)) as transaction:
                await add(transaction)
        return refused.value.reason

    for add in (add_phone, add_browser):
        async with api_database.transaction(viewer=DatabaseViewer(ada)) as transaction:
            await add(transaction)
            second = asyncio.create_task(refusal_of(add))
            await until_somebody_waits(database)
        assert await second is NotificationErrorCode.TOO_MANY


async def test_a_browser_is_signed_for_with_the_key_it_subscribed_with(database: Database) -> None:
    long_ago = utc_now() - timedelta(days=30)
    old_key = await subscribed_key(database)
    async with database.transaction() as transaction:
        old = (await transaction.connection.execute(select(*VapidKey.__table__.columns))).one()
        await transaction.connection.execute(delete(VapidKey))
    new_key = await subscribed_key(database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(VapidKey).values(**dict(old._mapping) | {"created_at": long_ago}))
    assert await subscribed_key(database) == new_key != old_key
    async with listening() as push_service:
        before = await add_browser(database, Browser(), push_service.url(), created_at=long_ago + timedelta(days=1))
        first_of_all = await add_browser(
            database, Browser(), push_service.url(), created_at=long_ago - timedelta(days=1)
        )
        now = await add_browser(database, Browser(), push_service.url())
        for one, key in ((before, old_key), (first_of_all, old_key), (now, new_key)):
            await push(database, one)
            assert claims_of(push_service.taken[-1], key)["sub"] == CONTACT


def test_push_services_are_told_where_to_find_the_operator(trove_settings: Settings) -> None:
    mailing = trove_settings.model_copy(update={"mail_from": "Trove <no-reply@trove.example>"})
    assert contact_of(mailing) == "mailto:no-reply@trove.example"
    assert contact_of(trove_settings.model_copy(update={"public_url": "https://api.example"})) == "https://api.example"
