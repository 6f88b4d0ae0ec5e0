"""What `trove import` does, over a database that is there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.catalogue.commands.coins import add_coin, coins_of_symbol, has_item
from app.catalogue.commands.import_cs2 import ImportedMarket, import_cs2
from app.catalogue.cs2 import MarketItem
from app.catalogue.errors import UnknownItem
from app.core.database import Database, Transaction
from app.core.errors import BadUserInput
from app.core.money import MINOR_UNITS
from app.ingestion.delivery import REJECTS_TOLD, Delivery, deliver
from app.ingestion.file_rows import RejectedRow, in_batches
from app.ingestion.models import BatchKind
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from app.operations.imports import RejectedLine, import_result
from app.prices.formats.binance import read_binance_candles
from app.prices.formats.candles import CandleFile
from app.prices.formats.coinbase import read_coinbase_candles
from app.prices.formats.durations import spell_resolution
from app.prices.formats.errors import unreadable
from app.prices.formats.names import Pair, pair_in_name
from app.prices.formats.ndjson import NdjsonFile
from app.prices.formats.row_target import RowTarget
from app.prices.models import PriceKind


class PriceFormat(StrEnum):
    """The shapes of price files that can be read."""

    COINBASE_CANDLES = "coinbase-candles"
    BINANCE_CANDLES = "binance-candles"
    NDJSON = "ndjson"


_CANDLE_READERS = {
    PriceFormat.COINBASE_CANDLES: read_coinbase_candles,
    PriceFormat.BINANCE_CANDLES: read_binance_candles,
}


@dataclass(frozen=True, slots=True)
class PriceImport:
    """What to import and as what. `item` is a slug or `provider:id`, `resolution` in seconds; None asks the file."""

    file: Path
    source: str
    format: PriceFormat
    item: str | None = None
    currency: str | None = None
    kind: PriceKind = PriceKind.MARKET
    resolution: int | None = None
    create: bool = False


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What became of the rows of a file. `rejected` holds the first rejects, with their numbers in the file."""

    what: str
    rows: int
    accepted: int
    duplicates: int
    rejected_count: int
    rejected: tuple[RejectedRow, ...]
    is_repeat: bool

    @property
    def something_went_in(self) -> bool:
        """Whether a row of the file is stored, from now on or from before."""
        return self.accepted > 0 or self.duplicates > 0

    @property
    def result(self) -> dict[str, object]:
        """The same as the counts of an import's run."""
        return import_result(
            read=self.rows,
            created=self.accepted,
            updated=0,
            unchanged=self.duplicates,
            rejected=self.rejected_count,
            rejects=[RejectedLine(row.number, row.reason) for row in self.rejected],
        )


@contextmanager
def open_prices(wanted: PriceImport) -> Iterator[CandleFile | NdjsonFile]:
    """The file, read as far as it takes to know that it can be.

    Raises `FileNotUnderstood` when it is missing, unreadable or of another shape, and `BadUserInput` for a currency
    that Trove does not know.
    """
    if wanted.currency is not None and wanted.currency not in MINOR_UNITS:
        raise BadUserInput(f"`{wanted.currency}` is no currency that Trove knows; give a code such as USD.")
    try:
        stream = wanted.file.open("rb")
    except OSError as error:
        raise unreadable(wanted.file, error) from error
    with stream:
        yield _read(stream.read, wanted) if wanted.format in _CANDLE_READERS else NdjsonFile(stream, _target(wanted))


def _read(read_content: Callable[[], bytes], wanted: PriceImport) -> CandleFile:
    try:
        content = read_content()
    except OSError as error:
        raise unreadable(wanted.file, error) from error
    read_candles = _CANDLE_READERS[wanted.format]
    return read_candles(content, file_name=wanted.file.stem, resolution=wanted.resolution)


