"""CSFloat: the lowest offer of one item, in dollars. It wants a key.

`GET /api/v1/listings` answers `{"data": [{"price": 1234, "item": {"market_hash_name", …}, …}], "cursor"}`, or in its
older form the list alone; prices are in cents.
"""

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.connectors import subjects as choose
from app.prices.connectors.interface import Answer, AnswerNotUnderstood, Clock, Connector, FoundPrice, Misread, Subject
from app.prices.connectors.values import amount_of, list_of, object_of
from app.prices.models import PriceKind
from app.providers.client import ProviderClient, Question

CURRENCY = "USD"
CENT = Decimal("0.01")


class CsFloat(Connector):
    """The lowest offers of skins, one by one."""

    name = "csfloat"
    provider = "csfloat"
    sources = ("csfloat",)
    at_a_time = 1
    needs_key = True

    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """All skins."""
        return await choose.skins(connection, self.sources)

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The lowest offer of one skin; of an item without offers it says as much as of one that it does not know."""
        (subject,) = subjects
        params = {"market_hash_name": subject.name, "sort_by": "lowest_price", "type": "buy_now", "limit": "1"}
        question = Question(
            endpoint="listings", path="/api/v1/listings", params=params, headers=self._headers("Authorization")
        )
        found = await client.ask_exact_json(question)
        listings = list_of(found.get("data") if isinstance(found, dict) else found, "The listings")
        if not listings:
            return Answer(unknown=[subject])
        answer = Answer()
        try:
            cents = _cents(listings[0], subject)
        except AnswerNotUnderstood as error:
            answer.misread.append(Misread(subject, str(error)))
            return answer
        if cents is not None:
            answer.prices.append(
                FoundPrice(
                    subject=subject,
                    source=self.sources[0],
                    kind=PriceKind.ASK,
                    currency=CURRENCY,
                    price=cents * CENT,
                    observed_at=clock(),
                )
            )
        return answer


def _cents(listing: object, subject: Subject) -> Decimal | None:
    fields = object_of(listing, "A listing")
    if object_of(fields.get("item"), "The item").get("market_hash_name") != subject.name:
        raise AnswerNotUnderstood("The listing is of another item.")
    cents = amount_of(fields.get("price"), "price")
    if cents is not None and cents != cents.to_integral_value():
        raise AnswerNotUnderstood("`price` is no whole number of cents.")
    return cents
