"""Who is measured by the reads: Trove, and four others over the same database, each in a process of its own."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum

from tests.bench import postgraphile
from tests.bench.data import Databases
from tests.bench.processes import Server, serving, serving_command
from tests.identity.builders import KEY_RING

POOL_SIZE = 20


class Peer(StrEnum):
    """By what name a peer is shown."""

    TROVE = "Trove"
    RESOLVERS = "Trove, resolvers"
    PLAIN = "plain Strawberry"
    POSTGRAPHILE = "PostGraphile 5"
    BARE = "bare endpoint"


@dataclass(frozen=True, slots=True)
class RunningPeers:
    """The peers that run, and why those that do not were left out."""

    servers: Mapping[Peer, Server]
    left_out: Mapping[Peer, str]


@contextmanager
def all_peers(databases: Databases, redis_url: str) -> Iterator[RunningPeers]:
    """Every peer that is installed, ended with the block."""
    trove = trove_environment(databases, redis_url)
    others = {"BENCH_DATABASE_URL": databases.plain_url, "TROVE_DATABASE_POOL_SIZE": str(POOL_SIZE)}
    left_out: dict[Peer, str] = {}
    with ExitStack() as stack:
        servers = {
            Peer.TROVE: stack.enter_context(serving_trove(trove)),
            Peer.RESOLVERS: stack.enter_context(serving_trove({**trove, "TROVE_READS": "resolvers"})),
            Peer.PLAIN: stack.enter_context(serving("tests.bench.plain", environment=others)),
            Peer.BARE: stack.enter_context(serving("tests.bench.bare", environment=others)),
        }
        command = postgraphile.command()
        if command is None:
            left_out[Peer.POSTGRAPHILE] = postgraphile.HOW_TO_INSTALL
        else:
            production = {**others, "NODE_ENV": "production", "GRAPHILE_ENV": "production"}
            try:
                servers[Peer.POSTGRAPHILE] = stack.enter_context(serving_command(command, environment=production))
            except (OSError, TimeoutError) as error:
                left_out[Peer.POSTGRAPHILE] = f"it did not start: {error}"
        yield RunningPeers({peer: servers[peer] for peer in Peer if peer in servers}, left_out)


@contextmanager
def serving_trove(environment: Mapping[str, str]) -> Iterator[Server]:
    """Trove's API, ready to answer."""
    with serving("app.cli.main", "api", environment=environment) as server:
        yield server


def trove_environment(databases: Databases, redis_url: str, **more: str) -> dict[str, str]:
    """The environment of Trove's own processes: production, over the bench's database."""
    return {
        "DATABASE_URL": databases.trove_url,
        "REDIS_URL": redis_url,
        "TROVE_ENVIRONMENT": "production",
        "TROVE_DATABASE_POOL_SIZE": str(POOL_SIZE),
        "TROVE_LOG_LEVEL": "WARNING",
        "TROVE_SECRET_KEYS": KEY_RING.text(),
        **more,
    }
