"""Exchange rates on a day: the last one on or before it, and crosses through the euro."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import ARRAY, Date, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.money import CRYPTO_CURRENCIES
from app.prices.exchange_rates import BASE_CURRENCY, Exchange, ExchangeRate, ReferenceRate

# `prices.exchange_rate` of the database is the one place that says which rate holds on a day, and how it is rounded.
_READ_RATES = text("""
    SELECT asked.place, found.rate, found.rate_date, found.source
    FROM unnest(:from_currencies, :to_currencies, :days)
        WITH ORDINALITY AS asked (from_currency, to_currency, day, place)
    CROSS JOIN LATERAL prices.exchange_rate(asked.from_currency, asked.to_currency, asked.day, :coins) AS found
    WHERE found.rate IS NOT NULL
""").bindparams(
    bindparam("from_currencies", type_=ARRAY(Text)),
    bindparam("to_currencies", type_=ARRAY(Text)),
    bindparam("days", type_=ARRAY(Date)),
    bindparam("coins", sorted(CRYPTO_CURRENCIES), type_=ARRAY(Text)),
)


_READ_UNITS = text("""
    SELECT held.currency, prices.units_per_euro(held.currency, :day, :coins) AS units
    FROM unnest(:currencies) AS held (currency)
""").bindparams(
    bindparam("currencies", type_=ARRAY(Text)),
    bindparam("day", type_=Date()),
    bindparam("coins", sorted(CRYPTO_CURRENCIES), type_=ARRAY(Text)),
)


async def units_per_euro(connection: AsyncConnection, currencies: Collection[str], on: date) -> Mapping[str, Decimal]:
    """What a euro bought of each currency or coin on the day, or on the last day before it that has a rate.

    None for one without such a rate. Of a published currency it is the rate itself, of a coin it has 40 decimal places.
    """
    rows = await connection.execute(_READ_UNITS, {"currencies": sorted(currencies), "day": on})
    return {row.currency: row.units for row in rows if row.units is not None}


async def rates_on(connection: AsyncConnection, currencies: Sequence[str], on: date) -> Mapping[str, ReferenceRate]:
    """For each currency or coin the units of it that a euro bought on the day, or on the last day before it that has a
    rate, with that day; none for one without such a rate.

    Of the euro it is 1 on the day itself. The caller looks at `rate_date`: a rate stands until the next one, however
    long that is.
    """
    exchanges = [Exchange(BASE_CURRENCY, currency, on) for currency in currencies]
    found = await exchange_rates(connection, exchanges)
    return {
        exchange.to_currency: ReferenceRate(exchange.to_currency, rate.rate_date, rate.rate)
        for exchange, rate in found.items()
    }


async def exchange_rates(connection: AsyncConnection, exchanges: Sequence[Exchange]) -> Mapping[Exchange, ExchangeRate]:
    """The rate of each exchange, through the euro; none where one of the two currencies has no rate by that day.

    Rounded to `SIGNIFICANT_DIGITS`, half away from zero, without zeros at the end. A coin has the rate of its newest
    market price, else of its newest middle price, in whichever currency that has a published rate.
    """
    asked = list(dict.fromkeys(exchanges))
    rows = await connection.execute(
        _READ_RATES,
        {
            "from_currencies": [exchange.from_currency for exchange in asked],
            "to_currencies": [exchange.to_currency for exchange in asked],
            "days": [exchange.on for exchange in asked],
        },
    )
    return {
        exchange: ExchangeRate(
            exchange.from_currency, exchange.to_currency, row.rate, row.rate_date, exchange.on, row.source
        )
        for row in rows
        for exchange in (asked[row.place - 1],)
    }
