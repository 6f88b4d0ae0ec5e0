"""`trove import`: price files and journeys, by the durable path of what comes in over HTTP, rates and catalogues."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn, Protocol
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import DBAPIError

from app.catalogue import pokemon as pokemon_rows
from app.catalogue import scryfall as scryfall_rows
from app.catalogue.coingecko import read_coin_row
from app.catalogue.commands.import_cs2 import ImportedMarket
from app.catalogue.commands.save_related import SavedSets
from app.catalogue.commands.save_rulings import SavedRulings
from app.catalogue.cs2 import MarketItem, read_market
from app.catalogue.file_import import (
    CatalogueSummary,
    OpenedSeries,
    ReadRow,
    SeriesSummary,
    import_catalogue_file,
    import_figure_file,
    import_opened_series,
    import_skin_file,
    open_series,
)
from app.cli.database import require_current_database
from app.cli.location_import import GpxSummary, import_gpx, read_tracker_id, require_tracker
from app.cli.price_import import (
    ImportSummary,
    PriceFormat,
    PriceImport,
    import_market,
    import_prices,
    open_prices,
)
from app.cli.services import private_services
from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import Refusal, ServiceUnavailable
from app.core.key_rings import key_ring_of
from app.core.secrets import Secrets
from app.core.settings import Settings, current_settings
from app.core.worker_database import worker_database
from app.ingestion.delivery import REJECTS_TOLD, Delivery
from app.ingestion.errors import BatchNotProcessed
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from app.operations.errors import RunCancelled
from app.operations.imports import conclude_import, import_result
from app.operations.models import Importer
from app.operations.recording import Run, recorded_run
from app.prices.card_file_import import PricesOf, import_card_file
from app.prices.commands.import_exchange_rates import ImportedRates
from app.prices.formats.candles import CandleFile
from app.prices.formats.durations import parse_resolution
from app.prices.formats.ndjson import NdjsonFile
from app.prices.models import PriceKind
from app.prices.rate_import import OpenedRates, import_rates, open_rates, rates_result
from app.trackers.cities import KnownCity, bundled_cities, read_cities
from app.trackers.commands.save_cities import SavedCities, save_cities

NOTHING_READ = 1
CANNOT_BEGIN = 2

app = typer.Typer(
    name="import", help="Bring in price files, exchange rates, catalogues, cities and journeys.", no_args_is_help=True
)


@app.command("prices")
def prices(
    file: Annotated[Path, typer.Argument(help="The file to read.", show_default=False)],
    source: Annotated[str, typer.Option(help="Where the prices come from: a code such as coinbase.")],
    file_format: Annotated[PriceFormat, typer.Option("--format", help="The shape of the file.")],
    item: Annotated[
        str | None, typer.Option(help="The item: its slug or provider:id. Default: the coin that the file names.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="The currency. Default: the one that the file names.")] = None,
    kind: Annotated[PriceKind, typer.Option(help="What the prices say.")] = PriceKind.MARKET,
    resolution: Annotated[
        str | None, typer.Option(help="How long a candle is: 5m, 4h, 1d, or seconds. Default: the file tells.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Add the coin when the catalogue lacks it.")] = False,
) -> None:
    """Import a file of prices or candles; importing it again changes nothing."""
    with _sentences():
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
        with open_prices(wanted) as opened, _services() as settings:
            summary = asyncio.run(_import_prices(settings, wanted, opened))
        _print_summary(summary)
    raise typer.Exit(0 if summary.something_went_in else NOTHING_READ)


@app.command("cs2")
def cs2(
    path: Annotated[
        Path,
        typer.Argument(
            help="A directory that holds market_hash_names.json and schema/*.json, or a file skins.json.",
            show_default=False,
        ),
    ],
) -> None:
    """Import the CS2 market, each market name as one item, or a list of skins; again changes nothing."""
    if path.is_file():
        _import_files(Importer.CS2, [path], import_skin_file)
    with _sentences():
        market = read_market(path)
        with _services() as settings:
            imported = asyncio.run(_import_market(settings, path.resolve(), market))
        _print_market(imported)
    raise typer.Exit(0 if market else NOTHING_READ)


@app.command("fx")
def fx(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of the European Central Bank: zip, CSV or XML.", show_default=False),
    ],
) -> None:
    """Import reference rates against the euro, file by file; importing them again changes nothing."""
    with _sentences():
        opened = [open_rates(file, today=utc_now().date()) for file in files]
        with _services() as settings:
            imported = asyncio.run(_import_rates(settings, opened))
        for rates, outcome in imported:
            _print_rates(rates, outcome)
    raise typer.Exit(0 if all(rates.read.rates for rates in opened) else NOTHING_READ)


_Files = Annotated[list[Path], typer.Argument(help="The files to read, gzipped or not.", show_default=False)]


@app.command("scryfall")
def scryfall(files: _Files) -> None:
    """Import Magic cards, sets, prices and rulings, of Scryfall; catalogs of names are looked up."""
    _import_cards(Importer.SCRYFALL, files, scryfall_rows.read_scryfall_row, scryfall_rows.prices_of)


@app.command("pokemon")
def pokemon(files: _Files) -> None:
    """Import Pokémon cards, sets and prices, as pokemontcg.io has them; again changes nothing."""
    _import_cards(Importer.POKEMON, files, pokemon_rows.read_pokemon_row, pokemon_rows.prices_of)


@app.command("coins")
def coins(files: _Files) -> None:
    """Import coins: the list of CoinGecko; of a coin on several platforms the first contract is kept."""
    _import_files(Importer.COINS, files, partial(import_catalogue_file, read_row=read_coin_row))


@app.command("figures")
def figures(files: _Files) -> None:
    """Import figures: CSV or JSON as docs/importing.md tells; rows in doubt are listed and stay out."""
    _import_files(Importer.FIGURES, files, import_figure_file)


@app.command("anime")
def anime(
    file: Annotated[Path, typer.Argument(help="The file anime-relations.txt.", show_default=False)],
) -> None:
    """Import anime series with their ids on MyAnimeList, Kitsu and AniList; again changes nothing."""
    with _sentences():
        opened = open_series(file)
        with _services() as settings:
            summary = asyncio.run(_import_anime(settings, file, opened))
        _print_series(file, summary)
    raise typer.Exit(0 if summary.something_went_in else NOTHING_READ)


@app.command("gpx")
def gpx(
    files: Annotated[list[Path], typer.Argument(help="The GPX files to read.", show_default=False)],
    tracker: Annotated[str, typer.Option(help="The id of the tracker that made the journey.", show_default=False)],
) -> None:
    """Import journeys of a tracker: the points of GPX files that have times; again changes nothing."""
    with _sentences():
        tracker_id = read_tracker_id(tracker)
        with _services() as settings:
            summaries = asyncio.run(_import_journeys(settings, files, tracker_id))
    raise typer.Exit(0 if all(summary.something_went_in for summary in summaries) else NOTHING_READ)


@app.command("cities")
def cities(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A JSON array of cities: city, country, pop, lat, lng. Default: the table that comes with Trove.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Import the cities that fixes of trackers are near; again changes nothing."""
    with _sentences():
        known = bundled_cities() if file is None else read_cities(file)
        with _services() as settings:
            saved = asyncio.run(_import_cities(settings, known))
    Console(soft_wrap=True, highlight=False, markup=False).print(
        f"{len(known):,} cities: {saved.inserted:,} new, {saved.updated:,} changed, {saved.unchanged:,} as they were"
    )


