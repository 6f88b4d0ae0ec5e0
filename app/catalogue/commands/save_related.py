"""Save what items belong to: sets by game and code; makers, series, characters and sculptors by their names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import (
    CardSet,
    Character,
    FigureCharacter,
    FigureSculptor,
    FigureSeries,
    Manufacturer,
    Sculptor,
    Series,
)
from app.catalogue.new_items import CardDetails, FigureDetails, NewCardSet, NewItem
from app.catalogue.slugs import distinct_slug_of, name_key, slug_of
from app.core.database import Base, among
from app.core.ids import new_id

Named = type[Manufacturer] | type[Series] | type[Character] | type[Sculptor]
# By which table a figure is linked to what.
LINKS: Mapping[type[Base], Named] = {FigureSeries: Series, FigureCharacter: Character, FigureSculptor: Sculptor}


@dataclass(frozen=True, slots=True)
class SavedSets:
    """How many sets were new, known but different, and known as they are."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: "SavedSets") -> "SavedSets":
        return SavedSets(self.inserted + other.inserted, self.updated + other.updated, self.unchanged + other.unchanged)


@dataclass(frozen=True, slots=True)
class Related:
    """The keys of what some items belong to."""

    sets: Mapping[tuple[str, str], UUID]
    named: Mapping[Named, Mapping[str, UUID]]

    def details(self, item: NewItem) -> dict[str, Any]:
        """The item's row in the table of its kind, without its key; None where nothing is said."""
        if isinstance(item.details, FigureDetails):
            maker = item.details.manufacturer
            return {
                "manufacturer_id": None if maker is None else self.named[Manufacturer][name_key(maker)],
                "scale": item.details.scale,
            }
        row = {name: list(value) if isinstance(value, tuple) else value for name, value in _fields(item).items()}
        if isinstance(item.details, CardDetails):
            del row["card_set"]
            given = item.details.card_set
            row["set_id"] = None if given is None else self.sets[given.game, given.code]
        return row

    def links(self, item: NewItem) -> dict[type[Base], set[UUID]]:
        """What the item is linked to by each table; the tables about which nothing is said are left out."""
        links = {}
        for link, names in _linked_names(item).items():
            if names is not None:
                known = self.named[LINKS[link]]
                links[link] = {known[name_key(name)] for name in names}
        return links


def _fields(item: NewItem) -> dict[str, Any]:
    details = item.details
    return {name: getattr(details, name) for name in details.__slots__}


def _linked_names(item: NewItem) -> dict[type[Base], Sequence[str] | None]:
    details = item.details
    if not isinstance(details, FigureDetails):
        return {}
    return {
        FigureSeries: details.series,
        FigureCharacter: details.characters,
        FigureSculptor: details.sculptors,
    }


async def save_related(connection: AsyncConnection, items: Sequence[NewItem]) -> Related:
    """Save what the items belong to, and give its keys."""
    sets = {
        (details.card_set.game, details.card_set.code): details.card_set
        for item in items
        if isinstance(details := item.details, CardDetails) and details.card_set is not None
    }
    set_ids, _ = await save_card_sets(connection, list(sets.values()))
    makers = [
        details.manufacturer
        for item in items
        if isinstance(details := item.details, FigureDetails) and details.manufacturer is not None
    ]
    named: dict[Named, Mapping[str, UUID]] = {Manufacturer: await save_names(connection, Manufacturer, makers)}
    for link, table in LINKS.items():
        names = [name for item in items for name in _linked_names(item).get(link) or ()]
        named[table] = await save_names(connection, table, names)
    return Related(set_ids, named)


async def save_names(connection: AsyncConnection, table: Named, names: Iterable[str]) -> dict[str, UUID]:
    """Save what is not known yet by these names, and give the keys by the names as they are compared."""
    wanted = {name_key(name): " ".join(name.split()) for name in names}
    if not wanted:
        return {}
    rows = await connection.execute(select(table.name_key, table.id).where(among(table.name_key, wanted)))
    known = {row.name_key: row.id for row in rows}
    new = {key: name for key, name in wanted.items() if key not in known}
    slugs = await _free_slugs(connection, table, new)
    added = [{"id": new_id(), "slug": slugs[key], "name": name, "name_key": key} for key, name in new.items()]
    if added:
        await connection.execute(insert(table), added)
    return known | {row["name_key"]: row["id"] for row in added}


async def save_card_sets(
    connection: AsyncConnection, sets: Sequence[NewCardSet]
) -> tuple[dict[tuple[str, str], UUID], SavedSets]:
    """Save sets of cards, and give their keys by game and code; None says nothing: what is stored stays."""
    wanted = {(given.game, given.code): given for given in sets}
    if not wanted:
        return {}, SavedSets()
    rows = await connection.execute(
        select(CardSet).where(tuple_(CardSet.game, CardSet.code).in_(bindparam("keys", list(wanted), expanding=True)))
    )
    stored = {(row.game, row.code): row for row in rows}
    new = {key: given for key, given in wanted.items() if key not in stored}
    slugs = await _free_slugs(
        connection, CardSet, {key: f"{given.game} {given.name or given.code}" for key, given in new.items()}
    )
    added = [
        {"id": new_id(), "slug": slugs[key], **asdict(replace(given, name=given.name or given.code))}
        for key, given in new.items()
    ]
    if added:
        await connection.execute(insert(CardSet), added)
    changed = []
    for key, row in stored.items():
        given = {name: value for name, value in asdict(wanted[key]).items() if value is not None}
        if any(getattr(row, name) != value for name, value in given.items()):
            kept = {name: getattr(row, name) for name in ("name", "released_on", "card_count", "icon_url")}
            changed.append({f"new_{name}": value for name, value in (kept | given).items()} | {"row_id": row.id})
    if changed:
        await _update_sets(connection, changed)
    ids = {key: row.id for key, row in stored.items()} | {(row["game"], row["code"]): row["id"] for row in added}
    return ids, SavedSets(len(added), len(changed), len(stored) - len(changed))


async def _update_sets(connection: AsyncConnection, changed: Sequence[Mapping[str, Any]]) -> None:
    await connection.execute(
        update(CardSet.__table__)  # type: ignore[arg-type]  # a mapped class of ours is a table
        .where(CardSet.__table__.c.id == bindparam("row_id"))
        .values(
            name=bindparam("new_name"),
            released_on=bindparam("new_released_on"),
            card_count=bindparam("new_card_count"),
            icon_url=bindparam("new_icon_url"),
            updated_at=func.now(),
        ),
        [{name: value for name, value in row.items() if name not in {"new_game", "new_code"}} for row in changed],
    )


async def _free_slugs(
    connection: AsyncConnection, table: Named | type[CardSet], names: Mapping[Any, str]
) -> dict[Any, str]:
    """A slug for each name: its plain one unless that is empty or another's, else one that ends in a hash."""
    plain = {key: slug_of(name) for key, name in names.items()}
    taken = set(await connection.scalars(select(table.slug).where(among(table.slug, set(plain.values())))))
    slugs = {}
    for key, slug in plain.items():
        slugs[key] = slug if slug and slug not in taken else distinct_slug_of(f"{names[key]} {key}")
        taken.add(slugs[key])
    return slugs
