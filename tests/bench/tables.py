"""The figures as tables for people."""

from collections.abc import Sequence
from statistics import median

from rich.table import Table

from tests.bench.growth import GrowthFigures
from tests.bench.ingestion import IngestFigures
from tests.bench.ledger import LedgerFigures
from tests.bench.locations import LocationFigures
from tests.bench.maps import MapFigures
from tests.bench.peers import Peer
from tests.bench.reads import COMPARED, PeerFigures, ReadFigures, Reads
from tests.bench.search import SEARCHED_ITEMS, SearchFigures
from tests.bench.telling import TellingFigures

MICROSECONDS_PER_MILLISECOND = 1_000
BYTES_PER_KIBIBYTE = 1_024
UNKNOWN = "–"
# Requests per second below which decimals tell something.
SLOW = 100


def reads_table(reads: Sequence[ReadFigures]) -> Table:
    """What each peer did with each workload."""
    meanings = "; ".join(f"{figures.workload} is {figures.meaning}" for figures in reads)
    table = Table(
        title="Reads: medians over the rounds",
        caption=f"{meanings}. CPU and DB: processor ms per request of the server and of PostgreSQL. "
        "SQL: statements per operation. MiB: the server's peak memory so far. Ratio: Trove's requests/s by the peer's.",
    )
    table.add_column("")
    table.add_column("peer")
    for heading in ("req/s", "p50 ms", "p99 ms", "CPU", "DB", "SQL", "MiB", "ratio"):
        table.add_column(heading, justify="right")
    for figures in reads:
        trove = figures.of(Peer.TROVE)
        for number, peer in enumerate(figures.peers):
            ratio = trove.rate / peer.rate if trove else None
            table.add_row("" if number else figures.workload, *_peer(peer), _number(ratio, ".2f"))
        table.add_section()
    return table


def ratios_table(reads: Reads) -> Table:
    """The rates of the peers against each other, by workload, and the same by processor time."""
    compared = "; ".join(
        f"columns ÷ rows, {ratio.peer}: {ratio.rate_ratio:.2f} times the rate, {ratio.p50_ratio:.2f} of the median time"
        for ratio in reads.columns_to_rows
    )
    table = Table(
        title="Reads: ratios of requests per second",
        caption="In parentheses: by processor time of server and PostgreSQL, which other work on the machine disturbs "
        f"less. {compared}.",
    )
    table.add_column("")
    for figures in reads.workloads:
        table.add_column(figures.workload, justify="right")
    for of, to in COMPARED:
        table.add_row(f"{of} ÷ {to}", *(_ratio(figures, of, to) for figures in reads.workloads))
    return table


def telling_table(figures: TellingFigures) -> Table:
    """How soon people are told, with and without mails that wait for a dead server."""
    table = Table(
        title=f"Told of {figures.prices} prices, one after another",
        caption=f"From the commit, as a polling connection sees it. Of {figures.mails:,} mails {figures.mails_tried:,} "
        "were tried, and none was taken.",
    )
    table.add_column("")
    for heading in ("p50 ms", "p99 ms", "longest ms", "promised"):
        table.add_column(heading, justify="right")
    for name, spread, promised in (
        ("alert on an open socket", figures.on_socket, "p99 < 500"),
        ("… since the price was sent", figures.on_socket_since_sent, ""),
        ("webhook", figures.posted, ""),
        (f"… behind {figures.mails:,} mails", figures.posted_behind_mails, "no later"),
    ):
        table.add_row(name, *(f"{one:,.1f}" for one in (spread.p50, spread.p99, spread.longest)), promised)
    return table


def _ratio(figures: ReadFigures, of: Peer, to: Peer) -> str:
    for ratio in figures.ratios:
        if (ratio.of, ratio.to) == (of, to):
            return f"{ratio.ratio:.2f} ({_number(ratio.processor_time_ratio, '.2f')})"
    return UNKNOWN


def _peer(figures: PeerFigures) -> list[str]:
    return [
        figures.peer,
        _rate(figures.rate),
        *(
            _number(_milliseconds(figures.median(figure)), ".2f")
            for figure in ("p50", "p99", "server_cpu", "database_cpu")
        ),
        _number(figures.statements, "g"),
        _number(figures.peak_memory, ".0f"),
    ]


