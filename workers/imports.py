"""Imports that staff start: each fetches a file of a public address, and imports it as `trove import` does."""

import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from app.catalogue import pokemon, scryfall
from app.catalogue.coingecko import read_coin_row
from app.catalogue.errors import CatalogueNotUnderstood
from app.catalogue.file_import import (
    CatalogueSummary,
    ReadRow,
    import_catalogue_file,
    import_figure_file,
    import_opened_series,
    open_series,
)
from app.core.errors import BadUserInput, Refusal
from app.core.outbound import BoundedTransport
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from app.operations.imports import conclude_import
from app.operations.models import Importer
from app.prices.card_file_import import PricesOf, import_card_file
from app.prices.ecb_rates import import_ecb_rates
from app.prices.rate_import import import_rates, open_rates, rates_result
from app.providers.client import Question
from workers.jobs import JobContext, JobResult, RunJob

# Scryfall's largest bulk file has 2.5 GB.
LARGEST_FILE_BYTES = 4 * 1024**3
LONGEST_DOWNLOAD_SECONDS = 1800.0
BULK_FILE = Question(endpoint="bulk file", path="/bulk-data/default_cards")
_ODD = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_LONGEST_NAME = 80

ImportFile = Callable[[JobContext, Path], Awaitable[JobResult]]


async def import_from_address(job: JobContext, import_file: ImportFile, url: str) -> JobResult:
    """Fetch a file of the public network, unpacked on its way, and import it; it is gone afterwards.

    Raises OutsideServiceFailed, also for an address that is not public, and the refusals of the importer.
    """
    with tempfile.TemporaryDirectory(prefix="trove-import-") as directory:
        file = Path(directory) / _name_of(url)
        await _download(job, url, file)
        job.run.report(0)
        with _without_directory(file):
            return await import_file(job, file)


async def _download(job: JobContext, url: str, file: Path) -> None:
    transport = BoundedTransport(
        addresses=job.addresses,
        total_seconds=LONGEST_DOWNLOAD_SECONDS,
        largest_answer_bytes=LARGEST_FILE_BYTES,
        reads_compressed=True,
    )
    try:
        with file.open("wb") as written:
            await transport.download(
                url,
                written.write,
                on_progress=lambda received, total: job.run.report(received, total=total, unit="bytes"),
            )
    finally:
        await transport.aclose()


def _name_of(url: str) -> str:
    name = _ODD.sub("-", unquote(PurePosixPath(urlsplit(url).path).name))[-_LONGEST_NAME:].lstrip(".-")
    return name or "file"


@contextmanager
def _without_directory(file: Path) -> Iterator[None]:
    """Have refusals name the file alone: where it lay for a moment says nothing to who reads them."""
    try:
        yield
    except Refusal as refusal:
        raise BadUserInput(refusal.message.replace(str(file), file.name)) from refusal


async def import_scryfall(job: JobContext) -> JobResult:
    """Magic cards and sets: of the address given, or of Scryfall's bulk file."""
    url = job.arguments.get("url")
    if url is None:
        told = await job.provider("scryfall").ask_json(BULK_FILE)
        url = told.get("download_uri") if isinstance(told, dict) else None
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise CatalogueNotUnderstood("Scryfall did not say where its bulk file is; try again later.")
    return await import_from_address(job, _cards(scryfall.read_scryfall_row, scryfall.prices_of), url)


async def fetch_ecb_rates(job: JobContext) -> JobResult:
    """Exchange rates, published about 16:00 in Frankfurt on working days."""
    fetched = await import_ecb_rates(job.database, job.provider("ecb"), today=job.now.date())
    return _concluded(job, rates_result(fetched.read, fetched.imported))


async def import_rates_of_address(job: JobContext) -> JobResult:
    """Exchange rates: of the address given, or those that are missing, of the bank itself."""
    url = job.arguments.get("url")
    return await fetch_ecb_rates(job) if url is None else await import_from_address(job, _rates, url)


async def _rates(job: JobContext, file: Path) -> JobResult:
    opened = open_rates(file, today=job.now.date())
    return _concluded(job, rates_result(opened.read, await import_rates(job.database, opened)))


def _rows(read_row: ReadRow) -> ImportFile:
    async def import_file(job: JobContext, file: Path) -> JobResult:
        return _told(job, await import_catalogue_file(job.database, file, read_row, on_progress=job.run.advance))

    return import_file


def _cards(read_row: ReadRow, prices_of: PricesOf) -> ImportFile:
    async def import_file(job: JobContext, file: Path) -> JobResult:
        summary = await import_card_file(
            job.database, file, read_row, prices_of, handlers=WATCHED_PRICE_BATCHES, on_progress=job.run.advance
        )
        return _told(job, summary.cards)

    return import_file


async def _figures(job: JobContext, file: Path) -> JobResult:
    return _told(job, await import_figure_file(job.database, file, on_progress=job.run.advance))


async def _series(job: JobContext, file: Path) -> JobResult:
    return _concluded(job, (await import_opened_series(job.database, open_series(file))).result)


def _told(job: JobContext, summary: CatalogueSummary) -> JobResult:
    return _concluded(job, summary.result, breaks_off=summary.breaks_off)


def _concluded(job: JobContext, result: Mapping[str, Any], *, breaks_off: str | None = None) -> JobResult:
    conclude_import(job.run, result, breaks_off=breaks_off)
    return result


def _of_given_address(import_file: ImportFile) -> RunJob:
    async def run(job: JobContext) -> JobResult:
        return await import_from_address(job, import_file, job.arguments["url"])

    return run


# By the name of the job, which nothing but a request begins.
IMPORTS: Mapping[str, RunJob] = {
    Importer.SCRYFALL.job: import_scryfall,
    Importer.POKEMON.job: _of_given_address(_cards(pokemon.read_pokemon_row, pokemon.prices_of)),
    Importer.COINS.job: _of_given_address(_rows(read_coin_row)),
    Importer.FIGURES.job: _of_given_address(_figures),
    Importer.ANIME.job: _of_given_address(_series),
    Importer.FX.job: import_rates_of_address,
}
