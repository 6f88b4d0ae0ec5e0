"""Requests that may come twice: a repeat under the same key within a day gives what the first one made."""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, exists, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import CreationKey, Holding, Portfolio
from app.portfolios.texts import read_key

KEYS_KEPT_FOR = timedelta(hours=24)


async def repeated_request(
    connection: AsyncConnection, what: str, request: Mapping[str, Any], *, owner_id: UUID, key: str | None
) -> UUID | None:
    """What the same request under the same key has made within a day, if it has been made.

    Whoever asks keeps others of the same person from asking at the same time. The key of what was deleted since is free
    again. Raises PortfolioRefused where the key was used for another request.
    """
    if key is None:
        return None
    read_key(key)
    is_old = CreationKey.created_at < func.now() - KEYS_KEPT_FOR
    is_gone = ~or_(*(exists().where(table.id == CreationKey.result_id) for table in (Portfolio, Holding)))
    await connection.execute(delete(CreationKey).where(CreationKey.owner_id == owner_id, or_(is_old, is_gone)))
    stored = (
        await connection.execute(
            select(CreationKey.content_hash, CreationKey.result_id).where(
                CreationKey.owner_id == owner_id, CreationKey.key == key
            )
        )
    ).one_or_none()
    if stored is None:
        return None
    if stored.content_hash != _hash_of(what, request):
        raise PortfolioRefused(
            PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED,
            "This idempotency key was used for something else within the last day; use a new one.",
            field=["idempotencyKey"],
        )
    result_id: UUID = stored.result_id
    return result_id


async def remember_request(
    connection: AsyncConnection,
    what: str,
    request: Mapping[str, Any],
    *,
    owner_id: UUID,
    key: str | None,
    result_id: UUID,
) -> None:
    """Keep what a request under a key has made."""
    if key is not None:
        await connection.execute(
            insert(CreationKey).values(
                owner_id=owner_id, key=key, content_hash=_hash_of(what, request), result_id=result_id
            )
        )


def _hash_of(what: str, request: Mapping[str, Any]) -> str:
    return sha256(orjson.dumps([what, request], option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()
