"""What people say of a rule, each value read as what it must be for its condition, or refused with its field."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.alerts.crossings import Watch, comparison_of, reach_of
from app.alerts.errors import AlertErrorCode, AlertRefused
from app.alerts.models import Condition, RuleTarget, Severity
from app.core.money import MAXIMUM_DECIMAL_PLACES, MINOR_UNITS, is_amount
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.texts import read_text
from app.prices.models import PriceKind

LONGEST_NOTES = 2_000
MOST_AT_ONCE = 250
HIGHEST_PERCENTAGE = 1_000_000
# What has lost all that it was worth has fallen by a hundred percent.
WHOLE = 100
MOST_DAYS = 3_650
LAST_YEAR = 9_998
MINUTE, DAY, YEAR = timedelta(minutes=1), timedelta(days=1), timedelta(days=365)
SHORTEST_SILENCE = timedelta(minutes=10)
# By the names of the kinds of channels, which the room of notifications has.
CHANNELS = ("in_app", "email", "web_push", "webhook", "service")

LEVELS = frozenset({Condition.CROSSES_ABOVE, Condition.CROSSES_BELOW, Condition.CROSSES_LEVEL, Condition.AT_OR_BELOW})
CHANGES = frozenset({Condition.RISES_BY, Condition.FALLS_BY})
MOVEMENTS = frozenset({Condition.ENTERED, Condition.LEFT, Condition.DELIVERED, Condition.MOVED_IN_STORAGE})
PRICED = frozenset({RuleTarget.ITEM, RuleTarget.VARIANT, RuleTarget.CARD_SET, RuleTarget.WATCHLIST})
# What may lead to thousands of series.
WIDE = frozenset({RuleTarget.CARD_SET, RuleTarget.WATCHLIST, RuleTarget.WANTS})
# Which conditions make sense of which target.
CONDITIONS_OF: Mapping[RuleTarget, frozenset[Condition]] = {
    **dict.fromkeys(PRICED, LEVELS | CHANGES),
    RuleTarget.PORTFOLIO: LEVELS | CHANGES,
    RuleTarget.TRACKER: MOVEMENTS | {Condition.SILENT_FOR},
    RuleTarget.PRODUCTION_RUN: MOVEMENTS | {Condition.SILENT_FOR},
    RuleTarget.PLACE: MOVEMENTS,
    RuleTarget.PREORDER: frozenset({Condition.DATE_SLIPPED}),
    RuleTarget.WANT: frozenset({Condition.WANT_MET}),
    RuleTarget.WANTS: frozenset({Condition.WANT_MET}),
}
# What makes a rule fire; whoever changes one of these has it begin anew.
TERMS = ("condition", "threshold", "currency", "hysteresis", "window", "duration", "price_kind", "source")

Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule is to look at; of all wants there is no key."""

    kind: RuleTarget
    key: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What makes a rule fire. `source` is the code of a source; thresholds are amounts, percentages or days."""

    condition: Condition
    threshold: Decimal | None = None
    currency: str | None = None
    hysteresis: Decimal = Decimal(0)
    window: timedelta | None = None
    duration: timedelta | None = None
    price_kind: PriceKind | None = None
    source: str | None = None

    @property
    def reach(self) -> tuple[Decimal, Decimal] | None:
        """The values between which the state of a rule over prices can change; None of one over changes."""
        if self.condition not in LEVELS or self.threshold is None:
            return None
        below = self.condition in {Condition.CROSSES_ABOVE, Condition.CROSSES_LEVEL}
        above = self.condition is not Condition.CROSSES_ABOVE
        low, high = reach_of(
            Watch(comparison=comparison_of(self.condition), threshold=self.threshold, hysteresis=self.hysteresis)
        )
        return low if below else self.threshold, high if above else self.threshold


def refused(message: str, *field: str) -> AlertRefused:
    """The refusal of a value; `field` is the path to it as the graph has it."""
    return AlertRefused(AlertErrorCode.INVALID_INPUT, message, field=field)


def not_found(what: str, *field: str) -> AlertRefused:
    """The refusal of an id that leads to nothing of the caller's."""
    return AlertRefused(AlertErrorCode.NOT_FOUND, f"There is no such {what}, or it is not yours.", field=field)


