"""What the reads are measured by: the bodies that each peer is sent, and how its answers are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from tests.bench import documents, postgraphile
from tests.bench.data import (
    COLLECTORS,
    ITEMS,
    collector_credentials,
    collector_key,
    item_key,
    item_public_id,
    portfolio_key,
    portfolio_public_id,
    series_key,
    series_public_id,
)
from tests.bench.load import CONNECTIONS
from tests.bench.peers import Peer, RunningPeers
from tests.bench.processes import Server

# A prime, so that the ids that follow one another lie far apart.
STRIDE = 1_597
DISTINCT_IDS = 1_000
ALL_COMPARED = 20
ROWS, COLUMNS = "W4 rows", "W4 columns"


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked: bodies that follow one another, in the words of each peer that takes part.

    `as_trove` puts an answer of PostGraphile into the words of Trove's graph. Answers of a megabyte are asked for over
    one connection, so that their times are those of one chart.
    """

    name: str
    meaning: str
    bodies: Mapping[Peer, Sequence[bytes]]
    as_trove: Callable[[Any], Any] | None = None
    connections: int = CONNECTIONS
    # Of what is private: one of each body's owner, as Trove takes it, and as those do that trust whoever asks.
    trove_credentials: Sequence[str] = ()
    trusted_credentials: Sequence[str] = ()

    def credentials_of(self, peer: Peer) -> Sequence[str]:
        """What goes with each body that this peer is sent; nothing with what everybody may see."""
        return self.trove_credentials if peer in (Peer.TROVE, Peer.RESOLVERS) else self.trusted_credentials


def workloads(hours_series: int) -> list[Workload]:
    """The reads of the promises; the candles are those of the series with this key."""
    ids = [item_public_id(1 + number * STRIDE % ITEMS) for number in range(DISTINCT_IDS)]
    series_id = series_public_id(hours_series)
    return [
        _workload(
            "W1",
            "a list of 50 items with their prices",
            [_body(documents.LIST)],
            [_body(documents.POSTGRAPHILE_LIST)],
            postgraphile.list_as_trove,
        ),
        _workload(
            "W2a",
            "100 walks from item to variant to series to latest price, of 16 leaves each",
            [_body(documents.WALK)],
            [_body(documents.POSTGRAPHILE_WALK)],
            postgraphile.walk_as_trove,
        ),
        _portfolios(),
        _workload(
            "W3",
            "one item by id, with its price",
            [_body(documents.POINT, id=item_id) for item_id in ids],
            [_body(documents.POSTGRAPHILE_POINT, rowId=str(item_key(item_id))) for item_id in ids],
            postgraphile.point_as_trove,
        ),
        _workload(
            ROWS,
            "8,760 candles of an hour as rows",
            [_body(documents.CANDLES, id=series_id)],
            [_body(documents.POSTGRAPHILE_CANDLES, seriesId=series_key(series_id))],
            postgraphile.candles_as_trove,
            connections=1,
        ),
        Workload(
            COLUMNS,
            "the same as columns",
            {peer: [_body(documents.CANDLE_COLUMNS, id=series_id)] for peer in (Peer.TROVE, Peer.RESOLVERS, Peer.BARE)},
            connections=1,
        ),
    ]


def _workload(
    name: str,
    meaning: str,
    bodies: Sequence[bytes],
    postgraphile_bodies: Sequence[bytes],
    as_trove: Callable[[Any], Any],
    connections: int = CONNECTIONS,
) -> Workload:
    return Workload(
        name,
        meaning,
        {peer: postgraphile_bodies if peer is Peer.POSTGRAPHILE else bodies for peer in Peer},
        as_trove,
        connections,
    )


def _portfolios() -> Workload:
    collectors = range(1, COLLECTORS + 1)
    keys = [portfolio_key(number) for number in collectors]
    of_trove = [_body(documents.HOLDINGS, id=portfolio_public_id(number)) for number in collectors]
    of_postgraphile = [_body(documents.POSTGRAPHILE_HOLDINGS, rowId=str(key)) for key in keys]
    return Workload(
        "W2",
        "a portfolio and 100 walks from holding to variant to item to best price, of 16 leaves each",
        {peer: of_postgraphile if peer is Peer.POSTGRAPHILE else of_trove for peer in Peer},
        postgraphile.holdings_as_trove,
        trove_credentials=[collector_credentials(number).text for number in collectors],
        trusted_credentials=[str(collector_key(number)) for number in collectors],
    )


def _body(document: str, **variables: object) -> bytes:
    return orjson.dumps({"query": document, "variables": variables})


def require_equal_answers(workload: Workload, running: RunningPeers) -> dict[Peer, int]:
    """The length of each peer's answer, once all have said the same to some of the bodies."""
    sizes: dict[Peer, int] = {}
    expected: list[Any] = []
    for peer, bodies in workload.bodies.items():
        if peer not in running.servers:
            continue
        credentials = [*workload.credentials_of(peer)[:ALL_COMPARED], *[None] * ALL_COMPARED]
        answers = [
            ask(running.servers[peer], body, credential)
            for body, credential in zip(bodies[:ALL_COMPARED], credentials, strict=False)
        ]
        sizes[peer] = len(answers[-1])
        said = [_said(workload, peer, answer) for answer in answers]
        expected = expected or said
        for right, wrong in zip(expected, said, strict=True):
            if right != wrong:
                raise AssertionError(
                    f"{workload.name}: Trove says {str(right)[:1_000]}, but {peer} says {str(wrong)[:1_000]}"
                )
    return sizes


def ask(server: Server, body: bytes, credential: str | None = None) -> bytes:
    """The answer to one body."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential}"
    return httpx.post(f"{server.url}/graphql", content=body, headers=headers, timeout=30).raise_for_status().content


def _said(workload: Workload, peer: Peer, answer: bytes) -> Any:
    said = orjson.loads(answer)
    if "errors" in said or not said["data"]:
        raise AssertionError(f"{workload.name}: {peer} says {answer[:1_000]!r}")
    return workload.as_trove(said) if peer is Peer.POSTGRAPHILE and workload.as_trove else said
