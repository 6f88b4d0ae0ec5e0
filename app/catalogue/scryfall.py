"""Cards and sets of Magic: The Gathering, as Scryfall's files have them. No tables in here."""

from collections.abc import Iterator

from app.catalogue.card_prices import CardPrice
from app.catalogue.errors import RowNotUnderstood
from app.catalogue.fields import Fields
from app.catalogue.new_items import CardDetails, CardName, NewCardSet, NewExternalId, NewItem, NewRuling, NewVariant
from app.catalogue.slugs import slug_of

GAME = "mtg"
PROVIDER = "scryfall"

_MOST_CHARACTERS_OF_A_RULING = 5_000
_FINISHES = {"nonfoil": "Nonfoil", "foil": "Foil", "etched": "Etched foil"}
# An oracle id is not among these: all prints of a card share it, and an external id names one item.
_IDS = {
    "tcgplayer": "tcgplayer_id",
    "cardmarket": "cardmarket_id",
    "mtgo": "mtgo_id",
    "arena": "arena_id",
}
_PRICES = {
    "usd": ("nonfoil", "USD", "tcgplayer"),
    "usd_foil": ("foil", "USD", "tcgplayer"),
    "usd_etched": ("etched", "USD", "tcgplayer"),
    "eur": ("nonfoil", "EUR", "cardmarket"),
    "eur_foil": ("foil", "EUR", "cardmarket"),
    "eur_etched": ("etched", "EUR", "cardmarket"),
}


def read_scryfall_row(row: object) -> NewItem | NewCardSet | NewRuling | CardName:
    """The card, the set or the ruling that a row tells of; a row that is a mere text is the name of a card.

    Raises `RowNotUnderstood` for a row without a name or an id, with a field of another type, or of another object.
    """
    if isinstance(row, str):
        return CardName(GAME, Fields({"name": row}).required_text("name"))
    fields = Fields(row)
    what = fields.text("object")
    if what == "set":
        return _card_set(fields)
    if what == "ruling":
        return _ruling(fields)
    if what not in {None, "card"}:
        raise RowNotUnderstood(f"it is a {what}, not a card, a set or a ruling")
    return _card(fields)


def prices_of(row: object) -> Iterator[CardPrice]:
    """The market prices of a card's finishes. Tickets of Magic Online (`tix`) are no currency and are left out."""
    prices = Fields(row).object("prices")
    if prices is not None:
        for name, (variant, currency, source) in _PRICES.items():
            amount = prices.amount(name)
            if amount is not None:
                yield CardPrice("market", variant, currency, amount, source)


def _card_set(fields: Fields) -> NewCardSet:
    return NewCardSet(
        game=GAME,
        code=fields.required_text("code"),
        name=fields.required_text("name"),
        released_on=fields.day("released_at"),
        card_count=fields.count("card_count"),
        icon_url=fields.text("icon_svg_uri"),
    )


def _ruling(fields: Fields) -> NewRuling:
    return NewRuling(
        oracle_id=fields.required_text("oracle_id"),
        published_on=fields.required_day("published_at"),
        source=fields.required_text("source"),
        comment=fields.required_text("comment", most=_MOST_CHARACTERS_OF_A_RULING),
    )


def _card(fields: Fields) -> NewItem:
    name = fields.required_text("name")
    scryfall_id = fields.required_text("id")
    faces = fields.objects("card_faces")
    set_code, number, language = fields.text("set"), fields.identifier("collector_number"), fields.text("lang")
    finishes = _finishes(fields)
    ids = [(provider, fields.identifier(field)) for provider, field in _IDS.items()]
    slug_parts = [name, set_code, number, None if language == "en" else language]
    return NewItem(
        slug=slug_of(" ".join(part for part in slug_parts if part)),
        name=name,
        details=CardDetails(
            game=GAME,
            card_set=_set_of_card(fields, set_code),
            number=number,
            rarity=fields.text("rarity"),
            type_line=fields.text("type_line") or _joined(faces, "type_line", " // "),
            artist=fields.text("artist") or _joined(faces, "artist", " & "),
            language=language,
            finishes=finishes,
            oracle_id=fields.text("oracle_id") or next((face.text("oracle_id") for face in faces), None),
        ),
        image_url=_image_url(fields, faces),
        external_ids=(
            NewExternalId(PROVIDER, scryfall_id),
            *(NewExternalId(provider, value) for provider, value in ids if value is not None),
        ),
        variants=tuple(NewVariant(key, _FINISHES.get(key, key.capitalize())) for key in finishes or ()),
    )


def _set_of_card(fields: Fields, code: str | None) -> NewCardSet | None:
    if code is None:
        return None
    return NewCardSet(GAME, code, fields.text("set_name"), released_on=fields.day("released_at"))


def _finishes(fields: Fields) -> tuple[str, ...] | None:
    """Older files have no list of finishes, but a flag for each of the two that there were."""
    finishes = fields.texts("finishes")
    if finishes is None:
        finishes = tuple(name for name in ("nonfoil", "foil") if fields.flag(name))
    return tuple(dict.fromkeys(key for finish in finishes if (key := slug_of(finish)) and key != "default")) or None


def _joined(faces: list[Fields], name: str, separator: str) -> str | None:
    texts = [text for face in faces if (text := face.text(name)) is not None]
    return separator.join(texts if name == "type_line" else dict.fromkeys(texts)) or None


def _image_url(fields: Fields, faces: list[Fields]) -> str | None:
    for part in (fields, *faces):
        images = part.object("image_uris")
        if images is not None and (url := images.text("normal")) is not None:
            return url
    return None
