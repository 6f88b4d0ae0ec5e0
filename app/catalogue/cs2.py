"""CS2 market names: what the name of a market item, with the schema of the game, tells about it. No tables in here."""

import gzip
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.catalogue.errors import CatalogueNotUnderstood, RowNotUnderstood
from app.catalogue.fields import Fields
from app.catalogue.new_items import NewVariant
from app.catalogue.slugs import distinct_slug_of, slug_of

NAMES_FILE = "market_hash_names.json"
SCHEMA_FILES = ("containers", "definitions", "items", "paints", "phases", "rarities", "sticker_kits", "types", "wears")

PLAIN = "plain"
PAINTED = "painted"
VANILLA = "vanilla"

_GZIP = b"\x1f\x8b"
_STAR = "★ "
_STATTRAK = "StatTrak™ "
_SOUVENIR = "Souvenir "
_SEPARATOR = " | "
_SOUVENIR_PACKAGE = " Souvenir Package"
_COLLECTION = re.compile(r"The .+ Collection|(?P<sold>.+ Collection) Package")
_IN_PARENTHESES = re.compile(r"^(?P<name>.+) \((?P<last>[^()]+)\)$")

_WEAPON_CATEGORIES = frozenset(
    {"Pistol", "Rifle", "Sniper Rifle", "SMG", "Shotgun", "Machinegun", "Knife", "Gloves", "Equipment"}
)
# What stands before the first bar of things that are not held in the hand.
_CATEGORY_BY_HEAD = {
    "Sticker": "Sticker",
    "Patch": "Patch",
    "Charm": "Charm",
    "Music Kit": "Music Kit",
    "Graffiti": "Graffiti",
    "Sealed Graffiti": "Graffiti",
}
# For things that the schema does not list (yet): the market names them by what they are.
_CATEGORY_BY_LAST_WORD = {
    "Case": "Container",
    "Capsule": "Container",
    "Package": "Container",
    "Key": "Key",
    "Pass": "Pass",
    "Pin": "Collectible",
}
# The schema's rarity is that of the paint alone. On a weapon that is rare itself the game shows the next one, at most
# Covert; knives and gloves are as rare as can be, whatever their paint.
_RARE_WEAPONS = frozenset({"AK-47", "AWP", "Desert Eagle", "Glock-18", "M4A1-S", "M4A4", "P2000", "USP-S"})
_COVERT = 6
_RARITY_OF_STARRED = {"Knife": "Covert", "Gloves": "Extraordinary"}


@dataclass(frozen=True, slots=True)
class MarketName:
    """The parts of a market hash name: `★ StatTrak™ Karambit | Doppler (Factory New)`.

    `head` stands before the first bar (`Karambit`), `tail` after it (`Doppler`), without wear, star and marks.
    """

    head: str
    tail: str | None
    wear: str | None
    starred: bool
    stattrak: bool
    souvenir: bool


@dataclass(frozen=True, slots=True)
class MarketItem:
    """What is known of a market item; what its name and the schema do not tell is None.

    `phases` are the schema's phases of the paint (`Phase 1`, `Ruby`): the market sells them under one name. `crates`
    are what it comes out of itself: souvenirs out of souvenir packages alone, nothing else out of those.
    """

    market_hash_name: str
    name_id: int
    category: str | None = None
    weapon: str | None = None
    skin: str | None = None
    wear: str | None = None
    rarity: str | None = None
    stattrak: bool = False
    souvenir: bool = False
    float_minimum: float | None = None
    float_maximum: float | None = None
    image_url: str | None = None
    phases: tuple[str, ...] = ()
    collection: str | None = None
    crates: tuple[str, ...] | None = None

    @property
    def shape(self) -> str:
        """`painted`, `vanilla`, the category in lower case, or `plain` for a name that tells nothing."""
        if self.weapon is not None:
            return VANILLA if self.skin is None else PAINTED
        return PLAIN if self.category is None else self.category.lower()


def parse_market_name(market_hash_name: str, wears: Iterable[str]) -> MarketName:
    """Take a market hash name apart. Parentheses that hold no wear belong to the name."""
    name, starred = _without_prefix(market_hash_name, _STAR)
    name, stattrak = _without_prefix(name, _STATTRAK)
    name, souvenir = _without_prefix(name, _SOUVENIR)
    in_parentheses = _IN_PARENTHESES.match(name)
    wear = None
    if in_parentheses is not None and in_parentheses["last"] in wears:
        name, wear = in_parentheses["name"], in_parentheses["last"]
    head, _, tail = name.partition(_SEPARATOR)
    return MarketName(head, tail or None, wear, starred, stattrak, souvenir)


