"""Exchange rates of a day: how many units of a currency one euro buys, and what is made of two of them."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

# What every rate is told against. One euro is one euro on every day, so no rate of it is stored.
BASE_CURRENCY = "EUR"
# The European Central Bank, whose reference rates these are.
ECB = "ECB"
# The bank gives a rate on each of its working days. It rests for five days at most, around Easter and Christmas, so an
# older rate is one that has ended, or whose successor did not come in.
STALE_AFTER = timedelta(days=7)
# A rate from one currency to another is rounded to so many digits, half away from zero. The published rates have six,
# so whoever multiplies by it and rounds to cents never sees the rounding.
SIGNIFICANT_DIGITS = 28
# Digits of a published rate before and after the point. With no more of them the quotient of two is never so close to
# the middle between two roundings that the digits to which PostgreSQL divides could not tell on which side it lies.
MOST_WHOLE_DIGITS = 9
MOST_DECIMAL_PLACES = 12


@dataclass(frozen=True, slots=True)
class ReferenceRate:
    """One euro bought so many units of the currency on that day."""

    currency: str
    rate_date: date
    units_per_eur: Decimal


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question: how many units of `to_currency` did one unit of `from_currency` buy on that day?"""

    from_currency: str
    to_currency: str
    on: date


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """The answer, exact to `SIGNIFICANT_DIGITS`.

    `rate_date` is the day whose rate it is, of two the older one, and may lie before the day that was asked for.
    `source` says who published it; None where the euro stands on both sides.
    """

    from_currency: str
    to_currency: str
    rate: Decimal
    rate_date: date
    on: date
    source: str | None

    @property
    def is_stale(self) -> bool:
        """Whether the rate is too old to stand for the day that was asked for."""
        return self.on - self.rate_date > STALE_AFTER
