"""The keys that sign access tokens: made ahead of their time, published while they matter, gone afterwards."""

import secrets as random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from joserfc.jwk import OKPKey
from sqlalchemy import Row, delete, func, insert, select

from app.core.database import Transaction
from app.core.secrets import Secrets, SecretUnreadable, place_of
from app.identity.access_tokens import LIFETIME
from app.identity.models import SigningKey

logger = structlog.get_logger(__name__)

SIGNS_FOR = timedelta(days=30)
# Verifiers that keep our key set for a while must know the next key before it signs.
MADE_AHEAD = timedelta(days=2)
KEPT_AFTERWARDS = LIFETIME * 4


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    """A signing key and when it signs."""

    key: OKPKey = field(repr=False)
    signs_from: datetime
    signs_until: datetime


async def ensure_signing_keys(transaction: Transaction, secrets: Secrets, *, now: datetime) -> None:
    """See to it that one key signs now, that the next is there in time, and that no old one stays.

    A key that the ring cannot read counts for nothing.
    """
    await transaction.connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("identity.signing_keys"))))
    await transaction.connection.execute(delete(SigningKey).where(SigningKey.signs_until < now - KEPT_AFTERWARDS))
    readable = await signing_keys(transaction, secrets)
    ends = [period.signs_until for period in readable]
    if not any(period.signs_from <= now < period.signs_until for period in readable):
        ends.append(await _make(transaction, secrets, signs_from=now))
    if max(ends) - now < MADE_AHEAD:
        await _make(transaction, secrets, signs_from=max(ends))


async def signing_keys(transaction: Transaction, secrets: Secrets) -> Sequence[KeyPeriod]:
    """Every key that verifies, the one that signs first in front; without those that the ring cannot read."""
    rows = await transaction.connection.execute(select(SigningKey).order_by(SigningKey.signs_from))
    periods = [_period(row, secrets) for row in rows]
    return [period for period in periods if period is not None]


def _period(row: Row[*tuple[Any, ...]], secrets: Secrets) -> KeyPeriod | None:
    try:
        private_key = secrets.decrypt(row.private_key, place_of(SigningKey.private_key, row.id))
    except SecretUnreadable as unreadable:
        # Its tokens hold no longer, and people sign in again: better than that nobody can.
        logger.warning("signing_key_unreadable", key=row.id, reason=str(unreadable))
        return None
    return KeyPeriod(OKPKey.import_key(private_key, {"kid": row.id}), row.signs_from, row.signs_until)


async def _make(transaction: Transaction, secrets: Secrets, *, signs_from: datetime) -> datetime:
    key_id = random.token_urlsafe(12)
    key = OKPKey.generate_key("Ed25519", {"kid": key_id})
    signs_until = signs_from + SIGNS_FOR
    await transaction.connection.execute(
        insert(SigningKey).values(
            id=key_id,
            private_key=secrets.encrypt(key.as_pem(private=True), place_of(SigningKey.private_key, key_id)),
            public_key=key.as_pem(private=False),
            signs_from=signs_from,
            signs_until=signs_until,
        )
    )
    return signs_until
