"""W5: search over 100,000 items, timed where the statements run: in the database, without the graph before it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from statistics import quantiles
from typing import Any
from uuid import UUID

from asyncpg.connection import Connection
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.queries.search import SearchFilter, asked_of, search
from app.core.database import DatabaseRole, create_engine
from tests.bench.data import Databases

SEARCHED_ITEMS = 100_000
SEARCH_DATABASE = "trove_bench_search"
FIRST = 20
WEAPONS = "AK-47|M4A4|M4A1-S|AWP|Karambit|Bayonet|Glock-18|USP-S|Desert Eagle|P250|MAC-10|Nova|Famas|Talon Knife"
FINISHES = "Doppler|Tiger Tooth|Redline|Slate|Fade|Case Hardened|Marble Fade|Crimson Web|Slaughter|Autotronic"
WEARS = "Factory New|Minimal Wear|Field-Tested|Well-Worn|Battle-Scarred"
EDITIONS = "|StatTrak™ |Souvenir "
BEGINNINGS = "Ka|Lu|Mi|To|Ze|Or|Ve|Sha|Dru|Pel|Quo|Ny|Bra|Fen|Gri|Hol|Ix|Jo"
MIDDLES = "ra|lin|mo|ten|va|shi|gor|dé|nu|per|sil|tha"
ENDS = "k|ne|x|lla|dor|mi|ss|rn|qua|beth"
CARD_WORDS = "Dragon|Knight|Lantern|Forest|Charm|Golem|Witch|Tide|Ember|Storm|Oracle|Shade"
RARITIES = "common|uncommon|rare|mythic"


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """What the statements of one sort of query took, in milliseconds."""

    sort: str
    example: str
    queries: int
    p50: float
    p95: float


async def measure_search(databases: Databases, *, queries: int) -> list[SearchFigures]:
    """The first page of 20 results, by the sort of query and over all of them, each asked once before."""
    engine = create_engine(databases.trove_url, role=DatabaseRole.API, pool_size=1, application_name="bench-search")
    figures, all_times = [], []
    async with engine.connect() as connection:
        spent = _Spent(connection)
        names = [row[0] for row in await connection.exec_driver_sql("SELECT name FROM catalogue.items ORDER BY id")]
        for sort, asked in _queries(names, queries).items():
            for query in asked:
                await _ask(connection, query)
            times = []
            for query in asked:
                spent.milliseconds = 0.0
                await _ask(connection, query)
                times.append(spent.milliseconds)
            all_times += times
            figures.append(_figures(sort, asked[0], times))
    await engine.dispose()
    return [*figures, _figures("all", "", all_times)]


async def _ask(connection: AsyncConnection, query: str) -> None:
    await search(connection, await asked_of(connection, query, SearchFilter(), argument="query"), limit=FIRST)


class _Spent:
    """Adds up how long the statements of a connection take, from their sending to their last row."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.milliseconds = 0.0
        self._began = 0.0
        event.listen(connection.sync_connection, "before_cursor_execute", self._begin)
        event.listen(connection.sync_connection, "after_cursor_execute", self._end)

    def _begin(self, *_: object) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: object) -> None:
        self.milliseconds += (time.perf_counter() - self._began) * 1_000


def _figures(sort: str, example: str, times: Sequence[float]) -> SearchFigures:
    hundredths = quantiles(times, n=100)
    return SearchFigures(sort, example, len(times), hundredths[49], hundredths[94])


def _queries(names: Sequence[str], count: int) -> Mapping[str, Sequence[str]]:
    random = Random(11)
    chosen = random.sample(names, count)
    common = ["Factory New", "StatTrak", "1/7 Scale", "Dragon of", "Doppler", "Tide Rising", "AK-47", "Works"]
    return {
        "a whole name": chosen,
        "the beginning of a name": [name[: random.randint(2, 9)].strip() for name in chosen],
        "words with a slip": [_slip(name, random) for name in chosen],
        "words that many have": [common[number % len(common)] for number in range(count)],
        "what nothing has": [f"wxq{number} jjkw{number}" for number in range(count)],
    }


def _slip(name: str, random: Random) -> str:
    """The first two long words of a name, with two letters of one swapped."""
    words = [word for word in name.replace("|", " ").replace(",", " ").split() if len(word) > 3][:2]
    place = random.randrange(len(words))
    word = words[place]
    swapped = random.randrange(1, len(word) - 1)
    words[place] = word[:swapped] + word[swapped + 1] + word[swapped] + word[swapped + 2 :]
    return " ".join(words)


async def make_searched_rows(connection: "Connection[Any]") -> None:
    """Fill a migrated database with the items, the same each time."""
    random = Random(5)
    invented = ["".join(parts) for parts in product(*(each.split("|") for each in (BEGINNINGS, MIDDLES, ENDS)))]
    skins = [
        f"{edition}{weapon} | {finish} {word} ({wear})"
        for edition, weapon, finish, word, wear in product(
            EDITIONS.split("|"), WEAPONS.split("|"), FINISHES.split("|"), invented[:20], WEARS.split("|")
        )
    ][: SEARCHED_ITEMS * 4 // 10]
    sets = [
        (UUID(int=number), "tide", f"TD{number}", f"tide-{number}", f"{random.choice(invented)} Rising {number}")
        for number in range(1, 201)
    ]
    makers = [
        (UUID(int=number), f"maker-{number}", f"{word} Works", f"{word} works".lower())
        for number, word in enumerate(random.sample(invented, 60), 1)
    ]
    cards = [
        f"{random.choice(invented)}, {random.choice(CARD_WORDS.split('|'))} of {random.choice(invented)}"
        for _ in range(SEARCHED_ITEMS * 4 // 10)
    ]
    figures = [
        f"{random.choice(invented)} {random.choice(invented)} 1/7 Scale {number % 40}"
        for number in range(SEARCHED_ITEMS - len(skins) - len(cards))
    ]
    items = [(kind, name) for kind, names in (("skin", skins), ("card", cards), ("figure", figures)) for name in names]
    keyed = [(UUID(int=number), kind, f"searched-{number}", name) for number, (kind, name) in enumerate(items, 1)]
    random.shuffle(keyed)
    await connection.execute("SET search_path = catalogue, public")
    async with connection.transaction():
        await connection.copy_records_to_table(
            "card_sets", columns=["id", "game", "code", "slug", "name"], records=sets
        )
        await connection.copy_records_to_table(
            "manufacturers", columns=["id", "slug", "name", "name_key"], records=makers
        )
        await connection.copy_records_to_table("items", columns=["id", "kind", "slug", "name"], records=keyed)
        await connection.copy_records_to_table(
            "skins",
            columns=["item_id", "market_hash_name", "wear", "rarity"],
            records=[
                (key, slug, name[name.rindex("(") + 1 : -1], random.choice(RARITIES.split("|")))
                for key, kind, slug, name in keyed
                if kind == "skin"
            ],
        )
        await connection.copy_records_to_table(
            "cards",
            columns=["item_id", "game", "set_id", "rarity"],
            records=[
                (key, "tide", random.choice(sets)[0], random.choice(RARITIES.split("|")))
                for key, kind, _, _ in keyed
                if kind == "card"
            ],
        )
        await connection.copy_records_to_table(
            "figures",
            columns=["item_id", "manufacturer_id"],
            records=[(key, random.choice(makers)[0]) for key, kind, _, _ in keyed if kind == "figure"],
        )
    await connection.execute("VACUUM ANALYZE")
