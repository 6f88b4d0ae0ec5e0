"""PostgreSQL, Redis, servers and workers go and come back: every answer is clear, nothing is lost or doubled.

Each test has servers of its own and really kills them; the processes over them are those of `trove api` and
`trove worker`. What they write to standard error is read at the end: a traceback fails the test.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.core.database import DATABASE_FAILURES, Database, DatabaseRole
from app.core.embedded import PrivateServices
from app.prices.commands.price_batches import price_batches
from tests.conftest import Server, open_database, running, running_api
from tests.outages_builders import (
    ITEM,
    PATIENCE_SECONDS,
    POINTS_IN_A_BATCH,
    UNAVAILABLE,
    Follower,
    Sender,
    Site,
    SocketFollower,
    StreamFollower,
    client_of,
    eventually,
    lines_of,
    open_site,
    opened,
    prepared_servers,
    price_of,
    readiness,
    serving_api,
    start,
    streaming,
)
from tests.prices.builders import accepted
from workers.ingestion import process_waiting_batches

# A price is on every subscriber's screen within this time whatever Redis does; the server looks every two seconds.
SECONDS_TO_CATCH_UP = 5.0
SECONDS_TO_LEAVE = 5.0
READY = (200, True, True)
NAME = {"query": f'{{ item(slug: "{ITEM}") {{ slug price {{ amount }} }} }}'}


@pytest.fixture(autouse=True)
def _no_traceback(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Processes may say what they miss, in log lines; a traceback is a mistake of ours."""
    yield
    said = capfd.readouterr().err
    sys.stderr.write(said)
    assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """What the servers of each test begin with."""
    with prepared_servers() as directory:
        yield directory


@pytest.fixture
def site(_no_traceback: None, prepared: Path) -> Iterator[Site]:
    """Servers that may be killed."""
    with open_site(prepared) as opened_site:
        yield opened_site


async def assert_stored_once(site: Site, batches: int) -> None:
    """Every point of so many accepted batches is stored, and none twice; so is every latest price."""
    await eventually("all batches are processed", site.nothing_waits)
    last = price_of(batches - 1)
    points = await site.rows("SELECT price FROM prices.price_points ORDER BY price")
    assert points == [(price,) for price in range(1, last + 1)]
    changes = await site.rows("SELECT price FROM prices.price_changes ORDER BY position")
    assert changes == [(price_of(batch),) for batch in range(batches)]
    counted = "SELECT count(*), sum(accepted_count), sum(duplicate_count) FROM ingestion.ingest_batches"
    assert await site.rows(counted) == [(batches, batches * POINTS_IN_A_BATCH, 0)]
    assert await site.rows("SELECT latest_price FROM prices.price_series") == [(last,)]


async def assert_saw_all(follower: Follower, sender: Sender) -> None:
    """From the first that it saw, the follower sees the latest price of every batch, in order and once."""
    await follower.have_seen(price_of(sender.accepted - 1))
    prices = [price_of(batch) for batch in range(sender.accepted)]
    assert follower.prices == prices[prices.index(follower.prices[0]) :]


async def until_all_follow(send: Callable[[], Awaitable[None]], *followers: Follower) -> None:
    """Send until every follower has seen a price: a subscription gives no sign when it has begun."""

    async def all_have_seen() -> bool:
        await send()
        return all(follower.prices for follower in followers)

    await eventually("all follow", all_have_seen)


async def ask(client: httpx.AsyncClient) -> httpx.Response:
    """A query, with an answer whose status tells how it went."""
    return await client.post("/graphql", json=NAME, headers={"Accept": "application/graphql-response+json"})


@pytest.mark.parametrize("killed_by", [signal.SIGINT, signal.SIGKILL], ids=["orderly", "by a crash"])
async def test_postgres_restarts_while_prices_flow(site: Site, killed_by: signal.Signals) -> None:
    async with AsyncExitStack() as stack:
        worker = stack.enter_context(running(["worker"], site.settings))
        server = stack.enter_context(running_api(site.settings))
        client = await stack.enter_async_context(client_of(server))
        sender = Sender(client)
        followers = [SocketFollower(server), StreamFollower(server)]
        for follower in followers:
            await stack.enter_async_context(follower.following())
        await until_all_follow(sender.send, *followers)
        async with sender.sending():
            await sender.have_accepted(10)
            with site.without("postgres", killed_by=killed_by):
                await eventually("/readyz tells", lambda: is_readiness(client, (503, False, True)))
                await assert_refuses_clearly(client)
                await eventually("batches are refused", lambda: has_been_refused(sender))
            await eventually("/readyz tells", lambda: is_readiness(client, READY))
            await sender.have_accepted(10)
        await assert_stored_once(site, sender.accepted)
        for follower in followers:
            await assert_saw_all(follower, sender)
        assert (await ask(client)).json()["data"]["item"]["price"] == {"amount": str(price_of(sender.accepted - 1))}
        assert worker.poll() is None


