"""CS2 skins with all their wears, as the CSGO-API project lists them in `skins.json`. No tables in here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from app.catalogue.cs2 import MarketName, collection_among, crates_among, market_name, phase_variants
from app.catalogue.errors import RowNotUnderstood
from app.catalogue.fields import MOST_CHARACTERS, Fields
from app.catalogue.left_out import LeftOut
from app.catalogue.new_items import NewVariant, SkinDetails

# Floats from the first, and less than the second; the last wear takes in 1 too.
WEARS: Mapping[str, tuple[float, float]] = {
    "Factory New": (0.0, 0.07),
    "Minimal Wear": (0.07, 0.15),
    "Field-Tested": (0.15, 0.38),
    "Well-Worn": (0.38, 0.45),
    "Battle-Scarred": (0.45, 1.01),
}

_STAR = "★ "
_STARRED = frozenset({"Knife", "Gloves"})
_CATEGORIES = {
    "Pistols": "Pistol",
    "Rifles": "Rifle",
    "SMGs": "SMG",
    "Knives": "Knife",
    "Gloves": "Gloves",
    "Equipment": "Equipment",
}
# What the list calls rifles and heavy weapons the game tells apart.
_CATEGORY_BY_WEAPON = {
    "AWP": "Sniper Rifle",
    "G3SG1": "Sniper Rifle",
    "SCAR-20": "Sniper Rifle",
    "SSG 08": "Sniper Rifle",
    "M249": "Machinegun",
    "Negev": "Machinegun",
    "MAG-7": "Shotgun",
    "Nova": "Shotgun",
    "Sawed-Off": "Shotgun",
    "XM1014": "Shotgun",
}


@dataclass(frozen=True, slots=True)
class SkinRow:
    """A skin of the list: a paint on a weapon in one phase, or a knife without paint.

    Where the list does not say whether there are StatTrak or souvenir ones, `stattrak` and `souvenir` are None.
    """

    skin_id: str
    weapon: str
    pattern: str | None
    wears: tuple[str, ...]
    starred: bool
    stattrak: bool | None
    souvenir: bool | None
    category: str | None
    rarity: str | None
    float_minimum: float | None
    float_maximum: float | None
    phase: str | None
    image_url: str | None
    collections: tuple[str, ...]
    containers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedItem:
    """A market item that skins of the list tell of. Where it is not `certain`, there may be none of that name."""

    details: SkinDetails
    image_url: str | None
    variants: tuple[NewVariant, ...]
    certain: bool


def read_skin_row(row: object) -> SkinRow:
    """The skin that a row tells of, with names as texts (the files of 2023) or as objects of id and name (newer ones).

    Raises `RowNotUnderstood` for a row without an id, a weapon or a wear, with a field of another type, or with a wear
    that its floats do not reach.
    """
    fields = Fields(row)
    skin_id, weapon = fields.required_text("id"), _name(fields, "weapon")
    if weapon is None:
        raise RowNotUnderstood("it has no weapon")
    weapon = weapon.removeprefix(_STAR)
    category = _CATEGORY_BY_WEAPON.get(weapon) or _CATEGORIES.get(_name(fields, "category") or "")
    starred = category in _STARRED or fields.required_text("name").startswith(_STAR)
    pattern = _name(fields, "pattern")
    if len(market_name(MarketName(weapon, pattern, "Battle-Scarred", True, True, True))) > MOST_CHARACTERS:
        raise RowNotUnderstood(f"its names on the market have more than {MOST_CHARACTERS} characters")
    least, most = fields.share("min_float"), fields.share("max_float")
    if least is not None and most is not None and least > most:
        raise RowNotUnderstood(f"min_float {least} is more than max_float {most}")
    return SkinRow(
        skin_id=skin_id,
        weapon=weapon,
        pattern=pattern,
        wears=_wears(fields, pattern, least, most, starred=starred),
        starred=starred,
        stattrak=fields.flag("stattrak"),
        souvenir=fields.flag("souvenir"),
        category=category,
        rarity=_name(fields, "rarity"),
        float_minimum=least,
        float_maximum=most,
        phase=fields.text("phase"),
        image_url=fields.text("image"),
        collections=_names(fields, "collections"),
        containers=_names(fields, "crates"),
    )


def _wears(
    fields: Fields, pattern: str | None, least: float | None, most: float | None, *, starred: bool
) -> tuple[str, ...]:
    """The wears that the row names, else those that its floats reach; none for a knife without paint."""
    if pattern is None:
        if not starred:
            raise RowNotUnderstood("it is a weapon without paint, which nobody sells")
        return ()
    reached = [
        wear
        for wear, (start, end) in WEARS.items()
        if least is not None and most is not None and least < end and (most > start or most == least >= start)
    ]
    named = _names(fields, "wears")
    for wear in named:
        if wear not in WEARS:
            raise RowNotUnderstood(f"“{wear}” is no wear")
        if least is not None and most is not None and wear not in reached:
            raise RowNotUnderstood(f"its floats, {least} to {most}, do not reach {wear}")
    if not named and not reached:
        raise RowNotUnderstood("it has no wears, and no min_float and max_float to tell them by")
    return named or tuple(reached)


def _name(fields: Fields, name: str) -> str | None:
    """A name, or the name of an object."""
    if fields.is_text(name):
        return fields.text(name)
    one = fields.object(name)
    return None if one is None else one.text("name")


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    """A list of names, or of objects with names, each once."""
    if fields.holds_texts(name):
        return fields.texts(name) or ()
    return tuple(dict.fromkeys(one.required_text("name") for one in fields.objects(name)))


def listed_items(rows: Sequence[tuple[int, SkinRow]]) -> tuple[list[ListedItem], list[LeftOut]]:
    """The market items that numbered rows tell of, each once, and the rows whose skin an earlier row told already.

    The market sells the phases of a paint under one name, so their rows tell of the same items.
    """
    seen: dict[tuple[str, str | None], int] = {}
    rejected = []
    by_name: dict[str, list[tuple[MarketName, SkinRow, bool]]] = {}
    for number, row in rows:
        first = seen.setdefault((row.skin_id, row.phase), number)
        if first != number:
            rejected.append(LeftOut(number, f"it is {row.skin_id}, as row {first:,} is"))
            continue
        for parts, certain in _market_names(row):
            by_name.setdefault(market_name(parts), []).append((parts, row, certain))
    return [_listed(name, told) for name, told in by_name.items()], rejected


def _market_names(row: SkinRow) -> Iterator[tuple[MarketName, bool]]:
    marks = [(False, False, True)]
    if row.stattrak is not False:
        marks.append((True, False, row.stattrak is True))
    if row.souvenir is not False:
        marks.append((False, True, row.souvenir is True))
    for (stattrak, souvenir, certain), wear in product(marks, row.wears or (None,)):
        yield MarketName(row.weapon, row.pattern, wear, row.starred, stattrak, souvenir), certain


def _listed(name: str, told: Sequence[tuple[MarketName, SkinRow, bool]]) -> ListedItem:
    parts = told[0][0]
    rows = [row for _, row, _ in told]
    containers = tuple(dict.fromkeys(one for row in rows for one in row.containers))
    collections = {one for row in rows for one in row.collections}
    phases = sorted({row.phase for row in rows if row.phase is not None})
    return ListedItem(
        details=SkinDetails(
            market_hash_name=name,
            category=_only(row.category for row in rows),
            weapon=parts.head,
            skin=parts.tail,
            wear=parts.wear,
            rarity=_only(row.rarity for row in rows),
            stattrak=parts.stattrak,
            souvenir=parts.souvenir,
            float_minimum=min((row.float_minimum for row in rows if row.float_minimum is not None), default=None),
            float_maximum=max((row.float_maximum for row in rows if row.float_maximum is not None), default=None),
            collection=collections.pop() if len(collections) == 1 else collection_among(containers),
            crates=crates_among(containers, souvenir=parts.souvenir),
        ),
        image_url=next((row.image_url for row in rows if row.image_url is not None), None),
        variants=phase_variants(phases),
        certain=any(certain for _, _, certain in told),
    )


def _only(values: Iterable[str | None]) -> str | None:
    said = {value for value in values if value is not None}
    return said.pop() if len(said) == 1 else None
