"""What an importer tells the catalogue of an item."""

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class CoinDetails:
    """A coin: its ticker symbol and the decimal places of its smallest unit."""

    symbol: str
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class CardDetails:
    """A trading card: one print."""

    game: str
    set_code: str | None = None
    number: str | None = None
    rarity: str | None = None


@dataclass(frozen=True, slots=True)
class FigureDetails:
    """A collectible figure; the scale as its maker writes it (`1/7`)."""

    manufacturer: str | None = None
    series: str | None = None
    scale: str | None = None


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

    @property
    def kind(self) -> ItemKind:
        """The kind that the details are of."""
        return KINDS[type(self.details)]
