"""Cards and sets of the Pokémon Trading Card Game, as pokemontcg.io has them. No tables in here."""

import re
from collections.abc import Iterator, Sequence

from app.catalogue.card_prices import CardPrice
from app.catalogue.fields import Fields
from app.catalogue.new_items import CardDetails, NewCardSet, NewExternalId, NewItem, NewVariant
from app.catalogue.slugs import slug_of

GAME = "pokemon"
PROVIDER = "pokemon-tcg"

# `1stEditionHolofoil` is three words, `reverseHolofoil` two.
_WORD_BEGINS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_KINDS = ("low", "mid", "high", "market")
_PLAIN = "normal"
_REVERSE = "reverse-holofoil"
# What each price says, and whether of the reversed holofoil; of what it knows no such price of, Cardmarket says zero.
_CARDMARKET = {
    "trendPrice": ("market", False),
    "averageSellPrice": ("mid", False),
    "lowPrice": ("low", False),
    "reverseHoloTrend": ("market", True),
    "reverseHoloSell": ("mid", True),
    "reverseHoloLow": ("low", True),
}


def read_pokemon_row(row: object) -> NewItem | NewCardSet:
    """The card or the set that a row tells of; a set is what has a count of cards and no number of its own.

    Raises `RowNotUnderstood` for a row without a name or an id, or with a field of another type.
    """
    fields = Fields(row)
    if "printedTotal" in fields.names() and "number" not in fields.names():
        return _card_set(fields)
    return _card(fields)


def prices_of(row: object) -> Iterator[CardPrice]:
    """What TCGplayer says of a card's variants, in dollars, and Cardmarket in euros, as of the days that they say.

    Of each shop the plain printing comes first and the reversed one last. TCGplayer's `directLow` is one seller's offer
    and is left out, and so are Cardmarket's averages over days.
    """
    fields = Fields(row)
    yield from _tcgplayer(fields)
    yield from _cardmarket(fields)


def _tcgplayer(fields: Fields) -> Iterator[CardPrice]:
    shop, prices = fields.object("tcgplayer"), _tcgplayer_prices(fields)
    day = None if shop is None else shop.day("updatedAt")
    for printing in sorted(_printings(prices), key=_is_unusual):
        of_printing = None if prices is None else prices.object(printing)
        if of_printing is not None:
            for kind in _KINDS:
                amount = of_printing.amount(kind)
                if amount is not None:
                    yield CardPrice(kind, _variant(printing).key, "USD", amount, "tcgplayer", day)


def _cardmarket(fields: Fields) -> Iterator[CardPrice]:
    shop = fields.object("cardmarket")
    prices = None if shop is None else shop.object("prices")
    if shop is None or prices is None:
        return
    variants = [_variant(printing).key for printing in _printings(_tcgplayer_prices(fields))]
    day = shop.day("updatedAt")
    for name, (kind, is_reverse) in _CARDMARKET.items():
        amount = prices.amount(name)
        if amount is None:
            continue
        if not is_reverse:
            yield CardPrice(kind, _usual_variant(variants), "EUR", amount, "cardmarket", day)
        elif amount and _REVERSE in variants:
            yield CardPrice(kind, _REVERSE, "EUR", amount, "cardmarket", day)


def _is_unusual(printing: str) -> tuple[bool, bool]:
    variant = _variant(printing).key
    return variant == _REVERSE, variant != _PLAIN


def _usual_variant(variants: Sequence[str]) -> str | None:
    """The variant that is meant by a price of the card: the plain one, else the first that is not reversed."""
    if _PLAIN in variants:
        return _PLAIN
    return next((variant for variant in variants if variant != _REVERSE), None)


def _card_set(fields: Fields) -> NewCardSet:
    images = fields.object("images")
    return NewCardSet(
        game=GAME,
        code=fields.required_text("id"),
        name=fields.required_text("name"),
        released_on=fields.day("releaseDate"),
        card_count=fields.count("total"),
        icon_url=None if images is None else images.text("symbol"),
    )


def _card(fields: Fields) -> NewItem:
    name = fields.required_text("name")
    card_id = fields.required_text("id")
    card_set, images = fields.object("set"), fields.object("images")
    variants = tuple(_variant(printing) for printing in _printings(_tcgplayer_prices(fields)))
    return NewItem(
        slug=slug_of(f"{name} {card_id}"),
        name=name,
        details=CardDetails(
            game=GAME,
            card_set=None if card_set is None else _card_set(card_set),
            number=fields.identifier("number"),
            rarity=fields.text("rarity"),
            type_line=_type_line(fields),
            artist=fields.text("artist"),
            language="en",
            finishes=tuple(variant.key for variant in variants) or None,
        ),
        image_url=None if images is None else images.text("large") or images.text("small"),
        external_ids=(NewExternalId(PROVIDER, card_id),),
        variants=variants,
    )


def _type_line(fields: Fields) -> str | None:
    parts = [fields.text("supertype"), " ".join(fields.texts("subtypes") or ())]
    return " — ".join(part for part in parts if part) or None


def _tcgplayer_prices(fields: Fields) -> Fields | None:
    shop = fields.object("tcgplayer")
    return None if shop is None else shop.object("prices")


def _printings(prices: Fields | None) -> tuple[str, ...]:
    """The names of the printings that have prices; of those that come to one variant the first."""
    by_key: dict[str, str] = {}
    for name in () if prices is None else prices.names():
        by_key.setdefault(_variant(name).key, name)
    return tuple(name for key, name in by_key.items() if key not in {"", "default"})


def _variant(printing: str) -> NewVariant:
    words = _WORD_BEGINS.sub(" ", printing)
    return NewVariant(slug_of(words), words.capitalize())
