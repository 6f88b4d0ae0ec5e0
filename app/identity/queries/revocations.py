"""What was revoked lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.identity.models import Revocation


@dataclass(frozen=True, slots=True)
class RevocationRow:
    """What was issued before `revoked_at` to this user, session or API token holds no longer."""

    subject_id: UUID
    revoked_at: datetime


async def revocations_since(
    connection: AsyncConnection, *, since: datetime | None, overlap: timedelta, kept: timedelta
) -> tuple[datetime, Sequence[RevocationRow]]:
    """The database's clock, and what was revoked since `since` less `overlap`; without `since`, all within `kept`."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    beginning = now - kept if since is None else since - overlap
    rows = await connection.execute(
        select(Revocation.subject_id, Revocation.revoked_at).where(Revocation.revoked_at >= beginning)
    )
    return now, [RevocationRow(row.subject_id, row.revoked_at) for row in rows]
