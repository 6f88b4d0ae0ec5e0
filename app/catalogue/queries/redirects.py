"""Where an item is to be found by an id or a slug that it had once, or that another had which became part of it."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import Item, ItemRedirect
from app.core.database import among

# What is asked for, and by what it is found now.
MOVED_IDS = (
    select(ItemRedirect.old_id.label("old"), ItemRedirect.item_id.label("new"))
    .where(ItemRedirect.old_id.is_not(None))
    .subquery("moved_ids")
)
MOVED_SLUGS = (
    select(ItemRedirect.slug.label("old"), Item.slug.label("new"))
    .join(Item, Item.id == ItemRedirect.item_id)
    .where(ItemRedirect.slug.is_not(None))
    .subquery("moved_slugs")
)


_SLUGS = union_all(
    select(Item.slug, Item.id.label("item_id"), literal(False).label("is_old")),
    select(ItemRedirect.slug, ItemRedirect.item_id, literal(True)).where(ItemRedirect.slug.is_not(None)),
).subquery("slugs")


async def items_of_slugs(connection: AsyncConnection, slugs: Iterable[str]) -> Mapping[str, UUID]:
    """The items that have these slugs, or had them once: a slug that is one of either names no other item."""
    rows = await connection.execute(
        select(_SLUGS.c.slug, _SLUGS.c.item_id).where(among(_SLUGS.c.slug, slugs)).order_by(_SLUGS.c.is_old.desc())
    )
    return {row.slug: row.item_id for row in rows}


async def items_of_old_slugs(connection: AsyncConnection, slugs: Iterable[str]) -> Mapping[str, UUID]:
    """The items that had these slugs once."""
    rows = await connection.execute(
        select(ItemRedirect.slug, ItemRedirect.item_id).where(among(ItemRedirect.slug, slugs))
    )
    return {row.slug: row.item_id for row in rows}


async def items_of_old_ids(connection: AsyncConnection, ids: Iterable[UUID]) -> Mapping[UUID, UUID]:
    """The items into which those of these ids were merged."""
    rows = await connection.execute(
        select(ItemRedirect.old_id, ItemRedirect.item_id).where(among(ItemRedirect.old_id, ids))
    )
    return {row.old_id: row.item_id for row in rows}


async def items_with_merges(connection: AsyncConnection, ids: Iterable[UUID]) -> Sequence[UUID]:
    """Those of these items that another was merged into."""
    rows = await connection.scalars(
        select(ItemRedirect.item_id).where(among(ItemRedirect.item_id, ids), ItemRedirect.old_id.is_not(None))
    )
    return rows.all()
