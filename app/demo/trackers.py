"""The demo's client: a brand with a production run whose boxes are stored in Hamburg and delivered in Munich.

Where they are follows from reports, which are delivered as a partner's are.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import exists, func, insert, select

from app.core.clock import utc_now
from app.core.database import Database, Transaction
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.key_rings import key_ring_of
from app.core.secrets import Secrets
from app.core.settings import Settings
from app.core.worker_database import worker_database
from app.demo.people import USERNAME
from app.identity.models import User
from app.ingestion.delivery import deliver
from app.ingestion.file_rows import CanonicalRow, in_batches
from app.ingestion.models import BatchKind
from app.trackers.commands.brands import create_brand
from app.trackers.commands.location_batches import location_batches
from app.trackers.commands.places import create_place
from app.trackers.commands.production_runs import create_production_run
from app.trackers.commands.trackers import NewTracker, create_trackers
from app.trackers.models import Client, Membership, MembershipRole, PlaceKind

CLIENT = "Demo Lantern Works"
BRAND = "Hollow Pine"
WAREHOUSE = (53.5461, 9.9661)
SHOP = (48.1374, 11.5755)
EVERY = timedelta(minutes=30)
ACCURACY_METERS = 25


@dataclass(frozen=True, slots=True)
class Journey:
    """How long ago a box came into the warehouse, how long it stayed, and how far it is on its way, from 0 to 1."""

    name: str
    began: timedelta
    stored: timedelta
    on_the_road: timedelta
    way: float


JOURNEYS = (
    Journey("Box 1, delivered", timedelta(hours=40), timedelta(hours=10), timedelta(hours=9), 1.0),
    Journey("Box 2, on its way", timedelta(hours=20), timedelta(hours=14), timedelta(hours=6), 0.6),
    Journey("Box 3, in storage", timedelta(hours=12), timedelta(hours=12), timedelta(0), 0.0),
)


def load_trackers(settings: Settings) -> None:
    """Give the demo person a client with trackers, in the services of these settings; where they have one, nothing."""

    async def load() -> None:
        secrets = Secrets(key_ring_of(settings))
        async with worker_database(settings, application_name="trove-demo") as database:
            await load_trackers_into(database, secrets, now=utc_now())

    asyncio.run(load())


async def load_trackers_into(database: Database, secrets: Secrets, *, now: datetime) -> int:
    """Give the demo person their client, and deliver where its trackers were; how many trackers there were to give."""
    async with database.transaction() as transaction:
        owner_id = await transaction.connection.scalar(select(User.id).where(func.lower(User.username) == USERNAME))
        if owner_id is None or await transaction.connection.scalar(
            select(exists().where(Membership.user_id == owner_id))
        ):
            return 0
        tracker_ids = await _load(transaction, secrets, owner_id, now)
    batches = in_batches(_reports(tracker_ids, now))
    await deliver(database, location_batches(secrets), kind=BatchKind.LOCATION_REPORTS, batches=batches)
    return len(tracker_ids)


async def _load(transaction: Transaction, secrets: Secrets, owner_id: UUID, now: datetime) -> Sequence[UUID]:
    client_id = await _client_of(transaction, owner_id)
    brand_id = await create_brand(transaction, client_id, {"name": BRAND}, user_id=owner_id)
    run = {"description": "Lanterns, first batch", "started_at": now - timedelta(days=20)}
    run_id = await create_production_run(transaction, brand_id, run, user_id=owner_id)
    for name, kind, at in (
        ("Warehouse in Hamburg", PlaceKind.STORAGE, WAREHOUSE),
        ("Shop in Munich", PlaceKind.DELIVERY, SHOP),
    ):
        shape = {"type": "Point", "coordinates": [at[1], at[0]]}
        place = {"name": name, "kind": kind, "shape": shape, "production_run_ids": [run_id]}
        await create_place(transaction, client_id, place, user_id=owner_id)
    new = [NewTracker(journey.name) for journey in JOURNEYS]
    return await create_trackers(transaction, secrets, client_id, new, user_id=owner_id, production_run_id=run_id)


async def _client_of(transaction: Transaction, owner_id: UUID) -> UUID:
    """A client; who is signed in makes one by a function of the database, and here nobody is."""
    client_id = new_id()
    await transaction.connection.execute(insert(Client).values(id=client_id, name=CLIENT))
    await transaction.connection.execute(
        insert(Membership).values(id=new_id(), client_id=client_id, user_id=owner_id, role=MembershipRole.OWNER.value)
    )
    return client_id


def _reports(tracker_ids: Sequence[UUID], now: datetime) -> Iterator[CanonicalRow]:
    number = 0
    for tracker_id, journey in zip(tracker_ids, JOURNEYS, strict=True):
        passed = timedelta(0)
        while passed < journey.began:
            latitude, longitude = _position(journey, passed)
            number += 1
            row = {
                "tracker": public_id(PublicIdTag.TRACKER, tracker_id),
                "latitude": latitude,
                "longitude": longitude,
                "accuracy": ACCURACY_METERS,
                "reportedAt": (now - journey.began + passed).isoformat(),
            }
            yield CanonicalRow(number, orjson.dumps(row))
            passed += EVERY


def _position(journey: Journey, passed: timedelta) -> tuple[float, float]:
    """Where a box was so long after it came into the warehouse."""
    if passed < journey.stored:
        return WAREHOUSE
    gone = min(1.0, (passed - journey.stored) / journey.on_the_road) * journey.way if journey.on_the_road else 0.0
    latitude, longitude = ((1 - gone) * begin + gone * end for begin, end in zip(WAREHOUSE, SHOP, strict=True))
    return latitude, longitude