def growth_table(growth: Sequence[GrowthFigures]) -> Table:
    """How the times of Trove grow."""
    table = Table(
        title="Growth: Trove, one connection",
        caption="CPU and DB: processor ms per request of the server and of PostgreSQL. Each: microseconds of both by "
        "the number of things; not told where they are only stored.",
    )
    table.add_column("")
    table.add_column("of")
    for heading in ("p50 ms", "p99 ms", "CPU", "DB", "each µs", "KiB"):
        table.add_column(heading, justify="right")
    for number, figures in enumerate(growth):
        if number and figures.workload != growth[number - 1].workload:
            table.add_section()
        table.add_row(*_growth(figures))
    return table


def _growth(figures: GrowthFigures) -> list[str]:
    return [
        figures.workload,
        f"{figures.count:,} {figures.things}",
        *(
            _number(_milliseconds(value), ",.2f")
            for value in (figures.p50, figures.p99, figures.server_cpu, figures.database_cpu)
        ),
        _number(figures.each, ",.2f"),
        f"{figures.response_bytes / BYTES_PER_KIBIBYTE:,.0f}",
    ]


def ingestion_table(ingestion: Sequence[IngestFigures]) -> Table:
    """What each shape of batch took."""
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


def _rate(requests_per_second: float) -> str:
    return f"{requests_per_second:,.0f}" if requests_per_second >= SLOW else f"{requests_per_second:.2f}"


def _milliseconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / MICROSECONDS_PER_MILLISECOND


def _number(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)


def ledger_table(figures: LedgerFigures) -> Table:
    """What recomputing and paging took."""
    table = Table(title="The ledger", caption="Medians. A page is of 100 trades, within the process of the API.")
    table.add_column("")
    table.add_column("took", justify="right")
    table.add_row(f"recompute {figures.trades_of_one:,} trades of a holding", f"{figures.recompute_seconds:.2f} s")
    table.add_row(f"first page of {figures.trades_in_all:,} trades", f"{figures.first_page_milliseconds:.1f} ms")
    table.add_row("the same from the middle on", f"{figures.deep_page_milliseconds:.1f} ms")
    return table


def search_table(search: Sequence[SearchFigures]) -> Table:
    """What searches took in the database."""
    table = Table(
        title="W5: search",
        caption=f"The first 20 of {SEARCHED_ITEMS:,} items; the time of all statements of a query together.",
    )
    table.add_column("what is typed")
    table.add_column("such as")
    for heading in ("queries", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    for figures in search:
        table.add_row(figures.sort, figures.example, str(figures.queries), f"{figures.p50:.2f}", f"{figures.p95:.2f}")
    return table


def maps_table(maps: Sequence[MapFigures], *, trackers: int, fixes: int) -> Table:
    """What questions about trackers took."""
    table = Table(
        title=f"{trackers:,} trackers of a client, {fixes:,} fixes of all",
        caption="Through the database and the process of the API, without a transport.",
    )
    table.add_column("")
    for heading in ("promised", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    for figures in maps:
        table.add_row(
            figures.question,
            "" if figures.promised is None else f"≤ {figures.promised:g}",
            *(f"{ms:.1f}" for ms in (figures.p50, figures.p95)),
        )
    return table


def locations_table(locations: Sequence[LocationFigures]) -> Table:
    """What taking in reports of trackers took."""
    table = Table(
        title="Reports of trackers coming in",
        caption="Medians of a batch: accepted, stored, fixes, statuses and last positions made, told. Promised: ≥ 0.3.",
    )
    table.add_column("batch")
    for heading in ("done s", "bare s", "CPU s", "MiB", "ratio"):
        table.add_column(heading, justify="right")
    for figures in locations:
        table.add_row(
            f"{figures.rows:,} of {figures.trackers:,} trackers, {'late' if figures.is_late else 'in order'}",
            f"{figures.processed_seconds:.2f}",
            f"{figures.bare_seconds:.2f}",
            _number(figures.worker_cpu_seconds, ".2f"),
            _number(figures.worker_peak_memory, ".0f"),
            f"{figures.ratio:.2f}",
        )
    return table
