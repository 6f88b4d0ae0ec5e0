"""The link of a mail ends mails of its kind: by a button or by one click, without signing in, and nothing else does."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert, select, update

from app.alerts.models import Severity
from app.core.clock import utc_now
from app.core.database import Database
from app.core.secrets import KeyRing, Secrets
from app.core.settings import Settings
from app.identity.models import User
from app.main import create_application
from app.notifications.commands.outbox import claim_due
from app.notifications.commands.preferences import edit_preferences
from app.notifications.commands.routes import GivenRoute
from app.notifications.commands.unsubscribe import unsubscribe
from app.notifications.errors import NotificationErrorCode, NotificationRefused
from app.notifications.models import ChannelKind, Digest, EventType, Preferences, Route
from app.notifications.unsubscribing import PATH, Unsubscription, read_unsubscribe_token, unsubscribe_token
from tests.core.mail_builders import Mailbox, mail_server
from tests.identity.builders import KEY_RING, SECRETS
from tests.lock_waits import until_somebody_waits
from tests.notifications.outbox_builders import deliveries, mails_by, prefers, somebody, told
from workers.deliveries import ChannelRunner

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@dataclass(frozen=True, slots=True)
class Door:
    """The API, and somebody who gets mails."""

    http: httpx.AsyncClient
    database: Database
    ada: UUID

    async def ways(self) -> dict[str, str | None]:
        """Ada's routes to mail."""
        async with self.database.transaction() as transaction:
            found = await transaction.connection.execute(
                select(Route.event_type, Route.minimum_severity).where(
                    Route.owner_id == self.ada, Route.channel == ChannelKind.EMAIL.value
                )
            )
            return {row.event_type: row.minimum_severity for row in found}

    async def version(self) -> int:
        """The version of Ada's preferences."""
        async with self.database.transaction() as transaction:
            chosen = select(Preferences.version).where(Preferences.owner_id == self.ada)
            return (await transaction.connection.scalar(chosen)) or 0

    async def choose(self, given: dict[str, Any], *, expected_version: int | None = None) -> None:
        """What Ada chooses herself."""
        async with self.database.transaction() as transaction:
            await edit_preferences(transaction, given, owner_id=self.ada, expected_version=expected_version)

    def link(self, event_type: EventType | None = EventType.PRICE) -> str:
        """A link for Ada."""
        return f"{PATH}?token={unsubscribe_token(SECRETS, Unsubscription(self.ada, event_type))}"


@pytest.fixture
async def door(database: Database, trove_settings: Settings) -> AsyncIterator[Door]:
    """The API in process."""
    application = create_application(trove_settings)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://localhost") as http,
    ):
        yield Door(http, database, await somebody(database))


async def test_the_link_in_a_mail_asks_first_and_then_ends_mails_of_its_kind(door: Door) -> None:
    mailbox = Mailbox()
    await told(door.database, door.ada, "Gold is up")
    async with mail_server(mailbox) as port:
        await ChannelRunner(door.database, ChannelKind.EMAIL, mails_by(door.database, port)).send_all()
    link = urlsplit(mailbox.message()["List-Unsubscribe"].strip("<>"))
    address = f"{link.path}?{link.query}"
    asked = await door.http.get(address)
    assert asked.status_code == 200
    assert "<form" in asked.text
    assert "about prices?" in asked.text
    # Whoever has the link learns nothing of whose it is.
    assert "ada@" not in asked.text
    assert "person-" not in asked.text
    assert asked.headers["Cache-Control"] == "no-store"
    assert await door.ways() == {}
    done = await door.http.post(address)
    assert done.status_code == 200
    assert "no more mails from Trove about prices" in done.text
    assert await door.ways() == {"price": None}
    await told(door.database, door.ada, "Gold is down", severity=Severity.CRITICAL)
    await told(door.database, door.ada, "by the rule's own way", channels=["email"])
    assert [row.title for row in await deliveries(door.database)] == ["Gold is up"]
    await told(door.database, door.ada, "The parcel left", event_type=EventType.TRACKER)
    assert [row.title for row in await deliveries(door.database)] == ["Gold is up", "The parcel left"]


