"""Rows of files of figures, and which of the figures that are known a row tells of. No tables in here."""

import csv
import io
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.catalogue.errors import CatalogueNotUnderstood, FileBreaksOff, FileNotUtf8, RowNotUnderstood
from app.catalogue.fields import Fields
from app.catalogue.jans import check_digit_of, is_jan_shaped
from app.catalogue.json_rows import ROW_BYTES, read_json_rows
from app.catalogue.new_items import NewRelease
from app.catalogue.slugs import name_key, slug_of
from app.core.money import MINOR_UNITS

COLUMNS = (
    "name",
    "manufacturer",
    "scale",
    "series",
    "characters",
    "sculptors",
    "released_on",
    "list_price",
    "currency",
    "jan",
    "is_nsfw",
    "slug",
)
# Similarities of trigrams, from 0 to 1: from the first on two names may be one figure's, from the second on they are.
DOUBTFUL_SIMILARITY = 0.5
SURE_SIMILARITY = 0.85

_LISTS = ("series", "characters", "sculptors")
_NUMBERS = re.compile(r"[0-9]+(?:[./][0-9]+)*")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class FigureRow:
    """What a row tells of a figure, and of one release of it. None says nothing."""

    name: str
    manufacturer: str | None = None
    scale: str | None = None
    series: tuple[str, ...] | None = None
    characters: tuple[str, ...] | None = None
    sculptors: tuple[str, ...] | None = None
    release: NewRelease | None = None
    is_nsfw: bool | None = None
    slug: str | None = None

    @property
    def jan(self) -> str | None:
        """The JAN code of the release."""
        return None if self.release is None else self.release.jan


@dataclass(frozen=True, slots=True)
class Candidate:
    """A figure that a row may tell of. `target` says which; the similarity of the names is from 0 to 1.

    Where `name` is one that it had, or that was merged into it, `called_now` is the present one.
    """

    target: Hashable
    name: str
    manufacturer: str | None
    scale: str | None
    has_jan: bool
    similarity: float
    called_now: str | None = None

    @property
    def present_name(self) -> str:
        """What it is called now."""
        return self.called_now or self.name


@dataclass(frozen=True, slots=True)
class Doubt:
    """A row may tell of this figure, or of another: a person has to say."""

    candidate: Candidate


def read_figure_file(stream: io.BufferedReader, name: str) -> Iterator[object]:
    """The rows of a file: JSON where it begins so, else CSV with the names of the columns in its first line.

    Raises `CatalogueNotUnderstood` for a CSV file without a column `name` or with one that is not known, and
    `FileBreaksOff` where a file stops being one, or being UTF-8.
    """
    if stream.peek(1)[:1] in {b"[", b"{"}:
        yield from read_json_rows(stream, name)
        return
    rows = 0
    with io.TextIOWrapper(stream, "utf-8", newline="") as text:
        try:
            lines = _Lines(text)
            reader = csv.DictReader(lines, strict=True)
            columns = reader.fieldnames or ()
            odd = [column for column in columns if column not in COLUMNS or columns.count(column) > 1]
            if "name" not in columns or odd:
                raise CatalogueNotUnderstood(
                    f"{name} must be CSV whose first line names its columns, of these: {', '.join(COLUMNS)}. "
                    f"The name must be there, and none twice; not so: {', '.join(odd) or 'none'}."
                )
            lines.begin_row()
            for row in reader:
                lines.begin_row()
                yield row
                rows += 1
        except UnicodeDecodeError as error:
            raise FileNotUtf8(name, rows=rows) from error
        except (csv.Error, EOFError, OSError) as error:
            raise FileBreaksOff(name, rows=rows, reason=str(error)) from error


