"""Exchange rates on a day: the last one on or before it, and crosses through the euro."""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy import ARRAY, Date, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause

from app.core.money import CRYPTO_CURRENCIES
from app.prices.exchange_rates import (
    BASE_CURRENCY,
    MOST_DECIMAL_PLACES,
    MOST_WHOLE_DIGITS,
    SIGNIFICANT_DIGITS,
    Exchange,
    ExchangeRate,
    ReferenceRate,
)
from app.prices.models import PriceKind
from app.prices.resolutions import Resolution

# Decimal places to which is divided before it is rounded. A rate is a whole number of the smallest decimal place, below
# 10^21 of them. So a quotient begins at most 21 places behind the point, its last digit that counts stands 28 places
# further at most, and unless it lies in the middle between two roundings it is 1 / (2 * 10^49 * 10^21) away from it.
_DIVIDED_TO = SIGNIFICANT_DIGITS + 2 * (MOST_WHOLE_DIGITS + MOST_DECIMAL_PLACES) + 2
# The series whose prices are what a coin trades at, the most telling kind first.
_KINDS_OF_COINS = (PriceKind.MARKET, PriceKind.MID, PriceKind.SALE)

# The one place that says which published rate holds on a day. Of the euro it is 1, on the day itself.
_PUBLISHED = f"""
    SELECT CAST(1 AS numeric) AS units_per_eur, {{day}} AS rate_date, CAST(NULL AS text) AS source
    WHERE {{currency}} = '{BASE_CURRENCY}'
    UNION ALL
    (SELECT units_per_eur, rate_date, source FROM prices.exchange_rates
     WHERE currency = {{currency}} AND rate_date <= {{day}}
     ORDER BY rate_date DESC
     LIMIT 1)
"""  # noqa: S608  # constants of ours

# The last close of a series that was known when the day ended: of the candles that its source provides, or of the days
# that its points were rolled up to.
_LAST_CLOSE = f"""
    SELECT candle.close, CAST(timezone('UTC', candle.ends_at - interval '1 microsecond') AS date) AS price_date
    FROM (
        SELECT resolution, true AS is_provided FROM unnest(series.provided_resolutions) AS resolution
        UNION ALL
        SELECT {Resolution.ONE_DAY:d}, false WHERE series.has_points
    ) AS layer
    CROSS JOIN LATERAL (
        SELECT close, bucket + layer.resolution * interval '1 second' AS ends_at
        FROM prices.candles
        WHERE series_id = series.id AND resolution = layer.resolution AND is_provided = layer.is_provided
          AND bucket <= timezone('UTC', CAST({{day}} + 1 AS timestamp)) - layer.resolution * interval '1 second'
        ORDER BY bucket DESC
        LIMIT 1
    ) AS candle
    ORDER BY candle.ends_at DESC, layer.is_provided DESC, layer.resolution
    LIMIT 1
"""  # noqa: S608  # constants of ours

# What one unit costs, and how many units of the currency of that price a euro buys: a published currency costs one unit
# of itself, a coin what its newest price says. A symbol that several coins have names none of them.
_HELD_OF_PUBLISHED = f"""
    SELECT units_per_eur, CAST(1 AS numeric) AS price, rate_date, ARRAY[source] AS sources
    FROM ({_PUBLISHED}) AS published
"""  # noqa: S608  # constants of ours
_HELD_OF_ALL = f"""
    {_HELD_OF_PUBLISHED}
    UNION ALL
    (SELECT quoted.units_per_eur, priced.close, least(quoted.rate_date, priced.price_date),
            ARRAY[source.code, quoted.source]
     FROM catalogue.coins AS coin
     JOIN catalogue.item_variants AS variant ON variant.item_id = coin.item_id AND variant.is_default
     JOIN prices.price_series AS series ON series.variant_id = variant.id AND series.kind = ANY(:kinds_of_coins)
     JOIN prices.sources AS source ON source.id = series.source_id
     CROSS JOIN LATERAL ({_LAST_CLOSE}) AS priced
     CROSS JOIN LATERAL ({_PUBLISHED.format(currency="series.currency", day="{day}")}) AS quoted
     WHERE {{currency}} = ANY(:coins) AND upper(coin.symbol) = {{currency}} AND priced.close > 0
       AND NOT EXISTS (
           SELECT FROM catalogue.coins AS other
           WHERE upper(other.symbol) = {{currency}} AND other.item_id <> coin.item_id
       )
     ORDER BY least(quoted.rate_date, priced.price_date) DESC, array_position(:kinds_of_coins, series.kind), series.id
     LIMIT 1)
"""  # noqa: S608  # constants of ours


def _reading(held: str) -> TextClause:
    """The one place that says how a quotient is rounded: to so many digits from the first that is not 0.

    A quotient of 1 or more has its first digit before the point; of a smaller one the zeros behind it are counted.
    """
    statement = f"""
SELECT asked.place, trim_scale(round(quotient, CAST(:significant_digits AS integer) - CASE
           WHEN quotient >= 1 THEN length(CAST(trunc(quotient) AS text))
           ELSE length(ltrim(behind_point, '0')) - length(behind_point)
       END)) AS rate,
       least(from_held.rate_date, to_held.rate_date) AS rate_date,
       (SELECT string_agg(source, ', ' ORDER BY place) FROM (
           SELECT source, min(place) AS place
           FROM unnest(from_held.sources || to_held.sources) WITH ORDINALITY AS named (source, place)
           GROUP BY source
       ) AS named) AS source
FROM unnest(:from_currencies, :to_currencies, :days)
    WITH ORDINALITY AS asked (from_currency, to_currency, day, place)
CROSS JOIN LATERAL ({held.format(currency="asked.from_currency", day="asked.day")}) AS from_held
CROSS JOIN LATERAL ({held.format(currency="asked.to_currency", day="asked.day")}) AS to_held
CROSS JOIN LATERAL (
    SELECT round(to_held.units_per_eur * from_held.price, CAST(:divided_to AS integer))
        / (from_held.units_per_eur * to_held.price) AS quotient
) AS divided
CROSS JOIN LATERAL (SELECT split_part(CAST(quotient AS text), '.', 2) AS behind_point) AS spelled
WHERE quotient > 0
"""  # noqa: S608  # constants of ours
    return text(statement).bindparams(
        bindparam("from_currencies", type_=ARRAY(Text)),
        bindparam("to_currencies", type_=ARRAY(Text)),
        bindparam("days", type_=ARRAY(Date)),
        bindparam("significant_digits", SIGNIFICANT_DIGITS),
        bindparam("divided_to", _DIVIDED_TO),
    )


_READ_PUBLISHED = _reading(_HELD_OF_PUBLISHED)
# Longer to plan by far, so it is for those who ask for a coin.
_READ_ALL = _reading(_HELD_OF_ALL).bindparams(
    bindparam("coins", sorted(CRYPTO_CURRENCIES), type_=ARRAY(Text)),
    bindparam("kinds_of_coins", [kind.value for kind in _KINDS_OF_COINS], type_=ARRAY(Text)),
)


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
    market price, in whichever currency that is.
    """
    asked = list(dict.fromkeys(exchanges))
    has_coin = any({exchange.from_currency, exchange.to_currency} & CRYPTO_CURRENCIES for exchange in asked)
    rows = await connection.execute(
        _READ_ALL if has_coin else _READ_PUBLISHED,
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