async def _import_cities(settings: Settings, known: Sequence[KnownCity]) -> SavedCities:
    async with (
        worker_database(settings, application_name="trove-import") as database,
        database.transaction() as transaction,
    ):
        return await save_cities(transaction, known)


class _ImportFile(Protocol):
    """Imports a file, and tells how many rows went by."""

    def __call__(
        self, database: Database, file: Path, *, on_progress: Callable[[int], None]
    ) -> Awaitable[CatalogueSummary]: ...


def _import_files(importer: Importer, files: list[Path], import_file: _ImportFile) -> NoReturn:
    with _sentences(), _services() as settings:
        summaries = [asyncio.run(_import_file(settings, importer, file, import_file)) for file in files]
    raise _exit_after(summaries)


def _import_cards(importer: Importer, files: list[Path], read_row: ReadRow, prices_of: PricesOf) -> NoReturn:
    with _sentences(), _services() as settings:
        summaries = [
            asyncio.run(_import_file_of_cards(settings, importer, file, read_row, prices_of)) for file in files
        ]
    raise _exit_after(summaries)


def _exit_after(summaries: Sequence[CatalogueSummary]) -> typer.Exit:
    whole = all(summary.something_went_in and summary.breaks_off is None for summary in summaries)
    return typer.Exit(0 if whole else NOTHING_READ)


async def _import_file(
    settings: Settings, importer: Importer, file: Path, import_file: _ImportFile
) -> CatalogueSummary:
    """Import a file of items that have no prices."""
    async with _recorded(settings, importer, file) as (database, run):
        with _advancing(file.name, run) as advance:
            summary = await import_file(database, file, on_progress=advance)
        _tell(run, summary)
    _print_catalogue(summary)
    return summary


async def _import_file_of_cards(
    settings: Settings, importer: Importer, file: Path, read_row: ReadRow, prices_of: PricesOf
) -> CatalogueSummary:
    """Import a file of cards, with the prices in it."""
    async with _recorded(settings, importer, file) as (database, run):
        with _advancing(file.name, run) as advance:
            summary = await import_card_file(
                database, file, read_row, prices_of, handlers=WATCHED_PRICE_BATCHES, on_progress=advance
            )
        _tell(run, summary.cards)
    _print_catalogue(summary.cards)
    _print_prices(summary.prices)
    return summary.cards