class _Lines:
    """The lines of a text. Raises `csv.Error` where those of one row have no end."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._of_row = 0

    def begin_row(self) -> None:
        """Count the characters of a row anew."""
        self._of_row = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(ROW_BYTES)
        if not line:
            raise StopIteration
        self._of_row += len(line)
        if self._of_row >= ROW_BYTES:
            raise csv.Error(f"a row has more than {ROW_BYTES // 1024**2} MiB")
        return line


def read_figure_row(row: object) -> FigureRow:
    """The figure that a row tells of; lists are JSON lists, or texts with `;` between.

    Raises `RowNotUnderstood` for a row without a name, or with a field that is not known or not what it must be.
    """
    if isinstance(row, Mapping):
        row = {name: _listed(name, value) for name, value in row.items() if value not in ("", None)}
    fields = Fields(row)
    unknown = [name for name in fields.names() if name not in COLUMNS]
    if unknown:
        raise RowNotUnderstood(
            "it has more fields than columns" if unknown == ["None"] else f"{unknown[0]} is no column"
        )
    slug = fields.text("slug")
    if slug is not None and slug != slug_of(slug):
        raise RowNotUnderstood(f"slug “{slug}” is not made of lower-case words joined by hyphens")
    return FigureRow(
        name=fields.required_text("name"),
        manufacturer=fields.text("manufacturer"),
        scale=fields.text("scale"),
        series=fields.texts("series"),
        characters=fields.texts("characters"),
        sculptors=fields.texts("sculptors"),
        release=_release(fields),
        is_nsfw=fields.flag("is_nsfw"),
        slug=slug,
    )


def _listed(name: object, value: object) -> object:
    if name in _LISTS and isinstance(value, str):
        return value.split(";")
    if name == "is_nsfw" and isinstance(value, str):
        return _FLAGS.get(value.strip().lower(), value)
    return value


def _release(fields: Fields) -> NewRelease | None:
    price, currency, jan = fields.amount("list_price"), fields.text("currency"), fields.identifier("jan")
    if (price is None) != (currency is None):
        raise RowNotUnderstood("list_price and currency go together")
    if currency is not None and currency not in MINOR_UNITS:
        raise RowNotUnderstood(f"“{currency}” is no currency that Trove knows; give a code such as JPY")
    if jan is not None and not is_jan_shaped(jan):
        raise RowNotUnderstood(f"jan “{jan}” does not have 8 or 13 digits")
    if jan is not None and not jan.endswith(check_digit_of(jan)):
        raise RowNotUnderstood(f"jan “{jan}” should end in {check_digit_of(jan)} by its other digits; look at it again")
    release = NewRelease(fields.day("released_on"), price, currency, jan)
    return None if release == NewRelease() else release


def choose(row: FigureRow, candidates: Sequence[Candidate]) -> Candidate | Doubt | None:
    """The figure that a row without a known JAN tells of; None for a new one.

    The same name by the same maker is the same figure; a similar name is, unless it has other numbers, or a JAN of its
    own. Figures of another scale are others.
    """
    fitting = [candidate for candidate in candidates if row.scale is None or candidate.scale in {None, row.scale}]
    same = [one for one in fitting if name_key(one.name) == name_key(row.name) and _is_same_maker(row, one)]
    same = [one for one in same if one.scale == row.scale] or same
    if not same:
        fitting = [one for one in fitting if not _numbers_contradict(row.name, one.name)]
        same = [one for one in fitting if _is_surely(row, one)]
    if len(same) == 1:
        return same[0]
    doubtful = sorted(same or fitting, key=lambda one: -one.similarity)
    return Doubt(doubtful[0]) if doubtful else None


def _is_same_maker(row: FigureRow, candidate: Candidate) -> bool:
    makers = [None if name is None else name_key(name) for name in (row.manufacturer, candidate.manufacturer)]
    return makers[0] == makers[1]


def _is_surely(row: FigureRow, candidate: Candidate) -> bool:
    return (
        candidate.similarity >= SURE_SIMILARITY
        and row.manufacturer is not None
        and _is_same_maker(row, candidate)
        and _NUMBERS.findall(row.name) == _NUMBERS.findall(candidate.name)
        and not (candidate.has_jan and row.jan is not None)
    )


def _numbers_contradict(name: str, other: str) -> bool:
    numbers, others = _NUMBERS.findall(name), _NUMBERS.findall(other)
    return bool(numbers and others and numbers != others)


def merged(releases: Sequence[NewRelease], told: NewRelease) -> tuple[NewRelease, ...]:
    """The releases of a figure with what a row tells: of the one with its JAN or its day, or else of one more."""
    place = _place_of(releases, told)
    if place is None:
        return (*releases, told)
    return (*releases[:place], _filled_in(told, releases[place]), *releases[place + 1 :])


def joined(own: Sequence[NewRelease], others: Sequence[NewRelease]) -> tuple[NewRelease, ...]:
    """The releases of a figure with those of another that is the same one: what it says itself stays."""
    releases = tuple(own)
    for other in others:
        place = _place_of(releases, other)
        if place is None:
            releases = (*releases, other)
        else:
            releases = (*releases[:place], _filled_in(releases[place], other), *releases[place + 1 :])
    return releases


def _place_of(releases: Sequence[NewRelease], told: NewRelease) -> int | None:
    """Where the release with this JAN stands, else the one of this day whose JAN is not another."""
    for place, release in enumerate(releases):
        if told.jan is not None and release.jan == told.jan:
            return place
    for place, release in enumerate(releases):
        if release.released_on == told.released_on and (release.jan is None or told.jan is None):
            return place
    return None


def _filled_in(release: NewRelease, other: NewRelease) -> NewRelease:
    """What is said of a release, and where nothing is, what the other says; a price goes with its currency."""
    priced = other if release.list_price is None else release
    return NewRelease(
        release.released_on or other.released_on, priced.list_price, priced.currency, release.jan or other.jan
    )
