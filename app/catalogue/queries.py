"""Reads of the catalogue. Every set-read takes a list of keys and answers by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import Card, Coin, ExternalId, Figure, Item, ItemKind, ItemVariant, Skin
from app.core.database import among


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
