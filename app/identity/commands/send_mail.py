"""Take mails that wait, and write down what became of them."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import select, update

from app.core.database import Transaction
from app.core.mail import Mail, MailNotSent
from app.core.secrets import Secrets, place_of
from app.identity.models import MailStatus, OutgoingMail

FIRST_PAUSE = timedelta(seconds=10)
PAUSE_GROWTH = 3
LONGEST_PAUSE = timedelta(hours=1)
# What has not been sent by then is of no use to its reader any more.
KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClaimedMail:
    """A mail that this transaction holds; nobody else sends it meanwhile. `attempts` are those before this one."""

    id: UUID
    content: bytes = field(repr=False)
    attempts: int
    created_at: datetime


async def claim_next_mail(transaction: Transaction, *, now: datetime) -> ClaimedMail | None:
    """Take the mail that is due for longest and held by nobody else, until this transaction ends."""
    statement = (
        select(OutgoingMail.id, OutgoingMail.content, OutgoingMail.attempts, OutgoingMail.created_at)
        .where(OutgoingMail.status == MailStatus.WAITING, OutgoingMail.next_attempt_at <= now)
        .order_by(OutgoingMail.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await transaction.connection.execute(statement)).one_or_none()
    return None if row is None else ClaimedMail(row.id, row.content or b"", row.attempts, row.created_at)


def mail_of(secrets: Secrets, claimed: ClaimedMail) -> Mail:
    """The mail itself; raises SecretUnreadable, and InvalidMail for what may not be sent."""
    content = orjson.loads(secrets.decrypt(claimed.content, place_of(OutgoingMail.content, claimed.id)))
    return Mail(to=content["to"], subject=content["subject"], text=content["text"], id=claimed.id)


async def mark_sent(transaction: Transaction, claimed: ClaimedMail, *, now: datetime) -> None:
    """Write down that a mail was sent, and let go of its content."""
    await transaction.connection.execute(
        update(OutgoingMail)
        .where(OutgoingMail.id == claimed.id)
        .values(
            status=MailStatus.SENT.value,
            content=None,
            attempts=claimed.attempts + 1,
            sent_at=now,
            last_error=None,
        )
    )


async def mark_not_sent(
    transaction: Transaction, claimed: ClaimedMail, error: MailNotSent, *, now: datetime
) -> MailStatus:
    """Write down a failure, and when to try again; what is permanent or a day old is given up, and its content gone."""
    next_attempt_at = now + pause_after(claimed.attempts + 1)
    is_over = error.is_permanent or next_attempt_at >= claimed.created_at + KEPT_FOR
    status = MailStatus.FAILED if is_over else MailStatus.WAITING
    await transaction.connection.execute(
        update(OutgoingMail)
        .where(OutgoingMail.id == claimed.id)
        .values(
            status=status.value,
            content=None if is_over else OutgoingMail.content,
            attempts=claimed.attempts + 1,
            next_attempt_at=next_attempt_at,
            last_error=str(error),
        )
    )
    return status


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many failures: ten seconds, then three times as long each time, an hour at most."""
    growth = math.pow(PAUSE_GROWTH, min(attempts - 1, 10))
    return min(FIRST_PAUSE * growth, LONGEST_PAUSE)
