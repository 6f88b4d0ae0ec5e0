"""Shows the figures as tables, and writes them down with the machine they were measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import orjson
from rich.console import Console
from rich.table import Table

from tests.bench.ingestion import IngestFigures
from tests.bench.machine import Machine
from tests.bench.reads import PeerFigures, ReadFigures

MICROSECONDS_PER_MILLISECOND = 1_000
UNKNOWN = "–"
BUSY_LOAD_PER_CORE = 0.25


@dataclass(frozen=True, slots=True)
class Report:
    """Everything of one run."""

    measured_at: datetime
    quick: bool
    machine: Machine
    reads: Sequence[ReadFigures]
    ingestion: Sequence[IngestFigures]


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
        console.print(_reads_table(report.reads))
    if report.ingestion:
        console.print(_ingestion_table(report.ingestion))
    if report.quick:
        console.print("A quick run shows that everything works; its figures are not worth quoting.")


def _reads_table(reads: Sequence[ReadFigures]) -> Table:
    meanings = "; ".join(f"{figures.workload} is {figures.meaning}" for figures in reads)
    table = Table(
        title="Reads: medians over the rounds",
        caption=f"{meanings}. CPU and DB: processor ms per request of the server and of PostgreSQL. "
        "SQL: statements per operation. MiB: the server's peak memory.",
    )
    table.add_column("")
    table.add_column("peer")
    for heading in ("req/s", "p50 ms", "p99 ms", "CPU", "DB", "SQL", "MiB", "ratio"):
        table.add_column(heading, justify="right")
    for figures in reads:
        table.add_row(figures.workload, *_peer(figures.trove), f"{figures.ratio:.2f}")
        table.add_row("", *_peer(figures.bare), "1.00", end_section=True)
    return table


def _peer(figures: PeerFigures) -> list[str]:
    return [
        figures.peer,
        _number(figures.median("requests_per_second"), ",.0f"),
        *(
            _number(_milliseconds(figures.median(figure)), ".2f")
            for figure in ("p50", "p99", "server_cpu", "database_cpu")
        ),
        _number(figures.statements, "g"),
        _number(figures.peak_memory, ".0f"),
    ]


def _ingestion_table(ingestion: Sequence[IngestFigures]) -> Table:
    meanings = "; ".join(f"{figures.shape}: {figures.meaning}" for figures in ingestion)
    table = Table(
        title="Ingestion: medians over the batches",
        caption=f"{meanings}. ack: seconds until the batch was acknowledged; done: until it was committed, from its "
        "first byte. Queued: all sent before any was done. CPU: processor seconds per batch of the worker.",
    )
    table.add_column("shape")
    table.add_column("peer")
    for heading in ("ack s", "done s", "rows/s", "CPU s", "MiB", "ratio"):
        table.add_column(heading, justify="right")
    for figures in ingestion:
        for row in _ingestion_rows(figures):
            table.add_row(*row)
        table.add_section()
    return table


def _ingestion_rows(figures: IngestFigures) -> list[list[str]]:
    rounds = figures.rounds
    cpu = [round_.worker_cpu for round_ in rounds if round_.worker_cpu is not None]
    return [
        [
            figures.shape,
            "Trove",
            f"{median(round_.acknowledged for round_ in rounds):.2f}",
            f"{median(round_.processed for round_ in rounds):.2f}",
            f"{figures.trove_rows_per_second:,.0f}",
            _number(median(cpu) if cpu else None, ".2f"),
            _number(figures.worker_peak_memory, ".0f"),
            f"{figures.ratio:.2f}",
        ],
        [
            "",
            f"{figures.queued_batches} queued",
            "",
            "",
            f"{figures.queued_rows_per_second:,.0f}",
            "",
            "",
            f"{figures.queued_ratio:.2f}",
        ],
        [
            "",
            "bare",
            "",
            f"{median(round_.bare for round_ in rounds):.2f}",
            f"{figures.bare_rows_per_second:,.0f}",
            "",
            "",
            "1.00",
        ],
    ]


def _milliseconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / MICROSECONDS_PER_MILLISECOND


def _number(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)
