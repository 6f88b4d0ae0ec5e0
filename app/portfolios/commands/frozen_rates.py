"""Rates of exchange that are frozen with a trade: what it cost does not move with the market afterwards."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import asyncpg_connection
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import plain
from app.portfolios.models import Trade
from app.portfolios.new_trades import MOST_DIGITS_OF_A_RATE, refused
from app.prices.exchange_rates import Exchange
from app.prices.queries.exchange_rates import exchange_rates

ONE = Decimal(1)
_RATES = Context(prec=MOST_DIGITS_OF_A_RATE, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class FrozenRate:
    """Units of the base currency for one of the trade's, and the day whose rate it is.

    `rate_date` is None where the owner gave the rate, and of the base currency itself.
    """

    rate: Decimal
    rate_date: date | None


@dataclass(frozen=True, slots=True)
class Paid:
    """What was paid in at a time, with the rate that the owner gave, if they did."""

    currency: str
    occurred_at: datetime
    given_rate: Decimal | None = None

    def exchange_to(self, base_currency: str) -> Exchange:
        """The rate that is asked for: that of its day in UTC."""
        return Exchange(self.currency, base_currency, self.occurred_at.astimezone(UTC).date())


async def frozen_rate(connection: AsyncConnection, paid: Paid, base_currency: str) -> FrozenRate:
    """The rate to freeze; raises `PortfolioRefused` where there is none, or the given one cannot be."""
    return rate_to_freeze(paid, base_currency, await rates_to_freeze(connection, [paid], base_currency))


async def rates_to_freeze(
    connection: AsyncConnection, paid: Iterable[Paid], base_currency: str
) -> Mapping[Exchange, FrozenRate]:
    """The rates that trades need, as far as there are some, by what they ask for."""
    asked = [each.exchange_to(base_currency) for each in paid if each.given_rate is None]
    needed = list(dict.fromkeys(exchange for exchange in asked if exchange.from_currency != base_currency))
    if not needed:
        return {}
    found = await exchange_rates(connection, needed)
    return {exchange: FrozenRate(rate.rate, rate.rate_date) for exchange, rate in found.items()}


def rate_to_freeze(paid: Paid, base_currency: str, rates: Mapping[Exchange, FrozenRate]) -> FrozenRate:
    """The rate to freeze, out of those that were found; raises as `frozen_rate` does."""
    if paid.currency == base_currency:
        if paid.given_rate not in (None, ONE):
            raise refused(f"{base_currency} is the portfolio's own currency; leave the rate out.", "exchangeRate")
        return FrozenRate(ONE, None)
    if paid.given_rate is not None:
        return FrozenRate(paid.given_rate, None)
    exchange = paid.exchange_to(base_currency)
    found = rates.get(exchange)
    if found is None:
        raise PortfolioRefused(
            PortfolioErrorCode.NO_EXCHANGE_RATE,
            f"No rate leads from {paid.currency} to {base_currency} on {exchange.on}; give the rate: how many "
            f"{base_currency} one {paid.currency} was.",
            field=["currency"],
        )
    return found


async def freeze_again(
    connection: AsyncConnection, portfolio_id: UUID, *, old_base_currency: str, new_base_currency: str
) -> None:
    """Freeze the rates of all trades of a portfolio that gets another base currency; lots are then to be recomputed.

    Where its owner gave the rate, it is carried on by the rate between the two base currencies of the day. Raises
    `PortfolioRefused` (NO_EXCHANGE_RATE) where one is missing. The caller holds the portfolio alone.
    """
    rows = list(
        await connection.execute(
            select(Trade.id, Trade.currency, Trade.occurred_at, Trade.exchange_rate, Trade.rate_date)
            .where(Trade.portfolio_id == portfolio_id)
            .order_by(Trade.occurred_at, Trade.id)
        )
    )
    given = {row.id for row in rows if row.rate_date is None and row.currency != old_base_currency}
    paid = {row.id: Paid(old_base_currency if row.id in given else row.currency, row.occurred_at) for row in rows}
    rates = await rates_to_freeze(connection, paid.values(), new_base_currency)
    frozen = {}
    for row in rows:
        if row.currency == new_base_currency:
            frozen[row.id] = FrozenRate(ONE, None)
            continue
        rate = rate_to_freeze(paid[row.id], new_base_currency, rates)
        if row.id in given:
            rate = FrozenRate(plain(_RATES.multiply(row.exchange_rate, rate.rate)), None)
        frozen[row.id] = rate
    await (await asyncpg_connection(connection)).execute(
        _WRITE_RATES,
        list(frozen),
        [rate.rate for rate in frozen.values()],
        [rate.rate_date for rate in frozen.values()],
    )


_WRITE_RATES = """
    UPDATE portfolios.trades SET exchange_rate = frozen.rate, rate_date = frozen.rate_date
    FROM unnest(CAST($1 AS uuid[]), CAST($2 AS numeric[]), CAST($3 AS date[])) AS frozen (id, rate, rate_date)
    WHERE trades.id = frozen.id
"""
