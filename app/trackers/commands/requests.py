"""Requests that may come twice: a repeat under the same key within a day gives what the first one made.

They are kept with those of portfolios, so a key of a person stands for one thing only.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.portfolios.commands import requests
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.trackers.commands.held import only_writer_of
from app.trackers.errors import TrackerErrorCode, TrackerRefused


async def repeated_request(
    connection: AsyncConnection, what: str, request: Mapping[str, Any], *, user_id: UUID, key: str | None
) -> UUID | None:
    """What the same request under the same key has made within a day; raises TrackerRefused for another request."""
    if key is not None:
        await only_writer_of(connection, f"requests of {user_id}")
    with _as_refusal_of_trackers():
        return await requests.repeated_request(connection, f"trackers.{what}", request, owner_id=user_id, key=key)


async def remember_request(
    connection: AsyncConnection,
    what: str,
    request: Mapping[str, Any],
    *,
    user_id: UUID,
    key: str | None,
    result_id: UUID,
) -> None:
    """Keep what a request under a key has made."""
    await requests.remember_request(
        connection, f"trackers.{what}", request, owner_id=user_id, key=key, result_id=result_id
    )


@contextmanager
def _as_refusal_of_trackers() -> Iterator[None]:
    try:
        yield
    except PortfolioRefused as refusal:
        is_reused = refusal.reason is PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED
        code = TrackerErrorCode.IDEMPOTENCY_KEY_REUSED if is_reused else TrackerErrorCode.INVALID_INPUT
        raise TrackerRefused(code, refusal.message, field=refusal.field) from None