@contextmanager
def refusing_as_alerts(*prefix: str) -> Iterator[None]:
    """Have what the room of portfolios refuses within be a refusal of this one, with its field behind the prefix."""
    try:
        yield
    except PortfolioRefused as refusal:
        codes = {
            PortfolioErrorCode.NOT_FOUND: AlertErrorCode.NOT_FOUND,
            PortfolioErrorCode.CONFLICT: AlertErrorCode.CONFLICT,
            PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED: AlertErrorCode.IDEMPOTENCY_KEY_REUSED,
        }
        code = codes.get(refusal.reason, AlertErrorCode.INVALID_INPUT)
        raise AlertRefused(code, refusal.message, field=[*prefix, *refusal.field]) from None


def read_terms(target: RuleTarget, given: Given) -> Terms:
    """The terms of a new rule. Raises AlertRefused for what does not go with the condition, or the target."""
    return _checked(target, Terms(**{"hysteresis": Decimal(0), **_said(target, given)}))


def read_changed_terms(target: RuleTarget, stored: Terms, given: Given) -> Terms:
    """The terms with what is given of them; what does not go with another condition is left behind.

    Raises AlertRefused as `read_terms` does.
    """
    condition = _condition_of(target, given.get("condition") or stored.condition)
    said = _said(target, {**given, "condition": condition})
    kept = {name: getattr(stored, name) for name in _fields_of(target, condition)}
    if (condition in LEVELS) != (stored.condition in LEVELS):
        # An amount is no percentage.
        kept |= {"threshold": None, "hysteresis": Decimal(0)}
    return _checked(target, Terms(**{**kept, "condition": condition, **said}))


def read_others(given: Given, *, now: datetime) -> dict[str, Any]:
    """What is given of a rule beside its terms, as it is stored. Raises AlertRefused."""
    return dict([read(given[name], now) for name, read in _OTHERS.items() if name in given])


def _condition_of(target: RuleTarget, condition: Condition | None) -> Condition:
    allowed = CONDITIONS_OF[target]
    if condition not in allowed:
        names = ", ".join(f"`{one.name}`" for one in Condition if one in allowed)
        raise refused(f"A rule of this target has one of the conditions {names}.", "condition")
    return condition


def _fields_of(target: RuleTarget, condition: Condition) -> Collection[str]:
    """The terms that a condition has, beside itself."""
    of_prices = ("price_kind", "source") if target in PRICED else ()
    if condition in LEVELS:
        return ("threshold", "currency", "hysteresis", *of_prices)
    if condition in CHANGES:
        return ("threshold", "currency", "hysteresis", "window", *of_prices)
    return {Condition.SILENT_FOR: ("duration",), Condition.DATE_SLIPPED: ("threshold",)}.get(condition, ())


def _said(target: RuleTarget, given: Given) -> dict[str, Any]:
    condition = _condition_of(target, given.get("condition"))
    fields = _fields_of(target, condition)
    said = {name: given[name] for name in TERMS if name in given}
    for name, value in said.items():
        if name != "condition" and name not in fields and value is not None:
            raise refused(
                f"A rule with the condition `{condition.name}` of this target has none: leave it out.", _camel(name)
            )
    said = {name: value for name, value in said.items() if name in fields}
    if said.get("hysteresis", 0) is None:
        said["hysteresis"] = Decimal(0)
    return {**said, "condition": condition}


def _checked(target: RuleTarget, terms: Terms) -> Terms:
    fields = _fields_of(target, terms.condition)
    if terms.condition in LEVELS:
        _check_amounts(terms)
    elif terms.condition in CHANGES:
        _check_percentages(terms)
    elif terms.threshold is not None:
        _check_days(terms.threshold)
    if "currency" in fields and terms.currency is not None and terms.currency not in MINOR_UNITS:
        raise refused("It is no currency that is known here; give its code, such as `EUR`.", "currency")
    if terms.condition in LEVELS and target in PRICED and terms.currency is None:
        raise refused("Give the currency of the threshold: prices are converted to it.", "currency")
    if "window" in fields:
        shortest, what = (DAY, "whole days") if target is RuleTarget.PORTFOLIO else (MINUTE, "whole minutes")
        _check_length(terms.window, "window", shortest, shortest, what)
    if "duration" in fields:
        _check_length(terms.duration, "duration", MINUTE, SHORTEST_SILENCE, "whole minutes, ten at least")
    return terms


