"""A comparison is worth something only where both peers give the same answer."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from tests.bench import documents
from tests.bench.bare import LIST, POINT
from tests.bench.data import item_key
from tests.catalogue.builders import card, coin, figure, saved
from tests.conftest import Server
from tests.prices.builders import MONDAY, ingested, point


async def test_the_bare_peer_gives_what_the_graph_gives(database: Database, live_server: Server) -> None:
    ids = await saved(database, coin("gold"), card("ace"), figure("fox"))
    # The bare peer writes whole seconds, as all times in the bench are.
    minute_ago = utc_now().replace(microsecond=0) - timedelta(minutes=1)
    await ingested(
        database,
        point("gold", "12.50", at=minute_ago, kind="ask"),
        point("gold", "11.00", at=minute_ago, kind="sale", source="test-exchange", currency="EUR"),
        point("gold", "10.00", at=MONDAY, kind="sale"),
        point("ace", "3", at=MONDAY),
    )
    async with database.transaction() as transaction:
        listed = await _body(transaction.connection, LIST)
        gold = await _body(transaction.connection, POINT, ids["gold"])
        fox = await _body(transaction.connection, POINT, ids["fox"])

    assert listed == _asked(live_server, documents.LIST)
    assert gold == _asked(live_server, documents.POINT, public_id(PublicIdTag.ITEM, ids["gold"]))
    assert fox == _asked(live_server, documents.POINT, public_id(PublicIdTag.ITEM, ids["fox"]))
    assert gold["node"]["price"]["amount"] == "11.00"
    assert fox["node"]["price"] is None


def test_the_bare_peer_finds_the_key_behind_a_public_id() -> None:
    key = UUID(int=7)

    assert item_key(public_id(PublicIdTag.ITEM, key)) == key


async def _body(connection: AsyncConnection, statement: str, *arguments: UUID) -> Any:
    row = (await connection.exec_driver_sql(statement, arguments)).one()
    return orjson.loads(row[0])["data"]


def _asked(server: Server, document: str, item_id: str | None = None) -> Any:
    response = httpx.post(f"{server.url}/graphql", json={"query": document, "variables": {"id": item_id}})
    return response.raise_for_status().json()["data"]
