"""Reads the rows of a batch of reports; docs/sending-locations.md tells what they may hold."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.core.ids import PublicIdTag, parse_public_id
from app.ingestion.batch_rows import lines_of, read_object, refuse_other_fields, shown
from app.ingestion.commands import RejectedRow, rejected_row
from app.ingestion.errors import BadRow
from app.trackers.errors import BadReport
from app.trackers.find_my import OpenedReport, read_hashed_key, read_payload, reported_at_of
from app.trackers.formats.nmea import read_nmea
from app.trackers.formats.osmand import read_osmand
from app.trackers.formats.owntracks import read_owntracks
from app.trackers.history_models import ReportSource
from app.trackers.reports import Report, accuracy_of, check_time, confidence_of, point_of, refuse_no_place

LONGEST_ROW_BYTES = 16_000
ID_BYTES = 16

_NAMES = {"tracker", "hashedKey"}
_POINT_FIELDS = frozenset(
    _NAMES | {"latitude", "longitude", "accuracy", "confidence", "reportedAt", "publishedAt", "source"}
)
_PAYLOAD_FIELDS = frozenset({"hashedKey", "payload", "publishedAt"})
_MESSAGE_FIELDS = frozenset({"tracker", "source", "message"})
_FIELDS = _POINT_FIELDS | _PAYLOAD_FIELDS | _MESSAGE_FIELDS
_MESSAGE_READERS = {
    ReportSource.OWNTRACKS.value: read_owntracks,
    ReportSource.OSMAND.value: read_osmand,
    ReportSource.NMEA.value: read_nmea,
}
_SOURCES_OF_POINTS: Mapping[str, ReportSource] = {
    source.value: source for source in (ReportSource.PARTNER, ReportSource.GPX)
}

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class SealedReport:
    """A report that only the private key opens: 88 bytes, and when it was published."""

    payload: bytes
    published_at: datetime | None


class ReadRow(NamedTuple):
    """A row that makes sense: the id of its tracker (16 bytes) or a hashed key (32 bytes), and what it says."""

    line_number: int
    line: bytes
    subject: bytes
    report: Report | SealedReport
    received_at: datetime

    @property
    def is_of_key(self) -> bool:
        """Whether it names a hashed key, and not a tracker."""
        return len(self.subject) != ID_BYTES

    def rejected(self, reason: str) -> RejectedRow:
        """The row as one that is refused."""
        return rejected_row(self.line_number, reason, self.line)


@dataclass(frozen=True, slots=True)
class ReadRows:
    """The rows that make sense, and the others."""

    rows: Sequence[ReadRow]
    rejects: Sequence[RejectedRow]


def read_rows(payload: bytes, *, accepted_at: datetime) -> ReadRows:
    """The rows of a batch."""
    reader = RowReader(accepted_at=accepted_at)
    rows: list[ReadRow] = []
    rejects: list[RejectedRow] = []
    for line_number, _, line in lines_of(payload):
        try:
            rows.append(reader.read(line_number, line))
        except BadRow as bad:
            rejects.append(rejected_row(line_number, str(bad), line))
    return ReadRows(rows, rejects)


class RowReader:
    """Reads rows that were accepted at one time, and remembers what repeats in them."""

    def __init__(self, *, accepted_at: datetime) -> None:
        self._accepted_at = accepted_at
        # By field too: the same text is an id in one row and has to be refused as a key in another.
        self._subjects: dict[tuple[str, str], bytes] = {}
        self._instants: dict[str, datetime] = {}

    def read(self, line_number: int, line: bytes) -> ReadRow:
        """The row; raises BadRow."""
        if len(line) > LONGEST_ROW_BYTES:
            raise BadReport(f"The row is longer than {LONGEST_ROW_BYTES:,} bytes, which no report is.")
        row = read_object(line)
        report: Report | SealedReport
        if "payload" in row:
            refuse_other_fields(row, _PAYLOAD_FIELDS, others=_FIELDS - _PAYLOAD_FIELDS)
            report = self._sealed(row)
        elif "message" in row:
            refuse_other_fields(row, _MESSAGE_FIELDS, others=_FIELDS - _MESSAGE_FIELDS)
            report = self._of_message(row)
        else:
            refuse_other_fields(row, _POINT_FIELDS, others=_FIELDS - _POINT_FIELDS)
            report = self._of_point(row)
        return ReadRow(line_number, line, self._subject(row), report, self._accepted_at)

    def _subject(self, row: Mapping[str, Any]) -> bytes:
        tracker, hashed_key = row.get("tracker"), row.get("hashedKey")
        if (tracker is None) == (hashed_key is None):
            raise BadReport("Name the tracker by `tracker`, its id, or by `hashedKey`, one of them.")
        name, read = ("tracker", _tracker_id) if hashed_key is None else ("hashedKey", read_hashed_key)
        value = row[name]
        if type(value) is not str:
            raise BadReport(f"`{name}` is {shown(value)}, and not a text.")
        subject = self._subjects.get((name, value))
        if subject is None:
            subject = self._subjects[name, value] = read(value)
        return subject

    def _sealed(self, row: Mapping[str, Any]) -> SealedReport:
        value = row["payload"]
        if type(value) is not str:
            raise BadReport(f"`payload` is {shown(value)}, and not base64.")
        payload = read_payload(value)
        check_time(reported_at_of(payload), name="payload", accepted_at=self._accepted_at, is_inside=True)
        return SealedReport(payload, self._published_at(row))

    def _of_message(self, row: Mapping[str, Any]) -> Report:
        source = row.get("source")
        read = _MESSAGE_READERS.get(source) if type(source) is str else None
        if read is None:
            raise BadReport(f"`source` is {shown(source)}, and of a message one of {', '.join(_MESSAGE_READERS)}.")
        return read(row["message"], accepted_at=self._accepted_at)

    def _of_point(self, row: Mapping[str, Any]) -> Report:
        get = row.get
        latitude_e7, longitude_e7 = point_of(get("latitude"), get("longitude"))
        named = get("source", ReportSource.PARTNER.value)
        source = _SOURCES_OF_POINTS.get(named) if type(named) is str else None
        if source is None:
            raise BadReport(f"`source` is {shown(named)}, and of a point one of {', '.join(_SOURCES_OF_POINTS)}.")
        return Report(
            latitude_e7,
            longitude_e7,
            self._instant(get("reportedAt"), "reportedAt"),
            accuracy_of(get("accuracy")),
            confidence_of(get("confidence")),
            None,
            source,
            self._published_at(row),
        )

    def _published_at(self, row: Mapping[str, Any]) -> datetime | None:
        value = row.get("publishedAt")
        return None if value is None else self._instant(value, "publishedAt")

    def _instant(self, value: object, name: str) -> datetime:
        known = self._instants.get(value) if type(value) is str else None
        if known is None:
            known = self._read_instant(value, name)
            self._instants[str(value)] = known
        return known

    def _read_instant(self, value: object, name: str) -> datetime:
        matched = _INSTANT.fullmatch(value) if type(value) is str else None
        if matched is None:
            raise BadReport(f"`{name}` is {shown(value)}, and not a time such as 2026-01-31T12:00:00Z.")
        if matched[1] is None:
            raise BadReport(f"`{name}` is {shown(value)}, which lacks an offset from UTC; add Z or one like +02:00.")
        try:
            instant = datetime.fromisoformat(matched[0])
            if instant.tzinfo is not UTC:
                instant = instant.astimezone(UTC)
        except (ValueError, OverflowError):
            raise BadReport(f"`{name}` is {shown(value)}, a date or time that does not exist.") from None
        return check_time(instant, name=name, accepted_at=self._accepted_at)


def opened_report(sealed: SealedReport, opened: OpenedReport) -> Report:
    """The report that was sealed; raises BadReport where it names no place."""
    refuse_no_place(opened.latitude_e7, opened.longitude_e7)
    return Report(
        opened.latitude_e7,
        opened.longitude_e7,
        opened.reported_at,
        float(opened.accuracy_meters),
        opened.confidence,
        opened.status_byte,
        ReportSource.FIND_MY,
        sealed.published_at,
    )


def subjects_of(rows: Sequence[ReadRow], *, of_keys: bool) -> Set[bytes]:
    """The hashed keys that the rows name, or the ids of trackers."""
    return {row.subject for row in rows if row.is_of_key is of_keys}


def _tracker_id(value: str) -> bytes:
    match parse_public_id(value):
        case (PublicIdTag.TRACKER, UUID() as key):
            return key.bytes
    raise BadReport(f"`tracker` is {shown(value)}, and not the id of a tracker.")
