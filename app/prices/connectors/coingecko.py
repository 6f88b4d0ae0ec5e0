"""CoinGecko: prices of many coins at once with the time of each, and candles; in dollars.

`GET /simple/price` answers `{"bitcoin": {"usd": 97000.1, "last_updated_at": 1732147200}}`; `GET /coins/{id}/ohlc` gives
arrays `[time in ms, open, high, low, close]`, labelled by the end of each candle.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.outbound import OutsideServiceFailed
from app.prices.connectors import subjects as choose
from app.prices.connectors.candles import CandleShape, candles_of
from app.prices.connectors.interface import Answer, AnswerNotUnderstood, Clock, Connector, FoundPrice, Misread, Subject
from app.prices.connectors.values import amount_of, instant_of, list_of, object_of
from app.prices.formats.candles import Label
from app.prices.models import PriceKind
from app.providers.client import ProviderClient, Question

CURRENCY = "USD"
# Of so many days it gives candles of four hours.
CANDLE_DAYS = 30
RESOLUTION = 4 * 3600
NOT_FOUND = 404
KEY_HEADER = "x-cg-demo-api-key"
_SHAPE = CandleShape(label=0, open=1, high=2, low=3, close=4, per_second=1000, labelled_by=Label.END)


class _CoinGecko(Connector):
    provider = "coingecko"
    sources = ("coingecko",)

    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """The coins that have its id."""
        return await choose.items_of(connection, self.provider, self.sources)


class CoinGecko(_CoinGecko):
    """The prices of coins, averaged over exchanges."""

    name = "coingecko"
    # Their ids stand in the address, which must not get too long.
    at_a_time = 200

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The prices of these coins."""
        params = {
            "ids": ",".join(subject.name for subject in subjects),
            "vs_currencies": CURRENCY.lower(),
            "include_last_updated_at": "true",
            "precision": "full",
        }
        question = Question(
            endpoint="simple-price", path="/simple/price", params=params, headers=self._headers(KEY_HEADER)
        )
        coins = object_of(await client.ask_exact_json(question), "The prices")
        answer, at = Answer(), clock()
        for subject in subjects:
            if subject.name not in coins:
                answer.unknown.append(subject)
                continue
            try:
                found = self._price(subject, object_of(coins[subject.name], "A coin"), at)
            except AnswerNotUnderstood as error:
                answer.misread.append(Misread(subject, str(error)))
            else:
                answer.prices += found
        return answer

    def _price(self, subject: Subject, coin: Mapping[str, object], at: datetime) -> list[FoundPrice]:
        price = amount_of(coin.get(CURRENCY.lower()), CURRENCY.lower())
        if price is None:
            return []
        told = coin.get("last_updated_at")
        observed_at = at if told is None else instant_of(told, "last_updated_at", per_second=1, latest=at)
        return [
            FoundPrice(
                subject=subject,
                source=self.sources[0],
                kind=PriceKind.MARKET,
                currency=CURRENCY,
                price=price,
                observed_at=observed_at,
            )
        ]


class CoinGeckoCandles(_CoinGecko):
    """Candles of four hours of coins, over the last month."""

    name = "coingecko-candles"
    at_a_time = 1

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The candles of one coin."""
        (subject,) = subjects
        question = Question(
            endpoint="ohlc",
            path=f"/coins/{quote(subject.name, safe='')}/ohlc",
            params={"vs_currency": CURRENCY.lower(), "days": str(CANDLE_DAYS), "precision": "full"},
            headers=self._headers(KEY_HEADER),
        )
        try:
            rows = list_of(await client.ask_exact_json(question), "The candles")
        except OutsideServiceFailed as failure:
            if failure.answer is not None and failure.answer.status_code == NOT_FOUND:
                return Answer(unknown=[subject])
            raise
        return candles_of(
            rows, _SHAPE, subject, source=self.sources[0], currency=CURRENCY, resolution=RESOLUTION, at=clock()
        )
