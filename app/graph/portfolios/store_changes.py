"""The mutations by which people keep the list of the stores where they acquire things."""

from dataclasses import dataclass

import strawberry

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.holdings import Store
from app.graph.portfolios.inputs import IDEMPOTENCY_KEY, given, own_key, sent
from app.graph.portfolios.portfolio_changes import Deleted
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import URL
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.stores import MOST_STORES, add_store, edit_store, remove_store
from app.portfolios.texts import LONGEST_NAME

_NAME = f"The name, of {LONGEST_NAME} characters at most, which no other store of one's own has."
_URL = "Its address, which begins with `https://`."


@strawberry.input(description="A store to add.")
class AddStoreInput:
    name: str = strawberry.field(description=_NAME)
    url: URL | None = strawberry.field(default=None, description=_URL)
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a store. What is left out stays as it is.")
class EditStoreInput:
    id: strawberry.ID = strawberry.field(description="The store.")
    name: str | None = given(_NAME)
    url: URL | None = given(f"{_URL} Null for none.")


@strawberry.input(description="The store to remove.")
class RemoveStoreInput:
    id: strawberry.ID = strawberry.field(description="The store.")
    clears_holdings: bool = strawberry.field(
        default=False,
        description="Whether holdings that were acquired there, and preorders that were placed there, forget it; "
        "without it a store with such is refused.",
    )


@strawberry.type(description="What became of the new store.")
class AddStorePayload:
    store: Store | None = attribute("The store; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the store.")
class EditStorePayload:
    store: Store | None = attribute("The store as it is now; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The store that was removed.")
class RemoveStorePayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class StoreChanged(Done):
    """The payload of a store that was added or changed."""

    store: Reference


@strawberry.type
class StoreMutations:
    @portfolio_changes(
        f"Add a store to one's own list; {MOST_STORES:,} at most.", type=AddStorePayload, access=PORTFOLIOS_WRITE
    )
    @staticmethod
    async def add_store(info: Info, input: AddStoreInput) -> StoreChanged:
        async with info.context.transaction() as transaction:
            store_id = await add_store(
                transaction,
                owner_id=info.context.viewer.own_id,
                name=input.name,
                url=input.url,
                idempotency_key=input.idempotency_key,
            )
        return StoreChanged(refer(Store, store_id))

    @portfolio_changes("Change the name or the address of a store.", type=EditStorePayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def edit_store(info: Info, input: EditStoreInput) -> StoreChanged:
        store_id = own_key(input.id, PublicIdTag.STORE, "store", "id")
        async with info.context.transaction() as transaction:
            await edit_store(transaction, store_id, sent(input, "id"), owner_id=info.context.viewer.own_id)
        return StoreChanged(refer(Store, store_id))

    @portfolio_changes("Remove a store from one's own list.", type=RemoveStorePayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def remove_store(info: Info, input: RemoveStoreInput) -> Deleted:
        store_id = own_key(input.id, PublicIdTag.STORE, "store", "id")
        async with info.context.transaction() as transaction:
            await remove_store(
                transaction,
                store_id,
                owner_id=info.context.viewer.own_id,
                clears_holdings=input.clears_holdings,
            )
        return Deleted(input.id)
