"""A person's watchlists: named lists of items in an order of theirs, one of them the default.

Whoever changes the lists of a person waits for others who do; locks are taken in the order items, the person's lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Uuid, bindparam, delete, exists, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.holds import refuse_another_version
from app.portfolios.commands.owners import only_writer_of
from app.portfolios.commands.wished_items import hold_wished_item, hold_wished_variant, wished_variant
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.given_wishes import read_few, read_name, read_notes
from app.portfolios.texts import no_such, refused
from app.portfolios.wish_models import Watchlist, WatchlistItem

MOST_LISTS = 100
MOST_ITEMS = 1_000


@dataclass(frozen=True, slots=True)
class WatchlistEdit:
    """What to change of a watchlist; None leaves it as it is. `position` is its place among the others, from 0."""

    name: str | None = None
    is_default: bool | None = None
    position: int | None = None


async def create_watchlist(
    transaction: Transaction,
    *,
    owner_id: UUID,
    name: str,
    is_default: bool = False,
    idempotency_key: str | None = None,
) -> UUID:
    """Make a watchlist behind the others; gives its key. A person's first one is the default.

    A repeat with the same idempotency key and input within a day gives the first one again. Raises PortfolioRefused for
    a name that another one has, and for more than 100 lists.
    """
    connection = transaction.connection
    name = read_name(name)
    watchlist_id = new_id()
    first = await claim_key(
        connection, idempotency_key, [name, is_default], owner_id=owner_id, made=Watchlist.id, new_id=watchlist_id
    )
    if first != watchlist_id:
        return first
    await only_writer_of(connection, owner_id, "watchlists")
    lists = await _lists_of(connection, owner_id)
    if len(lists) >= MOST_LISTS:
        raise _too_many(f"There are {MOST_LISTS} watchlists, as many as there may be.")
    _refuse_taken_name(lists, name)
    is_default = is_default or not lists
    if is_default:
        await _unset_default(connection, owner_id)
    await connection.execute(
        insert(Watchlist).values(
            id=watchlist_id, owner_id=owner_id, name=name, is_default=is_default, position=len(lists)
        )
    )
    return watchlist_id


async def edit_watchlist(
    transaction: Transaction,
    watchlist_id: UUID,
    edit: WatchlistEdit,
    *,
    owner_id: UUID,
    expected_version: int | None = None,
) -> None:
    """Rename a watchlist, make it the default, or move it among the others.

    Raises PortfolioRefused for a list that is not there, a name that another one has, and another version than
    expected; and where the default list is told not to be: another one has to be made it instead.
    """
    connection = transaction.connection
    name = None if edit.name is None else read_name(edit.name)
    if edit.position is not None and not 0 <= edit.position < MOST_LISTS:
        raise refused(f"A place is from 0 to {MOST_LISTS - 1}.", "position")
    await only_writer_of(connection, owner_id, "watchlists")
    own = await _held_list(connection, watchlist_id, owner_id=owner_id, expected_version=expected_version)
    lists = await _lists_of(connection, owner_id)
    if name is not None:
        _refuse_taken_name([other for other in lists if other.id != watchlist_id], name)
    if edit.is_default is False and own.is_default:
        raise refused("One list is the default; make another one it instead.", "isDefault")
    if edit.is_default and not own.is_default:
        await _unset_default(connection, owner_id)
    if edit.position is not None:
        order = [other.id for other in lists if other.id != watchlist_id]
        order.insert(edit.position, watchlist_id)
        await connection.execute(_PLACE_LISTS, {"ids": order})
    changed: dict[str, object] = {} if name is None else {"name": name}
    if edit.is_default:
        changed["is_default"] = True
    await _changed(connection, watchlist_id, **changed)


async def delete_watchlist(
    transaction: Transaction, watchlist_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Delete a watchlist with what is in it; the first of the others becomes the default where it was that.

    Raises PortfolioRefused for a list that is not there, and for another version than expected.
    """
    connection = transaction.connection
    await only_writer_of(connection, owner_id, "watchlists")
    own = await _held_list(connection, watchlist_id, owner_id=owner_id, expected_version=expected_version)
    await connection.execute(delete(Watchlist).where(Watchlist.id == watchlist_id))
    others = [other.id for other in await _lists_of(connection, owner_id)]
    await connection.execute(_PLACE_LISTS, {"ids": others})
    if own.is_default and others:
        await _changed(connection, others[0], is_default=True)


