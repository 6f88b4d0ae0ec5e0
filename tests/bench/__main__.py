"""`python -m tests.bench`: measures, prints a table and writes bench.json."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import asyncpg
import typer
from asyncpg.connection import Connection
from rich.console import Console

from app.cli.database import migrate_database
from app.core.embedded import PrivateServices
from app.core.errors import Refusal, ServiceUnavailable
from app.core.settings import Settings
from tests.bench.alerts import (
    MANY_SERIES as WATCHED_SERIES,
)
from tests.bench.alerts import (
    QUICK_ROUNDS,
    QUICK_RULES,
    QUICK_SERIES,
    ROUNDS,
    RULES,
    AlertFigures,
    measure_alerts,
)
from tests.bench.data import (
    CANDLES_PER_SERIES,
    DATABASE,
    ITEMS,
    MILLION,
    MILLION_DATABASE,
    Databases,
    chart_series_ids,
    drop_database,
    make_database,
    make_many_rows,
    make_rows,
    named,
)
from tests.bench.growth import GrowthFigures, Pace, measure_growth, measure_many
from tests.bench.imports import CARDS, FIGURES, QUICK_CARDS, QUICK_FIGURES, ImportFigures, measure_imports
from tests.bench.ingestion import MANY_SERIES, ONE_MINUTE_APART, QUICK_SHAPES, IngestFigures, measure_ingestion
from tests.bench.ledger import (
    LEDGER_DATABASE,
    PAGES,
    QUICK_PAGES,
    QUICK_RECOMPUTES,
    RECOMPUTES,
    TRADES_IN_ALL,
    LedgerFigures,
    make_traded_rows,
    measure_ledger,
)
from tests.bench.load import has_wrk
from tests.bench.locations import QUICK_SPREADS, SPREADS, measure_locations
from tests.bench.machine import this_machine
from tests.bench.maps import measure_maps
from tests.bench.postgraphile import make_price_function
from tests.bench.reads import Effort, Reads, measure_reads
from tests.bench.report import Report, TrackerFigures, show, write
from tests.bench.search import SEARCH_DATABASE, SEARCHED_ITEMS, SearchFigures, make_searched_rows, measure_search
from tests.bench.telling import (
    MAILS,
    PRICES,
    QUICK_MAILS,
    QUICK_PRICES,
    TOLD_DATABASE,
    TellingFigures,
    make_readers,
    measure_telling,
)
from tests.bench.tracked import FULL_SCALE, QUICK_SCALE, TRACKED_DATABASE, make_tracked_rows

REPOSITORY = Path(__file__).resolve().parents[2]
FULL = Effort(rounds=3, seconds=4, warm_up_seconds=1)
QUICK = Effort(rounds=1, seconds=1, warm_up_seconds=1)
FULL_PACE, QUICK_PACE = Pace(seconds=3, warm_up_seconds=1), Pace(seconds=1, warm_up_seconds=1)
BATCHES, QUICK_BATCHES = 6, 2
TRACKER_BATCHES = 3
QUERIES, QUICK_QUERIES = 200, 20
WIDTH_OF_FILES = 140
EXIT_REFUSED, EXIT_INTERRUPTED = 1, 130


class Part(StrEnum):
    """What can be measured by itself."""

    READS = "reads"
    GROWTH = "growth"
    INGEST = "ingest"
    SEARCH = "search"
    IMPORT = "import"
    LEDGER = "ledger"
    TRACKERS = "trackers"
    ALERTS = "alerts"


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Short rounds, only to see that everything works.")] = False,
    only: Annotated[Part | None, typer.Option(help="Measure only this part.")] = None,
    output: Annotated[Path, typer.Option(help="Where to write the figures.")] = Path("bench.json"),
) -> None:
    """Measure Trove against hand-written peers on this machine; bounded in time, and on loopback only."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        report = _run(console, quick=quick, only=only)
    except Refusal as refusal:
        console.print(refusal.message, style="red", markup=False, highlight=False)
        sys.exit(EXIT_REFUSED)
    except KeyboardInterrupt:
        console.print("Interrupted; everything that was started has been stopped.")
        sys.exit(EXIT_INTERRUPTED)
    show(report, console)
    write(report, output)
    console.print(f"Written to {output}.", highlight=False)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


@dataclass(frozen=True, slots=True)
class _Services:
    """Where everything is: the server, its process, the filled database, and its two series with candles."""

    server: Databases
    databases: Databases
    redis_url: str
    postgres_id: int
    postgres: str
    hours_series: int
    minutes_series: int


