"""Server-sent events: the distinct connections mode of graphql-sse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from app.core.database import Database
from app.graph.transports.pace import Pace
from tests.conftest import Server
from tests.graph.transports.conftest import Serve, Trove, Watched, until
from tests.graph.transports.sockets import PRICES
from tests.prices.builders import ingested, point

STREAM = {"Accept": "text/event-stream"}
NAME = "{ serverInfo { maximumPageSize } }"
COMPLETE = "event: complete\ndata:\n\n"


class Events:
    """The events of a stream as they come in."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def lines(self) -> list[str]:
        """The lines up to the next empty one."""
        found: list[str] = []
        async with asyncio.timeout(5):
            async for line in self._lines:
                if not line:
                    break
                found.append(line)
        return found

    async def next(self) -> Any:
        """The result in the next event."""
        kind, data = await self.lines()
        assert kind == "event: next"
        return orjson.loads(data.removeprefix("data: "))


@asynccontextmanager
async def streaming(url: str, query: str, **variables: object) -> AsyncIterator[Events]:
    """An operation by POST, as a stream."""
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", url, headers=STREAM, json={"query": query, "variables": variables}) as response,
    ):
        yield Events(response)


async def test_a_query_is_one_event_and_its_completion(live_server: Server) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.post(f"{live_server.url}/graphql", headers=STREAM, json={"query": NAME})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["X-Request-Id"]
    head, data, end = response.text.partition("\n\n")
    assert head.startswith('event: next\ndata: {"data":{"serverInfo":{"maximumPageSize":100}}')
    assert data + end == "\n\n" + COMPLETE


@pytest.mark.parametrize("document", ["{", "{ nothing }", "subscription { priceUpdates(itemIds: []) { cursor } }"])
async def test_what_is_refused_comes_as_an_event(client: httpx.AsyncClient, document: str) -> None:
    response = await client.post("/graphql", headers=STREAM, json={"query": document})
    assert response.status_code == 200
    event, _, rest = response.text.partition("\n\n")
    assert set(orjson.loads(event.removeprefix("event: next\ndata: "))) >= {"errors"}
    assert "data" not in orjson.loads(event.removeprefix("event: next\ndata: "))
    assert rest == COMPLETE


async def test_a_malformed_request_is_no_stream(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", headers=STREAM, json=[])
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/json; charset=utf-8")


async def test_prices_stream_and_a_client_that_leaves_is_forgotten(
    trove: Trove, aurum: Watched, database: Database
) -> None:
    async with streaming(trove.endpoint, PRICES, itemIds=[aurum.id]) as events:
        await until(lambda: trove.watched == 1)
        await ingested(database, point("aurum", "12.5"))
        update = (await events.next())["data"]["priceUpdates"]
        assert update["price"] == {"amount": "12.5"}
    await until(lambda: trove.watched == 0)

    async with streaming(trove.endpoint, PRICES, itemIds=[aurum.id], since=update["cursor"]) as events:
        await ingested(database, point("aurum", "13"))
        assert (await events.next())["data"]["priceUpdates"]["price"] == {"amount": "13"}


async def test_a_page_of_ours_may_stream_by_get_and_another_not(trove: Trove, aurum: Watched) -> None:
    parameters = {"query": PRICES, "variables": orjson.dumps({"itemIds": [aurum.id]}).decode()}
    async with httpx.AsyncClient() as client:
        refused = await client.get(trove.endpoint, params=parameters, headers=STREAM)
        assert refused.status_code == 403
        own = STREAM | {"Sec-Fetch-Site": "same-origin"}
        async with client.stream("GET", trove.endpoint, params=parameters, headers=own) as response:
            assert response.status_code == 200
            await until(lambda: trove.watched == 1)
    await until(lambda: trove.watched == 0)


async def test_silence_is_broken_by_comments(serve: Serve, aurum: Watched) -> None:
    async with (
        serve(pace=Pace(heartbeat_every=0.05)) as trove,
        streaming(trove.endpoint, PRICES, itemIds=[aurum.id]) as events,
    ):
        for _ in range(3):
            assert await events.lines() == [":"]


async def test_a_server_that_goes_away_ends_the_stream_without_completing_it(trove: Trove, aurum: Watched) -> None:
    async with streaming(trove.endpoint, PRICES, itemIds=[aurum.id]) as events:
        await until(lambda: trove.watched == 1)
        await trove.connections.close()
        assert await events.lines() == []
    assert trove.watched == 0


async def test_a_stalled_reader_is_let_go(serve: Serve, aurum: Watched, database: Database) -> None:
    wide = " ".join(f"{'x' * 200}{number}: __typename" for number in range(14))
    document = f"subscription ($ids: [ID!]!) {{ priceUpdates(itemIds: $ids) {{ item {{ {wide} }} }} }}"
    body = orjson.dumps({"query": document, "variables": {"ids": [aurum.id]}})
    async with serve(pace=Pace(stalled_after=0.3)) as trove:
        with trove.slow_connection() as connection:
            await asyncio.get_running_loop().sock_sendall(
                connection,
                b"POST /graphql HTTP/1.1\r\nHost: trove.test\r\nAccept: text/event-stream\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
            )
            await until(lambda: trove.watched == 1)
            for number in range(400):
                if trove.watched == 0:
                    break
                await ingested(database, *(point("aurum", str(number * 100 + more)) for more in range(50)))
            await until(lambda: trove.watched == 0)
