"""Exchange rates on a day: the last one on or before it, and crosses through the euro."""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy import ARRAY, Date, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.exchange_rates import (
    BASE_CURRENCY,
    MOST_DECIMAL_PLACES,
    MOST_WHOLE_DIGITS,
    SIGNIFICANT_DIGITS,
    Exchange,
    ExchangeRate,
    ReferenceRate,
)

# Decimal places to which is divided before it is rounded. A rate is a whole number of the smallest decimal place, below
# 10^21 of them. So a quotient begins at most 21 places behind the point, its last digit that counts stands 28 places
# further at most, and unless it lies in the middle between two roundings it is 1 / (2 * 10^49 * 10^21) away from it.
_DIVIDED_TO = SIGNIFICANT_DIGITS + 2 * (MOST_WHOLE_DIGITS + MOST_DECIMAL_PLACES) + 2

# The one place that says which rate holds on a day. Of the euro it is 1, on the day itself.
_RATE_ON = f"""
    SELECT 1::numeric AS units_per_eur, {{day}} AS rate_date, NULL::text AS source
    WHERE {{currency}} = '{BASE_CURRENCY}'
    UNION ALL
    (SELECT units_per_eur, rate_date, source FROM prices.exchange_rates
     WHERE currency = {{currency}} AND rate_date <= {{day}}
     ORDER BY rate_date DESC
     LIMIT 1)
"""  # noqa: S608  # constants of ours

_RATES_ON = f"""
SELECT asked.currency, held.units_per_eur, held.rate_date
FROM unnest(:currencies) AS asked (currency)
CROSS JOIN LATERAL ({_RATE_ON.format(currency="asked.currency", day=":day")}) AS held
"""  # noqa: S608  # constants of ours
_READ_RATES_ON = text(_RATES_ON).bindparams(bindparam("currencies", type_=ARRAY(Text)), bindparam("day", type_=Date))

# The one place that says how a quotient is rounded: to so many digits from the first that is not 0. A quotient of 1 or
# more has its first digit before the point; of a smaller one the zeros behind the point are counted.
_EXCHANGE_RATES = f"""
SELECT asked.place, trim_scale(round(quotient, CAST(:significant_digits AS integer) - CASE
           WHEN quotient >= 1 THEN length(CAST(trunc(quotient) AS text))
           ELSE length(ltrim(behind_point, '0')) - length(behind_point)
       END)) AS rate,
       least(from_held.rate_date, to_held.rate_date) AS rate_date,
       CASE WHEN from_held.source <> to_held.source THEN from_held.source || ', ' || to_held.source
            ELSE coalesce(from_held.source, to_held.source) END AS source
FROM unnest(:from_currencies, :to_currencies, :days)
    WITH ORDINALITY AS asked (from_currency, to_currency, day, place)
CROSS JOIN LATERAL ({_RATE_ON.format(currency="asked.from_currency", day="asked.day")}) AS from_held
CROSS JOIN LATERAL ({_RATE_ON.format(currency="asked.to_currency", day="asked.day")}) AS to_held
CROSS JOIN LATERAL (
    SELECT round(to_held.units_per_eur, CAST(:divided_to AS integer)) / from_held.units_per_eur AS quotient
) AS divided
CROSS JOIN LATERAL (SELECT split_part(CAST(quotient AS text), '.', 2) AS behind_point) AS spelled
"""  # noqa: S608  # constants of ours
_READ_EXCHANGE_RATES = text(_EXCHANGE_RATES).bindparams(
    bindparam("from_currencies", type_=ARRAY(Text)),
    bindparam("to_currencies", type_=ARRAY(Text)),
    bindparam("days", type_=ARRAY(Date)),
    bindparam("significant_digits", SIGNIFICANT_DIGITS),
    bindparam("divided_to", _DIVIDED_TO),
)


async def rates_on(connection: AsyncConnection, currencies: Sequence[str], on: date) -> Mapping[str, ReferenceRate]:
    """For each currency the last rate on or before the day, with its own day; none for one without such a rate.

    Of the euro it is 1 on the day itself. The caller looks at `rate_date`: a rate stands until the next one, however
    long that is.
    """
    rows = await connection.execute(_READ_RATES_ON, {"currencies": list(dict.fromkeys(currencies)), "day": on})
    return {row.currency: ReferenceRate(row.currency, row.rate_date, row.units_per_eur) for row in rows}


async def exchange_rates(connection: AsyncConnection, exchanges: Sequence[Exchange]) -> Mapping[Exchange, ExchangeRate]:
    """The rate of each exchange, through the euro; none where one of the two currencies has no rate by that day.

    Rounded to `SIGNIFICANT_DIGITS`, half away from zero, without zeros at the end.
    """
    asked = list(dict.fromkeys(exchanges))
    rows = await connection.execute(
        _READ_EXCHANGE_RATES,
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
