"""Live prices over sockets: at once, to everybody, across reconnects without a gap or a double."""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.catalogue.commands.merge_items import merge_items
from app.core.database import Database
from app.core.events import Event, EventBus, Topic
from app.core.ids import PublicIdTag, parse_public_id, public_id
from app.core.jobs import connect_redis
from app.core.telemetry import OPERATIONS
from app.graph.execution import Engine
from app.graph.feeds import Feeds
from app.graph.live import WAITING_CHANGES_PER_SUBSCRIBER, Feed, Subscriber
from app.graph.transports.pace import Pace
from app.prices.commands.merge_variants import merge_variants
from app.prices.queries.changes import ChangeRow
from tests.catalogue.builders import coin, saved
from tests.conftest import Server
from tests.graph.transports.conftest import Serve, Trove, Watched, until
from tests.graph.transports.sockets import PRICES, Socket, opened, ready
from tests.prices.builders import Line, ingested, point

PRICES_OF_SLUGS = "subscription ($slugs: [String!]!) { priceUpdates(slugs: $slugs) { item { slug } } }"
NO_ITEM = UUID(int=0)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def price(number: int, slug: str = "aurum", **more: Any) -> Line:
    """A price of that amount, later than those of all smaller amounts."""
    return point(slug, str(number), at=FIRST + timedelta(seconds=number), **more)


async def followed(socket: Socket, amounts: list[int]) -> str:
    """Expect updates of these amounts, in order and nothing between; the last cursor."""
    updates = [await socket.update() for _ in amounts]
    assert [update["price"]["amount"] for update in updates] == [str(amount) for amount in amounts]
    return str(updates[-1]["cursor"])


async def test_an_update_arrives_within_a_second_of_its_commit(
    live_server: Server, aurum: Watched, database: Database
) -> None:
    async with ready(live_server.websocket_url) as socket:
        await ingested(database, price(1))
        await socket.subscribe(PRICES, itemIds=[aurum.id])
        await until_following(socket, database)
        began = time.monotonic()
        await ingested(database, price(1_000_000))
        while (await socket.update())["price"]["amount"] != "1000000":
            pass
        assert time.monotonic() - began < 1


async def until_following(socket: Socket, database: Database) -> None:
    """Make prices until one arrives: a subscription gives no sign when it has begun."""
    async with asyncio.timeout(5):
        for number in range(2, 1_000):
            await ingested(database, price(number))
            try:
                async with asyncio.timeout(0.3):
                    await socket.connection.recv()
            except TimeoutError:
                continue
            return


async def test_two_sockets_see_the_same_updates_of_their_items_only(
    trove: Trove, aurum: Watched, database: Database
) -> None:
    await saved(database, coin("argentum"))
    async with ready(trove.websocket_url) as one, ready(trove.websocket_url) as other:
        for socket in (one, other):
            await socket.subscribe(PRICES, itemIds=[aurum.id])
        await until(lambda: subscribers(trove.feeds.prices) == 2)
        for number in range(1, 4):
            await ingested(database, price(number), price(number, "argentum"))
        cursors = {await followed(socket, [1, 2, 3]) for socket in (one, other)}
        assert len(cursors) == 1


def subscribers(price_feed: Feed[ChangeRow]) -> int:
    """How many subscribers the feed hands changes to."""
    return len({subscriber for watching in price_feed._watching.values() for subscriber in watching})


async def test_those_who_ask_the_same_share_one_execution(trove: Trove, aurum: Watched, database: Database) -> None:
    document = PRICES.replace("Prices", "Shared")
    executed = OPERATIONS.labels("Shared", "subscription", "ok")._value
    begun_with = await first_cursor(trove, aurum, database)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(ready(trove.websocket_url)) for _ in range(5)]
        for number, socket in enumerate(sockets):
            since = {"since": begun_with} if number % 2 else {}
            await socket.subscribe(document, itemIds=[aurum.id], **since)
        await until(lambda: subscribers(trove.feeds.prices) == 5)
        before = executed.get()
        await ingested(database, price(10))
        for socket in sockets:
            await followed(socket, [10])
        assert executed.get() == before + 1


