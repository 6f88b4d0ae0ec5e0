"""Reads of the catalogue. Every set-read takes a list of keys and answers by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.catalogue.models import Card, Coin, ExternalId, Figure, Item, ItemKind, ItemVariant, Skin
from app.core.database import among
from app.core.ids import PublicIdTag, public_id


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item without its details."""

    id: UUID
    kind: ItemKind
    slug: str
    name: str
    image_url: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def public_id(self) -> str:
        """The opaque id that the public knows it by."""
        return public_id(PublicIdTag.ITEM, self.id)


@dataclass(frozen=True, slots=True)
class VariantRow:
    """A variant of an item."""

    id: UUID
    item_id: UUID
    key: str
    name: str
    is_default: bool

    @property
    def public_id(self) -> str:
        """The opaque id that the public knows it by."""
        return public_id(PublicIdTag.ITEM_VARIANT, self.id)


@dataclass(frozen=True, slots=True)
class ExternalIdRow:
    """The name that an outside service has for an item."""

    item_id: UUID
    provider: str
    external_id: str


@dataclass(frozen=True, slots=True)
class SkinRow:
    """What is known of a CS2 market item beside its name; floats are from 0 to 1."""

    item_id: UUID
    market_hash_name: str
    category: str | None
    weapon: str | None
    skin: str | None
    wear: str | None
    rarity: str | None
    stattrak: bool
    souvenir: bool
    float_minimum: float | None
    float_maximum: float | None


@dataclass(frozen=True, slots=True)
class CoinRow:
    """The details of a coin."""

    item_id: UUID
    symbol: str
    decimals: int | None


@dataclass(frozen=True, slots=True)
class CardRow:
    """The details of a card."""

    item_id: UUID
    game: str
    set_code: str | None
    number: str | None
    rarity: str | None


@dataclass(frozen=True, slots=True)
class FigureRow:
    """The details of a figure."""

    item_id: UUID
    manufacturer: str | None
    series: str | None
    scale: str | None


class ItemOrderField(StrEnum):
    """What a list of items can be ordered by; the id breaks ties."""

    NAME = "name"
    CREATED_AT = "created_at"


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items to list; what is None does not narrow the list."""

    kind: ItemKind | None = None
    name_contains: str | None = None
    slugs: tuple[str, ...] | None = None


_ITEM_COLUMNS = (Item.id, Item.kind, Item.slug, Item.name, Item.image_url, Item.created_at, Item.updated_at)
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


def _conditions(wanted: ItemFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.kind is not None:
        conditions.append(Item.kind == wanted.kind.value)
    if wanted.name_contains is not None:
        conditions.append(Item.name.icontains(wanted.name_contains, autoescape=True))
    if wanted.slugs is not None:
        conditions.append(among(Item.slug, wanted.slugs))
    return conditions


async def list_items(
    connection: AsyncConnection,
    *,
    wanted: ItemFilter,
    order: ItemOrderField,
    descending: bool,
    beyond: tuple[str | datetime, UUID] | None,
    limit: int,
) -> list[ItemRow]:
    """Up to `limit` items in the order, those beyond a position (the ordered value and the id) when one is given."""
    ordered = Item.name if order is ItemOrderField.NAME else Item.created_at
    query = select(*_ITEM_COLUMNS).where(*_conditions(wanted))
    if beyond is not None:
        position, here = tuple_(ordered, Item.id), tuple_(*beyond)
        query = query.where(position < here if descending else position > here)
    directions = (ordered.desc(), Item.id.desc()) if descending else (ordered.asc(), Item.id.asc())
    return [_item(row) for row in await connection.execute(query.order_by(*directions).limit(limit))]


async def count_items(connection: AsyncConnection, *, wanted: ItemFilter) -> int:
    """How many items the filter leaves."""
    counted = await connection.execute(select(func.count()).select_from(Item).where(*_conditions(wanted)))
    return counted.scalar_one()


async def variants_by_id(connection: AsyncConnection, ids: Sequence[UUID]) -> Mapping[UUID, VariantRow]:
    """Variants by primary key."""
    rows = await connection.execute(select(*_VARIANT_COLUMNS).where(among(ItemVariant.id, ids)))
    return {row.id: VariantRow(*row) for row in rows}


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


async def default_variant_by_item(connection: AsyncConnection, item_ids: Sequence[UUID]) -> Mapping[UUID, VariantRow]:
    """The default variant of each item."""
    rows = await connection.execute(
        select(*_VARIANT_COLUMNS).where(among(ItemVariant.item_id, item_ids), ItemVariant.is_default)
    )
    return {row.item_id: VariantRow(*row) for row in rows}


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


async def skins_by_item(connection: AsyncConnection, item_ids: Sequence[UUID]) -> Mapping[UUID, SkinRow]:
    """The details of each skin."""
    rows = await connection.execute(select(*Skin.__table__.columns).where(among(Skin.item_id, item_ids)))
    return {row.item_id: SkinRow(*row) for row in rows}


async def coins_by_item(connection: AsyncConnection, item_ids: Sequence[UUID]) -> Mapping[UUID, CoinRow]:
    """The details of each coin."""
    rows = await connection.execute(select(*Coin.__table__.columns).where(among(Coin.item_id, item_ids)))
    return {row.item_id: CoinRow(*row) for row in rows}


async def cards_by_item(connection: AsyncConnection, item_ids: Sequence[UUID]) -> Mapping[UUID, CardRow]:
    """The details of each card."""
    rows = await connection.execute(select(*Card.__table__.columns).where(among(Card.item_id, item_ids)))
    return {row.item_id: CardRow(*row) for row in rows}


async def figures_by_item(connection: AsyncConnection, item_ids: Sequence[UUID]) -> Mapping[UUID, FigureRow]:
    """The details of each figure."""
    rows = await connection.execute(select(*Figure.__table__.columns).where(among(Figure.item_id, item_ids)))
    return {row.item_id: FigureRow(*row) for row in rows}
