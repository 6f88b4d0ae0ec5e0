"""Mail is handed over by SMTP or laid into a folder; nothing leaves its place, and failures tell no tales."""

import asyncio
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.core.errors import BadUserInput
from app.core.mail import FolderPostman, InvalidMail, Mail, MailNotSent, SmtpPostman, postman_of
from app.core.mail_server import Encryption, InvalidMailSetting, MailServer, parse_sender
from app.core.settings import Settings, current_settings
from tests.core.mail_builders import (
    Mailbox,
    authenticate,
    mail_server,
    server_at,
    server_that,
    throw_away_certificate,
)

SENDER = Address("Trove", "no-reply", "trove.example")
SECRET = (
    "https://trove.example/sign-in?token=a-very-secret-token-that-is-long-enough-to-need-more-than-one-line-of-mail"
)
MAIL = Mail(to="ada@example.com", subject="Your link", text=f"Sign in:\n\n{SECRET}\n")
LOGIN = "trove:p%40ss%2Fw%3Ard@"


async def test_a_mail_arrives_with_its_headers_and_its_text() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        await SmtpPostman(server_at(port), SENDER).send(MAIL)
    (envelope,) = mailbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@trove.example", ["ada@example.com"])
    message = mailbox.message()
    assert message["From"] == "Trove <no-reply@trove.example>"
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Your link"
    assert message["Message-ID"] == f"<{MAIL.id}@trove.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.tzinfo is not None
    assert message.get_content().splitlines() == MAIL.text.splitlines()
    # Whoever looks at the source can take the link from there.
    assert SECRET.encode() in mailbox.sources()[0]


@pytest.mark.parametrize(
    "mail",
    [
        Mail(to="ada@example.com", subject="Grüße 👋\xa0!", text="Schöne Grüße\n.\n..\n.\r\nQUIT\r\n👋\n"),
        Mail(to="ada@example.com", subject="s" * 2000, text="x" * 5000 + "\n" + "ü" * 5000 + "\n"),
        Mail(to="ädä@bücher.example", subject="An address of letters", text="hello\n"),
    ],
    ids=["signs and dots", "long lines", "letters"],
)
async def test_what_is_odd_but_allowed_arrives_unchanged(mail: Mail) -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        await SmtpPostman(server_at(port), SENDER).send(mail)
    assert mailbox.message()["Subject"] == mail.subject
    assert mailbox.message().get_content().splitlines() == mail.text.splitlines()
    assert max(map(len, mailbox.sources()[0].split(b"\r\n"))) <= 998
    assert mailbox.envelopes[0].rcpt_tos == [mail.to.replace("bücher", "xn--bcher-kva")]


@pytest.mark.parametrize("control", ["\r\n", "\n", "\r", "\x00", "\x0b", "\x1b", "\x85", "\u2028", "\ud800"])
def test_control_characters_stay_out_of_addresses_and_subjects(control: str) -> None:
    injected = f"{control}Bcc: eve@example.com"
    with pytest.raises(InvalidMail, match="recipient"):
        Mail(to=f"ada@example.com{injected}", subject="", text="")
    with pytest.raises(InvalidMail, match="recipient"):
        Mail(to=f'"ada{injected}"@example.com', subject="", text="")
    with pytest.raises(InvalidMail, match="subject"):
        Mail(to="ada@example.com", subject=f"Hello{injected}", text="")
    with pytest.raises(InvalidMailSetting):
        parse_sender(f"Trove{injected} <no-reply@trove.example>")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@host.example",
        "ada@example.com, eve@example.com",
        "ada@example.com eve@example.com",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        "ada@exa mple.com",
        "=?utf-8?q?ada=0d=0aBcc:_eve?=@example.com",
        f"ada@{'a' * 64}.example",
        "ada@..",
        '"a da"@example.com',
    ],
)
def test_what_is_not_one_address_is_no_recipient(address: str) -> None:
    with pytest.raises(InvalidMail, match="recipient") as refused:
        Mail(to=address, subject="", text="")
    assert not address or address not in str(refused.value)


@pytest.mark.parametrize(
    "mail",
    [
        Mail(to="ada@example.com", subject="a", text="\r\n.\r\nMAIL FROM:<eve@example.com>\r\nBcc: eve@example.com\n"),
        Mail(to="ada@example.com", subject="a", text="Bcc: eve@example.com\n\n.\n\r.\rRSET\r"),
    ],
    ids=["end of data", "bare ends of lines"],
)
async def test_no_header_and_no_command_comes_out_of_a_mail(mail: Mail) -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        await SmtpPostman(server_at(port), SENDER).send(mail)
    names = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"]
    mechanics = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
    assert sorted(mailbox.message().keys()) == sorted(names + mechanics)
    assert mailbox.message()["From"] == str(SENDER)
    assert mailbox.envelopes[0].rcpt_tos == ["ada@example.com"]


