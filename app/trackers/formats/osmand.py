"""OsmAnd's protocol: a query such as `id=…&lat=60.0&lon=30.0`, or JSON as Background Geolocation sends it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from app.ingestion.batch_rows import shown
from app.trackers.errors import BadReport
from app.trackers.formats.spellings import read_decimal, read_instant
from app.trackers.history_models import ReportSource
from app.trackers.reports import Report, accuracy_of, check_time, point_of

MOST_FIELDS = 200
NAMES_OF_DEVICES = ("id", "deviceid", "device_id")
_COORDINATES = 2


def device_named_in(fields: Mapping[str, Any]) -> str | None:
    """What a message, of these fields, calls the device that sends it; None where it names none."""
    named = next((fields[name] for name in NAMES_OF_DEVICES if fields.get(name)), None)
    return named if isinstance(named, str) else None


def read_osmand(message: object, *, accepted_at: datetime) -> Report:
    """The report of a message, a query or an object; one without a time is of the acceptance. Raises BadReport."""
    if isinstance(message, str):
        return _of_query(_fields_of(message), accepted_at)
    if isinstance(message, dict):
        return _of_object(message, accepted_at)
    raise BadReport(f"A message of OsmAnd is a query or an object; this is {shown(message)}.")


def _fields_of(query: str) -> dict[str, str]:
    """The fields of a query, with or without what stands before its question mark; of equal names the first counts."""
    try:
        pairs = parse_qsl(query.rpartition("?")[2], max_num_fields=MOST_FIELDS)
    except ValueError:
        raise BadReport(f"The query has more than {MOST_FIELDS} fields.") from None
    return dict(reversed(pairs))


def _of_query(fields: Mapping[str, str], accepted_at: datetime) -> Report:
    if fields.get("valid", "").lower() in {"false", "0"}:
        raise BadReport("The receiver had no fix: `valid` says so.")
    latitude, longitude = fields.get("lat"), fields.get("lon")
    if "location" in fields and latitude is None and longitude is None:
        both = fields["location"].split(",")
        latitude, longitude = both if len(both) == _COORDINATES else (None, None)
    if latitude is None or longitude is None:
        raise BadReport("The message has no `lat` and `lon`; cells and networks alone are not looked up.")
    accuracy = fields.get("accuracy") or fields.get("hacc")
    return _report(
        read_decimal(latitude, name="lat"),
        read_decimal(longitude, name="lon"),
        None if accuracy is None else read_decimal(accuracy, name="accuracy"),
        fields.get("timestamp"),
        accepted_at,
    )


def _of_object(message: Mapping[str, Any], accepted_at: datetime) -> Report:
    location = message.get("location")
    coordinates = location.get("coords") if isinstance(location, dict) else None
    if not isinstance(location, dict) or not isinstance(coordinates, dict):
        raise BadReport("The message has no `location` with `coords`; send one location a message.")
    return _report(
        coordinates.get("latitude"),
        coordinates.get("longitude"),
        coordinates.get("accuracy"),
        location.get("timestamp"),
        accepted_at,
    )


def _report(latitude: object, longitude: object, accuracy: object, timestamp: object, accepted_at: datetime) -> Report:
    latitude_e7, longitude_e7 = point_of(latitude, longitude)
    reported_at = accepted_at if timestamp is None else read_instant(timestamp, name="timestamp")
    return Report(
        latitude_e7,
        longitude_e7,
        check_time(reported_at, name="timestamp", accepted_at=accepted_at),
        # No phone knows to the metre where it is: nought says that it does not know how exactly.
        accuracy_of(accuracy) or None,
        None,
        None,
        ReportSource.OSMAND,
        None,
    )
