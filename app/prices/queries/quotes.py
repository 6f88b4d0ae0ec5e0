"""Which of the latest prices is the best, and what is made of it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Interval, Numeric, Text, case, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from app.core.database import OPERATION_TIME, among
from app.core.money import MINOR_UNITS
from app.prices.models import PriceKind, PriceSeries

# A quote older than this is used only where there is no fresher one of any kind.
STALE_AFTER = timedelta(days=30)
# With no sale: what the market says, then what is asked, then the list price; a bid or an extreme last.
KIND_PREFERENCE = (
    PriceKind.SALE,
    PriceKind.MARKET,
    PriceKind.MID,
    PriceKind.ASK,
    PriceKind.LIST,
    PriceKind.LOW,
    PriceKind.BID,
    PriceKind.HIGH,
)
# The best current price first: not stale, of the most telling kind, newest.
BEST_FIRST: tuple[ColumnElement[Any], ...] = (
    PriceSeries.latest_observed_at < OPERATION_TIME - literal_column(f"interval '{STALE_AFTER.days} days'", Interval()),
    # Written out, as every constant of a hot statement: what is bound is sent anew with each request.
    case(
        *(
            (PriceSeries.kind == literal_column(f"'{kind.value}'"), literal_column(str(rank)))
            for rank, kind in enumerate(KIND_PREFERENCE)
        )
    ),
    PriceSeries.latest_observed_at.desc(),
    PriceSeries.id.asc(),
)


def _units_per_whole(currency: Any) -> ColumnElement[Any]:
    """How many of its smallest units the currency's whole one has."""
    digits: dict[int, list[str]] = {}
    for code, count in MINOR_UNITS.items():
        digits.setdefault(count, []).append(code)
    return case(
        *((among(currency, codes), literal_column(str(10**count), Numeric())) for count, codes in digits.items())
    )


def minor_units_of(amount: Any, currency: Any) -> ColumnElement[Any]:
    """An amount in the smallest unit of its currency (12.34 USD is 1234), or null where it is finer than that."""
    scaled = amount * _units_per_whole(currency)
    return case((func.trunc(scaled) == scaled, func.trunc(scaled)))


MINOR_UNITS_OF_LATEST: ColumnElement[Any] = minor_units_of(PriceSeries.latest_price, PriceSeries.currency)
# An amount of money: no row has it, and what is shown as one puts its own columns in place of these.
MONEY = select(
    literal_column("NULL", Numeric()).label("amount"), literal_column("NULL", Text()).label("currency")
).subquery("money")
MINOR_UNITS_OF_MONEY: ColumnElement[Any] = minor_units_of(MONEY.c.amount, MONEY.c.currency)