async def test_variables_of_the_selection_part_those_who_share(
    trove: Trove, aurum: Watched, database: Database
) -> None:
    document = """
    subscription ($ids: [ID!]!, $slug: Boolean!) {
      priceUpdates(itemIds: $ids) { price { amount } item { slug @include(if: $slug) id } }
    }
    """
    async with ready(trove.websocket_url) as one, ready(trove.websocket_url) as other:
        for socket, slug in ((one, True), (other, False)):
            await socket.subscribe(document, ids=[aurum.id], slug=slug)
        await until(lambda: subscribers(trove.feeds.prices) == 2)
        await ingested(database, price(1))
        assert (await one.update())["item"] == {"slug": "aurum", "id": aurum.id}
        assert (await other.update())["item"] == {"id": aurum.id}


async def first_cursor(trove: Trove, aurum: Watched, database: Database) -> str:
    """Follow the item until a first price has come."""
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(PRICES, itemIds=[aurum.id])
        await until(lambda: subscribers(trove.feeds.prices) == 1)
        await ingested(database, price(1))
        cursor = await followed(socket, [1])
    await until(lambda: subscribers(trove.feeds.prices) == 0)
    return cursor


async def test_a_reconnect_goes_on_from_the_last_cursor(trove: Trove, aurum: Watched, database: Database) -> None:
    cursor = await first_cursor(trove, aurum, database)
    for number in range(2, 6):
        await ingested(database, price(number))
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(PRICES, itemIds=[aurum.id], since=cursor)
        await followed(socket, [2, 3, 4, 5])
        await ingested(database, price(6))
        await followed(socket, [6])


async def test_who_watches_what_was_merged_is_told_of_what_it_became(
    trove: Trove, aurum: Watched, database: Database
) -> None:
    cursor = await first_cursor(trove, aurum, database)
    argentum = (await saved(database, coin("argentum")))["argentum"]
    async with ready(trove.websocket_url) as before, ready(trove.websocket_url) as after:
        await before.subscribe(PRICES, itemIds=[aurum.id], since=cursor)
        await until(lambda: subscribers(trove.feeds.prices) == 1)
        await ingested(database, price(2, "argentum"))
        winner = parse_public_id(aurum.id)
        assert winner is not None
        async with database.transaction() as transaction:
            await merge_items(
                transaction,
                winner_id=UUID(str(winner[1])),
                loser_id=argentum,
                editor_id=None,
                followers=[merge_variants],
            )
        await followed(before, [2])
        # Of what happened before the merge it hears as well.
        await after.subscribe(PRICES, itemIds=[public_id(PublicIdTag.ITEM, argentum)], since=cursor)
        await followed(after, [2, 2])
        await after.subscribe(PRICES_OF_SLUGS, id="2", slugs=["argentum"])
        await until(lambda: subscribers(trove.feeds.prices) == 3)
        await ingested(database, price(3, "argentum"))
        await followed(before, [3])
        assert {(await after.receive())["id"] for _ in range(2)} == {"1", "2"}


async def test_prices_that_come_during_the_hand_over_come_once(
    trove: Trove, aurum: Watched, database: Database
) -> None:
    """Sockets come back with a cursor again and again, while the prices go on without a pause."""
    cursor = await first_cursor(trove, aurum, database)
    last = 120
    writing = asyncio.create_task(write(database, range(2, last + 1)))

    async def come_back_often() -> list[int]:
        since, seen = cursor, [1]
        while seen[-1] < last:
            async with ready(trove.websocket_url) as socket:
                await socket.subscribe(PRICES, itemIds=[aurum.id], since=since)
                for _ in range(min(7, last - seen[-1])):
                    update = await socket.update()
                    seen.append(int(update["price"]["amount"]))
                    since = update["cursor"]
        return seen

    async with asyncio.timeout(30):
        for seen in await asyncio.gather(*(come_back_often() for _ in range(4))):
            assert seen == list(range(1, last + 1))
    await writing


async def write(database: Database, numbers: range) -> None:
    """Prices one after the other, each in a batch of its own."""
    for number in numbers:
        await ingested(database, price(number))


