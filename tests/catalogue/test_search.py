"""The documents that items are found by, and what is found by them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.catalogue.highlights import Span, spans_of
from app.catalogue.models import CardSet, ExternalId, Figure, Item, Manufacturer, SearchChange, SearchDocument, Series
from app.catalogue.new_items import (
    CardDetails,
    FigureDetails,
    NewCardSet,
    NewExternalId,
    NewItem,
    SkinDetails,
)
from app.catalogue.queries import search as queries
from app.catalogue.queries.search import SearchFilter, asked_of, count_found, facets_of, search
from app.core.database import Database
from app.core.errors import BadUserInput
from tests.catalogue.builders import coin, saved


async def _found(database: Database, query: str, **narrowed: Any) -> list[str]:
    """The names of what is found, the best first."""
    async with database.transaction() as transaction:
        asked = await asked_of(transaction.connection, query, replace(SearchFilter(), **narrowed), argument="query")
        page = await search(transaction.connection, asked, limit=100)
        assert await count_found(transaction.connection, asked) == len(page.rows)
        return [row.name for row in page.rows]


def _named(*names: str) -> list[NewItem]:
    return [coin(f"item-{number}", name) for number, name in enumerate(names)]


def _figure(slug: str, name: str) -> NewItem:
    details = FigureDetails(manufacturer="Hollow Pine", scale="1/7", series=("Lanterns",), characters=("Ayo",))
    return NewItem(slug=slug, name=name, details=details, external_ids=(NewExternalId("shop", f"HP-{slug}"),))


async def test_names_come_before_words_of_names_and_these_before_what_items_belong_to(database: Database) -> None:
    tide = NewItem(slug="card", name="Ember", details=CardDetails(game="g", card_set=NewCardSet("g", "TI", "Tide")))
    names = ["Golden Tide", "Tide", "Tidewatch", "Tide Pool", "Ashen Tide", "Nothing"]
    await saved(database, *_named(*names), tide)
    assert await _found(database, "tide") == ["Tide", "Tide Pool", "Tidewatch", "Ashen Tide", "Golden Tide", "Ember"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("karambit doppler", "★ Karambit | Doppler (Factory New)"),
        ("DOPPLER karam", "★ Karambit | Doppler (Factory New)"),
        ("karambti doppler", "★ Karambit | Doppler (Factory New)"),
        ("pokemon", "Pokémon’s Tide"),
        ("pokémons", "Pokémon’s Tide"),
        ("pokemno", "Pokémon’s Tide"),
        ("ak47", "StatTrak™ AK-47 | Slate"),
        ("ak-47 sl", "StatTrak™ AK-47 | Slate"),
        ("stattrak", "StatTrak™ AK-47 | Slate"),
        ("初音", "初音ミク"),
    ],
)
async def test_items_are_found_without_regard_to_case_accents_marks_and_slips(
    database: Database, query: str, name: str
) -> None:
    await saved(
        database,
        *_named(
            "★ Karambit | Doppler (Factory New)", "Pokémon’s Tide", "StatTrak™ AK-47 | Slate", "初音ミク", "Lantern"
        ),
    )
    assert await _found(database, query) == [name]


@pytest.mark.parametrize("sorted_at_most", [queries.SORTED_AT_MOST, 3])
async def test_pages_follow_one_another_without_gaps_whether_sorted_or_walked(
    database: Database, monkeypatch: pytest.MonkeyPatch, sorted_at_most: int
) -> None:
    names = ["Tide", "Tide Pool", "Tide Pool", "Tidewatch", "A Tide", "B Tide", "B Tide", "Old Tide"]
    sets = [
        NewItem(slug=f"c{n}", name=f"Ember {n}", details=CardDetails(game="g", card_set=NewCardSet("g", "T", "Tide")))
        for n in range(3)
    ]
    await saved(database, *_named(*names), *sets, coin("other", "Golem"))
    whole = await _found(database, "tide")
    assert whole == [*names, "Ember 0", "Ember 1", "Ember 2"]
    monkeypatch.setattr(queries, "SORTED_AT_MOST", sorted_at_most)
    for size in (1, 2, 5):
        seen: list[tuple[str, UUID]] = []
        after = None
        async with database.transaction() as transaction:
            asked = await asked_of(transaction.connection, "tide", SearchFilter(), argument="query")
            while True:
                page = await search(transaction.connection, asked, limit=size, after=after)
                seen += [(row.name, row.position.item_id) for row in page.rows]
                if not page.has_next_page:
                    break
                after = page.rows[-1].position
        assert [name for name, _ in seen] == whole
        assert len(set(seen)) == len(whole)


async def test_a_search_is_narrowed_and_says_by_what_it_can_be(database: Database) -> None:
    rare = CardDetails(game="g", card_set=NewCardSet("g", "TI", "Deep Tide"), rarity="rare")
    await saved(
        database,
        NewItem(slug="card-1", name="Tide One", details=rare),
        NewItem(slug="card-2", name="Tide Two", details=replace(rare, rarity="common")),
        NewItem(
            slug="skin",
            name="Tide Three",
            details=SkinDetails(market_hash_name="Tide Three", rarity="rare", wear="Factory New"),
        ),
        _figure("figure", "Tide Four"),
    )
    async with database.transaction() as transaction:
        connection = transaction.connection
        (set_id,) = await connection.scalars(select(CardSet.id))
        (maker,) = await connection.scalars(select(Manufacturer.id))
        (series,) = await connection.scalars(select(Series.id))
        asked = await asked_of(connection, "tide", SearchFilter(), argument="query")
        facets = await facets_of(connection, asked)
    assert {
        name: [(str(facet.value), facet.count) for facet in getattr(facets, name)] for name in facets.__slots__
    } == {
        "kinds": [("card", 2), ("figure", 1), ("skin", 1)],
        "sets": [(str(set_id), 2)],
        "manufacturers": [(str(maker), 1)],
        "series": [(str(series), 1)],
        "rarities": [("rare", 2), ("common", 1)],
        "wears": [("Factory New", 1)],
    }
    assert await _found(database, "tide", set_id=set_id, rarity="rare") == ["Tide One"]
    assert await _found(database, "tide", manufacturer_id=maker, series_id=series) == ["Tide Four"]
    assert await _found(database, "tide", wear="Factory New") == ["Tide Three"]
    assert await _found(database, "tide", kinds=[]) == []
    assert await _found(database, "tidde", wear="Factory New") == ["Tide Three"]


async def test_documents_follow_whatever_is_written(database: Database, owner: AsyncEngine) -> None:
    await saved(database, _figure("figure", "Old Name"), coin("gone", "Gone"))
    for query in ("old", "hollow pine", "lanterns", "ayo", "hp figure"):
        assert await _found(database, query) == ["Old Name"], query
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Item).where(Item.slug == "figure").values(name="New Name"))
        await transaction.connection.execute(update(Manufacturer).values(name="Bright Oak"))
        await transaction.connection.execute(update(ExternalId).values(external_id="moved"))
    for query, names in (("old", []), ("hollow pine", []), ("hp figure", []), ("bright oak", ["New Name"])):
        assert await _found(database, query) == names, query
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Item).where(Item.slug == "figure").values(is_nsfw=True))
    assert await _found(database, "new name") == []
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Figure).values(manufacturer_id=None))
    async with owner.begin() as connection:
        await connection.execute(delete(Item).where(Item.slug == "gone"))
    async with database.transaction() as transaction:
        documents = (await transaction.connection.execute(select(SearchDocument))).all()
        assert [(row.folded_name, row.is_nsfw, row.manufacturer_id) for row in documents] == [("new name", True, None)]
    async with owner.begin() as connection:
        assert (await connection.execute(select(SearchChange))).all() == []


async def test_a_document_is_made_once_a_transaction(database: Database) -> None:
    await saved(database, _figure("figure", "Name"))
    async with database.transaction() as transaction:
        before = await transaction.connection.scalar(text("SELECT xmin::text FROM catalogue.search_documents"))
    await saved(database, replace(_figure("figure", "Name"), image_url="https://images.example/1.png"))
    async with database.transaction() as transaction:
        after = await transaction.connection.scalar(text("SELECT xmin::text FROM catalogue.search_documents"))
    assert before == after


@pytest.mark.parametrize("query", ["", " ★ | ", "x" * 201, "a\0b"])
async def test_what_names_nothing_is_refused(database: Database, query: str) -> None:
    with pytest.raises(BadUserInput, match="`query`"):
        await _found(database, query)


@pytest.mark.parametrize("query", ["' & | ! :* ()", "a' & b", "\\", "%_", "x:*A", "<-> tide", "-" * 200])
async def test_signs_of_query_languages_mean_nothing(database: Database, query: str) -> None:
    await saved(database, *_named("Tide"))
    with suppress(BadUserInput):
        assert await _found(database, query) in ([], ["Tide"])


@pytest.mark.parametrize(
    ("shown", "words", "corrected", "marked"),
    [
        ("★ Karambit | Doppler", ["karambit", "dop"], False, ["Karambit", "Doppler"]),
        ("★ Karambit | Doppler", ["dop", "karambit"], False, ["Karambit"]),
        ("★ Karambit | Doppler", ["karambti"], True, ["Karambit"]),
        ("Pokémon 🌊 Tide", ["tide"], False, ["Tide"]),
        ("Pokémon", ["pokemon"], False, ["Pokémon"]),
    ],
)
def test_the_words_that_were_found_are_marked(
    shown: str, words: Sequence[str], corrected: bool, marked: Sequence[str]
) -> None:
    encoded = shown.encode("utf-16-le")
    spans: Sequence[Span] = spans_of(shown, words, corrected=corrected)
    assert [encoded[span.start * 2 : span.end * 2].decode("utf-16-le") for span in spans] == marked
