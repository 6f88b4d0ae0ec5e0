"""Measures the reads: the graph and its bare peer take turns under the same load, after giving the same answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import httpx
import orjson
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from tests.bench.bare import LIST, POINT
from tests.bench.data import ITEMS, Databases, item_public_id
from tests.bench.load import Load, drive
from tests.bench.processes import Server, children_cpu_seconds, cpu_seconds, peak_memory_mebibytes, serving

POOL_SIZE = 20
MICROSECONDS = 1_000_000
# A prime, so that the ids that follow one another lie far apart.
STRIDE = 1_597
DISTINCT_IDS = 1_000
ALL_COMPARED = 20

_PRICE = "price { amount currency kind source observedAt }"
LIST_DOCUMENT = f"query List {{ items(first: 50) {{ nodes {{ name slug imageUrl {_PRICE} }} }} }}"
POINT_DOCUMENT = f"query Point($id: ID!) {{ node(id: $id) {{ id ... on Item {{ name slug imageUrl {_PRICE} }} }} }}"


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked, as bodies that follow one another, and the one statement by which the peer answers."""

    name: str
    meaning: str
    bodies: Sequence[bytes]
    statement: str


@dataclass(frozen=True, slots=True)
class Round:
    """One round of load on one peer. Latencies in microseconds; processor time in microseconds per request."""

    requests_per_second: float
    p50: int
    p99: int
    server_cpu: float | None
    database_cpu: float | None


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """All rounds of one peer. Statements as the server counts them; memory of its process in MiB."""

    peer: str
    rounds: Sequence[Round]
    statements: float | None
    peak_memory: float | None

    def median(self, figure: str) -> float | None:
        """The median of one figure of the rounds; None where it was not measured."""
        values = [getattr(round_, figure) for round_ in self.rounds]
        return None if None in values else float(median(values))


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """What came of one workload; `ratio` is Trove's median rate as a share of the bare peer's."""

    workload: str
    meaning: str
    response_bytes: int
    trove: PeerFigures
    bare: PeerFigures
    ratio: float


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: int
    warm_up_seconds: int


def workloads() -> list[Workload]:
    """W1 and W3 of the promises."""
    ids = [item_public_id(1 + number * STRIDE % ITEMS) for number in range(DISTINCT_IDS)]
    return [
        Workload("W1", "a list of 50 items with their prices", [orjson.dumps({"query": LIST_DOCUMENT})], LIST),
        Workload(
            "W3",
            "one item by id, with its price",
            [orjson.dumps({"query": POINT_DOCUMENT, "variables": {"id": item_id}}) for item_id in ids],
            POINT,
        ),
    ]


def measure_reads(
    databases: Databases, redis_url: str, postgres_id: int, *, effort: Effort, console: Console
) -> list[ReadFigures]:
    """All reads, one workload after another."""
    with (
        serving("app.cli.main", "api", environment=trove_environment(databases, redis_url)) as trove,
        serving("tests.bench.bare", environment=_bare_environment(databases)) as bare,
    ):
        measured = []
        for workload in workloads():
            console.print(f"{workload.name}: {workload.meaning}")
            measured.append(_measure(workload, trove, bare, postgres_id, effort, console))
        return measured


def trove_environment(databases: Databases, redis_url: str, **more: str) -> dict[str, str]:
    """The environment of Trove's own processes: production, over the bench's database."""
    return {
        "DATABASE_URL": databases.trove_url,
        "REDIS_URL": redis_url,
        "TROVE_ENVIRONMENT": "production",
        "TROVE_DATABASE_POOL_SIZE": str(POOL_SIZE),
        "TROVE_LOG_LEVEL": "WARNING",
        **more,
    }


def _bare_environment(databases: Databases) -> dict[str, str]:
    return {"BENCH_DATABASE_URL": databases.plain_url, "TROVE_DATABASE_POOL_SIZE": str(POOL_SIZE)}


