"""The trackers that ride with something, as a field of that thing."""

from typing import Any

from app.graph.reads.fields import edges
from app.graph.reads.tables import join
from app.graph.trackers.errors import TRACKERS_READ
from app.trackers.models import Tracker, TrackerAttachment

OF_ATTACHMENT = join(TrackerAttachment, TrackerAttachment.tracker_id == Tracker.id)


def trackers_riding_with(thing: Any, *, attached_by: Any) -> Any:
    """The field of a type whose column `thing` is what attachments name by their column `attached_by`."""
    return edges(
        "The trackers that ride with it now, by name.",
        on=thing,
        to=attached_by,
        joins=[OF_ATTACHMENT],
        where=TrackerAttachment.detached_at.is_(None),
        order=[Tracker.name, Tracker.id],
        access=TRACKERS_READ,
    )
