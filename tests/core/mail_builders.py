"""Mail servers on loopback: one that speaks SMTP by aiosmtpd, and ones that do not do what they should."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP as SmtpServer  # noqa: N811
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.core.mail_server import MailServer

# It tells at INFO what it is sent, and would stand in the log of whoever tests beside it.
logging.getLogger("mail.log").setLevel(logging.WARNING)

USER, PASSWORD = b"trove", b"p@ss/w:rd"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Mailbox:
    """What an SMTP server was handed; `answers` are what it says to a command instead of taking it."""

    answers: dict[str, str] = field(default_factory=dict)
    envelopes: list[Envelope] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    def sources(self) -> list[bytes]:
        """The mails, as they came."""
        return [envelope.content for envelope in self.envelopes if isinstance(envelope.content, bytes)]

    # Methods and no properties: the server reads every property of who handles its mails.
    def messages(self) -> list[EmailMessage]:
        """The mails, as their reader sees them."""
        read = [message_from_bytes(source, policy=SMTPUTF8) for source in self.sources()]
        return [message for message in read if isinstance(message, EmailMessage)]

    def message(self) -> EmailMessage:
        """The only one."""
        (message,) = self.messages()
        return message

    # The names of the hooks are the server's.
    async def handle_MAIL(  # noqa: N802
        self, server: SmtpServer, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802
        self, server: SmtpServer, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" not in self.answers:
            envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SmtpServer, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if "DATA" not in self.answers:
            self.envelopes.append(envelope)
            self.sessions.append(session)
        return self.answers.get("DATA", "250 taken")


def authenticate(_server: SmtpServer, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    """Lets in who knows USER and PASSWORD."""
    return AuthResult(success=isinstance(data, LoginPassword) and data == LoginPassword(USER, PASSWORD), handled=False)


@asynccontextmanager
async def mail_server(mailbox: Mailbox, *, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """An SMTP server before this mailbox; gives its port. With `tls` the connection is encrypted from the start."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SmtpServer(mailbox, hostname="mail.test", loop=loop, enable_SMTPUTF8=True, **options),
        "127.0.0.1",
        0,
        ssl=tls,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def server_that(serve: Serve) -> AsyncIterator[int]:
    """A server that does with each connection what `serve` does, and then hangs up; gives its port."""

    async def serve_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve_and_hang_up, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def server_at(port: int, scheme: str = "smtp", *, login: str = "") -> MailServer:
    """The settings of a server on loopback."""
    return MailServer.parse(f"{scheme}://{login}127.0.0.1:{port}")


def throw_away_certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of a server at 127.0.0.1 with a key of its own, and TLS of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
    return server, client
