"""A comparison is worth something only where all peers give the same answer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from sqlalchemy import insert, make_url, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.catalogue.models import ItemVariant
from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole
from app.core.ids import PublicIdTag, new_id, public_id
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.models import ApiToken
from app.identity.scopes import Scope
from app.identity.tokens import new_token
from app.ingestion.models import BatchKind
from app.portfolios.models import Holding, Portfolio
from tests.bench import documents, plain, postgraphile
from tests.bench.asgi import create_pool
from tests.bench.bare import ANSWERS
from tests.bench.data import item_key, series_key, series_public_id
from tests.catalogue.builders import card, coin, figure, saved
from tests.conftest import Server
from tests.identity.builders import add_person
from tests.prices.builders import MONDAY, candle, ingested, point

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Peers:
    """Everybody over one database."""

    trove: Server
    pool: "asyncpg.Pool[Any]"

    def asked(self, document: str, id: str | None = None, *, token: str | None = None) -> Any:
        """What Trove says, without what it adds in development."""
        response = httpx.post(
            f"{self.trove.url}/graphql",
            json={"query": document, "variables": _variables(id)},
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        return {"data": response.raise_for_status().json()["data"]}

    async def bare(self, document: str, id: str | None = None, *, viewer_id: UUID | None = None) -> Any:
        """What the bare endpoint says."""
        answer = ANSWERS[document]
        key = [] if id is None or answer.key is None else [answer.key(id)]
        viewer = [viewer_id] if answer.is_private else []
        return orjson.loads(await self.pool.fetchval(answer.statement, *key, *viewer) or "null")

    async def plain(self, document: str, id: str | None = None, *, viewer_id: UUID | None = None) -> Any:
        """What plain Strawberry says."""
        result = await plain.schema.execute(
            document, variable_values=_variables(id), context_value=plain.Loaders(self.pool, viewer_id)
        )
        assert not result.errors
        return {"data": orjson.loads(orjson.dumps(result.data))}


def _variables(id: str | None) -> dict[str, str]:
    return {} if id is None else {"id": id}


@pytest.fixture
async def peers(database_url: str, live_server: Server) -> AsyncIterator[Peers]:
    """Trove, and the pool of the others."""
    plain_url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with create_pool(plain_url, pool_size=2, role=DatabaseRole.WORKER) as pool:
        yield Peers(live_server, pool)


async def test_the_peers_give_the_same_lists_and_items(database: Database, peers: Peers) -> None:
    ids = await saved(database, coin("gold"), card("ace"), figure("fox"))
    # The bare peer writes whole seconds, as all times in the bench are.
    minute_ago = utc_now().replace(microsecond=0) - timedelta(minutes=1)
    await ingested(
        database,
        point("gold", "12.50", at=minute_ago, kind="ask"),
        point("gold", "11.00", at=minute_ago, kind="sale", source="test-exchange", currency="EUR"),
        point("gold", "10.00", at=MONDAY, kind="sale", quantity="2"),
        point("ace", "3", at=MONDAY),
    )
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text("UPDATE catalogue.items SET created_at = date_trunc('second', created_at)")
        )

    for document in (documents.LIST, documents.WALK):
        expected = peers.asked(document)
        assert await peers.bare(document) == expected
        assert await peers.plain(document) == expected
    for slug, amount in (("gold", "11.00"), ("fox", None)):
        item_id = public_id(PublicIdTag.ITEM, ids[slug])
        expected = peers.asked(documents.POINT, item_id)
        assert await peers.bare(documents.POINT, item_id) == expected
        assert await peers.plain(documents.POINT, item_id) == expected
        assert (expected["data"]["node"]["price"] or {}).get("amount") == amount


async def test_the_peers_give_the_same_portfolio_to_its_owner_alone(
    database: Database, owner: AsyncEngine, peers: Peers
) -> None:
    ids = await saved(database, coin("gold"), card("ace"))
    await ingested(database, point("gold", "12.50", at=utc_now().replace(microsecond=0) - timedelta(minutes=1)))
    token = new_token(API_TOKEN)
    async with owner.begin() as connection:
        await connection.execute(text("UPDATE catalogue.items SET created_at = date_trunc('second', created_at)"))
        rows = await connection.execute(select(ItemVariant.item_id, ItemVariant.id))
        variants = {row.item_id: row.id for row in rows}
        user_id, portfolio_id = await add_person(connection), new_id()
        scopes = [Scope.ACCOUNT_READ.value, Scope.PORTFOLIOS_READ.value]
        await connection.execute(
            insert(ApiToken).values(
                user_id=user_id, name="Bench", prefix=token.shown_prefix, token_hash=token.hash, scopes=scopes
            )
        )
        await connection.execute(
            insert(Portfolio).values(id=portfolio_id, owner_id=user_id, name='My "best"', base_currency="USD")
        )
        for place, slug in enumerate(("ace", "gold")):
            await connection.execute(
                insert(Holding).values(
                    owner_id=user_id,
                    portfolio_id=portfolio_id,
                    variant_id=variants[ids[slug]],
                    position=place,
                    quantity=Decimal("1.50"),
                )
            )

    public = public_id(PublicIdTag.PORTFOLIO, portfolio_id)
    expected = peers.asked(documents.HOLDINGS, public, token=token.text)

    assert [node["variant"]["item"]["slug"] for node in expected["data"]["node"]["holdings"]["nodes"]] == [
        "ace",
        "gold",
    ]
    assert await peers.bare(documents.HOLDINGS, public, viewer_id=user_id) == expected
    assert await peers.plain(documents.HOLDINGS, public, viewer_id=user_id) == expected
    assert await peers.bare(documents.HOLDINGS, public, viewer_id=new_id()) is None
    assert await peers.plain(documents.HOLDINGS, public) == {"data": {"node": None}}


async def test_the_peers_give_the_same_candles(database: Database, peers: Peers) -> None:
    await saved(database, coin("gold"))
    await ingested(
        database,
        candle("gold", MONDAY, HOUR, "10 12.50 9 11", volume="3"),
        candle("gold", MONDAY + HOUR, HOUR, "11 11 8.25 9"),
        kind=BatchKind.CANDLES,
    )
    series_id = series_public_id(await peers.pool.fetchval("SELECT id FROM prices.price_series"))

    rows = peers.asked(documents.CANDLES, series_id)

    assert len(rows["data"]["node"]["candles"]) == 2
    assert await peers.bare(documents.CANDLES, series_id) == rows
    assert await peers.plain(documents.CANDLES, series_id) == rows
    assert await peers.bare(documents.CANDLE_COLUMNS, series_id) == peers.asked(documents.CANDLE_COLUMNS, series_id)


def test_the_bare_peer_finds_the_keys_behind_public_ids() -> None:
    assert item_key(public_id(PublicIdTag.ITEM, UUID(int=7))) == UUID(int=7)
    assert series_key(series_public_id(70_000)) == 70_000


def test_postgraphile_is_understood_in_the_words_of_the_graph() -> None:
    price = {"amount": "11.00", "currency": "EUR", "source": "test-exchange"}
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    said = {
        "rowId": str(UUID(int=7)),
        "name": "Gold",
        "slug": "gold",
        "imageUrl": None,
        "bestPrice": {"nodes": [{**price, "kind": "sale", "observedAt": time.isoformat(timespec="microseconds")}]},
    }

    assert postgraphile.point_as_trove({"data": {"itemByRowId": said}}) == {
        "data": {
            "node": {
                "id": public_id(PublicIdTag.ITEM, UUID(int=7)),
                "name": "Gold",
                "slug": "gold",
                "imageUrl": None,
                "price": {**price, "kind": "SALE", "observedAt": "2026-01-02T03:04:05Z"},
            }
        }
    }
