"""The things of the demo world. All of them are invented, so that no demo price is taken for a real one."""

from dataclasses import dataclass

from app.catalogue.models import ItemKind
from app.catalogue.new_items import (
    CardDetails,
    CoinDetails,
    Details,
    FigureDetails,
    NewCardSet,
    NewItem,
    NewVariant,
    SkinDetails,
)
from app.catalogue.slugs import slug_of

SETS = {
    "TW1": NewCardSet("Tidewatch", "TW1", "First Tide", card_count=128),
    "TW2": NewCardSet("Tidewatch", "TW2", "Second Moon", card_count=130),
}


@dataclass(frozen=True, slots=True)
class DemoItem:
    """An item, the price that its walk comes back to, and how much it moves in a day (0.02 is two per cent).

    `places` are the decimal places of its prices, `variant_factor` is what its other variant costs of the default one.
    """

    item: NewItem
    currency: str
    price: float
    volatility: float
    places: int = 2
    variant_factor: float = 1.0

    @property
    def is_auctioned(self) -> bool:
        """Whether single sales of it are known; coins only have a market."""
        return self.item.kind is not ItemKind.COIN


def _skin(
    weapon: str, skin: str, wear: str, category: str, rarity: str, price: float, *, stattrak: bool = False
) -> DemoItem:
    name = f"{'StatTrak™ ' if stattrak else ''}{weapon} | {skin} ({wear})"
    details = SkinDetails(
        market_hash_name=name,
        category=category,
        weapon=weapon,
        skin=skin,
        wear=wear,
        rarity=rarity,
        stattrak=stattrak,
        float_minimum=0.0,
        float_maximum=0.8,
    )
    return DemoItem(_item(name, details), "USD", price, 0.025)


def _coin(name: str, symbol: str, price: float, volatility: float, places: int) -> DemoItem:
    return DemoItem(_item(name, CoinDetails(symbol=symbol, decimals=8)), "USD", price, volatility, places)


def _card(name: str, set_code: str, number: str, rarity: str, price: float) -> DemoItem:
    details = CardDetails(game="Tidewatch", card_set=SETS[set_code], number=number, rarity=rarity)
    item = _item(f"{name} ({set_code} {number})", details, NewVariant("foil", "Foil"))
    return DemoItem(item, "EUR", price, 0.03, variant_factor=2.4)


def _figure(name: str, maker: str, series: str, scale: str, price: float) -> DemoItem:
    details = FigureDetails(manufacturer=maker, scale=scale, series=(series,))
    item = _item(f"{name} {scale}", details, NewVariant("opened", "Opened"))
    return DemoItem(item, "JPY", price, 0.012, places=0, variant_factor=0.75)


def _item(name: str, details: Details, *variants: NewVariant) -> NewItem:
    return NewItem(slug=f"demo-{slug_of(name)}", name=name, details=details, variants=variants)


WORLD: tuple[DemoItem, ...] = (
    _skin("Harrier Rifle", "Copper Tide", "Factory New", "Rifle", "Classified", 84.0),
    _skin("Harrier Rifle", "Copper Tide", "Field-Tested", "Rifle", "Classified", 31.5),
    _skin("Harrier Rifle", "Copper Tide", "Field-Tested", "Rifle", "Classified", 72.0, stattrak=True),
    _skin("Harrier Rifle", "Slate Garden", "Minimal Wear", "Rifle", "Restricted", 12.4),
    _skin("Longbow Rifle", "Northern Line", "Factory New", "Sniper Rifle", "Covert", 210.0),
    _skin("Longbow Rifle", "Northern Line", "Battle-Scarred", "Sniper Rifle", "Covert", 58.0),
    _skin("Pocket Nine", "Paper Kite", "Factory New", "Pistol", "Restricted", 9.8),
    _skin("Pocket Nine", "Signal Red", "Well-Worn", "Pistol", "Mil-Spec Grade", 1.35),
    _skin("Courier SMG", "Wet Asphalt", "Field-Tested", "SMG", "Mil-Spec Grade", 0.62),
    _skin("Courier SMG", "Glass Reef", "Minimal Wear", "SMG", "Classified", 24.0),
    _skin("Folding Knife", "Moonwater", "Factory New", "Knife", "Covert", 640.0),
    _skin("Tanker Gloves", "Dust Road", "Field-Tested", "Gloves", "Extraordinary", 155.0),
    _coin("Harbourcoin", "HRBR", 41_250.0, 0.022, 2),
    _coin("Lanternium", "LNTN", 2_310.0, 0.028, 2),
    _coin("Quillnet", "QUIL", 148.0, 0.035, 2),
    _coin("Mossgrid", "MOSS", 12.6, 0.04, 3),
    _coin("Pennywhistle", "PWHI", 0.083, 0.05, 5),
    _coin("Steady Dollar", "STDY", 1.0, 0.0006, 4),
    _coin("Orbitless", "ORBL", 3.42, 0.045, 4),
    _coin("Saltmarsh", "SALT", 0.61, 0.038, 4),
    _card("Keeper of the Ninth Lamp", "TW1", "001", "Mythic", 64.0),
    _card("Drowned Cartographer", "TW1", "017", "Rare", 11.5),
    _card("Gullspeaker", "TW1", "042", "Uncommon", 1.8),
    _card("Breakwater Sentinel", "TW1", "063", "Common", 0.35),
    _card("The Tide Remembers", "TW1", "088", "Rare", 18.9),
    _card("Salt-Eaten Idol", "TW1", "101", "Mythic", 39.0),
    _card("Second Moon Rising", "TW2", "004", "Mythic", 92.0),
    _card("Foghorn Choir", "TW2", "029", "Rare", 7.2),
    _card("Anchor the Storm", "TW2", "051", "Uncommon", 2.4),
    _card("Lighthouse Apprentice", "TW2", "077", "Common", 0.28),
    _card("Wreckers' Bargain", "TW2", "093", "Rare", 14.1),
    _card("Pearl of Returning", "TW2", "120", "Mythic", 51.0),
    _figure("Aoi of the Lantern Fleet", "Kite & Kiln", "Lantern Fleet", "1/7", 18_800.0),
    _figure("Captain Maru, Storm Coat", "Kite & Kiln", "Lantern Fleet", "1/7", 21_500.0),
    _figure("Ren with Paper Fox", "Studio Halyard", "Paper Foxes", "1/8", 14_300.0),
    _figure("Suzu, Winter Market", "Studio Halyard", "Paper Foxes", "1/8", 15_900.0),
    _figure("Clockwork Heron", "North Pier", "Brass Birds", "1/12", 9_400.0),
    _figure("Clockwork Owl", "North Pier", "Brass Birds", "1/12", 8_700.0),
    _figure("Deck Officer Kai", "Kite & Kiln", "Lantern Fleet", "1/6", 32_000.0),
    _figure("The Ferryman", "North Pier", "River Stories", "1/4", 46_000.0),
)
