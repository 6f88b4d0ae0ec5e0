"""What the room keeps of a person: to which clients they belong, what rides with their things, what they sent in vain.

A client is no person. It goes with the last of its members, and where its last owner goes, the longest operator is its
owner from then on, or else the longest viewer.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.trackers.commands.clients import remove_client
from app.trackers.commands.held import only_writer_of
from app.trackers.history_models import OrphanReport
from app.trackers.models import Client, Membership, MembershipRole, Tracker, TrackerAttachment


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Take a person out of their clients, and delete what rides with their things and what they sent in vain."""
    connection = transaction.connection
    own = select(Membership.client_id).where(Membership.user_id == user_id).order_by(Membership.client_id)
    for client_id in (await connection.scalars(own)).all():
        await only_writer_of(connection, f"client {client_id}")
        await connection.execute(
            delete(Membership).where(Membership.client_id == client_id, Membership.user_id == user_id)
        )
        heir = await _heir_of(connection, client_id)
        if heir is None:
            await remove_client(transaction, client_id)
        elif heir.role != MembershipRole.OWNER:
            await connection.execute(
                update(Membership).where(Membership.id == heir.id).values(role=MembershipRole.OWNER.value)
            )
    for table, owner in ((TrackerAttachment, "owner_id"), (OrphanReport, "sender_id")):
        await connection.execute(delete(table).where(table.__table__.c[owner] == user_id))


async def _heir_of(connection: AsyncConnection, client_id: UUID) -> Any:
    """The member with the highest role, the longest of those; None where nobody is left."""
    rank = case(
        (Membership.role == MembershipRole.OWNER.value, 0),
        (Membership.role == MembershipRole.OPERATOR.value, 1),
        else_=2,
    )
    members = select(Membership.id, Membership.role).where(Membership.client_id == client_id)
    found = await connection.execute(members.order_by(rank, Membership.created_at, Membership.user_id).limit(1))
    return found.one_or_none()


def _memberships(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(Membership.id, Client.name.label("client"), Membership.role, Membership.created_at)
        .join(Client, Client.id == Membership.client_id)
        .where(Membership.user_id == user_id)
        .order_by(Membership.created_at, Membership.id)
    )


def _attachments(user_id: UUID) -> Select[*tuple[Any, ...]]:
    ride = TrackerAttachment
    is_member = exists().where(Membership.client_id == ride.client_id, Membership.user_id == user_id)
    # The name of a tracker is its client's to tell.
    name = case((is_member, Tracker.name))
    return (
        select(ride.id, name.label("tracker"), ride.attached_at, ride.detached_at)
        .join(Tracker, Tracker.id == ride.tracker_id)
        .where(ride.owner_id == user_id)
        .order_by(ride.attached_at, ride.id)
    )


def _orphans(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(OrphanReport.content, OrphanReport.received_at)
        .where(OrphanReport.sender_id == user_id)
        .order_by(OrphanReport.received_at, OrphanReport.content_hash)
    )


PARTS = (
    ExportPart(
        "client-memberships.json",
        "The clients whose trackers you see or keep, and what you may do there.",
        table_of(Membership),
        _memberships,
        PublicIdTag.MEMBERSHIP,
    ),
    ExportPart(
        "tracker-attachments.json",
        "Which trackers rode with your holdings and preorders.",
        table_of(TrackerAttachment),
        _attachments,
        PublicIdTag.TRACKER_ATTACHMENT,
    ),
    ExportPart(
        "unclaimed-reports.json",
        "The reports that you sent of keys that no tracker has.",
        table_of(OrphanReport),
        _orphans,
    ),
)
PERSONAL_DATA = PersonalData("trackers", erase, PARTS)
