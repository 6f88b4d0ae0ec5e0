"""What `trove import` does with the files of a catalogue, over a database that is there."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from app.catalogue.commands.import_cs2_skins import import_cs2_skins
from app.catalogue.commands.import_figures import DoubtfulRow, NumberedFigure, import_figures
from app.catalogue.commands.import_items import ITEMS_IN_A_CHUNK, GivenRow, import_rows
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

REJECTS_TOLD = 20
FIGURES_IN_A_CHUNK = 500

Row = TypeVar("Row")
ReadRow = Callable[[object], NewItem | NewCardSet | NewRuling | CardName]


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
    on_progress: Callable[[int], None] = lambda rows: None,
) -> CatalogueSummary:
    """Import a file of JSON rows in chunks, each of them whole or not at all; `on_progress` is told how many went by.

    Raises `CatalogueNotUnderstood` before anything is stored when the file cannot be read as one of rows.
    """
    with open_plain(file) as stream:
        summary = CatalogueSummary(file.name)
        try:
            for chunk in _chunks(read_json_rows(stream, file.name), read_row, ITEMS_IN_A_CHUNK):
                async with database.transaction() as transaction:
                    imported = await import_rows(transaction, [GivenRow(*row) for row in chunk.rows])
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


@dataclass(slots=True)
class _Chunk(Generic[Row]):
    """Rows that go in together, those that stay out, and the number of the last of all."""

    rows: list[tuple[int, Row]] = field(default_factory=list)
    rejected: list[LeftOut] = field(default_factory=list)
    last: int = 0


def _chunks(rows: Iterable[object], read_row: Callable[[object], Row], most: int | None) -> Iterator[_Chunk[Row]]:
    """The rows in their order, at most so many at a time.

    Where they break off, those since the last chunk are read again with the whole file.
    """
    chunk: _Chunk[Row] = _Chunk()
    for number, row in enumerate(rows, start=1):
        try:
            chunk.rows.append((number, read_row(row)))
        except RowNotUnderstood as refusal:
            chunk.rejected.append(LeftOut(number, refusal.message))
        chunk.last = number
        if len(chunk.rows) + len(chunk.rejected) == most:
            yield chunk
            chunk = _Chunk()
    if chunk.last:
        yield chunk
