"""What people change of how they get in: their password and their address."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, func, select, update
from sqlalchemy.exc import IntegrityError

from app.core.attempts import AttemptLimit, Attempts
from app.core.database import Database, Transaction, clock_of
from app.core.secrets import Secrets
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.challenges import OpenChallenge, begin_challenge, end_challenge, find_challenge, was_begun_in
from app.identity.commands.people import MAGIC_LINK, PASSWORD, add_way_in, holder_of, way_in_by
from app.identity.commands.post_mail import post_mail
from app.identity.commands.sessions import EndReason, SignInMethod, end_sessions_of
from app.identity.errors import IdentityErrorCode, IdentityRefused, refusing_field
from app.identity.mail_limits import count_mail_from, count_mail_to
from app.identity.mails import (
    email_change_mail,
    email_change_requested_mail,
    email_changed_mail,
    email_in_use_mail,
    password_changed_mail,
)
from app.identity.models import Challenge, ChallengeKind, Credential, Identity, Session, User
from app.identity.names import EmailAddress, normalise_email
from app.identity.passwords import Passwords
from app.identity.sign_in import (
    SignIn,
    SignInRefused,
    open_password_hash,
    refuse_link,
    refuse_sign_in,
    store_password_hash,
)
from app.identity.tokens import hash_of_token
from app.identity.viewer import Caller

TRIES_OF_CURRENT_PASSWORD = AttemptLimit("current-password", tries=10, seconds=15 * 60)


@dataclass(frozen=True, slots=True)
class EmailChanged:
    """Whose address was changed, and where they want to go on."""

    user_id: UUID
    return_to: str | None


@dataclass(frozen=True, slots=True)
class _Owner:
    """What is known of who changes something of theirs."""

    user_id: UUID
    username: str
    display_name: str | None
    email: str | None = field(repr=False)
    is_verified: bool
    # The same password may be encrypted or hashed anew; that is no change.
    stored: bytes | None = field(repr=False, compare=False)
    password_changed_at: datetime | None

    @property
    def verified_email(self) -> EmailAddress | None:
        """The address that is known to be theirs."""
        return normalise_email(self.email) if self.email is not None and self.is_verified else None


class OwnCredentials:
    """Changes the passwords and addresses of people who are signed in; that they may is checked before."""

    def __init__(
        self, database: Database, secrets: Secrets, passwords: Passwords, attempts: Attempts, sign_in: SignIn
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._passwords = passwords
        self._attempts = attempts
        self._sign_in = sign_in

    async def change_password(self, *, current: str | None, new: str, caller: Caller, public_url: str) -> None:
        """Set the first password, or another in place of the current one, and end all other sessions.

        Who forgot the current one signs in by a link in a mail, and needs none then.
        `public_url` is where browsers reach us.
        Raises IdentityRefused, TooManyAttempts, and PasswordsBusy.
        """
        async with self._database.authentication() as transaction:
            owner = await _owner_of(transaction, caller)
        email = owner.verified_email
        if email is None:
            raise IdentityRefused(
                IdentityErrorCode.INVALID_INPUT,
                "A password goes with an address: give your account one by `requestEmailChange` first.",
            )
        await self._check_current(owner, current, caller)
        own_words = [email.shown, owner.username, owner.display_name or ""]
        with refusing_field("newPassword", IdentityErrorCode.WEAK_PASSWORD):
            await self._passwords.check_strength(new, own_words=own_words)
        password_hash = await self._passwords.hash(new)
        async with self._database.authentication() as transaction:
            if await _owner_of(transaction, caller, is_held=True) != owner:
                raise IdentityRefused(
                    IdentityErrorCode.ALREADY_DONE, "Your account changed meanwhile; look at it again."
                )
            await store_password_hash(transaction, self._secrets, owner.user_id, password_hash)
            if not await _has_way_in(transaction, owner.user_id, PASSWORD):
                await add_way_in(transaction, user_id=owner.user_id, way_in=way_in_by(PASSWORD, email))
            await record(transaction, AuditAction.PASSWORD_CHANGED, caller=caller, subject_id=owner.user_id)
            await end_sessions_of(
                transaction,
                owner.user_id,
                EndReason.PASSWORD_CHANGED,
                caller=caller,
                except_id=caller.viewer.credential_id,
            )
            mail = password_changed_mail(email.shown, public_url)
            await post_mail(transaction, self._secrets, mail, user_id=owner.user_id)

    async def request_email_change(
        self, email: str, *, caller: Caller, public_url: str, browser: str | None, return_to: str | None = None
    ) -> None:
        """Send a link to the new address, or say there that another account has it; the caller cannot tell which.

        The present address hears of it, and the link holds as long as the session goes on and the password stays.
        Raises IdentityRefused for what is no address or is theirs already, and TooManyAttempts.
        """
        with refusing_field("email"):
            wanted = normalise_email(email)
        await count_mail_from(self._attempts, caller)
        async with self._database.authentication() as transaction:
            owner = await _owner_of(transaction, caller)
        if owner.verified_email is not None and owner.verified_email.key == wanted.key:
            raise IdentityRefused(IdentityErrorCode.ALREADY_DONE, "This is your address already.", field=["email"])
        await count_mail_to(self._attempts, wanted)
        content = {
            "email": wanted.shown,
            "key": wanted.key,
            "browser": None if browser is None else hash_of_token(browser).hex(),
            "return_to": return_to,
            "session": str(caller.viewer.credential_id),
        }
        async with self._database.authentication() as transaction:
            holder = await holder_of(transaction, wanted)
            token = await begin_challenge(
                transaction, self._secrets, ChallengeKind.CHANGE_EMAIL, content=content, user_id=owner.user_id
            )
            link = f"{public_url}/auth/email?token={token}"
            is_free = holder is None or holder == owner.user_id
            mail = email_change_mail(wanted.shown, link) if is_free else email_in_use_mail(wanted.shown, public_url)
            await post_mail(transaction, self._secrets, mail, user_id=owner.user_id)
            if owner.verified_email is not None:
                notice = email_change_requested_mail(owner.verified_email.shown, public_url)
                await post_mail(transaction, self._secrets, notice, user_id=owner.user_id)

    async def was_begun_in(self, token: str, browser: str | None) -> bool:
        """Whether it was this browser that asked for the link; nothing is used up."""
        async with self._database.authentication() as transaction:
            challenge = await find_challenge(transaction, self._secrets, ChallengeKind.CHANGE_EMAIL, token)
        return challenge is not None and was_begun_in(challenge, browser)

    async def confirm_email_change(
        self, token: str, *, caller: Caller, public_url: str
    ) -> EmailChanged | SignInRefused:
        """Make the address behind a link that of its account; passwords and links go with the new one from now on.

        Raises IdentityRefused where another account has it by now, and TooManyAttempts.
        """
        await self._sign_in.count_try_from(caller)
        async with self._database.authentication() as transaction:
            challenge = await find_challenge(transaction, self._secrets, ChallengeKind.CHANGE_EMAIL, token)
            if challenge is None or challenge.user_id is None:
                return await refuse_link(transaction, caller=caller, kind=ChallengeKind.CHANGE_EMAIL)
            await end_challenge(transaction, challenge)
            if not await _is_still_wanted(transaction, challenge):
                return await refuse_link(transaction, caller=caller, kind=ChallengeKind.CHANGE_EMAIL)
            email = EmailAddress(shown=challenge.content["email"], key=challenge.content["key"])
            before = await self._move(transaction, challenge.user_id, email)
            await record(
                transaction,
                AuditAction.EMAIL_CHANGED,
                caller=caller,
                subject_id=challenge.user_id,
                before={"email": before},
                after={"email": email.shown},
            )
            if before is not None:
                mail = email_changed_mail(before, public_url)
                await post_mail(transaction, self._secrets, mail, user_id=challenge.user_id)
        return EmailChanged(challenge.user_id, challenge.content["return_to"])

    async def _move(self, transaction: Transaction, user_id: UUID, email: EmailAddress) -> str | None:
        """Give the account and its ways in their new address; gives the one before, if it was known to be theirs."""
        taken = IdentityRefused(IdentityErrorCode.EMAIL_TAKEN, "Another account has this address by now.")
        before = (
            await transaction.connection.execute(
                select(User.email, User.email_verified_at).where(User.id == user_id).with_for_update()
            )
        ).one()
        if await holder_of(transaction, email) not in (None, user_id):
            raise taken
        try:
            async with transaction.connection.begin_nested():
                await transaction.connection.execute(
                    update(User)
                    .where(User.id == user_id)
                    .values(email=email.shown, email_verified_at=await clock_of(transaction))
                )
                await transaction.connection.execute(
                    update(Identity)
                    .where(Identity.user_id == user_id, Identity.provider.in_([PASSWORD, MAGIC_LINK]))
                    .values(subject=email.key, email=email.shown)
                )
        except IntegrityError:
            raise taken from None
        if not await _has_way_in(transaction, user_id, MAGIC_LINK):
            await add_way_in(transaction, user_id=user_id, way_in=way_in_by(MAGIC_LINK, email))
        return None if before.email_verified_at is None else before.email

    async def _check_current(self, owner: _Owner, current: str | None, caller: Caller) -> None:
        if owner.stored is None or (current is None and await self._has_come_by_link(caller)):
            return
        await self._attempts.check_and_count(TRIES_OF_CURRENT_PASSWORD, str(owner.user_id))
        known = open_password_hash(self._secrets, owner.user_id, owner.stored)
        if not (await self._passwords.verify(current or "", known)).is_right:
            async with self._database.authentication() as transaction:
                await refuse_sign_in(
                    transaction,
                    caller=caller,
                    subject_id=owner.user_id,
                    method=SignInMethod.PASSWORD,
                    reason="wrong current password",
                )
            raise IdentityRefused(
                IdentityErrorCode.INVALID_CREDENTIALS,
                "This is not your current password. If you forgot it, sign in by a link in a mail; then you need none.",
                field=["currentPassword"],
            )
        await self._attempts.forget(TRIES_OF_CURRENT_PASSWORD, str(owner.user_id))

    async def _has_come_by_link(self, caller: Caller) -> bool:
        async with self._database.authentication() as transaction:
            method = await transaction.connection.execute(
                select(Session.method).where(Session.id == caller.viewer.credential_id)
            )
        return method.scalar_one_or_none() == SignInMethod.MAGIC_LINK.value


async def _owner_of(transaction: Transaction, caller: Caller, *, is_held: bool = False) -> _Owner:
    statement = select(User.username, User.display_name, User.email, User.email_verified_at).where(
        User.id == caller.viewer.user_id
    )
    row = (await transaction.connection.execute(statement.with_for_update() if is_held else statement)).one()
    password = (
        await transaction.connection.execute(
            select(Credential.password_hash, Credential.changed_at).where(Credential.user_id == caller.viewer.user_id)
        )
    ).one_or_none()
    user_id = caller.viewer.user_id
    if user_id is None:
        raise ValueError("somebody who is not signed in has no credentials")
    return _Owner(
        user_id=user_id,
        username=row.username,
        display_name=row.display_name,
        email=row.email,
        is_verified=row.email_verified_at is not None,
        stored=None if password is None else password.password_hash,
        password_changed_at=None if password is None else password.changed_at,
    )


async def _is_still_wanted(transaction: Transaction, challenge: OpenChallenge) -> bool:
    """Whether the session that asked goes on, and the password is the one of then: else its owner has defended it."""
    is_password_newer = exists().where(
        Challenge.id == challenge.id,
        Credential.user_id == challenge.user_id,
        Credential.changed_at > Challenge.created_at,
    )
    session = await transaction.connection.execute(
        select(Session.id).where(
            Session.id == UUID(challenge.content["session"]),
            Session.user_id == challenge.user_id,
            Session.ended_at.is_(None),
            ~is_password_newer,
        )
    )
    return session.first() is not None


async def _has_way_in(transaction: Transaction, user_id: UUID, provider: str) -> bool:
    found = await transaction.connection.execute(
        select(func.count()).select_from(Identity).where(Identity.user_id == user_id, Identity.provider == provider)
    )
    return bool(found.scalar_one())
