"""The members of clients: added by name, given roles, and removed by owners; whoever wants to goes by themselves."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.queries.people import person_of_username
from app.trackers.commands.held import count_of, hold_client
from app.trackers.commands.orphans import ATTACH_ORPHANS
from app.trackers.commands.reported_trackers import MAY_REPORT
from app.trackers.errors import TrackerErrorCode, TrackerRefused
from app.trackers.given import not_found, too_many
from app.trackers.models import Membership, MembershipRole

MOST_MEMBERS = 250


async def add_member(
    transaction: Transaction, client_id: UUID, *, user_id: UUID, username: str, role: MembershipRole
) -> UUID:
    """Add somebody to a client; gives the key of the membership.

    Raises TrackerRefused where nobody has the name, for who is a member already, and for more than 250 members.
    """
    connection = transaction.connection
    await hold_client(connection, client_id, user_id=user_id, minimum=MembershipRole.OWNER)
    person = await person_of_username(connection, username.strip())
    if person is None:
        raise TrackerRefused(TrackerErrorCode.NOT_FOUND, "Nobody has this username.", field=["username"])
    of_client = Membership.client_id == client_id
    if await count_of(connection, Membership, of_client, Membership.user_id == person):
        raise TrackerRefused(
            TrackerErrorCode.ILLEGAL_STATE, "They are a member already; set their role.", field=["username"]
        )
    if await count_of(connection, Membership, of_client) >= MOST_MEMBERS:
        raise too_many(f"The client has {MOST_MEMBERS} members, as many as it may.", "clientId")
    membership_id = new_id()
    await connection.execute(
        insert(Membership).values(id=membership_id, client_id=client_id, user_id=person, role=role.value)
    )
    _take_their_orphans_in(transaction, role)
    return membership_id


async def set_member_role(
    transaction: Transaction, membership_id: UUID, *, user_id: UUID, role: MembershipRole
) -> None:
    """Give a member of a client another role; raises TrackerRefused for the last owner."""
    connection = transaction.connection
    held = await _hold_membership(connection, membership_id, user_id=user_id, is_for_owners=True)
    if role is not MembershipRole.OWNER:
        await _refuse_last_owner(connection, held)
    await connection.execute(update(Membership).where(Membership.id == membership_id).values(role=role.value))
    _take_their_orphans_in(transaction, role)


async def remove_member(transaction: Transaction, membership_id: UUID, *, user_id: UUID) -> None:
    """Remove a member from a client, or oneself; what rides with their own things rides with them no more.

    Raises TrackerRefused for the last owner.
    """
    connection = transaction.connection
    held = await _hold_membership(connection, membership_id, user_id=user_id, is_for_owners=False)
    await _refuse_last_owner(connection, held)
    await connection.execute(select(func.trackers.end_rides(held.client_id, None, held.user_id)))
    await connection.execute(delete(Membership).where(Membership.id == membership_id))


def _take_their_orphans_in(transaction: Transaction, role: MembershipRole) -> None:
    """What they reported of the client's keys, before they might, waits for this."""
    if role.value in MAY_REPORT:
        transaction.enqueue(ATTACH_ORPHANS)


async def _hold_membership(
    connection: AsyncConnection, membership_id: UUID, *, user_id: UUID, is_for_owners: bool
) -> Row[Any]:
    columns = Membership.__table__.columns
    found = (await connection.execute(select(*columns).where(Membership.id == membership_id))).one_or_none()
    if found is None:
        raise not_found("member", "id")
    is_oneself = found.user_id == user_id and not is_for_owners
    minimum = MembershipRole.VIEWER if is_oneself else MembershipRole.OWNER
    await hold_client(connection, found.client_id, user_id=user_id, minimum=minimum, field=["id"])
    held = (await connection.execute(select(*columns).where(Membership.id == membership_id))).one_or_none()
    if held is None:
        raise not_found("member", "id")
    return held


async def _refuse_last_owner(connection: AsyncConnection, held: Row[Any]) -> None:
    is_owner = (Membership.client_id == held.client_id, Membership.role == MembershipRole.OWNER.value)
    if held.role == MembershipRole.OWNER and await count_of(connection, Membership, *is_owner) == 1:
        raise TrackerRefused(
            TrackerErrorCode.LAST_OWNER,
            "They are the only owner; make somebody else one first, or delete the client.",
            field=["id"],
        )
