"""What the viewer of a transaction may do, by the credential and the grants in the database."""

from sqlalchemy import Boolean, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.identity.scopes import Scope


async def viewer_may(connection: AsyncConnection, scope: Scope) -> bool:
    """Whether the viewer's credential carries the permission, and somebody still grants it."""
    return bool(await connection.scalar(select(func.identity.viewer_may(scope.value, type_=Boolean()))))