@pytest.mark.parametrize(
    "word", ["=?utf-8?q?a=0d=0aBcc:_eve=40example.com?=", "=?utf-8?b?YQ0KQmNjOiBldmVAZXhhbXBsZS5jb20=?="]
)
def test_no_line_break_hides_in_an_encoded_word(word: str) -> None:
    with pytest.raises(InvalidMail, match="subject"):
        Mail(to="ada@example.com", subject=f"Hello {word}", text="")
    with pytest.raises(InvalidMailSetting):
        parse_sender(f"{word} <no-reply@trove.example>")


def test_a_text_holds_no_control_characters_but_ends_of_lines_and_tabs() -> None:
    with pytest.raises(InvalidMail, match="text"):
        Mail(to="ada@example.com", subject="", text="\x00")


@pytest.mark.parametrize(
    "more",
    [
        {"html": "<p>\x00</p>"},
        {"html": "<p>\ud800</p>"},
        {"unsubscribe_url": "https://trove.example/a\r\nBcc: eve@example.com"},
        {"unsubscribe_url": "https://trove.example/a>, <mailto:eve@example.com"},
        {"unsubscribe_url": "https://trove.example/a,b"},
        {"unsubscribe_url": "https://trove.example/=?utf-8?q?=0d=0a?= "},
        {"unsubscribe_url": "mailto:eve@example.com"},
        {"unsubscribe_url": "https://bücher.example/"},
        {"unsubscribe_url": f"https://trove.example/{'a' * 1000}"},
        {"unsubscribe_url": ""},
    ],
)
def test_what_would_not_stay_in_its_place_is_in_no_mail(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidMail):
        Mail(to="ada@example.com", subject="a", text="a", **more)


