"""Mails tell of notifications over real SMTP: what they say, to whom, and past what crashes."""

import asyncio
from datetime import timedelta

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.alerts.models import Severity
from app.core.clock import utc_now
from app.core.database import Database
from app.core.mail_server import is_header_text
from app.core.settings import Settings
from app.identity.models import User
from app.notifications.commands.outbox import LEASE, claim_due
from app.notifications.models import ChannelKind, Delivery, Digest, Notification
from app.notifications.senders.email import LONGEST_SUBJECT, MOST_IN_A_DIGEST
from tests.conftest import READY_SECONDS, running
from tests.core.mail_builders import Mailbox, mail_server
from tests.notifications.outbox_builders import (
    PUBLIC_URL,
    SENDER,
    deliveries,
    mails_by,
    moved_back,
    noted,
    notifications,
    prefers,
    somebody,
    told,
    worker_to_kill,
)
from tests.outages_builders import eventually
from workers.deliveries import ChannelRunner

MARKUP = "<script>alert('x')</script> & <b>bold</b>"


async def sent(database: Database, mailbox: Mailbox) -> None:
    """Send all mails that are due."""
    async with mail_server(mailbox) as port:
        await ChannelRunner(database, ChannelKind.EMAIL, mails_by(database, port)).send_all()


def parts_of(mailbox: Mailbox) -> tuple[str, str]:
    """The text and the HTML of the only mail."""
    plain, page = mailbox.message().iter_parts()
    assert (plain.get_content_type(), page.get_content_type()) == ("text/plain", "text/html")
    return str(plain.get_content()), str(page.get_content())


async def test_a_mail_tells_of_a_notification_as_text_and_as_html(database: Database) -> None:
    ada, mailbox = await somebody(database), Mailbox()
    await prefers(database, ada, time_zone="Asia/Tokyo")
    await told(database, ada, "Gold is above €4,000", body="My notes,\nin two lines.")
    await sent(database, mailbox)
    message, (row,) = mailbox.message(), await deliveries(database)
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Gold is above €4,000")
    assert message["Message-ID"] == f"<{row.id}@trove.example>"
    assert message["List-Unsubscribe"].startswith(f"<{PUBLIC_URL}/notifications/unsubscribe?token=")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for content in parts_of(mailbox):
        assert "Gold is above €4,000" in content
        assert "My notes," in content
        assert "JST" in content
        assert "No more mails about prices" in content
        assert f"{PUBLIC_URL}/notifications/unsubscribe?token=" in content
    assert (row.status, row.attempts) == ("delivered", 1)


async def test_markup_in_what_somebody_wrote_is_shown_as_text(database: Database) -> None:
    ada, mailbox = await somebody(database), Mailbox()
    await told(database, ada, MARKUP, body=MARKUP)
    await sent(database, mailbox)
    plain, page = parts_of(mailbox)
    assert mailbox.message()["Subject"] == MARKUP
    assert plain.count(MARKUP) == 2
    assert "<script" not in page
    assert "<b>" not in page
    # In the title of the page, its heading and its paragraph.
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &lt;b&gt;bold&lt;/b&gt;") == 3


@pytest.mark.parametrize(
    "title",
    [
        "one\r\nBcc: eve@example.com",
        "one\u2028two",
        "=?utf-8?q?=0d=0aBcc:_eve@example.com?=",
        "\x1b[31mred\u202e\ud7ff",
        "x" * 3000,
        "   ",
    ],
)
async def test_a_title_of_any_kind_stays_in_its_line(title: str, database: Database) -> None:
    ada, mailbox = await somebody(database), Mailbox()
    await told(database, ada, title, body=title)
    await sent(database, mailbox)
    message = mailbox.message()
    assert is_header_text(message["Subject"])
    assert len(message["Subject"]) <= LONGEST_SUBJECT
    assert message["Bcc"] is None
    assert mailbox.envelopes[0].rcpt_tos == ["ada@example.com"]


async def test_a_digest_that_is_tried_again_is_the_same_mail_and_what_came_late_another(database: Database) -> None:
    ada, mailbox = await somebody(database), Mailbox()
    await prefers(database, ada, digest=Digest.HOURLY.value)
    await told(database, ada, "one", "two", "three")
    rows = await deliveries(database)
    await moved_back(database, timedelta(hours=1), "next_attempt_at", "digest_at")
    async with database.transaction() as transaction:
        # As if by a worker that is killed right after the mail server has taken it.
        await claim_due(transaction, ChannelKind.EMAIL, now=utc_now(), limit=10)
        one = update(Notification).where(Notification.title == "one")
        await transaction.connection.execute(one.values(read_at=utc_now()))
    await told(database, ada, "late")
    async with database.transaction() as transaction:
        late = select(Notification.id).where(Notification.title == "late").scalar_subquery()
        await transaction.connection.execute(
            update(Delivery)
            .where(Delivery.notification_id == late)
            .values(digest_at=rows[0].digest_at - timedelta(hours=1), next_attempt_at=utc_now())
        )
    await moved_back(database, LEASE)
    await sent(database, mailbox)
    late_id = (await deliveries(database))[-1].id
    assert {(mail["Message-ID"], mail["Subject"]) for mail in mailbox.messages()} == {
        (f"<{rows[0].id}@trove.example>", "2 notifications"),
        (f"<{late_id}@trove.example>", "late"),
    }


