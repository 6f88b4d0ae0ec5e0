"""Which trackers a sender may report, by their ids and by their hashed keys, locked for as long as it is written."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among
from app.trackers.models import Membership, MembershipRole, Tracker, TrackerKey

MAY_REPORT = (MembershipRole.OPERATOR.value, MembershipRole.OWNER.value)


@dataclass(frozen=True, slots=True)
class ReportedKey:
    """A key of a tracker, the private half encrypted."""

    id: UUID
    tracker_id: UUID
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportedTrackers:
    """The locked trackers with their clients, and the keys of them by their hashes."""

    clients: Mapping[UUID, UUID]
    keys: Mapping[bytes, ReportedKey]
    _by_bytes: Mapping[bytes, UUID] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_bytes", {tracker_id.bytes: tracker_id for tracker_id in self.clients})

    def tracker_of(self, subject: bytes, *, is_key: bool) -> UUID | None:
        """The tracker that is named so; None where there is none, or the sender may not report it."""
        if is_key:
            key = self.keys.get(subject)
            return None if key is None else key.tracker_id
        return self._by_bytes.get(subject)


async def lock_reported_trackers(
    connection: AsyncConnection,
    *,
    sender_id: UUID | None,
    tracker_ids: Collection[UUID],
    hashed_keys: Collection[bytes],
) -> ReportedTrackers:
    """Find what a sender names, and lock it in the order of ids: batches of the same trackers follow one another.

    Without a sender, of the operator of the server, every tracker may be reported.
    """
    keys = {
        row.hashed_key: ReportedKey(row.id, row.tracker_id, row.private_key)
        for row in await connection.execute(
            select(TrackerKey.id, TrackerKey.tracker_id, TrackerKey.hashed_key, TrackerKey.private_key).where(
                among(TrackerKey.hashed_key, hashed_keys), may_report(TrackerKey.client_id, sender_id)
            )
        )
    }
    named = {*tracker_ids, *(key.tracker_id for key in keys.values())}
    locked = await connection.execute(
        select(Tracker.id, Tracker.client_id)
        .where(among(Tracker.id, named), may_report(Tracker.client_id, sender_id))
        .order_by(Tracker.id)
        .with_for_update(key_share=True)
    )
    clients = {row.id: row.client_id for row in locked}
    # One that was deleted meanwhile is there no longer, nor are its keys.
    return ReportedTrackers(clients, {hashed: key for hashed, key in keys.items() if key.tracker_id in clients})


def may_report(client_id: SQLColumnExpression[UUID], sender_id: UUID | None) -> ColumnElement[bool]:
    """Whether the sender is an operator or owner of the client."""
    if sender_id is None:
        return client_id.is_not(None)
    return client_id.in_(
        select(Membership.client_id).where(Membership.user_id == sender_id, among(Membership.role, MAY_REPORT))
    )
