"""Other services by which people are told, each at an address of Apprise, which nobody reads back."""

import hmac
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import Secrets, place_of
from app.notifications.commands.creation_keys import claim_key
from app.notifications.commands.held import changed, only_writer_of, refuse_more_than
from app.notifications.given import not_found, present, read_name, refuse_another_version, refused
from app.notifications.models import Service

MOST_SERVICES = 20
LONGEST_ADDRESS = 2_000
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]{1,31})://\S+", re.ASCII | re.IGNORECASE)
# For the mark by which a repeat is known to ask for the same, without its secret being kept.
_PURPOSE = b"requests to add a notification service"


async def add_service(
    transaction: Transaction,
    secrets: Secrets,
    *,
    owner_id: UUID,
    name: str,
    address: str,
    idempotency_key: str | None = None,
) -> UUID:
    """Keep the address of a service; gives its key.

    Raises NotificationRefused for a name or an address that cannot be, and for more than 20.
    """
    connection = transaction.connection
    name, kind = read_name(name, "name"), _kind_of(address)
    await only_writer_of(connection, owner_id)
    key = new_id()
    mark = hmac.digest(secrets.derived_key(_PURPOSE), address.encode(), "sha256").hex()
    request = {"name": name, "address": mark}
    first = await claim_key(connection, idempotency_key, request, owner_id=owner_id, made=Service.id, new_id=key)
    if first != key:
        return first
    await refuse_more_than(connection, Service, MOST_SERVICES, "services", owner_id=owner_id)
    encrypted = _encrypted(secrets, address, key)
    await connection.execute(insert(Service).values(id=key, owner_id=owner_id, name=name, kind=kind, address=encrypted))
    return key


async def edit_service(
    transaction: Transaction,
    secrets: Secrets,
    key: UUID,
    given: Mapping[str, Any],
    *,
    owner_id: UUID,
    expected_version: int | None = None,
) -> None:
    """Change what is given of a service: `name`, `address` and `is_enabled`.

    Raises NotificationRefused for what cannot be, for one that is not the owner's, and for another version than
    expected.
    """
    values: dict[str, Any] = {}
    if "name" in given:
        values["name"] = read_name(given["name"], "name")
    if "is_enabled" in given:
        values["is_enabled"] = present(given["is_enabled"], "isEnabled")
    if "address" in given:
        address = present(given["address"], "address")
        values |= {"kind": _kind_of(address), "address": _encrypted(secrets, address, key)}
    await _hold(transaction.connection, key, owner_id=owner_id, expected_version=expected_version)
    await transaction.connection.execute(update(Service).where(Service.id == key).values(**values, **changed(Service)))


async def remove_service(
    transaction: Transaction, key: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Forget a service with what is on its way to it. Raises NotificationRefused as `edit_service` does."""
    await _hold(transaction.connection, key, owner_id=owner_id, expected_version=expected_version)
    await transaction.connection.execute(delete(Service).where(Service.id == key))


def _kind_of(address: str) -> str:
    """The scheme of an address; refuses what is none, without repeating it: it holds secrets."""
    found = _ADDRESS.fullmatch(address) if len(address) <= LONGEST_ADDRESS and address.isprintable() else None
    if found is None:
        raise refused(
            f"It is an address as Apprise writes it, such as ntfys://ntfy.sh/topic, of {LONGEST_ADDRESS:,} characters "
            "at most.",
            "address",
        )
    return found[1].lower()


def _encrypted(secrets: Secrets, address: str, key: UUID) -> bytes:
    return secrets.encrypt(address.encode(), place_of(Service.address, key))


async def _hold(connection: AsyncConnection, key: UUID, *, owner_id: UUID, expected_version: int | None) -> None:
    held = (
        await connection.execute(
            select(Service.version)
            .where(Service.id == key, Service.owner_id == owner_id)
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if held is None:
        raise not_found("service", "id")
    refuse_another_version(held.version, expected_version)
