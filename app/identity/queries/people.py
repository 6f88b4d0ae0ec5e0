"""Finding people by what everybody may know of them."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.identity.models import public_profiles


async def person_of_username(connection: AsyncConnection, username: str) -> UUID | None:
    """The person with this username, in any case."""
    key = func.lower(public_profiles.c.username)
    person: UUID | None = await connection.scalar(select(public_profiles.c.id).where(key == username.lower()))
    return person


async def person_of_id(connection: AsyncConnection, user_id: UUID) -> UUID | None:
    """The same id, where it is still somebody's."""
    person: UUID | None = await connection.scalar(select(public_profiles.c.id).where(public_profiles.c.id == user_id))
    return person
