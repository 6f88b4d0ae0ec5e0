"""Watchlists: named lists of items, and what is done with them."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import strawberry

from app.catalogue.models import Item as ItemRow
from app.catalogue.models import ItemVariant as VariantRow
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.catalogue.items import Item, ItemVariant
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import OWNER_ALONE, PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.inputs import IDEMPOTENCY_KEY, given, key_if_given, own_key, sent
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import Reference, column, connection, edge, refer, shows
from app.graph.relay import Connection, Node
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.watchlists import (
    WatchlistEdit,
    add_to_watchlist,
    create_watchlist,
    delete_watchlist,
    edit_watchlist,
    edit_watchlist_item,
    move_watchlist_item,
    remove_from_watchlist,
    reorder_watchlist,
)
from app.portfolios.given_wishes import read_few
from app.portfolios.wish_models import Watchlist as ListRow
from app.portfolios.wish_models import WatchlistItem as EntryRow

VERSION_OF_LIST = "The version of the list that one has seen: refused if there is a newer one."
LIST = "The list as it is now; null when refused."


class WatchlistOrder(Enum):
    """What watchlists, and what is in them, are ordered by."""

    POSITION = "position"


WATCHLIST_ORDERS = Orders("watchlists", {WatchlistOrder.POSITION: ListRow.position}, tie=ListRow.id)
ENTRY_ORDERS = Orders("watchlist-items", {WatchlistOrder.POSITION: EntryRow.position}, tie=EntryRow.id)


def _expected() -> Any:
    return strawberry.field(default=None, description=VERSION_OF_LIST)


@strawberry.type(description="An item in a watchlist.")
@private(OWNER_ALONE)
@shows(EntryRow, PublicIdTag.WATCHLIST_ITEM)
class WatchlistItem(Node):
    position: int = column(EntryRow.position, "Its place in the list.")
    notes: str | None = column(EntryRow.notes, "What its owner noted.")
    added_at: datetime = column(EntryRow.created_at, "When it was put into the list.")
    item: Item = edge("The item.", on=EntryRow.item_id, to=ItemRow.id)
    variant: ItemVariant | None = edge(
        "The variant that is watched; null where it is the default one.", on=EntryRow.variant_id, to=VariantRow.id
    )
    watchlist: "Watchlist | None" = edge("The list that it is in.", on=EntryRow.watchlist_id, to=ListRow.id)


@strawberry.type(description="A named list of items that somebody keeps an eye on.")
@private(OWNER_ALONE)
@shows(ListRow, PublicIdTag.WATCHLIST)
class Watchlist(Node):
    name: str = column(ListRow.name, "Its name, unique among its owner's.")
    is_default: bool = column(ListRow.is_default, "Whether it is meant where none is named.")
    position: int = column(ListRow.position, "Its place among its owner's lists, from 0.")
    version: int = column(
        ListRow.version, "How often its owner changed it, its order or what is in it, from 1; give it with an edit."
    )
    created_at: datetime = column(ListRow.created_at, "When it was made.")
    updated_at: datetime = column(ListRow.updated_at, "When it was last changed.")
    items: Connection[WatchlistItem] | None = connection(
        "What is in it, in the order that its owner gave.",
        on=ListRow.id,
        to=EntryRow.watchlist_id,
        orders=ENTRY_ORDERS,
    )


@strawberry.input(description="A new watchlist.")
class CreateWatchlistInput:
    name: str = strawberry.field(description="Its name, of 100 characters at most, which no other list of one's has.")
    is_default: bool = strawberry.field(
        default=False, description="Whether it is to be the default list; the first one is."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a watchlist. What is left out stays as it is.")
class EditWatchlistInput:
    id: strawberry.ID = strawberry.field(description="The list.")
    expected_version: int | None = _expected()
    name: str | None = strawberry.field(default=None, description="Another name.")
    is_default: bool | None = strawberry.field(
        default=None, description="True makes it the default list in place of the one that was."
    )
    position: int | None = strawberry.field(default=None, description="Its place among one's lists, from 0.")


@strawberry.input(description="The watchlist to delete, with what is in it.")
class DeleteWatchlistInput:
    id: strawberry.ID = strawberry.field(description="The list.")
    expected_version: int | None = _expected()


@strawberry.input(description="An item to watch.")
class AddToWatchlistInput:
    watchlist_id: strawberry.ID | None = strawberry.field(
        default=None, description="The list; default: the default one."
    )
    item_id: strawberry.ID | None = strawberry.field(
        default=None, description="The item; may be left out where a variant is named."
    )
    variant_id: strawberry.ID | None = strawberry.field(
        default=None, description="The variant, if another than the default one."
    )
    notes: str | None = strawberry.field(default=None, description="Notes, of 2,000 characters at most.")
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of an entry. What is left out stays; null clears it.")
class EditWatchlistItemInput:
    id: strawberry.ID = strawberry.field(description="The entry.")
    expected_version: int | None = _expected()
    variant_id: strawberry.ID | None = given("Another variant of the item; null for the default one.")
    notes: str | None = given("Notes, of 2,000 characters at most.")


@strawberry.input(description="The entry to take out of its list.")
class RemoveFromWatchlistInput:
    id: strawberry.ID = strawberry.field(description="The entry.")
    expected_version: int | None = _expected()


@strawberry.input(description="A list of 250 entries at most, in another order.")
class ReorderWatchlistInput:
    id: strawberry.ID = strawberry.field(description="The list.")
    item_ids: list[strawberry.ID] = strawberry.field(description="All its entries, each once, in their new order.")
    expected_version: int | None = _expected()


@strawberry.input(description="An entry, and another one of its list; give one of `beforeId` and `afterId`.")
class MoveWatchlistItemInput:
    id: strawberry.ID = strawberry.field(description="The entry to move.")
    before_id: strawberry.ID | None = strawberry.field(default=None, description="The entry to put it before.")
    after_id: strawberry.ID | None = strawberry.field(default=None, description="The entry to put it after.")
    expected_version: int | None = _expected()


@dataclass(frozen=True, slots=True)
class ListChanged(Done):
    """The payload of a change to a list."""

    watchlist: Reference


@dataclass(frozen=True, slots=True)
class ListDeleted(Done):
    """The payload of a list that is gone."""

    deleted_id: str


@dataclass(frozen=True, slots=True)
class EntryChanged(Done):
    """The payload of a change to an entry."""

    watchlist: Reference
    item: Reference


@dataclass(frozen=True, slots=True)
class EntryRemoved(Done):
    """The payload of an entry that is gone."""

    watchlist: Reference
    deleted_id: str


@strawberry.type(description="What became of the new list.")
class CreateWatchlistPayload:
    watchlist: Watchlist | None = attribute(LIST)
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the list.")
class EditWatchlistPayload:
    watchlist: Watchlist | None = attribute(LIST)
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The list that was deleted.")
class DeleteWatchlistPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the new entry.")
class AddToWatchlistPayload:
    watchlist: Watchlist | None = attribute(LIST)
    item: WatchlistItem | None = attribute("The entry; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the entry.")
class EditWatchlistItemPayload:
    watchlist: Watchlist | None = attribute(LIST)
    item: WatchlistItem | None = attribute("The entry as it is now; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The entry that was removed.")
class RemoveFromWatchlistPayload:
    watchlist: Watchlist | None = attribute(LIST)
    deleted_id: strawberry.ID | None = attribute("The id that the entry had; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the list.")
class ReorderWatchlistPayload:
    watchlist: Watchlist | None = attribute(LIST)
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the entry.")
class MoveWatchlistItemPayload:
    watchlist: Watchlist | None = attribute(LIST)
    item: WatchlistItem | None = attribute("The entry at its new place; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type
class WatchlistMutations:
    @portfolio_changes("Make a watchlist, behind the others.", type=CreateWatchlistPayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def create_watchlist(info: Info, input: CreateWatchlistInput) -> ListChanged:
        async with info.context.transaction() as transaction:
            watchlist_id = await create_watchlist(
                transaction,
                owner_id=info.context.viewer.own_id,
                name=input.name,
                is_default=input.is_default,
                idempotency_key=input.idempotency_key,
            )
        return ListChanged(refer(Watchlist, watchlist_id))

    @portfolio_changes(
        "Rename a watchlist, make it the default one, or move it among the others.",
        type=EditWatchlistPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def edit_watchlist(info: Info, input: EditWatchlistInput) -> ListChanged:
        watchlist_id = _list_key(input.id)
        async with info.context.transaction() as transaction:
            await edit_watchlist(
                transaction,
                watchlist_id,
                WatchlistEdit(name=input.name, is_default=input.is_default, position=input.position),
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return ListChanged(refer(Watchlist, watchlist_id))

    @portfolio_changes(
        "Delete a watchlist. The first of the others becomes the default one where it was that.",
        type=DeleteWatchlistPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def delete_watchlist(info: Info, input: DeleteWatchlistInput) -> ListDeleted:
        watchlist_id = _list_key(input.id)
        async with info.context.transaction() as transaction:
            await delete_watchlist(
                transaction,
                watchlist_id,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return ListDeleted(input.id)

    @portfolio_changes(
        "Put an item behind the others of a watchlist, which has it once.",
        type=AddToWatchlistPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def add_to_watchlist(info: Info, input: AddToWatchlistInput) -> EntryChanged:
        keys = {
            "watchlist_id": key_if_given(input.watchlist_id, PublicIdTag.WATCHLIST, "watchlist", "watchlistId"),
            "item_id": key_if_given(input.item_id, PublicIdTag.ITEM, "item", "itemId"),
            "variant_id": key_if_given(input.variant_id, PublicIdTag.ITEM_VARIANT, "variant", "variantId"),
        }
        async with info.context.transaction() as transaction:
            watchlist_id, entry_id = await add_to_watchlist(
                transaction,
                owner_id=info.context.viewer.own_id,
                notes=input.notes,
                idempotency_key=input.idempotency_key,
                **keys,
            )
        return EntryChanged(refer(Watchlist, watchlist_id), refer(WatchlistItem, entry_id))

    @portfolio_changes(
        "Change the notes or the variant of an entry.", type=EditWatchlistItemPayload, access=PORTFOLIOS_WRITE
    )
    @staticmethod
    async def edit_watchlist_item(info: Info, input: EditWatchlistItemInput) -> EntryChanged:
        entry_id = _entry_key(input.id)
        changes = sent(input, "id", "expected_version")
        if changes.get("variant_id") is not None:
            changes["variant_id"] = own_key(changes["variant_id"], PublicIdTag.ITEM_VARIANT, "variant", "variantId")
        async with info.context.transaction() as transaction:
            watchlist_id = await edit_watchlist_item(
                transaction,
                entry_id,
                changes,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return EntryChanged(refer(Watchlist, watchlist_id), refer(WatchlistItem, entry_id))

    @portfolio_changes("Take an entry out of its watchlist.", type=RemoveFromWatchlistPayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def remove_from_watchlist(info: Info, input: RemoveFromWatchlistInput) -> EntryRemoved:
        entry_id = _entry_key(input.id)
        async with info.context.transaction() as transaction:
            watchlist_id = await remove_from_watchlist(
                transaction,
                entry_id,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return EntryRemoved(refer(Watchlist, watchlist_id), input.id)

    @portfolio_changes(
        "Put all entries of a watchlist into another order.", type=ReorderWatchlistPayload, access=PORTFOLIOS_WRITE
    )
    @staticmethod
    async def reorder_watchlist(info: Info, input: ReorderWatchlistInput) -> ListChanged:
        watchlist_id = _list_key(input.id)
        read_few(input.item_ids, "itemIds")
        entry_ids = [_entry_key(entry, "itemIds", str(place)) for place, entry in enumerate(input.item_ids)]
        async with info.context.transaction() as transaction:
            await reorder_watchlist(
                transaction,
                watchlist_id,
                entry_ids,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return ListChanged(refer(Watchlist, watchlist_id))

    @portfolio_changes(
        "Put an entry before or after another one of its watchlist.",
        type=MoveWatchlistItemPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def move_watchlist_item(info: Info, input: MoveWatchlistItemInput) -> EntryChanged:
        entry_id = _entry_key(input.id)
        before_id = _entry_key(input.before_id, "beforeId") if input.before_id is not None else None
        after_id = _entry_key(input.after_id, "afterId") if input.after_id is not None else None
        async with info.context.transaction() as transaction:
            watchlist_id = await move_watchlist_item(
                transaction,
                entry_id,
                owner_id=info.context.viewer.own_id,
                before_id=before_id,
                after_id=after_id,
                expected_version=input.expected_version,
            )
        return EntryChanged(refer(Watchlist, watchlist_id), refer(WatchlistItem, entry_id))


def _list_key(id: str) -> UUID:
    return own_key(id, PublicIdTag.WATCHLIST, "watchlist", "id")


def _entry_key(id: str, *field: str) -> UUID:
    return own_key(id, PublicIdTag.WATCHLIST_ITEM, "entry of a watchlist", *(field or ("id",)))
