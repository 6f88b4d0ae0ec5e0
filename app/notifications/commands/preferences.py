"""When somebody wants to be left alone, how their mails are gathered, and what they want by which channel."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.notifications.commands.held import changed, only_writer_of
from app.notifications.commands.routes import read_routes, save_routes
from app.notifications.given import present, read_time_of_day, read_time_zone, refuse_another_version, refused
from app.notifications.models import Digest, Preferences

_READERS: Mapping[str, Any] = {
    "time_zone": lambda value: read_time_zone(value, "timeZone"),
    "quiet_from": lambda value: read_time_of_day(value, "quietFrom"),
    "quiet_until": lambda value: read_time_of_day(value, "quietUntil"),
    "digest": lambda value: Digest(present(value, "digest")).value,
    "digest_at": lambda value: read_time_of_day(present(value, "digestAt"), "digestAt"),
}


async def edit_preferences(
    transaction: Transaction, given: Mapping[str, Any], *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Change what is given: `time_zone`, `quiet_from`, `quiet_until`, `digest`, `digest_at` (texts such as 22:30), and
    `routes`, GivenRoutes in place of all choices that there are.

    What was never chosen has version 0. Raises NotificationRefused for values that cannot be, and for another version
    than expected.
    """
    connection = transaction.connection
    values = {name: read(given[name]) for name, read in _READERS.items() if name in given}
    routes = read_routes(present(given["routes"], "routes")) if "routes" in given else None
    await only_writer_of(connection, owner_id)
    columns: list[Any] = [*Preferences.__table__.columns]
    stored = (await connection.execute(select(*columns).where(Preferences.owner_id == owner_id))).one_or_none()
    refuse_another_version(stored.version if stored else 0, expected_version)
    quiet = {name: getattr(stored, name, None) for name in ("quiet_from", "quiet_until")} | values
    if (quiet["quiet_from"] is None) != (quiet["quiet_until"] is None):
        missing = "quietFrom" if quiet["quiet_from"] is None else "quietUntil"
        raise refused("Quiet hours have a beginning and an end: give both, or null for both.", missing)
    if quiet["quiet_from"] is not None and quiet["quiet_from"] == quiet["quiet_until"]:
        raise refused("Quiet hours that end as they begin would be all hours; choose another end.", "quietUntil")
    await save_preferences(connection, values, owner_id=owner_id)
    if routes is not None:
        await save_routes(connection, routes, owner_id=owner_id)


async def save_preferences(connection: AsyncConnection, values: Mapping[str, Any], *, owner_id: UUID) -> None:
    """Keep these columns, and count the change; the owner is held."""
    await connection.execute(
        insert(Preferences)
        .values(owner_id=owner_id, **values)
        .on_conflict_do_update(index_elements=[Preferences.owner_id], set_={**values, **changed(Preferences)})
    )
