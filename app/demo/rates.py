"""The demo's exchange rates: invented walks near familiar levels, a rate for each working day, of the source `demo`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import exp
from random import Random

from app.prices.exchange_rates import ReferenceRate

SOURCE = "demo"
DAYS = 365
# Walks begin on one day for all, so that a day's rate does not depend on the day of loading.
_FIRST_DAY = date(2024, 1, 1)
_PULL = 0.02
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class DemoRate:
    """A currency, the units of it that a euro usually buys, their decimal places, and how much they move in a day."""

    currency: str
    units_per_eur: float
    places: int
    volatility: float = 0.004


RATES: tuple[DemoRate, ...] = (
    DemoRate("USD", 1.10, 4),
    DemoRate("GBP", 0.86, 5),
    DemoRate("JPY", 162.0, 2, 0.006),
    DemoRate("CHF", 0.95, 4, 0.003),
    DemoRate("CNY", 7.80, 4),
    DemoRate("KRW", 1_480.0, 2, 0.005),
    DemoRate("CAD", 1.50, 4),
    DemoRate("AUD", 1.66, 4, 0.005),
    DemoRate("SEK", 11.30, 4),
    DemoRate("DKK", 7.46, 4, 0.0001),
    DemoRate("PLN", 4.30, 4),
    DemoRate("BRL", 6.00, 4, 0.008),
)


def demo_rates(last_day: date, *, days: int = DAYS) -> list[ReferenceRate]:
    """The rates of the last so many days; the same day has the same ones whichever the last day is."""
    first = last_day - timedelta(days=days - 1)
    return [rate for demo in RATES for rate in _walk(demo, last_day) if rate.rate_date >= first]


def _walk(demo: DemoRate, last_day: date) -> Iterator[ReferenceRate]:
    random = Random(demo.currency)  # noqa: S311 - a walk that everyone sees alike, no secret
    position = 0.0
    for passed in range((last_day - _FIRST_DAY).days + 1):
        day = _FIRST_DAY + timedelta(days=passed)
        # Like a central bank, the demo rests on Saturdays and Sundays.
        if day.weekday() < _SATURDAY:
            units = Decimal(f"{demo.units_per_eur * exp(position):.{demo.places}f}")
            yield ReferenceRate(demo.currency, day, units)
            position += random.gauss(0, demo.volatility) - _PULL * position