async def import_prices(
    database: Database,
    wanted: PriceImport,
    prices: CandleFile | NdjsonFile,
    *,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> ImportSummary:
    """Import what `open_prices` gave, and say what became of its rows; `on_progress` is told how many went by.

    Raises `UnknownItem`, and `BadUserInput` when a file of candles names no item or currency and neither is given.
    """
    if isinstance(prices, NdjsonFile):
        return await _import_rows(database, wanted, prices, on_progress)
    return await _import_candles(database, wanted, prices, on_progress)


async def import_market(database: Database, market: list[MarketItem]) -> ImportedMarket:
    """Import the CS2 market, all of it or nothing."""
    async with database.transaction() as transaction:
        return await import_cs2(transaction, market)


async def _import_rows(
    database: Database, wanted: PriceImport, prices: NdjsonFile, on_progress: Callable[[int], None]
) -> ImportSummary:
    if wanted.item is not None:
        async with database.transaction() as transaction:
            await _given_item(transaction, wanted, wanted.item, symbol=wanted.item.upper())
    delivery = await deliver(
        database, WATCHED_PRICE_BATCHES, kind=prices.kind, batches=in_batches(prices.rows()), on_progress=on_progress
    )
    what = f"{wanted.file.name}: {prices.kind.value.replace('_', ' ')}"
    return _summary(what, delivery, rejected=prices.rejected, duplicates=0)


async def _import_candles(
    database: Database, wanted: PriceImport, candles: CandleFile, on_progress: Callable[[int], None]
) -> ImportSummary:
    pair = (pair_in_name(candles.name) if candles.name else None) or pair_in_name(wanted.file.stem)
    currency = wanted.currency or _named_currency(wanted, pair)
    async with database.transaction() as transaction:
        if wanted.item is None:
            item = await _named_item(transaction, wanted, pair)
        else:
            symbol = pair.symbol if pair else wanted.item.upper()
            item = await _given_item(transaction, wanted, wanted.item, symbol=symbol)
    delivery = await deliver(
        database,
        WATCHED_PRICE_BATCHES,
        kind=BatchKind.CANDLES,
        batches=in_batches(candles.rows(_target(wanted, item=item, currency=currency))),
        on_progress=on_progress,
    )
    length = spell_resolution(candles.resolution)
    what = (
        f"{wanted.file.name}: {length} candles of {item} from {wanted.source}, {wanted.kind.value} prices in {currency}"
    )
    return _summary(what, delivery, rejected=candles.rejected, duplicates=candles.duplicates)


def _target(wanted: PriceImport, *, item: str | None = None, currency: str | None = None) -> RowTarget:
    return RowTarget(item or wanted.item, wanted.source, wanted.kind.value, currency or wanted.currency)


def _named_currency(wanted: PriceImport, pair: Pair | None) -> str:
    if pair is None:
        raise BadUserInput(f"{wanted.file.name} does not tell its currency; say it with --currency, as --currency USD.")
    return pair.currency


async def _named_item(transaction: Transaction, wanted: PriceImport, pair: Pair | None) -> str:
    """The coin that the file names; added where that is wanted."""
    if pair is None:
        raise BadUserInput(f"{wanted.file.name} does not tell its item; say it with --item, as --item bitcoin.")
    slugs = await coins_of_symbol(transaction, pair.symbol)
    if len(slugs) > 1:
        raise UnknownItem(f"{pair.symbol} is the symbol of {', '.join(slugs)}; say which one with --item.")
    if slugs:
        return slugs[0]
    if not wanted.create:
        raise UnknownItem(
            f"The catalogue has no coin with the symbol {pair.symbol}; add it with --create, or say another item with "
            "--item."
        )
    return await add_coin(transaction, pair.symbol)


async def _given_item(transaction: Transaction, wanted: PriceImport, item: str, *, symbol: str) -> str:
    """The item that is asked for; added as a coin where that is wanted."""
    if await has_item(transaction, item):
        return item
    if not wanted.create or ":" in item:
        raise UnknownItem(
            f"The catalogue has no item `{item}`; say one that is there, or the slug of a new coin with --create."
        )
    return await add_coin(transaction, symbol, slug=item)


def _summary(what: str, delivery: Delivery, *, rejected: list[RejectedRow], duplicates: int) -> ImportSummary:
    """The outcome of the whole file: of the rows that were delivered, and of those that the reader left out."""
    first = sorted([*rejected, *delivery.rejected], key=lambda row: row.number)[:REJECTS_TOLD]
    return ImportSummary(
        what=what,
        rows=delivery.rows + len(rejected) + duplicates,
        accepted=delivery.accepted,
        duplicates=delivery.duplicates + duplicates,
        rejected_count=delivery.rejected_count + len(rejected),
        rejected=tuple(first),
        is_repeat=0 < delivery.rows == delivery.repeated,
    )
