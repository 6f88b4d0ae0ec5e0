"""OwnTracks: messages of `_type` location."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.ingestion.batch_rows import shown
from app.trackers.errors import BadReport
from app.trackers.formats.spellings import read_instant
from app.trackers.history_models import ReportSource
from app.trackers.reports import Report, accuracy_of, check_time, point_of


def is_location(message: Mapping[str, Any]) -> bool:
    """Whether the message says where the phone is; others tell of regions, of steps, or of the phone itself."""
    return message.get("_type") == "location"


def read_owntracks(message: object, *, accepted_at: datetime) -> Report:
    """The report of a message; raises BadReport."""
    if not isinstance(message, dict) or not is_location(message):
        kind = message.get("_type") if isinstance(message, dict) else message
        raise BadReport(f"A message of OwnTracks is an object whose `_type` is location; this is {shown(kind)}.")
    latitude_e7, longitude_e7 = point_of(message.get("lat"), message.get("lon"))
    return Report(
        latitude_e7,
        longitude_e7,
        check_time(read_instant(message.get("tst"), name="tst"), name="tst", accepted_at=accepted_at),
        # No phone knows to the metre where it is: nought says that it does not know how exactly.
        accuracy_of(message.get("acc"), name="acc") or None,
        None,
        None,
        ReportSource.OWNTRACKS,
        _created_at(message, accepted_at=accepted_at),
    )


def _created_at(message: Mapping[str, Any], *, accepted_at: datetime) -> datetime | None:
    if message.get("created_at") is None:
        return None
    instant = read_instant(message["created_at"], name="created_at")
    return check_time(instant, name="created_at", accepted_at=accepted_at)
