"""Measures how the reads of Trove grow with what is asked for, and with what is stored; over one connection."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from rich.console import Console

from tests.bench import documents
from tests.bench.data import (
    ITEMS,
    LARGE_COLLECTOR,
    LARGE_HOLDINGS,
    MILLION,
    Databases,
    collector_credentials,
    portfolio_public_id,
    series_public_id,
)
from tests.bench.load import drive
from tests.bench.peers import serving_trove, trove_environment
from tests.bench.processes import Server
from tests.bench.rounds import run_round
from tests.bench.workloads import ask

WALKED_ITEMS = (10, 100, 1_000)
HOLDINGS = (10, 100, LARGE_HOLDINGS)
POINTS = (100, 1_000, 10_000, 100_000)
PAGE_SIZE = 100
STORED = "items stored"


@dataclass(frozen=True, slots=True)
class Question:
    """One body, and by what number of things it is to be judged."""

    workload: str
    things: str
    count: int
    body: bytes
    # Of what is private: its owner's.
    credentials: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class GrowthFigures:
    """What one question took over one connection, in microseconds; the processor times are per request."""

    workload: str
    things: str
    count: int
    p50: int
    p99: int
    server_cpu: float | None
    database_cpu: float | None
    response_bytes: int

    @property
    def each(self) -> float | None:
        """The processor time of the server and of PostgreSQL together, by what was asked for; None if only stored."""
        if self.server_cpu is None or self.database_cpu is None or self.things == STORED:
            return None
        return (self.server_cpu + self.database_cpu) / self.count


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each question is asked."""

    seconds: int
    warm_up_seconds: int


def measure_growth(
    databases: Databases, redis_url: str, postgres_id: int, *, minutes_series: int, pace: Pace, console: Console
) -> list[GrowthFigures]:
    """What grows with what is asked for."""
    with serving_trove(trove_environment(databases, redis_url)) as trove:
        questions = [*_walks(trove), *_holdings(trove), *_columns(minutes_series), _list(ITEMS)]
        return _measure(trove, questions, postgres_id, pace, console)


def measure_many(
    databases: Databases, redis_url: str, postgres_id: int, *, pace: Pace, console: Console
) -> list[GrowthFigures]:
    """The list over a million items."""
    with serving_trove(trove_environment(databases, redis_url)) as trove:
        return _measure(trove, [_list(MILLION)], postgres_id, pace, console)


def _measure(
    trove: Server, questions: Sequence[Question], postgres_id: int, pace: Pace, console: Console
) -> list[GrowthFigures]:
    figures = []
    for question in questions:
        answer = ask(trove, question.body, *question.credentials)
        if b'"errors":' in answer:
            raise AssertionError(f"{question.workload}: Trove says {answer[:1_000]!r}")
        url, bodies, credentials = f"{trove.url}/graphql", [question.body], question.credentials
        drive(url, bodies, seconds=pace.warm_up_seconds, connections=1, credentials=credentials)
        round_ = run_round(trove, bodies, postgres_id, seconds=pace.seconds, connections=1, credentials=credentials)
        figures.append(
            GrowthFigures(
                question.workload,
                question.things,
                question.count,
                round_.p50,
                round_.p99,
                round_.server_cpu,
                round_.database_cpu,
                len(answer),
            )
        )
        console.print(
            f"  {question.workload}, {question.count:,} {question.things}: {round_.p50 / 1_000:,.2f} ms",
            highlight=False,
        )
    return figures


def _list(stored: int) -> Question:
    return Question("W1", STORED, stored, _body(documents.LIST))


def _walks(trove: Server) -> list[Question]:
    cursors = _cursors(trove, max(WALKED_ITEMS) // PAGE_SIZE)
    questions = []
    for items in WALKED_ITEMS:
        pages = items // PAGE_SIZE
        if pages <= 1:
            body = _body(documents.walks(items))
        else:
            variables = {f"after{number}": cursors[number - 1] for number in range(1, pages)}
            body = _body(documents.pages_of_walks(pages), **variables)
        questions.append(Question("W2a", "items asked for", items, body))
    return questions


def _holdings(trove: Server) -> list[Question]:
    credential = collector_credentials(LARGE_COLLECTOR).text
    portfolio_id = portfolio_public_id(LARGE_COLLECTOR)
    cursors: list[str] = []
    for _ in range(1, LARGE_HOLDINGS // PAGE_SIZE):
        body = _body(documents.HOLDING_CURSORS, id=portfolio_id, after=cursors[-1] if cursors else None)
        answer: dict[str, Any] = orjson.loads(ask(trove, body, credential))
        cursors.append(answer["data"]["node"]["holdings"]["pageInfo"]["endCursor"])
    questions = []
    for count in HOLDINGS:
        pages = max(1, count // PAGE_SIZE)
        variables = {f"after{number}": cursors[number - 1] for number in range(1, pages)}
        body = _body(documents.pages_of_holdings(pages, min(count, PAGE_SIZE)), id=portfolio_id, **variables)
        questions.append(Question("W2", "holdings asked for", count, body, [credential]))
    return questions


def _cursors(trove: Server, pages: int) -> list[str]:
    """The cursors behind which the second page and those after it begin."""
    cursors: list[str] = []
    for _ in range(1, pages):
        body = _body(documents.CURSORS, after=cursors[-1] if cursors else None)
        answer: dict[str, Any] = orjson.loads(ask(trove, body))
        cursors.append(answer["data"]["items"]["pageInfo"]["endCursor"])
    return cursors


def _columns(minutes_series: int) -> list[Question]:
    series_id = series_public_id(minutes_series)
    return [
        Question("W4 columns", "points", points, _body(documents.minutes(points), id=series_id)) for points in POINTS
    ]


def _body(document: str, **variables: object) -> bytes:
    return orjson.dumps({"query": document, "variables": variables})
