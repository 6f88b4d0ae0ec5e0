"""Live tickers of exchanges, over WebSockets: what each product costs as it trades, stored once a second at most.

Coinbase: `wss://ws-feed.exchange.coinbase.com`, channel `ticker`, with a heartbeat a second; Binance:
`wss://stream.binance.com:9443/stream?streams=btcusdt@miniTicker/…`, which ends every connection after 24 hours.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import ClassVar
from urllib.parse import urlencode

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.catalogue.errors import UnknownItem
from app.core.clock import utc_now
from app.core.database import DATABASE_FAILURES, Database, is_database_away
from app.core.errors import BadUserInput
from app.core.outbound import USER_AGENT
from app.core.retrying import Retries
from app.core.tasks import end_tasks
from app.core.texts import showable
from app.ingestion.commands import accept_batch
from app.ingestion.delivery import process_batches
from app.ingestion.errors import BatchNotProcessed
from app.ingestion.models import BatchKind
from app.ingestion.processing import BatchHandlers
from app.prices.connectors import binance, coinbase
from app.prices.connectors.interface import AnswerNotUnderstood, Connector, FoundPrice, Subject
from app.prices.connectors.rows import row_of_price
from app.prices.connectors.values import amount_of, instant_of, object_of, spelled_instant, text_of
from app.prices.formats.errors import FileNotUnderstood
from app.prices.formats.json_files import read_json
from app.prices.models import PriceKind

logger = structlog.get_logger(__name__)

SECONDS_BETWEEN_BATCHES = 1.0
LARGEST_MESSAGE_BYTES = 256 * 1024
PING_SECONDS = 20.0
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
# How the pauses between connections grow; there is no last try.
PAUSES = Retries(first_seconds=1.0, longest_seconds=60.0)
LARGEST_EXPONENT = 16
_SHOWN_LENGTH = 120


class TickerRefused(BadUserInput):
    """An exchange will not tell of what it was asked for."""


class _ConnectionEnds(Exception):
    """The exchange says that it will end the connection, or that something went wrong with it."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a product costs as of a moment."""

    product: str
    price: Decimal
    observed_at: datetime


class TickerFeed(ABC):
    """One exchange's tickers of some products. A connection that is silent for `silence_seconds` is given up."""

    name: ClassVar[str]
    connector: ClassVar[type[Connector]]
    currency: ClassVar[str]
    usual_url: ClassVar[str]
    silence_seconds: float

    def __init__(
        self, subjects: Sequence[Subject], *, url: str | None = None, silence_seconds: float | None = None
    ) -> None:
        self.subjects: Mapping[str, Subject] = {subject.name: subject for subject in subjects}
        self.url = url or self.usual_url
        if silence_seconds is not None:
            self.silence_seconds = silence_seconds

    @property
    def address(self) -> str:
        """Where to connect to."""
        return self.url

    @property
    def greeting(self) -> str | None:
        """What to say first."""
        return None

    @abstractmethod
    def read(self, message: Mapping[str, object], *, now: datetime) -> Tick | None:
        """The tick of a message, or None where it tells something else.

        Raises AnswerNotUnderstood, TickerRefused, and whatever else has the connection be made anew.
        """


class CoinbaseTicker(TickerFeed):
    """Coinbase's trades: `{"type": "ticker", "product_id": "BTC-USD", "price": "60000.01", "time": "2024-…Z", …}`."""

    name = "coinbase"
    connector = coinbase.Coinbase
    currency = coinbase.CURRENCY
    usual_url = "wss://ws-feed.exchange.coinbase.com"
    # There is a heartbeat every second.
    silence_seconds = 10.0

    @property
    def greeting(self) -> str:
        """The subscription."""
        return json.dumps(
            {"type": "subscribe", "product_ids": list(self.subjects), "channels": ["ticker", "heartbeat"]}
        )

    def read(self, message: Mapping[str, object], *, now: datetime) -> Tick | None:
        """The tick of a trade."""
        if message.get("type") == "error":
            raise TickerRefused(
                f"Coinbase answers: {showable(str(message.get('reason') or message.get('message'))[:_SHOWN_LENGTH])}"
            )
        if message.get("type") != "ticker":
            return None
        price = amount_of(message.get("price"), "price")
        observed_at = spelled_instant(message.get("time"), "time", latest=now)
        return None if price is None else Tick(text_of(message.get("product_id"), "product_id"), price, observed_at)


