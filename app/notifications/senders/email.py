"""Mails that tell of notifications: of one, or of all in a digest, as text and as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from sqlalchemy import select

from app.core.database import Database
from app.core.mail import InvalidMail, Mail, MailNotSent, Postman
from app.core.mail_server import has_controls
from app.core.secrets import Secrets
from app.core.texts import showable
from app.identity.models import User
from app.notifications.models import EventType, Preferences
from app.notifications.quiet_hours import zone_of
from app.notifications.sending import NotDelivered, Outgoing, ProviderAway
from app.notifications.unsubscribing import PATH, Unsubscription, unsubscribe_token

LONGEST_SUBJECT = 200
MOST_IN_A_DIGEST = 100
ABOUT = {
    EventType.PRICE: "prices",
    EventType.PORTFOLIO: "portfolios",
    EventType.TRACKER: "trackers",
    EventType.PREORDER: "preorders",
    EventType.WANT: "wants",
    EventType.ACCOUNT: "your account",
}
_TEMPLATES = Environment(
    loader=PackageLoader("app.notifications"),
    autoescape=select_autoescape(("html",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class Reader:
    """Where somebody gets mail, and on which clock they read times."""

    address: str = field(repr=False)
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class _Part:
    """A notification as a mail tells it."""

    title: str
    body: str | None
    time: str
    severity: str


class EmailSender:
    """Sends notifications to the verified address of their owner.

    `public_url` is where browsers reach us; without it mails have no link to unsubscribe.
    """

    def __init__(self, database: Database, secrets: Secrets, postman: Postman, *, public_url: str | None) -> None:
        self._database = database
        self._secrets = secrets
        self._postman = postman
        self._public_url = public_url

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Send these in one mail, whose Message-ID is the same at each attempt; raises NotDelivered."""
        reader = await self._reader(outgoing[0])
        try:
            await self._postman.send(self.mail_of(outgoing, reader))
        except InvalidMail as error:
            raise NotDelivered(str(error), is_permanent=True) from None
        except MailNotSent as error:
            if error.is_away:
                raise ProviderAway("The mail server takes nothing right now.", status=error.status) from error
            raise NotDelivered(str(error), is_permanent=error.is_permanent, status=error.status) from None

    def mail_of(self, outgoing: Sequence[Outgoing], reader: Reader) -> Mail:
        """These as one mail; raises InvalidMail."""
        first, is_digest = outgoing[0], len(outgoing) > 1
        parts = [_part(one, reader.zone) for one in outgoing[:MOST_IN_A_DIGEST]]
        subject = f"{len(outgoing)} notifications" if is_digest else _line(first.title)[:LONGEST_SUBJECT]
        less = None if is_digest else self._link(Unsubscription(first.owner_id, first.event_type))
        none = self._link(Unsubscription(first.owner_id))
        said = {
            "subject": subject,
            "parts": parts,
            "more": len(outgoing) - len(parts),
            "about": ABOUT[first.event_type],
            "unsubscribe_url": less,
            "unsubscribe_all_url": none,
        }
        return Mail(
            to=reader.address,
            subject=subject,
            text=_TEMPLATES.get_template("mail.txt").render(said),
            html=_TEMPLATES.get_template("mail.html").render(said),
            unsubscribe_url=less or none,
            id=first.digest_id or first.id,
        )

    async def _reader(self, outgoing: Outgoing) -> Reader:
        async with self._database.transaction() as transaction:
            found = await transaction.connection.execute(
                select(User.email, Preferences.time_zone, User.timezone)
                .outerjoin(Preferences, Preferences.owner_id == User.id)
                .where(User.id == outgoing.owner_id, User.email_verified_at.is_not(None), User.deleted_at.is_(None))
            )
            row = found.one_or_none()
        if row is None or row.email is None:
            raise NotDelivered("The account has no verified address.", is_permanent=True)
        return Reader(row.email, zone_of(row.time_zone or row.timezone))

    def _link(self, unsubscription: Unsubscription) -> str | None:
        if self._public_url is None:
            return None
        return f"{self._public_url}{PATH}?token={unsubscribe_token(self._secrets, unsubscription)}"


def _part(outgoing: Outgoing, zone: ZoneInfo) -> _Part:
    return _Part(
        title=_line(outgoing.title),
        body=None if outgoing.body is None else "\n".join(_line(line) for line in outgoing.body.splitlines()),
        time=_shown(outgoing.told_at, zone),
        severity=outgoing.severity.value,
    )


def _shown(instant: datetime, zone: ZoneInfo) -> str:
    local = instant.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


def _line(text: str) -> str:
    """One line that may stand in a header: no control characters, and nothing that reads as an encoded word."""
    shown = "".join(" " if has_controls(character) else character for character in showable(text))
    return shown.replace("=?", "= ?").strip()
