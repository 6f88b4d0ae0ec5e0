"""Sorts the rows of a batch out: reports of trackers, opened where they were sealed; orphans; and what is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.secrets import Secrets, place_of
from app.ingestion.commands import RejectedRow
from app.trackers.commands.read_rows import ReadRow, SealedReport, opened_report
from app.trackers.commands.reported_trackers import ReportedKey, ReportedTrackers
from app.trackers.commands.store_reports import NewReport
from app.trackers.errors import BadReport
from app.trackers.find_my import ReportOpener
from app.trackers.models import TrackerKey

# The same of one that is there and is another client's.
UNKNOWN_TRACKER = (
    "There is no tracker with this id that you may send reports for; you need to be an operator of its client."
)


@dataclass(frozen=True, slots=True)
class SortedRows:
    """Reports to be stored, rows of keys that no tracker of the sender's has, and the rows that are refused."""

    reports: Sequence[NewReport]
    orphans: Sequence[ReadRow]
    rejects: Sequence[RejectedRow]


def sort_out(rows: Sequence[ReadRow], trackers: ReportedTrackers, secrets: Secrets) -> SortedRows:
    """Which row is what, by the trackers that its sender may report."""
    openers = _Openers(trackers.keys, secrets)
    reports: list[NewReport] = []
    orphans: list[ReadRow] = []
    rejects: list[RejectedRow] = []
    for row in rows:
        tracker_id = trackers.tracker_of(row.subject, is_key=row.is_of_key)
        if tracker_id is None:
            if row.is_of_key:
                orphans.append(row)
            else:
                rejects.append(row.rejected(UNKNOWN_TRACKER))
            continue
        try:
            report = row.report
            if isinstance(report, SealedReport):
                report = opened_report(report, openers.of(row.subject).open(report.payload))
        except BadReport as bad:
            rejects.append(row.rejected(str(bad)))
            continue
        reports.append(NewReport(row.subject, tracker_id, trackers.clients[tracker_id], row.received_at, report))
    return SortedRows(reports, orphans, rejects)


class _Openers:
    """What opens the reports of each key, made once."""

    def __init__(self, keys: Mapping[bytes, ReportedKey], secrets: Secrets) -> None:
        self._keys = keys
        self._secrets = secrets
        self._made: dict[UUID, ReportOpener] = {}

    def of(self, hashed_key: bytes) -> ReportOpener:
        """Of a known key."""
        key = self._keys[hashed_key]
        opener = self._made.get(key.id)
        if opener is None:
            place = place_of(TrackerKey.private_key, key.id)
            opener = self._made[key.id] = ReportOpener(self._secrets.decrypt(key.private_key, place))
        return opener
