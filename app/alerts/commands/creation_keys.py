"""Requests that may be sent twice: a rule that was made under an idempotency key within a day is not made again.

They are kept with those of portfolios, so a key of a person stands for one thing only.
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.given import refusing_as_alerts
from app.alerts.models import Rule
from app.portfolios.commands import creation_keys


async def claim_key(
    connection: AsyncConnection, key: str | None, request: object, *, owner_id: UUID, new_id: UUID
) -> UUID:
    """The id of the rule that a person's key stands for: `new_id`, which is to be made, or one that was made before.

    Raises AlertRefused for a key that was used for something else.
    """
    with refusing_as_alerts():
        return await creation_keys.claim_key(connection, key, request, owner_id=owner_id, made=Rule.id, new_id=new_id)
