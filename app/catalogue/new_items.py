"""What an importer tells the catalogue of an item, and of what it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.catalogue.models import ItemKind


@dataclass(frozen=True, slots=True)
class SkinDetails:
    """A CS2 market item; floats are from 0 to 1."""

    market_hash_name: str
    category: str | None = None
    weapon: str | None = None
    skin: str | None = None
    wear: str | None = None
    rarity: str | None = None
    stattrak: bool = False
    souvenir: bool = False
    float_minimum: float | None = None
    float_maximum: float | None = None
    collection: str | None = None
    crates: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CoinDetails:
    """A coin: its ticker symbol, the decimal places of its smallest unit, and the chain and contract of a token."""

    symbol: str
    decimals: int | None = None
    chain: str | None = None
    contract_address: str | None = None


@dataclass(frozen=True, slots=True)
class NewCardSet:
    """A set of cards, known by its game and its code. Without a name it has its code for one."""

    game: str
    code: str
    name: str | None = None
    released_on: date | None = None
    card_count: int | None = None
    icon_url: str | None = None


@dataclass(frozen=True, slots=True)
class CardDetails:
    """A trading card: one print, and the set that it belongs to."""

    game: str
    card_set: NewCardSet | None = None
    number: str | None = None
    rarity: str | None = None
    type_line: str | None = None
    artist: str | None = None
    language: str | None = None
    finishes: tuple[str, ...] | None = None
    oracle_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewRuling:
    """What was said of how a card is to be played; all prints of the card have its oracle id."""

    oracle_id: str
    published_on: date
    source: str
    comment: str


@dataclass(frozen=True, slots=True)
class CardName:
    """The name of a card of a game that the catalogue should have, and no more."""

    game: str
    name: str


@dataclass(frozen=True, slots=True)
class NewRelease:
    """One release of a figure: its day, its list price (MSRP) with the currency, and its JAN code."""

    released_on: date | None = None
    list_price: Decimal | None = None
    currency: str | None = None
    jan: str | None = None


@dataclass(frozen=True, slots=True)
class FigureDetails:
    """A collectible figure; the scale as its maker writes it (`1/7`), the others by their names."""

    manufacturer: str | None = None
    scale: str | None = None
    series: tuple[str, ...] | None = None
    characters: tuple[str, ...] | None = None
    sculptors: tuple[str, ...] | None = None
    releases: tuple[NewRelease, ...] | None = None


Details = SkinDetails | CoinDetails | CardDetails | FigureDetails


KINDS: Mapping[type[Details], ItemKind] = {
    SkinDetails: ItemKind.SKIN,
    CoinDetails: ItemKind.COIN,
    CardDetails: ItemKind.CARD,
    FigureDetails: ItemKind.FIGURE,
}


@dataclass(frozen=True, slots=True)
class NewExternalId:
    """The name that an outside service has for an item."""

    provider: str
    external_id: str


@dataclass(frozen=True, slots=True)
class NewVariant:
    """A variant beside the default one; the key is unique within its item."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class NewItem:
    """All that an importer knows of one item. None says nothing: what is stored stays."""

    slug: str
    name: str
    details: Details
    image_url: str | None = None
    external_ids: tuple[NewExternalId, ...] = ()
    variants: tuple[NewVariant, ...] = ()
    is_nsfw: bool | None = None

    @property
    def kind(self) -> ItemKind:
        """The kind that the details are of."""
        return KINDS[type(self.details)]
