"""What `trove import` does with the files of a catalogue, over a database that is there."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from app.catalogue.card_prices import CardPrice
from app.catalogue.commands.import_figures import DoubtfulRow, NumberedFigure, import_figures
from app.catalogue.commands.import_items import ITEMS_IN_A_CHUNK, GivenRow, import_rows
from app.catalogue.commands.save_items import SavedItems
from app.catalogue.commands.save_related import SavedSets
from app.catalogue.errors import FileBreaksOff, RowNotUnderstood
from app.catalogue.figures import read_figure_file, read_figure_row
from app.catalogue.json_rows import open_plain, read_json_rows
from app.catalogue.left_out import LeftOut
from app.catalogue.new_items import NewCardSet, NewItem
from app.core.clock import utc_now
from app.core.database import Database
from app.ingestion.models import BatchKind
from app.prices.commands.read_rows import EARLIEST
from app.prices.connectors.cards import card_price_rows
from app.prices.delivery import Delivery, deliver
from app.prices.formats.rows import CanonicalRow, RejectedRow, in_batches

REJECTS_TOLD = 20
FIGURES_IN_A_CHUNK = 500

Row = TypeVar("Row")
ReadRow = Callable[[object], NewItem | NewCardSet]
PricesOf = Callable[[object], Iterator[CardPrice]]
# Scryfall names its bulk files by the second that they were made in.
_MADE_AT = re.compile(r"(?<![0-9])(20[0-9]{12})(?![0-9])")


@dataclass(slots=True)
class CatalogueSummary:
    """What became of the rows of a file so far. `breaks_off` says in a sentence that the file ended too early."""

    file: str
    rows: int = 0
    items: SavedItems = field(default_factory=SavedItems)
    sets: SavedSets = field(default_factory=SavedSets)
    shared_ids: int = 0
    rejected_count: int = 0
    rejected: list[LeftOut] = field(default_factory=list)
    doubtful: list[DoubtfulRow] = field(default_factory=list)
    breaks_off: str | None = None
    prices: Delivery = field(default_factory=Delivery)

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
    prices_of: PricesOf | None = None,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> CatalogueSummary:
    """Import a file of JSON rows in chunks, each of them whole or not at all; `on_progress` is told how many went by.

    With `prices_of` the prices that rows tell of their items go into series, as of their own days or of the day on
    which the file was made. Raises `CatalogueNotUnderstood` before anything is stored when the file cannot be read as
    one of rows.
    """
    with open_plain(file) as stream:
        summary = CatalogueSummary(file.name)
        made_at = _made_at(file)
        try:
            for chunk in _chunks(read_json_rows(stream, file.name), read_row, ITEMS_IN_A_CHUNK):
                async with database.transaction() as transaction:
                    imported = await import_rows(transaction, [GivenRow(*row) for row in chunk.rows])
                if prices_of is not None:
                    left_out = {row.number for row in imported.rejected}
                    rows = [row for row in chunk.whole_rows() if row[0] not in left_out]
                    summary.prices += await _import_prices(database, rows, prices_of, made_at)
                on_progress(chunk.last - summary.rows)
                summary.sets += imported.sets
                summary.shared_ids += imported.shared_ids
                summary.add(imported.items, [*chunk.rejected, *imported.rejected], last=chunk.last)
        except FileBreaksOff as error:
            summary.breaks_off = error.message
        return summary


async def _import_prices(
    database: Database, rows: Iterable[tuple[int, NewItem | NewCardSet, object]], prices_of: PricesOf, made_at: datetime
) -> Delivery:
    """Deliver the prices of rows: each with its number, what it tells of, and as it stands in the file."""
    prices: list[CanonicalRow] = []
    misread: list[RejectedRow] = []
    for number, given, row in rows:
        if isinstance(given, NewItem):
            try:
                prices += [CanonicalRow(number, one) for one in card_price_rows(prices_of(row), given, at=made_at)]
            except RowNotUnderstood as refusal:
                misread.append(RejectedRow(number, refusal.message))
    delivered = await deliver(database, kind=BatchKind.PRICE_POINTS, batches=in_batches(prices))
    return Delivery(rows=len(misread), rejected_count=len(misread), rejected=misread) + delivered


def _made_at(file: Path) -> datetime:
    """When a file was made: as its name says, else when it was last written; now where that cannot be."""
    named = _MADE_AT.search(file.name)
    try:
        made_at = datetime.strptime(named[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) if named else None
    except ValueError:
        made_at = None
    made_at = made_at or datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return made_at if EARLIEST <= made_at <= utc_now() else utc_now()


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
    """Rows that go in together, as they were read and as they stand in the file, those that stay out, and the number of
    the last of all."""

    rows: list[tuple[int, Row]] = field(default_factory=list)
    read: list[object] = field(default_factory=list)
    rejected: list[LeftOut] = field(default_factory=list)
    last: int = 0

    def whole_rows(self) -> Iterator[tuple[int, Row, object]]:
        """The rows that go in: number, what was read, and the row as it stands in the file."""
        return ((number, given, row) for (number, given), row in zip(self.rows, self.read, strict=True))


def _chunks(rows: Iterable[object], read_row: Callable[[object], Row], most: int) -> Iterator[_Chunk[Row]]:
    """The rows in their order; where they break off, those since the last chunk are read again with the whole file."""
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
