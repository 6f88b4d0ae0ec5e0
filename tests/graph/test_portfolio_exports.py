"""A portfolio is written into a file by a worker, fetched by a link, and comes in again as it was."""

import asyncio
import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, insert, select, update
from starlette.applications import Starlette

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, parse_public_id, public_id
from app.doors.portfolio_exports import routes
from app.graph.execution import Engine
from app.identity.viewer import Viewer
from app.portfolios.commands import portfolio_exports
from app.portfolios.commands.portfolio_exports import (
    MAXIMUM_ATTEMPTS,
    MOST_AT_ONCE,
    expire_portfolio_exports,
    link_query,
    next_export,
    note_export_failure,
)
from app.portfolios.commands.preview_import import FileToImport
from app.portfolios.exported_rows import COLUMNS
from app.portfolios.imports.mappings import FileSource, mapping_of
from app.portfolios.models import (
    ExportedRows,
    Holding,
    HoldingDetails,
    PortfolioExport,
    PortfolioExportStatus,
    TradeKind,
)
from tests.graph.conftest import Graph
from tests.identity.builders import SECRETS, session_of
from tests.portfolios.builders import Possessions, buy, change, portfolio_of, possessions, recorded, said, sell
from tests.portfolios.import_builders import applied
from workers.portfolio_exports import write_exports

START = """
mutation ($input: StartPortfolioExportInput!) {
  startPortfolioExport(input: $input) { export { id status rowsDone url } userErrors { field code } }
}
"""
SHOWN = """
query ($id: ID!) {
  portfolioExport(id: $id) { status format what rowsDone rowsTotal contentBytes url expiresAt portfolio { id } }
}
"""


@pytest.fixture
def graph(graph: Graph) -> Graph:
    """The graph of a server that knows its own address."""
    resources = graph.engine.resources
    identity = replace(resources.identity, public_url="https://trove.example", secrets=SECRETS)
    return Graph(Engine(replace(resources, identity=identity)))


@pytest.fixture
async def own(database: Database) -> Possessions:
    """A portfolio with trades of every kind, in two holdings of one variant."""
    own = await possessions(database)
    await recorded(
        database,
        own,
        buy("3", "33.333333333333333333", fee="0.1", notes="=SUM(A1)", tags=["long", "-x"], exchange="@shop"),
        buy("0.000000000000000001", "1000000000000000", day=1, currency="EUR", exchange_rate=Decimal("1.0987654321")),
        sell("1.5", "50", day=2, fee="2"),
        said(TradeKind.TRANSFER_OUT, "0.25", day=3),
        said(TradeKind.FEE, "0", fee="3", day=4),
        sell("9", "1", day=5, may_lack_acquisitions=True),
    )
    second = new_id()
    async with database.transaction() as transaction:
        values = {"id": second, "owner_id": own.owner_id, "portfolio_id": own.portfolio_id}
        await transaction.connection.execute(insert(Holding).values(**values, variant_id=own.variant_id, position=1))
        details = {"holding_id": second, "owner_id": own.owner_id, "portfolio_id": own.portfolio_id}
        await transaction.connection.execute(insert(HoldingDetails).values(**details, condition="mint", place="+safe"))
    await recorded(database, own, buy("7", "1", day=6, holding_id=second))
    return own


@pytest.fixture
async def viewer(api_database: Database, own: Possessions) -> Viewer:
    """Its owner."""
    return await session_of(api_database, own.owner_id)


async def start(
    graph: Graph, viewer: Viewer, own: Possessions, what: str = "TRADES", format_: str = "CSV", **more: Any
) -> Any:
    """The payload of an export that was asked for."""
    portfolio_id = public_id(PublicIdTag.PORTFOLIO, own.portfolio_id)
    values = {"portfolioId": portfolio_id, "what": what, "format": format_} | more
    return (await graph.ask(START, viewer, input=values))["startPortfolioExport"]


async def fetched(database: Database, url: str) -> httpx.Response:
    """What a link gives, at the door over the API's role."""

    class Identity:
        """What the door asks of identity."""

        secrets = SECRETS

    application = Starlette(routes=routes())
    application.state.database = database
    application.state.identity = Identity()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://trove") as client:
        parts = urlsplit(url)
        return await client.get(f"{parts.path}?{parts.query}")


