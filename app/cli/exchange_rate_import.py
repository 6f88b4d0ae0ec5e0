"""What `trove import fx` does, over a database that is there."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from app.cli.price_import import unreadable
from app.core.database import Database
from app.prices.commands.import_exchange_rates import ImportedRates, import_exchange_rates
from app.prices.formats.ecb import ReferenceRateFile, read_reference_rates
from app.prices.formats.errors import FileNotUnderstood


@dataclass(frozen=True, slots=True)
class OpenedRates:
    """A file of reference rates, and what was read of it."""

    file: Path
    read: ReferenceRateFile


def open_rates(file: Path, *, today: date) -> OpenedRates:
    """Read a file; raises `FileNotUnderstood`, with the file's name, when it is missing, unreadable or another."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error
    try:
        return OpenedRates(file, read_reference_rates(content, today=today))
    except FileNotUnderstood as refusal:
        raise FileNotUnderstood(f"{file.name}: {refusal.message}") from refusal


async def import_rates(database: Database, opened: OpenedRates) -> ImportedRates:
    """Import the rates of a file, all of them or none."""
    async with database.transaction() as transaction:
        return await import_exchange_rates(transaction, opened.read.rates)
