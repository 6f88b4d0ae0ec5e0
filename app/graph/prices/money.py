"""Amounts of money."""

from decimal import Decimal

import strawberry

from app.graph.reads.fields import column, shows
from app.graph.scalars import BigInt, CurrencyCode
from app.prices.queries.quotes import MINOR_UNITS_OF_MONEY, MONEY


@strawberry.type(description="An amount of money, exact.")
@shows(MONEY)
class Money:
    amount: Decimal = column(MONEY.c.amount, "The amount in whole units of the currency.", present=True)
    currency: CurrencyCode = column(MONEY.c.currency, "The currency of the amount.", present=True)
    minor_units: BigInt | None = column(
        MINOR_UNITS_OF_MONEY, "The amount in the currency's smallest unit (cents); null for a finer amount."
    )