async def written(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database, api_database: Database, *asked: str
) -> httpx.Response:
    """The file of an export that was asked for and written."""
    export = (await start(graph, viewer, own, *asked))["export"]
    assert await write_exports(database, SECRETS) == 1
    shown = (await graph.ask(SHOWN, viewer, id=export["id"]))["portfolioExport"]
    assert shown["status"] == "READY"
    answer = await fetched(api_database, shown["url"])
    assert answer.status_code == 200
    assert len(answer.content) == shown["contentBytes"]
    return answer


async def ledger(database: Database, portfolio_id: UUID) -> list[Any]:
    """What is held, without the ids."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(Holding.quantity, Holding.cost, Holding.realized_gain, Holding.missing_quantity)
            .where(Holding.portfolio_id == portfolio_id)
            .order_by(Holding.quantity, Holding.id)
        )
        return [tuple(row) for row in rows]


async def test_an_export_waits_for_a_worker_and_is_fetched_by_its_link(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database, api_database: Database
) -> None:
    started = (await start(graph, viewer, own))["export"]
    assert started | {"id": ""} == {"id": "", "status": "WAITING", "rowsDone": 0, "url": None}
    assert await write_exports(database, SECRETS) == 1
    shown = (await graph.ask(SHOWN, viewer, id=started["id"]))["portfolioExport"]
    assert (shown["status"], shown["rowsDone"], shown["rowsTotal"]) == ("READY", 7, 7)
    assert shown["url"].startswith(f"https://trove.example/portfolio-exports/{started['id']}?expires=")
    answer = await fetched(api_database, shown["url"])
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="trove-trades-2')
    assert answer.headers["cache-control"] == "no-store"
    # What is stored can be read by nobody without the keys.
    async with database.transaction() as transaction:
        sealed = await transaction.connection.scalar(select(PortfolioExport.content))
    assert sealed is not None
    assert b"aurum" not in sealed


async def test_trades_come_in_again_as_the_same_ledger(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database, api_database: Database
) -> None:
    content = (await written(graph, viewer, own, database, api_database)).content
    file = FileToImport(content=content, source=FileSource.TROVE)
    async with database.transaction() as transaction:
        elsewhere = await portfolio_of(transaction.connection, own.owner_id)
    await applied(database, Possessions(own.owner_id, elsewhere, own.variant_id), file)
    assert await ledger(database, elsewhere) == await ledger(database, own.portfolio_id)
    assert len(await ledger(database, elsewhere)) == 2
    # And to where they are they bring nothing new.
    before = await ledger(database, own.portfolio_id)
    await applied(database, own, file)
    assert await ledger(database, own.portfolio_id) == before
    copied = Possessions(own.owner_id, elsewhere, own.variant_id)
    await applied(database, copied, file)
    assert await ledger(database, elsewhere) == before


async def test_cells_are_exact_and_no_formulas(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database, api_database: Database
) -> None:
    answer = await written(graph, viewer, own, database, api_database)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows[0]["notes"] == "'=SUM(A1)"
    assert (rows[0]["exchange"], rows[0]["tags"]) == ("'@shop", "long|-x")
    assert rows[0]["price"] == "33.333333333333333333"
    assert (rows[1]["quantity"], rows[1]["price"]) == ("0.000000000000000001", "1000000000000000")
    assert (rows[1]["exchange_rate"], rows[1]["rate_currency"]) == ("1.0987654321", "USD")
    assert (rows[0]["exchange_rate"], rows[0]["rate_currency"]) == ("", "")
    assert all(not cell.startswith(tuple("=+-@")) for row in rows for cell in row.values())
    known = {name for names in mapping_of(FileSource.TROVE).columns.values() for name in names}
    assert set(COLUMNS[ExportedRows.TRADES]) <= known


async def test_holdings_are_written_as_lines_of_json_with_their_details(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database, api_database: Database
) -> None:
    answer = await written(graph, viewer, own, database, api_database, "HOLDINGS", "JSONL")
    assert answer.headers["content-type"] == "application/jsonl"
    first, second = [json.loads(line) for line in answer.text.splitlines()]
    assert (first["item"], first["quantity"], first["missing_quantity"]) == ("aurum", "0", "7.749999999999999999")
    assert (second["quantity"], second["cost"], second["currency"]) == ("7", "7", "USD")
    assert (second["condition"], second["place"]) == ("mint", "+safe")


async def test_a_link_that_was_changed_or_is_over_leads_nowhere(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database, api_database: Database
) -> None:
    export = (await start(graph, viewer, own))["export"]
    parsed = parse_public_id(export["id"])
    assert parsed is not None
    assert isinstance(parsed[1], UUID)
    address = f"/portfolio-exports/{export['id']}"

    async def status(query: dict[str, str], path: str = address) -> int:
        return (await fetched(api_database, f"{path}?{httpx.QueryParams(query)}")).status_code

    good = link_query(SECRETS, parsed[1], now=utc_now())
    assert await status(good) == 404
    await write_exports(database, SECRETS)
    assert await status(good) == 200
    assert await status(good | {"expires": str(int(good["expires"]) + 1)}) == 404
    assert await status(good | {"signature": "ä"}) == 404
    assert await status({}) == 404
    assert await status(link_query(SECRETS, parsed[1], now=utc_now() - timedelta(minutes=31))) == 404
    other = public_id(PublicIdTag.PORTFOLIO_EXPORT, new_id())
    assert await status(good, f"/portfolio-exports/{other}") == 404
    assert await status(good, "/portfolio-exports/x") == 404
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(PortfolioExport).values(expires_at=func.now()))
        assert await expire_portfolio_exports(transaction) == 1
    assert await status(good) == 404
    assert (await graph.ask(SHOWN, viewer, id=export["id"]))["portfolioExport"]["status"] == "EXPIRED"


async def test_what_cannot_be_written_is_tried_again_and_given_up(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database
) -> None:
    await start(graph, viewer, own)
    for attempt in range(1, MAXIMUM_ATTEMPTS + 1):
        taken = await change(database, next_export)
        assert taken.attempts == attempt
        assert await change(database, next_export) is None
        status = await change(database, note_export_failure, taken, "Broken")
    assert status is PortfolioExportStatus.FAILED
    assert await write_exports(database, SECRETS) == 0


async def test_so_many_exports_are_written_at_once_and_of_ones_own_alone(
    graph: Graph, viewer: Viewer, own: Possessions
) -> None:
    for _ in range(MOST_AT_ONCE):
        assert (await start(graph, viewer, own))["userErrors"] == []
    assert (await start(graph, viewer, own))["userErrors"] == [{"field": [], "code": "TOO_MANY"}]
    nobodys = Possessions(own.owner_id, new_id(), own.variant_id)
    assert (await start(graph, viewer, nobodys))["userErrors"] == [
        {"field": ["input", "portfolioId"], "code": "NOT_FOUND"}
    ]


async def test_exports_that_are_asked_for_at_once_are_counted_one_after_the_other(
    graph: Graph, viewer: Viewer, own: Possessions
) -> None:
    payloads = await asyncio.gather(*(start(graph, viewer, own) for _ in range(MOST_AT_ONCE + 3)))
    assert sum(payload["export"] is not None for payload in payloads) == MOST_AT_ONCE


async def test_so_many_exports_are_kept(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portfolio_exports, "MOST_KEPT", 2)
    for _ in range(2):
        assert (await start(graph, viewer, own))["userErrors"] == []
        await write_exports(database, SECRETS)
    assert (await start(graph, viewer, own))["userErrors"] == [{"field": [], "code": "TOO_MANY"}]
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(PortfolioExport).values(expires_at=func.now()))
        await expire_portfolio_exports(transaction)
    assert (await start(graph, viewer, own))["userErrors"] == []


async def test_a_repeat_under_the_same_key_gives_the_first_export(
    graph: Graph, viewer: Viewer, own: Possessions
) -> None:
    first, again = [await start(graph, viewer, own, idempotencyKey="once") for _ in range(2)]
    assert first["export"]["id"] == again["export"]["id"]
    other = await start(graph, viewer, own, "HOLDINGS", idempotencyKey="once")
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]


async def test_what_ends_its_workers_is_given_up(
    graph: Graph, viewer: Viewer, own: Possessions, database: Database
) -> None:
    export = (await start(graph, viewer, own))["export"]
    for _ in range(MAXIMUM_ATTEMPTS):
        assert await change(database, next_export) is not None
        async with database.transaction() as transaction:
            await transaction.connection.execute(update(PortfolioExport).values(next_attempt_at=func.now()))
    assert await change(database, next_export) is None
    assert (await graph.ask(SHOWN, viewer, id=export["id"]))["portfolioExport"]["status"] == "FAILED"
