"""Whatever stands in place of any value of an answer, a connector reads the rest or says that it cannot."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest

from app.core.database import Database
from app.prices.connectors.interface import AnswerNotUnderstood, Connector, Subject
from app.prices.connectors.rows import row_of_candle, row_of_price
from app.prices.connectors.tickers import BinanceTicker, CoinbaseTicker, TickerFeed, TickerRefused
from app.prices.connectors.values import object_of
from app.prices.formats.json_files import read_json
from app.providers.client import ProviderClient, Question, provider_http
from tests.catalogue.builders import saved
from tests.prices.connectors.exchanges import mini_ticker, ticker
from tests.prices.connectors.fakes import open_fake
from tests.prices.connectors.worlds import NOON, WORLDS
from tests.providers.builders import add_provider

ODD: tuple[object, ...] = (
    None, True, -1, 0, 10**40, 1.5, Decimal("1e-30"), "", "odd", "NaN", "-5", "\ud800", [], [None], [[]], {}, {"a": 1},
)  # fmt: skip


class Recorder(ProviderClient):
    """Asks the provider, and keeps the answers; once it has some it gives those, as they are changed."""

    recorded: dict[str, Any]
    is_recording = True

    async def ask_exact_json(self, question: Question) -> Any:
        """The answer, kept or real."""
        if self.is_recording:
            self.recorded[question.key] = await super().ask_exact_json(question)
        return self.recorded[question.key]

    ask_json = ask_exact_json


def changes(value: Any, *, loses: bool = False) -> Iterator[None]:
    """Put each odd thing in place of each value within a value, one at a time, and put it back; or nothing at all."""
    places = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for place, before in places:
        for odd in ODD:
            value[place] = odd
            yield
        value[place] = before
        if isinstance(before, dict | list):
            yield from changes(before, loses=True)
    if isinstance(value, dict) and loses:
        for place, before in places:
            del value[place]
            yield
            value[place] = before


@pytest.mark.parametrize("name", WORLDS)
async def test_an_answer_with_anything_in_it_is_read_or_not_understood(database: Database, name: str) -> None:
    world = WORLDS[name]
    connector = world.connector()
    await saved(database, *world.items)
    outcomes: Counter[bool] = Counter()
    async with open_fake(world.provider()) as fake, provider_http() as http:
        await add_provider(database, fake.port, code=connector.provider)
        client = Recorder(database, connector.provider, http)
        async with database.transaction() as transaction:
            subjects = await connector.subjects(transaction.connection)
        asked = [subject for subject in subjects if subject.slug in {"bitcoin", "redline", "otter", "venusaur"}]
        for asks in (offers, prices):
            client.is_recording, client.recorded = True, {}
            assert await asks(connector, client, asked)
            client.is_recording = False
            for _ in changes(client.recorded):
                outcomes[await asks(connector, client, asked)] += 1
    assert outcomes[True] > 0
    assert outcomes[False] > 0
    assert outcomes.total() > 50


async def offers(connector: Connector, client: ProviderClient, asked: Sequence[Subject]) -> bool:
    """Whether it is understood what the provider has."""
    try:
        await connector.offered(client, asked)
    except AnswerNotUnderstood:
        return False
    return True


async def prices(connector: Connector, client: ProviderClient, asked: Sequence[Subject]) -> bool:
    """Whether the prices are understood; all that are found can be sent."""
    try:
        answer = await connector.ask(client, asked, clock=lambda: NOON)
    except AnswerNotUnderstood:
        return False
    for price in answer.prices:
        assert Decimal(json.loads(row_of_price(price))["price"]) > 0
    for candle in answer.candles:
        assert json.loads(row_of_candle(candle))["bucket"]
    return True


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (CoinbaseTicker([Subject("bitcoin", "BTC-USD")]), ticker("BTC-USD", "60000.01")),
        (CoinbaseTicker([Subject("bitcoin", "BTC-USD")]), '{"type": "error", "message": "no", "reason": "none"}'),
        (BinanceTicker([Subject("bitcoin", "BTCUSDT")]), mini_ticker("BTCUSDT", "60000.01")),
    ],
    ids=["coinbase", "error", "binance"],
)
def test_a_message_with_anything_in_it_is_read_or_not_understood(feed: TickerFeed, message: str) -> None:
    root = {"root": read_json(message.encode())}
    outcomes: Counter[str] = Counter()
    for _ in changes(root):
        try:
            tick = feed.read(object_of(root["root"], "A message"), now=NOON)
        except (AnswerNotUnderstood, TickerRefused) as error:
            outcomes[type(error).__name__] += 1
        else:
            assert tick is None or (tick.product and tick.price > 0)
            outcomes["read"] += 1
    assert len(outcomes) == 2 + ("error" in message)
