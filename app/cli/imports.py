"""`trove import`: price files and catalogues, by the same durable path as everything that comes in over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import DBAPIError

from app.catalogue.commands.coins import add_coin, coins_of_symbol, has_item
from app.catalogue.commands.import_cs2 import ImportedMarket, import_cs2
from app.catalogue.cs2 import read_market
from app.catalogue.errors import UnknownItem
from app.core.database import Database, DatabaseRole, Transaction, create_engine
from app.core.errors import BadUserInput, Refusal, ServiceUnavailable
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.money import MINOR_UNITS
from app.core.settings import Settings, current_settings
from app.ingestion.models import BatchKind
from app.prices.delivery import REJECTS_TOLD, Delivery, deliver
from app.prices.formats.binance import read_binance_candles
from app.prices.formats.candles import CandleFile
from app.prices.formats.coinbase import read_coinbase_candles
from app.prices.formats.durations import parse_resolution, spell_resolution
from app.prices.formats.errors import FileNotUnderstood
from app.prices.formats.names import Pair, pair_in_name
from app.prices.formats.ndjson import NdjsonFile
from app.prices.formats.rows import RejectedRow, RowTarget, in_batches
from app.prices.models import PriceKind

NOTHING_READ = 1
CANNOT_BEGIN = 2

app = typer.Typer(name="import", help="Bring in price files and catalogues.", no_args_is_help=True)


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
    def exit_code(self) -> int:
        """0 when something went in, or was there already."""
        return 0 if self.accepted or self.duplicates else NOTHING_READ


# The commands: thin, each a sentence about its options.


@app.command("prices")
def prices(
    file: Annotated[Path, typer.Argument(help="The file to read.", show_default=False)],
    source: Annotated[str, typer.Option(help="Where the prices come from: a code such as `coinbase`.")],
    file_format: Annotated[PriceFormat, typer.Option("--format", help="The shape of the file.")],
    item: Annotated[
        str | None, typer.Option(help="The item: its slug or `provider:id`. Default: the coin in the file's name.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="The currency. Default: the one in the file's name.")] = None,
    kind: Annotated[PriceKind, typer.Option(help="What the prices say.")] = PriceKind.MARKET,
    resolution: Annotated[
        str | None, typer.Option(help="How long a candle is: 5m, 4h, 1d, or seconds. Default: the file tells.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Add the coin when the catalogue lacks it.")] = False,
) -> None:
    """Import a file of prices or candles; importing it again changes nothing."""

    async def work(settings: Settings) -> int:
        wanted = PriceImport(
            file=file,
            source=source,
            format=file_format,
            item=item,
            currency=currency,
            kind=kind,
            resolution=None if resolution is None else parse_resolution(resolution),
            create=create,
        )
        with _progress() as progress:
            summary = await import_prices(settings, wanted, progress=progress)
        _print_summary(summary)
        return summary.exit_code

    _run(work)


@app.command("cs2")
def cs2(
    directory: Annotated[
        Path, typer.Argument(help="Holds market_hash_names.json and schema/*.json.", show_default=False)
    ],
) -> None:
    """Import the CS2 market, each market name as one item; importing it again changes nothing."""

    async def work(settings: Settings) -> int:
        with _progress() as progress:
            task = progress.add_task("items", total=None)
            imported = await import_market(settings, directory)
            count = sum(imported.shapes.values())
            progress.update(task, total=count, completed=count)
        _print_market(imported)
        return 0 if imported.shapes else NOTHING_READ

    _run(work)


# The one place where services are obtained.


@contextmanager
def services() -> Iterator[Settings]:
    """The settings, with the addresses of the services filled in."""
    settings = current_settings()
    if settings.database_url is None or settings.redis_url is None:
        raise ServiceUnavailable("Set DATABASE_URL and REDIS_URL to the services to import into.")
    yield settings


def _run(work: Callable[[Settings], Coroutine[Any, Any, int]]) -> None:
    try:
        with services() as settings:
            code = asyncio.run(work(settings))
    except ServiceUnavailable as refusal:
        code = _complain(refusal.message, NOTHING_READ)
    except Refusal as refusal:
        code = _complain(refusal.message, CANNOT_BEGIN)
    except DBAPIError as error:
        code = _complain(
            f"The database refused: {error.orig}. Is it migrated? `trove migrate` does that.", NOTHING_READ
        )
    except OSError as error:
        code = _complain(f"A service cannot be reached: {error}.", NOTHING_READ)
    raise typer.Exit(code)


def _complain(message: str, code: int) -> int:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False, highlight=False)
    return code


# The work, over settings whose services are there.


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database, acting as the worker."""
    url = settings.worker_database_url or settings.database_url
    if url is None or settings.redis_url is None:
        raise ServiceUnavailable("Set DATABASE_URL and REDIS_URL to the services to import into.")
    role = DatabaseRole.WORKER if settings.worker_database_url is None else None
    redis = connect_redis(settings.redis_url)
    engine = create_engine(url, role=role, pool_size=2, application_name="trove import")
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    try:
        yield database
    finally:
        await database.close()
        await redis.aclose()


async def import_prices(settings: Settings, wanted: PriceImport, *, progress: Progress) -> ImportSummary:
    """Import a price file and say what became of its rows.

    Raises `FileNotUnderstood` (missing, unreadable or of another shape), `UnknownItem`, and `BadUserInput` when item or
    currency are neither given nor in the file's name.
    """
    if wanted.currency is not None and wanted.currency not in MINOR_UNITS:
        raise BadUserInput(f"`{wanted.currency}` is no currency that Trove knows; give a code such as USD.")
    async with open_database(settings) as database:
        if wanted.format is PriceFormat.NDJSON:
            return await _import_ndjson(database, wanted, progress)
        return await _import_candles(database, wanted, progress)


