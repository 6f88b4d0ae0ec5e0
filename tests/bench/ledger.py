"""The ledger: recomputing 100,000 trades of one holding, and paging through a portfolio of 1,000,000."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

import orjson
from asyncpg.connection import Connection
from pydantic import SecretStr

from app.core.database import Database, DatabaseRole, DatabaseViewer, create_engine
from app.core.events import EventBus
from app.core.ids import PublicIdTag, public_id
from app.core.jobs import JobQueue, connect_redis
from app.core.secrets import KeyRing
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.execution import Engine, Request
from app.graph.feeds import Feeds
from app.identity.scopes import OWN
from app.identity.services import identity_services
from app.identity.viewer import Caller, Viewer
from app.portfolios.commands.recompute import recompute_holdings
from tests.bench.data import Databases

LEDGER_DATABASE = "trove_bench_ledger"
TRADES_OF_ONE = 100_000
TRADES_IN_ALL = 1_000_000
OWNER_ID, PORTFOLIO_ID, ONE_HOLDING_ID = UUID(int=1), UUID(int=2), UUID(int=3)
PAGES, QUICK_PAGES = 50, 10
RECOMPUTES, QUICK_RECOMPUTES = 3, 1
# The middle of the trades, which are a minute apart.
MIDDLE = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=TRADES_IN_ALL // 2)
PAGE = """
query ($id: ID!, $after: String, $filter: TradeFilter) {
  node(id: $id) {
    ... on Portfolio {
      trades(first: 100, after: $after, filter: $filter) {
        edges { cursor node { kind occurredAt quantity price { amount currency } fee { amount } notes } }
      }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """Seconds for one recompute, and milliseconds for a page of 100 in this process, without a transport."""

    trades_of_one: int
    recompute_seconds: float
    trades_in_all: int
    first_page_milliseconds: float
    deep_page_milliseconds: float


async def measure_ledger(databases: Databases, redis_url: str, *, recomputes: int, pages: int) -> LedgerFigures:
    """The medians over so many recomputes and pages; each page is asked once before."""
    viewer = Viewer(user_id=OWNER_ID, scopes=OWN)
    async with _engine(databases, redis_url) as (database, engine):
        first = await _ask(engine, viewer, None, None)
        middle = await _ask(engine, viewer, None, {"to": MIDDLE.isoformat()})
        deep = middle["edges"][-1]["cursor"]
        if len(first["edges"]) != len(middle["edges"]):
            raise RuntimeError("a page is not as long as the others")
        return LedgerFigures(
            TRADES_OF_ONE,
            median([await _recompute(database) for _ in range(recomputes)]),
            TRADES_IN_ALL,
            median([await _timed_page(engine, viewer, None) for _ in range(pages)]),
            median([await _timed_page(engine, viewer, deep) for _ in range(pages)]),
        )


async def make_traded_rows(connection: "Connection[Any]") -> None:
    """Fill a migrated database with one person's trades: of one holding, and of 900 others."""
    for statement in _ROWS:
        await connection.execute(statement)
    await connection.execute("VACUUM ANALYZE")


async def _recompute(database: Database) -> float:
    began = time.perf_counter()
    async with database.transaction(viewer=DatabaseViewer(OWNER_ID)) as transaction:
        await recompute_holdings(transaction.connection, [ONE_HOLDING_ID])
    return time.perf_counter() - began


async def _timed_page(engine: Engine, viewer: Viewer, after: str | None) -> float:
    began = time.perf_counter()
    await _ask(engine, viewer, after, None)
    return (time.perf_counter() - began) * 1_000


async def _ask(engine: Engine, viewer: Viewer, after: str | None, filter: dict[str, str] | None) -> Any:
    variables = {"id": public_id(PublicIdTag.PORTFOLIO, PORTFOLIO_ID), "after": after, "filter": filter}
    response = await engine.run(engine.prepare(Request(PAGE, variables)), Caller(viewer))
    answer = orjson.loads(orjson.dumps(response))
    if "errors" in answer:
        raise RuntimeError(f"a page was refused: {answer['errors']}")
    return answer["data"]["node"]["trades"]


@asynccontextmanager
async def _engine(databases: Databases, redis_url: str) -> AsyncIterator[tuple[Database, Engine]]:
    settings = Settings(
        DATABASE_URL=databases.trove_url,
        REDIS_URL=redis_url,
        environment="development",
        secret_keys=SecretStr(KeyRing.fresh().text()),
    )
    redis = connect_redis(redis_url)
    events = EventBus(redis)
    pool = create_engine(databases.trove_url, role=DatabaseRole.API, pool_size=2, application_name="bench-ledger")
    database = Database(pool, jobs=JobQueue(redis), events=events)
    identity = identity_services(settings, database, events)
    yield database, Engine(Resources(database, settings, Feeds(database, events), identity))
    await identity.stop()
    await database.close()
    await redis.aclose()


_HOLDING = f"""
    INSERT INTO portfolios.holdings (id, owner_id, portfolio_id, variant_id, position)
    SELECT lpad(to_hex(number + 2), 32, '0')::uuid, '{OWNER_ID}', '{PORTFOLIO_ID}', '{UUID(int=5)}', number
    FROM generate_series(1, 901) AS number
"""
# Of each ten trades seven buy and three sell a part of that, at prices and with fees that do not divide evenly.
_TRADES = f"""
    INSERT INTO portfolios.trades
        (id, owner_id, portfolio_id, holding_id, kind, occurred_at, quantity, price, fee, currency, exchange_rate)
    SELECT lpad(to_hex(number), 32, '0')::uuid, '{OWNER_ID}', '{PORTFOLIO_ID}',
        lpad(to_hex(CASE WHEN number % 10 = 0 THEN 3 ELSE 4 + number / 1112 % 900 END), 32, '0')::uuid,
        CASE WHEN number / 10 % 10 IN (3, 6, 9) THEN 'sell' ELSE 'buy' END,
        timestamptz '2020-01-01 00:00Z' + number * interval '1 minute',
        1 + number % 7 * 0.1, 100 + number % 997 * 0.37, 0.01, 'EUR', 1.0813
    FROM generate_series(1, {TRADES_IN_ALL}) AS number
"""
_ROWS = (
    f"INSERT INTO identity.users (id, username) VALUES ('{OWNER_ID}', 'bench')",
    f"INSERT INTO catalogue.items (id, kind, slug, name) VALUES ('{UUID(int=4)}', 'coin', 'traded', 'Traded')",
    f"""
    INSERT INTO catalogue.item_variants (id, item_id, key, name, is_default)
    VALUES ('{UUID(int=5)}', '{UUID(int=4)}', 'default', 'Default', true)
    """,
    f"""
    INSERT INTO portfolios.portfolios (id, owner_id, name, base_currency)
    VALUES ('{PORTFOLIO_ID}', '{OWNER_ID}', 'Bench', 'USD')
    """,
    _HOLDING,
    _TRADES,
)
