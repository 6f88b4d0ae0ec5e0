"""A mail that was posted is sent: once if nothing happens, twice at worst, and never not at all."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import select, update

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.mail import Mail, Postman, SmtpPostman
from app.core.mail_server import parse_sender
from app.core.secrets import KEY_BYTES, KeyRing, Secrets, SecretUnreadable, place_of
from app.core.settings import Settings
from app.identity.commands.post_mail import SEND_MAILS, post_mail
from app.identity.commands.send_mail import KEPT_FOR, pause_after
from app.identity.models import OutgoingMail
from tests.conftest import running
from tests.core.mail_builders import Mailbox, mail_server, server_at
from tests.identity.builders import SECRETS
from tests.outages_builders import eventually
from workers.mail import NoPostman, send_waiting_mails

SENDER = "Trove <no-reply@trove.example>"
LINK = "https://trove.example/sign-in?token=very-secret"
KEPT = ("status", "attempts", "content", "sent_at", "last_error", "next_attempt_at", "created_at")


def mail_to(name: str = "ada") -> Mail:
    """A mail with a link."""
    return Mail(to=f"{name}@example.com", subject="Your link", text=f"{LINK}\n")


async def posted(database: Database, *mails: Mail) -> None:
    """Post mails, as the role that signs people in."""
    async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        for mail in mails:
            await post_mail(transaction, SECRETS, mail)


async def row_of(database: Database, mail: Mail) -> Any:
    """What is stored of a mail; of any type, as rows are."""
    async with database.transaction() as transaction:
        columns = (getattr(OutgoingMail, name) for name in KEPT)
        return (await transaction.connection.execute(select(*columns).where(OutgoingMail.id == mail.id))).one()


async def moved_back(database: Database, **columns: timedelta) -> None:
    """Make all mails older: as if so much time had passed."""
    async with database.transaction() as transaction:
        values = {name: getattr(OutgoingMail, name) - ago for name, ago in columns.items()}
        await transaction.connection.execute(update(OutgoingMail).values(values))


def postman_at(port: int) -> Postman:
    """Hands mail to a server on loopback."""
    return SmtpPostman(server_at(port), parse_sender(SENDER))


@pytest.fixture
async def owner(database: Database, trove_settings: Settings) -> AsyncIterator[Database]:
    """The database as a member of every role."""
    assert trove_settings.database_url is not None
    assert trove_settings.redis_url is not None
    redis = connect_redis(trove_settings.redis_url)
    engine = create_engine(trove_settings.database_url, role=None, pool_size=2, application_name="tests-mails")
    opened = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    yield opened
    await opened.close()
    await redis.aclose()


async def test_a_mail_is_kept_encrypted_until_it_is_sent_and_not_after(database: Database, owner: Database) -> None:
    mail, mailbox = mail_to(), Mailbox()
    await posted(owner, mail)
    waiting = await row_of(database, mail)
    assert (waiting.status, waiting.attempts) == ("waiting", 0)
    assert b"ada@" not in waiting.content
    assert b"secret" not in waiting.content
    with pytest.raises(SecretUnreadable):
        SECRETS.decrypt(waiting.content, place_of(OutgoingMail.content, mail_to().id))
    async with mail_server(mailbox) as port:
        assert await send_waiting_mails(database, SECRETS, postman_at(port)) == 1
        assert await send_waiting_mails(database, SECRETS, postman_at(port)) == 0
    assert mailbox.message()["To"] == "ada@example.com"
    assert mailbox.message()["Message-ID"] == f"<{mail.id}@trove.example>"
    assert mailbox.message().get_content().strip() == LINK
    sent = await row_of(database, mail)
    assert (sent.status, sent.attempts, sent.content, sent.last_error) == ("sent", 1, None, None)
    assert sent.sent_at is not None


class _ChangedOurMindError(Exception):
    """What was begun is not to be."""


async def test_a_mail_of_what_was_rolled_back_is_not_sent(database: Database, owner: Database) -> None:
    with suppress(_ChangedOurMindError):
        async with owner.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
            await post_mail(transaction, SECRETS, mail_to())
            assert transaction.jobs == [SEND_MAILS]
            raise _ChangedOurMindError
    assert await send_waiting_mails(database, SECRETS, NoPostman()) == 0
    async with database.transaction() as transaction:
        assert (await transaction.connection.execute(select(OutgoingMail.id))).all() == []


async def test_two_workers_send_each_mail_once(database: Database, owner: Database) -> None:
    mails, mailbox = [mail_to(f"person-{number}") for number in range(20)], Mailbox()
    await posted(owner, *mails)
    async with mail_server(mailbox) as port:
        workers = (send_waiting_mails(database, SECRETS, postman_at(port)) for _ in range(3))
        counts = await asyncio.gather(*workers)
    assert sum(counts) == 20
    assert len([count for count in counts if count]) > 1
    assert sorted(message["To"] for message in mailbox.messages()) == sorted(mail.to for mail in mails)


async def test_what_cannot_be_sent_now_is_tried_again_after_growing_pauses(database: Database, owner: Database) -> None:
    mail, mailbox = mail_to(), Mailbox({"RCPT": "450 4.2.1 ada@example.com: try later"})
    await posted(owner, mail)
    async with mail_server(mailbox) as port:
        for attempts in (1, 2, 3):
            before = utc_now()
            assert await send_waiting_mails(database, SECRETS, postman_at(port)) == 0
            row = await row_of(database, mail)
            assert (row.status, row.attempts) == ("waiting", attempts)
            assert before + pause_after(attempts) <= row.next_attempt_at <= utc_now() + pause_after(attempts)
            assert "450 4.2.1" in row.last_error
            assert "@" not in row.last_error
            # Not before its time.
            assert await send_waiting_mails(database, SECRETS, postman_at(port)) == 0
            assert (await row_of(database, mail)).attempts == attempts
            await moved_back(database, next_attempt_at=pause_after(attempts))
        mailbox.answers.clear()
        assert await send_waiting_mails(database, SECRETS, postman_at(port)) == 1
    assert mailbox.message()["Message-ID"] == f"<{mail.id}@trove.example>"


def test_pauses_grow_from_seconds_to_an_hour_and_no_further() -> None:
    pauses = [pause_after(attempts).total_seconds() for attempts in range(1, 40)]
    assert pauses[:7] == [10, 30, 90, 270, 810, 2430, 3600]
    assert set(pauses[7:]) == {3600}


async def test_what_never_can_be_sent_is_given_up_at_once(database: Database, owner: Database) -> None:
    refused, fine = mail_to("eve"), mail_to()
    mailbox = Mailbox({"RCPT": "550 5.1.1 <eve@example.com>: no such user"})
    await posted(owner, refused)
    async with mail_server(mailbox) as port:
        assert await send_waiting_mails(database, SECRETS, postman_at(port)) == 0
        mailbox.answers.clear()
        await posted(owner, fine)
        assert await send_waiting_mails(database, SECRETS, postman_at(port)) == 1
    row = await row_of(database, refused)
    assert (row.status, row.attempts, row.content) == ("failed", 1, None)
    assert "550 5.1.1" in row.last_error
    assert "eve" not in row.last_error


@pytest.mark.parametrize("postman", [NoPostman(), SmtpPostman(server_at(1), parse_sender(SENDER))])
async def test_after_a_day_a_mail_is_given_up(postman: Postman, database: Database, owner: Database) -> None:
    mail = mail_to()
    await posted(owner, mail)
    await moved_back(database, created_at=KEPT_FOR - timedelta(minutes=1))
    assert await send_waiting_mails(database, SECRETS, postman) == 0
    assert (await row_of(database, mail)).status == "waiting"
    await moved_back(database, created_at=timedelta(minutes=1), next_attempt_at=timedelta(minutes=1))
    assert await send_waiting_mails(database, SECRETS, postman) == 0
    row = await row_of(database, mail)
    assert (row.status, row.attempts, row.content) == ("failed", 2, None)


async def test_a_mail_whose_key_is_gone_waits_for_it_and_lets_others_pass(database: Database, owner: Database) -> None:
    unreadable, fine, mailbox = mail_to("eve"), mail_to(), Mailbox()
    other_ring = Secrets(KeyRing("other", {"other": os.urandom(KEY_BYTES)}))
    async with owner.transaction() as transaction:
        await post_mail(transaction, other_ring, unreadable)
    await posted(owner, fine)
    async with mail_server(mailbox) as port:
        assert await send_waiting_mails(database, SECRETS, postman_at(port)) == 1
        assert mailbox.message()["To"] == fine.to
        row = await row_of(database, unreadable)
        assert (row.status, row.content is None) == ("waiting", False)
        assert "other is not in the ring" in row.last_error
        await moved_back(database, next_attempt_at=pause_after(1))
        assert await send_waiting_mails(database, other_ring, postman_at(port)) == 1


class _Mistaken:
    """A postman with a mistake that shows what it should not."""

    async def send(self, mail: Mail) -> None:
        raise KeyError(mail.text)


async def test_a_mistake_of_ours_with_one_mail_does_not_keep_the_others_or_tell_what_it_said(
    database: Database, owner: Database, caplog: pytest.LogCaptureFixture
) -> None:
    mails = [mail_to(), mail_to("eve")]
    await posted(owner, *mails)
    assert await send_waiting_mails(database, SECRETS, _Mistaken()) == 0
    for mail in mails:
        row = await row_of(database, mail)
        assert (row.status, row.attempts) == ("waiting", 1)
        assert row.last_error == "Sending failed by a mistake of ours: KeyError."
    assert "mail_postponed" in caplog.text
    assert "secret" not in caplog.text
    assert "ada" not in caplog.text


class _TakesAndSaysNothing(Mailbox):
    """Takes a mail, and never says so."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await super().handle_DATA(server, session, envelope)
        await asyncio.Event().wait()
        return "never"


