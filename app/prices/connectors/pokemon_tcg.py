"""The Pokémon TCG API: what the cards of a set cost at TCGplayer and at Cardmarket.

`GET /v2/cards?q=set.id:base1` answers pages `{"data": [cards], "page", "pageSize", "count", "totalCount"}` of at most
250; a card has `tcgplayer.prices.{holofoil, reverseHolofoil, …}.{low, mid, high, market}`, `cardmarket.prices`, and the
day of each as `2022/11/01`.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.errors import RowNotUnderstood
from app.catalogue.pokemon import PROVIDER, prices_of
from app.prices.connectors import subjects as choose
from app.prices.connectors.cards import card_prices
from app.prices.connectors.interface import Answer, Clock, Connector, Misread, Subject
from app.prices.connectors.values import by_name, list_of, object_of
from app.providers.client import ProviderClient, Question

PAGE_SIZE = 250
# More cards than any set has.
MOST_PAGES = 20


class PokemonTcg(Connector):
    """The prices of Pokémon cards, set by set."""

    name = "pokemon-tcg"
    provider = "pokemontcg"
    sources = ("tcgplayer", "cardmarket")

    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """The cards that have its id, by their sets."""
        return await choose.cards_by_set(connection, PROVIDER, self.sources)

    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """The prices of cards of one set."""
        cards = await self._cards(client, subjects[0].group)
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

    async def _cards(self, client: ProviderClient, set_code: str) -> dict[str, list[Mapping[str, object]]]:
        """The cards of a set, page by page until one is not full."""
        cards: dict[str, list[Mapping[str, object]]] = {}
        for page in range(1, MOST_PAGES + 1):
            question = Question(
                endpoint="cards",
                path="/v2/cards",
                params={"q": f"set.id:{set_code}", "page": str(page), "pageSize": str(PAGE_SIZE)},
                headers=self._headers("X-Api-Key"),
            )
            rows = list_of(
                object_of(await client.ask_exact_json(question), "The page").get("data"), "`data` of the page"
            )
            cards |= by_name(rows, "id", "A card")
            if len(rows) < PAGE_SIZE:
                break
        return cards
