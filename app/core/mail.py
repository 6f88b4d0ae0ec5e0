"""Mail: what is sent, and the postmen who hand it over to an SMTP server or lay it into a folder."""

import asyncio
import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, Policy
from pathlib import Path
from typing import Protocol
from uuid import UUID

from aiosmtplib import (
    SMTP as SmtpClient,  # noqa: N811  # the name of a class, which is an abbreviation
)
from aiosmtplib import SMTPDataError, SMTPException, SMTPRecipientRefused, SMTPRecipientsRefused, SMTPResponseException

from app.core.clock import utc_now
from app.core.embedded import default_directory
from app.core.ids import new_id
from app.core.mail_server import Encryption, MailServer, address_of, has_controls, is_header_text, parse_sender
from app.core.settings import Settings

# Of one command, of the whole of a mail, and of the farewell after it.
COMMAND_SECONDS = 20.0
MAIL_SECONDS = 60.0
GOODBYE_SECONDS = 2.0
FIRST_PERMANENT_CODE = 500
# Where mails lie on a laptop, within the directory of the private services.
MAIL_FOLDER = "mail"
SENDER_OF_DEVELOPMENT = "Trove <no-reply@trove.example>"


class _UnfoldedHeader(UnstructuredHeader, BaseHeader):
    """A header on one line, whatever policy it is written by: a long address would become encoded words."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("list-unsubscribe", _UnfoldedHeader)
# Lines up to the limit of SMTP are written as they are, so that a link stays whole for people who read the source.
_POLICY = SMTP.clone(max_line_length=998, cte_type="7bit", header_factory=_HEADERS)
# What may stand within <> in a header: letters, digits and signs of a URL, of which a comma would begin another one.
_URL_IN_HEADER = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+;=%]{1,900}")
_ENHANCED_CODE = re.compile(r"\d\.\d{1,3}\.\d{1,3}(?!\d)")


class InvalidMail(ValueError):
    """A mail cannot be written like this; the message says why, and nothing of the mail."""


class MailNotSent(Exception):
    """A mail was not handed over; `is_permanent` when it never will be. The message holds nothing of the mail.

    `is_away`: no other mail could be handed over now either. `status` is the server's, where it said one.
    """

    def __init__(self, message: str, *, is_permanent: bool, is_away: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.is_away = is_away
        self.status = status


@dataclass(frozen=True, slots=True)
class Mail:
    """A text for one address. Its `id` becomes the Message-ID: who gets it twice can tell that it is one mail.

    `html` is the same for readers who prefer it. Who sends a POST to `unsubscribe_url` gets no more of its kind, as
    programs of mail do by one click (RFC 8058). Raises InvalidMail for what would not stay in its place, such as a
    subject with a line break.
    """

    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    id: UUID = field(default_factory=new_id, kw_only=True)
    html: str | None = field(default=None, repr=False, kw_only=True)
    unsubscribe_url: str | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        try:
            address_of(self.to)
        except ValueError as error:
            raise InvalidMail(f"The recipient is not right: {error}.") from None
        if not is_header_text(self.subject):
            raise InvalidMail("A subject is one line without control characters and without encoded words.")
        if any(has_controls(re.sub(r"[\r\n\t]", "", text)) for text in (self.text, self.html or "")):
            raise InvalidMail("A text has lines and tabs, but no other control characters.")
        if self.unsubscribe_url is not None and not _URL_IN_HEADER.fullmatch(self.unsubscribe_url):
            raise InvalidMail("An address to unsubscribe at begins with https:// or http://, and is of ASCII.")


class Postman(Protocol):
    """Hands mail over."""

    async def send(self, mail: Mail) -> None:
        """Hand over one mail; raises MailNotSent."""


class SmtpPostman:
    """Hands mail over to an SMTP server, each on a connection of its own."""

    def __init__(
        self,
        server: MailServer,
        sender: Address,
        *,
        tls_context: ssl.SSLContext | None = None,
        command_seconds: float = COMMAND_SECONDS,
        mail_seconds: float = MAIL_SECONDS,
    ) -> None:
        self._server = server
        self._sender = sender
        self._tls_context = tls_context
        self._command_seconds = command_seconds
        self._mail_seconds = mail_seconds

    async def send(self, mail: Mail) -> None:
        """Hand over one mail; returns once the server has taken it, and raises MailNotSent.

        Only what the server says of the recipient or of the content is permanent. What it says of us, such as of the
        login, somebody can put right while the mail waits.
        """
        message = message_of(mail, self._sender)
        client = self._client()
        try:
            async with asyncio.timeout(self._mail_seconds):
                await client.connect()
                await client.send_message(message)
                await _say_goodbye(client)
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            # Neither the answer nor the error goes on: both may repeat the address.
            raise _not_sent(error) from None
        finally:
            client.close()

    def _client(self) -> SmtpClient:
        server = self._server
        starts_with_tls = server.encryption is Encryption.FROM_THE_START
        must_start_tls = {Encryption.WHEN_OFFERED: None, Encryption.STARTTLS: True, Encryption.FROM_THE_START: False}
        return SmtpClient(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=None if server.password is None else server.password.get_secret_value(),
            # Else the library asks DNS what this machine is called.
            local_hostname=self._sender.domain,
            timeout=self._command_seconds,
            use_tls=starts_with_tls,
            start_tls=must_start_tls[server.encryption],
            tls_context=self._tls_context,
        )


class FolderPostman:
    """Lays mail into a folder, as `.eml` files that only their owner reads: for development without a mail server."""

    def __init__(self, folder: Path, sender: Address) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Write one mail, named by its id; raises MailNotSent when the folder cannot be written."""
        content = message_of(mail, self._sender).as_bytes(policy=SMTPUTF8)
        try:
            await asyncio.to_thread(self._write, f"{mail.id}.eml", content)
        except OSError as error:
            message = f"The folder of mails refused it: {type(error).__name__}."
            raise MailNotSent(message, is_permanent=False, is_away=True) from None

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._folder / f".{name}-{new_id()}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        unfinished.replace(self._folder / name)


