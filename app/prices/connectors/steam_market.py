"""The Steam Community Market: the lowest offer of one item, and the median of what it was sold for; in dollars.

`GET /market/priceoverview/` answers `{"success": true, "lowest_price": "$1,234.56", "volume": "1,234", "median_price":
"$1.20"}`, each of the three only where there is one. Asked too often it answers 429 with `null`, and no `Retry-After`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.connectors import subjects as choose
from app.prices.connectors.interface import Answer, AnswerNotUnderstood, Clock, Connector, FoundPrice, Misread, Subject
from app.prices.connectors.values import amount_of, object_of, text_of
from app.prices.formats.price_texts import PriceTextNotUnderstood, read_price_text
from app.prices.models import PriceKind
from app.providers.client import ProviderClient, Question

CURRENCY = "USD"
# Steam's own number of it.
CURRENCY_NUMBER = "1"
COUNTER_STRIKE = "730"


class SteamMarket(Connector):
    """The prices of skins, one by one: at the pace that Steam allows, some thousands a day."""

    name = "steam-market"
    provider = "steam"
    sources = ("steam-market",)
    at_a_time = 1

    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """All skins."""
        return await choose.skins(connection, self.sources)

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The prices of one skin."""
        (subject,) = subjects
        question = Question(
            endpoint="priceoverview",
            path="/market/priceoverview/",
            params={"appid": COUNTER_STRIKE, "currency": CURRENCY_NUMBER, "market_hash_name": subject.name},
        )
        overview = object_of(await client.ask_exact_json(question), "The overview")
        if overview.get("success") is not True:
            return Answer(unknown=[subject])
        answer = Answer()
        try:
            answer.prices = self._prices(subject, overview, clock())
        except AnswerNotUnderstood as error:
            answer.misread.append(Misread(subject, str(error)))
        return answer

    def _prices(self, subject: Subject, overview: Mapping[str, object], at: datetime) -> list[FoundPrice]:
        found = [
            (PriceKind.ASK, _price(overview, "lowest_price"), None),
            (PriceKind.MARKET, _price(overview, "median_price"), _volume(overview)),
        ]
        return [
            FoundPrice(
                subject=subject,
                source=self.sources[0],
                kind=kind,
                currency=CURRENCY,
                price=price,
                quantity=quantity,
                observed_at=at,
            )
            for kind, price, quantity in found
            if price is not None
        ]


def _price(overview: Mapping[str, object], name: str) -> Decimal | None:
    text = overview.get(name)
    if text is None:
        return None
    try:
        spelled = read_price_text(text_of(text, name), currency=CURRENCY)
    except PriceTextNotUnderstood as error:
        raise AnswerNotUnderstood(f"`{name}`: {error.message}") from error
    return None if spelled is None else spelled.amount or None


def _volume(overview: Mapping[str, object]) -> Decimal | None:
    volume = overview.get("volume")
    return amount_of(volume.replace(",", "") if isinstance(volume, str) else volume, "volume")
