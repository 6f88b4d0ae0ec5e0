"""How a portfolio did over a period: time-weighted, by Modified Dietz, and money-weighted (XIRR).

Flows are what came from outside: positive where something was put in, negative where it was taken out. Those of a day
count at its end, so a day's value holds them already. Only where nothing was held before does the time-weighted return
count them at the beginning: what became of them within that day is then all there is. Values and flows are of one
currency, exact decimals.

Each method gives a share (`0.05` is 5 %), or the reason why there is none: never 0 for what is not known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from enum import StrEnum
from itertools import pairwise

# Behind the point of a return, rounded half away from zero.
DECIMAL_PLACES = 12
DAYS_IN_YEAR = 365
# The digits that everything is reckoned with. A rate is found to `_EXACT_TO`, far below what is shown.
_CONTEXT = Context(
    prec=60, rounding=ROUND_HALF_UP, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[InvalidOperation, DivisionByZero, Overflow]
)
_EXACT_TO = Decimal("1e-30")
_SHOWN = Decimal(1).scaleb(-DECIMAL_PLACES)
# Where rates are looked for: what one unit becomes over the period, as a logarithm, from e⁻⁴⁰ to e⁴⁰. Where there is
# known to be one, it is looked for farther and farther away.
_WIDE = Decimal(40)
_MOST_WIDENINGS = 16
# Into so many parts the range is divided to see whether several rates fit.
_PARTS = 640
_MOST_STEPS = 400
# Money that was there for a day only, and tripled, has a rate for the year of a hundred digits, which says nothing.
GREATEST_RATE = Decimal(10) ** 15


class ReturnMethod(StrEnum):
    """How a return is reckoned."""

    TWR = "twr"
    MODIFIED_DIETZ = "modified_dietz"
    XIRR = "xirr"


class ReturnUnavailable(StrEnum):
    """Why there is no return."""

    NO_VALUE_AT_START = "no_value_at_start"
    NO_VALUE_AT_END = "no_value_at_end"
    NO_VALUE_AT_FLOW = "no_value_at_flow"
    NOTHING_INVESTED = "nothing_invested"
    NO_RATE_FITS = "no_rate_fits"
    SEVERAL_RATES_FIT = "several_rates_fit"
    RATE_TOO_GREAT = "rate_too_great"


@dataclass(frozen=True, slots=True)
class Flow:
    """What was put in (positive) or taken out (negative) on a day, at its end."""

    day: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Return:
    """A return as a share, or why there is none; `is_annual` where it is a year's, else it is of the whole period."""

    rate: Decimal | None
    reason: ReturnUnavailable | None = None
    is_annual: bool = False


@dataclass(frozen=True, slots=True)
class Period:
    """From the end of one day to the end of a later one, with the values there and the flows in between.

    `values` are those at the ends of days, None or left out where nothing is known. Flows of the first day are in its
    value already and do not count; those of the last day count.
    """

    first: date
    last: date
    values: Mapping[date, Decimal | None]
    flows: Sequence[Flow]

    @property
    def days(self) -> int:
        """How long it is."""
        return (self.last - self.first).days

    @property
    def counted_flows(self) -> Sequence[Flow]:
        """One flow for each day after the first that has any, by day."""
        by_day: dict[date, Decimal] = {}
        for flow in self.flows:
            if self.first < flow.day <= self.last:
                by_day[flow.day] = _CONTEXT.add(by_day.get(flow.day, Decimal(0)), flow.amount)
        return [Flow(day, amount) for day, amount in sorted(by_day.items()) if amount]


def return_of(period: Period, method: ReturnMethod) -> Return:
    """The return of a period by a method; raises ValueError where the period does not end after it begins."""
    if period.days <= 0:
        raise ValueError("a period ends on a later day than it begins")
    start, end = period.values.get(period.first), period.values.get(period.last)
    if start is None:
        return Return(None, ReturnUnavailable.NO_VALUE_AT_START)
    if end is None:
        return Return(None, ReturnUnavailable.NO_VALUE_AT_END)
    with localcontext(_CONTEXT):
        return _METHODS[method](period, start, end)


def _time_weighted(period: Period, start: Decimal, end: Decimal) -> Return:
    """The product of what was made between one flow and the next: when money came and went has no part in it."""
    growth, before, was_invested = Decimal(1), start, False
    for flow in [*period.counted_flows, None]:
        value = end if flow is None else period.values.get(flow.day)
        if value is None:
            return Return(None, ReturnUnavailable.NO_VALUE_AT_FLOW)
        without_flow = value if flow is None else value - flow.amount
        if before > 0:
            growth *= without_flow / before
            was_invested = True
        elif flow is not None and flow.amount > 0:
            # Nothing was held before: what is there now is what became of what was put in.
            growth *= value / flow.amount
            was_invested = True
        elif without_flow != 0:
            # Out of nothing came something, which is no multiple of it.
            return Return(None, ReturnUnavailable.NOTHING_INVESTED)
        before = value
        if flow is not None and flow.day == period.last:
            break
    if not was_invested:
        return Return(None, ReturnUnavailable.NOTHING_INVESTED)
    return _found(growth - 1)


