"""The keys by which push services know this server (RFC 8292)."""

from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import case, func, insert, select

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import Secrets, place_of
from app.notifications.models import VapidKey

_NEWEST = (VapidKey.created_at.desc(), VapidKey.id.desc())


@dataclass(frozen=True, slots=True)
class SigningVapidKey:
    """A key of ours with which it signs."""

    public_key: bytes
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)


async def vapid_key(transaction: Transaction, secrets: Secrets) -> bytes:
    """The key that browsers subscribe with, made if there is none: 65 bytes, a point of P-256."""
    newest = select(VapidKey.public_key).order_by(*_NEWEST).limit(1)
    found: bytes | None = await transaction.connection.scalar(newest)
    if found is None:
        await transaction.connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("notifications.vapid"))))
        found = await transaction.connection.scalar(newest)
    return await _make(transaction, secrets) if found is None else found


async def signing_vapid_key(
    transaction: Transaction, secrets: Secrets, *, subscribed_at: datetime
) -> SigningVapidKey | None:
    """The key that was the newest when a browser subscribed: its push service takes no other. None where none was made.

    Raises SecretUnreadable.
    """
    was_there = VapidKey.created_at <= subscribed_at
    statement = (
        select(VapidKey.id, VapidKey.public_key, VapidKey.private_key)
        # The newest that was there, else the oldest.
        .order_by(was_there.desc(), case((was_there, VapidKey.created_at)).desc(), VapidKey.created_at, VapidKey.id)
        .limit(1)
    )
    row = (await transaction.connection.execute(statement)).one_or_none()
    if row is None:
        return None
    written = secrets.decrypt(row.private_key, place_of(VapidKey.private_key, row.id))
    private_key = serialization.load_der_private_key(written, password=None)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise TypeError("a key of VAPID is one of P-256")
    return SigningVapidKey(row.public_key, private_key)


async def _make(transaction: Transaction, secrets: Secrets) -> bytes:
    key_id = new_id()
    key = ec.generate_private_key(ec.SECP256R1())
    written = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_key = key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    await transaction.connection.execute(
        insert(VapidKey).values(
            id=key_id,
            public_key=public_key,
            private_key=secrets.encrypt(written, place_of(VapidKey.private_key, key_id)),
        )
    )
    return public_key