async def is_readiness(client: httpx.AsyncClient, expected: tuple[int, bool, bool]) -> bool:
    return await readiness(client) == expected


async def has_been_refused(sender: Sender) -> bool:
    return sender.refused > 0


async def assert_refuses_clearly(client: httpx.AsyncClient) -> None:
    """A query says that the database is away; what needs none is answered."""
    answer = await ask(client)
    assert answer.status_code in {200, 503}, answer.text
    assert {error["extensions"]["code"] for error in answer.json()["errors"]} == {UNAVAILABLE}
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/metrics")).status_code == 200
    assert (await client.post("/graphql", json={"query": "{ __typename }"})).json()["data"] == {"__typename": "Query"}


async def test_redis_is_killed_while_prices_flow(site: Site) -> None:
    async with AsyncExitStack() as stack:
        worker = stack.enter_context(running(["worker"], site.settings))
        server, other = await asyncio.gather(
            *(asyncio.to_thread(stack.enter_context, running_api(site.settings)) for _ in range(2))
        )
        client = await stack.enter_async_context(client_of(server))
        sender = Sender(client)
        followers = [SocketFollower(other), StreamFollower(other)]
        for follower in followers:
            await stack.enter_async_context(follower.following())
        await until_all_follow(sender.send, *followers)
        async with sender.sending():
            await sender.have_accepted(10)
            with site.without("redis"):
                await eventually("/readyz tells", lambda: is_readiness(client, (503, True, False)))
                await sender.have_accepted(10)
                last = price_of(sender.accepted - 1)
                for follower in followers:
                    await follower.have_seen(last, within=SECONDS_TO_CATCH_UP)
                assert "errors" not in (await ask(client)).json()
            await eventually("/readyz tells", lambda: is_readiness(client, READY))
            await sender.have_accepted(10)
        await assert_stored_once(site, sender.accepted)
        for follower in followers:
            await assert_saw_all(follower, sender)
            assert follower.came_back == 0
        assert sender.refused == 0
        assert worker.poll() is None


async def test_an_api_and_a_worker_start_without_redis_and_find_it_when_it_comes(site: Site) -> None:
    address = site.directory / "redis-to-come.sock"
    settings = site.settings.model_copy(update={"redis_url": f"unix://{address}?db=0"})
    async with AsyncExitStack() as stack:
        worker = stack.enter_context(running(["worker"], settings))
        server = stack.enter_context(serving_api(settings))
        client = await stack.enter_async_context(client_of(server))
        assert await readiness(client) == (503, True, False)
        sender = Sender(client)
        follower = SocketFollower(server)
        await stack.enter_async_context(follower.following())
        await until_all_follow(sender.send, follower)
        await eventually("all batches are processed", site.nothing_waits)
        redis = PrivateServices(site.directory / "late", database_url=site.settings.database_url)
        late = stack.enter_context(redis)
        address.symlink_to(late.redis_url.removeprefix("unix://").partition("?")[0])
        await eventually("/readyz tells", lambda: is_readiness(client, READY))
        await sender.send()
        await assert_stored_once(site, sender.accepted)
        await assert_saw_all(follower, sender)
        assert worker.poll() is None


async def test_a_price_whose_event_was_never_published_is_seen_all_the_same(site: Site) -> None:
    to_nobody = site.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running_api(site.settings))
        client = await stack.enter_async_context(client_of(server))
        database = await stack.enter_async_context(open_database(to_nobody, DatabaseRole.WORKER))
        sender = Sender(client)
        send = sending_and_processing(sender, database)
        followers = [SocketFollower(server), StreamFollower(server)]
        for follower in followers:
            await stack.enter_async_context(follower.following())
        await until_all_follow(send, *followers)
        await send()
        for follower in followers:
            await follower.have_seen(price_of(sender.accepted - 1), within=SECONDS_TO_CATCH_UP)
        for follower in followers:
            await assert_saw_all(follower, sender)
            assert follower.came_back == 0


def sending_and_processing(sender: Sender, database: Database) -> Callable[[], Awaitable[None]]:
    """Sends a batch and processes it, as a worker over this database does."""

    async def send() -> None:
        await sender.send()
        assert await process_waiting_batches(database, price_batches()) == 1

    return send


