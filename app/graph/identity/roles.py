"""Roles, granted and taken back by staff."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import strawberry

from app.core.database import Transaction
from app.core.ids import PublicIdTag, parse_public_id
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.identity.accounts import RoleGrant
from app.graph.identity.errors import IdentityError, changes
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import Access
from app.identity.commands.roles import grant_role, no_such_grant, revoke_role
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Role
from app.identity.queries.people import person_of_id, person_of_username
from app.identity.scopes import Scope

ROLES_WRITE = Access((Scope.ROLES_WRITE,), needs_session=True, needs_recent_proof=True)


@strawberry.input(description="A role for somebody. Name the person by `userId` or by `username`.")
class GrantRoleInput:
    user_id: strawberry.ID | None = strawberry.field(default=None, description="The person's id as a user or account.")
    username: str | None = strawberry.field(default=None, description="The person's username, in any case.")
    role: Role = strawberry.field(description="What they are to be.")
    permissions: list[Scope] | None = strawberry.field(
        default=None, description="What it is to let them do; default: what the role usually does."
    )
    reason: str = strawberry.field(description="Why, in 500 characters at most.")
    expires_at: datetime | None = strawberry.field(
        default=None, description="When it ends by itself; null for a role that does not."
    )


@strawberry.input(description="The grant to take back.")
class RevokeRoleInput:
    id: strawberry.ID = strawberry.field(description="The grant.")


@dataclass(frozen=True, slots=True)
class GrantChanged(Done):
    """The payload of a change of roles."""

    role_grant: Reference


@strawberry.type(description="What became of the grant.")
class GrantRolePayload:
    role_grant: RoleGrant | None = attribute(
        f"The grant; null when refused, and for staff without `{Scope.ACCOUNTS_READ}`."
    )
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the grant.")
class RevokeRolePayload:
    role_grant: RoleGrant | None = attribute("The grant; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


def _refuse_unless_named_once(input: GrantRoleInput) -> None:
    if (input.user_id is None) == (input.username is None):
        raise IdentityRefused(IdentityErrorCode.INVALID_INPUT, "Name the person by `userId` or by `username`, by one.")


async def _person(transaction: Transaction, input: GrantRoleInput) -> UUID:
    found = None
    if input.username is not None:
        found = await person_of_username(transaction.connection, input.username)
    elif input.user_id is not None:
        parsed = parse_public_id(input.user_id)
        if parsed is not None and parsed[0] in {PublicIdTag.USER, PublicIdTag.ACCOUNT} and isinstance(parsed[1], UUID):
            found = await person_of_id(transaction.connection, parsed[1])
    if found is None:
        field = ["username" if input.user_id is None else "userId"]
        raise IdentityRefused(IdentityErrorCode.NOT_FOUND, "There is no such person.", field=field)
    return found


@strawberry.type
class RoleMutations:
    @changes(
        "Give somebody a role. It takes effect at once. Nobody gives what they do not have, unless they are an admin, "
        "and nobody changes their own roles.",
        type=GrantRolePayload,
        access=ROLES_WRITE,
    )
    @staticmethod
    async def grant_role(info: Info, input: GrantRoleInput) -> GrantChanged:
        _refuse_unless_named_once(input)
        async with info.context.transaction() as transaction:
            grant_id = await grant_role(
                transaction,
                caller=info.context.caller,
                user_id=await _person(transaction, input),
                role=input.role,
                permissions=input.permissions,
                reason=input.reason,
                expires_at=input.expires_at,
            )
        return GrantChanged(refer(RoleGrant, grant_id))

    @changes(
        f"Take a role back, at once. Staff with `{Scope.ACCOUNTS_READ}` find grants; nobody takes back what they could "
        "not have given, or changes their own roles.",
        type=RevokeRolePayload,
        access=ROLES_WRITE,
    )
    @staticmethod
    async def revoke_role(info: Info, input: RevokeRoleInput) -> GrantChanged:
        key = key_of(input.id, PublicIdTag.ROLE_GRANT, argument="id")
        if not isinstance(key, UUID):
            raise no_such_grant()
        async with info.context.transaction() as transaction:
            await revoke_role(transaction, key, caller=info.context.caller)
        return GrantChanged(refer(RoleGrant, key))
