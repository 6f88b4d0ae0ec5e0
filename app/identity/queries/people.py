"""Finding people by what everybody may know of them, and listing them for the operator."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.identity.models import ApiToken, RoleGrant, User, public_profiles


@dataclass(frozen=True, slots=True)
class GrantSummary:
    """A grant that holds."""

    id: UUID
    role: str
    permissions: Sequence[str]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """A person as the operator lists them; `api_tokens` counts those that hold."""

    username: str
    email: str | None = field(repr=False)
    api_tokens: int
    grants: Sequence[GrantSummary]


async def person_of_username(connection: AsyncConnection, username: str) -> UUID | None:
    """The person with this username, in any case."""
    key = func.lower(public_profiles.c.username)
    person: UUID | None = await connection.scalar(select(public_profiles.c.id).where(key == username.lower()))
    return person


async def person_of_id(connection: AsyncConnection, user_id: UUID) -> UUID | None:
    """The same id, where it is still somebody's."""
    person: UUID | None = await connection.scalar(select(public_profiles.c.id).where(public_profiles.c.id == user_id))
    return person


async def people_by_username(connection: AsyncConnection) -> Sequence[PersonSummary]:
    """Everybody, with the grants and the number of tokens that hold; for roles that see all rows."""
    now = func.now()
    grants: dict[UUID, list[GrantSummary]] = defaultdict(list)
    for row in await connection.execute(
        select(RoleGrant.user_id, RoleGrant.id, RoleGrant.role, RoleGrant.permissions, RoleGrant.expires_at)
        .where(RoleGrant.revoked_at.is_(None), RoleGrant.expires_at.is_(None) | (RoleGrant.expires_at > now))
        .order_by(RoleGrant.granted_at, RoleGrant.id)
    ):
        grants[row.user_id].append(GrantSummary(row.id, row.role, row.permissions, row.expires_at))
    holds = ApiToken.revoked_at.is_(None) & (ApiToken.expires_at.is_(None) | (ApiToken.expires_at > now))
    tokens = select(func.count()).where(ApiToken.user_id == User.id, holds).correlate(User).scalar_subquery()
    people = await connection.execute(
        select(User.id, User.username, User.email, tokens.label("api_tokens"))
        .where(User.deleted_at.is_(None))
        .order_by(func.lower(User.username))
    )
    return [PersonSummary(row.username, row.email, row.api_tokens, grants[row.id]) for row in people]
