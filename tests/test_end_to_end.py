"""From a partner's price to a subscriber's screen: real processes, real sockets, one database."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.core.clock import utc_now
from app.core.database import Database
from tests.catalogue.builders import coin, saved
from tests.conftest import Server

WATCH = """
subscription ($since: String) {
  priceUpdates(slugs: ["aurum"], since: $since) { cursor item { slug } price { amount source } }
}
"""
BATCH = "query ($id: ID!) { ingestBatch(id: $id) { status acceptedCount rejects { nodes { reason } } } }"
SECONDS_TO_ARRIVE = 15


async def subscribe(socket: ClientConnection, since: str | None = None) -> None:
    """Open a subscription on a fresh socket."""
    await socket.send(json.dumps({"type": "connection_init"}))
    assert json.loads(await socket.recv())["type"] == "connection_ack"
    message = {"id": "1", "type": "subscribe", "payload": {"query": WATCH, "variables": {"since": since}}}
    await socket.send(json.dumps(message))


async def next_update(socket: ClientConnection) -> dict[str, Any]:
    """The next update on the socket."""
    async with asyncio.timeout(SECONDS_TO_ARRIVE):
        while True:
            message = json.loads(await socket.recv())
            if message["type"] == "next":
                assert "errors" not in message["payload"], message
                return dict(message["payload"]["data"]["priceUpdates"])


async def send(server: Server, prices: list[str]) -> None:
    """Send a batch through the door as a partner does, and wait until it is processed."""
    lines = [
        {
            "item": "aurum",
            "source": "partner",
            "currency": "USD",
            "price": price,
            "observedAt": (utc_now() - timedelta(minutes=1) + timedelta(seconds=number)).isoformat(),
        }
        for number, price in enumerate(prices)
    ]
    headers = {"Authorization": f"Bearer {server.partner_token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client, asyncio.timeout(SECONDS_TO_ARRIVE):
        answer = await client.post("/ingest/prices", content="\n".join(json.dumps(line) for line in lines))
        assert answer.status_code == 202, answer.text
        question = {"query": BATCH, "variables": {"id": answer.json()["batchId"]}}
        while True:
            batch = (await client.post("/graphql", json=question)).json()["data"]["ingestBatch"]
            if batch["status"] == "PROCESSED":
                break
            await asyncio.sleep(0.02)
    assert batch["acceptedCount"] == len(prices), batch


async def test_a_price_sent_to_one_process_is_seen_on_a_subscription_of_another(
    database: Database, live_server: Server, second_server: Server, live_worker: object
) -> None:
    await saved(database, coin("aurum"))
    async with connect(second_server.websocket_url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await subscribe(socket)
        # A subscription is live once it is answered: an operation behind it on the same socket tells when that is.
        await socket.send(json.dumps({"id": "2", "type": "subscribe", "payload": {"query": "{ __typename }"}}))
        while json.loads(await socket.recv()).get("id") != "2":
            pass
        await send(live_server, ["10.50"])
        update = await next_update(socket)
    assert update["item"] == {"slug": "aurum"}
    assert update["price"] == {"amount": "10.50", "source": "partner"}


async def test_a_subscriber_that_comes_back_misses_nothing_and_sees_nothing_twice(
    database: Database, live_server: Server, second_server: Server, live_worker: object
) -> None:
    await saved(database, coin("aurum"))
    async with connect(live_server.websocket_url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await subscribe(socket)
        await socket.send(json.dumps({"id": "2", "type": "subscribe", "payload": {"query": "{ __typename }"}}))
        while json.loads(await socket.recv()).get("id") != "2":
            pass
        await send(live_server, ["1"])
        seen = await next_update(socket)
    for price in ("2", "3"):
        await send(live_server, [price])
    async with connect(second_server.websocket_url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await subscribe(socket, since=seen["cursor"])
        await send(second_server, ["4"])
        amounts = [(await next_update(socket))["price"]["amount"] for _ in range(3)]
    assert amounts == ["2", "3", "4"]
