"""What trackers ride with: attached by an operator of the client, to a parcel or to what is the operator's own."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.portfolios.models import Holding
from app.portfolios.wish_models import Preorder
from app.trackers.commands.held import hold_of_client
from app.trackers.commands.production_runs import require_run
from app.trackers.errors import TrackerErrorCode, TrackerRefused
from app.trackers.given import read_name, refused
from app.trackers.models import Tracker, TrackerAttachment


@dataclass(frozen=True, slots=True)
class Ride:
    """What a tracker is to ride with: a holding, a preorder, or a parcel of a production run; one of them."""

    holding_id: UUID | None = None
    preorder_id: UUID | None = None
    production_run_id: UUID | None = None
    parcel: str | None = None


async def attach_tracker(transaction: Transaction, tracker_id: UUID, ride: Ride, *, user_id: UUID) -> UUID:
    """Have a tracker ride with something from now on; gives the key of the attachment.

    Raises TrackerRefused: NOT_FOUND for a holding or preorder that is not the caller's own and for a production run of
    another client, ALREADY_ATTACHED where the tracker rides with something.
    """
    connection = transaction.connection
    tracker = await hold_of_client(connection, Tracker, tracker_id, "tracker", user_id=user_id, field=["trackerId"])
    if sum(each is not None for each in (ride.holding_id, ride.preorder_id, ride.production_run_id)) != 1:
        raise refused("It rides with one thing: name a holding, a preorder, or a production run with a parcel.")
    if (ride.production_run_id is None) != (ride.parcel is None):
        raise refused("A parcel is one of a production run; name both, or neither.", "parcel")
    if tracker.retired_at is not None:
        raise TrackerRefused(TrackerErrorCode.ILLEGAL_STATE, "The tracker is retired; restore it.", field=["trackerId"])
    carried = await _carried(connection, ride, tracker.client_id, user_id)
    attachment_id = new_id()
    attached = await connection.execute(
        insert(TrackerAttachment)
        .values(id=attachment_id, client_id=tracker.client_id, tracker_id=tracker_id, **carried)
        # What it rides with may be somebody else's, which is hidden here.
        .on_conflict_do_nothing(
            index_elements=[TrackerAttachment.tracker_id], index_where=TrackerAttachment.detached_at.is_(None)
        )
        .returning(TrackerAttachment.id)
    )
    if attached.one_or_none() is None:
        raise TrackerRefused(
            TrackerErrorCode.ALREADY_ATTACHED, "The tracker rides with something; detach it first.", field=["trackerId"]
        )
    return attachment_id


async def detach_tracker(transaction: Transaction, tracker_id: UUID, *, user_id: UUID) -> None:
    """Have a tracker ride with nothing from now on, whoever's that is; raises TrackerRefused where it does already."""
    connection = transaction.connection
    tracker = await hold_of_client(connection, Tracker, tracker_id, "tracker", user_id=user_id, field=["trackerId"])
    ended = await connection.scalar(select(func.trackers.end_rides(tracker.client_id, tracker_id, None)))
    if not ended:
        raise TrackerRefused(TrackerErrorCode.ILLEGAL_STATE, "The tracker rides with nothing.", field=["trackerId"])


async def _carried(connection: AsyncConnection, ride: Ride, client_id: UUID, user_id: UUID) -> dict[str, Any]:
    if ride.production_run_id is not None:
        await require_run(connection, ride.production_run_id, client_id, "productionRunId")
        return {"production_run_id": ride.production_run_id, "parcel": read_name(ride.parcel, "parcel")}
    if ride.holding_id is not None:
        await _require_own(connection, Holding, ride.holding_id, user_id, "holdingId")
        return {"holding_id": ride.holding_id, "owner_id": user_id}
    await _require_own(connection, Preorder, ride.preorder_id, user_id, "preorderId")
    return {"preorder_id": ride.preorder_id, "owner_id": user_id}


async def _require_own(connection: AsyncConnection, table: Any, key: UUID | None, user_id: UUID, field: str) -> None:
    if await connection.scalar(select(table.id).where(table.id == key, table.owner_id == user_id)) is None:
        raise TrackerRefused(TrackerErrorCode.NOT_FOUND, "You have no such thing.", field=[field])
