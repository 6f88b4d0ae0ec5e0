"""Imports files of a catalogue: in chunks, each a transaction of its own, so it takes the database."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from app.catalogue.anime import NewSeries, read_anime_relations
from app.catalogue.commands.import_cs2_skins import import_cs2_skins
from app.catalogue.commands.import_figures import DoubtfulRow, NumberedFigure, import_figures
from app.catalogue.commands.import_items import ITEMS_IN_A_CHUNK, GivenRow, import_rows
from app.catalogue.commands.import_series import ImportedSeries, import_series
from app.catalogue.commands.save_items import SavedItems
from app.catalogue.commands.save_related import SavedSets
from app.catalogue.commands.save_rulings import SavedRulings
from app.catalogue.cs2 import NAMES_FILE
from app.catalogue.cs2_skins import read_skin_row
from app.catalogue.errors import CatalogueNotUnderstood, FileBreaksOff, RowNotUnderstood
from app.catalogue.figures import read_figure_file, read_figure_row
from app.catalogue.json_rows import open_plain, read_json_rows
from app.catalogue.left_out import LeftOut
from app.catalogue.new_items import CardName, NewCardSet, NewItem, NewRuling
from app.core.database import Database
from app.operations.imports import RejectedLine, import_result

REJECTS_TOLD = 20
FIGURES_IN_A_CHUNK = 500

Row = TypeVar("Row")
ReadRow = Callable[[object], NewItem | NewCardSet | NewRuling | CardName]


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A row that went in: its number from 1, what it told of, and how it stands in the file."""

    number: int
    given: NewItem | NewCardSet | NewRuling | CardName
    row: object


Follow = Callable[[Sequence[ImportedRow]], Awaitable[None]]


@dataclass(slots=True)
class CatalogueSummary:
    """What became of the rows of a file so far. `breaks_off` says in a sentence that the file ended too early.

    Of `names` that were only looked up, `missing_count` are no card's; `missing` holds the first of those.
    """

    file: str
    rows: int = 0
    items: SavedItems = field(default_factory=SavedItems)
    sets: SavedSets = field(default_factory=SavedSets)
    rulings: SavedRulings = field(default_factory=SavedRulings)
    names: int = 0
    missing_count: int = 0
    missing: list[str] = field(default_factory=list)
    shared_ids: int = 0
    rejected_count: int = 0
    rejected: list[LeftOut] = field(default_factory=list)
    doubtful: list[DoubtfulRow] = field(default_factory=list)
    breaks_off: str | None = None

    @property
    def something_went_in(self) -> bool:
        """Whether a row of the file is stored, from now on or from before."""
        return self.rows > self.rejected_count + len(self.doubtful)

    @property
    def result(self) -> dict[str, object]:
        """The same as the counts of an import's run; rows in doubt count as rejected."""
        doubts = (RejectedLine(row.number, f"“{row.name}” may be “{row.candidate}”.") for row in self.doubtful)
        return import_result(
            read=self.rows,
            created=self.items.inserted + self.sets.inserted + self.rulings.inserted,
            updated=self.items.updated + self.sets.updated,
            unchanged=self.items.unchanged + self.sets.unchanged + self.rulings.unchanged,
            rejected=self.rejected_count + len(self.doubtful),
            rejects=[*(RejectedLine(row.number, row.reason) for row in self.rejected), *doubts],
        )

    def add(self, items: SavedItems, rejected: Sequence[LeftOut], *, last: int) -> None:
        """Count what became of a chunk that ends with the row of that number."""
        self.rows = last
        self.items += items
        self.rejected_count += len(rejected)
        in_order = sorted(rejected, key=lambda row: row.number)
        self.rejected += in_order[: REJECTS_TOLD - len(self.rejected)]


