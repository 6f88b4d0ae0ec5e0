"""GPX: the waypoints, route points and track points of a file that say when they were reached.

Read piece by piece. A file with a document type is refused before anything of it is taken in, and with that whatever
entities it could define.
"""

from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

import orjson

from app.core.errors import BadUserInput
from app.ingestion.file_rows import CanonicalRow, RejectedRow
from app.trackers.errors import BadReport
from app.trackers.formats.spellings import read_decimal, read_instant
from app.trackers.history_models import ReportSource

BYTES_AT_ONCE = 64 * 1024
LONGEST_TIME = 100
DEEPEST = 100
POINTS = frozenset({"wpt", "rtept", "trkpt"})
_POINT_WITHOUT_TIME = "The point has no `time`, so nobody knows when anything was there."


class GpxNotUnderstood(BadUserInput):
    """A file is no GPX, or one that is not read; the message says what was found."""


class GpxFile:
    """A file of points, read as they are asked for. Points that are no reports gather in `rejected`.

    Points are numbered from 1 in their order, of whatever kind. Where the file breaks off, those before stay, and one
    more is rejected that says so.
    """

    def __init__(self, stream: BinaryIO, *, tracker: str) -> None:
        """Take the file, and the public id of the tracker that made the journey."""
        self._stream = stream
        self._tracker = tracker
        self._names: list[str] = []
        self._point: tuple[str | None, str | None] | None = None
        self._time: str | None = None
        self._text: list[str] | None = None
        self._ready: list[CanonicalRow] = []
        self._count = 0
        self.rejected: list[RejectedRow] = []

    def rows(self) -> Iterator[CanonicalRow]:
        """The points of the file in their order, once; raises GpxNotUnderstood for what is no GPX at all."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = _refuse_document_type
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._take
        is_last = False
        while not is_last:
            piece = self._stream.read(BYTES_AT_ONCE)
            is_last = not piece
            broken = _fed(parser, piece, is_last=is_last)
            ready, self._ready = self._ready, []
            yield from ready
            if broken is not None:
                self._break_off(broken)
                return

    def _break_off(self, problem: str) -> None:
        if not self._count and not self._names:
            raise GpxNotUnderstood(f"The file is no GPX: {problem}.")
        self.rejected.append(
            RejectedRow(
                self._count + 1, f"From here on the file is no XML ({problem}); what stands before is taken in."
            )
        )

    def _begin(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(" ")[2]
        if not self._names and name != "gpx":
            raise GpxNotUnderstood(f"The file is no GPX: it begins with <{name[:LONGEST_TIME]}>, and GPX with <gpx>.")
        if len(self._names) == DEEPEST:
            raise GpxNotUnderstood(f"The file is nested more than {DEEPEST} levels deep, which no GPX is.")
        self._names.append(name)
        if self._point is None and name in POINTS:
            self._point = attributes.get("lat"), attributes.get("lon")
            self._time = None
        elif self._point is not None and name == "time" and self._names[-2] in POINTS:
            self._text = []

    def _take(self, text: str) -> None:
        # Of a longer one it is known already that it is no time.
        if self._text is not None and len(self._text) < LONGEST_TIME:
            self._text.append(text[:LONGEST_TIME])

    def _end(self, _: str) -> None:
        name = self._names.pop()
        if name == "time" and self._text is not None:
            self._time, self._text = "".join(self._text).strip(), None
        elif self._point is not None and name in POINTS:
            self._count += 1
            point, self._point = self._point, None
            try:
                self._ready.append(CanonicalRow(self._count, self._row(*point)))
            except BadReport as bad:
                self.rejected.append(RejectedRow(self._count, str(bad)))

    def _row(self, latitude: str | None, longitude: str | None) -> bytes:
        if latitude is None or longitude is None:
            raise BadReport("The point has no `lat` and `lon`.")
        if not self._time:
            raise BadReport(_POINT_WITHOUT_TIME)
        row = {
            "tracker": self._tracker,
            "latitude": read_decimal(latitude.strip(), name="lat"),
            "longitude": read_decimal(longitude.strip(), name="lon"),
            "reportedAt": read_instant(self._time, name="time").isoformat(),
            "source": ReportSource.GPX.value,
        }
        return orjson.dumps(row)


def _refuse_document_type(*_: object) -> None:
    raise GpxNotUnderstood("The file has a document type (<!DOCTYPE …>), which GPX has not; take it out.")


def _fed(parser: "expat.XMLParserType", piece: bytes, *, is_last: bool) -> str | None:
    """Parse a piece: what is wrong with it, or None."""
    try:
        parser.Parse(piece, is_last)
    # An encoding that nobody knows is a LookupError, and one that is not read a ValueError.
    except (expat.ExpatError, LookupError, ValueError) as error:
        return str(error)
    return None
