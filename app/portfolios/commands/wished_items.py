"""The items and variants that wishes name, held while a wish is written so that no merge takes them away meanwhile."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import Item, ItemVariant
from app.catalogue.queries.redirects import items_of_old_ids
from app.portfolios.texts import no_such


async def hold_wished_item(connection: AsyncConnection, item_id: UUID, *, field: str) -> UUID:
    """The item with this id, or the one that it was merged into; refuses an id that leads to none."""
    found = await _held(connection, item_id)
    if found is None:
        winner_id = (await items_of_old_ids(connection, [item_id])).get(item_id)
        found = None if winner_id is None else await _held(connection, winner_id)
    if found is None:
        raise no_such("item", field)
    return found


async def _held(connection: AsyncConnection, item_id: UUID) -> UUID | None:
    held = select(Item.id).where(Item.id == item_id).with_for_update(read=True, key_share=True)
    found: UUID | None = await connection.scalar(held)
    return found


async def hold_wished_variant(connection: AsyncConnection, variant_id: UUID, *, field: str) -> UUID:
    """The item of a variant, both held; refuses an id that is no variant's."""
    of_variant = select(ItemVariant.item_id).where(ItemVariant.id == variant_id)
    item_id = await connection.scalar(of_variant)
    # The item first, as a merge has it: then the variant is still there, or was merged away meanwhile.
    if item_id is not None and await _held(connection, item_id) is not None:
        item_id = await connection.scalar(of_variant.with_for_update(read=True, key_share=True))
        if item_id is not None:
            return item_id
    raise no_such("variant", field)


async def default_variant_of(connection: AsyncConnection, item_id: UUID, *, field: str) -> UUID:
    """The default variant of an item, held; refuses an item that has none."""
    held = select(ItemVariant.id).where(ItemVariant.item_id == item_id, ItemVariant.is_default)
    variant_id: UUID | None = await connection.scalar(held.with_for_update(read=True, key_share=True))
    if variant_id is None:
        raise no_such("variant of the item", field)
    return variant_id


async def wished_variant(connection: AsyncConnection, *, item_id: UUID | None, variant_id: UUID | None) -> UUID:
    """The variant that an item, a variant or both name, held; with an item alone, its default variant.

    Refuses neither of the two, and a variant of another item.
    """
    if variant_id is None:
        if item_id is None:
            raise no_such("item; give `itemId` or `variantId`", "itemId")
        of_item = await hold_wished_item(connection, item_id, field="itemId")
        return await default_variant_of(connection, of_item, field="itemId")
    of_variant = await hold_wished_variant(connection, variant_id, field="variantId")
    if item_id is not None and await hold_wished_item(connection, item_id, field="itemId") != of_variant:
        raise no_such("variant of this item", "variantId")
    return variant_id
