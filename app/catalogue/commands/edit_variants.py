"""Staff add variants to an item, and name and order them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import exists, func, insert, select, update

from app.catalogue.commands.edit_items import finish_edit, hold_item
from app.catalogue.commands.save_items import only_writer
from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.catalogue.given import LARGEST_POSITION, Values, read_position, read_variant_key, read_variant_name
from app.catalogue.models import ItemVariant
from app.catalogue.queries.states import state_of
from app.core.database import Transaction
from app.core.ids import new_id


async def add_item_variant(
    transaction: Transaction, item_id: UUID, *, key: str, name: str, position: int | None, editor_id: UUID | None
) -> UUID:
    """Add a variant, behind the others unless a position is given; gives its key.

    Raises CatalogueRefused for a key that another variant of the item has, and for what none can have.
    """
    connection = transaction.connection
    key, name = read_variant_key(key), read_variant_name(name)
    await only_writer(connection)
    await hold_item(connection, item_id, field=["itemId"])
    if await connection.scalar(select(exists().where(ItemVariant.item_id == item_id, ItemVariant.key == key))):
        raise CatalogueRefused(
            CatalogueErrorCode.KEY_TAKEN, f"The item has a variant `{key}`; give this one another key.", field=["key"]
        )
    if position is None:
        last = select(func.coalesce(func.max(ItemVariant.position), -1)).where(ItemVariant.item_id == item_id)
        position = min(int((await connection.execute(last)).scalar_one()) + 1, LARGEST_POSITION)
    before = await state_of(connection, item_id)
    variant_id = new_id()
    await connection.execute(
        insert(ItemVariant).values(
            id=variant_id, item_id=item_id, key=key, name=name, is_default=False, position=read_position(position)
        )
    )
    await finish_edit(connection, item_id, before, editor_id=editor_id)
    return variant_id


async def edit_item_variant(
    transaction: Transaction, variant_id: UUID, given: Values, *, editor_id: UUID | None
) -> None:
    """Change a variant's `name` or `position`, whichever is given; raises CatalogueRefused for what it cannot have."""
    connection = transaction.connection
    await only_writer(connection)
    stored = (
        await connection.execute(select(ItemVariant.item_id, ItemVariant.name).where(ItemVariant.id == variant_id))
    ).one_or_none()
    if stored is None:
        raise no_such_variant(["id"])
    columns: dict[str, object] = {}
    if given.get("name", stored.name) != stored.name:
        columns["name"] = read_variant_name(given["name"])
    if "position" in given:
        columns["position"] = read_position(given["position"])
    item_id: UUID = stored.item_id
    await hold_item(connection, item_id, field=["id"])
    before = await state_of(connection, item_id)
    if columns:
        await connection.execute(update(ItemVariant).where(ItemVariant.id == variant_id).values(columns))
    await finish_edit(connection, item_id, before, editor_id=editor_id)


def no_such_variant(field: Sequence[str]) -> CatalogueRefused:
    """The refusal of an id that is no variant's."""
    return CatalogueRefused(CatalogueErrorCode.NOT_FOUND, "There is no such variant.", field=field)
