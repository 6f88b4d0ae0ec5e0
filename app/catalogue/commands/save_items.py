"""Save items: what an importer knows becomes rows, and what is stored already stays as it is."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.recognise import Known, recognise
from app.catalogue.commands.save_related import LINKS, Related, save_related
from app.catalogue.errors import ItemsContradict
from app.catalogue.models import (
    DEFAULT_VARIANT_KEY,
    DETAILS,
    SCHEMA,
    ExternalId,
    FigureRelease,
    Item,
    ItemKind,
    ItemVariant,
    Skin,
)
from app.catalogue.new_items import FigureDetails, NewItem, NewRelease
from app.catalogue.queries.redirects import items_with_merges
from app.core.database import Base, Transaction, among, asyncpg_connection
from app.core.ids import new_id

ITEMS_AT_A_TIME = 5_000
CHANGES_TOLD = 20
DEFAULT_VARIANT_NAME = "Default"


@dataclass(frozen=True, slots=True)
class SavedItems:
    """How many items were new, known but different, and known as they are. `changed` names the first that differed."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    changed: tuple[str, ...] = field(default=(), compare=False)

    def __add__(self, other: "SavedItems") -> "SavedItems":
        return SavedItems(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            (self.changed + other.changed)[:CHANGES_TOLD],
        )


async def save_items(transaction: Transaction, items: Sequence[NewItem]) -> SavedItems:
    """Insert the items that are new and bring those that are known up to date; the same call again changes nothing.

    An item is recognised by any of its external ids, else by its slug; a stored slug never changes. Each item gets a
    default variant. Raises `ItemsContradict` when one item would become two, two one, or one of another kind.
    """
    connection = transaction.connection
    _refuse_repeats(items)
    await only_writer(connection)
    saved = SavedItems()
    claimed: dict[UUID, NewItem] = {}
    for start in range(0, len(items), ITEMS_AT_A_TIME):
        chunk = items[start : start + ITEMS_AT_A_TIME]
        related = await save_related(connection, chunk)
        known = await recognise(connection, chunk, related)
        merged = await _merged_before(connection, known.values(), claimed)
        different = [item for item in known.values() if item.given.slug not in merged and item.differs()]
        await _insert(connection, [item for item in chunk if item.slug not in known], related)
        await _update(connection, different)
        saved += SavedItems(len(chunk) - len(known), len(different), len(known) - len(different), _names(different))
    return saved