async def test_a_process_that_lags_behind_the_cursor_repeats_nothing(
    serve: Serve, aurum: Watched, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve() as ahead, serve() as behind:
        may_look = asyncio.Event()
        catch_up = behind.feeds.prices._catch_up

        async def wait_and_catch_up() -> None:
            await may_look.wait()
            await catch_up()

        await until(behind.feeds.prices._started.is_set)
        monkeypatch.setattr(behind.feeds.prices, "_catch_up", wait_and_catch_up)
        cursor = await first_cursor(ahead, aurum, database)
        async with ready(behind.websocket_url) as socket:
            await socket.subscribe(PRICES, itemIds=[aurum.id], since=cursor)
            await until(lambda: subscribers(behind.feeds.prices) == 1)
            may_look.set()
            await ingested(database, price(2))
            await followed(socket, [2])


async def test_an_answer_that_failed_is_not_kept_for_who_comes_back_for_it(
    trove: Trove, aurum: Watched, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = await first_cursor(trove, aurum, database)
    answer_event = Engine.answer_event
    failures = [{"data": None, "errors": [{"message": "Away.", "extensions": {"code": "SERVICE_UNAVAILABLE"}}]}]

    async def fail_once(engine: Engine, *arguments: Any) -> Any:
        return failures.pop() if failures else await answer_event(engine, *arguments)

    monkeypatch.setattr(Engine, "answer_event", fail_once)
    await ingested(database, price(2))
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(PRICES, itemIds=[aurum.id], since=cursor)
        assert (await socket.receive())["payload"]["errors"][0]["message"] == "Away."
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(PRICES, itemIds=[aurum.id], since=cursor)
        await followed(socket, [2])


async def test_a_lost_hint_costs_a_moment_and_no_update(trove: Trove, aurum: Watched, database: Database) -> None:
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(PRICES, itemIds=[aurum.id])
        await until(lambda: trove.watched == 1)
        await silently(database, price(1))
        await followed(socket, [1])


async def silently(database: Database, line: Line) -> None:
    """Ingest without the hint, as a process does that dies between its commit and the hint."""

    class Mute(EventBus):
        async def publish(self, event: Event) -> None:
            assert event.topic is Topic.PRICES_CHANGED

    await ingested(Database(database.engine, jobs=database._jobs, events=Mute(database._events._redis)), line)


WIDE = " ".join(f"{'x' * 200}{number}: __typename" for number in range(14))
WIDE_PRICES = f"subscription ($ids: [ID!]!) {{ priceUpdates(itemIds: $ids) {{ item {{ {WIDE} }} }} }}"


async def test_a_stalled_reader_costs_the_others_nothing_and_is_closed(
    serve: Serve, aurum: Watched, database: Database
) -> None:
    async with (
        serve(pace=Pace(stalled_after=0.5, farewell_within=0.2)) as trove,
        opened(trove.websocket_url, max_queue=1, sock=trove.slow_connection()) as stalled,
        ready(trove.websocket_url) as reading,
    ):
        await stalled.initialise()
        await stalled.subscribe(WIDE_PRICES, ids=[aurum.id])
        await reading.subscribe(PRICES, itemIds=[aurum.id])
        await until(lambda: subscribers(trove.feeds.prices) == 2)
        for number in range(1, 500):
            if subscribers(trove.feeds.prices) == 1:
                break
            began = time.monotonic()
            await ingested(database, *(price(number * 1_000 + more) for more in range(20)))
            while (await reading.update())["price"]["amount"] != str(number * 1_000 + 19):
                pass
            assert time.monotonic() - began < 1
        await until(lambda: len(trove.connections._leave) == 1)


async def test_a_feed_stops_at_whatever_moment_of_its_start(api_database: Database, redis_url: str) -> None:
    for turns in range(40):
        redis = connect_redis(redis_url)
        feeds = Feeds(api_database, EventBus(redis))
        await feeds.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await feeds.stop()
        await redis.aclose()


def test_a_full_queue_keeps_the_latest_of_each_series_and_stays_small() -> None:
    subscriber: Subscriber[ChangeRow] = Subscriber([])
    for position in range(100_000):
        subscriber.offer(ChangeRow(position, position % 300, NO_ITEM))
    waiting = [change.position for change in subscriber._waiting]
    assert waiting == sorted(waiting)
    assert {position % 300 for position in waiting} == set(range(300))
    assert waiting[-300:] == list(range(99_700, 100_000))
    assert len(waiting) <= max(WAITING_CHANGES_PER_SUBSCRIBER, 2 * 300)
