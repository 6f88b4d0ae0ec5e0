"""`python -m tests.bench.portfolios`: a portfolio of 10,000 holdings, timed where its statements run, in the database.

Each holding is of another item, in dollars, while the portfolio is in euros, so that every price is converted.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
import typer
from asyncpg.connection import Connection, LoggedQuery
from pydantic import SecretStr
from rich.console import Console

from app.cli.database import migrate_database
from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, create_engine
from app.core.embedded import PrivateServices
from app.core.events import EventBus
from app.core.ids import PublicIdTag, public_id
from app.core.jobs import JobQueue, connect_redis
from app.core.secrets import KeyRing
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.execution import Engine, Request
from app.graph.feeds import Feeds
from app.identity.scopes import Scope
from app.identity.services import identity_services
from app.identity.viewer import Caller, Viewer
from app.portfolios.commands.snapshots import make_snapshots
from tests.bench.data import Databases, drop_database, make_database, named

REPOSITORY = Path(__file__).resolve().parents[2]
DATABASE = "trove_bench_portfolios"
ITEMS = 20_000
HOLDINGS = 10_000
ROUNDS, QUICK_ROUNDS = 100, 5
SNAPSHOT_DAYS = 5
OWNER_ID = UUID("01a1fc00-0000-7000-8000-00000000b001")
PORTFOLIO_ID = UUID("01a1fc00-0000-7000-8000-00000000b002")
PORTFOLIO = public_id(PublicIdTag.PORTFOLIO, PORTFOLIO_ID)
# What is asked, and how long its statements may take, in milliseconds.
DOCUMENTS: Mapping[str, tuple[str, float]] = {
    "page of 100, with item and value": (
        """query ($id: ID!, $after: String) { node(id: $id) { ... on Portfolio {
          holdings(first: 100, after: $after) { pageInfo { endCursor } nodes {
            id quantity cost { amount } variant { name item { id slug name } }
            value { unitValue { amount } amount { amount } basis observedAt isStale gain { amount } gainShare }
          } } } } }""",
        30.0,
    ),
    "total value": (
        """query ($id: ID!) { node(id: $id) { ... on Portfolio {
          value { amount { amount } isPartial unpricedCount staleCount oldestObservedAt } } } }""",
        150.0,
    ),
    "allocation by kind": (
        """query ($id: ID!) { node(id: $id) { ... on Portfolio {
          allocation(by: KIND) { key value { amount } share } } } }""",
        300.0,
    ),
}


@dataclass(frozen=True, slots=True)
class PortfolioFigures:
    """What the statements of one document took, in milliseconds."""

    document: str
    queries: int
    p50: float
    p95: float
    allowed: float


async def measure_portfolios(databases: Databases, redis_url: str, *, rounds: int) -> list[PortfolioFigures]:
    """Ask each document so often, pages one after the other, each once before; and make some snapshots."""
    figures = []
    spent: list[float] = []

    def note(query: LoggedQuery) -> None:
        spent.append(query.elapsed * 1_000)

    async with _engine(databases, redis_url) as engine:
        database = engine.resources.database
        connection, driver = await database.lend()
        driver.add_query_logger(note)
        await database.take_back(connection, driver, is_broken=False)
        for document, (text, allowed) in DOCUMENTS.items():
            times, after = [], None
            for turn in range(rounds + 1):
                spent.clear()
                after = await _ask(engine, text, after)
                if turn:
                    times.append(sum(spent))
            hundredths = quantiles(times, n=100)
            figures.append(PortfolioFigures(document, rounds, hundredths[49], hundredths[94], allowed))
    return [*figures, await _measure_snapshots(databases, redis_url)]


async def _ask(engine: Engine, text: str, after: str | None) -> str | None:
    """Ask for the page behind a cursor; the cursor of its end."""
    viewer = Viewer(
        user_id=OWNER_ID, credential_id=OWNER_ID, scopes=frozenset({Scope.PORTFOLIOS_READ}), issued_at=utc_now()
    )
    operation = engine.prepare(Request(text, {"id": PORTFOLIO} | ({"after": after} if "$after" in text else {})))
    answer = await engine.run(operation, Caller(viewer))
    assert "errors" not in answer, answer["errors"]
    asked = orjson.loads(orjson.dumps(answer["data"]))["node"]
    return asked["holdings"]["pageInfo"]["endCursor"] if "holdings" in asked else None


async def _measure_snapshots(databases: Databases, redis_url: str) -> PortfolioFigures:
    settings = Settings(DATABASE_URL=databases.trove_url, REDIS_URL=redis_url)
    async with _database(settings, DatabaseRole.WORKER) as database, database.transaction() as transaction:
        now, times = utc_now(), []
        for _ in range(SNAPSHOT_DAYS):
            began = time.perf_counter()
            step = await make_snapshots(transaction, PORTFOLIO_ID, until=now.date(), now=now, days=1)
            assert step.made == 1
            times.append((time.perf_counter() - began) * 1_000)
    hundredths = quantiles(times, n=100)
    return PortfolioFigures("snapshot of a day", SNAPSHOT_DAYS, hundredths[49], hundredths[94], 1_000.0)


@asynccontextmanager
async def _database(settings: Settings, role: DatabaseRole) -> AsyncIterator[Database]:
    redis = connect_redis(str(settings.redis_url))
    engine = create_engine(str(settings.database_url), role=role, pool_size=2, application_name="bench-portfolios")
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    yield database
    await database.close()
    await redis.aclose()


@asynccontextmanager
async def _engine(databases: Databases, redis_url: str) -> AsyncIterator[Engine]:
    settings = Settings(
        DATABASE_URL=databases.trove_url, REDIS_URL=redis_url, secret_keys=SecretStr(KeyRing.fresh().text())
    )
    async with _database(settings, DatabaseRole.API) as database:
        feed = Feeds(database, database.events)
        yield Engine(Resources(database, settings, feed, identity_services(settings, database, database.events)))


async def make_possessions(connection: "Connection[Any]") -> None:
    """Fill a migrated database: items with two series each, half of them held, a third of those with a fair value."""
    for statement in _ROWS:
        await connection.execute(statement)
    await connection.execute("VACUUM ANALYZE")


_ROWS = (
    f"INSERT INTO identity.users (id, username) VALUES ('{OWNER_ID}', 'owner')",
    "INSERT INTO prices.sources (code, name) VALUES ('exchange', 'Exchange'), ('shop', 'Shop')",
    """INSERT INTO prices.exchange_rates (currency, rate_date, units_per_eur, source)
       SELECT 'USD', day, 1.0389, 'ECB'
       FROM generate_series(current_date - 400, current_date, interval '1 day') AS day""",
    f"""INSERT INTO catalogue.items (id, kind, slug, name)
        SELECT gen_random_uuid(), 'figure', 'held-' || n, 'Figure ' || n FROM generate_series(1, {ITEMS}) AS n""",
    "INSERT INTO catalogue.figures (item_id) SELECT id FROM catalogue.items",
    """INSERT INTO catalogue.item_variants (id, item_id, key, name, is_default)
       SELECT gen_random_uuid(), id, 'standard', 'Standard', true FROM catalogue.items""",
    """INSERT INTO prices.price_series
           (variant_id, source_id, kind, currency, latest_price, latest_observed_at, latest_arrival, has_points)
       SELECT variant.id, source.id, CASE source.code WHEN 'shop' THEN 'ask' ELSE 'market' END, 'USD',
           round(CAST(1 + 500 * random() AS numeric), 2), now() - 40 * random() * interval '1 day', 1, true
       FROM catalogue.item_variants AS variant CROSS JOIN prices.sources AS source""",
    """INSERT INTO prices.valuations (id, variant_id, currency, as_of, basis, value, median, sample_size, confidence,
           observed_at, excluded, excluded_count, explanation, computed_at, is_current)
       SELECT gen_random_uuid(), id, 'USD', now(), 'sales', 12.34, 12, 3, 'low', now(), '[]', 0, 'Sales.', now(), true
       FROM catalogue.item_variants WHERE abs(hashtext(CAST(id AS text))) % 3 = 0""",
    f"""INSERT INTO portfolios.portfolios (id, owner_id, name, base_currency)
        VALUES ('{PORTFOLIO_ID}', '{OWNER_ID}', 'Everything', 'EUR')""",
    f"""INSERT INTO portfolios.holdings (id, owner_id, portfolio_id, variant_id, position, quantity, cost)
        SELECT gen_random_uuid(), '{OWNER_ID}', '{PORTFOLIO_ID}', id,
            row_number() OVER (ORDER BY md5(CAST(id AS text))), 2, 20
        FROM catalogue.item_variants ORDER BY md5(CAST(id AS text)) LIMIT {HOLDINGS}""",
    f"""INSERT INTO portfolios.trades (id, owner_id, portfolio_id, holding_id, kind, occurred_at, quantity, price,
            currency, exchange_rate)
        SELECT gen_random_uuid(), owner_id, portfolio_id, id, 'buy', now() - interval '{SNAPSHOT_DAYS} days', 2, 10,
            'EUR', 1
        FROM portfolios.holdings""",
    """INSERT INTO portfolios.lots (id, owner_id, portfolio_id, holding_id, acquired_at, quantity, cost,
           remaining_quantity, remaining_cost)
       SELECT id, owner_id, portfolio_id, holding_id, occurred_at, 2, 20, 2, 20 FROM portfolios.trades""",
)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A few queries, only to see that everything works.")] = False,
    output: Annotated[Path, typer.Option(help="Where to write the figures.")] = Path("bench-portfolios.json"),
) -> None:
    """Measure a portfolio of 10,000 holdings over a database of its own."""
    console = Console(highlight=False)
    with PrivateServices(REPOSITORY / ".trove" / "bench-portfolios", durable=False) as addresses:
        databases = named(addresses.database_url, DATABASE)
        figures = asyncio.run(
            _prepared(named(addresses.database_url, "trove"), databases, addresses.redis_url, quick=quick)
        )
    for figure in figures:
        console.print(
            f"{figure.document}: p50 {figure.p50:.1f} ms, p95 {figure.p95:.1f} ms in the database "
            f"({figure.queries} queries; {figure.allowed:g} ms allowed)"
        )
    output.write_text(
        json.dumps(
            [{name: getattr(figure, name) for name in PortfolioFigures.__slots__} for figure in figures], indent=2
        )
    )


async def _prepared(server: Databases, databases: Databases, redis_url: str, *, quick: bool) -> list[PortfolioFigures]:
    await _over(server, lambda connection: make_database(connection, DATABASE))
    try:
        await asyncio.to_thread(migrate_database, Settings(DATABASE_URL=databases.trove_url))
        await _over(databases, make_possessions)
        return await measure_portfolios(databases, redis_url, rounds=QUICK_ROUNDS if quick else ROUNDS)
    finally:
        await _over(server, lambda connection: drop_database(connection, DATABASE))


async def _over(databases: Databases, work: Any) -> None:
    connection = await asyncpg.connect(databases.plain_url)
    try:
        await work(connection)
    finally:
        await connection.close()


if __name__ == "__main__":
    typer.run(main)
