"""Deletes what nobody can use or ask for any more."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, CursorResult, delete, or_

from app.core.database import Base, Transaction
from app.identity.models import (
    Challenge,
    MailStatus,
    OutgoingMail,
    RefreshToken,
    Revocation,
    Session,
    UsedNonce,
)

# What providers sign is taken for minutes, so a nonce is remembered for much longer than it matters.
NONCES_KEPT_FOR = timedelta(days=1)
# Longer than any access token lasts.
REVOCATIONS_KEPT_FOR = timedelta(hours=1)
# For their owner to look at.
SESSIONS_KEPT_FOR = timedelta(days=30)
MAILS_KEPT_FOR = timedelta(days=30)


async def prune_identity(transaction: Transaction, *, now: datetime) -> int:
    """Delete challenges that are over, and what else is older than it is kept; gives how many rows went."""
    long_ago = now - SESSIONS_KEPT_FOR
    useless: Sequence[tuple[type[Base], ColumnElement[bool]]] = (
        (Challenge, Challenge.expires_at < now),
        (UsedNonce, UsedNonce.used_at < now - NONCES_KEPT_FOR),
        (Revocation, Revocation.revoked_at < now - REVOCATIONS_KEPT_FOR),
        (RefreshToken, RefreshToken.expires_at < long_ago),
        # Their refresh tokens go with them.
        (Session, or_(Session.ended_at < long_ago, Session.expires_at < long_ago)),
        (
            OutgoingMail,
            (OutgoingMail.status != MailStatus.WAITING.value) & (OutgoingMail.created_at < now - MAILS_KEPT_FOR),
        ),
    )
    deleted = 0
    for table, is_useless in useless:
        result: CursorResult[tuple[()]] = await transaction.connection.execute(delete(table).where(is_useless))
        deleted += result.rowcount
    return deleted
