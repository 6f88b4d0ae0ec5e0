"""Brands of clients, kept by their operators."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.trackers.commands.creation_keys import claim_key
from app.trackers.commands.held import changed, count_of, hold_client, hold_of_client
from app.trackers.errors import TrackerErrorCode, TrackerRefused
from app.trackers.given import Given, read_given, read_name, read_url, too_many
from app.trackers.models import Brand, ProductionRun

MOST_BRANDS = 1_000

_READERS: dict[str, Any] = {
    "name": lambda value: read_name(value, "name"),
    "logo_url": lambda value: read_url(value, "logoUrl"),
}


async def create_brand(
    transaction: Transaction, client_id: UUID, given: Given, *, user_id: UUID, idempotency_key: str | None = None
) -> UUID:
    """Make a brand of a client with this `name`, and maybe `logo_url`; gives its key. Raises TrackerRefused."""
    connection = transaction.connection
    values = read_given(given, _READERS)
    await hold_client(connection, client_id, user_id=user_id)
    request = {"client": client_id, **values}
    brand_id = new_id()
    first = await claim_key(connection, idempotency_key, request, user_id=user_id, made=Brand.id, new_id=brand_id)
    if first != brand_id:
        return first
    if await count_of(connection, Brand, Brand.client_id == client_id) >= MOST_BRANDS:
        raise too_many(f"The client has {MOST_BRANDS:,} brands, as many as it may.", "clientId")
    await _refuse_taken(connection, client_id, values["name"])
    await connection.execute(insert(Brand).values(id=brand_id, client_id=client_id, **values))
    return brand_id


async def edit_brand(
    transaction: Transaction, brand_id: UUID, given: Given, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Change a brand's `name` or `logo_url`, whichever is given; raises TrackerRefused."""
    connection = transaction.connection
    values = read_given(given, _READERS)
    held = await hold_of_client(
        connection, Brand, brand_id, "brand", user_id=user_id, expected_version=expected_version
    )
    if values.get("name", held.name) != held.name:
        await _refuse_taken(connection, held.client_id, values["name"])
    await connection.execute(update(Brand).where(Brand.id == brand_id).values(**values, **changed(Brand)))


async def delete_brand(
    transaction: Transaction, brand_id: UUID, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Delete a brand; raises TrackerRefused while it has production runs."""
    connection = transaction.connection
    await hold_of_client(connection, Brand, brand_id, "brand", user_id=user_id, expected_version=expected_version)
    if await count_of(connection, ProductionRun, ProductionRun.brand_id == brand_id):
        raise TrackerRefused(
            TrackerErrorCode.NOT_EMPTY, "It has production runs; delete them, or move them to another.", field=["id"]
        )
    await connection.execute(delete(Brand).where(Brand.id == brand_id))


async def _refuse_taken(connection: AsyncConnection, client_id: UUID, name: str) -> None:
    if await count_of(connection, Brand, Brand.client_id == client_id, Brand.name == name):
        raise TrackerRefused(TrackerErrorCode.NAME_TAKEN, "The client has a brand of this name.", field=["name"])
