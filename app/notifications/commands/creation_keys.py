"""Requests that may be sent twice: what was made under an idempotency key within a day is not made again.

They are kept with those of portfolios, so a key of a person stands for one thing only.
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from app.notifications.errors import NotificationErrorCode, NotificationRefused
from app.portfolios.commands import creation_keys
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused


async def claim_key(
    connection: AsyncConnection,
    key: str | None,
    request: object,
    *,
    owner_id: UUID,
    made: InstrumentedAttribute[UUID],
    new_id: UUID,
) -> UUID:
    """The id of what a person's key stands for: `new_id`, which is to be made, or what was made under it before.

    `made` is the id of the table that it is in. Raises NotificationRefused for a key that was used for something else.
    """
    try:
        return await creation_keys.claim_key(connection, key, request, owner_id=owner_id, made=made, new_id=new_id)
    except PortfolioRefused as refusal:
        is_reused = refusal.reason is PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED
        code = NotificationErrorCode.IDEMPOTENCY_KEY_REUSED if is_reused else NotificationErrorCode.INVALID_INPUT
        raise NotificationRefused(code, refusal.message, field=refusal.field) from None
