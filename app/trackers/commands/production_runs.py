"""Production runs of brands, kept by the operators of their client."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from app.core.database import Transaction
from app.core.ids import new_id
from app.trackers.commands.creation_keys import claim_key
from app.trackers.commands.held import changed, count_of, hold_of_client
from app.trackers.errors import TrackerErrorCode, TrackerRefused
from app.trackers.given import (
    Given,
    not_found,
    read_given,
    read_instant,
    read_name,
    read_url,
    refused,
    too_many,
)
from app.trackers.models import Brand, Place, ProductionRun, ProductionRunPlace, Tracker

MOST_RUNS = 10_000
LONGEST_DESCRIPTION = 500

_READERS: dict[str, Any] = {
    "description": lambda value: read_name(value, "description", longest=LONGEST_DESCRIPTION),
    "image_url": lambda value: read_url(value, "imageUrl"),
    "started_at": lambda value: _read_start(value),
    "ended_at": lambda value: read_instant(value, "endedAt"),
}


async def create_production_run(
    transaction: Transaction, brand_id: UUID, given: Given, *, user_id: UUID, idempotency_key: str | None = None
) -> UUID:
    """Record a production run of a brand: `description`, `started_at`, and maybe `ended_at` and `image_url`.

    Gives its key. Raises TrackerRefused.
    """
    connection = transaction.connection
    values = read_given(given, _READERS)
    _refuse_end_before_start(values["started_at"], values.get("ended_at"))
    brand = await hold_of_client(connection, Brand, brand_id, "brand", user_id=user_id, field=["brandId"])
    request = {"brand": brand_id, **values}
    run_id = new_id()
    first = await claim_key(connection, idempotency_key, request, user_id=user_id, made=ProductionRun.id, new_id=run_id)
    if first != run_id:
        return first
    if await count_of(connection, ProductionRun, ProductionRun.client_id == brand.client_id) >= MOST_RUNS:
        raise too_many(f"The client has {MOST_RUNS:,} production runs, as many as it may.", "brandId")
    await connection.execute(
        insert(ProductionRun).values(id=run_id, client_id=brand.client_id, brand_id=brand_id, **values)
    )
    return run_id


async def edit_production_run(
    transaction: Transaction, run_id: UUID, given: Given, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Change what is given of a production run; `brand_id` moves it to another brand of its client.

    Raises TrackerRefused.
    """
    connection = transaction.connection
    values = read_given(given, _READERS)
    held = await hold_of_client(
        connection, ProductionRun, run_id, "production run", user_id=user_id, expected_version=expected_version
    )
    _refuse_end_before_start(values.get("started_at", held.started_at), values.get("ended_at", held.ended_at))
    if "brand_id" in given:
        values["brand_id"] = await _brand_of(connection, given["brand_id"], held.client_id)
    await connection.execute(
        update(ProductionRun).where(ProductionRun.id == run_id).values(**values, **changed(ProductionRun))
    )


async def delete_production_run(
    transaction: Transaction, run_id: UUID, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Delete a production run; raises TrackerRefused while trackers belong to it, or a place is for it alone."""
    connection = transaction.connection
    await hold_of_client(
        connection, ProductionRun, run_id, "production run", user_id=user_id, expected_version=expected_version
    )
    if await count_of(connection, Tracker, Tracker.production_run_id == run_id):
        raise TrackerRefused(
            TrackerErrorCode.NOT_EMPTY, "Trackers belong to it; move them to another, or to none.", field=["id"]
        )
    # Without any run it would be a place for all trackers.
    # Its name is not told: who may change things does not see them by that.
    if await connection.scalar(select(_place_for_it_alone(run_id))):
        raise TrackerRefused(
            TrackerErrorCode.NOT_EMPTY, "A place is for it alone; edit or delete that first.", field=["id"]
        )
    await connection.execute(delete(ProductionRun).where(ProductionRun.id == run_id))


async def require_run(connection: AsyncConnection, run_id: UUID, client_id: UUID, *field: str) -> UUID:
    """The key of a production run of this client; raises TrackerRefused for any other."""
    own = select(ProductionRun.id).where(ProductionRun.id == run_id, ProductionRun.client_id == client_id)
    if await connection.scalar(own) is None:
        raise not_found("production run", *field)
    return run_id


async def _brand_of(connection: AsyncConnection, brand_id: UUID, client_id: UUID) -> UUID:
    own = select(Brand.id).where(Brand.id == brand_id, Brand.client_id == client_id)
    if await connection.scalar(own) is None:
        raise not_found("brand", "brandId")
    return brand_id


def _place_for_it_alone(run_id: UUID) -> Any:
    other = aliased(ProductionRunPlace)
    return (
        select(Place.id)
        .join(ProductionRunPlace, ProductionRunPlace.place_id == Place.id)
        .where(
            ProductionRunPlace.production_run_id == run_id,
            Place.deleted_at.is_(None),
            ~exists().where(other.place_id == Place.id, other.production_run_id != run_id),
        )
        .exists()
    )


def _read_start(value: datetime | None) -> datetime:
    started_at = read_instant(value, "startedAt")
    if started_at is None:
        raise refused("A production run has a time at which it began.", "startedAt")
    return started_at


def _refuse_end_before_start(started_at: datetime, ended_at: datetime | None) -> None:
    if ended_at is not None and ended_at < started_at:
        raise refused("It ends at or after the time at which it began.", "endedAt")
