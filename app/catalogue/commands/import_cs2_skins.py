"""Import the list of CS2 skins: what it tells of market items fills in what the market and the schema do not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import RowMapping, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.import_cs2 import MARKET_PROVIDER, NAME_ID_PROVIDER, market_slugs
from app.catalogue.commands.save_items import SavedItems, only_writer, save_items
from app.catalogue.cs2_skins import ListedItem, SkinRow, listed_items
from app.catalogue.left_out import LeftOut
from app.catalogue.models import ExternalId, Item, Skin
from app.catalogue.new_items import NewExternalId, NewItem
from app.core.database import Transaction, among

_FILLED_IN = (
    "category",
    "weapon",
    "skin",
    "wear",
    "rarity",
    "float_minimum",
    "float_maximum",
    "collection",
    "crates",
)


@dataclass(frozen=True, slots=True)
class ImportedSkins:
    """What became of the rows: the market items that they tell of, and the rows that stayed out."""

    saved: SavedItems
    rejected: tuple[LeftOut, ...]


async def import_cs2_skins(transaction: Transaction, rows: Sequence[tuple[int, SkinRow]]) -> ImportedSkins:
    """Save the market items that numbered rows of the list tell of; the same rows again change nothing.

    Of an item with a number of Steam's market only what is not stored yet is filled in: there the market's own files
    count. Others follow the list. An item that the list does not say for certain to be there is never added. Raises
    `ItemsContradict` as `save_items` does.
    """
    connection = transaction.connection
    await only_writer(connection)
    listed, rejected = listed_items(rows)
    stored = await _stored(connection, [item.details.market_hash_name for item in listed])
    listed = [item for item in listed if item.certain or item.details.market_hash_name in stored]
    slugs = await market_slugs(connection, [item.details.market_hash_name for item in listed])
    items = [
        _new_item(item, slugs[item.details.market_hash_name], stored.get(item.details.market_hash_name))
        for item in listed
    ]
    return ImportedSkins(await save_items(transaction, items), tuple(rejected))


async def _stored(connection: AsyncConnection, names: Collection[str]) -> dict[str, RowMapping]:
    """What is stored of items by their market names; `has_number` says whether the market's own files told it."""
    has_number = exists().where(ExternalId.item_id == Item.id, ExternalId.provider == NAME_ID_PROVIDER)
    rows = await connection.execute(
        select(Skin.__table__, Item.image_url, has_number.label("has_number"))
        .join(Item, Item.id == Skin.item_id)
        .where(among(Skin.market_hash_name, names))
    )
    return {row["market_hash_name"]: row for row in rows.mappings()}


def _new_item(item: ListedItem, slug: str, stored: RowMapping | None) -> NewItem:
    name = item.details.market_hash_name
    new = NewItem(
        slug=slug,
        name=name,
        details=item.details,
        image_url=item.image_url,
        external_ids=(NewExternalId(MARKET_PROVIDER, name),),
        variants=item.variants,
    )
    if stored is None or not stored["has_number"]:
        return new
    told: dict[str, Any] = {field: None for field in _FILLED_IN if stored[field] is not None}
    return replace(
        new,
        details=replace(item.details, **told),
        image_url=item.image_url if stored["image_url"] is None else None,
    )
