"""What is counted of operations, whichever transport they come over."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from graphql import OperationDefinitionNode
from prometheus_client import Counter, Histogram

from app.core.telemetry import OPERATION_SECONDS, OPERATION_STATEMENTS, OPERATIONS, READ_PATHS
from app.graph.reads.executor import ReadPath

UNKNOWN_OPERATION = "(other)"
MAXIMUM_OPERATION_NAMES = 500
_operation_names: set[str] = set()


class Outcome(StrEnum):
    """How an operation ended; a cancelled one has no answer, because nobody was there to take it."""

    OK = "ok"
    ERROR = "error"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class _Metrics:
    """What is counted of one sort of operation."""

    operations: Counter
    seconds: Histogram
    statements: Histogram
    paths: Counter | None


@cache
def _metrics(name: str, kind: str, outcome: Outcome, path: ReadPath | None) -> _Metrics:
    return _Metrics(
        OPERATIONS.labels(name, kind, outcome),
        OPERATION_SECONDS.labels(kind),
        OPERATION_STATEMENTS.labels(kind),
        None if path is None else READ_PATHS.labels(path),
    )


def _known_name(name: str) -> str:
    """The operation's name as a label; clients choose names, so only so many become labels of their own."""
    if name not in _operation_names and len(_operation_names) < MAXIMUM_OPERATION_NAMES:
        _operation_names.add(name)
    return name if name in _operation_names else UNKNOWN_OPERATION


def count_operation(
    definition: OperationDefinitionNode, outcome: Outcome, *, path: ReadPath | None, statements: int, seconds: float
) -> None:
    """Count an operation that has ended; `path` is that of a query, None where it was not answered by one."""
    name = definition.name.value if definition.name else UNKNOWN_OPERATION
    metrics = _metrics(_known_name(name), definition.operation.value, outcome, path)
    metrics.operations.inc()
    metrics.seconds.observe(seconds)
    metrics.statements.observe(statements)
    if metrics.paths is not None:
        metrics.paths.inc()


def count_refused_document() -> None:
    """Count a request whose document is refused, so that it is no operation of any type."""
    OPERATIONS.labels(UNKNOWN_OPERATION, "unknown", Outcome.REFUSED).inc()