async def only_writer(connection: AsyncConnection) -> None:
    """Let one at a time write items, so that what was looked up as missing still is when it is inserted."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("catalogue.save_items"))))


def _names(items: Sequence[Known]) -> tuple[str, ...]:
    return tuple(item.given.name for item in items[:CHANGES_TOLD])


def _refuse_repeats(items: Sequence[NewItem]) -> None:
    slugs = Counter(item.slug for item in items)
    names = Counter(external_id for item in items for external_id in set(item.external_ids))
    for slug, count in slugs.items():
        if count > 1:
            raise ItemsContradict(f"{count} of the given items have the slug `{slug}`; give each its own.")
    for name, count in names.items():
        if count > 1:
            raise ItemsContradict(
                f"{count} of the given items are `{name.provider}:{name.external_id}`; an external id names one item."
            )


async def _merged_before(connection: AsyncConnection, known: Iterable[Known], claimed: dict[UUID, NewItem]) -> Set[str]:
    """The given slugs of what staff have merged into an item that is given, too; refuses others that are one item.

    What is given first of an item is what counts.
    """
    repeated = [item for item in known if claimed.setdefault(item.row.id, item.given) is not item.given]
    if not repeated:
        return frozenset()
    winners = set(await items_with_merges(connection, [item.row.id for item in repeated]))
    for item in repeated:
        if item.row.id not in winners:
            other = claimed[item.row.id]
            raise ItemsContradict(
                f"`{other.slug}` and `{item.given.slug}` are one item in the catalogue: `{item.row.slug}`."
            )
    return {item.given.slug for item in repeated}


async def _insert(connection: AsyncConnection, items: Sequence[NewItem], related: Related) -> None:
    if not items:
        return
    await _refuse_taken_market_names(connection, items)
    identified = [(new_id(), item) for item in items]
    await _copy(
        connection,
        Item,
        ("id", "kind", "slug", "name", "image_url", "is_nsfw"),
        [
            (item_id, item.kind.value, item.slug, item.name, item.image_url, bool(item.is_nsfw))
            for item_id, item in identified
        ],
    )
    for kind, table in DETAILS.items():
        rows = [{"item_id": item_id, **related.details(item)} for item_id, item in identified if item.kind is kind]
        if rows:
            await _copy(connection, table, tuple(rows[0]), [tuple(row.values()) for row in rows])
    await _insert_links(connection, [(item_id, related.links(item)) for item_id, item in identified])
    await _insert_releases(
        connection,
        [
            (item_id, item.details.releases)
            for item_id, item in identified
            if isinstance(item.details, FigureDetails) and item.details.releases
        ],
    )
    variants = [row for item_id, item in identified for row in _variant_rows(item_id, item)]
    await _copy(connection, ItemVariant, tuple(_VARIANT_COLUMNS), [tuple(row.values()) for row in variants])
    await _copy(
        connection,
        ExternalId,
        ("provider", "external_id", "item_id"),
        [
            (name.provider, name.external_id, item_id)
            for item_id, item in identified
            for name in dict.fromkeys(item.external_ids)
        ],
    )


async def _insert_links(
    connection: AsyncConnection, linked: Sequence[tuple[UUID, Mapping[type[Base], Collection[UUID]]]]
) -> None:
    for link in LINKS:
        columns = tuple(column.name for column in link.__table__.columns)
        rows = [(item_id, other) for item_id, links in linked for other in links.get(link, ())]
        await _copy(connection, link, columns, rows)


async def _insert_releases(connection: AsyncConnection, released: Sequence[tuple[UUID, Sequence[NewRelease]]]) -> None:
    rows = [
        (item_id, position, release.released_on, release.list_price, release.currency, release.jan)
        for item_id, releases in released
        for position, release in enumerate(releases)
    ]
    columns = ("item_id", "position", "released_on", "list_price", "currency", "jan")
    await _copy(connection, FigureRelease, columns, rows)


async def _copy(
    connection: AsyncConnection, table: type[Base], columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    if rows:
        driver = await asyncpg_connection(connection)
        await driver.copy_records_to_table(table.__tablename__, schema_name=SCHEMA, columns=list(columns), records=rows)


async def _refuse_taken_market_names(connection: AsyncConnection, items: Sequence[NewItem]) -> None:
    names = [name for item in items if (name := getattr(item.details, "market_hash_name", None)) is not None]
    taken = await connection.execute(
        select(Skin.market_hash_name, Item.slug)
        .join(Item, Item.id == Skin.item_id)
        .where(among(Skin.market_hash_name, names))
        .limit(1)
    )
    for row in taken:
        raise ItemsContradict(
            f"“{row.market_hash_name}” is in the catalogue as `{row.slug}`; give the item that slug, or an external id "
            "by which it is known."
        )


_VARIANT_COLUMNS = ("id", "item_id", "key", "name", "is_default", "position")


def _variant_rows(item_id: UUID, item: NewItem) -> list[dict[str, Any]]:
    default = (new_id(), item_id, DEFAULT_VARIANT_KEY, DEFAULT_VARIANT_NAME, True, 0)
    others = [
        (new_id(), item_id, variant.key, variant.name, False, position)
        for position, variant in enumerate(item.variants, start=1)
    ]
    return [dict(zip(_VARIANT_COLUMNS, row, strict=True)) for row in (default, *others)]


async def _update(connection: AsyncConnection, items: Sequence[Known]) -> None:
    if not items:
        return
    table = _table(Item)
    await connection.execute(
        update(table)
        .where(table.c.id == bindparam("row_id"))
        .values(
            name=bindparam("new_name"),
            image_url=bindparam("new_image_url"),
            is_nsfw=bindparam("new_is_nsfw"),
            updated_at=func.now(),
        ),
        [
            {
                "row_id": item.row.id,
                "new_name": item.given.name,
                "new_image_url": item.new_image_url(),
                "new_is_nsfw": item.new_is_nsfw(),
            }
            for item in items
        ],
    )
    for kind in ItemKind:
        await _update_details(connection, kind, [item for item in items if item.row.kind is kind])
    await _update_links(connection, items)
    await _update_releases(connection, items)
    await _update_variants(connection, items)
    new_names = [{"item_id": item.row.id, **asdict(name)} for item in items for name in item.new_external_ids()]
    if new_names:
        await connection.execute(insert(ExternalId), new_names)


async def _update_details(connection: AsyncConnection, kind: ItemKind, items: Sequence[Known]) -> None:
    changed = [item.new_details() for item in items if item.details_differ()]
    if not changed:
        return
    upsert = postgresql.insert(DETAILS[kind])
    replaced = {name: upsert.excluded[name] for name in changed[0] if name != "item_id"}
    await connection.execute(upsert.on_conflict_do_update(index_elements=["item_id"], set_=replaced), changed)


async def _update_links(connection: AsyncConnection, items: Sequence[Known]) -> None:
    changed = [(item.row.id, item.new_links()) for item in items]
    for link in LINKS:
        relinked = [item_id for item_id, links in changed if link in links]
        if relinked:
            await connection.execute(delete(link).where(among(link.__table__.c.item_id, relinked)))
    await _insert_links(connection, changed)


async def _update_releases(connection: AsyncConnection, items: Sequence[Known]) -> None:
    changed = [(item.row.id, releases) for item in items if (releases := item.new_releases()) is not None]
    if changed:
        item_ids = [item_id for item_id, _ in changed]
        await connection.execute(delete(FigureRelease).where(among(FigureRelease.item_id, item_ids)))
        await _insert_releases(connection, changed)


async def _update_variants(connection: AsyncConnection, items: Sequence[Known]) -> None:
    missing = [row for item in items for row in item.missing_variants(_variant_rows(item.row.id, item.given))]
    if missing:
        await connection.execute(insert(ItemVariant), missing)
    renamed = [
        {"row_id": variant_id, "new_name": name} for item in items for variant_id, name in item.renamed_variants()
    ]
    if renamed:
        table = _table(ItemVariant)
        await connection.execute(
            update(table).where(table.c.id == bindparam("row_id")).values(name=bindparam("new_name")), renamed
        )


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101 - a mapped class of ours is a table; this tells the type checker
    return table
