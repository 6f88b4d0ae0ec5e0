"""The mutations by which portfolios are made, changed, shared and deleted."""

from dataclasses import dataclass

import strawberry

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, own_key, sent
from app.graph.portfolios.portfolios import Portfolio
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import CurrencyCode
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.portfolios import (
    LONGEST_DESCRIPTION,
    MOST_PORTFOLIOS,
    create_portfolio,
    delete_portfolio,
    edit_portfolio,
    renew_portfolio_link,
)
from app.portfolios.models import CostBasisMethod, SharedPart, Visibility
from app.portfolios.texts import LONGEST_NAME

_NAME = f"The name, of {LONGEST_NAME} characters at most."
_DESCRIPTION = f"What is said of it, in {LONGEST_DESCRIPTION:,} characters at most; null says nothing."
_SHARED_PARTS = "What others see of it, beside which items are in it; what is not named stays hidden."


@strawberry.input(description="A new portfolio.")
class CreatePortfolioInput:
    name: str = strawberry.field(description=_NAME)
    description: str | None = given(_DESCRIPTION)
    base_currency: CurrencyCode | None = given(
        "The currency in which its costs and gains are told; default: the one of one's preferences."
    )
    method: CostBasisMethod | None = given("Which lots a disposal takes from; default: `FIFO`.")
    visibility: Visibility | None = given("Who finds it; default: `PRIVATE`.")
    shared_parts: list[SharedPart] | None = given(f"{_SHARED_PARTS} Default: none.")
    is_default: bool | None = given("Whether it becomes the default one; the first one does in any case.")
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a portfolio. What is left out stays as it is.")
class EditPortfolioInput:
    id: strawberry.ID = strawberry.field(description="The portfolio.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    name: str | None = given(_NAME)
    description: str | None = given(_DESCRIPTION)
    base_currency: CurrencyCode | None = given(
        "Another base currency. The rate of every trade is frozen anew, for its day; refused where one has none."
    )
    method: CostBasisMethod | None = given("Which lots a disposal takes from; all are computed anew.")
    visibility: Visibility | None = given("Who finds it. A link that it had ends with `LINK`.")
    shared_parts: list[SharedPart] | None = given(_SHARED_PARTS)
    is_default: bool | None = given("True makes it the default one in place of the one that is.")


@strawberry.input(description="The portfolio that gets a new link.")
class RenewPortfolioLinkInput:
    id: strawberry.ID = strawberry.field(description="The portfolio, which is shared by link.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="The portfolio to delete.")
class DeletePortfolioInput:
    id: strawberry.ID = strawberry.field(description="The portfolio.")
    deletes_trades: bool = strawberry.field(
        default=False, description="Whether what is held in it goes, too, with its trades; without it that is refused."
    )
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.type(description="What became of the new portfolio.")
class CreatePortfolioPayload:
    portfolio: Portfolio | None = attribute("The portfolio; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the portfolio.")
class EditPortfolioPayload:
    portfolio: Portfolio | None = attribute("The portfolio as it is now; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the link.")
class RenewPortfolioLinkPayload:
    portfolio: Portfolio | None = attribute("The portfolio with its new link; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The portfolio that was deleted.")
class DeletePortfolioPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class PortfolioChanged(Done):
    """The payload of a portfolio that was made or changed."""

    portfolio: Reference


@dataclass(frozen=True, slots=True)
class Deleted(Done):
    """The payload of something that was deleted."""

    deleted_id: str


@strawberry.type
class PortfolioMutations:
    @portfolio_changes(
        f"Make a portfolio; {MOST_PORTFOLIOS} at most.", type=CreatePortfolioPayload, access=PORTFOLIOS_WRITE
    )
    @staticmethod
    async def create_portfolio(info: Info, input: CreatePortfolioInput) -> PortfolioChanged:
        # Of a new one null says nothing.
        values = {name: value for name, value in sent(input, "idempotency_key").items() if value is not None}
        async with info.context.transaction() as transaction:
            portfolio_id = await create_portfolio(
                transaction, values, owner_id=info.context.viewer.own_id, idempotency_key=input.idempotency_key
            )
        return PortfolioChanged(refer(Portfolio, portfolio_id))

    @portfolio_changes(
        "Change a portfolio, who finds it, and what they see of it.", type=EditPortfolioPayload, access=PORTFOLIOS_WRITE
    )
    @staticmethod
    async def edit_portfolio(info: Info, input: EditPortfolioInput) -> PortfolioChanged:
        portfolio_id = own_key(input.id, PublicIdTag.PORTFOLIO, "portfolio", "id")
        async with info.context.transaction() as transaction:
            await edit_portfolio(
                transaction,
                portfolio_id,
                sent(input, "id", "expected_version"),
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return PortfolioChanged(refer(Portfolio, portfolio_id))

    @portfolio_changes(
        "Give a portfolio that is shared by link a new one; the old one leads nowhere from then on.",
        type=RenewPortfolioLinkPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def renew_portfolio_link(info: Info, input: RenewPortfolioLinkInput) -> PortfolioChanged:
        portfolio_id = own_key(input.id, PublicIdTag.PORTFOLIO, "portfolio", "id")
        async with info.context.transaction() as transaction:
            await renew_portfolio_link(
                transaction,
                portfolio_id,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return PortfolioChanged(refer(Portfolio, portfolio_id))

    @portfolio_changes(
        "Delete a portfolio for good. The oldest of the others becomes the default one if this was it.",
        type=DeletePortfolioPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def delete_portfolio(info: Info, input: DeletePortfolioInput) -> Deleted:
        portfolio_id = own_key(input.id, PublicIdTag.PORTFOLIO, "portfolio", "id")
        async with info.context.transaction() as transaction:
            await delete_portfolio(
                transaction,
                portfolio_id,
                owner_id=info.context.viewer.own_id,
                deletes_trades=input.deletes_trades,
                expected_version=input.expected_version,
            )
        return Deleted(input.id)
