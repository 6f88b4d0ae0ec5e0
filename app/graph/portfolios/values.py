"""What holdings and portfolios are worth: never without what that rests on, how old it is, and what is left out."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import strawberry
from strawberry import UNSET

from app.graph.access import private
from app.graph.fields import show_enum
from app.graph.portfolios.errors import OWNER_ALONE
from app.graph.prices.money import Money
from app.graph.prices.quotes import PriceConversion
from app.graph.reads.arguments import OperationContext, graphql_argument, shown_by
from app.graph.reads.fields import column, edge, embedded, keyed_rows, shows
from app.graph.scalars import CurrencyCode
from app.portfolios.models import Holding, Portfolio
from app.portfolios.queries.values import (
    BEST_QUOTE_FIRST,
    COST_OF_VALUE,
    GAIN,
    GAIN_SHARE,
    GROUP_IS_PARTIAL,
    HOLDING_QUOTES,
    LARGEST_GROUP_FIRST,
    PORTFOLIO_ALLOCATION,
    PORTFOLIO_COSTS,
    PORTFOLIO_IDS,
    PORTFOLIO_VALUES,
    REALIZED_IS_PARTIAL,
    UNIT_VALUE,
    VALUE,
    VALUE_BASIS,
    VALUE_CONVERSION,
    VALUE_IS_CONVERTED,
    VALUE_IS_PARTIAL,
    VALUE_IS_STALE,
    VALUE_OBSERVED_AT,
    VALUE_REASON,
    VALUE_STALENESS,
    WANTED,
    AllocationBy,
    ValueBasis,
    ValueUnavailable,
    in_any_currency,
    valued_in,
)
from app.prices.queries.quotes import MONEY

show_enum(
    ValueBasis,
    "What a value rests on: the first of these that there is. A quote that was seen in the last 30 days comes before "
    "an older one.",
    {
        ValueBasis.SALES: "The fair value of completed sales, as `ItemVariant.valuation` has it.",
        ValueBasis.MARKET: "A source's own market price, or what an exchange trades at.",
        ValueBasis.MID: "The middle between what is asked and what is bid.",
        ValueBasis.ASK: "What a seller asks.",
        ValueBasis.LIST: "The list price (MSRP).",
        ValueBasis.NONE: "Nothing: no value is known.",
    },
    name="ValueBasis",
)
show_enum(
    ValueUnavailable,
    "Why there is no value.",
    {
        ValueUnavailable.NO_PRICE: "There are neither sales nor a quote that could stand in for them.",
        ValueUnavailable.NO_EXCHANGE_RATE: "No rate leads from the currency of what is known to the one asked for.",
    },
    name="ValueUnavailable",
)
show_enum(
    AllocationBy,
    "What holdings are put together by. Each holding is in one group, so nothing is counted twice.",
    {
        AllocationBy.KIND: "The kind of the item.",
        AllocationBy.SET: "The set of a card.",
        AllocationBy.SERIES: "The series of a figure; of several the first by name.",
        AllocationBy.MAKER: "The manufacturer of a figure.",
        AllocationBy.PLACE: "Where its owner keeps it.",
        AllocationBy.CURRENCY: "The currency in which the price that it is valued by was seen.",
    },
    name="AllocationBy",
)

_QUOTE = HOLDING_QUOTES.c
_SUM = PORTFOLIO_VALUES.c
_COST = PORTFOLIO_COSTS.c
_GROUP = PORTFOLIO_ALLOCATION.c
IN_CURRENCY = shown_by(
    "currency", CurrencyCode | None, Portfolio.__table__.c.base_currency.type, where=in_any_currency, instead=valued_in
)
CURRENCY = graphql_argument("currency", CurrencyCode | None, "The currency to tell it in; default: the base currency.")
_PARTIAL = "Whether something is left out of it."
_UNPRICED = "How many holdings have no value that is known, and are left out."
_STALE = "How many of the values rest on prices that were last seen more than 30 days ago."
_OLDEST = "When the oldest price that it rests on was seen; null where there is none."
_HELD = "How many holdings something is held of; those that are put aside are among them."


def _money(amount: Any, currency: Any, description: str, *, maybe: bool = True) -> Any:
    return embedded(
        description,
        when=amount.is_not(None) if maybe else None,
        instead={MONEY.c.amount: amount, MONEY.c.currency: currency},
    )


@strawberry.type(
    description="What a holding is worth now: the value of one unit times the quantity, never without what it rests on."
)
@private(OWNER_ALONE)
@shows(HOLDING_QUOTES)
class HoldingValue:
    currency: CurrencyCode = column(WANTED, "The currency of every amount in it.")
    unit_value: Money | None = _money(
        UNIT_VALUE, WANTED, "What one unit is worth: exact, or converted and rounded to 18 decimal places."
    )
    amount: Money | None = _money(VALUE, WANTED, "What all that is held is worth; null where it is not known.")
    basis: ValueBasis = column(VALUE_BASIS, "What it rests on.")
    observed_at: datetime | None = column(
        VALUE_OBSERVED_AT, "When the price that it rests on was seen, of sales the newest; null where there is none."
    )
    staleness: timedelta | None = column(
        VALUE_STALENESS, "How long ago that price was last seen, at the time of this operation."
    )
    is_stale: bool = column(VALUE_IS_STALE, "Whether that is more than 30 days.")
    conversion: PriceConversion | None = embedded(
        "How the price was converted; null where it was seen in this currency.",
        when=VALUE_IS_CONVERTED,
        instead=VALUE_CONVERSION,
    )
    cost: Money | None = _money(
        COST_OF_VALUE,
        WANTED,
        "What it cost, at the rates of when it was recorded; in another currency than the base currency by the rate "
        "of today. Null where there is no such rate.",
    )
    gain: Money | None = _money(GAIN, WANTED, "The amount less the cost; null where one of the two is.")
    gain_share: Decimal | None = column(
        GAIN_SHARE, "The gain as a share of the cost, to 12 decimal places: `0.25` is 25 %. Null where the cost is 0."
    )
    reason: ValueUnavailable | None = column(VALUE_REASON, "Why there is no value; null where there is one.")


@strawberry.type(description="What all that is held in a portfolio is worth now.")
@private(OWNER_ALONE)
@shows(PORTFOLIO_VALUES)
class PortfolioValue:
    currency: CurrencyCode = column(_SUM.currency, "The currency of every amount in it.")
    amount: Money | None = _money(
        _SUM.value,
        _SUM.currency,
        "The sum of the values that are known; 0 where nothing is held, null where something is and no value is known.",
    )
    cost: Money | None = _money(
        _SUM.cost, _SUM.currency, "What all that is held cost; null where no rate leads to the currency."
    )
    is_partial: bool = column(VALUE_IS_PARTIAL, _PARTIAL)
    holding_count: int = column(_SUM.holding_count, _HELD)
    unpriced_count: int = column(_SUM.unpriced_count, _UNPRICED)
    stale_count: int = column(_SUM.stale_count, _STALE)
    oldest_observed_at: datetime | None = column(_SUM.oldest_observed_at, _OLDEST)


@strawberry.type(description="What is held in a portfolio is worth, less what it cost.")
@private(OWNER_ALONE)
@shows(PORTFOLIO_VALUES)
class UnrealizedGain:
    currency: CurrencyCode = column(_SUM.currency, "The currency of the amount.")
    amount: Money | None = _money(
        _SUM.gain,
        _SUM.currency,
        "The values that are known less the cost of the same holdings; null where no value or no cost is known.",
    )
    share: Decimal | None = column(
        _SUM.gain_share, "The same as a share of that cost, to 12 decimal places; null where it is 0."
    )
    is_partial: bool = column(VALUE_IS_PARTIAL, _PARTIAL)
    unpriced_count: int = column(_SUM.unpriced_count, _UNPRICED)
    stale_count: int = column(_SUM.stale_count, _STALE)
    oldest_observed_at: datetime | None = column(_SUM.oldest_observed_at, _OLDEST)


@strawberry.type(description="What all that is held in a portfolio cost, fees included.")
@private(OWNER_ALONE)
@shows(PORTFOLIO_COSTS)
class PortfolioCost:
    currency: CurrencyCode = column(_COST.currency, "The currency of the amount.")
    amount: Money | None = _money(
        _COST.cost,
        _COST.currency,
        "At the rates of when it was recorded; in another currency than the base currency by the rate of today. Null "
        "where there is no such rate.",
    )
    holding_count: int = column(_COST.holding_count, _HELD)


@strawberry.type(description="What the sales of a portfolio brought less what was sold had cost, and less fees.")
@private(OWNER_ALONE)
@shows(PORTFOLIO_COSTS)
class RealizedGain:
    currency: CurrencyCode = column(_COST.currency, "The currency of the amount.")
    amount: Money | None = _money(
        _COST.realized_gain,
        _COST.currency,
        "At the rates of when it was recorded; in another currency than the base currency by the rate of today. Null "
        "where there is no such rate.",
    )
    is_partial: bool = column(
        REALIZED_IS_PARTIAL, "Whether something was disposed of that no trade had acquired: its part is left out."
    )
    incomplete_count: int = column(_COST.incomplete_count, "How many holdings that is so of.")


@strawberry.type(description="Holdings of a portfolio that belong together, and what they are of the whole.")
@private(OWNER_ALONE)
@shows(PORTFOLIO_ALLOCATION)
class AllocationGroup:
    key: str | None = column(
        _GROUP.group_key, "What they have in common, as a word; null of those that have nothing of the sort."
    )
    name: str | None = column(_GROUP.group_name, "The same to show.")
    currency: CurrencyCode = column(_GROUP.currency, "The currency of every amount in it.")
    value: Money | None = _money(_GROUP.value, _GROUP.currency, "The sum of the values that are known; null of none.")
    cost: Money | None = _money(
        _GROUP.cost, _GROUP.currency, "What they cost; null where no rate leads to the currency."
    )
    share: Decimal | None = column(
        _GROUP.share, "The value as a share of that of the portfolio, to 12 decimal places; null where it is not known."
    )
    holding_count: int = column(_GROUP.holding_count, "How many holdings they are.")
    is_partial: bool = column(GROUP_IS_PARTIAL, _PARTIAL)
    unpriced_count: int = column(_GROUP.unpriced_count, _UNPRICED)
    stale_count: int = column(_GROUP.stale_count, _STALE)
    oldest_observed_at: datetime | None = column(_GROUP.oldest_observed_at, _OLDEST)


def value_of_holding(description: str) -> Any:
    """The field of a holding that says what it is worth."""
    return edge(
        description,
        on=Holding.id,
        to=_QUOTE.holding_id,
        order=BEST_QUOTE_FIRST,
        arguments=[IN_CURRENCY],
    )


def _in_currency(arguments: Mapping[str, Any], _: OperationContext) -> dict[str, Any]:
    return {"currency": arguments.get("currency")}


def sum_over_portfolio(description: str, to: Any) -> Any:
    """A field of a portfolio that is summed over its holdings, by the `portfolio_id` of what it shows."""
    return keyed_rows(
        description,
        on=Portfolio.id,
        to=to,
        keys=PORTFOLIO_IDS,
        order=[to],
        is_list=False,
        values=_in_currency,
        arguments=[CURRENCY],
    )


def _allocation_values(arguments: Mapping[str, Any], _: OperationContext) -> dict[str, Any]:
    return {"currency": arguments.get("currency"), "by": AllocationBy(arguments["by"]).value}


def allocation_of_portfolio(description: str) -> Any:
    """The field of a portfolio that says what its value is made of."""
    return keyed_rows(
        description,
        on=Portfolio.id,
        to=_GROUP.portfolio_id,
        keys=PORTFOLIO_IDS,
        order=LARGEST_GROUP_FIRST,
        is_list=True,
        values=_allocation_values,
        arguments=[
            graphql_argument("by", AllocationBy, "What to put them together by.", default=UNSET),
            CURRENCY,
        ],
    )


VALUE_OF_PORTFOLIO = PORTFOLIO_VALUES.c.portfolio_id
COST_OF_PORTFOLIO = PORTFOLIO_COSTS.c.portfolio_id