def market_name(parts: MarketName) -> str:
    """The market hash name that is made of these parts."""
    marks = (_STAR * parts.starred) + (_STATTRAK * parts.stattrak) + (_SOUVENIR * parts.souvenir)
    name = parts.head if parts.tail is None else f"{parts.head}{_SEPARATOR}{parts.tail}"
    return f"{marks}{name}" if parts.wear is None else f"{marks}{name} ({parts.wear})"


def collection_among(containers: Iterable[str]) -> str | None:
    """The collection that containers of these names hold; None where none or several say one."""
    found = {
        f"The {match['sold']}" if match["sold"] else name
        for name in containers
        if (match := _COLLECTION.fullmatch(name)) is not None
    }
    return found.pop() if len(found) == 1 else None


def crates_among(containers: Iterable[str], *, souvenir: bool) -> tuple[str, ...] | None:
    """The cases and packages that a souvenir, or what is none, comes out of; None where none is named.

    A container that is named as its collection is that collection, dropped as a whole, and no crate.
    """
    crates = tuple(
        name
        for name in containers
        if name.endswith(_SOUVENIR_PACKAGE) == souvenir
        and not (name.startswith("The ") and _COLLECTION.fullmatch(name))
    )
    return crates or None


def phase_variants(phases: Iterable[str]) -> tuple[NewVariant, ...]:
    """The variants of an item that the market sells in phases, each key once."""
    keyed: dict[str, str] = {}
    for phase in phases:
        key = slug_of(phase)
        keyed.setdefault(distinct_slug_of(phase) if key in {"", "default"} else key, phase)
    return tuple(NewVariant(key, phase) for key, phase in keyed.items())


def _containers_by_item(
    containers: Mapping[str, Mapping[str, Any]], definitions: Mapping[str, Mapping[str, str]]
) -> dict[str, list[str]]:
    """The names of the containers of each item, by the item's key in the schema."""
    by_item: dict[str, list[str]] = defaultdict(list)
    for key, row in containers.items():
        if key in definitions:
            for item in row["items"]:
                by_item[item].append(definitions[key]["name"])
    return by_item


def _without_prefix(name: str, prefix: str) -> tuple[str, bool]:
    return name.removeprefix(prefix), name.startswith(prefix)


@dataclass(frozen=True, slots=True)
class _Definition:
    category: str | None
    rarity: str | None


@dataclass(frozen=True, slots=True)
class _Paint:
    rarity: int
    wear_minimum: float
    wear_maximum: float
    phase: str | None
    image_url: str | None
    containers: Sequence[str]


