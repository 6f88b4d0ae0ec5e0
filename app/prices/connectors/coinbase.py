"""Coinbase Exchange: candles of its products, in dollars.

`GET /products` lists what it trades; `GET /products/{id}/candles` gives up to 300 arrays
`[time, low, high, open, close, volume]`, the newest first, each labelled by the second that it begins at.
"""

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.outbound import OutsideServiceFailed
from app.prices.connectors import subjects as choose
from app.prices.connectors.candles import CandleShape, candles_of
from app.prices.connectors.interface import Answer, Clock, Connector, Subject
from app.prices.connectors.values import by_name, list_of
from app.providers.client import ProviderClient, Question

CURRENCY = "USD"
RESOLUTION = 3600
NOT_FOUND = 404
_SHAPE = CandleShape(label=0, low=1, high=2, open=3, close=4, volume=5, per_second=1)


class Coinbase(Connector):
    """Candles of an hour of the coins that Coinbase trades in dollars."""

    name = "coinbase"
    provider = "coinbase"
    sources = ("coinbase",)
    at_a_time = 1

    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """The coins as products: `BTC-USD`."""
        return await choose.coins(connection, self.provider, self.sources, currency=CURRENCY, separator="-")

    async def offered(self, client: ProviderClient, subjects: Sequence[Subject]) -> list[Subject]:
        """Those that are products, so that a catalogue of ten thousand coins does not cost as many questions."""
        products = list_of(
            await client.ask_json(Question(endpoint="products", path="/products", kept_for=timedelta(hours=6))),
            "The list of products",
        )
        known = by_name(products, "id", "A product")
        return [subject for subject in subjects if subject.name in known]

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The newest 300 candles of one product."""
        (subject,) = subjects
        question = Question(
            endpoint="candles",
            path=f"/products/{quote(subject.name, safe='')}/candles",
            params={"granularity": str(RESOLUTION)},
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
