"""What one currency is worth in another, by reference rates, and for coins by their prices."""

from datetime import date
from decimal import Decimal
from typing import Annotated

import strawberry

from app.graph.context import Info
from app.graph.fields import attribute, resolved
from app.graph.scalars import CurrencyCode
from app.identity.access import ANYBODY
from app.prices import exchange_rates as rates
from app.prices.queries.exchange_rates import exchange_rates


@strawberry.type(
    description="How many units of one currency a unit of another bought on a day, through the euro: never without the "
    "day whose rate it is."
)
class ExchangeRate:
    from_currency: CurrencyCode = attribute("The currency that is given.", name="from")
    to_currency: CurrencyCode = attribute("The currency that is got for it.", name="to")
    rate: Decimal = attribute(
        "Units of `to` for one unit of `from`, rounded to 28 significant digits, half away from zero."
    )
    rate_date: date = attribute(
        "The day whose rate it is: the last one with a rate, on or before the day asked for; of two rates the day of "
        "the older one.",
        name="date",
    )
    is_stale: bool = attribute(
        "Whether `date` lies more than 7 days before the day asked for, longer than the bank ever rests: there are no "
        "rates any more, or the newest did not come in."
    )
    source: str | None = attribute(
        "Who published it: `ECB`, the European Central Bank, for a coin also the source of its price, as in "
        "`coinbase, ECB`; null from euro to euro, which needs no rate."
    )


@strawberry.type
class ExchangeRateQueries:
    @resolved(
        "The exchange rate of a day, or the last one before it; null where one of the two has no rate by then. A coin "
        "such as BTC has that of its last market price in the catalogue, else of its last middle price; a price in "
        "another coin, such as USDT, makes no rate.",
        type=ExchangeRate | None,
        access=ANYBODY,
    )
    @staticmethod
    async def exchange_rate(
        info: Info,
        from_: Annotated[CurrencyCode, strawberry.argument(name="from", description="The currency that is given.")],
        to: Annotated[CurrencyCode, strawberry.argument(description="The currency that is got for it.")],
        on: Annotated[date | None, strawberry.argument(description="The day; default: today in UTC.")] = None,
    ) -> rates.ExchangeRate | None:
        exchange = rates.Exchange(from_, to, on or info.context.now.date())
        (rate,) = await info.context.loaders.several(exchange_rates, [exchange])
        return rate
