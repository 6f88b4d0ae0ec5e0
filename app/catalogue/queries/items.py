"""Reads of items. Every set-read takes a list of keys and answers by key."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import DETAILS, Card, ExternalId, FigureRelease, Item, ItemKind, ItemVariant
from app.catalogue.new_items import NewRelease
from app.core.database import Base, among


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item without its details."""

    id: UUID
    kind: ItemKind
    slug: str
    name: str
    image_url: str | None
    is_nsfw: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class VariantRow:
    """A variant of an item."""

    id: UUID
    item_id: UUID
    key: str
    name: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class ExternalIdRow:
    """The name that an outside service has for an item."""

    item_id: UUID
    provider: str
    external_id: str


_ITEM_COLUMNS = (
    Item.id,
    Item.kind,
    Item.slug,
    Item.name,
    Item.image_url,
    Item.is_nsfw,
    Item.created_at,
    Item.updated_at,
)
_VARIANT_COLUMNS = (ItemVariant.id, ItemVariant.item_id, ItemVariant.key, ItemVariant.name, ItemVariant.is_default)


def _item(row: Any) -> ItemRow:
    return ItemRow(row[0], ItemKind(row[1]), *row[2:])


async def items_by_id(connection: AsyncConnection, ids: Sequence[UUID]) -> Mapping[UUID, ItemRow]:
    """Items by primary key."""
    rows = await connection.execute(select(*_ITEM_COLUMNS).where(among(Item.id, ids)))
    return {row.id: _item(row) for row in rows}


async def items_by_slug(connection: AsyncConnection, slugs: Sequence[str]) -> Mapping[str, ItemRow]:
    """Items by slug."""
    rows = await connection.execute(select(*_ITEM_COLUMNS).where(among(Item.slug, slugs)))
    return {row.slug: _item(row) for row in rows}


async def known_card_names(connection: AsyncConnection, game: str, names: Sequence[str]) -> Set[str]:
    """Those of the names that cards of a game have, in any print."""
    rows = await connection.scalars(
        select(Item.name).join(Card, Card.item_id == Item.id).where(Card.game == game, among(Item.name, names))
    )
    return set(rows)


async def variants_by_item(
    connection: AsyncConnection, item_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[VariantRow]]:
    """The variants of each item, in their shown order."""
    rows = await connection.execute(
        select(*_VARIANT_COLUMNS)
        .where(among(ItemVariant.item_id, item_ids))
        .order_by(ItemVariant.position, ItemVariant.id)
    )
    variants: dict[UUID, list[VariantRow]] = {}
    for row in rows:
        variants.setdefault(row.item_id, []).append(VariantRow(*row))
    return variants


async def external_ids_by_item(
    connection: AsyncConnection, item_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[ExternalIdRow]]:
    """The external ids of each item, by provider."""
    rows = await connection.execute(
        select(ExternalId.item_id, ExternalId.provider, ExternalId.external_id)
        .where(among(ExternalId.item_id, item_ids))
        .order_by(ExternalId.provider, ExternalId.external_id)
    )
    external_ids: dict[UUID, list[ExternalIdRow]] = {}
    for row in rows:
        external_ids.setdefault(row.item_id, []).append(ExternalIdRow(*row))
    return external_ids


async def details_by_item(
    connection: AsyncConnection, kind: ItemKind, item_ids: Sequence[UUID]
) -> Mapping[UUID, Mapping[str, Any]]:
    """The row of each item in the table of its kind, by the names of its columns."""
    table = DETAILS[kind].__table__
    rows = await connection.execute(select(*table.columns).where(among(table.c.item_id, item_ids)))
    return {row.item_id: dict(row._mapping) for row in rows}  # SQLAlchemy's public name for it


async def links_by_figure(
    connection: AsyncConnection, link: type[Base], item_ids: Sequence[UUID]
) -> Mapping[UUID, Set[UUID]]:
    """What each figure is linked to by `FigureSeries`, `FigureCharacter` or `FigureSculptor`."""
    figure, other = link.__table__.columns
    linked: dict[UUID, set[UUID]] = {}
    for row in await connection.execute(select(figure, other).where(among(figure, item_ids))):
        linked.setdefault(row[0], set()).add(row[1])
    return linked


async def releases_by_figure(
    connection: AsyncConnection, item_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[NewRelease]]:
    """The releases of each figure, in their order."""
    rows = await connection.execute(
        select(
            FigureRelease.item_id,
            FigureRelease.released_on,
            FigureRelease.list_price,
            FigureRelease.currency,
            FigureRelease.jan,
        )
        .where(among(FigureRelease.item_id, item_ids))
        .order_by(FigureRelease.item_id, FigureRelease.position)
    )
    releases: dict[UUID, list[NewRelease]] = {}
    for row in rows:
        releases.setdefault(row.item_id, []).append(NewRelease(*row[1:]))
    return releases
