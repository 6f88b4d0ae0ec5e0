"""NMEA 0183: the sentences RMC and GGA, in which receivers say where they are."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor

from app.ingestion.batch_rows import shown
from app.trackers.errors import BadReport
from app.trackers.history_models import ReportSource
from app.trackers.reports import CLOCK_TOLERANCE, Report, check_time, point_of

LONGEST_SENTENCE = 500
_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]{1,6}))?", re.ASCII)
_DAY = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})", re.ASCII)
_LATITUDE = re.compile(r"([0-9]{2})([0-9]{2}(?:\.[0-9]{1,12})?)", re.ASCII)
_LONGITUDE = re.compile(r"([0-9]{3})([0-9]{2}(?:\.[0-9]{1,12})?)", re.ASCII)
_CHECKSUM = re.compile(r"[0-9A-Fa-f]{2}", re.ASCII)
# Years have two digits; satellites fly since the eighties.
_FIRST_YEAR, _CENTURY = 1980, 100
_FIELDS = {"RMC": 10, "GGA": 7}


def is_position(sentence: str) -> bool:
    """Whether it is a sentence that says where the receiver is; others tell of satellites and speeds."""
    return sentence.startswith("$") and sentence[3:6] in _FIELDS


def read_nmea(sentence: object, *, accepted_at: datetime) -> Report:
    """The report of a sentence; of GGA, which has no day, the last such time that is not in the future."""
    if not isinstance(sentence, str) or len(sentence) > LONGEST_SENTENCE or not is_position(sentence.strip()):
        raise BadReport(f"Trove reads the sentences RMC and GGA; this is {shown(sentence)}.")
    fields = _fields(sentence.strip())
    kind = fields[0][2:]
    if len(fields) < _FIELDS[kind]:
        raise BadReport(f"The sentence ends early: {kind} has at least {_FIELDS[kind]} fields.")
    return _of_rmc(fields, accepted_at) if kind == "RMC" else _of_gga(fields, accepted_at)


def _fields(sentence: str) -> Sequence[str]:
    """The fields after the dollar sign, without the checksum, which has to hold where there is one."""
    content, star, checksum = sentence[1:].partition("*")
    if star and (
        _CHECKSUM.fullmatch(checksum) is None or int(checksum, 16) != reduce(xor, content.encode(errors="replace"), 0)
    ):
        raise BadReport("The checksum of the sentence does not hold: it was changed on its way.")
    return content.split(",")


def _of_rmc(fields: Sequence[str], accepted_at: datetime) -> Report:
    _, time, status, latitude, north, longitude, east, _, _, day = fields[:10]
    if status != "A":
        raise BadReport("The receiver had no fix: the sentence says that it is not valid.")
    return _report(_instant(_day(day), time), (latitude, north), (longitude, east), accepted_at)


def _of_gga(fields: Sequence[str], accepted_at: datetime) -> Report:
    _, time, latitude, north, longitude, east, quality = fields[:7]
    if quality in {"", "0"}:
        raise BadReport("The receiver had no fix: the sentence says so.")
    latest = accepted_at.astimezone(UTC) + CLOCK_TOLERANCE
    reported_at = _instant(latest, time)
    if reported_at > latest:
        reported_at -= timedelta(days=1)
    return _report(reported_at, (latitude, north), (longitude, east), accepted_at)


def _report(
    reported_at: datetime, latitude: tuple[str, str], longitude: tuple[str, str], accepted_at: datetime
) -> Report:
    latitude_e7, longitude_e7 = point_of(_degrees(_LATITUDE, *latitude, "NS"), _degrees(_LONGITUDE, *longitude, "EW"))
    instant = check_time(reported_at, name="time", accepted_at=accepted_at)
    return Report(latitude_e7, longitude_e7, instant, None, None, None, ReportSource.NMEA, None)


def _degrees(shape: "re.Pattern[str]", text: str, side: str, sides: str) -> float:
    """Degrees and minutes in one number, such as 4807.038 for 48° 7.038′."""
    matched = shape.fullmatch(text)
    if matched is None or len(side) != 1 or side not in sides or float(matched[2]) >= 60:
        raise BadReport(f"{shown(f'{text},{side}')} is no angle such as 4807.038,{sides[0]}.")
    degrees = int(matched[1]) + float(matched[2]) / 60
    return degrees if side == sides[0] else -degrees


def _day(text: str) -> datetime:
    matched = _DAY.fullmatch(text)
    if matched is not None:
        day, month, year = map(int, matched.groups())
        try:
            return datetime(_FIRST_YEAR + (year - _FIRST_YEAR) % _CENTURY, month, day, tzinfo=UTC)
        except ValueError:
            pass
    raise BadReport(f"The sentence's day is {shown(text)}, and not one such as 020126 for 2 January 2026.")


def _instant(day: datetime, text: str) -> datetime:
    matched = _TIME.fullmatch(text)
    if matched is not None:
        hour, minute, second = map(int, matched.groups()[:3])
        fraction = int((matched[4] or "0").ljust(6, "0"))
        try:
            return day.replace(hour=hour, minute=minute, second=second, microsecond=fraction)
        except ValueError:
            pass
    raise BadReport(f"The sentence's time is {shown(text)}, and not one such as 030405.00.")