def postman_of(settings: Settings) -> Postman | None:
    """Who hands over mail by these settings; without a mail server a folder in development, and nobody in production.

    The folder is `mail` in the directory of the private services.
    """
    if settings.smtp_url is not None and settings.mail_from is not None:
        return SmtpPostman(MailServer.parse(settings.smtp_url.get_secret_value()), parse_sender(settings.mail_from))
    if settings.is_development:
        folder = (settings.directory or default_directory()) / MAIL_FOLDER
        return FolderPostman(folder, parse_sender(settings.mail_from or SENDER_OF_DEVELOPMENT))
    return None


def message_of(mail: Mail, sender: Address) -> EmailMessage:
    """The mail as a message of RFC 5322."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = address_of(mail.to)
    message["Subject"] = mail.subject
    message["Date"] = utc_now()
    message["Message-ID"] = f"<{mail.id}@{sender.domain}>"
    # Nobody's out-of-office note is to answer it.
    message["Auto-Submitted"] = "auto-generated"
    if mail.unsubscribe_url is not None:
        message["List-Unsubscribe"] = f"<{mail.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message


async def _say_goodbye(client: SmtpClient) -> None:
    # The mail is taken, whatever becomes of this.
    with suppress(SMTPException, OSError, TimeoutError):
        await client.quit(timeout=GOODBYE_SECONDS)


def _not_sent(error: Exception) -> MailNotSent:
    if isinstance(error, SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, SMTPResponseException):
        is_of_this_mail = isinstance(error, (SMTPRecipientRefused, SMTPDataError))
        enhanced = _ENHANCED_CODE.match(error.message)
        code = f"{error.code} {enhanced.group()}" if enhanced else str(error.code)
        return MailNotSent(
            f"The mail server answered {code} ({type(error).__name__}).",
            is_permanent=is_of_this_mail and error.code >= FIRST_PERMANENT_CODE,
            is_away=not is_of_this_mail,
            status=error.code,
        )
    message = f"The mail server did not take it: {type(error).__name__}."
    # A ValueError is about what a mail says, and nothing of the server.
    return MailNotSent(message, is_permanent=False, is_away=not isinstance(error, ValueError))