class Schema:
    """The game's schema: what its definitions, paints and sticker kits tell, by their names."""

    def __init__(self, files: Mapping[str, Any]) -> None:
        self._rarities: Mapping[str, Mapping[str, str]] = files["rarities"]
        self._types: Mapping[str, str] = files["types"]
        self._phases: Mapping[str, str] = files["phases"]
        self.wears = frozenset(wear["name"] for wear in files["wears"])
        self._definitions = {row["name"]: self._definition(row) for row in files["definitions"].values()}
        containers = _containers_by_item(files["containers"], files["definitions"])
        self._paints: dict[tuple[str, str], list[_Paint]] = defaultdict(list)
        for key, row in files["items"].items():
            if "paint" in row and row["paint"] in files["paints"] and row["def"] in files["definitions"]:
                paint = files["paints"][row["paint"]]
                weapon = files["definitions"][row["def"]]["name"]
                self._paints[weapon, paint["name"]].append(
                    self._paint(paint, row.get("image"), containers.get(key, ()))
                )
        self._kit_rarities: dict[str, set[str]] = defaultdict(set)
        for kit in files["sticker_kits"].values():
            self._kit_rarities[kit["name"]].add(kit["rarity"])

    def _definition(self, row: Mapping[str, str]) -> _Definition:
        category = self._types.get(row["type"])
        names = "character" if category == "Agent" else "nonweapon"
        return _Definition(category, self._rarities.get(row.get("rarity", ""), {}).get(names))

    def _paint(self, row: Mapping[str, Any], image_url: str | None, containers: Sequence[str]) -> _Paint:
        return _Paint(
            rarity=int(row["rarity"]),
            wear_minimum=_share(row["wear_min"]),
            wear_maximum=_share(row["wear_max"]),
            phase=self._phases.get(row.get("phase", "")),
            image_url=image_url,
            containers=containers,
        )

    def describe(self, market_hash_name: str, name_id: int) -> MarketItem:
        """What the name and this schema tell of a market item; a name of an unknown shape gives a plain item."""
        parts = parse_market_name(market_hash_name, self.wears)
        category = self._weapon_category(parts)
        if category is not None or parts.wear is not None:
            return self._weapon(market_hash_name, name_id, parts, category)
        if parts.tail is not None and parts.head in _CATEGORY_BY_HEAD:
            return MarketItem(
                market_hash_name,
                name_id,
                category=_CATEGORY_BY_HEAD[parts.head],
                rarity=self._kit_rarity(parts.tail),
                stattrak=parts.stattrak,
                souvenir=parts.souvenir,
            )
        # Here a mark belongs to the name: the “StatTrak™ Swap Tool” counts nothing itself.
        last_word = parts.head.rpartition(" ")[2]
        unlisted = _Definition(_CATEGORY_BY_LAST_WORD.get(last_word), None)
        definition = self._definitions.get(market_hash_name, unlisted)
        return MarketItem(market_hash_name, name_id, category=definition.category, rarity=definition.rarity)

    def _weapon_category(self, parts: MarketName) -> str | None:
        definition = self._definitions.get(parts.head)
        if definition is not None and definition.category in _WEAPON_CATEGORIES:
            return definition.category
        if parts.starred:
            return "Gloves" if parts.head.endswith(("Gloves", "Wraps")) else "Knife"
        return None

    def _weapon(self, market_hash_name: str, name_id: int, parts: MarketName, category: str | None) -> MarketItem:
        paints = self._paints.get((parts.head, parts.tail or ""), [])
        containers = tuple(dict.fromkeys(name for paint in paints for name in paint.containers))
        return MarketItem(
            market_hash_name,
            name_id,
            category=category,
            weapon=parts.head,
            skin=parts.tail,
            wear=parts.wear,
            rarity=self._weapon_rarity(parts, category, {paint.rarity for paint in paints}),
            stattrak=parts.stattrak,
            souvenir=parts.souvenir,
            float_minimum=min((paint.wear_minimum for paint in paints), default=None),
            float_maximum=max((paint.wear_maximum for paint in paints), default=None),
            image_url=next((paint.image_url for paint in paints if paint.image_url), None),
            phases=tuple(sorted({paint.phase for paint in paints if paint.phase is not None})),
            collection=collection_among(containers),
            crates=crates_among(containers, souvenir=parts.souvenir),
        )

    def _weapon_rarity(self, parts: MarketName, category: str | None, of_paints: set[int]) -> str | None:
        if parts.starred:
            return _RARITY_OF_STARRED.get(category or "")
        if len(of_paints) != 1:
            return None
        (rarity,) = of_paints
        if parts.head in _RARE_WEAPONS and rarity < _COVERT:
            rarity += 1
        return self._rarities.get(str(rarity), {}).get("weapon")

    def _kit_rarity(self, name: str) -> str | None:
        """A sticker and a patch may share a name; where their rarities differ nothing is known."""
        rarities = self._kit_rarities.get(name, set())
        if len(rarities) != 1:
            return None
        return self._rarities.get(next(iter(rarities)), {}).get("nonweapon")


def read_market(directory: Path) -> list[MarketItem]:
    """The market items of a directory with `market_hash_names.json` and `schema/*.json`, in the order of the file.

    Raises `CatalogueNotUnderstood` when a file is missing or of another shape.
    """
    names = _read_json(directory / NAMES_FILE)
    if not isinstance(names, dict) or not all(type(name_id) is int for name_id in names.values()):
        raise CatalogueNotUnderstood(
            f"{directory / NAMES_FILE} must be one JSON object of market names with their item_nameid, as in "
            '{"AK-47 | Redline (Field-Tested)": 7178002}.'
        )
    try:
        market_names = [name for name in Fields(names).names() if name.strip()]
    except RowNotUnderstood as refusal:
        raise CatalogueNotUnderstood(
            f"{directory / NAMES_FILE} is not of market names: {refusal.message}."
        ) from refusal
    files = {name: _read_json(directory / "schema" / f"{name}.json") for name in SCHEMA_FILES}
    try:
        schema = Schema(files)
        return [_checked(schema.describe(name, names[name])) for name in market_names]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CatalogueNotUnderstood(
            f"The files in {directory / 'schema'} are not of the shape of the cs2-items-schema project: {error!r}."
        ) from error


def _checked(item: MarketItem) -> MarketItem:
    """The item as it is; raises `TypeError` where the schema gives something else than a text for one."""
    told = (item.category, item.rarity, item.image_url, item.collection, *item.phases, *(item.crates or ()))
    odd = [one for one in told if one is not None and not isinstance(one, str)]
    if odd:
        raise TypeError(f"{odd[0]!r} is no text")
    return item


def _share(value: Any) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{share:g} is no float value, which is from 0 to 1")
    return share


def _read_json(path: Path) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CatalogueNotUnderstood(
            f"{path} cannot be read ({error.strerror}); give the directory that holds {NAMES_FILE} and schema/."
        ) from error
    try:
        return json.loads(gzip.decompress(content) if content.startswith(_GZIP) else content)
    except (ValueError, RecursionError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CatalogueNotUnderstood(f"{path} is not a JSON file: {error}.") from error
