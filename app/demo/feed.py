"""A simulated price feed: every second a few new prices for the demo world, sent like any partner's over HTTP.

`python -m app.demo.feed --url http://127.0.0.1:8000 --token-file PATH`, or the token in `TROVE_API_TOKEN`.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum, auto
from math import exp, log
from pathlib import Path
from random import Random

import httpx
import orjson
import structlog

from app.core.clock import utc_now
from app.core.ids import new_id
from app.core.telemetry import configure_logging
from app.demo.items import WORLD, DemoItem
from app.demo.world import MARKET, daily_prices, spelled_price
from app.prices.models import PriceKind

SECONDS_BETWEEN_BATCHES = 1.0
PRICES_A_BATCH = 4
LONGEST_PAUSE_SECONDS = 30.0
REQUEST_TIMEOUT_SECONDS = 10.0

# A tick is far shorter than a day: it moves less, and is pulled back harder so that a long night leaves no cliff.
_SHARE_OF_A_DAY = 0.05
_PULL = 0.02

logger = structlog.get_logger(__name__)


class Outcome(Enum):
    """What the API said to a batch."""

    TAKEN = auto()
    REFUSED = auto()
    NOT_NOW = auto()
    NOT_ALLOWED = auto()


class Walk:
    """The moving price of one item, around the price that the world has for the day."""

    def __init__(self, demo: DemoItem, random: Random, *, now: datetime) -> None:
        self.demo = demo
        self._random = random
        self._usual = self._position = log(daily_prices(demo, now.date(), days=1)[0].price)

    def next_price(self) -> str:
        """Move, and spell the new price."""
        pull = _PULL * (self._usual - self._position)
        self._position += pull + self._random.gauss(0, self.demo.volatility * _SHARE_OF_A_DAY)
        return spelled_price(self.demo, exp(self._position))


class Feed:
    """Sends batches of prices until it is told to stop. A batch that the API did not take is sent again as it was."""

    def __init__(self, client: httpx.AsyncClient, *, token: str, seconds: float = SECONDS_BETWEEN_BATCHES) -> None:
        self._client = client
        self._token = token
        self._seconds = seconds
        self._random = Random()  # noqa: S311 - prices of a demo, no secret
        self._walks = [Walk(demo, self._random, now=utc_now()) for demo in WORLD]
        self._stopping = asyncio.Event()
        self.batches_taken = 0

    def stop(self) -> None:
        """End `run` after the request that is under way."""
        self._stopping.set()

    async def run(self) -> bool:
        """Send until stopped; false when the API does not accept the token."""
        while not self._stopping.is_set():
            outcome = await self._deliver(self._batch(utc_now()), key=str(new_id()))
            if outcome is Outcome.NOT_ALLOWED:
                return False
            await self._pause(self._seconds)
        return True

    async def _deliver(self, batch: bytes, *, key: str) -> Outcome:
        """Send one batch until the API has answered for good, pausing longer from try to try."""
        pause = self._seconds
        while True:
            outcome = await self._send(batch, key=key)
            if outcome is not Outcome.NOT_NOW or self._stopping.is_set():
                return outcome
            await self._pause(pause * self._random.uniform(0.75, 1.25))
            if self._stopping.is_set():
                return outcome
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _send(self, batch: bytes, *, key: str) -> Outcome:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/x-ndjson",
            "Idempotency-Key": key,
        }
        try:
            response = await self._client.post("/ingest/prices", content=batch, headers=headers)
        except httpx.TransportError as error:
            logger.warning("api_away", reason=type(error).__name__)
            return Outcome.NOT_NOW
        outcome = _outcome(response.status_code)
        if outcome is Outcome.TAKEN:
            self.batches_taken += 1
        else:
            logger.warning("batch_not_taken", status=response.status_code, answer=response.text[:200])
        return outcome

    def _batch(self, now: datetime) -> bytes:
        at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        walks = self._random.sample(self._walks, PRICES_A_BATCH)
        return b"".join(orjson.dumps(self._row(walk, at)) + b"\n" for walk in walks)

    def _row(self, walk: Walk, at: str) -> dict[str, str]:
        return {
            "item": walk.demo.item.slug,
            "source": MARKET,
            "kind": PriceKind.MARKET.value,
            "currency": walk.demo.currency,
            "price": walk.next_price(),
            "observedAt": at,
        }

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _outcome(status: int) -> Outcome:
    if status < 300:
        return Outcome.TAKEN
    if status in {401, 403}:
        return Outcome.NOT_ALLOWED
    return Outcome.NOT_NOW if status >= 500 or status in {404, 408, 425, 429} else Outcome.REFUSED


async def feed_until_stopped(url: str, token: str) -> bool:
    """Feed the API at `url` until SIGTERM or SIGINT; false when it does not accept the token."""
    loop = asyncio.get_running_loop()
    # The API is on this machine or named on purpose: a proxy from the environment would only stand between.
    async with httpx.AsyncClient(base_url=url, timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False) as client:
        feed = Feed(client, token=token)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, feed.stop)
        logger.info("feed_started", url=url)
        accepted = await feed.run()
        logger.info("feed_stopped", batches=feed.batches_taken)
        return accepted


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 when stopped, 1 when the API does not accept the token, 2 without a token."""
    parser = argparse.ArgumentParser(prog="python -m app.demo.feed", description="Send simulated prices to Trove.")
    parser.add_argument("--url", required=True, help="where the API is, as http://127.0.0.1:8000")
    parser.add_argument("--token-file", type=Path, help="the file with the API token; else TROVE_API_TOKEN")
    given = parser.parse_args(arguments)
    configure_logging(level="INFO", readable=sys.stderr.isatty())
    # One line a second for each request would bury everything else.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        token = given.token_file.read_text().strip() if given.token_file else os.environ.get("TROVE_API_TOKEN", "")
    except OSError as error:
        parser.error(f"the token file {given.token_file} cannot be read: {error.strerror}")
    if not token:
        parser.error("give an API token with `prices:write`, by --token-file or in TROVE_API_TOKEN")
    return 0 if asyncio.run(feed_until_stopped(given.url, token)) else 1


if __name__ == "__main__":
    sys.exit(main())
