"""What a stream sends holds finished JSON of compiled reads like any other part of it."""

from typing import Any

import httpx
import orjson

from app.core.database import Database
from tests.graph.transports.conftest import Serve, Trove, Watched, until
from tests.graph.transports.sockets import ready
from tests.prices.builders import ingested, point

ITEM = "{ __typename id name: slug variants { key series { latest { amount } } } ... on Coin { symbol } }"
UPDATES = f"subscription ($ids: [ID!]!) {{ priceUpdates(itemIds: $ids) {{ price {{ amount }} item {ITEM} }} }}"


def shown(aurum: Watched, amount: str) -> dict[str, Any]:
    """The update of a price, as a client reads it."""
    variant = {"key": "default", "series": [{"latest": {"amount": amount}}]}
    item = {"__typename": "Coin", "id": aurum.id, "name": "aurum", "variants": [variant], "symbol": "AAA"}
    return {"priceUpdates": {"price": {"amount": amount}, "item": item}}


def check(payload: dict[str, Any], aurum: Watched, amount: str) -> None:
    """The payload is the update, the order of keys included, and compiled reads had a part in it."""
    assert orjson.dumps(payload["data"]) == orjson.dumps(shown(aurum, amount))
    assert payload["extensions"]["trove"]["path"] == "mixed"


async def test_a_socket_is_sent_compiled_edges(trove: Trove, aurum: Watched, database: Database) -> None:
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(UPDATES, ids=[aurum.id])
        await until(lambda: trove.watched == 1)
        for amount in ("12", "13.50"):
            await ingested(database, point("aurum", amount))
            check((await socket.receive())["payload"], aurum, amount)


async def test_an_event_stream_is_sent_compiled_edges(trove: Trove, aurum: Watched, database: Database) -> None:
    body = {"query": UPDATES, "variables": {"ids": [aurum.id]}}
    accepted = {"Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(timeout=10) as client,
        client.stream("POST", trove.endpoint, json=body, headers=accepted) as response,
    ):
        await until(lambda: trove.watched == 1)
        await ingested(database, point("aurum", "12"))
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                check(orjson.loads(line.removeprefix("data: ")), aurum, "12")
                break


async def test_a_stream_without_compiled_reads_is_sent_the_same(
    serve: Serve, aurum: Watched, database: Database
) -> None:
    async with serve(reads="resolvers") as trove, ready(trove.websocket_url) as socket:
        await socket.subscribe(UPDATES, ids=[aurum.id])
        await until(lambda: trove.watched == 1)
        await ingested(database, point("aurum", "12"))
        payload = (await socket.receive())["payload"]
    assert orjson.dumps(payload["data"]) == orjson.dumps(shown(aurum, "12"))
    assert payload["extensions"]["trove"]["path"] == "resolvers"
