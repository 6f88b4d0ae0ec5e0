"""Sends the mails that wait."""

import asyncio

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.core.mail import InvalidMail, Mail, MailNotSent, Postman
from app.core.secrets import Secrets, SecretUnreadable
from app.identity.commands.send_mail import ClaimedMail, claim_next_mail, mail_of, mark_not_sent, mark_sent
from app.identity.models import MailStatus
from workers.runner import Runner

logger = structlog.get_logger(__name__)


class NoPostman:
    """Sends nothing: mails wait for a mail server to be set, and are given up when they are too old."""

    async def send(self, mail: Mail) -> None:
        """Raise MailNotSent."""
        message = "No mail server is set; set TROVE_SMTP_URL and TROVE_MAIL_FROM."
        raise MailNotSent(message, is_permanent=False, is_away=True)


class MailRunner(Runner):
    """Sends all mails that are due."""

    def __init__(self, database: Database, secrets: Secrets, postman: Postman) -> None:
        super().__init__()
        self._database = database
        self._secrets = secrets
        self._postman = postman

    async def work(self, stopping: asyncio.Event) -> None:
        """Send what is due now."""
        await send_waiting_mails(self._database, self._secrets, self._postman, stopping=stopping)


async def send_waiting_mails(
    database: Database, secrets: Secrets, postman: Postman, *, stopping: asyncio.Event | None = None
) -> int:
    """Send mails, each in a transaction of its own, until none is due; gives how many were sent.

    The transaction holds the mail while it is sent, so no second worker sends it too. Whoever crashes after the mail
    was taken and before that is committed leaves it to be sent again: twice at worst, with the same Message-ID.
    """
    sent = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            claimed = await claim_next_mail(transaction, now=utc_now())
            if claimed is None:
                break
            failure = await _send(secrets, postman, claimed)
            if failure is None:
                await mark_sent(transaction, claimed, now=utc_now())
                status = MailStatus.SENT
            else:
                status = await mark_not_sent(transaction, claimed, failure, now=utc_now())
        sent += status is MailStatus.SENT
        _log(claimed, status, failure)
    return sent


async def _send(secrets: Secrets, postman: Postman, claimed: ClaimedMail) -> MailNotSent | None:
    try:
        await postman.send(mail_of(secrets, claimed))
    except MailNotSent as error:
        return error
    except SecretUnreadable as error:
        # The key may be put back.
        return MailNotSent(f"The mail cannot be read: {error}.", is_permanent=False)
    except InvalidMail as error:
        return MailNotSent(str(error), is_permanent=True)
    except Exception as error:  # noqa: BLE001  # one mail that we cannot send must not keep the others from going out
        return MailNotSent(f"Sending failed by a mistake of ours: {type(error).__name__}.", is_permanent=False)
    return None


def _log(claimed: ClaimedMail, status: MailStatus, failure: MailNotSent | None) -> None:
    mail, attempt = str(claimed.id), claimed.attempts + 1
    if status is MailStatus.SENT:
        logger.info("mail_sent", mail=mail, attempt=attempt)
    elif status is MailStatus.WAITING:
        logger.warning("mail_postponed", mail=mail, attempt=attempt, reason=str(failure))
    else:
        logger.error("mail_given_up", mail=mail, attempt=attempt, reason=str(failure))
