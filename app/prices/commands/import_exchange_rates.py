"""Import reference rates: each rate of a day stands once, and what is stored already changes nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import ARRAY, Date, Numeric, Text, bindparam, func, select, text

from app.core.database import Transaction
from app.core.money import CRYPTO_CURRENCIES
from app.prices.errors import RatesContradict, WrongRate
from app.prices.exchange_rates import (
    BASE_CURRENCY,
    ECB,
    MOST_DECIMAL_PLACES,
    MOST_WHOLE_DIGITS,
    ReferenceRate,
)

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_LOCK = "prices.exchange_rates"

_GIVEN = "unnest(:currencies, :rate_dates, :units) AS given (currency, rate_date, units_per_eur)"
_PARAMETERS = (
    bindparam("currencies", type_=ARRAY(Text)),
    bindparam("rate_dates", type_=ARRAY(Date)),
    bindparam("units", type_=ARRAY(Numeric)),
    bindparam("source", type_=Text),
)
_DIFFERING = text(f"""
SELECT currency, rate_date, stored.units_per_eur AS units_before, given.units_per_eur AS units_after
FROM {_GIVEN} JOIN prices.exchange_rates AS stored USING (currency, rate_date)
WHERE stored.units_per_eur <> given.units_per_eur OR stored.source <> :source
ORDER BY rate_date DESC, currency
""").bindparams(*_PARAMETERS)  # noqa: S608  # constants of ours
_UPSERT = text(f"""
INSERT INTO prices.exchange_rates AS stored (currency, rate_date, units_per_eur, source)
SELECT currency, rate_date, units_per_eur, :source FROM {_GIVEN}
ON CONFLICT (currency, rate_date) DO UPDATE SET units_per_eur = excluded.units_per_eur, source = excluded.source
WHERE stored.units_per_eur <> excluded.units_per_eur OR stored.source <> excluded.source
""").bindparams(*_PARAMETERS)  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True)
class ChangedRate:
    """A stored rate that an import replaced."""

    currency: str
    rate_date: date
    units_before: Decimal
    units_after: Decimal


@dataclass(frozen=True, slots=True)
class ImportedRates:
    """What became of the rates; `changed` are those that were updated, the newest first."""

    inserted: int
    changed: Sequence[ChangedRate]
    unchanged: int

    @property
    def updated(self) -> int:
        """How many were stored already, with another value or from another source."""
        return len(self.changed)


async def import_exchange_rates(
    transaction: Transaction, rates: Sequence[ReferenceRate], *, source: str = ECB
) -> ImportedRates:
    """Store the rates as published by the source; of those that are stored, only what differs is written.

    Raises `RatesContradict` when two of them are for the same currency and day and differ, and `WrongRate` for one that
    cannot be a rate.
    """
    distinct = _distinct(rates)
    if not distinct:
        return ImportedRates(0, (), 0)
    given = {
        "currencies": [rate.currency for rate in distinct],
        "rate_dates": [rate.rate_date for rate in distinct],
        "units": [rate.units_per_eur for rate in distinct],
        "source": source,
    }
    connection = transaction.connection
    # One import at a time: so what it finds is what it replaces.
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(_LOCK))))
    changed = [ChangedRate(*row) for row in await connection.execute(_DIFFERING, given)]
    written = (await connection.execute(_UPSERT, given)).rowcount
    return ImportedRates(written - len(changed), changed, len(distinct) - written)


def _distinct(rates: Sequence[ReferenceRate]) -> list[ReferenceRate]:
    by_key: dict[tuple[str, date], ReferenceRate] = {}
    for rate in rates:
        _check(rate)
        same = by_key.setdefault((rate.currency, rate.rate_date), rate)
        if same.units_per_eur != rate.units_per_eur:
            raise RatesContradict(
                f"Two rates of {rate.currency} are given for {rate.rate_date}: {same.units_per_eur} and "
                f"{rate.units_per_eur}; give one."
            )
    return list(by_key.values())


def _check(rate: ReferenceRate) -> None:
    # A coin has the rate of its prices; one that is published would stand beside it.
    if not _CURRENCY.fullmatch(rate.currency) or rate.currency in {BASE_CURRENCY, *CRYPTO_CURRENCIES}:
        raise WrongRate(f"“{rate.currency}” has no rate against the euro; give a code of ISO 4217 other than EUR.")
    units = rate.units_per_eur
    if not units.is_finite() or not 0 < units < 10**MOST_WHOLE_DIGITS or _decimal_places(units) > MOST_DECIMAL_PLACES:
        raise WrongRate(
            f"{units} cannot be the units of {rate.currency} for one euro: a number above 0 with up to "
            f"{MOST_WHOLE_DIGITS} digits before the point and {MOST_DECIMAL_PLACES} behind it can."
        )


def _decimal_places(units: Decimal) -> int:
    exponent = units.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
