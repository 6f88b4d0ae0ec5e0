"""Tickers: exchanges stream over real sockets, break off, fall silent and talk nonsense; what is newest is stored."""

import asyncio
import json
from decimal import Decimal

import pytest
from websockets.asyncio.server import ServerConnection

from app.catalogue.errors import UnknownItem
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.retrying import Retries
from app.prices.commands.price_batches import price_batches
from app.prices.connectors.interface import Subject
from app.prices.connectors.tickers import (
    BinanceTicker,
    CoinbaseTicker,
    Followed,
    TickerFeed,
    TickerRefused,
    feed_of,
    follow,
)
from app.prices.queries.latest import latest_prices
from tests.catalogue.builders import saved
from tests.prices.connectors.exchanges import mini_ticker, open_exchange, says, ticker
from tests.prices.connectors.worlds import COINS, NOON, NOON_SECONDS, coin, stored_prices

AT_ONCE = Retries(first_seconds=0.01, longest_seconds=0.02)
COINBASE_SUBJECTS = (Subject("bitcoin", "BTC-USD"), Subject("ethereum", "ETH-USD"))
BINANCE_SUBJECTS = (Subject("bitcoin", "BTCUSDT"), Subject("ethereum", "ETHUSDT"))


async def followed(
    database: Database, feed: TickerFeed, stopping: asyncio.Event, *, between: float = 3600, takes_in: bool = True
) -> Followed:
    """Follow a feed over stored coins until told to stop."""
    await saved(database, *COINS)
    async with asyncio.timeout(20):
        return await follow(
            database,
            feed,
            stopping=stopping,
            handlers=price_batches() if takes_in else None,
            pauses=AT_ONCE,
            seconds_between_batches=between,
        )


async def prices(database: Database) -> dict[str, Decimal]:
    """The latest stored price of each coin."""
    async with database.transaction() as transaction:
        found = await latest_prices(transaction.connection, ["bitcoin", "ethereum"], ["coinbase", "binance"])
    return {series.slug: price for series, price in found.items()}


async def test_of_many_trades_of_a_product_only_the_newest_is_stored(database: Database) -> None:
    done = asyncio.Event()
    trades = [ticker("BTC-USD", f"{60000 + number}.50", number / 1000) for number in range(500)]
    script = says(
        json.dumps({"type": "subscriptions", "channels": []}),
        *trades,
        json.dumps({"type": "heartbeat", "product_id": "BTC-USD", "sequence": 90, "time": "2024-05-01T12:00:00Z"}),
        ticker("ETH-USD", "2999.5"),
        # Late, and of what nobody asked for.
        ticker("BTC-USD", "1", -60),
        ticker("DOGE-USD", "1"),
        all_said=done,
    )
    async with open_exchange(script) as exchange:
        outcome = await followed(database, CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url), done)
    assert (outcome.ticks, outcome.rows, outcome.batches, outcome.misread, outcome.reconnects) == (502, 2, 1, 0, 0)
    assert {(row.slug, row.source, row.kind, row.currency, row.price) for row in await stored_prices(database)} == {
        ("bitcoin", "coinbase", "market", "USD", Decimal("60499.50")),
        ("ethereum", "coinbase", "market", "USD", Decimal("2999.5")),
    }
    assert {row.observed_at for row in await stored_prices(database) if row.slug == "ethereum"} == {NOON}


async def test_coinbase_is_told_what_to_tell_and_binance_by_its_address(database: Database) -> None:
    done, heard = asyncio.Event(), asyncio.Event()
    greetings: list[str] = []

    async def listens(connection: ServerConnection) -> None:
        greetings.append(str(await connection.recv()))
        heard.set()

    async with open_exchange(listens) as exchange:
        await followed(database, CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url), heard)
    assert json.loads(greetings[0]) == {
        "type": "subscribe",
        "product_ids": ["BTC-USD", "ETH-USD"],
        "channels": ["ticker", "heartbeat"],
    }
    script = says(mini_ticker("BTCUSDT", "60000.01000000"), mini_ticker("ETHUSDT", "2999.50000000"), all_said=done)
    async with open_exchange(script) as exchange:
        feed = BinanceTicker(BINANCE_SUBJECTS, url=f"{exchange.url}/stream")
        await follow(database, feed, stopping=done, handlers=price_batches(), pauses=AT_ONCE)
    assert exchange.paths == ["/stream?streams=btcusdt@miniTicker/ethusdt@miniTicker"]
    assert {row.currency for row in await stored_prices(database)} == {"USDT"}
    assert await prices(database) == {"bitcoin": Decimal("60000.01"), "ethereum": Decimal("2999.5")}


