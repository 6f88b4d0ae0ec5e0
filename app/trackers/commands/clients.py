"""Clients: made by anybody, who is then their owner; changed and deleted by their owners."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.jobs import Job
from app.trackers.commands.creation_keys import claim_key
from app.trackers.commands.held import changed, count_of, hold_client, only_writer_of
from app.trackers.commands.remake_histories import REMAKE_HISTORIES
from app.trackers.errors import TrackerErrorCode, TrackerRefused
from app.trackers.given import (
    Given,
    read_given,
    read_name,
    read_number,
    read_url,
    refuse_another_version,
    refused,
    too_many,
)
from app.trackers.history_models import LocationFix, LocationReport, TrackerEvent
from app.trackers.models import Client, Membership, MembershipRole, Tracker

MOST_CLIENTS = 20
SILENT_AFTER_MINUTES = 1_440
SHORTEST_SILENCE, LONGEST_SILENCE = 10, 525_600
# Who deletes a client asks for this: what its trackers were reported by is removed by a worker.
REMOVE_DELETED_CLIENTS = Job("remove_deleted_clients")

# As `recompute_from`: the whole history of a tracker is made anew, since no report is older.
FROM_THE_START = datetime(1970, 1, 1, tzinfo=UTC)

_READERS: dict[str, Any] = {
    "name": lambda value: read_name(value, "name"),
    "logo_url": lambda value: read_url(value, "logoUrl"),
    "silent_after_minutes": lambda value: read_number(
        value, "silentAfterMinutes", least=SHORTEST_SILENCE, most=LONGEST_SILENCE
    ),
}


async def create_client(
    transaction: Transaction, given: Given, *, user_id: UUID, idempotency_key: str | None = None
) -> UUID:
    """Make a client with this `name`, and maybe `logo_url` and `silent_after_minutes`; gives its key.

    Raises TrackerRefused for what it cannot have, and for who owns 20 already.
    """
    connection = transaction.connection
    values = {"logo_url": None, "silent_after_minutes": SILENT_AFTER_MINUTES} | read_given(given, _READERS)
    await only_writer_of(connection, f"clients of {user_id}")
    client_id = new_id()
    first = await claim_key(connection, idempotency_key, values, user_id=user_id, made=Client.id, new_id=client_id)
    if first != client_id:
        return first
    is_own = (Membership.user_id == user_id, Membership.role == MembershipRole.OWNER.value)
    if await count_of(connection, Membership, *is_own) >= MOST_CLIENTS:
        raise too_many(f"You own {MOST_CLIENTS} clients, as many as one may.")
    await connection.execute(
        select(
            func.trackers.create_client(
                client_id, new_id(), values["name"], values["logo_url"], values["silent_after_minutes"]
            )
        )
    )
    return client_id


async def edit_client(
    transaction: Transaction, client_id: UUID, given: Given, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Change a client's `name`, `logo_url` or `silent_after_minutes`, whichever is given.

    With another silence the histories of its trackers are made anew. Raises TrackerRefused.
    """
    connection = transaction.connection
    values = read_given(given, _READERS)
    held = await hold_client(connection, client_id, user_id=user_id, minimum=MembershipRole.OWNER, field=["id"])
    refuse_another_version(held.version, expected_version)
    await connection.execute(update(Client).where(Client.id == client_id).values(**values, **changed(Client)))
    if values.get("silent_after_minutes", held.silent_after_minutes) != held.silent_after_minutes:
        of_client = Tracker.client_id == client_id
        # In the order in which those who process reports take them, so that neither waits for the other in a circle.
        await connection.execute(
            select(Tracker.id).where(of_client).order_by(Tracker.id).with_for_update(key_share=True)
        )
        await connection.execute(update(Tracker).where(of_client).values(recompute_from=FROM_THE_START))
        transaction.enqueue(REMAKE_HISTORIES)


async def delete_client(
    transaction: Transaction, client_id: UUID, *, user_id: UUID, confirm_name: str, expected_version: int | None = None
) -> None:
    """Delete a client with all that is its own; from then on it has no members, and a worker removes the rest.

    Raises TrackerRefused where `confirm_name` is not its name, and while a tracker of it is in use.
    """
    connection = transaction.connection
    held = await hold_client(connection, client_id, user_id=user_id, minimum=MembershipRole.OWNER, field=["id"])
    refuse_another_version(held.version, expected_version)
    if confirm_name != held.name:
        raise refused("It is not the name of the client: repeat the name to delete all that it has.", "confirmName")
    in_use = exists().where(Tracker.client_id == client_id, Tracker.retired_at.is_(None))
    if await connection.scalar(select(in_use)):
        raise TrackerRefused(
            TrackerErrorCode.NOT_EMPTY, "Some trackers of it are in use; retire them first.", field=["id"]
        )
    await connection.execute(update(Client).where(Client.id == client_id).values(deleted_at=func.now()))
    await connection.execute(delete(Membership).where(Membership.client_id == client_id))
    transaction.enqueue(REMOVE_DELETED_CLIENTS)


async def remove_deleted_clients(transaction: Transaction, *, limit: int = 1) -> int:
    """Remove clients that were deleted, with all that was theirs; gives how many there were. For workers."""
    connection = transaction.connection
    deleted = select(Client.id).where(Client.deleted_at.is_not(None)).order_by(Client.id).limit(limit)
    clients = (await connection.scalars(deleted.with_for_update(skip_locked=True))).all()
    for client_id in clients:
        await remove_client(transaction, client_id)
    return len(clients)


async def remove_client(transaction: Transaction, client_id: UUID) -> None:
    """Remove a client with all that is its own, the reports of its trackers too. For workers."""
    connection = transaction.connection
    # As those who process reports do, so that neither waits for the other in a circle.
    held = select(Tracker.id).where(Tracker.client_id == client_id).order_by(Tracker.id)
    await connection.execute(held.with_for_update())
    # By tracker: the tables of what was reported have no index by client.
    of_client = select(Tracker.id).where(Tracker.client_id == client_id)
    for table in (LocationReport, LocationFix, TrackerEvent):
        await connection.execute(delete(table).where(table.__table__.c.tracker_id.in_(of_client)))
    await connection.execute(delete(Client).where(Client.id == client_id))
