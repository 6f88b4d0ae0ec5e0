"""`python -m tests.bench`: measures, prints a table and writes bench.json."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import asyncpg
import typer
from rich.console import Console

from app.cli.database import migrate_database
from app.core.embedded import PrivateServices
from app.core.errors import Refusal, ServiceUnavailable
from app.core.settings import Settings
from tests.bench.data import CANDLES_PER_SERIES, DATABASE, ITEMS, Databases, make_database, make_rows, named
from tests.bench.ingestion import MANY_SERIES, ONE_MINUTE_APART, QUICK_SHAPES, IngestFigures, measure_ingestion
from tests.bench.load import has_wrk
from tests.bench.machine import this_machine
from tests.bench.reads import Effort, ReadFigures, measure_reads
from tests.bench.report import Report, show, write

REPOSITORY = Path(__file__).resolve().parents[2]
FULL = Effort(rounds=3, seconds=5, warm_up_seconds=2)
QUICK = Effort(rounds=1, seconds=1, warm_up_seconds=1)
BATCHES, QUICK_BATCHES = 6, 2
EXIT_REFUSED, EXIT_INTERRUPTED = 1, 130


class Part(StrEnum):
    """What can be measured by itself."""

    READS = "reads"
    INGEST = "ingest"


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Short rounds, only to see that everything works.")] = False,
    only: Annotated[Part | None, typer.Option(help="Measure only this part.")] = None,
    output: Annotated[Path, typer.Option(help="Where to write the figures.")] = Path("bench.json"),
) -> None:
    """Measure Trove against hand-written peers on this machine; bounded in time, and on loopback only."""
    console = Console()
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


def _run(console: Console, *, quick: bool, only: Part | None) -> Report:
    if only is not Part.INGEST and not has_wrk():
        raise ServiceUnavailable(
            "The reads are measured with wrk, which is not installed: `apt install wrk` or `brew install wrk`."
        )
    reads: list[ReadFigures] = []
    ingestion: list[IngestFigures] = []
    directory = REPOSITORY / ".trove" / "bench"
    load_before = round(os.getloadavg()[0], 2)
    services = PrivateServices(directory, durable=False)
    with services as addresses:
        if not services.owns:
            raise ServiceUnavailable(f"Another run is using {directory}: wait for its end.")
        databases = named(addresses.database_url, DATABASE)
        postgres = asyncio.run(_prepare(named(addresses.database_url, "trove"), databases, console))
        if only is not Part.INGEST:
            postgres_id: int = json.loads((directory / "services.json").read_text())["pids"]["postgres"]
            effort = QUICK if quick else FULL
            reads = measure_reads(databases, addresses.redis_url, postgres_id, effort=effort, console=console)
        if only is not Part.READS:
            ingestion = asyncio.run(
                measure_ingestion(
                    databases,
                    addresses.redis_url,
                    shapes=QUICK_SHAPES if quick else (MANY_SERIES, ONE_MINUTE_APART),
                    batches=QUICK_BATCHES if quick else BATCHES,
                    console=console,
                )
            )
    machine = this_machine(postgres=postgres, load_before=load_before)
    return Report(datetime.now(UTC).replace(microsecond=0), quick, machine, reads, ingestion)


async def _prepare(server: Databases, databases: Databases, console: Console) -> str:
    """Make the database and its rows; gives the version of the server."""
    with _timed(console, f"Making {ITEMS:,} items with two series of {CANDLES_PER_SERIES} candles each"):
        connection = await asyncpg.connect(server.plain_url)
        await make_database(connection)
        version: str = await connection.fetchval("SHOW server_version")
        await connection.close()
        await asyncio.to_thread(migrate_database, Settings(DATABASE_URL=databases.trove_url))
        connection = await asyncpg.connect(databases.plain_url)
        await make_rows(connection)
        await connection.close()
    return version


@contextmanager
def _timed(console: Console, step: str) -> Iterator[None]:
    began = time.perf_counter()
    console.print(f"{step} …", end=" ")
    yield
    console.print(f"{time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    typer.run(main)
