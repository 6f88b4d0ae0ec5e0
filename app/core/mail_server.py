"""Where mail is handed over, and in whose name: the settings of mail, read and checked."""

from dataclasses import dataclass
from email.headerregistry import Address
from email.policy import SMTP
from enum import StrEnum
from unicodedata import category
from urllib.parse import unquote, urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import SecretStr

DEFAULT_PORTS = {"smtp": 587, "smtp+starttls": 587, "smtps": 465}
# Control characters, separators of lines and of paragraphs, and halves of characters.
_CONTROLS = {"Cc", "Zl", "Zp", "Cs"}
EXAMPLE = "smtp+starttls://user:password@mail.example.com:587"


class Encryption(StrEnum):
    """How a connection to the mail server is protected; each value is the scheme that asks for it."""

    WHEN_OFFERED = "smtp"
    STARTTLS = "smtp+starttls"
    FROM_THE_START = "smtps"


class InvalidMailSetting(ValueError):
    """A setting of mail is not right; the message says why, and nothing of its value."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server that takes mail by SMTP. Without a user nobody logs in."""

    host: str
    port: int
    encryption: Encryption
    user: str | None = None
    password: SecretStr | None = None

    @classmethod
    def parse(cls, url: str) -> "MailServer":
        """Read `smtp://`, `smtp+starttls://` or `smtps://user:password@host:port`; raises InvalidMailSetting."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise InvalidMailSetting(f"must be an address such as {EXAMPLE}") from None
        if parts.scheme not in DEFAULT_PORTS:
            raise InvalidMailSetting(f"must begin with smtp://, smtp+starttls:// or smtps://, for example {EXAMPLE}")
        if not parts.hostname or has_controls(parts.hostname) or parts.path not in {"", "/"}:
            raise InvalidMailSetting(f"must name a host and nothing after its port, for example {EXAMPLE}")
        if parts.query or parts.fragment:
            raise InvalidMailSetting("must not have ? or #; in a password they are written %3F and %23")
        if (parts.username is None) != (parts.password is None):
            raise InvalidMailSetting(f"must have a user and a password, or neither, for example {EXAMPLE}")
        return cls(
            host=parts.hostname,
            port=DEFAULT_PORTS[parts.scheme] if port is None else port,
            encryption=Encryption(parts.scheme),
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else SecretStr(unquote(parts.password)),
        )


def parse_sender(text: str) -> Address:
    """Read `Name <name@host>` or `name@host`; raises InvalidMailSetting."""
    complaint = "must be one address, for example Trove <no-reply@example.com>"
    if not is_header_text(text):
        raise InvalidMailSetting(complaint)
    header = SMTP.header_factory("From", text)
    # An address that stands alone is a group without a name.
    groups = [(group.display_name, len(group.addresses)) for group in header.groups]
    if header.defects or groups != [(None, 1)]:
        raise InvalidMailSetting(complaint)
    sender: Address = header.addresses[0]
    try:
        address = address_of(sender.addr_spec)
    except ValueError:
        raise InvalidMailSetting(complaint) from None
    return Address(sender.display_name, address.username, address.domain)


def address_of(text: str) -> Address:
    """An address without a name, such as `name@host`, its domain in ASCII.

    Raises ValueError with a message that does not repeat the address.
    """
    if not is_header_text(text):
        raise ValueError("an address has no control characters and no encoded words")
    try:
        valid = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        raise ValueError("an address looks like name@example.com") from None
    return Address(username=valid.local_part, domain=valid.ascii_domain)


def is_header_text(text: str) -> bool:
    """Whether a text can stand in a header: one line without control characters and without encoded words.

    An encoded word may hold a line break, and the standard library decodes it when the header is set.
    """
    return "=?" not in text and not has_controls(text)


def has_controls(text: str) -> bool:
    """Whether a text holds control characters, ends of lines among them, or halves of characters."""
    return any(category(character) in _CONTROLS for character in text)