async def import_market(settings: Settings, directory: Path) -> ImportedMarket:
    """Import the CS2 market from a directory; raises `CatalogueNotUnderstood` when its files are missing or others."""
    market = read_market(directory)
    async with open_database(settings) as database, database.transaction() as transaction:
        return await import_cs2(transaction, market)


async def _import_candles(database: Database, wanted: PriceImport, progress: Progress) -> ImportSummary:
    content = _read(wanted.file)
    read = _CANDLE_READERS[wanted.format]
    candles = read(content, file_name=wanted.file.stem, resolution=wanted.resolution)
    pair = _pair(candles, wanted.file)
    async with database.transaction() as transaction:
        target = RowTarget(
            item=await _item(transaction, wanted, pair),
            source=wanted.source,
            kind=wanted.kind.value,
            currency=_currency(wanted, pair),
        )
    task = progress.add_task("candles", total=len(candles.candles))
    delivery = await deliver(
        database,
        kind=BatchKind.CANDLES,
        batches=in_batches(candles.rows(target)),
        on_progress=lambda rows: progress.advance(task, rows),
    )
    what = (
        f"{wanted.file.name}: candles of {spell_resolution(candles.resolution)} for {target.item} from {wanted.source}, "
        f"{wanted.kind.value} prices in {target.currency}"
    )
    return _summary(what, delivery, rejected=candles.rejected, duplicates=candles.duplicates)


async def _import_ndjson(database: Database, wanted: PriceImport, progress: Progress) -> ImportSummary:
    try:
        with wanted.file.open("rb") as stream:
            target = RowTarget(wanted.item, wanted.source, wanted.kind.value, wanted.currency)
            file = NdjsonFile(stream, target)
            if wanted.item is not None:
                async with database.transaction() as transaction:
                    await _item(transaction, wanted, None)
            task = progress.add_task("rows", total=None)
            delivery = await deliver(
                database,
                kind=file.kind,
                batches=in_batches(file.rows()),
                on_progress=lambda rows: progress.advance(task, rows),
            )
    except OSError as error:
        raise _unreadable(wanted.file, error) from error
    what = f"{wanted.file.name}: {file.kind.value.replace('_', ' ')}"
    return _summary(what, delivery, rejected=file.rejected, duplicates=0)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> FileNotUnderstood:
    return FileNotUnderstood(
        f"{file} cannot be read: {(error.strerror or str(error)).lower()}. Give the path of a file."
    )


def _pair(candles: CandleFile, file: Path) -> Pair | None:
    return (pair_in_name(candles.name) if candles.name else None) or pair_in_name(file.stem)


def _currency(wanted: PriceImport, pair: Pair | None) -> str:
    if wanted.currency is not None:
        return wanted.currency
    if pair is None:
        raise BadUserInput(
            f"{wanted.file.name} does not name its currency; say it with --currency, as in --currency USD."
        )
    return pair.currency


async def _item(transaction: Transaction, wanted: PriceImport, pair: Pair | None) -> str:
    """The item that is asked for, or the coin that the file names; added where that is wanted."""
    if wanted.item is not None:
        if await has_item(transaction, wanted.item):
            return wanted.item
        if not wanted.create or ":" in wanted.item:
            raise UnknownItem(
                f"The catalogue has no item `{wanted.item}`; give the slug of one that is there, or a coin's with --create."
            )
        return await add_coin(transaction, pair.symbol if pair else wanted.item.upper(), slug=wanted.item)
    if pair is None:
        raise BadUserInput(f"{wanted.file.name} does not name its item; say it with --item, as in --item bitcoin.")
    slugs = await coins_of_symbol(transaction, pair.symbol)
    if len(slugs) > 1:
        raise UnknownItem(f"{pair.symbol} is the symbol of {', '.join(slugs)}; say which one with --item.")
    if slugs:
        return slugs[0]
    if not wanted.create:
        raise UnknownItem(
            f"The catalogue has no coin with the symbol {pair.symbol}; add it with --create, or name an item with --item."
        )
    return await add_coin(transaction, pair.symbol)


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
        is_repeat=delivery.rows > 0 and delivery.repeated == delivery.rows,
    )


# What the terminal shows.


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _print_summary(summary: ImportSummary) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(summary.what)
    console.print(
        f"{summary.rows:,} rows: {summary.accepted:,} accepted, {summary.duplicates:,} duplicates, "
        f"{summary.rejected_count:,} rejected"
    )
    for row in summary.rejected:
        console.print(f"  row {row.number:,}: {row.reason}")
    if summary.rejected_count > len(summary.rejected):
        console.print(f"  … and {summary.rejected_count - len(summary.rejected):,} more")
    if summary.is_repeat:
        console.print("This file was imported before in the same way; nothing changed.")


def _print_market(imported: ImportedMarket) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    saved = imported.saved
    console.print(
        f"{sum(imported.shapes.values()):,} items: {saved.inserted:,} new, {saved.updated:,} changed, "
        f"{saved.unchanged:,} as they were"
    )
    shapes = sorted(imported.shapes.items(), key=lambda shape: (-shape[1], shape[0]))
    console.print(", ".join(f"{count:,} {shape}" for shape, count in shapes))