def _run(console: Console, *, quick: bool, only: Part | None) -> Report:
    if only in {None, Part.READS, Part.GROWTH} and not has_wrk():
        raise ServiceUnavailable(
            "The reads are measured with wrk, which is not installed: `apt install wrk` or `brew install wrk`."
        )
    load_before = round(os.getloadavg()[0], 2)
    reads: Reads | None = None
    growth: list[GrowthFigures] = []
    ingestion: list[IngestFigures] = []
    search: list[SearchFigures] = []
    imports: ImportFigures | None = None
    ledger: LedgerFigures | None = None
    trackers: TrackerFigures | None = None
    alerts: AlertFigures | None = None
    telling: TellingFigures | None = None
    with _services(console) as services:
        if only in {None, Part.READS}:
            reads = measure_reads(
                services.databases,
                services.redis_url,
                services.postgres_id,
                hours_series=services.hours_series,
                effort=QUICK if quick else FULL,
                console=console,
            )
        if only in {None, Part.GROWTH}:
            growth = _grow(services, console, quick=quick)
        if only in {None, Part.INGEST}:
            ingestion = _ingest(services, console, quick=quick)
        if only in {None, Part.SEARCH}:
            search = _search(services, console, quick=quick)
        if only in {None, Part.IMPORT}:
            imports = measure_imports(
                services.databases,
                services.redis_url,
                cards=QUICK_CARDS if quick else CARDS,
                figures=QUICK_FIGURES if quick else FIGURES,
                console=console,
            )
        if only in {None, Part.LEDGER}:
            ledger = _ledger(services, console, quick=quick)
        if only in {None, Part.TRACKERS}:
            trackers = _trackers(services, console, quick=quick)
        if only in {None, Part.ALERTS}:
            alerts = asyncio.run(
                measure_alerts(
                    services.databases,
                    services.redis_url,
                    rules=QUICK_RULES if quick else RULES,
                    shape=QUICK_SERIES if quick else WATCHED_SERIES,
                    rounds=QUICK_ROUNDS if quick else ROUNDS,
                    console=console,
                )
            )
            telling = _tell(services, console, quick=quick)
    machine = this_machine(postgres=services.postgres, load_before=load_before)
    measured_at = datetime.now(UTC).replace(microsecond=0)
    return Report(
        measured_at,
        quick,
        machine,
        reads,
        growth,
        ingestion,
        search,
        imports,
        ledger,
        trackers,
        alerts,
        telling,
    )


def _grow(services: _Services, console: Console, *, quick: bool) -> list[GrowthFigures]:
    pace = QUICK_PACE if quick else FULL_PACE
    console.print("Growth of Trove, over one connection")
    figures = measure_growth(
        services.databases,
        services.redis_url,
        services.postgres_id,
        minutes_series=services.minutes_series,
        pace=pace,
        console=console,
    )
    if quick:
        return figures
    many = named(services.server.trove_url, MILLION_DATABASE)
    try:
        with _timed(console, f"Making {MILLION:,} items with two series each"):
            asyncio.run(_fill(services.server, many, MILLION_DATABASE, make_many_rows))
        figures += measure_many(many, services.redis_url, services.postgres_id, pace=pace, console=console)
    finally:
        asyncio.run(_drop(services.server, MILLION_DATABASE))
    return figures


def _ingest(services: _Services, console: Console, *, quick: bool) -> list[IngestFigures]:
    return asyncio.run(
        measure_ingestion(
            services.databases,
            services.redis_url,
            shapes=QUICK_SHAPES if quick else (MANY_SERIES, ONE_MINUTE_APART),
            batches=QUICK_BATCHES if quick else BATCHES,
            console=console,
        )
    )


def _search(services: _Services, console: Console, *, quick: bool) -> list[SearchFigures]:
    searched = named(services.server.trove_url, SEARCH_DATABASE)
    try:
        with _timed(console, f"Making {SEARCHED_ITEMS:,} items to search"):
            asyncio.run(_fill(services.server, searched, SEARCH_DATABASE, make_searched_rows))
        return asyncio.run(measure_search(searched, queries=QUICK_QUERIES if quick else QUERIES))
    finally:
        asyncio.run(_drop(services.server, SEARCH_DATABASE))


