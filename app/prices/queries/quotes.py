"""Which of the latest prices is the best, and what is made of it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Interval,
    Numeric,
    Select,
    Text,
    and_,
    any_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from app.core.database import OPERATION_TIME, among
from app.core.money import CRYPTO_CURRENCIES, MINOR_UNITS
from app.prices.exchange_rates import BASE_CURRENCY
from app.prices.exchange_rates import STALE_AFTER as RATE_STALE_AFTER
from app.prices.models import PriceKind, PriceSeries, StoredExchangeRate

# When the source last showed the latest price: of one that stores only moves, later than when it moved.
LAST_SEEN: ColumnElement[Any] = func.greatest(
    PriceSeries.latest_observed_at, PriceSeries.last_seen_at, type_=DateTime(timezone=True)
)
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
# How a price was converted, where an argument asks for another currency: no row has it.
CONVERSION = select(
    literal_column("NULL", Boolean()).label("is_converted"),
    literal_column("NULL", Numeric()).label("amount"),
    literal_column("NULL", Text()).label("currency"),
    literal_column("NULL", Numeric()).label("rate"),
    literal_column("NULL", Date()).label("rate_date"),
    literal_column("NULL", Boolean()).label("is_stale"),
    literal_column("NULL", Text()).label("source"),
).subquery("conversion")
NOT_CONVERTED: Mapping[ColumnElement[Any], ColumnElement[Any]] = {
    CONVERSION.c.is_converted: literal_column("CAST(false AS boolean)", Boolean()),
    CONVERSION.c.amount: literal_column("CAST(NULL AS numeric)", Numeric()),
    CONVERSION.c.currency: literal_column("CAST(NULL AS text)", Text()),
    CONVERSION.c.rate: literal_column("CAST(NULL AS numeric)", Numeric()),
    CONVERSION.c.rate_date: literal_column("CAST(NULL AS date)", Date()),
    CONVERSION.c.is_stale: literal_column("CAST(NULL AS boolean)", Boolean()),
    CONVERSION.c.source: literal_column("CAST(NULL AS text)", Text()),
}
# Digits behind the point of a price that was converted: as many as a price can come in with.
CONVERTED_DECIMAL_PLACES = 18
# To which is divided before it is rounded.
_DIVIDED_TO = 40
COINS: ColumnElement[Any] = literal_column(f"CAST('{{{','.join(sorted(CRYPTO_CURRENCIES))}}}' AS text[])", ARRAY(Text))
TODAY = cast(func.timezone("UTC", OPERATION_TIME), Date())


def can_be_shown_in(wanted: Any) -> ColumnElement[bool]:
    """Whether the latest price of a series is in the currency, or can be converted to it by a rate of today or before.

    No number rather than a wrong one: a currency without a rate leads to no price.
    """
    has_rate = and_(units_of_wanted(wanted).is_not(None), units_per_euro(PriceSeries.currency).is_not(None))
    return or_(PriceSeries.currency == wanted, has_rate)


def shown_in(wanted: Any) -> Mapping[Any, Any]:
    """What stands in place of the amount and the currency of a latest price, to show it in another currency.

    The amount is reckoned from the two rates against the euro, which cost a look into an index; `exchange_rate` of the
    database, which says the same rate as `exchangeRate` does, is asked only to show it.
    """
    converted = converted_amount(
        PriceSeries.latest_price, units_per_euro(PriceSeries.currency), units_of_wanted(wanted)
    )
    return {
        PriceSeries.latest_price: case((PriceSeries.currency != wanted, converted), else_=PriceSeries.latest_price),
        PriceSeries.currency: cast(wanted, Text()),
        **conversion_of(PriceSeries.latest_price, PriceSeries.currency, wanted),
    }


def converted_amount(amount: Any, units_of_currency: Any, units_of_wanted: Any) -> ColumnElement[Any]:
    """An amount in the wanted currency, by how many units of each a euro buys: rounded to 18 decimal places."""
    in_euros = func.round(amount * units_of_wanted, literal_column(str(_DIVIDED_TO)))
    return func.trim_scale(
        func.round(in_euros / units_of_currency, literal_column(str(CONVERTED_DECIMAL_PLACES))), type_=Numeric()
    )


def conversion_of(amount: Any, currency: Any, wanted: Any) -> Mapping[Any, Any]:
    """What stands in the columns of `CONVERSION` where an amount of a currency is shown in the wanted one today."""
    rate_date = _exchange(currency, wanted, "rate_date", Date())
    return {
        CONVERSION.c.is_converted: currency != wanted,
        CONVERSION.c.amount: amount,
        CONVERSION.c.currency: currency,
        CONVERSION.c.rate: _exchange(currency, wanted, "rate", Numeric()),
        CONVERSION.c.rate_date: rate_date,
        CONVERSION.c.is_stale: TODAY - rate_date > literal_column(str(RATE_STALE_AFTER.days)),
        CONVERSION.c.source: _exchange(currency, wanted, "source", Text()),
    }


def units_per_euro(currency: Any) -> ColumnElement[Any]:
    """How many units a euro buys today: of a published currency by its last rate, of a coin by its last price."""
    published = StoredExchangeRate.__table__.alias()
    last = (
        select(published.c.units_per_eur)
        .where(published.c.currency == currency, published.c.rate_date <= TODAY)
        .order_by(published.c.rate_date.desc())
        .limit(literal_column("1"))
        .correlate_except(published)
        .scalar_subquery()
    )
    of_coin = case((currency == any_(COINS), func.prices.units_per_euro(currency, TODAY, COINS, type_=Numeric())))
    is_euro = currency == literal_column(f"'{BASE_CURRENCY}'", Text())
    return case((is_euro, literal_column("1", Numeric())), else_=func.coalesce(last, of_coin))


def units_of_wanted(wanted: Any) -> ColumnElement[Any]:
    """The same of the currency that is asked for, in a select of its own, so that it is reckoned once for all rows."""
    return select(units_per_euro(cast(wanted, Text()))).scalar_subquery()


def _exchange(currency: Any, wanted: Any, part: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """A part of the rate from a currency to the one that is wanted."""
    exchange = func.prices.exchange_rate(currency, cast(wanted, Text()), TODAY, COINS)
    return exchange.scalar_table_valued(part, type_)


# The best current price first: not stale, of the most telling kind, newest.
_IS_STALE: ColumnElement[Any] = (
    OPERATION_TIME - literal_column(f"interval '{STALE_AFTER.days} days'", Interval()) > LAST_SEEN
)
_KIND_RANK: ColumnElement[Any] = (
    # Written out, as every constant of a hot statement: what is bound is sent anew with each request.
    case(
        *(
            (PriceSeries.kind == literal_column(f"'{kind.value}'"), literal_column(str(rank)))
            for rank, kind in enumerate(KIND_PREFERENCE)
        )
    )
)
_NEWEST: tuple[ColumnElement[Any], ...] = (LAST_SEEN.desc(), PriceSeries.id.asc())
BEST_FIRST = (_IS_STALE, _KIND_RANK, *_NEWEST)
# The same where it may be asked for another currency.
BEST_SHOWN_FIRST = (_IS_STALE, _KIND_RANK, CONVERSION.c.is_converted, *_NEWEST)


def best_amount_by(
    units_per_euro: Mapping[str, Decimal], currency: str, *, of: Select[Any], now: datetime
) -> ColumnElement[Any]:
    """The amount that `BEST_SHOWN_FIRST` puts first, of the series that a select over them has; null without one.

    What a euro buys of each currency is given, so that a search over many items looks none of them up.
    """
    is_converted = PriceSeries.currency != currency
    known = units_per_euro if currency in units_per_euro else {}
    converted: ColumnElement[Any] = literal_column("CAST(NULL AS numeric)", Numeric())
    if known:
        own = case(*((PriceSeries.currency == code, literal(units, Numeric())) for code, units in known.items()))
        converted = converted_amount(PriceSeries.latest_price, own, literal(known[currency], Numeric()))
    amount = case((is_converted, converted), else_=PriceSeries.latest_price)
    best = of.with_only_columns(amount).where(
        PriceSeries.latest_price.is_not(None), among(PriceSeries.currency, {currency, *known})
    )
    order = (_IS_STALE, _KIND_RANK, is_converted, *_NEWEST)
    return best.order_by(*order).limit(1).params(operation_time=now).scalar_subquery()


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


# A converted price is hardly ever whole in the smallest unit, and is rounded to it.
MINOR_UNITS_OF_LATEST: ColumnElement[Any] = case(
    (
        CONVERSION.c.is_converted,
        func.round(PriceSeries.latest_price * _units_per_whole(PriceSeries.currency), literal_column("0")),
    ),
    else_=minor_units_of(PriceSeries.latest_price, PriceSeries.currency),
)
# An amount of money: no row has it, and what is shown as one puts its own columns in place of these.
MONEY = select(
    literal_column("NULL", Numeric()).label("amount"), literal_column("NULL", Text()).label("currency")
).subquery("money")
MINOR_UNITS_OF_MONEY: ColumnElement[Any] = minor_units_of(MONEY.c.amount, MONEY.c.currency)
