"""Trading cards and the sets that they belong to."""

from datetime import date, datetime
from enum import Enum

import strawberry

from app.catalogue import models
from app.catalogue.models import ItemKind
from app.catalogue.queries.card_sets import COMPLETION
from app.core.ids import PublicIdTag
from app.graph.catalogue.items import Item, ItemOrderField
from app.graph.reads.arguments import Orders, equals
from app.graph.reads.fields import column, connection, edge, edges, shows, shows_kind
from app.graph.reads.tables import join
from app.graph.relay import Connection, Node
from app.graph.scalars import URL
from app.identity.access import ANYBODY

# A card's row of details, which says what set it belongs to.
DETAILS_OF_CARD = join(models.Card, models.Card.item_id == models.Item.id)
SET_OF_CARD = join(models.Card, models.Card.set_id == models.CardSet.id)
CARD_OF_RULING = join(models.Card, models.Card.oracle_id == models.CardRuling.oracle_id)
CARD_ORDERS = Orders("cards-of-a-set", {ItemOrderField.NAME: models.Item.name}, tie=models.Item.id)


class CardSetOrderField(Enum):
    """What sets are ordered by."""

    NAME = "name"


CARD_SET_ORDERS = Orders("card-sets", {CardSetOrderField.NAME: models.CardSet.name}, tie=models.CardSet.id)


@strawberry.type(description="How much of a set the catalogue knows.")
@shows(COMPLETION)
class CardSetCompletion:
    known_count: int = column(
        COMPLETION.c.known_count, "How many of its cards there are, by their numbers.", present=True
    )
    share: float | None = column(
        COMPLETION.c.share, "That by `cardCount`: 1 is all of them; null where that is not known."
    )


@strawberry.type(description="A set of cards of one game.")
@shows(models.CardSet, PublicIdTag.CARD_SET)
class CardSet(Node):
    game: str = column(models.CardSet.game, "The game that it belongs to, such as `mtg` or `pokemon`.")
    code: str = column(models.CardSet.code, "Its code, unique within the game.")
    slug: str = column(models.CardSet.slug, "The readable name in addresses, unique.")
    name: str = column(models.CardSet.name, "The name to show.")
    released_on: date | None = column(models.CardSet.released_on, "The day it came out; null where not known.")
    card_count: int | None = column(
        models.CardSet.card_count,
        "How many cards its publisher says it has; the catalogue may know of fewer, see `completion`.",
    )
    icon_url: URL | None = column(models.CardSet.icon_url, "Its symbol; null where none is known.")
    created_at: datetime = column(models.CardSet.created_at, "When the catalogue first had it.")
    updated_at: datetime = column(models.CardSet.updated_at, "When its entry last changed.")
    completion: CardSetCompletion | None = edge(
        "How much of it the catalogue knows.", on=models.CardSet.id, to=COMPLETION.c.set_id
    )
    cards: Connection["Card"] | None = connection(
        "The cards of it that the catalogue knows, by name.",
        on=models.CardSet.id,
        to=models.Card.set_id,
        joins=[DETAILS_OF_CARD],
        orders=CARD_ORDERS,
    )


@strawberry.type(description="What was said of how a card is to be played.")
@shows(models.CardRuling)
class CardRuling:
    published_on: date = column(models.CardRuling.published_on, "The day it was said.")
    source: str = column(models.CardRuling.source, "Who said it, such as `wotc`.")
    comment: str = column(models.CardRuling.comment, "What was said.")


@strawberry.type(description="A trading card: one print in one set.")
@shows_kind(ItemKind.CARD, details=models.Card.item_id)
class Card(Item):
    game: str | None = column(models.Card.game, "The game it belongs to.")
    set: CardSet | None = edge(
        "The set that it belongs to; null for a card without one.",
        on=models.Item.id,
        to=models.Card.item_id,
        joins=[SET_OF_CARD],
    )
    number: str | None = column(models.Card.number, "The collector number within the set; not always a number.")
    rarity: str | None = column(models.Card.rarity, "How rare the print is.")
    type_line: str | None = column(models.Card.type_line, "What it is in its game, such as `Land — Urza’s Saga`.")
    artist: str | None = column(models.Card.artist, "Who painted or drew it.")
    language: str | None = column(models.Card.language, "The language it is printed in, such as `en`.")
    finishes: list[str] | None = column(
        models.Card.finishes, "The finishes that it is printed in, such as `foil`; each is a variant too."
    )
    rulings: list[CardRuling] = edges(
        "What was said of how it is to be played, the earliest first; all prints of a card share it.",
        on=models.Item.id,
        to=models.Card.item_id,
        joins=[CARD_OF_RULING],
        order=[models.CardRuling.published_on, models.CardRuling.id],
    )


@strawberry.type
class CardQueries:
    card_sets: Connection[CardSet] | None = connection(
        "Sets of cards, by name; of one game, code or slug if given.",
        orders=CARD_SET_ORDERS,
        arguments=[
            equals("game", str | None, models.CardSet.game),
            equals("code", str | None, models.CardSet.code),
            equals("slug", str | None, models.CardSet.slug),
        ],
        access=ANYBODY,
    )
