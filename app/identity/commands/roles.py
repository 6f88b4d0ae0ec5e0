"""Roles: granted by somebody, for a reason, with permissions that say what the grant lets do."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Text, case, func, insert, select, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.locks import lock_person_exclusive
from app.identity.commands.revocations import revoke
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Role, RoleGrant
from app.identity.scopes import GRANTABLE, OWN, PERMISSIONS_OF_ROLES, Scope
from app.identity.viewer import Caller

LONGEST_REASON = 500


async def grant_role(
    transaction: Transaction,
    *,
    caller: Caller,
    user_id: UUID,
    role: Role,
    reason: str,
    permissions: Collection[Scope] | None = None,
    expires_at: datetime | None = None,
) -> UUID:
    """Give a person a role, with its usual permissions unless others are named; gives the grant's id.

    It takes effect at once: what they hold is to be refreshed. Raises IdentityRefused for a reason, permissions or an
    end that are wrong, for a person of their own, and for what the caller could not do themselves. That the caller may
    grant at all, row-level security says too.
    """
    wanted = PERMISSIONS_OF_ROLES[role] if permissions is None else frozenset(permissions)
    if not 1 <= len(reason.strip()) <= LONGEST_REASON:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            f"Say in 1 to {LONGEST_REASON} characters why; those who look later want to know.",
            field=["reason"],
        )
    own = sorted(wanted - GRANTABLE)
    if own:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            f"{', '.join(own)} is everybody's own and need not be granted.",
            field=["permissions"],
        )
    if not wanted:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            f"Name what it is to let them do: the role {role.value} carries nothing by itself.",
            field=["permissions"],
        )
    await _refuse_unless_theirs_to_give(transaction, caller, user_id=user_id, role=role, permissions=wanted)
    now = await lock_person_exclusive(transaction, user_id)
    if expires_at is not None and expires_at <= now:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT, "`expiresAt` has passed; choose a later time.", field=["expiresAt"]
        )
    grant_id = new_id()
    await transaction.connection.execute(
        insert(RoleGrant).values(
            id=grant_id,
            user_id=user_id,
            role=role.value,
            permissions=sorted(scope.value for scope in wanted),
            reason=reason.strip(),
            granted_by=caller.viewer.user_id,
            granted_at=now,
            expires_at=expires_at,
        )
    )
    await revoke(transaction, user_id, now=now)
    await record(
        transaction,
        AuditAction.ROLE_GRANTED,
        caller=caller,
        subject_id=user_id,
        after={"role": role.value, "permissions": sorted(wanted), "reason": reason.strip(), "grant": str(grant_id)},
    )
    return grant_id


async def revoke_role(transaction: Transaction, grant_id: UUID, *, caller: Caller) -> UUID:
    """Take a grant back, at once; gives whose it was.

    Raises IdentityRefused where there is none that holds, and for one that the caller could not have given.
    """
    found = (
        await transaction.connection.execute(
            select(RoleGrant.user_id, RoleGrant.role, RoleGrant.permissions).where(RoleGrant.id == grant_id)
        )
    ).one_or_none()
    if found is None:
        raise no_such_grant()
    user_id: UUID = found.user_id
    await _refuse_unless_theirs_to_give(
        transaction, caller, user_id=user_id, role=Role(found.role), permissions=known_scopes(found.permissions)
    )
    now = await lock_person_exclusive(transaction, user_id)
    result: CursorResult[tuple[()]] = await transaction.connection.execute(
        update(RoleGrant)
        .where(RoleGrant.id == grant_id, RoleGrant.revoked_at.is_(None))
        .values(revoked_at=now, revoked_by=caller.viewer.user_id)
    )
    if not result.rowcount:
        raise no_such_grant()
    await revoke(transaction, user_id, now=now)
    await record(
        transaction,
        AuditAction.ROLE_REVOKED,
        caller=caller,
        subject_id=user_id,
        before={"role": found.role, "permissions": found.permissions, "grant": str(grant_id)},
    )
    return user_id


def no_such_grant() -> IdentityRefused:
    """The refusal for a grant that is none, or that the caller cannot see."""
    return IdentityRefused(IdentityErrorCode.NOT_FOUND, "There is no such grant that still holds.", field=["id"])


async def scopes_of(transaction: Transaction, user_id: UUID) -> frozenset[Scope]:
    """What a person may do at this moment: what is their own, and what was granted."""
    return frozenset(await ends_of_scopes(transaction, user_id))


async def ends_of_scopes(transaction: Transaction, user_id: UUID) -> Mapping[Scope, datetime | None]:
    """What a person may do at this moment, and when each ends by itself; None where it does not."""
    granted = (
        select(func.unnest(RoleGrant.permissions, type_=Text()).label("permission"), RoleGrant.expires_at)
        .where(RoleGrant.user_id == user_id, grant_holds())
        .subquery()
    )
    # Of several grants of one permission the last one that ends counts.
    has_end = func.bool_and(granted.c.expires_at.is_not(None))
    rows = await transaction.connection.execute(
        select(granted.c.permission, case((has_end, func.max(granted.c.expires_at))).label("ends_at")).group_by(
            granted.c.permission
        )
    )
    ends = {row.permission: row.ends_at for row in rows}
    return dict.fromkeys(OWN) | {scope: ends[scope.value] for scope in known_scopes(ends)}


def earliest_end(ends: Iterable[datetime | None]) -> datetime | None:
    """The first of these moments; None where there is none."""
    return min((ends_at for ends_at in ends if ends_at is not None), default=None)


def grant_holds() -> ColumnElement[bool]:
    """The condition that a grant of a role holds at this moment."""
    return RoleGrant.revoked_at.is_(None) & (RoleGrant.expires_at.is_(None) | (RoleGrant.expires_at > func.now()))


def known_scopes(words: Iterable[str]) -> frozenset[Scope]:
    """What a grant's words let do; a word that this release does not know gives nothing."""
    named = set(words)
    return frozenset(scope for scope in GRANTABLE if scope.value in named)


async def _refuse_unless_theirs_to_give(
    transaction: Transaction, caller: Caller, *, user_id: UUID, role: Role, permissions: Collection[Scope]
) -> None:
    """Refuse who would change their own roles, or give or take what they could not do; the operator may do all."""
    giver = caller.viewer.user_id
    if giver is None:
        return
    if giver == user_id:
        raise IdentityRefused(
            IdentityErrorCode.NOT_GRANTED, "Nobody changes their own roles; somebody else has to do it."
        )
    if await _is_admin(transaction, giver):
        return
    if role is Role.ADMIN:
        raise IdentityRefused(IdentityErrorCode.NOT_GRANTED, "Only an admin makes and unmakes admins.", field=["role"])
    missing = sorted(set(permissions) - (await scopes_of(transaction, giver) & caller.viewer.scopes))
    if missing:
        raise IdentityRefused(
            IdentityErrorCode.NOT_GRANTED,
            f"You may not do {', '.join(missing)} yourself, so you may neither give nor take it.",
            field=["permissions"],
        )


async def _is_admin(transaction: Transaction, user_id: UUID) -> bool:
    found = await transaction.connection.execute(
        select(RoleGrant.id).where(RoleGrant.user_id == user_id, RoleGrant.role == Role.ADMIN.value, grant_holds())
    )
    return found.first() is not None
