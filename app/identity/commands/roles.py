"""Roles: granted by somebody, for a reason, with permissions that say what the grant lets do."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.sessions import change_scopes_of, revoke
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Role, RoleGrant
from app.identity.scopes import GRANTABLE, PERMISSIONS_OF_ROLES, Scope
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

    It takes effect at once: what they hold is to be refreshed. Raises IdentityRefused for a reason or permissions that
    are wrong. That the caller may do it, row-level security says too.
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
    now = await change_scopes_of(transaction, user_id)
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
    """Take a grant back, at once; gives whose it was. Raises IdentityRefused where there is none that holds."""
    found = (
        await transaction.connection.execute(
            select(RoleGrant.user_id, RoleGrant.role, RoleGrant.permissions).where(
                RoleGrant.id == grant_id, RoleGrant.revoked_at.is_(None)
            )
        )
    ).one_or_none()
    if found is None:
        raise IdentityRefused(IdentityErrorCode.NOT_FOUND, "There is no such grant that still holds.", field=["id"])
    user_id: UUID = found.user_id
    now = await change_scopes_of(transaction, user_id)
    await transaction.connection.execute(
        update(RoleGrant).where(RoleGrant.id == grant_id).values(revoked_at=now, revoked_by=caller.viewer.user_id)
    )
    await revoke(transaction, user_id, now=now)
    await record(
        transaction,
        AuditAction.ROLE_REVOKED,
        caller=caller,
        subject_id=user_id,
        before={"role": found.role, "permissions": found.permissions, "grant": str(grant_id)},
    )
    return user_id
