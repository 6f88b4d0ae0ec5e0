"""How many mails strangers may have sent: to one address, and from one network address."""

from app.core.attempts import AttemptLimit, Attempts
from app.identity.names import EmailAddress
from app.identity.viewer import Caller

MAILS_TO_EMAIL = AttemptLimit("mails-to-address", tries=5, seconds=15 * 60)
MAILS_BY_IP = AttemptLimit("mails-from-address", tries=30, seconds=15 * 60)


async def count_mail_from(attempts: Attempts, caller: Caller) -> None:
    """Count that somebody asks for a mail, before anything is looked at; raises TooManyAttempts."""
    await attempts.check_and_count(MAILS_BY_IP, caller.client.limit_key)


async def count_mail_to(attempts: Attempts, to: EmailAddress) -> None:
    """Count a mail just before it is posted, whether or not anybody has the address; raises TooManyAttempts.

    What is refused before sends no mail, and must not keep others from sending one to the address.
    """
    await attempts.check_and_count(MAILS_TO_EMAIL, to.key)