async def add_to_watchlist(
    transaction: Transaction,
    *,
    owner_id: UUID,
    watchlist_id: UUID | None = None,
    item_id: UUID | None = None,
    variant_id: UUID | None = None,
    notes: str | None = None,
    idempotency_key: str | None = None,
) -> tuple[UUID, UUID]:
    """Put an item behind the others of a list, the default one unless it is named; gives the keys of list and entry.

    A repeat with the same idempotency key and input within a day gives the first entry again. Raises PortfolioRefused
    for a list, item or variant that is not there, an item that the list has, and for more than 1,000 in a list.
    """
    connection = transaction.connection
    notes = read_notes(notes)
    entry_id, request = new_id(), [watchlist_id, item_id, variant_id, notes]
    first = await claim_key(
        connection, idempotency_key, request, owner_id=owner_id, made=WatchlistItem.id, new_id=entry_id
    )
    if first != entry_id:
        list_of_first = select(WatchlistItem.watchlist_id).where(WatchlistItem.id == first)
        return (await connection.execute(list_of_first)).scalar_one(), first
    item_id = await _item_to_watch(connection, item_id, variant_id)
    if watchlist_id is None:
        await only_writer_of(connection, owner_id, "watchlists")
        watchlist_id = await _default_list(connection, owner_id)
    await _held_list(connection, watchlist_id, owner_id=owner_id, field="watchlistId")
    if await connection.scalar(
        select(exists().where(WatchlistItem.watchlist_id == watchlist_id, WatchlistItem.item_id == item_id))
    ):
        raise PortfolioRefused(
            PortfolioErrorCode.ALREADY_LISTED, "The list has this item; edit its entry.", field=["itemId"]
        )
    counted = select(func.count(), func.coalesce(func.max(WatchlistItem.position) + 1, 0))
    count, behind = (await connection.execute(counted.where(WatchlistItem.watchlist_id == watchlist_id))).one()
    if count >= MOST_ITEMS:
        raise _too_many(f"The list has {MOST_ITEMS:,} items, as many as it may.")
    await connection.execute(
        insert(WatchlistItem).values(
            id=entry_id,
            owner_id=owner_id,
            watchlist_id=watchlist_id,
            item_id=item_id,
            variant_id=variant_id,
            notes=notes,
            position=behind,
        )
    )
    await _changed(connection, watchlist_id)
    return watchlist_id, entry_id


async def _item_to_watch(connection: AsyncConnection, item_id: UUID | None, variant_id: UUID | None) -> UUID:
    if item_id is not None and variant_id is None:
        return await hold_wished_item(connection, item_id, field="itemId")
    variant_id = await wished_variant(connection, item_id=item_id, variant_id=variant_id)
    return await hold_wished_variant(connection, variant_id, field="variantId")


async def edit_watchlist_item(
    transaction: Transaction,
    entry_id: UUID,
    changes: dict[str, Any],
    *,
    owner_id: UUID,
    expected_version: int | None = None,
) -> UUID:
    """Change the `notes` or the `variant_id` of an entry, whichever is given, None to have none; gives its list's key.

    Raises PortfolioRefused for an entry that is not there, a variant of another item, and where the list has another
    version than expected.
    """
    connection = transaction.connection
    values: dict[str, Any] = {}
    if "notes" in changes:
        values["notes"] = read_notes(changes["notes"])
    variant_id = changes.get("variant_id")
    of_variant = None
    if variant_id is not None:
        of_variant = await hold_wished_variant(connection, variant_id, field="variantId")
    watchlist_id, item_id = await _held_entry(
        connection, entry_id, owner_id=owner_id, expected_version=expected_version
    )
    if of_variant not in (None, item_id):
        raise no_such("variant of this item", "variantId")
    if "variant_id" in changes:
        values["variant_id"] = variant_id
    if values:
        await connection.execute(update(WatchlistItem).where(WatchlistItem.id == entry_id).values(values))
        await _changed(connection, watchlist_id)
    return watchlist_id