async def test_one_click_of_a_program_of_mail_from_anywhere_is_enough_and_twice_is_once(door: Door) -> None:
    async with door.database.transaction() as transaction:
        # What was chosen before gives way.
        await transaction.connection.execute(
            insert(Route).values(owner_id=door.ada, event_type="want", channel="email", minimum_severity="info")
        )
    for _ in range(2):
        headers = {"Origin": "https://mail.example"}
        answer = await door.http.post(door.link(None), data=ONE_CLICK, headers=headers)
        assert answer.status_code == 200
        assert "about anything" in answer.text
    assert await door.ways() == dict.fromkeys((one.value for one in EventType), None)


async def test_a_page_of_preferences_that_was_open_meanwhile_does_not_undo_it(door: Door) -> None:
    for link in (door.link(), door.link(EventType.WANT)):
        opened = await door.version()
        assert (await door.http.post(link)).status_code == 200
        with pytest.raises(NotificationRefused) as refused:
            await door.choose({"digest": Digest.DAILY, "routes": []}, expected_version=opened)
        assert refused.value.reason is NotificationErrorCode.CONFLICT
    assert await door.ways() == {"price": None, "want": None}


async def test_who_chooses_anew_while_the_link_is_opened_is_not_refused_by_a_mistake_of_ours(door: Door) -> None:
    wish = Unsubscription(door.ada, EventType.PRICE)
    routes = [GivenRoute(EventType.PRICE, ChannelKind.EMAIL, Severity.INFO)]
    async with door.database.transaction() as transaction:
        await unsubscribe(transaction, wish)
        choosing = asyncio.create_task(door.choose({"routes": routes}))
        await until_somebody_waits(door.database)
    await choosing
    assert await door.ways() == {"price": "info"}


@pytest.mark.parametrize("digest", [Digest.NONE, Digest.HOURLY])
async def test_mails_that_wait_already_are_not_sent_any_more(digest: Digest, door: Door) -> None:
    await prefers(door.database, door.ada, digest=digest.value)
    await told(door.database, door.ada, "Gold is up")
    await told(door.database, door.ada, "The parcel left", event_type=EventType.TRACKER)
    assert (await door.http.post(door.link(), data=ONE_CLICK)).status_code == 200
    async with door.database.transaction() as transaction:
        in_an_hour = utc_now() + timedelta(hours=1)
        (parcel,) = await claim_due(transaction, ChannelKind.EMAIL, now=in_an_hour, limit=10)
    assert [one.title for one in parcel.outgoing] == ["The parcel left"]
    assert [row.status for row in await deliveries(door.database)] == ["dropped", "waiting"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_is_not_ours_does_nothing(method: str, door: Door) -> None:
    good = door.link().split("token=")[1]
    other = unsubscribe_token(Secrets(KeyRing.fresh()), Unsubscription(door.ada, EventType.PRICE))
    said, signature = good.split(".")
    all_said = unsubscribe_token(SECRETS, Unsubscription(door.ada)).split(".")[0]
    for token in ("", ".", "a", good[:-1], f"{all_said}.{signature}", f"{said}.", f".{signature}", other, "ü.ü", "%00"):
        answer = await door.http.request(method, PATH, params={"token": token})
        assert answer.status_code == 404, token
        assert "does not hold" in answer.text
    assert await door.ways() == {}


async def test_looking_ahead_does_nothing(door: Door) -> None:
    assert (await door.http.head(door.link())).status_code == 200
    assert (await door.http.post(door.link(), headers={"Sec-Purpose": "prefetch"})).status_code == 503
    assert await door.ways() == {}


async def test_of_who_was_erased_nothing_is_kept(door: Door) -> None:
    async with door.database.transaction() as transaction:
        await transaction.connection.execute(
            update(User).where(User.id == door.ada).values(deleted_at=utc_now(), email=None, email_verified_at=None)
        )
    assert (await door.http.post(door.link())).status_code == 200
    assert await door.ways() == {}


def test_a_link_outlasts_a_new_key_and_not_the_loss_of_its_own() -> None:
    wish = Unsubscription(UUID(int=7), EventType.WANT)
    token = unsubscribe_token(SECRETS, wish)
    rotated = KEY_RING.with_new_key("newer")
    assert read_unsubscribe_token(Secrets(rotated), token) == wish
    assert read_unsubscribe_token(Secrets(rotated.without(KEY_RING.current)), token) is None
