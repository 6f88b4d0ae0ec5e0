"""Measures the reads: the peers take turns under the same load, after giving the same answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console

from tests.bench.data import Databases
from tests.bench.load import drive
from tests.bench.peers import Peer, RunningPeers, all_peers
from tests.bench.processes import Server, peak_memory_mebibytes
from tests.bench.rounds import Operations, Round, operations, run_round, statements_per_operation, wait_until_quiet
from tests.bench.workloads import COLUMNS, ROWS, Workload, require_equal_answers, workloads

COMPARED = (
    (Peer.TROVE, Peer.POSTGRAPHILE),
    (Peer.TROVE, Peer.RESOLVERS),
    (Peer.TROVE, Peer.PLAIN),
    (Peer.TROVE, Peer.BARE),
    (Peer.RESOLVERS, Peer.PLAIN),
)


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """All rounds of one peer. Statements as the server counts them; memory of its process in MiB, up to then."""

    peer: str
    rounds: Sequence[Round]
    response_bytes: int
    statements: float | None
    peak_memory: float | None

    def median(self, figure: str) -> float | None:
        """The median of one figure of the rounds; None where it was not measured."""
        values = [getattr(round_, figure) for round_ in self.rounds]
        return None if None in values else float(median(values))

    @property
    def rate(self) -> float:
        """The median of requests per second."""
        return float(median(round_.requests_per_second for round_ in self.rounds))

    @property
    def processor_time(self) -> float | None:
        """The medians of server and PostgreSQL together, in microseconds per request; None where not told."""
        server, database = self.median("server_cpu"), self.median("database_cpu")
        return None if server is None or database is None else server + database


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median rate of one peer as a share of another's, and the same by the processor time of a request.

    Processor time, of server and PostgreSQL together, says more where something else keeps the machine busy.
    """

    of: str
    to: str
    ratio: float
    processor_time_ratio: float | None


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """What came of one workload."""

    workload: str
    meaning: str
    peers: Sequence[PeerFigures]
    ratios: Sequence[Ratio]

    def of(self, peer: Peer) -> PeerFigures | None:
        """The figures of one peer; None where it took no part."""
        return next((figures for figures in self.peers if figures.peer == peer), None)


@dataclass(frozen=True, slots=True)
class ColumnsToRows:
    """Candles as columns against the same as rows, of one peer: the ratio of their rates, and of their median times."""

    peer: str
    rate_ratio: float
    p50_ratio: float


@dataclass(frozen=True, slots=True)
class Reads:
    """All reads; `left_out` says why a peer did not take part."""

    workloads: Sequence[ReadFigures]
    columns_to_rows: Sequence[ColumnsToRows]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: int
    warm_up_seconds: int


def measure_reads(
    databases: Databases, redis_url: str, postgres_id: int, *, hours_series: int, effort: Effort, console: Console
) -> Reads:
    """All reads, one workload after another."""
    with all_peers(databases, redis_url) as running:
        for peer, reason in running.left_out.items():
            console.print(f"{peer} is left out: {reason}.", style="bold yellow", highlight=False)
        measured = []
        for workload in workloads(hours_series):
            console.print(f"{workload.name}: {workload.meaning}", highlight=False)
            measured.append(_measure(workload, running, postgres_id, effort, console))
    return Reads(measured, _columns_to_rows(measured), {str(peer): reason for peer, reason in running.left_out.items()})


def _measure(
    workload: Workload, running: RunningPeers, postgres_id: int, effort: Effort, console: Console
) -> ReadFigures:
    sizes = require_equal_answers(workload, running)
    servers = {peer: server for peer, server in running.servers.items() if peer in workload.bodies}
    for peer, server in servers.items():
        drive(
            f"{server.url}/graphql",
            workload.bodies[peer],
            seconds=effort.warm_up_seconds,
            connections=workload.connections,
            credentials=workload.credentials_of(peer),
        )
        wait_until_quiet(server)
    before = _counted(servers)
    rounds: dict[Peer, list[Round]] = {peer: [] for peer in servers}
    for number in range(effort.rounds):
        for peer, server in servers.items():
            round_ = run_round(
                server,
                workload.bodies[peer],
                postgres_id,
                seconds=effort.seconds,
                connections=workload.connections,
                credentials=workload.credentials_of(peer),
            )
            rounds[peer].append(round_)
        rates = ", ".join(f"{peer} {rounds[peer][-1].requests_per_second:,.0f}" for peer in servers)
        console.print(f"  round {number + 1} of {effort.rounds}, requests/s: {rates}", highlight=False)
    after = _counted(servers)
    peers = [
        PeerFigures(
            peer,
            rounds[peer],
            sizes[peer],
            statements_per_operation(before[peer], after[peer]) if peer in before else None,
            peak_memory_mebibytes(server.process_id),
        )
        for peer, server in servers.items()
    ]
    return ReadFigures(workload.name, workload.meaning, peers, _ratios(peers))


def _counted(servers: Mapping[Peer, Server]) -> dict[Peer, Operations]:
    return {peer: operations(servers[peer]) for peer in (Peer.TROVE, Peer.RESOLVERS)}


def _ratios(peers: Sequence[PeerFigures]) -> list[Ratio]:
    by_name = {figures.peer: figures for figures in peers}
    return [
        Ratio(of, to, round(by_name[of].rate / by_name[to].rate, 4), _processor_time_ratio(by_name[of], by_name[to]))
        for of, to in COMPARED
        if of in by_name and to in by_name
    ]


def _processor_time_ratio(of: PeerFigures, to: PeerFigures) -> float | None:
    """How many requests the one answers with the processor time of one request to the other."""
    return round(to.processor_time / of.processor_time, 4) if of.processor_time and to.processor_time else None


def _columns_to_rows(measured: Sequence[ReadFigures]) -> list[ColumnsToRows]:
    by_name = {figures.workload: figures for figures in measured}
    compared = []
    for columns in by_name[COLUMNS].peers:
        rows = by_name[ROWS].of(Peer(columns.peer))
        rows_p50, columns_p50 = rows and rows.median("p50"), columns.median("p50")
        if rows and rows_p50 and columns_p50:
            compared.append(
                ColumnsToRows(columns.peer, round(columns.rate / rows.rate, 4), round(columns_p50 / rows_p50, 4))
            )
    return compared
