"""Requests that may be sent twice: what was recorded under an idempotency key is not recorded again."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import RequestKey
from app.portfolios.texts import read_key

KEYS_KEPT_FOR = timedelta(hours=24)


async def claim_key(connection: AsyncConnection, key: str, content: object, *, owner_id: UUID, trade_id: UUID) -> UUID:
    """The trade that a key of this person stands for: this one, or the first that was recorded under it.

    Waits for another request with the key that is under way. Raises `PortfolioRefused` for a key that was used with
    other content within 24 hours.
    """
    read_key(key)
    content_hash = sha256(orjson.dumps(content, default=str)).hexdigest()
    await connection.execute(
        delete(RequestKey).where(RequestKey.owner_id == owner_id, RequestKey.created_at < func.now() - KEYS_KEPT_FOR)
    )
    claimed = await connection.execute(
        postgresql.insert(RequestKey)
        .values(owner_id=owner_id, key=key, content_hash=content_hash, trade_id=trade_id)
        .on_conflict_do_nothing(index_elements=[RequestKey.owner_id, RequestKey.key])
        .returning(RequestKey.trade_id)
    )
    if claimed.one_or_none() is not None:
        return trade_id
    stored = (
        await connection.execute(
            select(RequestKey.content_hash, RequestKey.trade_id).where(
                RequestKey.owner_id == owner_id, RequestKey.key == key
            )
        )
    ).one()
    if stored.content_hash != content_hash:
        raise PortfolioRefused(
            PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED,
            "This idempotency key was used for another trade; use a new key for a new trade.",
            field=["idempotencyKey"],
        )
    first: UUID = stored.trade_id
    return first
