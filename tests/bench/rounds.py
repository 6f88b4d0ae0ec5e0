"""One round of load on one server: how fast it answered, and what processor time that took."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.load import CONNECTIONS, Load, drive
from tests.bench.processes import Server, children_cpu_seconds, cpu_seconds

MICROSECONDS = 1_000_000
# A server still works on what wrk asked for last; the next round begins when it has used next to nothing for a while.
QUIET_SECONDS = 0.1
QUIET_SHARE = 0.2
LONGEST_WAIT_SECONDS = 10.0
LONGEST_ROUND_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Round:
    """One round of load on one peer. Latencies in microseconds; processor time in microseconds per request."""

    requests_per_second: float
    p50: int
    p99: int
    server_cpu: float | None
    database_cpu: float | None


def run_round(
    server: Server,
    bodies: Sequence[bytes],
    postgres_id: int,
    *,
    seconds: int,
    connections: int = CONNECTIONS,
    credentials: Sequence[str] = (),
) -> Round:
    """POST the bodies for so many seconds; refuses a round in which a request failed.

    A round that is too short for one request, as on a busy machine, is repeated twice as long.
    """
    database_before, server_before = children_cpu_seconds(postgres_id), cpu_seconds(server.process_id)
    load = drive(f"{server.url}/graphql", bodies, seconds=seconds, connections=connections, credentials=credentials)
    server_after, database_after = cpu_seconds(server.process_id), children_cpu_seconds(postgres_id)
    wait_until_quiet(server)
    if load.failed:
        raise AssertionError(f"{load.failed} of {load.requests} requests failed: {bodies[0][:200]!r}")
    if not load.requests:
        if seconds > LONGEST_ROUND_SECONDS:
            raise AssertionError(f"No request was answered in {seconds} seconds: {bodies[0][:200]!r}")
        return run_round(
            server, bodies, postgres_id, seconds=2 * seconds, connections=connections, credentials=credentials
        )
    return Round(
        round(load.requests_per_second, 1),
        load.p50,
        load.p99,
        None if server_before is None or server_after is None else _each(server_after - server_before, load),
        _each(_grown(database_before, database_after), load) if database_after else None,
    )


def wait_until_quiet(server: Server) -> None:
    """Wait until the server has done what it was asked, at most ten seconds."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    before = cpu_seconds(server.process_id)
    while before is not None and time.monotonic() < deadline:
        time.sleep(QUIET_SECONDS)
        after = cpu_seconds(server.process_id)
        if after is None or after - before < QUIET_SHARE * QUIET_SECONDS:
            return
        before = after


def _each(seconds: float, load: Load) -> float:
    return round(seconds / load.requests * MICROSECONDS, 1)


def _grown(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    return sum(seconds - before.get(process_id, 0.0) for process_id, seconds in after.items())


@dataclass(frozen=True, slots=True)
class Operations:
    """What a Trove server has counted so far."""

    count: float
    statements: float
    failed: float


def operations(trove: Server) -> Operations:
    """What the metrics of a Trove server say."""
    samples = [
        sample
        for family in text_string_to_metric_families(httpx.get(f"{trove.url}/metrics").text)
        for sample in family.samples
    ]
    queries = {sample.name: sample.value for sample in samples if sample.labels.get("type") == "query"}
    return Operations(
        count=queries.get("trove_graphql_operation_statements_count", 0.0),
        statements=queries.get("trove_graphql_operation_statements_sum", 0.0),
        # What the load generator hangs up on when its time is over is cancelled, and no failure.
        failed=sum(
            sample.value
            for sample in samples
            if sample.name == "trove_graphql_operations_total" and sample.labels["outcome"] not in {"ok", "cancelled"}
        ),
    )


def statements_per_operation(before: Operations, after: Operations) -> float | None:
    """The mean between two looks at the metrics; refuses failed operations."""
    if after.failed > before.failed:
        raise AssertionError(f"{after.failed - before.failed:.0f} operations failed under load.")
    count = after.count - before.count
    return round((after.statements - before.statements) / count, 2) if count else None
