"""Measures `trove import scryfall`, with cards as large as real ones and their prices, and `trove import figures`.

Each goes in twice, in a process of its own; figures are known by their names alone.
"""

import asyncio
import csv
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from resource import RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory
from uuid import UUID

from rich.console import Console

from app.catalogue.file_import import CatalogueSummary, import_figure_file
from app.catalogue.scryfall import prices_of, read_scryfall_row
from app.core.database import Database
from app.core.settings import Settings
from app.core.worker_database import worker_database
from app.prices.card_file_import import import_card_file
from app.prices.commands.price_batches import price_batches
from tests.bench.data import Databases

CARDS, QUICK_CARDS = 100_000, 5_000
CARDS_OF_A_SET = 300
FIGURES, QUICK_FIGURES = 5_000, 500
MAKERS = 5
SYLLABLES = ("ka", "ro", "mi", "ne", "to", "shi", "lu", "ver", "an", "dra", "fo", "gel", "bis", "que", "ryu", "zo")
# What makes a real card of a bulk file some five kilobytes: rules, legalities and addresses, which are read and left.
FILLING = {f"field_{number}": f"https://cards.example/{number}?a=1700000000" + "x" * 40 for number in range(45)}


@dataclass(frozen=True, slots=True)
class ImportFigures:
    """What came of a file of cards and one of figures: rows per second of the first run and of the second.

    Memory is the peak of the process that imported the cards, in MiB.
    """

    cards: int
    file_mebibytes: float
    cards_per_second: float
    unchanged_cards_per_second: float
    peak_memory_mebibytes: float
    figures: int
    figures_per_second: float
    unchanged_figures_per_second: float


def measure_imports(
    databases: Databases, redis_url: str, *, cards: int, figures: int, console: Console
) -> ImportFigures:
    """Import a generated bulk file of cards, and a file of figures without JANs."""
    with TemporaryDirectory() as directory:
        file = Path(directory) / "default-cards.json"
        _write(file, cards)
        size = file.stat().st_size / 1024**2
        console.print(f"Import of {cards:,} cards, {size:,.0f} MiB")
        first, second, peak = _measure(databases, redis_url, file, _import_cards)
        file = Path(directory) / "figures.csv"
        _write_figures(file, figures)
        console.print(f"Import of {figures:,} figures of {MAKERS} makers")
        first_figures, second_figures, _ = _measure(databases, redis_url, file, import_figure_file)
    return ImportFigures(
        cards,
        round(size, 1),
        round(cards / first),
        round(cards / second),
        round(peak, 1),
        figures,
        round(figures / first_figures),
        round(figures / second_figures),
    )


ImportFile = Callable[[Database, Path], Coroutine[None, None, CatalogueSummary]]


def _measure(databases: Databases, redis_url: str, file: Path, import_file: ImportFile) -> tuple[float, float, float]:
    """The seconds of the first import and of the second, and the peak of memory, of one new process."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_import_twice, args=(databases.trove_url, redis_url, file, import_file, sender))
    process.start()
    first, second, peak = receiver.recv()
    process.join()
    return first, second, peak


def _write_figures(file: Path, figures: int) -> None:
    """Names of invented words, so that hardly two figures are alike."""
    random = Random(7)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("name", "manufacturer", "scale", "released_on"))
        for number in range(figures):
            words = ("".join(random.choices(SYLLABLES, k=3)).title() for _ in range(4))
            writer.writerow((" ".join(words), f"Bench Maker {number % MAKERS}", "1/7", "2025-11-01"))


def _write(file: Path, cards: int) -> None:
    with file.open("w") as stream:
        stream.write("[\n")
        for number, row in enumerate(_cards(cards)):
            stream.write((",\n" if number else "") + json.dumps(row))
        stream.write("\n]\n")


def _cards(cards: int) -> Iterator[dict[str, object]]:
    for number in range(cards):
        set_number, place = divmod(number, CARDS_OF_A_SET)
        yield {
            "object": "card",
            "id": str(UUID(int=number)),
            "name": f"Bench Card {number % 30_000}",
            "lang": "en",
            "released_at": "2020-05-01",
            "set": f"b{set_number}",
            "set_name": f"Bench Set {set_number}",
            "collector_number": str(place + 1),
            "rarity": "rare",
            "type_line": "Creature — Otter",
            "artist": f"Artist {number % 800}",
            "finishes": ["nonfoil", "foil"],
            "image_uris": {"normal": f"https://cards.example/normal/{number}.jpg"},
            "tcgplayer_id": number + 1,
            "cardmarket_id": number + 1,
            "mtgo_id": number + 1,
            "prices": {"usd": "0.35", "usd_foil": f"{number % 900}.20", "eur": "0.30", "eur_foil": None},
            **FILLING,
        }


def _import_twice(database_url: str, redis_url: str, file: Path, import_file: ImportFile, sender: Connection) -> None:
    settings = Settings(DATABASE_URL=database_url, REDIS_URL=redis_url)
    begun = time.perf_counter()
    first = asyncio.run(_import(settings, file, import_file))
    between = time.perf_counter()
    second = asyncio.run(_import(settings, file, import_file))
    ended = time.perf_counter()
    # By chance a few of the invented names are alike, and stay out in doubt.
    stored = first.rows - len(first.doubtful)
    if first.items.inserted != stored or second.items.unchanged != stored:
        raise AssertionError(f"{first} {second}")
    # ru_maxrss is in KiB on Linux.
    sender.send((between - begun, ended - between, getrusage(RUSAGE_SELF).ru_maxrss / 1024))


async def _import(settings: Settings, file: Path, import_file: ImportFile) -> CatalogueSummary:
    async with worker_database(settings, application_name="trove-bench") as database:
        return await import_file(database, file)


async def _import_cards(database: Database, file: Path) -> CatalogueSummary:
    return (await import_card_file(database, file, read_scryfall_row, prices_of, handlers=price_batches())).cards
