"""Imports files of reference rates, each in a transaction of its own."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from app.core.database import Database
from app.operations.imports import RejectedLine, import_result
from app.prices.commands.import_exchange_rates import ImportedRates, import_exchange_rates
from app.prices.formats.ecb import MOST_BYTES, ReferenceRateFile, read_reference_rates
from app.prices.formats.errors import FileNotUnderstood, unreadable


@dataclass(frozen=True, slots=True)
class OpenedRates:
    """A file of reference rates, and what was read of it."""

    file: Path
    read: ReferenceRateFile


def open_rates(file: Path, *, today: date) -> OpenedRates:
    """Read a file; raises `FileNotUnderstood`, with the file's name, when it is missing, unreadable or another."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
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


def rates_result(read: ReferenceRateFile, imported: ImportedRates) -> dict[str, object]:
    """What became of the rates, as the counts of an import's run; what is rejected is rows, of many rates each."""
    return import_result(
        read=len(read.rates) + len(read.rejected),
        created=imported.inserted,
        updated=imported.updated,
        unchanged=imported.unchanged,
        rejected=len(read.rejected),
        rejects=[RejectedLine(row.number, row.reason) for row in read.rejected],
    )
