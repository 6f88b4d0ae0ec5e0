"""Requests that may be sent twice: what was made under an idempotency key within a day is not made again."""

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Row, delete, func, select, true
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import CreationKey
from app.portfolios.texts import read_key

KEYS_KEPT_FOR = timedelta(hours=24)


async def claim_key(
    connection: AsyncConnection,
    key: str | None,
    request: object,
    *,
    owner_id: UUID,
    made: InstrumentedAttribute[UUID],
    new_id: UUID,
    is_kept: ColumnElement[bool] | None = None,
) -> UUID:
    """The id of what a person's key stands for: `new_id`, which is to be made, or what was made under it before.

    `made` is the id of the table that it is in; rows of which `is_kept` does not hold count as deleted.

    Waits for another request with the key that is under way. What has been deleted since is made anew. Raises
    `PortfolioRefused` for a key that was used for something else within 24 hours.
    """
    if key is None:
        return new_id
    read_key(key)
    content_hash = sha256(
        orjson.dumps([made.class_.__name__.lower(), request], option=orjson.OPT_SORT_KEYS, default=str)
    ).hexdigest()
    of_owner = CreationKey.owner_id == owner_id
    is_old = CreationKey.created_at < func.now() - KEYS_KEPT_FOR
    await connection.execute(delete(CreationKey).where(of_owner, is_old))
    claim = (
        postgresql.insert(CreationKey)
        .values(owner_id=owner_id, key=key, content_hash=content_hash, result_id=new_id)
        .on_conflict_do_nothing(index_elements=[CreationKey.owner_id, CreationKey.key])
        .returning(CreationKey.result_id)
    )
    # Of the id alone: of some of these the API may not read every column.
    is_there = select(made).where(made == CreationKey.result_id, true() if is_kept is None else is_kept).exists()
    while not (await connection.execute(claim)).all():
        for stored in await _stored(connection, key, owner_id=owner_id, is_there=is_there):
            if stored.content_hash != content_hash:
                raise PortfolioRefused(
                    PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED,
                    "This idempotency key was used for something else within the last day; use a new one.",
                    field=["idempotencyKey"],
                )
            if stored.is_there:
                first: UUID = stored.result_id
                return first
            gone = (of_owner, CreationKey.key == key, CreationKey.result_id == stored.result_id)
            await connection.execute(delete(CreationKey).where(*gone))
    return new_id


async def _stored(
    connection: AsyncConnection, key: str, *, owner_id: UUID, is_there: ColumnElement[bool]
) -> Sequence[Row[str, UUID, bool]]:
    found = await connection.execute(
        select(CreationKey.content_hash, CreationKey.result_id, is_there.label("is_there")).where(
            CreationKey.owner_id == owner_id, CreationKey.key == key
        )
    )
    return found.all()