async def test_a_digest_lists_many_in_one_mail_and_says_how_many_more_there_are(database: Database) -> None:
    ada, mailbox = await somebody(database), Mailbox()
    await prefers(database, ada, digest=Digest.HOURLY.value)
    many = MOST_IN_A_DIGEST + 20
    await told(database, ada, *(f"News <{number:03}>" for number in range(many)))
    await sent(database, mailbox)
    assert mailbox.envelopes == []
    await moved_back(database, timedelta(hours=1), "next_attempt_at")
    await sent(database, mailbox)
    plain, page = parts_of(mailbox)
    rows = await deliveries(database)
    assert mailbox.message()["Subject"] == f"{many} notifications"
    assert mailbox.message()["Message-ID"] == f"<{rows[0].id}@trove.example>"
    assert "News <099>" in plain
    assert "News &lt;099&gt;" in page
    assert "News <100>" not in plain
    assert "And 20 more" in plain
    assert "And 20 more" in page
    assert {(row.status, row.attempts) for row in rows} == {("delivered", 1)}


async def test_a_digest_of_one_is_like_any_mail_and_something_critical_does_not_wait_for_it(database: Database) -> None:
    ada, mailbox = await somebody(database), Mailbox()
    await prefers(database, ada, digest=Digest.DAILY.value)
    await told(database, ada, "the house is on fire", severity=Severity.CRITICAL)
    await told(database, ada, "a quiet matter")
    await sent(database, mailbox)
    assert [message["Subject"] for message in mailbox.messages()] == ["the house is on fire"]
    await moved_back(database, timedelta(days=1), "next_attempt_at")
    await sent(database, mailbox)
    assert [message["Subject"] for message in mailbox.messages()][1:] == ["a quiet matter"]


@pytest.mark.parametrize("change", [{"email_verified_at": None}, {"email": None}])
async def test_nothing_goes_to_an_address_that_is_not_verified(change: dict[str, None], database: Database) -> None:
    ada, mailbox = await somebody(database), Mailbox()
    await told(database, ada, "Gold is up")
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(User).where(User.id == ada).values(change))
    await sent(database, mailbox)
    assert mailbox.envelopes == []
    (row,) = await deliveries(database)
    assert (row.status, row.last_error) == ("failed", "The account has no verified address.")
    await told(database, ada, "Gold is down")
    assert len(await deliveries(database)) == 1


async def test_an_address_that_the_server_refuses_is_given_up_and_one_that_it_puts_off_waits(
    database: Database,
) -> None:
    ada, mailbox = await somebody(database), Mailbox({"RCPT": "450 4.2.1 ada@example.com: later"})
    await told(database, ada, "Gold is up")
    await sent(database, mailbox)
    (row,) = await deliveries(database)
    assert (row.status, row.last_status) == ("waiting", 450)
    assert timedelta(seconds=50) < row.next_attempt_at - utc_now() < timedelta(seconds=70)
    mailbox.answers["RCPT"] = "550 5.1.1 ada@example.com: no such user"
    await moved_back(database, timedelta(minutes=2))
    await sent(database, mailbox)
    (row,) = await deliveries(database)
    assert (row.status, row.last_status, row.attempts) == ("failed", 550, 2)
    assert "@" not in row.last_error


class _Waits(Mailbox):
    """A server that does not say that it takes recipients, or mails, before it is to go on."""

    def __init__(self, *, waits_at: str) -> None:
        super().__init__()
        self.waits_at = waits_at
        self.reached = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        return await self._answer("RCPT", await super().handle_RCPT(server, session, envelope, address, options))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        return await self._answer("DATA", await super().handle_DATA(server, session, envelope))

    async def _answer(self, command: str, answer: str) -> str:
        if command == self.waits_at:
            self.reached.set()
            await self.goes_on.wait()
        return answer


async def _is_delivered(database: Database) -> bool:
    return [row.status for row in await deliveries(database)] == ["delivered"]


async def _waits_for_a_lock(owner: AsyncEngine) -> bool:
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'trove-worker'"
    async with owner.connect() as connection:
        return (await connection.execute(text(waiting))).first() is not None


async def test_a_worker_killed_before_it_sends_and_before_it_marks_leaves_the_mail_to_the_next(
    database: Database, owner: AsyncEngine, trove_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await somebody(database)
    not_sent, not_marked, mailbox = _Waits(waits_at="RCPT"), _Waits(waits_at="DATA"), Mailbox()
    monkeypatch.setenv("TROVE_MAIL_FROM", SENDER)
    await noted(database, ada, "Gold is up")
    async with mail_server(not_sent) as port:
        monkeypatch.setenv("TROVE_SMTP_URL", f"smtp://127.0.0.1:{port}")
        with worker_to_kill(trove_settings) as kill:
            await asyncio.wait_for(not_sent.reached.wait(), READY_SECONDS)
            kill()
        not_sent.goes_on.set()
    await moved_back(database, LEASE)
    async with mail_server(not_marked) as port:
        monkeypatch.setenv("TROVE_SMTP_URL", f"smtp://127.0.0.1:{port}")
        with worker_to_kill(trove_settings) as kill:
            await asyncio.wait_for(not_marked.reached.wait(), READY_SECONDS)
            async with owner.begin() as connection:
                await connection.execute(select(Delivery.id).with_for_update())
                not_marked.goes_on.set()
                await eventually("the mail is to be marked", lambda: _waits_for_a_lock(owner), within=READY_SECONDS)
                kill()
    await moved_back(database, LEASE)
    async with mail_server(mailbox) as port:
        monkeypatch.setenv("TROVE_SMTP_URL", f"smtp://127.0.0.1:{port}")
        with running(["worker"], trove_settings):
            await eventually("the mail is delivered", lambda: _is_delivered(database), within=READY_SECONDS)
    (row,) = await deliveries(database)
    assert not_sent.envelopes == []
    assert not_marked.message()["Message-ID"] == mailbox.message()["Message-ID"] == f"<{row.id}@trove.example>"
    assert row.attempts == 3
    assert len(await notifications(database)) == 1
