"""Links in mails that sign in, once, in the browser that asked for them."""

from uuid import UUID

from sqlalchemy import select

from app.core.attempts import Attempts
from app.core.database import Database, Transaction, clock_of
from app.core.secrets import Secrets
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.challenges import begin_challenge, end_challenge, find_challenge
from app.identity.commands.people import MAGIC_LINK, add_way_in, create_person, free_username, holder_of, way_in_by
from app.identity.commands.post_mail import post_mail
from app.identity.commands.sessions import SignInMethod
from app.identity.errors import refusing_field
from app.identity.mail_limits import count_mail_from, count_mail_to
from app.identity.mails import magic_link_mail
from app.identity.models import ChallengeKind, Identity
from app.identity.names import EmailAddress, normalise_email
from app.identity.sign_in import SignIn, admit, refuse_link
from app.identity.sign_up import Arrived
from app.identity.viewer import Caller


class MagicLinks:
    """Lets people in who can read the mail of an address; who is unknown gets an account by it."""

    def __init__(self, database: Database, secrets: Secrets, attempts: Attempts, sign_in: SignIn) -> None:
        self._database = database
        self._secrets = secrets
        self._attempts = attempts
        self._sign_in = sign_in

    async def request(
        self, email: str, *, caller: Caller, public_url: str, browser: str, return_to: str | None
    ) -> None:
        """Send a link to an address, whoever has it. `browser` is the token of who asks.

        `public_url` is where browsers reach us.

        Raises IdentityRefused for what is no address, and TooManyAttempts.
        """
        with refusing_field("email"):
            to = normalise_email(email)
        await count_mail_from(self._attempts, caller)
        await count_mail_to(self._attempts, to)
        async with self._database.authentication() as transaction:
            holder = await holder_of(transaction, to)
            token = await begin_challenge(
                transaction,
                self._secrets,
                ChallengeKind.MAGIC_LINK,
                content={"email": to.shown, "key": to.key, "return_to": return_to},
                user_id=holder,
                browser=browser,
            )
            link = f"{public_url}/auth/magic-link?token={token}"
            await post_mail(transaction, self._secrets, magic_link_mail(to.shown, link), user_id=holder)
            await record(transaction, AuditAction.MAGIC_LINK_REQUESTED, caller=caller, subject_id=holder)

    async def open(self, token: str, *, browser: str | None, caller: Caller, device: str | None = None) -> Arrived:
        """Sign in by a link. Raises TooManyAttempts, and IdentityRefused where another link was quicker."""
        await self._sign_in.count_try_from(caller)
        async with self._database.authentication() as transaction:
            challenge = await find_challenge(
                transaction, self._secrets, ChallengeKind.MAGIC_LINK, token, browser=browser
            )
            if challenge is None:
                return Arrived(await refuse_link(transaction, caller=caller, kind=ChallengeKind.MAGIC_LINK))
            await end_challenge(transaction, challenge)
            email = EmailAddress(shown=challenge.content["email"], key=challenge.content["key"])
            user_id, identity_id = await self._person_of(transaction, email, caller)
            outcome = await admit(
                transaction,
                self._secrets,
                user_id=user_id,
                identity_id=identity_id,
                method=SignInMethod.MAGIC_LINK,
                caller=caller,
                device=device,
            )
        return Arrived(outcome, challenge.content["return_to"])

    async def _person_of(self, transaction: Transaction, email: EmailAddress, caller: Caller) -> tuple[UUID, UUID]:
        """The person with this address, made where there is none, and the way in by links."""
        user_id = await holder_of(transaction, email)
        if user_id is None:
            user_id = await create_person(
                transaction,
                caller=caller,
                username=await free_username(transaction, []),
                email=email.shown,
                email_verified_at=await clock_of(transaction),
            )
        known = await transaction.connection.execute(
            select(Identity.id).where(
                Identity.user_id == user_id, Identity.provider == MAGIC_LINK, Identity.subject == email.key
            )
        )
        identity_id = known.scalar_one_or_none()
        if identity_id is None:
            identity_id = await add_way_in(transaction, user_id=user_id, way_in=way_in_by(MAGIC_LINK, email))
        return user_id, identity_id
