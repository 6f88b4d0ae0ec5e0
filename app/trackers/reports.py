"""A report of where a tracker was, and the bounds that hold for all, however they came."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from app.ingestion.batch_rows import shown
from app.trackers.errors import BadReport
from app.trackers.history_models import TEN_MILLIONTHS, ReportSource
from app.trackers.points import as_stored

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(minutes=5)
HIGHEST_LATITUDE = 90
HIGHEST_LONGITUDE = 180
LARGEST_ACCURACY_METERS = 100_000
HIGHEST_CONFIDENCE = 255


class Report(NamedTuple):
    """Where something was, in ten-millionths of a degree, when, and how exactly in metres (None where not told)."""

    latitude_e7: int
    longitude_e7: int
    reported_at: datetime
    accuracy_meters: float | None
    confidence: int | None
    status_byte: int | None
    source: ReportSource
    published_at: datetime | None


def point_of(latitude: object, longitude: object) -> tuple[int, int]:
    """Latitude and longitude in ten-millionths of a degree; (0, 0) is what receivers say that know no place."""
    latitude_e7 = _degrees(latitude, "latitude", HIGHEST_LATITUDE)
    longitude_e7 = _degrees(longitude, "longitude", HIGHEST_LONGITUDE)
    if latitude_e7 == 0:
        refuse_no_place(latitude_e7, longitude_e7)
    return latitude_e7, longitude_e7


def refuse_no_place(latitude_e7: int, longitude_e7: int) -> None:
    """Refuse what is no place on earth: (0, 0), and degrees that are none."""
    if latitude_e7 == 0 == longitude_e7:
        raise BadReport("The point is (0, 0), which receivers say while they do not know where they are.")
    if abs(latitude_e7) > HIGHEST_LATITUDE * TEN_MILLIONTHS or abs(longitude_e7) > HIGHEST_LONGITUDE * TEN_MILLIONTHS:
        latitude, longitude = latitude_e7 / TEN_MILLIONTHS, longitude_e7 / TEN_MILLIONTHS
        raise BadReport(f"The point is not on earth: its latitude is {latitude}, its longitude {longitude} degrees.")


def accuracy_of(value: object, *, name: str = "accuracy") -> float | None:
    """The radius in metres within which the point is right; None where the row does not tell."""
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise BadReport(f"`{name}` is {shown(value)}, and not a number of metres.")
    if not 0 <= value <= LARGEST_ACCURACY_METERS:
        raise BadReport(
            f"`{name}` is {shown(value)}, and not between 0 and {LARGEST_ACCURACY_METERS} metres; leave it out where "
            "it is not known."
        )
    return as_stored(value)


def confidence_of(value: object) -> int | None:
    """The raw byte by which a phone says how sure it is; None where the row does not tell."""
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= HIGHEST_CONFIDENCE:
        raise BadReport(f"`confidence` is {shown(value)}, and not a whole number from 0 to {HIGHEST_CONFIDENCE}.")
    return value


def check_time(instant: datetime, *, name: str, accepted_at: datetime, is_inside: bool = False) -> datetime:
    """The same time, of the field of this name or inside of it.

    Refuses one before 2000, and one more than 5 minutes after the acceptance.
    """
    told = f"The time inside of `{name}`" if is_inside else f"`{name}`"
    if instant < EARLIEST:
        raise BadReport(f"{told} is {instant.isoformat()}, before the year 2000.")
    if instant > accepted_at + CLOCK_TOLERANCE:
        raise BadReport(f"{told} is {instant.isoformat()}, in the future.")
    return instant


def _degrees(value: object, name: str, limit: int) -> int:
    if type(value) is not float and type(value) is not int:
        raise BadReport(f"`{name}` is {shown(value)}, and not a number of degrees.")
    # Written so that what is not a number fails too.
    if not -limit <= value <= limit:
        raise BadReport(f"`{name}` is {shown(value)}, and not between -{limit} and {limit} degrees.")
    return round(value * TEN_MILLIONTHS)
