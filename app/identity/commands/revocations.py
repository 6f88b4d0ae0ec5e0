"""What was issued and holds no longer."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import insert

from app.core.database import Transaction
from app.core.events import Event, Topic
from app.identity.models import Revocation


async def revoke(transaction: Transaction, subject_id: UUID, *, now: datetime) -> None:
    """Have every process refuse what was issued before now to this session, token or user."""
    await transaction.connection.execute(insert(Revocation).values(subject_id=subject_id, revoked_at=now))
    transaction.announce(Event(Topic.REVOKED))