class BinanceTicker(TickerFeed):
    """Binance's last prices: `{"stream": "…", "data": {"e": "24hrMiniTicker", "E": 1714560000000, "s": "BTCUSDT", "c":
    "60000.01", …}}`, once a second where there was a trade."""

    name = "binance"
    connector = binance.Binance
    currency = binance.CURRENCY
    usual_url = "wss://stream.binance.com:9443/stream"
    # Nobody may trade for a while; its pings are answered all along.
    silence_seconds = 300.0

    @property
    def address(self) -> str:
        """The streams of all products, joined."""
        streams = "/".join(f"{product.lower()}@miniTicker" for product in self.subjects)
        return f"{self.url}?{urlencode({'streams': streams}, safe='/@')}"

    def read(self, message: Mapping[str, object], *, now: datetime) -> Tick | None:
        """The tick of a second."""
        data = object_of(message.get("data", message), "`data`")
        if data.get("e") == "serverShutdown":
            raise _ConnectionEnds("it shuts down")
        if data.get("e") not in ("24hrMiniTicker", "24hrTicker"):
            return None
        price = amount_of(data.get("c"), "c")
        observed_at = instant_of(data.get("E"), "E", per_second=1000, latest=now)
        return None if price is None else Tick(text_of(data.get("s"), "s"), price, observed_at)


FEEDS: Mapping[str, type[TickerFeed]] = {feed.name: feed for feed in (BinanceTicker, CoinbaseTicker)}


async def feed_of(database: Database, name: str, slugs: Sequence[str], *, url: str | None = None) -> TickerFeed:
    """The feed of an exchange for these coins; raises BadUserInput for another exchange, and UnknownItem."""
    feed = FEEDS.get(name)
    if feed is None:
        raise BadUserInput(f"There is no feed `{name}`; there are {', '.join(FEEDS)}.", allowed=list(FEEDS))
    async with database.transaction() as transaction:
        known = {subject.slug: subject for subject in await feed.connector().subjects(transaction.connection)}
    for slug in slugs:
        if slug not in known:
            raise UnknownItem(
                f"`{slug}` is no coin that {name} could be asked for: give the slug of a coin whose symbol is its own, "
                f"or give the coin an external id of `{name}`."
            )
    return feed([known[slug] for slug in dict.fromkeys(slugs)], url=url)


@dataclass(slots=True)
class Followed:
    """What came in: ticks, those that could not be read, batches and rows that were accepted, and new connections."""

    ticks: int = 0
    misread: int = 0
    rows: int = 0
    batches: int = 0
    reconnects: int = 0


