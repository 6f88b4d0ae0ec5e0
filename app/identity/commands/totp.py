"""One-time codes by an app (TOTP): set up, confirmed by a first code, asked for, turned off."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.core.secrets import Secrets, SecretUnreadable, place_of
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.recovery_codes import delete_recovery_codes, replace_recovery_codes, use_recovery_code
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import TotpSecret, User
from app.identity.one_time_codes import accepted_step, new_totp_secret, totp_text, totp_uri
from app.identity.viewer import Caller

logger = structlog.get_logger(__name__)

ISSUER = "Trove"


@dataclass(frozen=True, slots=True)
class NewTotp:
    """A seed to share with an app, as text to type and as an `otpauth://` address."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CodeRefused:
    """A code that does not hold; this stands in the audit log, which is to be committed."""

    @property
    def refusal(self) -> IdentityRefused:
        """What the caller is told, whatever was wrong."""
        return IdentityRefused(
            IdentityErrorCode.INVALID_CODE,
            "This code does not hold, or was used before; wait for the next one, and try again.",
            field=["code"],
        )


async def enable_totp(transaction: Transaction, secrets: Secrets, *, user_id: UUID) -> NewTotp:
    """Make a seed, in place of one that waits; nothing asks for its codes before one of them has confirmed it.

    Raises IdentityRefused where codes are asked for already.
    """
    seed = new_totp_secret()
    sealed = secrets.encrypt(seed, place_of(TotpSecret.secret, user_id))
    kept = await transaction.connection.execute(
        insert(TotpSecret)
        .values(user_id=user_id, secret=sealed)
        .on_conflict_do_update(
            index_elements=[TotpSecret.user_id],
            set_={"secret": sealed, "last_step": None, "created_at": func.now()},
            where=TotpSecret.confirmed_at.is_(None),
        )
        .returning(TotpSecret.user_id)
    )
    if kept.first() is None:
        raise _is_on()
    username = (await transaction.connection.execute(select(User.username).where(User.id == user_id))).scalar_one()
    return NewTotp(totp_text(seed), totp_uri(seed, account=username, issuer=ISSUER))


async def confirm_totp(
    transaction: Transaction, secrets: Secrets, *, caller: Caller, user_id: UUID, code: str, now: datetime
) -> list[str] | CodeRefused:
    """Ask for codes from now on, if this first one is right; gives the recovery codes, to be shown once.

    Raises IdentityRefused where nothing was set up, or codes are asked for already.
    """
    totp = await _hold(transaction, user_id)
    if totp is None:
        raise _is_off("Set up an app first, with `enableTotp`.")
    if totp.is_confirmed:
        raise _is_on()
    if not await _accept(transaction, secrets, totp, code, now=now):
        await refuse_second_factor(transaction, caller=caller, subject_id=user_id, reason="wrong code to confirm")
        return CodeRefused()
    await transaction.connection.execute(
        update(TotpSecret).where(TotpSecret.user_id == user_id).values(confirmed_at=func.now())
    )
    await record(transaction, AuditAction.TOTP_ENABLED, caller=caller, subject_id=user_id)
    return await replace_recovery_codes(transaction, caller=caller, user_id=user_id)


async def disable_totp(
    transaction: Transaction, secrets: Secrets, *, caller: Caller, user_id: UUID, code: str, now: datetime
) -> CodeRefused | None:
    """Ask for codes no longer, if the code, a one-time or a recovery code, is right.

    Raises IdentityRefused where none are asked for.
    """
    if not await _prove(transaction, secrets, caller=caller, user_id=user_id, code=code, now=now):
        return CodeRefused()
    await delete_recovery_codes(transaction, user_id)
    await transaction.connection.execute(delete(TotpSecret).where(TotpSecret.user_id == user_id))
    await record(transaction, AuditAction.TOTP_DISABLED, caller=caller, subject_id=user_id)
    return None


async def renew_recovery_codes(
    transaction: Transaction, secrets: Secrets, *, caller: Caller, user_id: UUID, code: str, now: datetime
) -> list[str] | CodeRefused:
    """Ten recovery codes in place of those before, if the code, a one-time or a recovery code, is right.

    Raises IdentityRefused where no codes are asked for.
    """
    if not await _prove(transaction, secrets, caller=caller, user_id=user_id, code=code, now=now):
        return CodeRefused()
    return await replace_recovery_codes(transaction, caller=caller, user_id=user_id)


async def accept_totp_code(
    transaction: Transaction, secrets: Secrets, *, user_id: UUID, code: str, now: datetime
) -> bool:
    """Whether the code holds for this person now, and none of its step was accepted; from now on one was.

    The seed's row is held until the end of the transaction, so that of two who come with one code the second is wrong.
    """
    totp = await _hold(transaction, user_id)
    return totp is not None and totp.is_confirmed and await _accept(transaction, secrets, totp, code, now=now)


async def refuse_second_factor(
    transaction: Transaction, *, caller: Caller, subject_id: UUID | None, reason: str
) -> None:
    """Write down that a second factor did not hold; this is to be committed. `reason` is words of our own."""
    await record(
        transaction,
        AuditAction.SECOND_FACTOR_REFUSED,
        caller=caller,
        subject_id=subject_id,
        after={"reason": reason},
    )


@dataclass(frozen=True, slots=True)
class _Totp:
    user_id: UUID
    sealed: bytes = field(repr=False)
    last_step: int | None
    is_confirmed: bool


async def _hold(transaction: Transaction, user_id: UUID) -> _Totp | None:
    row = (
        await transaction.connection.execute(
            select(TotpSecret.secret, TotpSecret.last_step, TotpSecret.confirmed_at)
            .where(TotpSecret.user_id == user_id)
            .with_for_update()
        )
    ).one_or_none()
    return None if row is None else _Totp(user_id, row.secret, row.last_step, row.confirmed_at is not None)


async def _accept(transaction: Transaction, secrets: Secrets, totp: _Totp, code: str, *, now: datetime) -> bool:
    try:
        seed = secrets.decrypt(totp.sealed, place_of(TotpSecret.secret, totp.user_id))
    except SecretUnreadable as unreadable:
        # No code can be right any more; a recovery code still is, and turns the codes off.
        logger.warning("totp_seed_unreadable", reason=str(unreadable))
        return False
    step = accepted_step(seed, code, now=now, last_step=totp.last_step)
    if step is None:
        return False
    await transaction.connection.execute(
        update(TotpSecret).where(TotpSecret.user_id == totp.user_id).values(last_step=step)
    )
    return True


async def _prove(
    transaction: Transaction, secrets: Secrets, *, caller: Caller, user_id: UUID, code: str, now: datetime
) -> bool:
    """Whether a one-time or a recovery code holds; raises IdentityRefused where none are asked for."""
    totp = await _hold(transaction, user_id)
    if totp is None or not totp.is_confirmed:
        raise _is_off("One-time codes are not turned on.")
    if await _accept(transaction, secrets, totp, code, now=now):
        return True
    if await use_recovery_code(transaction, caller=caller, user_id=user_id, code=code):
        return True
    await refuse_second_factor(transaction, caller=caller, subject_id=user_id, reason="wrong code for a change")
    return False


def _is_on() -> IdentityRefused:
    return IdentityRefused(IdentityErrorCode.ALREADY_DONE, "One-time codes are on; turn them off first.")


def _is_off(message: str) -> IdentityRefused:
    return IdentityRefused(IdentityErrorCode.NOT_FOUND, message)