@contextmanager
def _advancing(name: str, run: Run) -> Iterator[Callable[[int], None]]:
    """Shows on the screen and in the run how many rows have gone by."""
    with _progress() as progress:
        task = progress.add_task(name, total=None)

        def advance(rows: int) -> None:
            progress.advance(task, rows)
            run.advance(rows)

        yield advance


def _tell(run: Run, summary: CatalogueSummary) -> None:
    conclude_import(run, summary.result, breaks_off=summary.breaks_off)


@asynccontextmanager
async def _recorded(settings: Settings, importer: Importer, file: Path) -> AsyncIterator[tuple[Database, Run]]:
    """The database, and the run that staff see of the import of this file."""
    async with (
        worker_database(settings, application_name="trove-import") as database,
        recorded_run(database, importer.job, source=file.name) as run,
    ):
        yield database, run


@contextmanager
def _services() -> Iterator[Settings]:
    """The settings with the addresses of services that run, over a database that is up to date."""
    with private_services(current_settings()) as settings:
        require_current_database(settings)
        yield settings


@contextmanager
def _sentences() -> Iterator[None]:
    """End the command with one sentence, and without a traceback, for whatever is not Trove's own mistake."""
    try:
        yield
    except (ServiceUnavailable, RunCancelled) as refusal:
        raise _exit(refusal.message, NOTHING_READ) from refusal
    except Refusal as refusal:
        raise _exit(refusal.message, CANNOT_BEGIN) from refusal
    except BatchNotProcessed as error:
        sentence = f"Some rows are accepted but not processed yet ({error.__cause__}); a worker will try them again."
        raise _exit(sentence, NOTHING_READ) from error
    except (DBAPIError, OSError) as error:
        if isinstance(error, DBAPIError) and not error.connection_invalidated:
            raise
        sentence = f"The connection to the database broke ({error}); what went in is kept, so import the same again."
        raise _exit(sentence, NOTHING_READ) from error


def _exit(message: str, code: int) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False, highlight=False)
    return typer.Exit(code)


async def _import_prices(settings: Settings, wanted: PriceImport, opened: CandleFile | NdjsonFile) -> ImportSummary:
    total = len(opened.candles) if isinstance(opened, CandleFile) else None
    async with _recorded(settings, Importer.PRICES, wanted.file) as (database, run):
        run.report(0, total=total)
        with _progress() as progress:
            task = progress.add_task("rows", total=total)

            def advance(rows: int) -> None:
                progress.advance(task, rows)
                run.advance(rows)

            summary = await import_prices(database, wanted, opened, on_progress=advance)
        conclude_import(run, summary.result)
    return summary


async def _import_market(settings: Settings, directory: Path, market: list[MarketItem]) -> ImportedMarket:
    async with _recorded(settings, Importer.CS2, directory) as (database, run):
        run.report(0, total=len(market), unit="items")
        with _progress() as progress:
            progress.add_task("items", total=None)
            imported = await import_market(database, market)
        run.report(len(market), total=len(market), unit="items")
        saved = imported.saved
        run.result = import_result(
            read=sum(imported.shapes.values()),
            created=saved.inserted,
            updated=saved.updated,
            unchanged=saved.unchanged,
            rejected=0,
        )
    return imported


async def _import_rates(
    settings: Settings, opened: Sequence[OpenedRates]
) -> Sequence[tuple[OpenedRates, ImportedRates]]:
    return [(rates, await _import_file_of_rates(settings, rates)) for rates in opened]


async def _import_file_of_rates(settings: Settings, rates: OpenedRates) -> ImportedRates:
    async with _recorded(settings, Importer.FX, rates.file) as (database, run):
        imported = await import_rates(database, rates)
        conclude_import(run, rates_result(rates.read, imported))
    return imported


async def _import_journeys(settings: Settings, files: Sequence[Path], tracker_id: UUID) -> Sequence[GpxSummary]:
    secrets = Secrets(key_ring_of(settings))
    summaries = []
    async with worker_database(settings, application_name="trove-import") as database:
        await require_tracker(database, tracker_id)
        for file in files:
            with _progress() as progress:
                advance = partial(progress.advance, progress.add_task(file.name, total=None))
                summary = await import_gpx(database, secrets, file, tracker_id, on_progress=advance)
            _print_journey(file, summary)
            summaries.append(summary)
    return summaries


async def _import_anime(settings: Settings, file: Path, opened: OpenedSeries) -> SeriesSummary:
    async with _recorded(settings, Importer.ANIME, file) as (database, run):
        summary = await import_opened_series(database, opened)
        conclude_import(run, summary.result)
    return summary


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


