"""The mutations by which holdings are added, described, put in order, archived and deleted."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import strawberry

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.holdings import Holding
from app.graph.portfolios.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, key_if_given, key_of, own_key, sent
from app.graph.portfolios.portfolios import Portfolio
from app.graph.reads.fields import Reference, refer
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.holdings import add_holding, delete_holding, edit_holding, no_such_variant
from app.portfolios.details import HIGHEST_GRADE, HIGHEST_PATTERN, LONGEST_LINE, LONGEST_WORD
from app.portfolios.texts import LONGEST_NOTES


@strawberry.input(
    description="What a collector keeps of a holding. What is left out stays as it is; null says nothing any more."
)
class HoldingDetailsInput:
    condition: str | None = given(f"The condition, in {LONGEST_WORD} characters at most, such as `near mint`.")
    grade: Decimal | None = given(f"The grade that the grader gave, from 0 to {HIGHEST_GRADE}.")
    grader: str | None = given(f"Who graded it, in {LONGEST_WORD} characters at most, such as `PSA`.")
    serial: str | None = given(f"The number on it or its certificate, in {LONGEST_LINE} characters at most.")
    float_value: Decimal | None = given("The wear of a skin, from 0 to 1.")
    pattern: int | None = given(f"The seed of a skin's pattern, from 0 to {HIGHEST_PATTERN:,}.")
    place: str | None = given(f"Where it is kept, in {LONGEST_LINE} characters at most.")
    store_id: strawberry.ID | None = given("Where it was acquired: a store of one's own.")
    acquired_on: date | None = given("The day on which it was acquired.")
    notes: str | None = given(f"What one notes of it, in {LONGEST_NOTES:,} characters at most.")


@strawberry.input(description="A holding to add, behind the others. How much of it is held, trades say.")
class AddHoldingInput:
    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    variant_id: strawberry.ID = strawberry.field(description="The variant that is held.")
    details: HoldingDetailsInput | None = strawberry.field(default=None, description="What is kept of it.")
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a holding. What is left out stays as it is.")
class EditHoldingInput:
    id: strawberry.ID = strawberry.field(description="The holding.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    details: HoldingDetailsInput | None = strawberry.field(default=None, description="What is kept of it.")
    is_archived: bool | None = strawberry.field(
        default=None, description="True puts it aside, where others do not see it; false takes it back."
    )
    before_id: strawberry.ID | None = strawberry.field(
        default=None, description="The holding of the same portfolio that it is to stand before."
    )
    after_id: strawberry.ID | None = strawberry.field(
        default=None, description="The holding of the same portfolio that it is to stand behind."
    )


@strawberry.input(description="The holding to delete.")
class DeleteHoldingInput:
    id: strawberry.ID = strawberry.field(description="The holding.")
    deletes_trades: bool = strawberry.field(
        default=False, description="Whether its trades go, too; without it a holding with trades is refused."
    )
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.type(description="What became of the new holding.")
class AddHoldingPayload:
    holding: Holding | None = attribute("The holding; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the holding.")
class EditHoldingPayload:
    holding: Holding | None = attribute("The holding as it is now; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The holding that was deleted.")
class DeleteHoldingPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    portfolio: Portfolio | None = attribute("The portfolio that it was in; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class HoldingChanged(Done):
    """The payload of a holding that was added or changed."""

    holding: Reference


@dataclass(frozen=True, slots=True)
class HoldingDeleted(Done):
    """The payload of a holding that was deleted."""

    deleted_id: str
    portfolio: Reference


@strawberry.type
class HoldingMutations:
    @portfolio_changes("Add a holding to a portfolio.", type=AddHoldingPayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def add_holding(info: Info, input: AddHoldingInput) -> HoldingChanged:
        portfolio_id = own_key(input.portfolio_id, PublicIdTag.PORTFOLIO, "portfolio", "portfolioId")
        variant_id = key_of(input.variant_id, PublicIdTag.ITEM_VARIANT)
        if variant_id is None:
            raise no_such_variant()
        details = _details(input.details)
        async with info.context.transaction() as transaction:
            holding_id = await add_holding(
                transaction,
                owner_id=info.context.viewer.own_id,
                portfolio_id=portfolio_id,
                variant_id=variant_id,
                details=details,
                idempotency_key=input.idempotency_key,
            )
        return HoldingChanged(refer(Holding, holding_id))

    @portfolio_changes(
        "Change what is kept of a holding, its place among the others, or put it aside.",
        type=EditHoldingPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def edit_holding(info: Info, input: EditHoldingInput) -> HoldingChanged:
        holding_id = own_key(input.id, PublicIdTag.HOLDING, "holding", "id")
        before_id = key_if_given(input.before_id, PublicIdTag.HOLDING, "holding", "beforeId")
        after_id = key_if_given(input.after_id, PublicIdTag.HOLDING, "holding", "afterId")
        details = _details(input.details)
        async with info.context.transaction() as transaction:
            await edit_holding(
                transaction,
                holding_id,
                owner_id=info.context.viewer.own_id,
                details=details,
                is_archived=input.is_archived,
                before_id=before_id,
                after_id=after_id,
                expected_version=input.expected_version,
            )
        return HoldingChanged(refer(Holding, holding_id))

    @portfolio_changes(
        "Delete a holding for good; archive it to keep it out of sight.",
        type=DeleteHoldingPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def delete_holding(info: Info, input: DeleteHoldingInput) -> HoldingDeleted:
        holding_id = own_key(input.id, PublicIdTag.HOLDING, "holding", "id")
        async with info.context.transaction() as transaction:
            portfolio_id = await delete_holding(
                transaction,
                holding_id,
                owner_id=info.context.viewer.own_id,
                deletes_trades=input.deletes_trades,
                expected_version=input.expected_version,
            )
        return HoldingDeleted(input.id, refer(Portfolio, portfolio_id))


def _details(input: HoldingDetailsInput | None) -> dict[str, Any]:
    values = {} if input is None else sent(input)
    if values.get("store_id") is not None:
        values["store_id"] = own_key(values["store_id"], PublicIdTag.STORE, "store", "details", "storeId")
    return values