async def test_a_mail_with_html_has_both_and_one_click_that_unsubscribes() -> None:
    url = f"https://trove.example/notifications/unsubscribe?token={'a-B_9.' * 30}"
    html = f"<p>Grüße &amp; more</p><p>{'x' * 1200}</p>\n"
    mail = Mail(to="ada@example.com", subject="a", text="Grüße\n", html=html, unsubscribe_url=url)
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        await SmtpPostman(server_at(port), SENDER).send(mail)
    # Read as mail programs do, which know no encoded words in an address.
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in mailbox.sources()[0]
    message = mailbox.message()
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message.get_content_type() == "multipart/alternative"
    text, page = message.iter_parts()
    assert (text.get_content_type(), page.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().splitlines() == ["Grüße"]
    assert page.get_content().splitlines() == html.splitlines()
    assert max(map(len, mailbox.sources()[0].split(b"\r\n"))) <= 998


def test_a_mail_and_a_server_do_not_show_what_is_private() -> None:
    assert repr(MAIL) == f"Mail(id={MAIL.id!r})"
    server = MailServer.parse("smtps://trove:hidden@mail.example")
    assert "hidden" not in repr(server)


async def test_a_user_logs_in_over_starttls(tmp_path: Path) -> None:
    of_server, of_client = throw_away_certificate(tmp_path)
    mailbox = Mailbox()
    async with mail_server(
        mailbox, tls_context=of_server, require_starttls=True, authenticator=authenticate, auth_required=True
    ) as port:
        for scheme in ("smtp", "smtp+starttls"):
            await SmtpPostman(server_at(port, scheme, login=LOGIN), SENDER, tls_context=of_client).send(MAIL)
    assert [(session.ssl is not None, session.authenticated) for session in mailbox.sessions] == [(True, True)] * 2


async def test_a_connection_can_be_encrypted_from_the_start(tmp_path: Path) -> None:
    of_server, of_client = throw_away_certificate(tmp_path)
    mailbox = Mailbox()
    async with mail_server(mailbox, tls=of_server, authenticator=authenticate, auth_require_tls=False) as port:
        await SmtpPostman(server_at(port, "smtps", login=LOGIN), SENDER, tls_context=of_client).send(MAIL)
    assert [session.authenticated for session in mailbox.sessions] == [True]


@pytest.mark.parametrize("scheme", ["smtp", "smtp+starttls", "smtps"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, scheme: str) -> None:
    of_server, _ = throw_away_certificate(tmp_path)
    mailbox = Mailbox()
    is_encrypted = scheme == "smtps"
    async with mail_server(
        mailbox, tls=of_server if is_encrypted else None, tls_context=None if is_encrypted else of_server
    ) as port:
        with pytest.raises(MailNotSent) as failed:
            await SmtpPostman(server_at(port, scheme, login=LOGIN), SENDER).send(MAIL)
    assert not failed.value.is_permanent
    assert mailbox.envelopes == []


async def test_where_encryption_is_a_must_a_server_without_it_gets_no_mail() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        with pytest.raises(MailNotSent) as failed:
            await SmtpPostman(server_at(port, "smtp+starttls"), SENDER).send(MAIL)
    assert not failed.value.is_permanent
    assert mailbox.envelopes == []


async def test_a_wrong_password_is_for_somebody_to_put_right() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox, authenticator=authenticate, auth_require_tls=False) as port:
        with pytest.raises(MailNotSent, match="535") as failed:
            await SmtpPostman(server_at(port, login="trove:wrong@"), SENDER).send(MAIL)
    assert not failed.value.is_permanent
    assert "wrong" not in str(failed.value)


@pytest.mark.parametrize(
    ("command", "answer", "is_permanent"),
    [
        ("RCPT", "550 5.1.1 <ada@example.com>: no such user", True),
        ("RCPT", "450 4.2.1 <ada@example.com>: try later", False),
        ("DATA", "554 5.7.1 your message to ada@example.com looks bad", True),
        ("DATA", "451 4.3.0 ada@example.com: try later", False),
        ("DATA", "552 5.3.4 too big", True),
        ("MAIL", "550 5.7.1 no-reply@trove.example may not send", False),
        ("MAIL", "421 4.3.2 going down", False),
    ],
)
async def test_what_the_server_answers_decides_whether_to_try_again(
    command: str, answer: str, is_permanent: bool
) -> None:
    async with mail_server(Mailbox({command: answer})) as port:
        with pytest.raises(MailNotSent) as failed:
            await SmtpPostman(server_at(port), SENDER).send(MAIL)
    assert failed.value.is_permanent is is_permanent
    # What the server says of us, it says of all mails.
    assert failed.value.is_away is (command == "MAIL")
    assert failed.value.status == int(answer[:3])
    assert f" {answer[:9]} " in str(failed.value)
    assert "@" not in str(failed.value)
    assert failed.value.__suppress_context__


async def test_a_server_that_is_not_there_gets_the_mail_later() -> None:
    async with mail_server(Mailbox()) as port:
        pass
    with pytest.raises(MailNotSent) as failed:
        await SmtpPostman(server_at(port), SENDER).send(MAIL)
    assert not failed.value.is_permanent
    assert failed.value.is_away


async def _hangs_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def _hangs_up_after_the_mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.test\r\n")
    while line := await reader.readline():
        if line == b".\r\n":
            return
        if line.split(b" ")[0].strip() in {b"EHLO", b"MAIL", b"RCPT"}:
            writer.write(b"250 go on\r\n")
        elif line == b"DATA\r\n":
            writer.write(b"354 go on\r\n")


async def _never_answers(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _answers_byte_by_byte(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"220-still here\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _speaks_something_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 ada@example.com\r\n\r\n")
    await reader.read()


@pytest.mark.parametrize(
    "serve", [_hangs_up, _hangs_up_after_the_mail, _never_answers, _answers_byte_by_byte, _speaks_something_else]
)
async def test_a_server_that_does_not_do_what_it_should_gets_the_mail_later(serve: object) -> None:
    assert callable(serve)
    async with server_that(serve) as port:
        postman = SmtpPostman(server_at(port), SENDER, command_seconds=0.3, mail_seconds=0.6)
        with pytest.raises(MailNotSent) as failed:
            await postman.send(MAIL)
    assert not failed.value.is_permanent
    assert "@" not in str(failed.value)


async def _hangs_up_without_goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.test\r\n")
    while line := await reader.readline():
        if line.split(b" ")[0].strip() in {b"EHLO", b"MAIL", b"RCPT", b"."}:
            writer.write(b"250 go on\r\n")
        elif line == b"DATA\r\n":
            writer.write(b"354 go on\r\n")
        elif line == b"QUIT\r\n":
            return


async def test_a_mail_is_sent_once_it_was_taken_whatever_becomes_of_the_goodbye() -> None:
    async with server_that(_hangs_up_without_goodbye) as port:
        await SmtpPostman(server_at(port), SENDER).send(MAIL)


async def test_in_a_folder_mails_are_files_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet" / "there"
    postman = FolderPostman(folder, SENDER)
    await postman.send(MAIL)
    await postman.send(MAIL)
    await postman.send(Mail(to="ädä@example.com", subject="Grüße", text="Grüße\n"))
    first, second = sorted(folder.iterdir())
    assert first.name == f"{MAIL.id}.eml"
    assert [file.stat().st_mode & 0o777 for file in (folder, first, second)] == [0o700, 0o600, 0o600]
    assert SECRET in first.read_text()
    message = message_from_bytes(second.read_bytes(), policy=SMTPUTF8)
    assert isinstance(message, EmailMessage)
    assert (message["To"], message["Subject"]) == ("ädä@example.com", "Grüße")
    assert message.get_content().splitlines() == ["Grüße"]


async def test_a_folder_that_cannot_be_written_gets_the_mail_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MailNotSent) as failed:
        await FolderPostman(tmp_path / "file", SENDER).send(MAIL)
    assert not failed.value.is_permanent
    assert str(tmp_path) not in str(failed.value)


async def test_the_settings_say_who_hands_mail_over(tmp_path: Path) -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        url = SecretStr(f"smtp://127.0.0.1:{port}")
        postman = postman_of(Settings(smtp_url=url, mail_from="Trove <no-reply@trove.example>"))
        assert postman is not None
        await postman.send(MAIL)
    assert mailbox.message()["From"] == "Trove <no-reply@trove.example>"
    assert postman_of(Settings(environment="production")) is None
    postman = postman_of(Settings(environment="development", directory=tmp_path))
    assert postman is not None
    await postman.send(MAIL)
    assert [file.name for file in (tmp_path / "mail").iterdir()] == [f"{MAIL.id}.eml"]


@pytest.mark.parametrize(
    ("url", "host", "port", "encryption"),
    [
        ("smtp://mail.example", "mail.example", 587, Encryption.WHEN_OFFERED),
        ("smtp://127.0.0.1:25/", "127.0.0.1", 25, Encryption.WHEN_OFFERED),
        ("smtp+starttls://mail.example", "mail.example", 587, Encryption.STARTTLS),
        ("smtps://mail.example", "mail.example", 465, Encryption.FROM_THE_START),
        ("smtps://[::1]:2465", "::1", 2465, Encryption.FROM_THE_START),
    ],
)
def test_an_address_of_a_mail_server_is_read(url: str, host: str, port: int, encryption: Encryption) -> None:
    assert MailServer.parse(url) == MailServer(host, port, encryption)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mail.example:587", "must begin with smtp://"),
        ("http://trove:hidden@mail.example", "must begin with smtp://"),
        ("smtp://trove:hidden@mail.example:99999", "must be an address"),
        ("smtp://trove:hidden@mail.example:port", "must be an address"),
        ("smtp://trove:hidden@", "must name a host"),
        ("smtp://mail.example/hidden", "must name a host"),
        ("smtp://hidden@mail.example", "must have a user and a password"),
        ("smtp://trove:hid?den@mail.example", "must be an address"),
        ("smtp://trove:hidden@mail.example?x", "must not have"),
        ("smtp://[hidden", "must be an address"),
    ],
)
def test_what_is_no_mail_server_is_refused_by_a_sentence_that_hides_it(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROVE_SMTP_URL", url)
    monkeypatch.setenv("TROVE_MAIL_FROM", "no-reply@trove.example")
    current_settings.cache_clear()
    with pytest.raises(BadUserInput, match=f"TROVE_SMTP_URL: ({reason})") as refused:
        current_settings()
    assert "hid" not in str(refused.value)
    assert "TROVE_MAIL_FROM" not in str(refused.value)


@pytest.mark.parametrize(
    "sender", ["Trove", "a@example.com, b@example.com", "Trove <no-reply>", "group: a@example.com;", "<>", "Trove <a@b"]
)
def test_what_is_not_one_sender_is_refused(sender: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROVE_MAIL_FROM", sender)
    current_settings.cache_clear()
    with pytest.raises(BadUserInput, match="TROVE_MAIL_FROM: must be one address"):
        current_settings()


def test_a_mail_server_needs_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROVE_SMTP_URL", "smtps://mail.example")
    current_settings.cache_clear()
    with pytest.raises(BadUserInput, match="TROVE_MAIL_FROM: must be set"):
        current_settings()
