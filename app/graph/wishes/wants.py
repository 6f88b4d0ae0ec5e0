"""Wants: what somebody wishes to own, until they do."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import strawberry

from app.catalogue.models import Item as ItemRow
from app.catalogue.models import ItemVariant as VariantRow
from app.core.ids import PublicIdTag
from app.graph.access import private
from app.graph.catalogue.items import Item, ItemVariant
from app.graph.context import Info
from app.graph.fields import attribute, show_enum
from app.graph.portfolios.errors import OWNER_ALONE, PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, key_if_given, own_key, sent
from app.graph.prices.money import Money
from app.graph.reads.arguments import Orders, narrow
from app.graph.reads.fields import Reference, column, edge, embedded, refer, shows
from app.graph.reads.tables import join
from app.graph.relay import Node
from app.graph.scalars import CurrencyCode
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.wants import add_want, edit_want, remove_want
from app.portfolios.queries.wants import IS_FULFILLED, IS_WANTED
from app.portfolios.wish_models import Condition
from app.portfolios.wish_models import Want as WantRow
from app.prices.queries.quotes import MONEY

OF_ITEM = join(VariantRow, VariantRow.item_id == ItemRow.id)

show_enum(
    Condition,
    "The conditions of things, from the best to the worst. What a holding's details say is read without regard to "
    "case: of cards by the words of both TCGplayer and Cardmarket.",
    {
        Condition.MINT: "As it left the factory: mint, new, sealed.",
        Condition.NEAR_MINT: "Near mint (NM), like new.",
        Condition.EXCELLENT: "Excellent (EX), lightly played (LP).",
        Condition.GOOD: "Good (GD), very good, light played, moderately played (MP).",
        Condition.PLAYED: "Played (PL), heavily played (HP), used.",
        Condition.POOR: "Poor (PO), damaged.",
    },
    name="ItemCondition",
)


class WantOrder(Enum):
    """What wants are ordered by."""

    PRIORITY = "priority"


WANT_ORDERS = Orders("wants", {WantOrder.PRIORITY: WantRow.priority}, tie=WantRow.id, newest_first=True)


@strawberry.input(description="Which wants to list; open ones unless it says otherwise.")
class WantFilter:
    is_fulfilled: bool | None = narrow(
        "Only those that are fulfilled by what one holds, or only those that are not; null for both.",
        IS_FULFILLED,
        lambda is_fulfilled: is_fulfilled == IS_FULFILLED,
        default=False,
    )


@strawberry.type(description="Something that its owner wishes to own.")
@private(OWNER_ALONE)
@shows(WantRow, PublicIdTag.WANT, listed=IS_WANTED)
class Want(Node):
    accepts_any_print: bool = column(
        WantRow.accepts_any_print,
        "Whether any variant of the item will do, and of a card any print of it; else this variant alone.",
    )
    minimum_condition: Condition | None = column(
        WantRow.minimum_condition, "The worst condition that will do; null for any. An unknown one then does not."
    )
    maximum_price: Money | None = embedded(
        "The most that its owner would pay; null where they did not say.",
        when=WantRow.maximum_price.is_not(None),
        instead={MONEY.c.amount: WantRow.maximum_price, MONEY.c.currency: WantRow.currency},
    )
    priority: int = column(WantRow.priority, "How much it is wanted, from 0 to 10.")
    notes: str | None = column(WantRow.notes, "What its owner noted.")
    is_fulfilled: bool = column(
        IS_FULFILLED, "Whether its owner holds something that meets it, in any portfolio. Once it is sold, no more."
    )
    version: int = column(WantRow.version, "How often it was changed, from 1; give it with an edit.")
    created_at: datetime = column(WantRow.created_at, "When it was first wanted.")
    updated_at: datetime = column(WantRow.updated_at, "When it was last changed.")
    item: Item = edge("The item.", on=WantRow.variant_id, to=VariantRow.id, joins=[OF_ITEM])
    variant: ItemVariant = edge("The variant that is wanted.", on=WantRow.variant_id, to=VariantRow.id)


@strawberry.input(description="Something to want: an item, or a variant of one.")
class AddWantInput:
    item_id: strawberry.ID | None = strawberry.field(
        default=None, description="The item; its default variant is meant unless one is named."
    )
    variant_id: strawberry.ID | None = strawberry.field(default=None, description="The variant.")
    accepts_any_print: bool = strawberry.field(
        default=False, description="Whether any variant of the item will do, and of a card any print of it."
    )
    minimum_condition: Condition | None = strawberry.field(
        default=None, description="The worst condition that will do; default: any."
    )
    maximum_price: Decimal | None = strawberry.field(
        default=None, description="The most that one would pay, from 0 to 10^15 with 18 decimal places at most."
    )
    currency: CurrencyCode | None = strawberry.field(
        default=None, description="The currency of that; the two go together."
    )
    priority: int = strawberry.field(default=0, description="How much it is wanted, from 0 to 10.")
    notes: str | None = strawberry.field(default=None, description="Notes, of 2,000 characters at most.")
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a want. What is left out stays; null clears it, where it may be null.")
class EditWantInput:
    id: strawberry.ID = strawberry.field(description="The want.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    variant_id: strawberry.ID | None = strawberry.field(default=None, description="Another variant.")
    accepts_any_print: bool | None = given("Whether any variant of the item will do, and of a card any print of it.")
    minimum_condition: Condition | None = given("The worst condition that will do; null for any.")
    maximum_price: Decimal | None = given("The most that one would pay; null, with the currency, to say nothing.")
    currency: CurrencyCode | None = given("The currency of that.")
    priority: int | None = given("How much it is wanted, from 0 to 10.")
    notes: str | None = given("Notes, of 2,000 characters at most.")


@strawberry.input(description="What is not wanted any more.")
class RemoveWantInput:
    id: strawberry.ID = strawberry.field(description="The want.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@dataclass(frozen=True, slots=True)
class WantChanged(Done):
    """The payload of a change to a want."""

    want: Reference


@dataclass(frozen=True, slots=True)
class WantRemoved(Done):
    """The payload of a want that was removed."""

    deleted_id: str


@strawberry.type(description="What became of the new want.")
class AddWantPayload:
    want: Want | None = attribute("The want; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the want.")
class EditWantPayload:
    want: Want | None = attribute("The want as it is now; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The want that was removed.")
class RemoveWantPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type
class WantMutations:
    @portfolio_changes(
        "Want something. What was wanted before and removed comes back with the same id.",
        type=AddWantPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def add_want(info: Info, input: AddWantInput) -> WantChanged:
        item_id = key_if_given(input.item_id, PublicIdTag.ITEM, "item", "itemId")
        variant_id = key_if_given(input.variant_id, PublicIdTag.ITEM_VARIANT, "variant", "variantId")
        said = sent(input, "item_id", "variant_id", "idempotency_key")
        async with info.context.transaction() as transaction:
            want_id = await add_want(
                transaction,
                said,
                owner_id=info.context.viewer.own_id,
                item_id=item_id,
                variant_id=variant_id,
                idempotency_key=input.idempotency_key,
            )
        return WantChanged(refer(Want, want_id))

    @portfolio_changes("Change what is wanted, and how.", type=EditWantPayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def edit_want(info: Info, input: EditWantInput) -> WantChanged:
        want_id = _want_key(input.id)
        changes = sent(input, "id", "expected_version", "variant_id")
        variant_id = key_if_given(input.variant_id, PublicIdTag.ITEM_VARIANT, "variant", "variantId")
        if variant_id is not None:
            changes["variant_id"] = variant_id
        async with info.context.transaction() as transaction:
            await edit_want(
                transaction,
                want_id,
                changes,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return WantChanged(refer(Want, want_id))

    @portfolio_changes("Want something no more.", type=RemoveWantPayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def remove_want(info: Info, input: RemoveWantInput) -> WantRemoved:
        want_id = _want_key(input.id)
        async with info.context.transaction() as transaction:
            await remove_want(
                transaction,
                want_id,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return WantRemoved(input.id)


def _want_key(id: str) -> UUID:
    return own_key(id, PublicIdTag.WANT, "want", "id")
