"""Scryfall: what Magic cards cost at TCGplayer and at Cardmarket, once a day.

`POST /cards/collection` takes up to 75 `{"id": …}` and answers `{"data": [cards], "not_found": [{"id": …}]}`; the
prices of a card are texts or null.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.errors import RowNotUnderstood
from app.catalogue.scryfall import PROVIDER, prices_of
from app.prices.connectors import subjects as choose
from app.prices.connectors.cards import card_prices
from app.prices.connectors.interface import Answer, Clock, Connector, Misread, Subject
from app.prices.connectors.values import by_name, list_of, object_of
from app.providers.client import ProviderClient, Question


class Scryfall(Connector):
    """The prices of Magic cards, by finish."""

    name = "scryfall"
    # Twice a second, as all that has to be looked for there.
    provider = "scryfall-search"
    sources = ("tcgplayer", "cardmarket")
    at_a_time = 75

    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """The cards that have its id."""
        return await choose.items_of(connection, PROVIDER, self.sources)

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The prices of these cards."""
        question = Question(
            endpoint="collection",
            path="/cards/collection",
            method="POST",
            body={"identifiers": [{"id": subject.name} for subject in subjects]},
            is_idempotent=True,
        )
        found = object_of(await client.ask_exact_json(question), "The collection")
        cards = by_name(list_of(found.get("data"), "`data`"), "id", "A card")
        answer, at = Answer(), clock()
        for subject in subjects:
            if subject.name not in cards:
                answer.unknown.append(subject)
                continue
            try:
                answer.prices += list(card_prices(prices_of(cards[subject.name][0]), subject, at=at))
            except RowNotUnderstood as error:
                answer.misread.append(Misread(subject, error.message))
        return answer
