"""The key by which push services know this server, as browsers are given it."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.notifications.models import VapidKey


async def newest_public_key(connection: AsyncConnection) -> bytes | None:
    """The key that browsers subscribe with: 65 bytes, a point of P-256. None where none was made yet."""
    newest = select(VapidKey.public_key).order_by(VapidKey.created_at.desc(), VapidKey.id.desc()).limit(1)
    found: bytes | None = await connection.scalar(newest)
    return found
