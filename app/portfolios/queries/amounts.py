"""Amounts that follow from what is stored of holdings and lots, in the portfolio's base currency."""

from typing import Any

from sqlalchemy import Numeric, and_, case, func, literal_column
from sqlalchemy.sql.elements import ColumnElement

from app.portfolios.models import Holding, Lot

# Digits behind the point of an amount that was divided; what is only added and multiplied is exact.
DIVIDED_DECIMAL_PLACES = 18
# Beyond those by enough that rounding twice is rounding once, and not fewer than a cost itself may have.
DIVIDED_TO = 54
_PLACES: ColumnElement[Any] = literal_column(str(DIVIDED_DECIMAL_PLACES))
_ZERO: ColumnElement[Any] = literal_column("0", Numeric())


def _divisible(amount: Any) -> ColumnElement[Any]:
    """The same amount, which PostgreSQL then divides to as many places as this has: to few if it has none."""
    return func.round(amount, literal_column(str(DIVIDED_TO)), type_=Numeric())


IS_HELD: ColumnElement[bool] = Holding.quantity > _ZERO
IS_GAIN_COMPLETE: ColumnElement[bool] = Holding.missing_quantity == _ZERO
# What one unit of what is held cost on average.
AVERAGE_COST: ColumnElement[Any] = func.trim_scale(
    func.round(_divisible(Holding.cost) / func.nullif(Holding.quantity, _ZERO), _PLACES), type_=Numeric()
)
# With the average method what is left of a lot has its share of the one cost of all.
REMAINING_COST: ColumnElement[Any] = case(
    (Lot.remaining_cost.is_not(None), Lot.remaining_cost),
    (
        and_(IS_HELD, Lot.remaining_quantity > _ZERO),
        func.trim_scale(
            func.round(_divisible(Holding.cost * Lot.remaining_quantity) / Holding.quantity, _PLACES), type_=Numeric()
        ),
    ),
    else_=_ZERO,
)
