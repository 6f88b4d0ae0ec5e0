"""What shared holdings are worth, by the one rule, as far as their owners let others know it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Numeric, Text, Uuid, and_, case, cast, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from app.core.database import OPERATION_TIME
from app.portfolios.models import shared_holdings
from app.portfolios.queries.values import (
    ValueBasis,
    best_first,
    is_older,
    quotes_of_variants,
    unit_value,
    why_unavailable,
)
from app.prices.queries.quotes import units_of_wanted, units_per_euro

# What a shared holding is told apart by in cursors: another word under each link, and not its id, which outlives them.
SHARED_KEY: ColumnElement[Any] = cast(
    func.md5(cast(shared_holdings.c.portfolio_id, Text()).concat(cast(shared_holdings.c.id, Text())), type_=Text()),
    Uuid(),
)


def _quotes_of_shared_holdings() -> FromClause:
    quotes = quotes_of_variants().subquery("quotes")
    base_currency = shared_holdings.c.base_currency
    return (
        select(
            shared_holdings.c.id.label("holding_id"),
            shared_holdings.c.valued_quantity,
            # What an argument puts another currency in place of.
            base_currency.label("wanted"),
            units_per_euro(base_currency).label("units_of_wanted"),
            quotes.c.basis,
            quotes.c.price,
            quotes.c.currency,
            quotes.c.observed_at,
            quotes.c.seen_at,
            quotes.c.sales,
            quotes.c.series_id,
            units_per_euro(quotes.c.currency).label("units_of_quoted"),
        )
        .select_from(shared_holdings)
        .outerjoin(quotes, quotes.c.variant_id == shared_holdings.c.variant_id)
        .where(shared_holdings.c.valued_quantity.is_not(None))
        .subquery("shared_holding_quotes")
    )


# Of each holding whose value is shared its quotes, by `holding_id`, or one row without any; the best one comes first.
SHARED_QUOTES = _quotes_of_shared_holdings()
_quote: Any = SHARED_QUOTES.c
SHARED_CURRENCY: ColumnElement[Any] = _quote.wanted
SHARED_UNIT_VALUE = unit_value(_quote, SHARED_CURRENCY, _quote.units_of_quoted, _quote.units_of_wanted)
BEST_SHARED_QUOTE_FIRST = best_first(_quote, SHARED_CURRENCY, SHARED_UNIT_VALUE, OPERATION_TIME)
VALUED_QUANTITY: ColumnElement[Any] = _quote.valued_quantity
SHARED_VALUE: ColumnElement[Any] = func.trim_scale(SHARED_UNIT_VALUE * VALUED_QUANTITY, type_=Numeric())
_IS_KNOWN: ColumnElement[Any] = SHARED_UNIT_VALUE.is_not(None)
SHARED_BASIS: ColumnElement[Any] = case(
    (_IS_KNOWN, _quote.basis), else_=literal_column(f"'{ValueBasis.NONE.value}'", Text())
)
SHARED_OBSERVED_AT: ColumnElement[Any] = case((_IS_KNOWN, _quote.observed_at))
SHARED_IS_STALE: ColumnElement[Any] = func.coalesce(and_(_IS_KNOWN, is_older(_quote, OPERATION_TIME)), False)
SHARED_REASON = why_unavailable(_quote, SHARED_UNIT_VALUE)


def shared_value_in(wanted: Any) -> Mapping[Any, Any]:
    """What stands in place of the base currency to tell values in another one."""
    return {SHARED_CURRENCY: cast(wanted, Text()), _quote.units_of_wanted: units_of_wanted(wanted)}
