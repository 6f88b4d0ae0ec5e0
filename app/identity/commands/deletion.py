"""Deleting an account: asked for, taken back within 30 days, and then done for good."""

import secrets as chance
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update

from app.core.database import Transaction
from app.core.jobs import Job
from app.core.mail import Mail
from app.core.secrets import Secrets
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.locks import lock_person_exclusive
from app.identity.commands.post_mail import post_mail
from app.identity.commands.revocations import revoke
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import (
    ApiToken,
    Challenge,
    Credential,
    DataExport,
    Identity,
    OutgoingMail,
    Passkey,
    RecoveryCode,
    RoleGrant,
    Session,
    TotpSecret,
    UnlinkedIdentity,
    User,
)
from app.identity.viewer import Caller

# Nobody nudges it: who is due is found by looking.
ERASE_PEOPLE = Job("erase_people")
ERASED_AFTER = timedelta(days=30)
# What was begun before somebody was erased may still write something of them; it is looked for so much longer.
LOOKED_AFTER_FOR = timedelta(hours=1)
ERASED_USERNAME = "deleted-"
REASON_OF_ERASED = "The account was erased."
# What a person has; those that hang on these go with them.
_OWN_TABLES = (
    Identity,
    UnlinkedIdentity,
    Credential,
    TotpSecret,
    RecoveryCode,
    Passkey,
    Challenge,
    DataExport,
    OutgoingMail,
)
# What stands in an account that nobody has changed.
_KEPT_OF_USERS = frozenset({"id", "username", "created_at", "deleted_at", "updated_at"})


async def request_deletion(transaction: Transaction, secrets: Secrets, *, caller: Caller) -> None:
    """Have the caller's account erased after 30 days, and tell them by mail.

    Raises IdentityRefused where that was asked for already.
    """
    user_id = caller.viewer.own_id
    changed = (
        await transaction.connection.execute(
            update(User)
            .where(User.id == user_id, User.deletion_requested_at.is_(None), User.deleted_at.is_(None))
            .values(deletion_requested_at=func.now(), erase_after=func.now() + ERASED_AFTER)
            .returning(User.username, User.erase_after)
        )
    ).one_or_none()
    if changed is None:
        raise IdentityRefused(
            IdentityErrorCode.ALREADY_DONE, "The account is to be erased already; `deletion` says when."
        )
    await record(
        transaction,
        AuditAction.DELETION_REQUESTED,
        caller=caller,
        subject_id=user_id,
        after={"eraseAfter": changed.erase_after.isoformat()},
    )
    await _tell(
        transaction,
        secrets,
        user_id,
        "Your Trove account will be deleted",
        f"Somebody who is signed in as {changed.username} asked for the account and everything in it to be deleted.\n\n"
        f"It will be on {changed.erase_after:%d %B %Y at %H:%M} UTC. Until then you can sign in and cancel it.\n\n"
        "If this was not you, sign in, cancel it and change how you sign in.\n",
    )


async def cancel_deletion(transaction: Transaction, secrets: Secrets, *, caller: Caller) -> None:
    """Keep the caller's account; raises IdentityRefused where nobody asked for it to be erased."""
    user_id = caller.viewer.own_id
    changed = (
        await transaction.connection.execute(
            update(User)
            .where(User.id == user_id, User.deletion_requested_at.is_not(None), User.deleted_at.is_(None))
            .values(deletion_requested_at=None, erase_after=None)
            .returning(User.username)
        )
    ).one_or_none()
    if changed is None:
        raise IdentityRefused(IdentityErrorCode.ALREADY_DONE, "The account stays anyway; there is nothing to cancel.")
    await record(transaction, AuditAction.DELETION_CANCELLED, caller=caller, subject_id=user_id)
    await _tell(
        transaction,
        secrets,
        user_id,
        "Your Trove account stays",
        f"The account {changed.username} was going to be deleted. That was cancelled, and the account stays.\n",
    )


async def people_to_erase(transaction: Transaction, *, limit: int) -> list[UUID]:
    """Who is due to be erased, the one who waits longest first."""
    due = await transaction.connection.execute(
        select(User.id).where(_is_due()).order_by(User.erase_after, User.id).limit(limit)
    )
    return list(due.scalars())


async def people_erased_lately(transaction: Transaction) -> list[UUID]:
    """Who was erased so short a time ago that what was begun before may still have written something of them."""
    erased = await transaction.connection.execute(
        select(User.id).where(User.deleted_at > func.now() - LOOKED_AFTER_FOR).order_by(User.deleted_at)
    )
    return list(erased.scalars())


async def hold_person_to_erase(transaction: Transaction, user_id: UUID) -> bool:
    """Hold somebody who is due until the end of this transaction; False where they are not, or not any more.

    Nothing is issued to them meanwhile, and nobody else erases them.
    """
    # First the lock that signing in takes first, in whichever way, so that neither waits for the other in turn.
    await lock_person_exclusive(transaction, user_id)
    held = await transaction.connection.execute(
        select(User.id).where(User.id == user_id, _is_due()).with_for_update(key_share=True)
    )
    return held.first() is not None


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Leave nothing of a person in this room but an account without a name, and what was done without who did it.

    May be called again: what came in meanwhile goes too. Everything that was issued to them holds no longer.
    """
    now = await lock_person_exclusive(transaction, user_id)
    is_first = await _leave_nothing_in_account(transaction, user_id)
    issued = [
        issued_id
        for own in (Session, ApiToken)
        for (issued_id,) in await transaction.connection.execute(
            delete(own).where(own.user_id == user_id).returning(own.id)
        )
    ]
    for own in _OWN_TABLES:
        await transaction.connection.execute(delete(own).where(own.user_id == user_id))
    await transaction.connection.execute(
        update(RoleGrant)
        .where(RoleGrant.user_id == user_id)
        .values(reason=REASON_OF_ERASED, revoked_at=func.coalesce(RoleGrant.revoked_at, now))
    )
    if is_first or issued:
        await revoke(transaction, user_id, now=now)
    for issued_id in issued:
        await revoke(transaction, issued_id, now=now)
    if is_first:
        await record(transaction, AuditAction.ERASED, caller=Caller(), subject_id=user_id)
    await transaction.connection.execute(select(func.identity.anonymise_audit_log(user_id)))


async def _leave_nothing_in_account(transaction: Transaction, user_id: UUID) -> bool:
    """Make the account one without a person; gives whether it had one until now."""
    defaults = {
        of_user.name: None if of_user.server_default is None else of_user.server_default.arg
        for of_user in User.__table__.columns
        if of_user.name not in _KEPT_OF_USERS
    }
    first = await transaction.connection.execute(
        update(User)
        .where(User.id == user_id, User.deleted_at.is_(None))
        .values(deleted_at=func.now(), username=f"{ERASED_USERNAME}{chance.token_hex(8)}")
        .returning(User.id)
    )
    is_first = first.first() is not None
    await transaction.connection.execute(update(User).where(User.id == user_id).values(defaults))
    return is_first


def _is_due() -> ColumnElement[bool]:
    return (User.erase_after <= func.now()) & User.deleted_at.is_(None)


async def _tell(transaction: Transaction, secrets: Secrets, user_id: UUID, subject: str, content: str) -> None:
    """Post a mail to a person's address, where one is known to be theirs."""
    address = await transaction.connection.execute(
        select(User.email).where(User.id == user_id, User.email_verified_at.is_not(None))
    )
    to = address.scalar_one_or_none()
    if to is not None:
        await post_mail(transaction, secrets, Mail(to=to, subject=subject, text=content), user_id=user_id)
