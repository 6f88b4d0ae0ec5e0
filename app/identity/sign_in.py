"""Signing in: each way ends in the same session, after the second factor where the person has one.

These span several transactions, since passwords are hashed and providers asked outside of any. What was refused is
written into the audit log, which is committed; the caller learns one sentence, whatever it was.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.attempts import AttemptLimit, Attempts
from app.core.database import Database, Transaction
from app.core.secrets import Secrets, place_of
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.challenges import begin_challenge
from app.identity.commands.locks import lock_account
from app.identity.commands.people import PASSWORD
from app.identity.commands.sessions import OpenSession, SignInMethod, begin_session
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import ChallengeKind, Credential, Identity, Passkey, TotpSecret, User
from app.identity.names import EmailRefused, normalise_email
from app.identity.passwords import Passwords
from app.identity.viewer import Caller

SIGN_INS_BY_ACCOUNT = AttemptLimit("sign-in-account", tries=10, seconds=15 * 60)
LINK_REFUSED = (
    "This link does not hold: it was used, it is too old, or it was asked for in another browser. "
    "Open it where you asked for it, or ask for another one."
)
SIGN_INS_BY_IP = AttemptLimit("sign-in-address", tries=100, seconds=15 * 60)


@dataclass(frozen=True, slots=True)
class SecondFactorNeeded:
    """The first factor holds; `challenge` is the token to give with the second."""

    challenge: str = field(repr=False)
    has_passkey: bool


@dataclass(frozen=True, slots=True)
class SignInRefused:
    """Who tries is not let in; why stands in the audit log alone."""

    by_link: bool = False

    @property
    def refusal(self) -> IdentityRefused:
        """What the caller is told, whatever was wrong."""
        if self.by_link:
            return IdentityRefused(IdentityErrorCode.INVALID_TOKEN, LINK_REFUSED)
        return IdentityRefused(
            IdentityErrorCode.INVALID_CREDENTIALS, "This does not let you in: check what you gave, and try again."
        )


SignInOutcome = OpenSession | SecondFactorNeeded | SignInRefused


@dataclass(frozen=True, slots=True)
class _Known:
    """The person behind an address, as far as signing in needs it."""

    user_id: UUID
    identity_id: UUID
    password_hash: str | None = field(repr=False)
    password_changed_at: datetime | None


class SignIn:
    """Lets people in, over the resources of this process."""

    def __init__(self, database: Database, secrets: Secrets, passwords: Passwords, attempts: Attempts) -> None:
        self._database = database
        self._secrets = secrets
        self._passwords = passwords
        self._attempts = attempts

    async def with_password(self, *, email: str, password: str, caller: Caller, device: str | None) -> SignInOutcome:
        """By address and password. Raises TooManyAttempts, and PasswordsBusy while too many are being checked."""
        key = _key_of(email)
        await self.count_try(key, caller)
        async with self._database.authentication() as transaction:
            known = await self._known(transaction, key)
        check = await self._passwords.verify(password, known.password_hash if known else None)
        new_hash = await self._passwords.hash(password) if check.is_right and check.needs_new_hash else None
        async with self._database.authentication() as transaction:
            if known is None or not check.is_right or not await _is_still(transaction, known):
                return await refuse_sign_in(
                    transaction,
                    caller=caller,
                    subject_id=known.user_id if known else None,
                    method=SignInMethod.PASSWORD,
                    reason="wrong password" if known else "unknown address",
                )
            if new_hash is not None:
                await _store_hash_of_same_password(transaction, self._secrets, known.user_id, new_hash)
            outcome = await admit(
                transaction,
                self._secrets,
                user_id=known.user_id,
                identity_id=known.identity_id,
                method=SignInMethod.PASSWORD,
                caller=caller,
                device=device,
            )
        await self._attempts.forget(SIGN_INS_BY_ACCOUNT, key)
        return outcome

    async def count_try(self, account: str, caller: Caller) -> None:
        """Count a try on an account, by any name of it, and from an address; raises TooManyAttempts."""
        await self.count_try_from(caller)
        await self._attempts.check_and_count(SIGN_INS_BY_ACCOUNT, account)

    async def count_try_from(self, caller: Caller) -> None:
        """Count a try from a network address alone; raises TooManyAttempts."""
        await self._attempts.check_and_count(SIGN_INS_BY_IP, caller.client.limit_key)

    async def _known(self, transaction: Transaction, key: str) -> _Known | None:
        row = (
            await transaction.connection.execute(
                select(Identity.user_id, Identity.id, Credential.password_hash, Credential.changed_at)
                .join(User, User.id == Identity.user_id)
                .outerjoin(Credential, Credential.user_id == Identity.user_id)
                .where(Identity.provider == PASSWORD, Identity.subject == key, User.deleted_at.is_(None))
            )
        ).one_or_none()
        if row is None:
            return None
        opened = (
            None if row.password_hash is None else open_password_hash(self._secrets, row.user_id, row.password_hash)
        )
        return _Known(row.user_id, row.id, opened, row.changed_at)


async def admit(
    transaction: Transaction,
    secrets: Secrets,
    *,
    user_id: UUID,
    identity_id: UUID | None,
    method: SignInMethod,
    caller: Caller,
    device: str | None,
    proves_two_factors: bool = False,
) -> OpenSession | SecondFactorNeeded:
    """Begin the session of a person whose first factor holds, or ask for the second where they have one."""
    outcome: OpenSession | SecondFactorNeeded
    if not proves_two_factors and await _has_second_factor(transaction, user_id):
        passkeys = await transaction.connection.execute(select(Passkey.id).where(Passkey.user_id == user_id).limit(1))
        challenge = await begin_challenge(
            transaction,
            secrets,
            ChallengeKind.SECOND_FACTOR,
            user_id=user_id,
            content={"method": method.value, "device": device},
        )
        outcome = SecondFactorNeeded(challenge, has_passkey=passkeys.first() is not None)
    else:
        outcome = await begin_session(transaction, user_id=user_id, method=method, caller=caller, device=device)
    if identity_id is not None:
        # After the row of the person, which whoever unlinks holds first, too: else each could wait for the other.
        await transaction.connection.execute(
            update(Identity).where(Identity.id == identity_id).values(last_used_at=func.now())
        )
    return outcome


async def _has_second_factor(transaction: Transaction, user_id: UUID) -> bool:
    found = await transaction.connection.execute(
        select(TotpSecret.user_id).where(TotpSecret.user_id == user_id, TotpSecret.confirmed_at.is_not(None))
    )
    return found.first() is not None


async def refuse_sign_in(
    transaction: Transaction, *, caller: Caller, subject_id: UUID | None, method: SignInMethod, reason: str
) -> SignInRefused:
    """Write down that somebody was not let in; this is to be committed. `reason` is words of our own."""
    await record(
        transaction,
        AuditAction.SIGN_IN_REFUSED,
        caller=caller,
        subject_id=subject_id,
        after={"method": method.value, "reason": reason},
    )
    return SignInRefused()


async def refuse_link(transaction: Transaction, *, caller: Caller, kind: ChallengeKind) -> SignInRefused:
    """Write down that a link was opened that does not hold; this is to be committed."""
    await record(
        transaction, AuditAction.MAGIC_LINK_REFUSED, caller=caller, subject_id=None, after={"kind": kind.value}
    )
    return SignInRefused(by_link=True)


def open_password_hash(secrets: Secrets, user_id: UUID, stored: bytes) -> str:
    """The hash of a password as `Passwords` reads it."""
    return secrets.decrypt(stored, place_of(Credential.password_hash, user_id)).decode()


async def _is_still(transaction: Transaction, known: _Known) -> bool:
    """Whether the password is the one that was checked, from now until the end of the transaction.

    Whoever changes it holds the account, as we do. It may have been encrypted or hashed anew meanwhile, which changes
    neither it nor when it was changed.
    """
    await lock_account(transaction, known.user_id)
    changed_at = await transaction.connection.execute(
        select(Credential.changed_at).where(Credential.user_id == known.user_id)
    )
    return changed_at.scalar_one_or_none() == known.password_changed_at


async def _store_hash_of_same_password(
    transaction: Transaction, secrets: Secrets, user_id: UUID, password_hash: str
) -> None:
    sealed = _seal_password_hash(secrets, user_id, password_hash)
    await transaction.connection.execute(
        update(Credential).where(Credential.user_id == user_id).values(password_hash=sealed)
    )


async def store_password_hash(transaction: Transaction, secrets: Secrets, user_id: UUID, password_hash: str) -> None:
    """Keep the hash of a new password, encrypted, in place of the one before."""
    sealed = _seal_password_hash(secrets, user_id, password_hash)
    await transaction.connection.execute(
        insert(Credential)
        .values(user_id=user_id, password_hash=sealed)
        .on_conflict_do_update(
            index_elements=[Credential.user_id], set_={"password_hash": sealed, "changed_at": func.now()}
        )
    )


def _seal_password_hash(secrets: Secrets, user_id: UUID, password_hash: str) -> bytes:
    return secrets.encrypt(password_hash.encode(), place_of(Credential.password_hash, user_id))


def _key_of(email: str) -> str:
    """What an address is looked up by; one that cannot be one is as unknown as any other."""
    try:
        return normalise_email(email).key
    except EmailRefused:
        return email.strip().lower()
