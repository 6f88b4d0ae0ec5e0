"""Shows the figures as tables, and writes them down with the machine they were measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
from rich.console import Console

from tests.bench.alerts import AlertFigures
from tests.bench.growth import GrowthFigures
from tests.bench.imports import ImportFigures
from tests.bench.ingestion import IngestFigures
from tests.bench.ledger import LedgerFigures
from tests.bench.locations import LocationFigures, StoredSizes
from tests.bench.machine import Machine
from tests.bench.maps import MapFigures
from tests.bench.reads import Reads
from tests.bench.search import SearchFigures
from tests.bench.tables import (
    growth_table,
    ingestion_table,
    ledger_table,
    locations_table,
    maps_table,
    ratios_table,
    reads_table,
    search_table,
    telling_table,
)
from tests.bench.telling import TellingFigures

BUSY_LOAD_PER_CORE = 0.25


@dataclass(frozen=True, slots=True)
class TrackerFigures:
    """What was measured of trackers: of one client so many, and the fixes of all."""

    trackers: int
    fixes: int
    maps: Sequence[MapFigures]
    reports: Sequence[LocationFigures]
    mebibytes_of_a_million_reports: StoredSizes


@dataclass(frozen=True, slots=True)
class Report:
    """Everything of one run; None and empty where a part was not asked for."""

    measured_at: datetime
    quick: bool
    machine: Machine
    reads: Reads | None
    growth: Sequence[GrowthFigures]
    ingestion: Sequence[IngestFigures]
    search: Sequence[SearchFigures] = ()
    imports: ImportFigures | None = None
    ledger: LedgerFigures | None = None
    trackers: TrackerFigures | None = None
    alerts: AlertFigures | None = None
    telling: TellingFigures | None = None


def write(report: Report, file: Path) -> None:
    """Write the report as JSON."""
    file.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def show(report: Report, console: Console) -> None:
    """Print the report."""
    machine = report.machine
    console.print(
        f"\n{machine.processor}, {machine.cores} cores, {machine.memory_gibibytes:g} GiB, {machine.system}; "
        f"PostgreSQL {machine.postgres}, Python {machine.python}; load {machine.load_before:.1f} before the start",
        highlight=False,
    )
    if machine.load_before > BUSY_LOAD_PER_CORE * machine.cores:
        console.print("The machine was busy with something else: run again when it is not.", style="yellow")
    if report.reads:
        _show_reads(report.reads, console)
    if report.growth:
        console.print(growth_table(report.growth))
    if report.ingestion:
        console.print(ingestion_table(report.ingestion))
    if report.alerts:
        _show_alerts(report.alerts, console)
    if report.telling:
        console.print(telling_table(report.telling))
    if report.ledger:
        console.print(ledger_table(report.ledger))
    _show_others(report, console)
    if report.quick:
        console.print("A quick run shows that everything works; its figures are not worth quoting.")


def _show_others(report: Report, console: Console) -> None:
    if report.trackers:
        _show_trackers(report.trackers, console)
    if report.search:
        console.print(search_table(report.search))
    if report.imports:
        _show_imports(report.imports, console)


def _show_trackers(figures: TrackerFigures, console: Console) -> None:
    sizes = figures.mebibytes_of_a_million_reports
    console.print(maps_table(figures.maps, trackers=figures.trackers, fixes=figures.fixes))
    console.print(locations_table(figures.reports))
    console.print(
        f"A million reports take {sizes.reports:,.0f} MiB, their fixes {sizes.fixes:,.0f} and what is told of them "
        f"{sizes.events:,.0f}, with indexes",
        highlight=False,
    )


def _show_alerts(figures: AlertFigures, console: Console) -> None:
    console.print(
        f"{figures.rows:,} prices against {figures.rules:,} rules: {figures.watched_seconds:.2f} s, and "
        f"{figures.unwatched_seconds:.2f} s where nobody watches: {figures.ratio:.2f} times as long, promised: ≤ 1.5, "
        f"and {figures.cpu_ratio:.2f} times the processor's time",
        highlight=False,
    )
    console.print(f"{figures.alerts:,} alerts came of {figures.rounds} batches", highlight=False)


def _show_imports(figures: ImportFigures, console: Console) -> None:
    console.print(
        f"Import of {figures.figures:,} figures: {figures.figures_per_second:,} new and "
        f"{figures.unchanged_figures_per_second:,} known figures a second",
        highlight=False,
    )
    console.print(
        f"Import of {figures.cards:,} cards ({figures.file_mebibytes:,} MiB): {figures.cards_per_second:,} new and "
        f"{figures.unchanged_cards_per_second:,} known cards a second, "
        f"at most {figures.peak_memory_mebibytes:,} MiB of memory",
        highlight=False,
    )


def _show_reads(reads: Reads, console: Console) -> None:
    console.print(reads_table(reads.workloads))
    console.print(ratios_table(reads))
    for peer, reason in reads.left_out.items():
        console.print(f"{peer} is left out: {reason}.", style="bold yellow", highlight=False)