def _modified_dietz(period: Period, start: Decimal, end: Decimal) -> Return:
    """`(V1 − V0 − ΣF) / (V0 + Σ wF)`, each flow weighing by the share of the period for which it was there."""
    flows = period.counted_flows
    invested = start + sum((flow.amount * (period.last - flow.day).days / period.days for flow in flows), Decimal(0))
    if invested <= 0:
        return Return(None, ReturnUnavailable.NOTHING_INVESTED)
    return _found((end - start - sum((flow.amount for flow in flows), Decimal(0))) / invested)


def _xirr(period: Period, start: Decimal, end: Decimal) -> Return:
    """The rate at which what was put in becomes what came out: `Σ CF / (1 + r)^(days / 365) = 0`.

    Below a year it is the rate of the period, else that of a year.
    """
    payments: dict[int, Decimal] = {0: -start}
    for flow in period.counted_flows:
        payments[(flow.day - period.first).days] = -flow.amount
    payments[period.days] = payments.get(period.days, Decimal(0)) + end
    dated = [(day, amount) for day, amount in sorted(payments.items()) if amount]
    if not any(amount < 0 for _, amount in dated):
        return Return(None, ReturnUnavailable.NOTHING_INVESTED)
    if all(amount < 0 for _, amount in dated):
        # All is lost, whenever it was put in.
        return _found(Decimal(-1), is_annual=period.days >= DAYS_IN_YEAR)
    growth = _growth(dated, period.days)
    if isinstance(growth, ReturnUnavailable):
        return Return(None, growth)
    is_annual = period.days >= DAYS_IN_YEAR
    rate = growth ** (Decimal(DAYS_IN_YEAR) / period.days) - 1 if is_annual else growth - 1
    return _found(rate, is_annual=is_annual)


def _growth(payments: Sequence[tuple[int, Decimal]], days: int) -> Decimal | ReturnUnavailable:
    """What one unit becomes over the period at the only rate that fits, or why there is no such rate."""

    def net(logarithm: Decimal) -> tuple[Decimal, Decimal]:
        """What all payments are worth on the first day, and how that changes with the logarithm."""
        discount = (-logarithm / days).exp()
        worth, slope, factor, reached = Decimal(0), Decimal(0), Decimal(1), 0
        for day, amount in payments:
            factor *= discount ** (day - reached)
            reached = day
            worth += amount * factor
            slope -= amount * factor * day / days
        return worth, slope

    signs = [amount > 0 for _, amount in payments]
    changes = sum(before != after for before, after in pairwise(signs))
    edges = [-_WIDE + 2 * _WIDE * part / _PARTS for part in range(_PARTS + 1)]
    if changes == 1:
        # Then there is one rate (Descartes' rule of signs).
        edges = [-_WIDE, _WIDE]
        for _ in range(_MOST_WIDENINGS):
            if (net(edges[0])[0] < 0) != (net(edges[1])[0] < 0):
                break
            edges = [2 * edge for edge in edges]
    worths = [net(edge)[0] for edge in edges]
    brackets = [place for place in range(len(edges) - 1) if (worths[place] < 0) != (worths[place + 1] < 0)]
    if not brackets:
        return ReturnUnavailable.NO_RATE_FITS
    if len(brackets) > 1:
        return ReturnUnavailable.SEVERAL_RATES_FIT
    (place,) = brackets
    return _root(net, edges[place], edges[place + 1], worths[place]).exp()


def _root(
    net: Callable[[Decimal], tuple[Decimal, Decimal]], low: Decimal, high: Decimal, worth_of_low: Decimal
) -> Decimal:
    """The place between two of different signs where it is 0: by Newton's method, halving where that leads astray."""
    guess = (low + high) / 2
    for _ in range(_MOST_STEPS):
        worth, slope = net(guess)
        if worth == 0 or high - low < _EXACT_TO:
            break
        if (worth < 0) == (worth_of_low < 0):
            low = guess
        else:
            high = guess
        step = worth / slope if slope else None
        following = (low + high) / 2 if step is None or not low < guess - step < high else guess - step
        if abs(following - guess) < _EXACT_TO:
            return following
        guess = following
    return guess


def _found(rate: Decimal, *, is_annual: bool = False) -> Return:
    """The rate as it is shown, rounded and without zeros at the end."""
    if abs(rate) > GREATEST_RATE:
        return Return(None, ReturnUnavailable.RATE_TOO_GREAT)
    rounded = rate.quantize(_SHOWN).normalize()
    whole = rounded.to_integral_value()
    return Return(whole if rounded == whole else rounded, is_annual=is_annual)


_METHODS: Mapping[ReturnMethod, Callable[[Period, Decimal, Decimal], Return]] = {
    ReturnMethod.TWR: _time_weighted,
    ReturnMethod.MODIFIED_DIETZ: _modified_dietz,
    ReturnMethod.XIRR: _xirr,
}
