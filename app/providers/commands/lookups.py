"""Answers that are kept for a while, so that the same is not asked for again and again."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.providers.models import ProviderLookup


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that was kept; one that is not fresh any more may be asked about by its `etag`."""

    content: bytes = field(repr=False)
    etag: str | None
    fetched_at: datetime
    is_fresh: bool


async def kept_answer(transaction: Transaction, provider: str, key: str) -> KeptAnswer | None:
    """The answer that was kept under a key, fresh or not; None where there is none."""
    row = (
        await transaction.connection.execute(
            select(
                ProviderLookup.content,
                ProviderLookup.etag,
                ProviderLookup.fetched_at,
                (ProviderLookup.expires_at > func.now()).label("is_fresh"),
            ).where(ProviderLookup.provider == provider, ProviderLookup.key == key)
        )
    ).one_or_none()
    return None if row is None else KeptAnswer(row.content, row.etag, row.fetched_at, row.is_fresh)


async def keep_answer(
    transaction: Transaction, provider: str, key: str, content: bytes, *, etag: str | None, kept_for: timedelta
) -> None:
    """Keep an answer in place of an older one."""
    values = {"content": content, "etag": etag, "fetched_at": func.now(), "expires_at": func.now() + kept_for}
    await transaction.connection.execute(
        insert(ProviderLookup)
        .values(provider=provider, key=key, **values)
        .on_conflict_do_update(index_elements=[ProviderLookup.provider, ProviderLookup.key], set_=values)
    )


async def keep_answer_longer(transaction: Transaction, provider: str, key: str, *, kept_for: timedelta) -> None:
    """Take an answer for fresh again: its provider says that it has not changed."""
    await transaction.connection.execute(
        update(ProviderLookup)
        .where(ProviderLookup.provider == provider, ProviderLookup.key == key)
        .values(fetched_at=func.now(), expires_at=func.now() + kept_for)
    )