async def import_catalogue_file(
    database: Database,
    file: Path,
    read_row: ReadRow,
    *,
    follow: Follow | None = None,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> CatalogueSummary:
    """Import a file of JSON rows in chunks, each of them whole or not at all; `on_progress` is told how many went by.

    `follow` is given the rows of each chunk that went in, after their commit, for what a room above makes of them.
    Raises `CatalogueNotUnderstood` before anything is stored when the file cannot be read as one of rows.
    """
    with open_plain(file) as stream:
        summary = CatalogueSummary(file.name)
        try:
            for chunk in _chunks(read_json_rows(stream, file.name), read_row, ITEMS_IN_A_CHUNK):
                async with database.transaction() as transaction:
                    imported = await import_rows(transaction, [GivenRow(*row) for row in chunk.rows])
                if follow is not None:
                    left_out = {row.number for row in imported.rejected}
                    await follow([ImportedRow(*row) for row in chunk.whole_rows() if row[0] not in left_out])
                on_progress(chunk.last - summary.rows)
                summary.sets += imported.sets
                summary.shared_ids += imported.shared_ids
                summary.rulings += imported.rulings
                summary.names += imported.names
                summary.missing_count += len(imported.missing)
                summary.missing += imported.missing[: REJECTS_TOLD - len(summary.missing)]
                summary.add(imported.items, [*chunk.rejected, *imported.rejected], last=chunk.last)
        except FileBreaksOff as error:
            summary.breaks_off = error.message
        return summary


async def import_skin_file(
    database: Database, file: Path, *, on_progress: Callable[[int], None] = lambda rows: None
) -> CatalogueSummary:
    """Import the list of CS2 skins, all of it or, where it breaks off, nothing: a skin's phases stand in many rows.

    Raises `CatalogueNotUnderstood` when the file cannot be read as one of rows.
    """
    if file.name == NAMES_FILE:
        raise CatalogueNotUnderstood(f"{file} goes with its schema; give the directory that holds both.")
    with open_plain(file) as stream:
        summary = CatalogueSummary(file.name)
        try:
            for chunk in _chunks(read_json_rows(stream, file.name), read_skin_row, most=None):
                async with database.transaction() as transaction:
                    imported = await import_cs2_skins(transaction, chunk.rows)
                on_progress(chunk.last)
                summary.add(imported.saved, [*chunk.rejected, *imported.rejected], last=chunk.last)
        except FileBreaksOff as error:
            summary.breaks_off = error.message
        return summary


async def import_figure_file(
    database: Database, file: Path, *, on_progress: Callable[[int], None] = lambda rows: None
) -> CatalogueSummary:
    """Import a file of figures, CSV or JSON, as `import_catalogue_file` does; doubtful rows are listed and stay out."""
    with open_plain(file) as stream:
        summary = CatalogueSummary(file.name)
        try:
            for chunk in _chunks(read_figure_file(stream, file.name), read_figure_row, FIGURES_IN_A_CHUNK):
                async with database.transaction() as transaction:
                    imported = await import_figures(transaction, [NumberedFigure(*row) for row in chunk.rows])
                on_progress(chunk.last - summary.rows)
                summary.doubtful += imported.doubtful
                summary.add(imported.items, [*chunk.rejected, *imported.rejected], last=chunk.last)
        except FileBreaksOff as error:
            summary.breaks_off = error.message
        return summary


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """What became of the lines of a file of series; `left_out` are those that stay out, in their order.

    `read` counts the series that its lines tell of, and the lines that tell of none.
    """

    read: int
    imported: ImportedSeries
    left_out: Sequence[LeftOut]

    @property
    def something_went_in(self) -> bool:
        """Whether a series of the file is stored, from now on or from before."""
        return self.read > len(self.left_out)

    @property
    def result(self) -> dict[str, object]:
        """The same as the counts of an import's run."""
        return import_result(
            read=self.read,
            created=self.imported.inserted,
            updated=self.imported.updated,
            unchanged=self.imported.unchanged,
            rejected=len(self.left_out),
            rejects=[RejectedLine(line.number, line.reason) for line in self.left_out],
        )


@dataclass(frozen=True, slots=True)
class OpenedSeries:
    """What was read of a file anime-relations.txt, and the lines of it that mean nothing."""

    series: list[NewSeries]
    odd: list[LeftOut]


def open_series(file: Path) -> OpenedSeries:
    """Read a file anime-relations.txt; raises `CatalogueNotUnderstood` when it is another."""
    with open_plain(file) as stream:
        return OpenedSeries(*read_anime_relations(stream, file.name))


async def import_opened_series(database: Database, opened: OpenedSeries) -> SeriesSummary:
    """Import the series of a file, all of them or none."""
    async with database.transaction() as transaction:
        imported = await import_series(transaction, opened.series)
    left_out = sorted([*opened.odd, *imported.rejected], key=lambda line: line.number)
    return SeriesSummary(len(opened.series) + len(opened.odd), imported, left_out)


@dataclass(slots=True)
class _Chunk(Generic[Row]):
    """Rows that go in together, as they were read and as they stand in the file, those that stay out, and the number of
    the last of all."""

    rows: list[tuple[int, Row]] = field(default_factory=list)
    read: list[object] = field(default_factory=list)
    rejected: list[LeftOut] = field(default_factory=list)
    last: int = 0

    def whole_rows(self) -> Iterator[tuple[int, Row, object]]:
        """The rows that go in: number, what was read, and the row as it stands in the file."""
        return ((number, given, row) for (number, given), row in zip(self.rows, self.read, strict=True))


def _chunks(rows: Iterable[object], read_row: Callable[[object], Row], most: int | None) -> Iterator[_Chunk[Row]]:
    """The rows in their order, at most so many at a time.

    Where they break off, those since the last chunk are read again with the whole file.
    """
    chunk: _Chunk[Row] = _Chunk()
    for number, row in enumerate(rows, start=1):
        try:
            chunk.rows.append((number, read_row(row)))
            chunk.read.append(row)
        except RowNotUnderstood as refusal:
            chunk.rejected.append(LeftOut(number, refusal.message))
        chunk.last = number
        if len(chunk.rows) + len(chunk.rejected) == most:
            yield chunk
            chunk = _Chunk()
    if chunk.last:
        yield chunk
