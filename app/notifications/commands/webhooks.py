"""Webhooks: addresses of people's own that are told, signed with a secret that is shown once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.models import Severity
from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import Secrets
from app.identity.actions import AuditAction
from app.identity.scopes import Scope
from app.identity.viewer import Caller, Viewer
from app.notifications.commands.audit import record_destination
from app.notifications.commands.creation_keys import claim_key
from app.notifications.commands.held import changed, only_writer_of, refuse_more_than
from app.notifications.given import (
    checked,
    distinct,
    not_found,
    present,
    read_name,
    read_public_url,
    refuse_another_version,
    refuse_long_list,
    refused,
)
from app.notifications.models import EventType, Webhook
from app.notifications.sealed import new_webhook_secret, seal_webhook_secret
from app.notifications.webhook_scopes import check_webhook_scopes, kept_scopes

MOST_WEBHOOKS = 20
LONGEST_DOCUMENT = 10_000

_NOTHING_SAID: Mapping[str, Any] = {
    "document": None,
    "scopes": (),
    "event_types": None,
    "minimum_severity": Severity.INFO,
}


@dataclass(frozen=True, slots=True)
class CreatedWebhook:
    """A webhook and the text of its secret; None where the webhook was made before by the same request."""

    id: UUID
    secret: str | None = field(repr=False)


async def create_webhook(
    transaction: Transaction,
    secrets: Secrets,
    given: Mapping[str, Any],
    *,
    caller: Caller,
    idempotency_key: str | None = None,
    is_development: bool = False,
) -> CreatedWebhook:
    """Make a webhook of `name` and `url`, and maybe `document`, which was looked at before, `scopes` (those that the
    document is asked with, of the viewer's own), `event_types` (None for all) and `minimum_severity`.

    Raises NotificationRefused for what it cannot have, and for more than 20.
    """
    connection = transaction.connection
    owner_id = caller.viewer.own_id
    values = _read({**_NOTHING_SAID, **given}, caller.viewer, is_development=is_development)
    await only_writer_of(connection, owner_id)
    key = new_id()
    first = await claim_key(connection, idempotency_key, values, owner_id=owner_id, made=Webhook.id, new_id=key)
    if first != key:
        return CreatedWebhook(first, None)
    await refuse_more_than(connection, Webhook, MOST_WEBHOOKS, "webhooks", owner_id=owner_id)
    text = new_webhook_secret()
    await connection.execute(
        insert(Webhook).values(id=key, owner_id=owner_id, secret=seal_webhook_secret(secrets, key, text), **values)
    )
    await _record(transaction, AuditAction.WEBHOOK_CREATED, key, caller, after=_told_of(values))
    return CreatedWebhook(key, text)


async def edit_webhook(
    transaction: Transaction,
    key: UUID,
    given: Mapping[str, Any],
    *,
    caller: Caller,
    expected_version: int | None = None,
    is_development: bool = False,
) -> None:
    """Change what is given of a webhook, as in `create_webhook`; at another address its failures are forgotten.

    Raises NotificationRefused as that does, for one that is not the owner's, for another version than expected, and for
    another address or document where the webhook may read what the viewer may not.
    """
    values = _read(given, caller.viewer, is_development=is_development)
    held = await _hold(transaction.connection, key, caller, expected_version)
    if not values.keys().isdisjoint({"url", "document"}) and "scopes" not in values:
        # Else a token could have sent to itself, or asked by the webhook, what its owner let the webhook alone read.
        checked(lambda: check_webhook_scopes(kept_scopes(held.scopes), caller.viewer.scopes), "scopes")
    differs = {name: value for name, value in values.items() if held._mapping[name] != value}
    before = {name: held._mapping[name] for name in differs}
    if "url" in differs:
        values["failing_since"] = None
    await _change(transaction.connection, key, values)
    if differs:
        told_before = _told_of(before) | {"name": held.name}
        await _record(
            transaction, AuditAction.WEBHOOK_CHANGED, key, caller, before=told_before, after=_told_of(differs)
        )


async def rotate_webhook_secret(
    transaction: Transaction, secrets: Secrets, key: UUID, *, caller: Caller, expected_version: int | None = None
) -> str:
    """Give a webhook another secret, which signs from now on; gives its text. Raises as `edit_webhook` does."""
    held = await _hold(transaction.connection, key, caller, expected_version)
    text = new_webhook_secret()
    await _change(transaction.connection, key, {"secret": seal_webhook_secret(secrets, key, text)})
    await _record(transaction, AuditAction.WEBHOOK_SECRET_ROTATED, key, caller, after={"name": held.name})
    return text


async def enable_webhook(
    transaction: Transaction, key: UUID, *, caller: Caller, expected_version: int | None = None
) -> None:
    """Tell a webhook again, with its failures forgotten. Raises as `edit_webhook` does."""
    held = await _hold(transaction.connection, key, caller, expected_version)
    await _change(transaction.connection, key, {"is_enabled": True, "failing_since": None, "disabled_at": None})
    await _record(transaction, AuditAction.WEBHOOK_ENABLED, key, caller, after={"name": held.name})


async def disable_webhook(
    transaction: Transaction, key: UUID, *, caller: Caller, expected_version: int | None = None
) -> None:
    """Tell a webhook nothing until it is enabled again. Raises as `edit_webhook` does."""
    held = await _hold(transaction.connection, key, caller, expected_version)
    await _change(
        transaction.connection,
        key,
        {"is_enabled": False, "disabled_at": func.coalesce(Webhook.disabled_at, func.now())},
    )
    await _record(transaction, AuditAction.WEBHOOK_DISABLED, key, caller, after={"name": held.name})


async def delete_webhook(
    transaction: Transaction, key: UUID, *, caller: Caller, expected_version: int | None = None
) -> None:
    """Delete a webhook with what is on its way to it. Raises as `edit_webhook` does."""
    held = await _hold(transaction.connection, key, caller, expected_version)
    await transaction.connection.execute(delete(Webhook).where(Webhook.id == key))
    await _record(
        transaction,
        AuditAction.WEBHOOK_DELETED,
        key,
        caller,
        before=_told_of({name: held._mapping[name] for name in _AUDITED}),
    )


def _read(given: Mapping[str, Any], viewer: Viewer, *, is_development: bool) -> dict[str, Any]:
    values = {name: read(given[name]) for name, read in _READERS.items() if name in given}
    if "url" in given:
        values["url"] = read_public_url(given["url"], "url", is_development=is_development)
    if "scopes" in given:
        chosen = [Scope(one).value for one in present(given["scopes"], "scopes")]
        values["scopes"] = checked(lambda: check_webhook_scopes(chosen, viewer.scopes), "scopes")
    return values


def _document(value: str | None) -> str | None:
    if value is not None and (not value.strip() or len(value) > LONGEST_DOCUMENT or "\0" in value):
        raise refused(f"It is a query of GraphQL of {LONGEST_DOCUMENT:,} characters at most, or null.", "document")
    return value


def _event_types(value: Sequence[EventType] | None) -> list[str] | None:
    if value is None:
        return None
    refuse_long_list(value, "eventTypes")
    if not value:
        raise refused("Name one type at least, or give null for all.", "eventTypes")
    return distinct([EventType(one).value for one in value])


_READERS: Mapping[str, Any] = {
    "name": lambda value: read_name(value, "name"),
    "document": _document,
    "event_types": _event_types,
    "minimum_severity": lambda value: Severity(present(value, "minimumSeverity")).value,
}


async def _hold(
    connection: AsyncConnection, key: UUID, caller: Caller, expected_version: int | None
) -> Row[*tuple[Any, ...]]:
    held = (
        await connection.execute(
            select(Webhook.version, *(getattr(Webhook, name) for name in _AUDITED))
            .where(Webhook.id == key, Webhook.owner_id == caller.viewer.own_id)
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if held is None:
        raise not_found("webhook", "id")
    refuse_another_version(held.version, expected_version)
    return held


async def _change(connection: AsyncConnection, key: UUID, values: Mapping[str, Any]) -> None:
    await connection.execute(update(Webhook).where(Webhook.id == key).values(**values, **changed(Webhook)))


async def _record(
    transaction: Transaction,
    action: AuditAction,
    key: UUID,
    caller: Caller,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    await record_destination(transaction, action, "webhook", key, caller=caller, before=before, after=after)


def _told_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit log tells of a webhook: of its address the host alone, since the rest may be a secret."""
    told = {_AUDITED[name]: value for name, value in values.items() if name in _AUDITED}
    if "url" in values:
        told["host"] = urlsplit(values["url"]).hostname
    if "document" in values:
        told["hasDocument"] = values["document"] is not None
    return told


_AUDITED: Mapping[str, str] = {
    "name": "name",
    "url": "host",
    "document": "hasDocument",
    "scopes": "scopes",
    "event_types": "eventTypes",
    "minimum_severity": "minimumSeverity",
}
