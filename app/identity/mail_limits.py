"""How many mails strangers may have sent: to one address, and from one network address."""

from app.core.attempts import AttemptLimit, Attempts
from app.identity.names import EmailAddress
from app.identity.viewer import Caller

MAILS_TO_ADDRESS = AttemptLimit("mails-to-address", tries=5, seconds=15 * 60)
MAILS_FROM_ADDRESS = AttemptLimit("mails-from-address", tries=30, seconds=15 * 60)


async def count_mail(attempts: Attempts, to: EmailAddress, *, caller: Caller) -> None:
    """Count a mail, whether or not anybody has the address; raises TooManyAttempts."""
    await attempts.check_and_count(MAILS_FROM_ADDRESS, caller.origin.limit_key)
    await attempts.check_and_count(MAILS_TO_ADDRESS, to.key)