async def follow(
    database: Database,
    feed: TickerFeed,
    *,
    stopping: asyncio.Event,
    handlers: BatchHandlers | None = None,
    pauses: Retries = PAUSES,
    seconds_between_batches: float = SECONDS_BETWEEN_BATCHES,
) -> Followed:
    """Store what a feed tells until `stopping`: of each product its last price, at most once between two batches.

    The connection is made again whenever it ends, each time a little later until it tells something. With `handlers`
    batches are processed here, for where no worker runs. Raises TickerRefused where the exchange never told anything.
    """
    following = _Following(database, feed, handlers)
    reading = asyncio.create_task(following.read(pauses))
    storing = asyncio.create_task(following.store_again_and_again(seconds_between_batches))
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({reading, storing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, storing):
            if task.done():
                task.result()
    finally:
        await end_tasks([reading, storing, stopped])
    await following.store()
    return following.followed


@dataclass(slots=True)
class _Following:
    database: Database
    feed: TickerFeed
    handlers: BatchHandlers | None
    followed: Followed = field(default_factory=Followed)
    _newest: dict[str, Tick] = field(default_factory=dict)
    _stored: dict[str, Tick] = field(default_factory=dict)

    async def read(self, pauses: Retries) -> None:
        """Connect, and read until the connection ends, again and again."""
        fruitless = 0
        while True:
            ticks_before = self.followed.ticks
            try:
                await self._read_one_connection()
            except (OSError, WebSocketException, _ConnectionEnds) as error:
                reason = type(error).__name__
            except TickerRefused as refusal:
                if not self.followed.ticks:
                    raise
                reason = refusal.message
            fruitless = 0 if self.followed.ticks > ticks_before else fruitless + 1
            self.followed.reconnects += 1
            pause = pauses.pause(1 + min(fruitless, LARGEST_EXPONENT))
            logger.warning("ticker_reconnects", feed=self.feed.name, reason=reason, seconds=round(pause, 1))
            await asyncio.sleep(pause)

    async def _read_one_connection(self) -> None:
        async with connect(
            self.feed.address,
            user_agent_header=USER_AGENT,
            # What the environment says of proxies is for people; so it is with all that we ask.
            proxy=None,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=LARGEST_MESSAGE_BYTES,
        ) as connection:
            try:
                if self.feed.greeting is not None:
                    await connection.send(self.feed.greeting)
                while True:
                    self._take(await self._next_message(connection))
            except asyncio.CancelledError:
                # Else the exchange is told of a failure.
                await connection.close()
                raise

    async def _next_message(self, connection: ClientConnection) -> bytes:
        async with asyncio.timeout(self.feed.silence_seconds):
            return await connection.recv(decode=False)

    def _take(self, content: bytes) -> None:
        try:
            tick = self.feed.read(object_of(read_json(content), "A message"), now=utc_now())
        except (AnswerNotUnderstood, FileNotUnderstood) as error:
            self.followed.misread += 1
            # One of many would fill the log.
            if self.followed.misread == 1:
                logger.warning("ticker_misread", feed=self.feed.name, reason=showable(str(error)))
            return
        if tick is None or tick.product not in self.feed.subjects:
            return
        self.followed.ticks += 1
        newest = self._newest.get(tick.product)
        if newest is None or tick.observed_at >= newest.observed_at:
            self._newest[tick.product] = tick

    async def store_again_and_again(self, seconds: float) -> None:
        """Store what is new, and again after so many seconds; while the database is away, what is newest waits."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.store()
            except (*DATABASE_FAILURES, BatchNotProcessed) as error:
                cause = error.__cause__ if isinstance(error, BatchNotProcessed) else error
                if not is_database_away(cause):
                    raise
                logger.warning("ticks_not_stored", feed=self.feed.name, reason=type(cause).__name__)

    async def store(self) -> None:
        """Have what is new accepted as one batch."""
        new = {name: tick for name, tick in self._newest.items() if self._stored.get(name) != tick}
        if not new:
            return
        payload = b"\n".join(row_of_price(self._found(tick)) for tick in new.values())
        async with self.database.transaction() as transaction:
            accepted = await accept_batch(
                transaction, kind=BatchKind.PRICE_POINTS, payload=payload, idempotency_key=None
            )
        self._stored |= new
        self.followed.batches += 1
        self.followed.rows += accepted.row_count
        if self.handlers is not None:
            await process_batches(self.database, self.handlers, [accepted.id])

    def _found(self, tick: Tick) -> FoundPrice:
        return FoundPrice(
            subject=self.feed.subjects[tick.product],
            source=self.feed.name,
            kind=PriceKind.MARKET,
            currency=self.feed.currency,
            price=tick.price,
            observed_at=tick.observed_at,
        )