async def remove_from_watchlist(
    transaction: Transaction, entry_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> UUID:
    """Take an entry out of its list; gives the list's key. Raises PortfolioRefused as `edit_watchlist_item` does."""
    connection = transaction.connection
    watchlist_id, _ = await _held_entry(connection, entry_id, owner_id=owner_id, expected_version=expected_version)
    await connection.execute(delete(WatchlistItem).where(WatchlistItem.id == entry_id))
    await _changed(connection, watchlist_id)
    return watchlist_id


async def reorder_watchlist(
    transaction: Transaction,
    watchlist_id: UUID,
    entry_ids: Sequence[UUID],
    *,
    owner_id: UUID,
    expected_version: int | None = None,
) -> None:
    """Put the entries of a list of 250 at most in this order, which names each of them once.

    Raises PortfolioRefused for an order that leaves one out, repeats one or names another, for more than 250, for a
    list that is not there, and for another version than expected.
    """
    connection = transaction.connection
    read_few(entry_ids, "itemIds")
    await _held_list(connection, watchlist_id, owner_id=owner_id, expected_version=expected_version)
    stored = await _entries_of(connection, watchlist_id)
    if len(entry_ids) != len(set(entry_ids)) or set(entry_ids) != set(stored):
        raise refused(
            f"Name each of the list's {len(stored):,} entries once; to move one of many use `moveWatchlistItem`.",
            "itemIds",
        )
    await connection.execute(_PLACE_ENTRIES, {"ids": list(entry_ids)})
    await _changed(connection, watchlist_id)


async def move_watchlist_item(
    transaction: Transaction,
    entry_id: UUID,
    *,
    owner_id: UUID,
    before_id: UUID | None = None,
    after_id: UUID | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Put an entry before or after another one of its list; gives the list's key.

    Raises PortfolioRefused unless exactly one of the two is given, and it is another entry of the same list.
    """
    connection = transaction.connection
    if (before_id is None) == (after_id is None):
        raise refused("Give `beforeId` or `afterId`, one of them.", "beforeId")
    watchlist_id, _ = await _held_entry(connection, entry_id, owner_id=owner_id, expected_version=expected_version)
    order = [other for other in await _entries_of(connection, watchlist_id) if other != entry_id]
    field, neighbour = ("beforeId", before_id) if before_id is not None else ("afterId", after_id)
    if neighbour not in order:
        raise no_such("other entry of the list", field)
    order.insert(order.index(neighbour) + (after_id is not None), entry_id)
    await connection.execute(_PLACE_ENTRIES, {"ids": order})
    await _changed(connection, watchlist_id)
    return watchlist_id


def _too_many(message: str) -> PortfolioRefused:
    return PortfolioRefused(PortfolioErrorCode.TOO_MANY, message)


async def _lists_of(connection: AsyncConnection, owner_id: UUID) -> Sequence[Row[UUID, str]]:
    listed = select(Watchlist.id, Watchlist.name).where(Watchlist.owner_id == owner_id)
    return (await connection.execute(listed.order_by(Watchlist.position, Watchlist.id))).all()


def _refuse_taken_name(lists: Sequence[Row[UUID, str]], name: str) -> None:
    if any(other.name == name for other in lists):
        raise PortfolioRefused(
            PortfolioErrorCode.NAME_TAKEN, "Another list of yours has the name; give this one another.", field=["name"]
        )


async def _unset_default(connection: AsyncConnection, owner_id: UUID) -> None:
    default = update(Watchlist).where(Watchlist.owner_id == owner_id, Watchlist.is_default)
    await connection.execute(default.values(is_default=False, version=Watchlist.version + 1, updated_at=func.now()))


async def _default_list(connection: AsyncConnection, owner_id: UUID) -> UUID:
    default = select(Watchlist.id).where(Watchlist.owner_id == owner_id, Watchlist.is_default)
    watchlist_id: UUID | None = await connection.scalar(default)
    if watchlist_id is None:
        raise no_such("watchlist yet; make one with `createWatchlist`", "watchlistId")
    return watchlist_id


async def _held_list(
    connection: AsyncConnection,
    watchlist_id: UUID,
    *,
    owner_id: UUID,
    expected_version: int | None = None,
    field: str = "id",
) -> Row[int, bool]:
    held = select(Watchlist.version, Watchlist.is_default).where(
        Watchlist.id == watchlist_id, Watchlist.owner_id == owner_id
    )
    found = (await connection.execute(held.with_for_update(key_share=True))).one_or_none()
    if found is None:
        raise no_such("watchlist", field)
    refuse_another_version(found.version, expected_version)
    return found


async def _held_entry(
    connection: AsyncConnection, entry_id: UUID, *, owner_id: UUID, expected_version: int | None
) -> tuple[UUID, UUID]:
    """The list and the item of an entry, the list locked."""
    entry = select(WatchlistItem.watchlist_id, WatchlistItem.item_id).where(
        WatchlistItem.id == entry_id, WatchlistItem.owner_id == owner_id
    )
    found = (await connection.execute(entry)).one_or_none()
    if found is not None:
        await _held_list(connection, found.watchlist_id, owner_id=owner_id, expected_version=expected_version)
        found = (await connection.execute(entry)).one_or_none()
    if found is None:
        raise no_such("entry of a watchlist", "id")
    return found.watchlist_id, found.item_id


async def _entries_of(connection: AsyncConnection, watchlist_id: UUID) -> Sequence[UUID]:
    listed = select(WatchlistItem.id).where(WatchlistItem.watchlist_id == watchlist_id)
    return (await connection.scalars(listed.order_by(WatchlistItem.position, WatchlistItem.id))).all()


async def _changed(connection: AsyncConnection, watchlist_id: UUID, **values: object) -> None:
    await connection.execute(
        update(Watchlist)
        .where(Watchlist.id == watchlist_id)
        .values(version=Watchlist.version + 1, updated_at=func.now(), **values)
    )


_PLACE_LISTS = text("""
    UPDATE portfolios.watchlists AS listed SET position = placed.place - 1
    FROM unnest(:ids) WITH ORDINALITY AS placed (id, place)
    WHERE listed.id = placed.id AND listed.position <> placed.place - 1
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))
_PLACE_ENTRIES = text("""
    UPDATE portfolios.watchlist_items AS listed SET position = placed.place - 1
    FROM unnest(:ids) WITH ORDINALITY AS placed (id, place)
    WHERE listed.id = placed.id AND listed.position <> placed.place - 1
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))
