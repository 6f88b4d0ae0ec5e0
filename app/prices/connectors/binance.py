"""Binance: the last price of every market at once, and candles of each; in Tether dollars.

`GET /api/v3/ticker/price` lists `{"symbol": "BTCUSDT", "price": "4.00000200"}` of all markets; `GET /api/v3/klines`
gives arrays `[open time in ms, "open", "high", "low", "close", "volume", close time, "quote volume", …]`.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.outbound import OutsideServiceFailed
from app.prices.connectors import subjects as choose
from app.prices.connectors.candles import CandleShape, candles_of
from app.prices.connectors.interface import Answer, AnswerNotUnderstood, Clock, Connector, FoundPrice, Misread, Subject
from app.prices.connectors.values import amount_of, by_name, list_of
from app.prices.models import PriceKind
from app.providers.client import ProviderClient, Question

CURRENCY = "USDT"
RESOLUTION = 3600
MOST_CANDLES = 500
BAD_REQUEST = 400
_SHAPE = CandleShape(label=0, open=1, high=2, low=3, close=4, volume=5, turnover=7, per_second=1000)


class _Binance(Connector):
    provider = "binance"
    sources = ("binance",)

    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """The coins as markets: `BTCUSDT`."""
        return await choose.coins(connection, self.provider, self.sources, currency=CURRENCY, separator="")

    async def _tickers(self, client: ProviderClient) -> dict[str, list[object]]:
        question = Question(endpoint="ticker-price", path="/api/v3/ticker/price")
        rows = list_of(await client.ask_exact_json(question), "The list of prices")
        return {name: [row.get("price") for row in found] for name, found in by_name(rows, "symbol", "A price").items()}


class Binance(_Binance):
    """The last prices of the coins that Binance trades for Tether."""

    name = "binance"

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The prices of all subjects, out of those of all markets."""
        answer = Answer()
        tickers, at = await self._tickers(client), clock()
        for subject in subjects:
            if subject.name not in tickers:
                answer.unknown.append(subject)
                continue
            try:
                price = amount_of(tickers[subject.name][0], "price")
            except AnswerNotUnderstood as error:
                answer.misread.append(Misread(subject, str(error)))
                continue
            if price is not None:
                answer.prices.append(
                    FoundPrice(
                        subject=subject,
                        source=self.sources[0],
                        kind=PriceKind.MARKET,
                        currency=CURRENCY,
                        price=price,
                        observed_at=at,
                    )
                )
        return answer


class BinanceCandles(_Binance):
    """Candles of an hour of the coins that Binance trades for Tether."""

    name = "binance-candles"
    at_a_time = 1

    async def offered(self, client: ProviderClient, subjects: Sequence[Subject]) -> list[Subject]:
        """Those that are markets."""
        tickers = await self._tickers(client)
        return [subject for subject in subjects if subject.name in tickers]

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The newest candles of one market."""
        (subject,) = subjects
        question = Question(
            endpoint="klines",
            path="/api/v3/klines",
            params={"symbol": subject.name, "interval": "1h", "limit": str(MOST_CANDLES)},
        )
        try:
            rows = list_of(await client.ask_exact_json(question), "The candles")
        except OutsideServiceFailed as failure:
            # It answers {"code": -1121, "msg": "Invalid symbol."}.
            if failure.answer is not None and failure.answer.status_code == BAD_REQUEST:
                return Answer(unknown=[subject])
            raise
        return candles_of(
            rows, _SHAPE, subject, source=self.sources[0], currency=CURRENCY, resolution=RESOLUTION, at=clock()
        )
