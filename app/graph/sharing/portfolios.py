"""Portfolios as others see them: no more than their owners chose to show."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from app.catalogue.models import Item as ItemRow
from app.catalogue.models import ItemVariant as VariantRow
from app.catalogue.queries.visibility import IS_SHOWN_TO_VIEWER
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag
from app.graph.catalogue.items import ItemVariant
from app.graph.portfolios.holding_photos import SharedPhoto
from app.graph.prices.money import Money
from app.graph.reads.arguments import OperationContext, Orders, graphql_argument, shown_by
from app.graph.reads.fields import Reference, column, connection, edge, edges, embedded, refer, reference, shows
from app.graph.reads.tables import join
from app.graph.relay import Connection, Node, key_of
from app.graph.scalars import CurrencyCode
from app.identity.access import ANYBODY
from app.identity.models import public_profiles
from app.portfolios.commands.portfolios import shared_id_of_link
from app.portfolios.models import SharedPart, shared_holding_photos, shared_holdings, shared_portfolios
from app.portfolios.queries.shared_values import (
    BEST_SHARED_QUOTE_FIRST,
    SHARED_BASIS,
    SHARED_CURRENCY,
    SHARED_IS_STALE,
    SHARED_KEY,
    SHARED_OBSERVED_AT,
    SHARED_QUOTES,
    SHARED_REASON,
    SHARED_UNIT_VALUE,
    SHARED_VALUE,
    VALUED_QUANTITY,
    shared_value_in,
)
from app.portfolios.queries.values import ValueBasis, ValueUnavailable, in_any_currency
from app.prices.queries.quotes import MONEY

if TYPE_CHECKING:
    from app.graph.identity.accounts import User


class SharedPortfolioOrder(Enum):
    """What shared portfolios are ordered by."""

    CREATED_AT = "created_at"


class SharedHoldingOrder(Enum):
    """What shared holdings are ordered by."""

    POSITION = "position"


SHARED_PORTFOLIO_ORDERS = Orders(
    "shared-portfolios", {SharedPortfolioOrder.CREATED_AT: shared_portfolios.c.created_at}, tie=shared_portfolios.c.id
)
SHARED_HOLDING_ORDERS = Orders(
    "shared-holdings", {SharedHoldingOrder.POSITION: shared_holdings.c.position}, tie=SHARED_KEY
)


IN_CURRENCY = shown_by(
    "currency",
    CurrencyCode | None,
    shared_portfolios.c.base_currency.type,
    where=in_any_currency,
    instead=shared_value_in,
)


@strawberry.type(
    description="What others see of the worth of a holding: of all that is held where its owner shares `QUANTITIES`, "
    "too, else of one unit, so that no value tells how much there is."
)
@shows(SHARED_QUOTES)
class SharedHoldingValue:
    currency: CurrencyCode = column(SHARED_CURRENCY, "The currency of the amounts.", present=True)
    quantity: Decimal = column(VALUED_QUANTITY, "How much the amount is of.", present=True)
    unit_value: Money | None = embedded(
        "What one unit is worth: exact, or converted and rounded to 18 decimal places.",
        when=SHARED_UNIT_VALUE.is_not(None),
        instead={MONEY.c.amount: SHARED_UNIT_VALUE, MONEY.c.currency: SHARED_CURRENCY},
    )
    amount: Money | None = embedded(
        "What so much of it is worth; null where it is not known.",
        when=SHARED_UNIT_VALUE.is_not(None),
        instead={MONEY.c.amount: SHARED_VALUE, MONEY.c.currency: SHARED_CURRENCY},
    )
    basis: ValueBasis = column(SHARED_BASIS, "What it rests on.")
    observed_at: datetime | None = column(
        SHARED_OBSERVED_AT, "When the price that it rests on was seen, of sales the newest; null where there is none."
    )
    is_stale: bool = column(SHARED_IS_STALE, "Whether that price was last seen more than 30 days ago.")
    reason: ValueUnavailable | None = column(SHARED_REASON, "Why there is no value; null where there is one.")


OF_VARIANT = join(VariantRow, VariantRow.id == shared_holdings.c.variant_id)
OF_ITEM = join(ItemRow, ItemRow.id == VariantRow.item_id)


@strawberry.type(description="Something held in a portfolio that is shared, as far as its owner shows it.")
@shows(shared_holdings, joins=[OF_VARIANT, OF_ITEM], listed=IS_SHOWN_TO_VIEWER)
class SharedHolding:
    position: int = column(shared_holdings.c.position, "Its place in the order that its owner gave.")
    variant: ItemVariant = edge("What is held.", on=shared_holdings.c.variant_id, to=VariantRow.id)
    quantity: Decimal | None = column(
        shared_holdings.c.quantity, "How much is held; null unless its owner shares `QUANTITIES`."
    )
    condition: str | None = column(
        shared_holdings.c.condition, "The condition; null where it is not known, or `DETAILS` are not shared."
    )
    grade: Decimal | None = column(
        shared_holdings.c.grade, "The grade; null where there is none, or `DETAILS` are not shared."
    )
    grader: str | None = column(
        shared_holdings.c.grader, "Who graded it; null where nobody did, or `DETAILS` are not shared."
    )
    float_value: Decimal | None = column(
        shared_holdings.c.float_value,
        "The wear of a skin, from 0 to 1; null where it is not known, or `DETAILS` are not shared.",
    )
    pattern: int | None = column(
        shared_holdings.c.pattern,
        "The seed of a skin's pattern; null where it is not known, or `DETAILS` are not shared.",
    )
    photos: list[SharedPhoto] = edges(
        "The photos that its owner took of it, in their order; none unless `PHOTOS` are shared. An address that was "
        "given holds for its hours all the same, if they are shared no longer.",
        on=shared_holdings.c.id,
        to=shared_holding_photos.c.holding_id,
        order=[shared_holding_photos.c.position, shared_holding_photos.c.id],
    )
    value: SharedHoldingValue | None = edge(
        "What it is worth now, in the base currency of its portfolio unless another one is named; null unless its "
        "owner shares `VALUES`.",
        on=shared_holdings.c.id,
        to=SHARED_QUOTES.c.holding_id,
        order=BEST_SHARED_QUOTE_FIRST,
        arguments=[IN_CURRENCY],
    )


@strawberry.type(
    description="A portfolio that is public or shared by link, as far as its owner shows it. What it cost, its trades, "
    "notes, places, stores, serial numbers, and what was archived or sold is never shown."
)
@shows(shared_portfolios, PublicIdTag.SHARED_PORTFOLIO)
class SharedPortfolio(Node):
    name: str = column(shared_portfolios.c.name, "Its name.")
    description: str | None = column(shared_portfolios.c.description, "What its owner says of it.")
    base_currency: CurrencyCode | None = column(
        shared_portfolios.c.base_currency, "The currency it is kept in; null unless its owner shares `VALUES`."
    )
    shared_parts: list[SharedPart] = column(
        shared_portfolios.c.shared_parts, "What its owner shows beside which items are in it."
    )
    created_at: datetime = column(shared_portfolios.c.created_at, "When it was made.")
    owner: Annotated["User", strawberry.lazy("app.graph.identity.accounts")] | None = edge(
        "Whose it is.", on=shared_portfolios.c.owner_id, to=public_profiles.c.id
    )
    holdings: Connection[SharedHolding] | None = connection(
        "What is held in it, in the order that its owner gave.",
        on=shared_portfolios.c.id,
        to=shared_holdings.c.portfolio_id,
        orders=SHARED_HOLDING_ORDERS,
    )


@strawberry.type
class SharedPortfolioQueries:
    @reference(
        "A portfolio that somebody shares: a public one by its `id`, one that is shared by link by the key in its "
        "`link`. Null where there is none, where it is private, and where the link was renewed.",
        [
            graphql_argument("id", strawberry.ID | None),
            graphql_argument("link", str | None),
        ],
        type=SharedPortfolio | None,
        access=ANYBODY,
    )
    @staticmethod
    def shared_portfolio(_: OperationContext, id: str | None = None, link: str | None = None) -> Reference | None:
        if (id is None) == (link is None):
            raise BadUserInput("Give `id` or `link`, one of them.", argument="id", allowed=["id", "link"])
        shared_id = shared_id_of_link(link) if link is not None else _shared_id(str(id))
        return None if shared_id is None else refer(SharedPortfolio, shared_id)


def _shared_id(id: str) -> UUID | int | None:
    """Its owner may pass on the id that they see, too: while it is public, the two lead to the same."""
    key = key_of(id, PublicIdTag.SHARED_PORTFOLIO, argument="id")
    return key_of(id, PublicIdTag.PORTFOLIO, argument="id") if key is None else key
