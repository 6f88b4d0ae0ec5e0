"""W5: search over 100,000 items, timed where the statements run: in the database, without the graph before it."""

import time
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any
from uuid import UUID

from asyncpg.connection import Connection

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
    """What one sort of query took in the database, in milliseconds."""

    sort: str
    example: str
    queries: int
    p50: float
    p95: float


async def make_searched_rows(connection: "Connection[Any]") -> float:
    """Fill a migrated database with the items; the seconds it took to make their documents as they commit."""
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
        began = time.perf_counter()
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        seconds = time.perf_counter() - began
    await connection.execute("VACUUM ANALYZE")
    return seconds