def _print_journey(file: Path, summary: GpxSummary) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"{file.name}: {summary.points:,} points: {summary.accepted:,} accepted, {summary.duplicates:,} duplicates, "
        f"{summary.rejected_count:,} rejected"
    )
    for row in summary.rejected:
        console.print(f"  point {row.number:,}: {row.reason}")
    _print_rest(console, summary.rejected_count)


def _print_market(imported: ImportedMarket) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    saved = imported.saved
    console.print(
        f"{sum(imported.shapes.values()):,} items: {saved.inserted:,} new, {saved.updated:,} changed, "
        f"{saved.unchanged:,} as they were"
    )
    shapes = sorted(imported.shapes.items(), key=lambda shape: (-shape[1], shape[0]))
    console.print(", ".join(f"{count:,} {shape}" for shape, count in shapes))


def _print_rates(rates: OpenedRates, imported: ImportedRates) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"{rates.file.name}: {len(rates.read.rates):,} rates: {imported.inserted:,} new, {imported.updated:,} changed, "
        f"{imported.unchanged:,} as they were; {len(rates.read.rejected):,} rows rejected"
    )
    for changed in imported.changed[:REJECTS_TOLD]:
        console.print(
            f"  {changed.currency} on {changed.rate_date}: {changed.units_before} before, {changed.units_after} now"
        )
    _print_rest(console, imported.updated)
    for row in rates.read.rejected[:REJECTS_TOLD]:
        console.print(f"  row {row.number:,}: {row.reason}")
    _print_rest(console, len(rates.read.rejected))


def _print_rest(console: Console, count: int) -> None:
    if count > REJECTS_TOLD:
        console.print(f"  … and {count - REJECTS_TOLD:,} more")


def _print_series(file: Path, summary: SeriesSummary) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    imported = summary.imported
    console.print(
        f"{file.name}: {imported.inserted:,} series new, {imported.updated:,} with new ids, "
        f"{imported.unchanged:,} as they were; {len(summary.left_out):,} lines stay out"
    )
    for line in summary.left_out:
        console.print(f"  line {line.number:,}: {line.reason}")


def _print_catalogue(summary: CatalogueSummary) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    items, sets = summary.items, summary.sets
    counts = [f"{items.inserted:,} items new, {items.updated:,} changed, {items.unchanged:,} as they were"]
    if sets != SavedSets():
        counts.append(f"{sets.inserted:,} sets new, {sets.updated:,} changed, {sets.unchanged:,} as they were")
    doubts = f" and {len(summary.doubtful):,} in doubt" if summary.doubtful else ""
    counts.append(f"{summary.rejected_count:,} rows rejected{doubts}")
    console.print(f"{summary.file}: {summary.rows:,} rows: {'; '.join(counts)}")
    for name in items.changed:
        console.print(f"  changed: {name}")
    if items.updated > len(items.changed):
        console.print(f"  … and {items.updated - len(items.changed):,} more")
    for row in summary.rejected:
        console.print(f"  row {row.number:,} stays out: {row.reason}")
    if summary.rejected_count > len(summary.rejected):
        console.print(f"  … and {summary.rejected_count - len(summary.rejected):,} more")
    for doubt in summary.doubtful:
        console.print(
            f"  row {doubt.number:,} stays out: “{doubt.name}” may be “{doubt.candidate}” "
            f"({doubt.similarity:.0%} alike); give the row that figure's slug, or a new one"
        )
    _print_card_texts(console, summary)
    if summary.shared_ids:
        console.print(f"  {summary.shared_ids:,} numbers of other services name another item already and stay with it")
    if summary.breaks_off is not None:
        Console(stderr=True, soft_wrap=True).print(summary.breaks_off, style="red", markup=False, highlight=False)


def _print_prices(prices: Delivery) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if prices.rows:
        console.print(
            f"  {prices.rows:,} prices: {prices.accepted:,} new, {prices.duplicates:,} as they were, "
            f"{prices.rejected_count:,} rejected"
        )
    for price in prices.rejected:
        console.print(f"  prices of row {price.number:,}: {price.reason}")


def _print_card_texts(console: Console, summary: CatalogueSummary) -> None:
    """What became of rulings, and of names that were only looked up."""
    if summary.rulings != SavedRulings():
        console.print(f"  rulings: {summary.rulings.inserted:,} new, {summary.rulings.unchanged:,} as they were")
    if summary.names:
        console.print(
            f"  {summary.names:,} names of cards were looked up; the catalogue has no card of {summary.missing_count:,}"
        )
    for name in summary.missing:
        console.print(f"  no card: {name}")
    if summary.missing_count > len(summary.missing):
        console.print(f"  … and {summary.missing_count - len(summary.missing):,} more")
