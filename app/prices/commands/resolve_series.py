"""Finds the series that rows name, and makes the sources and series that are missing."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.catalogue.models import ExternalId, Item, ItemVariant
from app.catalogue.queries.redirects import items_of_old_ids, items_of_old_slugs
from app.core.database import among
from app.core.ids import PublicIdTag, public_id
from app.prices.commands.read_rows import ItemName, SeriesName
from app.prices.models import Source

# Identifiers of sources are two bytes; a batch that makes up codes must not use them up.
MAXIMUM_NEW_SOURCES = 100

_SeriesKey = tuple[UUID, int, str, str]


@dataclass(frozen=True, slots=True)
class ResolvedSeries:
    """The id of each series that there is, and for the other names the reason why there is none."""

    ids: Mapping[SeriesName, int]
    refusals: Mapping[SeriesName, str]


@dataclass(frozen=True, slots=True)
class _Variants:
    """What the catalogue has of the items that rows name."""

    items: set[ItemName] = field(default_factory=set)
    defaults: dict[ItemName, UUID] = field(default_factory=dict)
    by_key: dict[tuple[ItemName, str], UUID] = field(default_factory=dict)

    def add(self, item: ItemName, variant_id: UUID | None, key: str | None, *, is_default: bool | None) -> None:
        """Note an item and one of its variants, if it has any."""
        self.items.add(item)
        if variant_id is not None and key is not None:
            self.by_key[item, key] = variant_id
            if is_default:
                self.defaults[item] = variant_id


async def resolve_series(connection: AsyncConnection, names: Collection[SeriesName]) -> ResolvedSeries:
    """The series that the names mean. Sources and series are made at their first use, items and variants are not."""
    variants = await _variants(connection, names)
    refusals: dict[SeriesName, str] = {}
    variant_ids: dict[SeriesName, UUID] = {}
    for name in names:
        variant_id = _variant_of(name, variants)
        if variant_id is None:
            refusals[name] = _why_no_variant(name, variants)
        else:
            variant_ids[name] = variant_id
    sources = await _sources(connection, {name.source for name in variant_ids})
    keys: dict[SeriesName, _SeriesKey] = {}
    for name, variant_id in variant_ids.items():
        if name.source in sources:
            keys[name] = (variant_id, sources[name.source], name.kind, name.currency)
        else:
            refusals[name] = f"A batch may bring at most {MAXIMUM_NEW_SOURCES} new sources, and this is one too many."
    series = await _series(connection, set(keys.values()))
    return ResolvedSeries({name: series[key] for name, key in keys.items()}, refusals)


async def _variants(connection: AsyncConnection, names: Collection[SeriesName]) -> _Variants:
    items = {name.item for name in names}
    ids = {item for item in items if isinstance(item, UUID)}
    slugs = {item for item in items if isinstance(item, str) and _is_storable(item)}
    external_ids = [item for item in items if isinstance(item, tuple) and _is_storable(*item)]
    keys = {name.variant for name in names if name.variant is not None and _is_storable(name.variant)}
    wanted = or_(ItemVariant.is_default, among(ItemVariant.key, keys))
    columns = (ItemVariant.id, ItemVariant.key, ItemVariant.is_default)
    variants = _Variants()
    if ids:
        by_id = await connection.execute(
            select(Item.id, *columns)
            .outerjoin(ItemVariant, (ItemVariant.item_id == Item.id) & wanted)
            .where(among(Item.id, ids))
        )
        for item_id, variant_id, key, is_default in by_id:
            variants.add(item_id, variant_id, key, is_default=is_default)
        await _add_moved(connection, variants, await items_of_old_ids(connection, ids - variants.items), wanted)
    if slugs:
        by_slug = await connection.execute(
            select(Item.slug, *columns)
            .outerjoin(ItemVariant, (ItemVariant.item_id == Item.id) & wanted)
            .where(among(Item.slug, slugs))
        )
        for slug, variant_id, key, is_default in by_slug:
            variants.add(slug, variant_id, key, is_default=is_default)
        await _add_moved(connection, variants, await items_of_old_slugs(connection, slugs - variants.items), wanted)
    if external_ids:
        providers, identifiers = (set(values) for values in zip(*external_ids, strict=True))
        by_external_id = await connection.execute(
            select(ExternalId.provider, ExternalId.external_id, *columns)
            .outerjoin(ItemVariant, (ItemVariant.item_id == ExternalId.item_id) & wanted)
            .where(among(ExternalId.provider, providers), among(ExternalId.external_id, identifiers))
        )
        for provider, identifier, variant_id, key, is_default in by_external_id:
            variants.add((provider, identifier), variant_id, key, is_default=is_default)
    return variants


async def _add_moved(
    connection: AsyncConnection, variants: _Variants, moved: Mapping[Any, UUID], wanted: ColumnElement[bool]
) -> None:
    """Note what rows name by an id or a slug that an item had before."""
    if not moved:
        return
    rows = await connection.execute(
        select(ItemVariant.item_id, ItemVariant.id, ItemVariant.key, ItemVariant.is_default)
        .where(among(ItemVariant.item_id, moved.values()))
        .where(wanted)
    )
    found = rows.all()
    for name, item_id in moved.items():
        for row in found:
            if row.item_id == item_id:
                variants.add(name, row.id, row.key, is_default=row.is_default)


def _is_storable(*values: str) -> bool:
    """Whether PostgreSQL can hold the text at all; it has no zero character."""
    return not any("\x00" in value for value in values)


def _variant_of(name: SeriesName, variants: _Variants) -> UUID | None:
    if name.variant is None:
        return variants.defaults.get(name.item)
    return variants.by_key.get((name.item, name.variant))


def _why_no_variant(name: SeriesName, variants: _Variants) -> str:
    shown = _shown(name.item)
    if name.item not in variants.items:
        return f"There is no item “{shown}”."
    if name.variant is None:
        return f"The item “{shown}” has no default variant; name one in `variant`."
    return f"The item “{shown}” has no variant “{name.variant}”."


def _shown(item: ItemName) -> str:
    if isinstance(item, UUID):
        return public_id(PublicIdTag.ITEM, item)
    return item if isinstance(item, str) else ":".join(item)


async def _sources(connection: AsyncConnection, codes: set[str]) -> dict[str, int]:
    sources = await _known_sources(connection, codes)
    # Only what is missing is inserted: even a conflict draws an identifier, and there are not many.
    missing = sorted(codes - sources.keys())[:MAXIMUM_NEW_SOURCES]
    if missing:
        await connection.execute(
            insert(Source).values([{"code": code, "name": code} for code in missing]).on_conflict_do_nothing()
        )
        sources |= await _known_sources(connection, missing)
    return sources


async def _known_sources(connection: AsyncConnection, codes: Iterable[str]) -> dict[str, int]:
    rows = await connection.execute(select(Source.code, Source.id).where(among(Source.code, codes)))
    return {row.code: row.id for row in rows}


async def _series(connection: AsyncConnection, keys: set[_SeriesKey]) -> dict[_SeriesKey, int]:
    series = await _known_series(connection, keys)
    missing = keys - series.keys()
    if missing:
        # One order for all writers, so that two batches that make the same series wait for each other only one way.
        await connection.execute(_MAKE_SERIES, _as_columns(sorted(missing)))
        series |= await _known_series(connection, missing)
    return series


async def _known_series(connection: AsyncConnection, keys: set[_SeriesKey]) -> dict[_SeriesKey, int]:
    rows = await connection.execute(_FIND_SERIES, _as_columns(keys))
    return {(row.variant_id, row.source_id, row.kind, row.currency): row.id for row in rows}


def _as_columns(keys: Iterable[_SeriesKey]) -> dict[str, list[object]]:
    listed = list(keys)
    names = ("variants", "sources", "kinds", "currencies")
    return {name: [key[index] for key in listed] for index, name in enumerate(names)}


_FIND_SERIES = text("""
    SELECT id, variant_id, source_id, kind, currency
    FROM prices.price_series JOIN unnest(
        CAST(:variants AS uuid[]), CAST(:sources AS smallint[]), CAST(:kinds AS text[]), CAST(:currencies AS text[])
    ) AS wanted (variant_id, source_id, kind, currency) USING (variant_id, source_id, kind, currency)
""")
_MAKE_SERIES = text("""
    INSERT INTO prices.price_series (variant_id, source_id, kind, currency)
    SELECT * FROM unnest(
        CAST(:variants AS uuid[]), CAST(:sources AS smallint[]), CAST(:kinds AS text[]), CAST(:currencies AS text[])
    )
    ON CONFLICT DO NOTHING
""")