async def test_an_api_told_to_stop_takes_leave_of_everybody_and_answers_what_it_has_begun(site: Site) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running_api(site.settings))
        client = await stack.enter_async_context(client_of(server))
        request = await request_that_is_answered_at_once(site, server, client)
        idle = await stack.enter_async_context(opened(server))
        watching = await stack.enter_async_context(opened(server))
        await start(watching, request)
        assert orjson.loads(await watching.recv())["type"] == "next"
        stream = (await stack.enter_async_context(streaming(server, request))).aiter_lines()
        assert await anext(stream) == "event: next"
        async with site.holding("LOCK TABLE catalogue.items"):
            question = asyncio.create_task(ask(client))
            await eventually("the query has begun", lambda: site.somebody_waits_for_a_lock("trove-api"))
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert [await close_code(idle), await close_code(watching)] == [1001, 1001]
            assert not [line async for line in stream if line == "event: complete"]
        answer = await question
        assert answer.json()["data"]["item"]["slug"] == ITEM
        assert await asyncio.to_thread(server.process.wait, PATIENCE_SECONDS) == 0
        assert time.monotonic() - began < SECONDS_TO_LEAVE


async def test_an_api_told_to_stop_gives_up_what_takes_too_long_and_says_so(site: Site) -> None:
    with running_api(site.settings) as server:
        async with client_of(server) as client, site.holding("LOCK TABLE catalogue.items"):
            question = asyncio.create_task(ask(client))
            await eventually("the query has begun", lambda: site.somebody_waits_for_a_lock("trove-api"))
            server.process.send_signal(signal.SIGTERM)
            answer = await question
            assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (503, UNAVAILABLE)
            assert await asyncio.to_thread(server.process.wait, PATIENCE_SECONDS) == 0


async def request_that_is_answered_at_once(site: Site, server: Server, client: httpx.AsyncClient) -> dict[str, Any]:
    """A subscription from before the last price on, so that its first answer shows that it has begun."""
    follower = SocketFollower(server)
    async with open_database(site.settings, DatabaseRole.WORKER) as database, follower.following():
        send = sending_and_processing(Sender(client), database)
        await until_all_follow(send, follower)
        request = follower.request
        await send()
    return request


async def close_code(connection: ClientConnection) -> int | None:
    """The code with which the server closes the socket, in time; what it says before is read and dropped."""
    async with asyncio.timeout(SECONDS_TO_LEAVE):
        with suppress(ConnectionClosed):
            while True:
                await connection.recv()
    return connection.close_code


async def test_a_worker_told_to_stop_in_a_batch_finishes_it(site: Site) -> None:
    async with AsyncExitStack() as stack:
        await a_batch_waits(site)
        worker = stack.enter_context(running(["worker"], site.settings))
        async with site.holding("LOCK TABLE prices.candles IN SHARE ROW EXCLUSIVE MODE"):
            await eventually("the worker is in the batch", lambda: site.somebody_waits_for_a_lock("trove-worker"))
            worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, PATIENCE_SECONDS) == 0
        assert await site.nothing_waits()
        await assert_stored_once(site, 1)


async def test_a_worker_told_to_stop_in_a_batch_that_postgres_loses_leaves_it_untouched(site: Site) -> None:
    async with AsyncExitStack() as stack:
        await a_batch_waits(site)
        worker = stack.enter_context(running(["worker"], site.settings))
        with suppress(*DATABASE_FAILURES):
            async with site.holding("LOCK TABLE prices.candles IN SHARE ROW EXCLUSIVE MODE"):
                await eventually("the worker is in the batch", lambda: site.somebody_waits_for_a_lock("trove-worker"))
                worker.send_signal(signal.SIGTERM)
                with site.without("postgres"):
                    assert await asyncio.to_thread(worker.wait, PATIENCE_SECONDS) == 0
        await eventually("PostgreSQL answers", site.answers)
        assert await site.rows("SELECT status, attempts FROM ingestion.ingest_batches") == [("received", 0)]
        assert await site.rows("SELECT count(*) FROM prices.price_points") == [(0,)]
        stack.enter_context(running(["worker"], site.settings))
        await assert_stored_once(site, 1)


async def a_batch_waits(site: Site) -> None:
    """One batch is accepted, and nobody processes it yet."""
    async with open_database(site.settings, DatabaseRole.WORKER) as database:
        await accepted(database, lines_of(0))