def _ledger(services: _Services, console: Console, *, quick: bool) -> LedgerFigures:
    traded = named(services.server.trove_url, LEDGER_DATABASE)
    try:
        with _timed(console, f"Making {TRADES_IN_ALL:,} trades"):
            asyncio.run(_fill(services.server, traded, LEDGER_DATABASE, make_traded_rows))
        return asyncio.run(
            measure_ledger(
                traded,
                services.redis_url,
                recomputes=QUICK_RECOMPUTES if quick else RECOMPUTES,
                pages=QUICK_PAGES if quick else PAGES,
            )
        )
    finally:
        asyncio.run(_drop(services.server, LEDGER_DATABASE))


def _trackers(services: _Services, console: Console, *, quick: bool) -> TrackerFigures:
    tracked = named(services.server.trove_url, TRACKED_DATABASE)
    scale = QUICK_SCALE if quick else FULL_SCALE
    fixes = 0

    async def make(connection: "Connection[Any]") -> None:
        nonlocal fixes
        fixes = await make_tracked_rows(connection, scale)

    try:
        with _timed(console, f"Making {scale.trackers:,} trackers of a client, and their fixes"):
            asyncio.run(_fill(services.server, tracked, TRACKED_DATABASE, make))
        console.print(f"{fixes:,} fixes; maps, and then reports coming in")
        maps = asyncio.run(measure_maps(tracked, services.redis_url, times=QUICK_PAGES if quick else PAGES))
        reports, sizes = asyncio.run(
            measure_locations(
                tracked,
                services.redis_url,
                spreads=QUICK_SPREADS if quick else SPREADS,
                batches=QUICK_BATCHES if quick else TRACKER_BATCHES,
                console=console,
            )
        )
        return TrackerFigures(scale.trackers, fixes, maps, reports, sizes)
    finally:
        asyncio.run(_drop(services.server, TRACKED_DATABASE))


def _tell(services: _Services, console: Console, *, quick: bool) -> TellingFigures:
    told = named(services.server.trove_url, TOLD_DATABASE)
    try:
        asyncio.run(_fill(services.server, told, TOLD_DATABASE, make_readers))
        return asyncio.run(
            measure_telling(
                told,
                services.redis_url,
                prices=QUICK_PRICES if quick else PRICES,
                mails=QUICK_MAILS if quick else MAILS,
                console=console,
            )
        )
    finally:
        asyncio.run(_drop(services.server, TOLD_DATABASE))


@contextmanager
def _services(console: Console) -> Iterator[_Services]:
    """PostgreSQL and Redis for the bench alone, with the rows in them."""
    directory = REPOSITORY / ".trove" / "bench"
    private = PrivateServices(directory, durable=False)
    with private as addresses:
        if not private.owns:
            raise ServiceUnavailable(f"Another run is using {directory}: wait for its end.")
        server, databases = named(addresses.database_url, "trove"), named(addresses.database_url, DATABASE)
        with _timed(console, f"Making {ITEMS:,} items with two series of {CANDLES_PER_SERIES} candles each"):
            asyncio.run(_fill(server, databases, DATABASE, make_rows))
        postgres, hours, minutes = asyncio.run(_look(databases))
        postgres_id: int = json.loads((directory / "services.json").read_text())["pids"]["postgres"]
        yield _Services(server, databases, addresses.redis_url, postgres_id, postgres, hours, minutes)


async def _fill(
    server: Databases, databases: Databases, name: str, make: Callable[["Connection[Any]"], Awaitable[None]]
) -> None:
    """Make a database anew, migrate it, and fill it."""
    async with _connected(server) as connection:
        await make_database(connection, name)
    await asyncio.to_thread(migrate_database, Settings(DATABASE_URL=databases.trove_url))
    async with _connected(databases) as connection:
        await make(connection)


async def _look(databases: Databases) -> tuple[str, int, int]:
    """The version of the server, and the keys of the series of hours and of minutes; makes what PostGraphile needs."""
    async with _connected(databases) as connection:
        await make_price_function(connection)
        version: str = await connection.fetchval("SHOW server_version")
        return version, *await chart_series_ids(connection)


async def _drop(server: Databases, name: str) -> None:
    async with _connected(server) as connection:
        await drop_database(connection, name)


@asynccontextmanager
async def _connected(databases: Databases) -> "AsyncIterator[Connection[Any]]":
    connection = await asyncpg.connect(databases.plain_url)
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def _timed(console: Console, step: str) -> Iterator[None]:
    began = time.perf_counter()
    console.print(f"{step} …", end=" ")
    yield
    console.print(f"{time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    typer.run(main)