@pytest.mark.parametrize("end", ["closes", "breaks", "shuts down"])
async def test_a_connection_that_ends_is_made_again_and_nothing_is_stored_twice(database: Database, end: str) -> None:
    done = asyncio.Event()
    first, second = mini_ticker("BTCUSDT", "1"), mini_ticker("BTCUSDT", "2", 1)

    async def ends(connection: ServerConnection) -> None:
        await connection.send(first)
        if end == "breaks":
            connection.transport.abort()
        elif end == "shuts down":
            await connection.send(json.dumps({"e": "serverShutdown", "E": NOON_SECONDS * 1000}))
            await connection.wait_closed()

    async with open_exchange(ends, says(first, second, all_said=done)) as exchange:
        outcome = await followed(database, BinanceTicker(BINANCE_SUBJECTS, url=exchange.url), done, between=0.02)
    assert outcome.reconnects == 1
    assert {row.price for row in await stored_prices(database)} <= {Decimal(1), Decimal(2)}
    assert await prices(database) == {"bitcoin": Decimal(2)}
    assert len(exchange.paths) == 2


async def test_an_exchange_that_is_away_or_falls_silent_is_tried_until_it_talks(database: Database) -> None:
    done = asyncio.Event()
    async with open_exchange(says(), says(ticker("BTC-USD", "5"), all_said=done), refusals=2) as exchange:
        feed = CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url, silence_seconds=0.3)
        outcome = await followed(database, feed, done)
    assert outcome.reconnects == 3
    assert await prices(database) == {"bitcoin": Decimal(5)}


async def test_nonsense_is_passed_over(database: Database) -> None:
    done = asyncio.Event()
    script = says(
        "<html>",
        "[]",
        '{"type": "ticker"}',
        "[" * 5000,
        ticker("BTC-USD", "NaN"),
        ticker("BTC-USD", "-5"),
        ticker("BTC-USD", None),
        ticker("BTC-USD", 1e-9),
        ticker("BTC-USD", "7", time="noon"),
        all_said=done,
    )
    async with open_exchange(script) as exchange:
        outcome = await followed(database, CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url), done)
    assert (outcome.ticks, outcome.misread, outcome.reconnects) == (1, 7, 0)
    assert await prices(database) == {"bitcoin": Decimal("1e-9")}


async def test_a_message_that_is_too_large_ends_the_connection_and_not_the_feed(database: Database) -> None:
    done = asyncio.Event()
    huge = json.dumps({"type": "ticker", "padding": "x" * 300_000})
    async with open_exchange(says(huge), says(ticker("BTC-USD", "5"), all_said=done)) as exchange:
        outcome = await followed(database, CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url), done)
    assert (outcome.ticks, outcome.reconnects) == (1, 1)


async def test_what_an_exchange_will_not_tell_is_refused_with_its_words(database: Database) -> None:
    error = {"type": "error", "message": "Failed to subscribe", "reason": "ETH-USD is not a valid product"}
    async with open_exchange(says(json.dumps(error))) as exchange:
        with pytest.raises(TickerRefused, match="ETH-USD is not a valid product"):
            await followed(database, CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url), asyncio.Event())


async def test_an_error_once_it_has_told_something_only_ends_the_connection(database: Database) -> None:
    done = asyncio.Event()
    error = json.dumps({"type": "error", "message": "Too slow"})
    async with open_exchange(
        says(ticker("BTC-USD", "5"), error), says(ticker("BTC-USD", "6", 1), all_said=done)
    ) as exchange:
        outcome = await followed(database, CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url), done)
    assert outcome.reconnects == 1
    assert await prices(database) == {"bitcoin": Decimal(6)}


async def test_it_stops_while_it_waits_for_an_exchange_that_is_away(database: Database) -> None:
    stopping = asyncio.Event()
    async with open_exchange(says(), refusals=10**6) as exchange:
        feed = CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url)
        following = asyncio.create_task(followed(database, feed, stopping))
        while exchange.refusals > 10**6 - 3:  # noqa: ASYNC110  # the exchange has no event of it
            await asyncio.sleep(0.01)
        stopping.set()
        assert (await following).rows == 0


async def test_the_exchange_is_told_goodbye(database: Database) -> None:
    done = asyncio.Event()
    async with open_exchange(says(ticker("BTC-USD", "5"), all_said=done)) as exchange:
        await followed(database, CoinbaseTicker(COINBASE_SUBJECTS, url=exchange.url), done)
    assert exchange.closed_by == [1000]


async def test_coins_are_followed_by_their_slugs(database: Database) -> None:
    await saved(database, *COINS, coin("twin", "BTC"))
    feed = await feed_of(database, "binance", ["bitcoin", "ethereum", "bitcoin"])
    assert [(subject.slug, name) for name, subject in feed.subjects.items()] == [
        ("bitcoin", "BTCUSDT"),
        ("ethereum", "ETHUSDT"),
    ]
    with pytest.raises(UnknownItem, match="`twin` is no coin that coinbase could be asked for"):
        await feed_of(database, "coinbase", ["twin"])
    with pytest.raises(BadUserInput, match="there are binance, coinbase"):
        await feed_of(database, "kraken", ["bitcoin"])
