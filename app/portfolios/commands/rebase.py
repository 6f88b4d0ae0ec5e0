"""Another base currency: what each trade's money was worth in it on its day."""

from datetime import date
from uuid import UUID

from sqlalchemy import ARRAY, Date, Numeric, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.prices.exchange_rates import Exchange
from app.prices.queries.exchange_rates import exchange_rates


async def freeze_rates_anew(connection: AsyncConnection, portfolio_id: UUID, *, base_currency: str) -> None:
    """Give every trade of a portfolio the rate of its own day to this currency, also where its owner had given one.

    Raises PortfolioRefused, naming currency and day, where there is no rate for one.
    """
    asked = [
        Exchange(row.currency, base_currency, row.day)
        for row in await connection.execute(_DAYS, {"portfolio_id": portfolio_id})
    ]
    found = await exchange_rates(connection, asked)
    for exchange in asked:
        if exchange not in found:
            raise _no_rate(exchange.from_currency, base_currency, exchange.on)
    await connection.execute(
        _FREEZE,
        {
            "portfolio_id": portfolio_id,
            "currencies": [exchange.from_currency for exchange in asked],
            "days": [exchange.on for exchange in asked],
            "rates": [found[exchange].rate for exchange in asked],
            "rate_days": [found[exchange].rate_date for exchange in asked],
        },
    )


def _no_rate(currency: str, base_currency: str, day: date) -> PortfolioRefused:
    return PortfolioRefused(
        PortfolioErrorCode.NO_EXCHANGE_RATE,
        f"There is no rate from {currency} to {base_currency} on {day}, when a trade was made; nothing was changed.",
        field=["baseCurrency"],
    )


_DAYS = text("""
    SELECT DISTINCT currency, CAST(occurred_at AT TIME ZONE 'UTC' AS date) AS day
    FROM portfolios.trades WHERE portfolio_id = :portfolio_id
    ORDER BY day, currency
""")
_FREEZE = text("""
    UPDATE portfolios.trades AS trade
    SET exchange_rate = frozen.rate, rate_date = frozen.rate_day, version = trade.version + 1, updated_at = now()
    FROM unnest(:currencies, :days, :rates, :rate_days) AS frozen (currency, day, rate, rate_day)
    WHERE trade.portfolio_id = :portfolio_id AND trade.currency = frozen.currency
        AND CAST(trade.occurred_at AT TIME ZONE 'UTC' AS date) = frozen.day
""").bindparams(
    bindparam("currencies", type_=ARRAY(Text)),
    bindparam("days", type_=ARRAY(Date)),
    bindparam("rates", type_=ARRAY(Numeric)),
    bindparam("rate_days", type_=ARRAY(Date)),
)
