"""Imports a file of cards: the cards into the catalogue, and the prices that it tells of them into series."""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.catalogue.card_prices import CardPrice
from app.catalogue.errors import RowNotUnderstood
from app.catalogue.file_import import CatalogueSummary, ImportedRow, ReadRow, import_catalogue_file
from app.catalogue.new_items import NewItem
from app.core.clock import utc_now
from app.core.database import Database
from app.core.tasks import end_tasks
from app.ingestion.delivery import Delivery, deliver
from app.ingestion.file_rows import CanonicalRow, RejectedRow, in_batches
from app.ingestion.models import BatchKind
from app.ingestion.processing import BatchHandlers
from app.prices.commands.read_rows import EARLIEST
from app.prices.connectors.cards import card_price_rows

PricesOf = Callable[[object], Iterator[CardPrice]]
# Scryfall names its bulk files by the second that they were made in.
_MADE_AT = re.compile(r"(?<![0-9])(20[0-9]{12})(?![0-9])")


@dataclass(frozen=True, slots=True)
class CardFileSummary:
    """What became of the cards of a file, and of the prices in it."""

    cards: CatalogueSummary
    prices: Delivery


async def import_card_file(
    database: Database,
    file: Path,
    read_row: ReadRow,
    prices_of: PricesOf,
    *,
    handlers: BatchHandlers,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> CardFileSummary:
    """Import a file of cards as `import_catalogue_file` does, and their prices, which the `handlers` take in.

    A price is of the day that its row tells, else of the day on which the file was made. Those of one chunk go in while
    the next one is read. Raises what `import_catalogue_file` raises.
    """
    made_at = _made_at(file)
    delivered = Delivery()
    under_way: asyncio.Task[Delivery] | None = None

    async def finish() -> None:
        nonlocal delivered, under_way
        if under_way is not None:
            task, under_way = under_way, None
            delivered += await task

    async def deliver_prices(rows: Sequence[ImportedRow]) -> None:
        nonlocal under_way
        await finish()
        under_way = asyncio.create_task(_deliver_prices(database, handlers, rows, prices_of, made_at))

    try:
        cards = await import_catalogue_file(database, file, read_row, follow=deliver_prices, on_progress=on_progress)
        await finish()
    finally:
        if under_way is not None:
            await end_tasks([under_way])
    return CardFileSummary(cards, delivered)


async def _deliver_prices(
    database: Database,
    handlers: BatchHandlers,
    rows: Sequence[ImportedRow],
    prices_of: PricesOf,
    made_at: datetime,
) -> Delivery:
    prices: list[CanonicalRow] = []
    misread: list[RejectedRow] = []
    for row in rows:
        if isinstance(row.given, NewItem):
            try:
                told = card_price_rows(prices_of(row.row), row.given, at=made_at)
                prices += [CanonicalRow(row.number, one) for one in told]
            except RowNotUnderstood as refusal:
                misread.append(RejectedRow(row.number, refusal.message))
    delivered = await deliver(database, handlers, kind=BatchKind.PRICE_POINTS, batches=in_batches(prices))
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
