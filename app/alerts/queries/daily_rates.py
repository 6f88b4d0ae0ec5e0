"""Exchange rates of the days on which prices were observed."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.exchange_rates import Exchange
from app.prices.queries.exchange_rates import exchange_rates

ONE_DAY = timedelta(days=1)
_ONE = Decimal(1)
# Wide enough for an amount of 34 digits times a rate of 28.
_EXACT = Context(prec=80)


def day_of(instant: datetime) -> date:
    """The day of an instant, in UTC."""
    return instant.astimezone(UTC).date()


class DailyRates:
    """The rates that were read, each once."""

    def __init__(self) -> None:
        self._rates: dict[Exchange, Decimal | None] = {}

    async def read(self, connection: AsyncConnection, exchanges: Iterable[Exchange]) -> None:
        """Read those of these rates that were not read before."""
        asked = [
            exchange
            for exchange in dict.fromkeys(exchanges)
            if exchange.from_currency != exchange.to_currency and exchange not in self._rates
        ]
        if asked:
            found = await exchange_rates(connection, asked)
            self._rates |= {exchange: found[exchange].rate if exchange in found else None for exchange in asked}

    def rate(self, exchange: Exchange) -> Decimal | None:
        """The rate, read before; None where there is none by that day."""
        return _ONE if exchange.from_currency == exchange.to_currency else self._rates[exchange]

    def convert(self, amount: Decimal, exchange: Exchange) -> Decimal | None:
        """The amount in the other currency, exactly."""
        if exchange.from_currency == exchange.to_currency:
            return amount
        rate = self._rates[exchange]
        return None if rate is None else _EXACT.multiply(amount, rate)
