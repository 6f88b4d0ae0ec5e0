"""The European Central Bank's files of reference rates: CSV or XML, of a day or of all days, plain or packed."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from xml.parsers import expat

from app.ingestion.file_rows import RejectedRow
from app.prices.exchange_rates import BASE_CURRENCY, MOST_DECIMAL_PLACES, MOST_WHOLE_DIGITS, ReferenceRate
from app.prices.formats.errors import FileNotUnderstood

# The whole history is 1 MB as CSV and 8 MB as XML.
MOST_BYTES = 64 * 1024 * 1024
FIRST_DAY = date(1999, 1, 4)
EXPECTED = "the European Central Bank's reference rates, as eurofxref-hist.zip, eurofxref.csv or eurofxref-daily.xml"

_ZIP, _GZIP, _BYTE_ORDER_MARK = b"PK\x03\x04", b"\x1f\x8b", b"\xef\xbb\xbf"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_MEMBERS = (".csv", ".xml")
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_RATE = re.compile(rf"[0-9]{{1,{MOST_WHOLE_DIGITS}}}(\.[0-9]{{1,{MOST_DECIMAL_PLACES}}})?", re.ASCII)
_ISO_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_SPELLED_DAY = re.compile(r"([0-9]{1,2}) ([A-Z][a-z]+) ([0-9]{4})", re.ASCII)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NOT_AVAILABLE = {"", "N/A"}
_ENVELOPE = "http://www.gesmes.org/xml/2002-08-01 Envelope"
_CUBE = "http://www.ecb.int/vocabulary/2002-08-01/eurofxref Cube"


@dataclass(frozen=True, slots=True)
class ReferenceRateFile:
    """The rates of a file, and its bad rows: their numbers are lines of a CSV, or in XML days counted from 1."""

    rates: Sequence[ReferenceRate]
    rejected: Sequence[RejectedRow]


@dataclass(frozen=True, slots=True)
class _Row:
    """What a file says of a day, as it is spelled; `problem` is why none of it can be taken."""

    number: int
    day: str
    rates: Sequence[tuple[str, str]]
    problem: str | None = None


class _BadRow(Exception):
    """A row is left out; the message says why."""


def read_reference_rates(content: bytes, *, today: date) -> ReferenceRateFile:
    """The rates of one of the bank's files, whichever of its formats it has.

    A row is taken whole or not at all: what is wrong with one rate of it may be wrong with all. Raises
    `FileNotUnderstood` where the file as a whole is something else, or breaks off in a way that hides what is missing.
    """
    plain = _unpacked(_bounded(content)).removeprefix(_BYTE_ORDER_MARK)
    if not plain.strip():
        raise FileNotUnderstood(f"A file of {EXPECTED} was expected, and this one is empty.")
    rows = _xml_rows(plain) if plain.lstrip().startswith(b"<") else _csv_rows(plain)
    return _taken(rows, today)


def _taken(rows: Iterable[_Row], today: date) -> ReferenceRateFile:
    by_day: dict[date, tuple[_Row, list[ReferenceRate]]] = {}
    rejected: list[RejectedRow] = []
    for row in rows:
        try:
            day = _day_of(row, today)
            rates = _rates_of(row, day)
        except _BadRow as bad:
            rejected.append(RejectedRow(row.number, str(bad)))
            continue
        first, rates_of_first = by_day.setdefault(day, (row, rates))
        if rates != rates_of_first:
            reason = f"It says other rates for {day} than row {first.number:,}."
            rejected.append(RejectedRow(row.number, reason))
    taken = [rate for _, rates in by_day.values() for rate in rates]
    if not taken and not rejected:
        raise FileNotUnderstood(f"A file of {EXPECTED} was expected, and this one has no rates.")
    return ReferenceRateFile(taken, rejected)


def _rates_of(row: _Row, day: date) -> list[ReferenceRate]:
    """The rates of a row, in the order of their currencies."""
    rates: dict[str, ReferenceRate] = {}
    for currency, spelled in row.rates:
        if spelled in _NOT_AVAILABLE:
            continue
        if not _CURRENCY.fullmatch(currency) or currency == BASE_CURRENCY:
            raise _BadRow(f"“{currency[:20]}” is no currency that the bank gives rates of.")
        if currency in rates:
            raise _BadRow(f"It gives {currency} twice.")
        if not _RATE.fullmatch(spelled) or not Decimal(spelled):
            raise _BadRow(f"The rate of {currency} is “{spelled[:40]}”; a number above 0 such as 1.0389 was expected.")
        rates[currency] = ReferenceRate(currency, day, Decimal(spelled))
    return [rates[currency] for currency in sorted(rates)]


def _day_of(row: _Row, today: date) -> date:
    if row.problem is not None:
        raise _BadRow(row.problem)
    day = _parsed_day(row.day)
    if day is None:
        raise _BadRow(f"“{row.day[:40]}” is no day; one such as 2024-12-31 or 31 December 2024 was expected.")
    if not FIRST_DAY <= day <= today:
        raise _BadRow(f"{day} cannot be: the bank's rates begin on {FIRST_DAY}, and none is of a day to come.")
    return day


def _parsed_day(spelled: str) -> date | None:
    """The day, as the history writes it or as the daily file does; the names of months do not follow the locale."""
    if found := _ISO_DAY.fullmatch(spelled):
        year, month, day = (int(part) for part in found.groups())
    elif (found := _SPELLED_DAY.fullmatch(spelled)) and found[2] in _MONTHS:
        year, month, day = int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1])
    else:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


# What a file is wrapped in.


def _unpacked(content: bytes) -> bytes:
    """The file inside of a zip or gzip, told by how it begins and never by its name."""
    if content.startswith(_ZIP):
        return _from_zip(content)
    return _from_gzip(content) if content.startswith(_GZIP) else content


def _bounded(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise FileNotUnderstood(
            f"A file of {EXPECTED} was expected, and this one is larger than {MOST_BYTES // 1024 // 1024} MB."
        )
    return content


def _from_zip(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [member for member in archive.infolist() if member.filename.lower().endswith(_MEMBERS)]
            if len(members) != 1:
                raise FileNotUnderstood(
                    f"A zip with one CSV or XML file of {EXPECTED} was expected, and this one has {len(members)}."
                )
            with archive.open(members[0]) as member:
                # The size that the archive claims may be a lie; what is read is counted.
                return _bounded(member.read(MOST_BYTES + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise FileNotUnderstood("This zip is broken, breaks off or is encrypted; fetch it again.") from error


def _from_gzip(content: bytes) -> bytes:
    inflating = zlib.decompressobj(_GZIP_WINDOW)
    try:
        inflated = inflating.decompress(content, MOST_BYTES + 1)
    except zlib.error as error:
        raise FileNotUnderstood("This gzip file is broken; fetch it again.") from error
    if not inflating.eof and len(inflated) <= MOST_BYTES:
        raise FileNotUnderstood("This gzip file breaks off; fetch it again.")
    return _bounded(inflated)


# CSV: a line of currencies, then a line for each day, no cell of them quoted. The bank ends each line with a comma, so
# that one which breaks off within its last number has a cell less than the first line.


def _csv_rows(content: bytes) -> Iterator[_Row]:
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FileNotUnderstood(f"A file of {EXPECTED} was expected, and this one is not text in UTF-8.") from error
    numbered = ((number, [cell.strip() for cell in line.split(",")]) for number, line in enumerate(lines, 1))
    filled = ((number, cells) for number, cells in numbered if cells != [""])
    _, header = next(filled)
    currencies = _currencies(header)
    return (_csv_row(number, cells, currencies) for number, cells in filled)


def _currencies(header: Sequence[str]) -> Sequence[str]:
    """The cells of the first line behind `Date`; the last is empty where the line ends with a comma."""
    if header[0] != "Date" or not any(header[1:]):
        raise FileNotUnderstood(
            f"A file of {EXPECTED} was expected, whose first line is such as `Date,USD,JPY,`; the first line of this "
            f"one is “{','.join(header)[:60]}”."
        )
    currencies = header[1:]
    named = currencies[:-1] if currencies[-1] == "" else currencies
    for currency in named:
        if not _CURRENCY.fullmatch(currency) or named.count(currency) > 1:
            raise FileNotUnderstood(
                f"The first line names “{currency[:20]}”, which is no currency or stands there twice; fetch the file "
                "again."
            )
    return currencies


def _csv_row(number: int, cells: Sequence[str], currencies: Sequence[str]) -> _Row:
    day, spelled = cells[0], cells[1:]
    if len(spelled) != len(currencies):
        problem = f"It has {len(cells)} cells, and the first line has {len(currencies) + 1}: does it break off?"
        return _Row(number, day, (), problem)
    pairs = list(zip(currencies, spelled, strict=True))
    if pairs[-1][0] == "" and pairs.pop()[1]:
        return _Row(number, day, (), "Behind its last comma stands a rate that belongs to no currency.")
    return _Row(number, day, pairs)


# XML: `Envelope` / `Cube` / `Cube time` / `Cube currency rate`.


class _Days:
    """Gathers the days while expat reads.

    Safe with any content: a document type is refused as soon as it begins, so no entity can be declared, neither one
    that grows nor one from elsewhere; nothing is kept of what is not a day or a rate.
    """

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self._rates: list[tuple[str, str]] = []
        self._depth = 0

    def read(self, content: bytes) -> Sequence[_Row]:
        """The days of a whole document; raises `FileNotUnderstood` for one that is broken or another."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._refuse_document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise FileNotUnderstood(
                f"A file of {EXPECTED} was expected, and this XML is broken or breaks off in line {error.lineno}; "
                "fetch it again."
            ) from error
        return self.rows

    def _refuse_document_type(self, *_: object) -> None:
        raise FileNotUnderstood(
            f"A file of {EXPECTED} was expected, and this one has a DOCTYPE, as web pages have; fetch it again."
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and name != _ENVELOPE:
            raise FileNotUnderstood(
                f"A file of {EXPECTED} was expected, and this XML is a “{name.rpartition(' ')[2][:40]}”."
            )
        self._depth += 1
        if name != _CUBE:
            return
        if "time" in attributes:
            self._rates = []
            self.rows.append(_Row(len(self.rows) + 1, attributes["time"].strip(), self._rates))
        elif "currency" in attributes:
            self._rates.append((attributes["currency"].strip(), attributes.get("rate", "").strip()))

    def _end(self, _name: str) -> None:
        self._depth -= 1


def _xml_rows(content: bytes) -> Sequence[_Row]:
    return _Days().read(content)