def _measure(
    workload: Workload, trove: Server, bare: Server, postgres_id: int, effort: Effort, console: Console
) -> ReadFigures:
    size = _require_equal_answers(workload, trove, bare)
    for server in (trove, bare):
        drive(f"{server.url}/graphql", workload.bodies, seconds=effort.warm_up_seconds)
    trove_rounds, bare_rounds = [], []
    before = _operations(trove)
    for number in range(effort.rounds):
        trove_rounds.append(_round(trove, workload, postgres_id, effort))
        bare_rounds.append(_round(bare, workload, postgres_id, effort))
        console.print(
            f"  round {number + 1} of {effort.rounds}: "
            f"{trove_rounds[-1].requests_per_second:,.0f} and {bare_rounds[-1].requests_per_second:,.0f} requests/s"
        )
    statements = _statements_per_operation(before, _operations(trove))
    return ReadFigures(
        workload.name,
        workload.meaning,
        size,
        PeerFigures("Trove", trove_rounds, statements, peak_memory_mebibytes(trove.process_id)),
        PeerFigures("bare endpoint", bare_rounds, 1.0, peak_memory_mebibytes(bare.process_id)),
        ratio=median(round_.requests_per_second for round_ in trove_rounds)
        / median(round_.requests_per_second for round_ in bare_rounds),
    )


def _require_equal_answers(workload: Workload, trove: Server, bare: Server) -> int:
    """The length of the graph's answer, once both peers have given equal ones to some of the bodies."""
    size = 0
    for body in workload.bodies[:ALL_COMPARED]:
        answers = [
            httpx.post(
                f"{server.url}/graphql",
                content=body,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
            ).raise_for_status()
            for server in (trove, bare)
        ]
        expected, got = (orjson.loads(answer.content) for answer in answers)
        if expected != got or "errors" in expected:
            raise AssertionError(
                f"{workload.name}: the graph says {answers[0].text[:1_000]}, the bare peer {answers[1].text[:1_000]}"
            )
        size = len(answers[0].content)
    return size


def _round(server: Server, workload: Workload, postgres_id: int, effort: Effort) -> Round:
    database_before, server_before = children_cpu_seconds(postgres_id), cpu_seconds(server.process_id)
    load = drive(f"{server.url}/graphql", workload.bodies, seconds=effort.seconds)
    server_after, database_after = cpu_seconds(server.process_id), children_cpu_seconds(postgres_id)
    if load.failed:
        raise AssertionError(f"{workload.name}: {load.failed} of {load.requests} requests failed.")
    return Round(
        round(load.requests_per_second, 1),
        load.p50,
        load.p99,
        None if server_before is None or server_after is None else _each(server_after - server_before, load),
        _each(_grown(database_before, database_after), load) if database_after else None,
    )


def _each(seconds: float, load: Load) -> float:
    return round(seconds / load.requests * MICROSECONDS, 1)


def _grown(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    return sum(seconds - before.get(process_id, 0.0) for process_id, seconds in after.items())


@dataclass(frozen=True, slots=True)
class _Operations:
    """What a Trove server has counted so far."""

    count: float
    statements: float
    failed: float


def _operations(trove: Server) -> _Operations:
    samples = [
        sample
        for family in text_string_to_metric_families(httpx.get(f"{trove.url}/metrics").text)
        for sample in family.samples
    ]
    queries = {sample.name: sample.value for sample in samples if sample.labels.get("type") == "query"}
    return _Operations(
        count=queries.get("trove_graphql_operation_statements_count", 0.0),
        statements=queries.get("trove_graphql_operation_statements_sum", 0.0),
        failed=sum(
            sample.value
            for sample in samples
            if sample.name == "trove_graphql_operations_total" and sample.labels["outcome"] != "ok"
        ),
    )


def _statements_per_operation(before: _Operations, after: _Operations) -> float | None:
    if after.failed > before.failed:
        raise AssertionError(f"{after.failed - before.failed:.0f} operations failed under load.")
    operations = after.count - before.count
    return round((after.statements - before.statements) / operations, 2) if operations else None
