"""Clients with trackers and keys for tests, and reports of them: plain ones, and those that a phone has encrypted."""

import base64
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from sqlalchemy import insert, select, text

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.secrets import place_of
from app.ingestion.commands import AcceptedBatch, accept_batch
from app.ingestion.models import BatchKind, IngestReject
from app.ingestion.processing import ProcessedBatch, process_batch
from app.trackers.commands.location_batches import location_batches
from app.trackers.find_my import EPOCH, KeyPair, make_key_pair
from app.trackers.models import Client, Membership, Tracker, TrackerKey
from tests.identity.builders import SECRETS, add_person

HANDLERS = location_batches(SECRETS)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
Line = dict[str, object]


@dataclass(frozen=True, slots=True)
class Tag:
    """A tracker with its client and the operator of that."""

    id: UUID
    client_id: UUID
    operator_id: UUID

    @property
    def public_id(self) -> str:
        """Its id as senders name it."""
        return public_id(PublicIdTag.TRACKER, self.id)


async def add_client(
    database: Database, *, operator_id: UUID | None = None, role: str = "operator"
) -> tuple[UUID, UUID]:
    """A client with a member: their ids."""
    client_id = new_id()
    async with database.transaction() as transaction:
        connection = transaction.connection
        await connection.execute(text("SET LOCAL ROLE trove_migrator"))
        operator_id = operator_id or await add_person(connection)
        await connection.execute(insert(Client).values(id=client_id, name="Harbour"))
        await connection.execute(
            insert(Membership).values(client_id=client_id, user_id=operator_id, id=new_id(), role=role)
        )
    return client_id, operator_id


async def add_tag(database: Database, *, operator_id: UUID | None = None, role: str = "operator") -> Tag:
    """A tracker of a client of its own."""
    client_id, operator_id = await add_client(database, operator_id=operator_id, role=role)
    tracker_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(Tracker).values(id=tracker_id, client_id=client_id, name="Box"))
    return Tag(tracker_id, client_id, operator_id)


async def add_key(database: Database, tag: Tag, pair: KeyPair | None = None) -> KeyPair:
    """Give a tracker a key pair."""
    pair = pair or make_key_pair()
    key_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(TrackerKey).values(
                id=key_id,
                client_id=tag.client_id,
                tracker_id=tag.id,
                advertised_key=pair.advertised_key,
                hashed_key=pair.hashed_key,
                private_key=SECRETS.encrypt(pair.private_key, place_of(TrackerKey.private_key, key_id)),
            )
        )
    return pair


def hashed(pair: KeyPair) -> str:
    """The hashed key as senders write it."""
    return base64.b64encode(pair.hashed_key).decode()


def sighting(
    tag: Tag, *, minutes: float = 0, latitude: object = 48.8566, longitude: object = -2.3522, **more: object
) -> Line:
    """A row that names the tracker, so many minutes after noon."""
    at = NOON + timedelta(minutes=minutes)
    row = {"tracker": tag.public_id, "latitude": latitude, "longitude": longitude, "reportedAt": at.isoformat()}
    return {**row, **more}


def sealed(pair: KeyPair, payload: bytes | None = None, **more: object) -> Line:
    """A row with an encrypted report."""
    payload = sealed_payload(pair) if payload is None else payload
    return {"hashedKey": hashed(pair), "payload": base64.b64encode(payload).decode(), **more}


def sealed_payload(
    pair: KeyPair,
    *,
    at: datetime = NOON,
    latitude: float = 48.8566,
    longitude: float = -2.3522,
    accuracy: int = 35,
    confidence: int = 2,
    status: int = 0,
    is_long: bool = False,
) -> bytes:
    """What a phone sends of a tag: it knows no more than the advertised key, the x coordinate of a point."""
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP224R1(), b"\x02" + pair.advertised_key)
    ephemeral = ec.generate_private_key(ec.SECP224R1())
    numbers = ephemeral.private_numbers().public_numbers
    encoded = b"\x04" + numbers.x.to_bytes(28, "big") + numbers.y.to_bytes(28, "big")
    derived = X963KDF(hashes.SHA256(), 32, sharedinfo=encoded).derive(ephemeral.exchange(ec.ECDH(), point))
    content = struct.pack(">iiBB", round(latitude * 1e7), round(longitude * 1e7), accuracy, status)
    sealed_content = AESGCM(derived[:16]).encrypt(derived[16:], content, None)
    time = int((at - EPOCH).total_seconds()).to_bytes(4, "big")
    return time + (os.urandom(1) if is_long else b"") + bytes([confidence]) + encoded + sealed_content


def ndjson(*lines: Line) -> bytes:
    """Rows as a batch has them."""
    return b"\n".join(orjson.dumps(line) for line in lines)


async def accepted(database: Database, payload: bytes, *, sender_id: UUID | None = None) -> AcceptedBatch:
    """A batch that is stored and waits."""
    async with database.transaction() as transaction:
        return await accept_batch(
            transaction,
            kind=BatchKind.LOCATION_REPORTS,
            payload=payload,
            idempotency_key=None,
            sender_id=sender_id,
        )


async def sent(database: Database, payload: bytes, *, sender_id: UUID | None = None) -> tuple[int, int, int]:
    """Send a batch and have it processed: how many rows were accepted, known already, and rejected."""
    counts = (await processed(database, await accepted(database, payload, sender_id=sender_id))).counts
    return counts.accepted, counts.duplicate, counts.rejected


async def processed(database: Database, batch: AcceptedBatch) -> ProcessedBatch:
    """Process a batch that waits."""
    async with database.transaction() as transaction:
        done = await process_batch(transaction, HANDLERS, batch.id)
    assert done is not None
    return done


async def reasons(database: Database) -> Sequence[tuple[int, str]]:
    """Row numbers and reasons of all rejects, in the order of batches."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(IngestReject.row_number, IngestReject.reason).order_by(
                IngestReject.batch_id, IngestReject.row_number
            )
        )
        return [(row.row_number, row.reason) for row in rows]


async def rows_of(database: Database, statement: str, **values: Any) -> Sequence[Any]:
    """Rows as the worker's role sees them."""
    async with database.transaction() as transaction:
        return (await transaction.connection.execute(text(statement), values)).all()


async def stored(database: Database) -> Sequence[Any]:
    """The reports that are stored, by time and place."""
    return await rows_of(
        database,
        """SELECT tracker_id, reported_at, latitude_e7, longitude_e7, accuracy_meters, confidence, source
        FROM trackers.location_reports ORDER BY tracker_id, reported_at, latitude_e7, longitude_e7""",
    )


def ago(**units: float) -> str:
    """So long before now, as rows spell it."""
    return (utc_now() - timedelta(**units)).isoformat()
