"""Fetches the reference rates of the European Central Bank: those of the last day, or whatever is missing."""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import func, select

from app.core.database import Database
from app.prices.commands.import_exchange_rates import ImportedRates, import_exchange_rates
from app.prices.exchange_rates import ECB
from app.prices.formats.ecb import ReferenceRateFile, read_reference_rates
from app.prices.models import StoredExchangeRate
from app.providers.client import ProviderClient, Question

FOLDER = "/stats/eurofxref"
DAILY = Question(endpoint="daily rates", path=f"{FOLDER}/eurofxref-daily.xml")
LAST_90_DAYS = Question(endpoint="rates of 90 days", path=f"{FOLDER}/eurofxref-hist-90d.xml")
HISTORY = Question(endpoint="all rates", path=f"{FOLDER}/eurofxref-hist.zip")
SATURDAY = 5
# Of 90, some fewer: the file's first day is not told to the day.
REACH_OF_90_DAYS = timedelta(days=80)


@dataclass(frozen=True, slots=True)
class FetchedRates:
    """What was asked for, what the answer held, and what became of it."""

    endpoint: str
    read: ReferenceRateFile
    imported: ImportedRates


async def import_ecb_rates(database: Database, bank: ProviderClient, *, today: date) -> FetchedRates:
    """Fetch the rates that are missing and store them: the whole history at first, later what came since the newest.

    Raises as `ProviderClient.ask`, and FileNotUnderstood where the answer is no file of rates; nothing is stored then.
    """
    async with database.transaction() as transaction:
        newest = await transaction.connection.scalar(
            select(func.max(StoredExchangeRate.rate_date)).where(StoredExchangeRate.source == ECB)
        )
    question = _question(newest, today)
    read = read_reference_rates(await bank.ask(question), today=today)
    async with database.transaction() as transaction:
        imported = await import_exchange_rates(transaction, read.rates)
    return FetchedRates(question.endpoint, read, imported)


def _question(newest: date | None, today: date) -> Question:
    if newest is None or today - newest > REACH_OF_90_DAYS:
        return HISTORY
    return LAST_90_DAYS if _working_day_between(newest, today) else DAILY


def _working_day_between(newest: date, today: date) -> bool:
    """Whether rates of a day between the two may be missing; of a holiday there are none, and asking costs little."""
    between = (newest + timedelta(days=number) for number in range(1, (today - newest).days))
    return any(day.weekday() < SATURDAY for day in between)
