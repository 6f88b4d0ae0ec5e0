"""Imports the journeys of GPX files, by the same durable path as reports over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import exists, select

from app.core.database import Database
from app.core.errors import BadUserInput, NotFound
from app.core.ids import PublicIdTag, parse_public_id, public_id
from app.core.secrets import Secrets
from app.ingestion.delivery import REJECTS_TOLD, Delivery, deliver
from app.ingestion.file_rows import RejectedRow, in_batches
from app.ingestion.models import BatchKind
from app.notifications.commands.tracker_alerts import tell_of_trackers
from app.trackers.commands.location_batches import location_batches
from app.trackers.formats.gpx import GpxFile, GpxNotUnderstood
from app.trackers.models import Tracker


@dataclass(frozen=True, slots=True)
class GpxSummary:
    """What became of the points of a file; `rejected` holds the first rejects, with the numbers of their points."""

    points: int
    accepted: int
    duplicates: int
    rejected_count: int
    rejected: tuple[RejectedRow, ...]

    @property
    def something_went_in(self) -> bool:
        """Whether a point of the file is stored, from now on or from before."""
        return self.accepted > 0 or self.duplicates > 0


def read_tracker_id(text: str) -> UUID:
    """The tracker that an id names; raises BadUserInput for what is none."""
    match parse_public_id(text):
        case (PublicIdTag.TRACKER, UUID() as key):
            return key
    raise BadUserInput(f"`{text}` is not the id of a tracker; the graph tells it, as `trackers {{ nodes {{ id }} }}`.")


async def require_tracker(database: Database, tracker_id: UUID) -> None:
    """Raise NotFound unless the tracker is there."""
    async with database.transaction() as transaction:
        if await transaction.connection.scalar(select(exists().where(Tracker.id == tracker_id))):
            return
    raise NotFound("There is no tracker with this id; the graph tells them, as `trackers { nodes { id } }`.")


async def import_gpx(
    database: Database,
    secrets: Secrets,
    file: Path,
    tracker_id: UUID,
    *,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> GpxSummary:
    """Import the points of a file that say when they were reached; again changes nothing.

    `on_progress` is told how many went by. Raises GpxNotUnderstood for what is no GPX or cannot be read, of which
    nothing is taken in, and for a file that is nested too deeply, of which the batches before that stay.
    """
    try:
        stream = file.open("rb")
    except OSError as error:
        raise GpxNotUnderstood(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    with stream:
        points = GpxFile(stream, tracker=public_id(PublicIdTag.TRACKER, tracker_id))
        delivery = await deliver(
            database,
            location_batches(secrets, tell_of_trackers),
            kind=BatchKind.LOCATION_REPORTS,
            batches=in_batches(points.rows()),
            on_progress=on_progress,
        )
    return _summary(delivery, points.rejected)


def _summary(delivery: Delivery, rejected: list[RejectedRow]) -> GpxSummary:
    first = sorted([*rejected, *delivery.rejected], key=lambda row: row.number)[:REJECTS_TOLD]
    return GpxSummary(
        points=delivery.rows + len(rejected),
        accepted=delivery.accepted,
        duplicates=delivery.duplicates,
        rejected_count=delivery.rejected_count + len(rejected),
        rejected=tuple(first),
    )
