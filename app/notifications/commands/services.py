"""Other services by which people are told, each at an address of Apprise, which nobody reads back."""

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.errors import BadUserInput
from app.core.ids import new_id
from app.core.secrets import Secrets
from app.core.settings import Settings
from app.identity.actions import AuditAction
from app.identity.viewer import Caller
from app.notifications.commands.audit import record_destination
from app.notifications.commands.creation_keys import claim_key
from app.notifications.commands.held import changed, only_writer_of, refuse_more_than
from app.notifications.given import not_found, present, read_name, refuse_another_version, refused
from app.notifications.models import Service
from app.notifications.sealed import seal_service_address
from app.notifications.service_addresses import check_service_address

MOST_SERVICES = 20
# For the mark by which a repeat is known to ask for the same, without its secret being kept.
_PURPOSE = b"requests to add a notification service"


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """An address that may be told, and the kind of service that it leads to."""

    text: str = field(repr=False)
    kind: str


async def read_service_address(address: str | None, settings: Settings) -> ServiceAddress:
    """The address, looked at in a thread; raises NotificationRefused, which does not repeat it: it holds secrets."""
    text = present(address, "address")
    try:
        return ServiceAddress(text, await asyncio.to_thread(check_service_address, text, settings))
    except BadUserInput as refusal:
        raise refused(refusal.message, "address") from None


async def add_service(
    transaction: Transaction,
    secrets: Secrets,
    *,
    caller: Caller,
    name: str,
    address: ServiceAddress,
    idempotency_key: str | None = None,
) -> UUID:
    """Keep the address of a service; gives its key.

    Raises NotificationRefused for a name that cannot be, and for more than 20.
    """
    connection, owner_id = transaction.connection, caller.viewer.own_id
    name = read_name(name, "name")
    await only_writer_of(connection, owner_id)
    key = new_id()
    mark = hmac.digest(secrets.derived_key(_PURPOSE), address.text.encode(), "sha256").hex()
    request = {"name": name, "address": mark}
    first = await claim_key(connection, idempotency_key, request, owner_id=owner_id, made=Service.id, new_id=key)
    if first != key:
        return first
    await refuse_more_than(connection, Service, MOST_SERVICES, "services", owner_id=owner_id)
    encrypted = seal_service_address(secrets, key, address.text)
    await connection.execute(
        insert(Service).values(id=key, owner_id=owner_id, name=name, kind=address.kind, address=encrypted)
    )
    after = {"name": name, "kind": address.kind}
    await record_destination(
        transaction, AuditAction.NOTIFICATION_SERVICE_ADDED, "service", key, caller=caller, after=after
    )
    return key


async def edit_service(
    transaction: Transaction,
    secrets: Secrets,
    key: UUID,
    given: Mapping[str, Any],
    *,
    caller: Caller,
    expected_version: int | None = None,
) -> None:
    """Change what is given of a service: `name`, `address` (a ServiceAddress) and `is_enabled`.

    Raises NotificationRefused for what cannot be, for one that is not the owner's, and for another version than
    expected.
    """
    values: dict[str, Any] = {}
    if "name" in given:
        values["name"] = read_name(given["name"], "name")
    if "is_enabled" in given:
        values["is_enabled"] = present(given["is_enabled"], "isEnabled")
    if "address" in given:
        address: ServiceAddress = given["address"]
        values |= {"kind": address.kind, "address": seal_service_address(secrets, key, address.text)}
    held = await _hold(transaction.connection, key, caller, expected_version)
    await transaction.connection.execute(update(Service).where(Service.id == key).values(**values, **changed(Service)))
    before = {word: held._mapping[name] for name, word in _AUDITED.items()}
    after = {word: values[name] for name, word in _AUDITED.items() if name in values and values[name] != before[word]}
    if "address" in values:
        after["hasNewAddress"] = True
    if after:
        await record_destination(
            transaction,
            AuditAction.NOTIFICATION_SERVICE_CHANGED,
            "service",
            key,
            caller=caller,
            before=before,
            after=after,
        )


async def remove_service(
    transaction: Transaction, key: UUID, *, caller: Caller, expected_version: int | None = None
) -> None:
    """Forget a service with what is on its way to it. Raises NotificationRefused as `edit_service` does."""
    held = await _hold(transaction.connection, key, caller, expected_version)
    await transaction.connection.execute(delete(Service).where(Service.id == key))
    before = {"name": held.name, "kind": held.kind}
    await record_destination(
        transaction, AuditAction.NOTIFICATION_SERVICE_REMOVED, "service", key, caller=caller, before=before
    )


async def _hold(
    connection: AsyncConnection, key: UUID, caller: Caller, expected_version: int | None
) -> Row[*tuple[Any, ...]]:
    held = (
        await connection.execute(
            select(Service.version, Service.name, Service.kind, Service.is_enabled)
            .where(Service.id == key, Service.owner_id == caller.viewer.own_id)
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if held is None:
        raise not_found("service", "id")
    refuse_another_version(held.version, expected_version)
    return held


# What the audit log tells of a service: nothing of its address.
_AUDITED: Mapping[str, str] = {"name": "name", "kind": "kind", "is_enabled": "isEnabled"}