@pytest.fixture
def mail_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a worker that sends mail; the address of the server is for the test to set."""
    monkeypatch.setenv("TROVE_MAIL_FROM", SENDER)
    return monkeypatch


async def test_a_worker_killed_while_it_sends_leaves_the_mail_to_the_next(
    database: Database, owner: Database, trove_settings: Settings, mail_environment: pytest.MonkeyPatch
) -> None:
    mail, silent, mailbox = mail_to(), _TakesAndSaysNothing(), Mailbox()
    await posted(owner, mail)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(mail_server(silent))
        mail_environment.setenv("TROVE_SMTP_URL", f"smtp://127.0.0.1:{port}")
        killed = stack.enter_context(running(["worker"], trove_settings))
        await eventually("the mail is taken", lambda: has_taken(silent, 1))
        # It is held, so nobody else sends it meanwhile.
        assert await send_waiting_mails(database, SECRETS, NoPostman()) == 0
        assert (await row_of(database, mail)).attempts == 0
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        port = await stack.enter_async_context(mail_server(mailbox))
        mail_environment.setenv("TROVE_SMTP_URL", f"smtp://127.0.0.1:{port}")
        stack.enter_context(running(["worker"], trove_settings))
        await eventually("the mail is sent", lambda: is_sent(database, mail))
    assert mailbox.message()["Message-ID"] == silent.message()["Message-ID"]


async def has_taken(mailbox: Mailbox, count: int) -> bool:
    """Whether so many mails came."""
    return len(mailbox.envelopes) >= count


async def is_sent(database: Database, mail: Mail) -> bool:
    """Whether a mail is marked so."""
    return bool((await row_of(database, mail)).status == "sent")


@pytest.mark.parametrize("is_redis_away", [False, True], ids=["with Redis", "without Redis"])
async def test_a_worker_sends_what_is_posted_while_it_runs(
    is_redis_away: bool,
    database: Database,
    owner: Database,
    trove_settings: Settings,
    mail_environment: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    earlier, later, mailbox = mail_to(), mail_to("grace"), Mailbox()
    await posted(owner, earlier)
    settings = trove_settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"} if is_redis_away else {})
    async with mail_server(mailbox) as port:
        mail_environment.setenv("TROVE_SMTP_URL", f"smtp://127.0.0.1:{port}")
        with running(["worker"], settings):
            # Its nudge may be long gone: the worker looks for itself.
            await eventually("the earlier mail is sent", lambda: is_sent(database, earlier))
            await posted(owner, later)
            await eventually("the later mail is sent", lambda: is_sent(database, later))
    assert [message["To"] for message in mailbox.messages()] == [earlier.to, later.to]
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "function 'send_mails' not found" not in said
    assert "secret" not in said
    assert "ada@" not in said
