"""Signing up with an address and a password: begun by anybody, done by who opens the link that the address gets."""

from dataclasses import dataclass, field

from sqlalchemy import func, select

from app.core.attempts import Attempts
from app.core.database import Database, Transaction, clock_of
from app.core.secrets import Secrets
from app.identity.commands.challenges import begin_challenge, end_challenge, find_challenge, was_begun_in
from app.identity.commands.people import (
    MAGIC_LINK,
    PASSWORD,
    add_way_in,
    create_person,
    free_username,
    holder_of,
    way_in_by,
)
from app.identity.commands.post_mail import post_mail
from app.identity.commands.sessions import SignInMethod
from app.identity.errors import IdentityErrorCode, IdentityRefused, refusing_field
from app.identity.mail_limits import count_mail_from, count_mail_to
from app.identity.mails import account_exists_mail, sign_up_mail
from app.identity.models import ChallengeKind, User
from app.identity.names import EmailAddress, normalise_email, parse_display_name, parse_username
from app.identity.passwords import Passwords
from app.identity.sign_in import SignIn, SignInOutcome, admit, refuse_link, store_password_hash
from app.identity.tokens import hash_of_token
from app.identity.viewer import Caller


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What somebody wants for their account; the texts are as they typed them."""

    email: str = field(repr=False)
    password: str = field(repr=False)
    username: str
    display_name: str | None


@dataclass(frozen=True, slots=True)
class Arrived:
    """What opening a link came to, and where its owner wants to go on."""

    outcome: SignInOutcome
    return_to: str | None = None


class SignUp:
    """Makes accounts for people with an address."""

    def __init__(
        self, database: Database, secrets: Secrets, passwords: Passwords, attempts: Attempts, sign_in: SignIn
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._passwords = passwords
        self._attempts = attempts
        self._sign_in = sign_in

    async def begin(
        self, account: NewAccount, *, caller: Caller, public_url: str, browser: str | None, return_to: str | None = None
    ) -> None:
        """Send the link that makes the account, or say in a mail that there is one; the caller cannot tell which.

        `public_url` is where browsers reach us.
        Raises IdentityRefused for what is no username, address or password or is taken as a username,
        TooManyAttempts, and PasswordsBusy.
        """
        with refusing_field("username"):
            parse_username(account.username)
        with refusing_field("email"):
            email = normalise_email(account.email)
        with refusing_field("displayName"):
            wanted_name = (account.display_name or "").strip()
            display_name = parse_display_name(wanted_name) if wanted_name else None
        await count_mail_from(self._attempts, caller)
        own_words = [email.shown, account.username, display_name or ""]
        with refusing_field("password", IdentityErrorCode.WEAK_PASSWORD):
            await self._passwords.check_strength(account.password, own_words=own_words)
        async with self._database.authentication() as transaction:
            await _require_free(transaction, account.username)
        await count_mail_to(self._attempts, email)
        password_hash = await self._passwords.hash(account.password)
        content = {
            "email": email.shown,
            "key": email.key,
            "password_hash": password_hash,
            "username": account.username,
            "display_name": display_name,
            "browser": None if browser is None else hash_of_token(browser).hex(),
            "return_to": return_to,
        }
        async with self._database.authentication() as transaction:
            holder = await holder_of(transaction, email)
            # For a known address too, so that it takes no less time; nobody ever learns that token.
            token = await begin_challenge(transaction, self._secrets, ChallengeKind.SIGN_UP, content=content)
            link = f"{public_url}/auth/sign-up?token={token}"
            mail = sign_up_mail(email.shown, link) if holder is None else account_exists_mail(email.shown, public_url)
            await post_mail(transaction, self._secrets, mail, user_id=holder)

    async def was_begun_in(self, token: str, browser: str | None) -> bool:
        """Whether it was this browser that asked for the link; nothing is used up."""
        async with self._database.authentication() as transaction:
            challenge = await find_challenge(transaction, self._secrets, ChallengeKind.SIGN_UP, token)
        return challenge is not None and was_begun_in(challenge, browser)

    async def confirm(self, token: str, *, browser: str | None, caller: Caller, device: str | None = None) -> Arrived:
        """Make the account behind a link, and sign its owner in.

        The password is theirs only where the link is opened in the browser that chose it: anybody can sign up with
        somebody else's address, and must not be let in by the password once its owner confirms.
        Raises IdentityRefused where the address got an account meanwhile, and TooManyAttempts. A username that was
        taken meanwhile gets digits at its end.
        """
        await self._sign_in.count_try_from(caller)
        async with self._database.authentication() as transaction:
            challenge = await find_challenge(transaction, self._secrets, ChallengeKind.SIGN_UP, token)
            if challenge is None:
                return Arrived(await refuse_link(transaction, caller=caller, kind=ChallengeKind.SIGN_UP))
            await end_challenge(transaction, challenge)
            wanted = challenge.content
            email = EmailAddress(shown=wanted["email"], key=wanted["key"])
            if await holder_of(transaction, email) is not None:
                raise IdentityRefused(
                    IdentityErrorCode.EMAIL_TAKEN, "This address has an account by now; sign in to that one."
                )
            user_id = await create_person(
                transaction,
                caller=caller,
                username=await free_username(transaction, [wanted["username"]]),
                email=email.shown,
                email_verified_at=await clock_of(transaction),
                display_name=wanted["display_name"],
            )
            identity_id = await add_way_in(transaction, user_id=user_id, way_in=way_in_by(MAGIC_LINK, email))
            knows_password = was_begun_in(challenge, browser)
            if knows_password:
                identity_id = await add_way_in(transaction, user_id=user_id, way_in=way_in_by(PASSWORD, email))
                await store_password_hash(transaction, self._secrets, user_id, wanted["password_hash"])
            outcome = await admit(
                transaction,
                self._secrets,
                user_id=user_id,
                identity_id=identity_id,
                method=SignInMethod.PASSWORD if knows_password else SignInMethod.MAGIC_LINK,
                caller=caller,
                device=device,
            )
        return Arrived(outcome, wanted["return_to"])


async def _require_free(transaction: Transaction, username: str) -> None:
    others = await transaction.connection.execute(select(User.id).where(func.lower(User.username) == username.lower()))
    if others.first() is not None:
        raise IdentityRefused(
            IdentityErrorCode.USERNAME_TAKEN, "Somebody has this username; choose another one.", field=["username"]
        )