def _check_amounts(terms: Terms) -> None:
    if terms.threshold is None or not is_amount(terms.threshold) or terms.threshold <= 0:
        raise refused("It is an amount above 0 and up to 10^15, with 18 decimal places at most.", "threshold")
    if not is_amount(terms.hysteresis):
        raise refused("It is an amount from 0 to 10^15, with 18 decimal places at most.", "hysteresis")
    if terms.condition is Condition.CROSSES_ABOVE and terms.hysteresis >= terms.threshold:
        raise refused("It would never be armed again: give less than the threshold.", "hysteresis")


def _check_percentages(terms: Terms) -> None:
    most = WHOLE if terms.condition is Condition.FALLS_BY else HIGHEST_PERCENTAGE
    if not _is_percentage(terms.threshold) or not 0 < (terms.threshold or 0) <= most:
        raise refused(f"It is a percentage above 0 and up to {most:,}, such as `12.5`.", "threshold")
    if terms.condition is Condition.FALLS_BY and terms.threshold == WHOLE:
        raise refused("Nothing falls by more than 100 percent: give less.", "threshold")
    if not _is_percentage(terms.hysteresis) or not 0 <= terms.hysteresis <= HIGHEST_PERCENTAGE:
        raise refused(f"It is a number of percentage points from 0 to {HIGHEST_PERCENTAGE:,}.", "hysteresis")
    # Nothing loses more than all of it, and so does no rise.
    if terms.condition is Condition.RISES_BY and terms.hysteresis > (terms.threshold or 0) + WHOLE:
        raise refused("It would never be armed again: give 100 more than the threshold at most.", "hysteresis")


def _is_percentage(value: Decimal | None) -> bool:
    exponent = value.as_tuple().exponent if value is not None else None
    return isinstance(exponent, int) and -MAXIMUM_DECIMAL_PLACES <= exponent <= len(str(HIGHEST_PERCENTAGE))


def _check_days(threshold: Decimal) -> None:
    if threshold not in range(1, MOST_DAYS + 1):
        raise refused(f"It is a whole number of days from 1 to {MOST_DAYS:,}.", "threshold")


def _check_length(value: timedelta | None, field: str, unit: timedelta, shortest: timedelta, what: str) -> None:
    if value is None or value % unit or not shortest <= value <= YEAR:
        raise refused(f"It is a duration of {what}, and 365 days at most, such as `P1D`.", field)


def _read_cooldown(value: timedelta | None, _: datetime) -> tuple[str, Any]:
    cooldown = value or timedelta(0)
    if cooldown % MINUTE or not timedelta(0) <= cooldown <= YEAR:
        raise refused("It is a duration of whole minutes, and 365 days at most, such as `PT30M`.", "cooldown")
    return ("cooldown_minutes", cooldown // MINUTE)


def _read_expiry(value: datetime | None, now: datetime) -> tuple[str, Any]:
    if value is not None and not (now < value and value.year <= LAST_YEAR):
        raise refused(
            f"It lies in the future, up to the year {LAST_YEAR:,}; send null for a rule without end.", "expiresAt"
        )
    return ("expires_at", value)


def _read_notes(value: str | None, _: datetime) -> tuple[str, Any]:
    with refusing_as_alerts():
        return ("notes", read_text(value, "notes", longest=LONGEST_NOTES))


def _read_channels(value: Sequence[str] | None, _: datetime) -> tuple[str, Any]:
    if value is None:
        return ("channels", None)
    if len(value) > MOST_AT_ONCE:
        raise refused(f"The list may hold {MOST_AT_ONCE} entries, and holds {len(value):,}.", "channels")
    if any(one not in CHANNELS for one in value):
        raise refused(f"A channel is one of {', '.join(CHANNELS)}.", "channels")
    return ("channels", [one for one in CHANNELS if one in value])


_OTHERS: Mapping[str, Callable[[Any, datetime], tuple[str, Any]]] = {
    "cooldown": _read_cooldown,
    "is_recurring": lambda value, _: ("is_recurring", value is None or bool(value)),
    "expires_at": _read_expiry,
    "severity": lambda value, _: ("severity", Severity(value or Severity.INFO).value),
    "notes": _read_notes,
    "channels": _read_channels,
}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
