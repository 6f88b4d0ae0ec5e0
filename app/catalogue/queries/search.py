"""Search: items by what people type, the best first, with what they can be narrowed by.

Every word must be found, the last one as the beginning of a word; where nothing has them all, words that are
written nearly so do as well. What is found is ranked, and within a rank ordered by name and id:

1. the name is what was typed, 2. the name begins with it, 3. the name has all the words, 4. the item has them, some of
them in the names of its set, maker, series or characters or in an external id, 5. the item has words that are
like them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    Float,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import CTE, Subquery

from app.catalogue.models import (
    CardSet,
    Character,
    ExternalId,
    FigureCharacter,
    FigureSeries,
    Item,
    ItemKind,
    Manufacturer,
    SearchDocument,
    Series,
)
from app.catalogue.queries.visibility import IS_FOUND_BY_VIEWER
from app.core.database import among
from app.core.errors import BadUserInput

LONGEST_QUERY = 200
# More than so many are not sorted: they are found in the order of their names, one rank after the other.
SORTED_AT_MOST = 2_000
# Where nothing has all the words, similar words do as well: so many for each word, and so many items by them.
CORRECTIONS = 5
ABOUT_AS_LIKE = 0.8
SIMILAR_AT_MOST = 200
COUNTED_AT_MOST = 10_000
FACET_VALUES = 50

EXACT, BEGINS, NAMED, BELONGS = 40_000, 30_000, 20_000, 10_000
BEST_RANK = EXACT
_MOST_SIMILAR = BELONGS - 1
_NAME = SearchDocument.folded_name.type
_AFTER_EVERY_LETTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """What is found must be all of this; None does not narrow."""

    kinds: Sequence[ItemKind] | None = None
    set_id: UUID | None = None
    manufacturer_id: UUID | None = None
    series_id: UUID | None = None
    rarity: str | None = None
    wear: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is searched for: the typed text as names are compared, its words, and what narrows.

    `only` are further conditions on `SearchDocument`, such as on prices, which the catalogue does not know.
    """

    folded: str
    filter: SearchFilter
    only: Sequence[ColumnElement[bool]] = ()

    @property
    def words(self) -> Sequence[str]:
        """The words, the last of which may be a mere beginning."""
        return self.folded.split(" ")


@dataclass(frozen=True, slots=True)
class Position:
    """Where something found stands: its rank (the greater the better), its folded name and its id."""

    rank: int
    folded_name: str
    item_id: UUID


@dataclass(frozen=True, slots=True)
class Found:
    """An item that was found, with the texts in which it may have been: what it belongs to, and its external ids."""

    position: Position
    name: str
    set_name: str | None
    manufacturer: str | None
    series: Sequence[str]
    characters: Sequence[str]
    external_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of what was found, and whether there is more."""

    rows: Sequence[Found]
    has_next_page: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """How many of what was found have this value."""

    value: Any
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """The values that what was found can be narrowed by, the most frequent first."""

    kinds: Sequence[Facet]
    sets: Sequence[Facet]
    manufacturers: Sequence[Facet]
    series: Sequence[Facet]
    rarities: Sequence[Facet]
    wears: Sequence[Facet]


async def asked_of(
    connection: AsyncConnection,
    query: str,
    filter: SearchFilter,
    *,
    argument: str,
    only: Sequence[ColumnElement[bool]] = (),
) -> Asked:
    """What somebody asks for; refuses a text that is too long or has nothing to search for, naming the argument."""
    if len(query) > LONGEST_QUERY:
        raise BadUserInput(
            f"`{argument}` may have {LONGEST_QUERY} characters, and has {len(query)}.",
            argument=argument,
            allowed=[f"1..{LONGEST_QUERY} characters"],
        )
    texts = {argument: query, "filter.rarity": filter.rarity, "filter.wear": filter.wear}
    for name, value in texts.items():
        if value is not None and "\0" in value:
            raise BadUserInput(f"`{name}` holds U+0000, which no name has.", argument=name)
    folded = await connection.scalar(select(func.catalogue.fold(bindparam("written", query, Text()), type_=Text())))
    if not folded:
        raise BadUserInput(
            f"`{argument}` has no letter and no digit to search for; give a part of a name.",
            argument=argument,
            allowed=[f"1..{LONGEST_QUERY} characters"],
        )
    return Asked(folded, filter, only)


# For each word that was asked for, the words that are like it, each with how alike they are.
Corrections = Sequence[Sequence[tuple[str, float]]]


async def search(connection: AsyncConnection, asked: Asked, *, limit: int, after: Position | None = None) -> SearchPage:
    """A page of what is found, the best first, behind a position if given."""
    is_corrected = after is not None and after.rank < BELONGS
    rows = [] if is_corrected else await _read(connection, _page(asked, limit=limit + 1, after=after))
    if is_corrected or (not rows and after is None):
        corrections = await _corrections(connection, asked)
        if corrections is not None:
            rows = await _read(connection, _page(asked, limit=limit + 1, after=after, corrections=corrections))
    return SearchPage(rows[:limit], len(rows) > limit)


async def _corrections(connection: AsyncConnection, asked: Asked) -> Corrections | None:
    """The words that are like those asked for, where nothing has all of these; else None."""
    if await connection.scalar(select(_size(_matches(asked, at_most=0)))):
        return None
    words = (
        func.unnest(literal(list(asked.words), ARRAY(Text())))
        .table_valued(column("asked", Text()), with_ordinality="place", name="words")
        .render_derived()
    )
    similar = (
        func.catalogue.similar_words(words.c.asked, literal(CORRECTIONS, Integer()))
        .table_valued(column("word", Text()), column("likeness", Float()), name="similar")
        .lateral()
    )
    statement = select(words.c.place, similar.c.word, similar.c.likeness).select_from(words.join(similar, true()))
    found: list[list[tuple[str, float]]] = [[] for _ in asked.words]
    for place, word, likeness in await connection.execute(statement):
        found[place - 1].append((word, likeness))
    closest = [_closest(each) for each in found]
    return closest if any(closest) else None


def _closest(words: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]]:
    """The words that are about as much like the one asked for as the best of them, that first."""
    best = max((likeness for _, likeness in words), default=0.0)
    return sorted((each for each in words if each[1] >= best * ABOUT_AS_LIKE), key=lambda each: (-each[1], each[0]))


async def _read(connection: AsyncConnection, page: Select[Any]) -> list[Found]:
    """The rows of a page, with the texts that they may have been found in."""
    found = page.subquery("page")
    rank, folded_name, item_id = found.c.rank, found.c.folded_name, found.c.item_id
    statement = (
        select(
            rank,
            folded_name,
            item_id,
            Item.name,
            CardSet.name,
            Manufacturer.name,
            _texts(Series.name, FigureSeries, FigureSeries.series_id == Series.id, item_id),
            _texts(Character.name, FigureCharacter, FigureCharacter.character_id == Character.id, item_id),
            select(func.coalesce(func.array_agg(ExternalId.external_id), _NO_TEXTS))
            .where(ExternalId.item_id == item_id)
            .scalar_subquery(),
        )
        .select_from(found)
        .join(Item, Item.id == item_id)
        .outerjoin(CardSet, CardSet.id == found.c.set_id)
        .outerjoin(Manufacturer, Manufacturer.id == found.c.manufacturer_id)
        .order_by(rank.desc(), folded_name, item_id)
    )
    return [
        Found(Position(row[0], row[1], row[2]), row[3], row[4], row[5], row[6], row[7], row[8])
        for row in await connection.execute(statement)
    ]


async def count_found(connection: AsyncConnection, asked: Asked) -> int:
    """How many are found; `COUNTED_AT_MOST` + 1 stands for any number above it."""
    corrections = await _corrections(connection, asked)
    return int(await connection.scalar(select(func.count()).select_from(_counted(asked, corrections))) or 0)


async def found_items(connection: AsyncConnection, asked: Asked) -> Subquery:
    """A select of the `item_id`s of what is found, of `COUNTED_AT_MOST` + 1 of them at most."""
    found: Subquery = _counted(asked, await _corrections(connection, asked))
    return found


async def facets_of(connection: AsyncConnection, asked: Asked) -> Facets:
    """The facets of what is found; where that is more than `COUNTED_AT_MOST`, of so many of them."""
    counted = _counted(asked, await _corrections(connection, asked))
    document = SearchDocument
    facets = {
        "kinds": document.kind,
        "sets": document.set_id,
        "manufacturers": document.manufacturer_id,
        "rarities": document.rarity,
        "wears": document.wear,
    }
    of_found = (
        select(*facets.values(), document.series_ids)
        .join(counted, counted.c.item_id == document.item_id)
        .cte("of_found")
        .prefix_with("MATERIALIZED")
    )
    of_series = select(func.unnest(of_found.c.series_ids).label("series_id")).subquery("of_series")
    parts = [
        _facet(name, of_found.c[value.key]).where(of_found.c[value.key].is_not(None)) for name, value in facets.items()
    ]
    parts.append(_facet("series", of_series.c.series_id))
    rows = (await connection.execute(union_all(*(select(part.subquery()) for part in parts)))).all()
    values: dict[str, list[Facet]] = {name: [] for name in (*facets, "series")}
    for name, value, count in sorted(rows, key=lambda row: (-row[2], row[1])):
        values[name].append(Facet(_KEYS.get(name, str)(value), count))
    return Facets(**values)


_KEYS: dict[str, Any] = {"kinds": ItemKind, "sets": UUID, "manufacturers": UUID, "series": UUID}
_NO_TEXTS = cast(literal_column("'{}'"), ARRAY(Text))


def _facet(name: str, value: Any) -> Select[str, str, int]:
    shown = cast(value, Text)
    return (
        select(literal_column(f"'{name}'", Text()).label("facet"), shown.label("value"), func.count().label("count"))
        .group_by(value)
        .order_by(func.count().desc(), shown)
        .limit(FACET_VALUES)
    )


def _texts(name: Any, link: Any, joined: ColumnElement[bool], item_id: ColumnElement[UUID]) -> ColumnElement[Any]:
    return (
        select(func.coalesce(func.array_agg(name), _NO_TEXTS))
        .join(link, joined)
        .where(link.item_id == item_id)
        .scalar_subquery()
    )


def _word(word: str, *, is_last: bool = False, weight: str = "") -> str:
    ending = ("*" if is_last else "") + weight
    return f"'{word}':{ending}" if ending else f"'{word}'"


def _tsquery(written: str) -> ColumnElement[Any]:
    return func.to_tsquery(literal_column("'simple'::regconfig"), literal(written, Text()), type_=TSQUERY())


def _query(asked: Asked, *, weight: str = "") -> ColumnElement[Any]:
    """All the words, the last one as a beginning; with a weight, where they have it."""
    *others, last = asked.words
    words = [*(_word(word, weight=weight) for word in others), _word(last, is_last=True, weight=weight)]
    return _tsquery(" & ".join(words))


def _has(query: ColumnElement[Any]) -> ColumnElement[bool]:
    return SearchDocument.words.op("@@", return_type=Boolean())(query)


def _begins(asked: Asked) -> ColumnElement[bool]:
    name = SearchDocument.folded_name
    return and_(name >= literal(asked.folded, _NAME), name < literal(asked.folded + _AFTER_EVERY_LETTER, _NAME))


def _narrowed(asked: Asked) -> list[ColumnElement[bool]]:
    wanted = asked.filter
    conditions: list[ColumnElement[bool]] = [IS_FOUND_BY_VIEWER, *asked.only]
    if wanted.kinds is not None:
        conditions.append(among(SearchDocument.kind, [kind.value for kind in wanted.kinds]))
    for column_, value in (
        (SearchDocument.set_id, wanted.set_id),
        (SearchDocument.manufacturer_id, wanted.manufacturer_id),
        (SearchDocument.rarity, wanted.rarity),
        (SearchDocument.wear, wanted.wear),
    ):
        if value is not None:
            conditions.append(column_ == value)
    if wanted.series_id is not None:
        conditions.append(literal(wanted.series_id, Uuid()) == any_(SearchDocument.series_ids))
    return conditions


_COLUMNS = (SearchDocument.folded_name, SearchDocument.item_id, SearchDocument.set_id, SearchDocument.manufacturer_id)


def _ranked(asked: Asked) -> ColumnElement[int]:
    return case(
        (SearchDocument.folded_name == asked.folded, EXACT),
        (_begins(asked), BEGINS),
        (_has(_query(asked, weight="A")), NAMED),
        else_=BELONGS,
    )


def _matches(asked: Asked, *, at_most: int) -> CTE:
    """What has all the words, in no order; one more than `at_most` says that there may be yet more."""
    return (
        select(_ranked(asked).label("rank"), *_COLUMNS)
        .where(_has(_query(asked)), *_narrowed(asked))
        .limit(at_most + 1)
        .cte("matches")
        .prefix_with("MATERIALIZED")
    )


def _similar(asked: Asked, matches: CTE, corrections: Corrections) -> Select[Any]:
    """What has words like those asked for, but not these themselves; the more alike the better."""
    choices = [
        [(_word(word, is_last=place == len(asked.words) - 1), 1.0), *((_word(other), like) for other, like in others)]
        for place, (word, others) in enumerate(zip(asked.words, corrections, strict=True))
    ]
    any_of_each = " & ".join(f"({' | '.join(word for word, _ in choice)})" for choice in choices)
    likeness = [
        case(*((_has(_tsquery(word)), literal(like, Float())) for word, like in choice), else_=literal(0.0, Float()))
        for choice in choices
    ]
    alike = sum(likeness[1:], likeness[0]) / len(choices)
    candidates = (
        select(cast(func.floor(alike * _MOST_SIMILAR), Integer).label("rank"), *_COLUMNS)
        .where(_has(_tsquery(any_of_each)), SearchDocument.item_id.not_in(select(matches.c.item_id)), *_narrowed(asked))
        .limit(SORTED_AT_MOST)
        .subquery("candidates")
    )
    return (
        select(candidates)
        .order_by(candidates.c.rank.desc(), candidates.c.folded_name, candidates.c.item_id)
        .limit(SIMILAR_AT_MOST)
    )


def _size(rows: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


def _counted(asked: Asked, corrections: Corrections | None) -> Any:
    matches = _matches(asked, at_most=COUNTED_AT_MOST)
    parts = [select(matches.c.item_id)]
    if corrections is not None:
        parts.append(select(_similar(asked, matches, corrections).subquery("similar").c.item_id))
    return union_all(*parts).subquery("counted")


def _page(asked: Asked, *, limit: int, after: Position | None, corrections: Corrections | None = None) -> Select[Any]:
    """The best rows behind a position. Few matches are sorted; of many, names are read in their order until enough.

    So a word that every other item has costs no more than a rare one.
    """
    matches = _matches(asked, at_most=SORTED_AT_MOST)
    parts = [
        select(matches).where(_size(matches) <= SORTED_AT_MOST, *_behind(matches, after)),
        *_walks(asked, matches, limit=limit, after=after),
    ]
    if corrections is not None:
        similar = _similar(asked, matches, corrections).subquery("similar")
        parts.append(select(similar).where(*_behind(similar, after)))
    every = union_all(*parts).subquery("every")
    return select(every).order_by(every.c.rank.desc(), every.c.folded_name, every.c.item_id).limit(limit)


def _walks(asked: Asked, matches: CTE, *, limit: int, after: Position | None) -> list[Select[Any]]:
    """Many matches rank by rank, each in the order of names and only as far as the page still wants."""
    begins, named = _begins(asked), _has(_query(asked, weight="A"))
    are_many = _size(matches) > SORTED_AT_MOST
    # Many items may have the words, and few of them in their names.
    in_names = (
        select(literal_column(str(NAMED), Integer()).label("rank"), *_COLUMNS)
        .where(are_many, named, begins.is_not(True), *_narrowed(asked))
        .limit(SORTED_AT_MOST + 1)
        .cte("in_names")
        .prefix_with("MATERIALIZED")
    )
    # What is asked with IS is no search in the index of words, so that the index of names is read.
    ranks: dict[int, ColumnElement[bool]] = {
        EXACT: SearchDocument.folded_name == asked.folded,
        BEGINS: and_(begins, SearchDocument.folded_name != asked.folded),
        NAMED: and_(_size(in_names) > SORTED_AT_MOST, named.is_(True), begins.is_not(True)),
        BELONGS: and_(_has(_query(asked)).is_(True), named.is_not(True), begins.is_not(True)),
    }
    walks: list[CTE] = []
    for rank, condition in ranks.items():
        if after is not None and rank > after.rank:
            continue
        so_far = [_size(walk) for walk in walks]
        walks.append(
            select(literal_column(str(rank), Integer()).label("rank"), *_COLUMNS)
            .where(
                are_many,
                *([sum(so_far[1:], so_far[0]) < limit] if so_far else []),
                condition,
                *([_is_behind(SearchDocument, after)] if after is not None and rank == after.rank else []),
                *_narrowed(asked),
            )
            .order_by(SearchDocument.folded_name, SearchDocument.item_id)
            .limit(limit)
            .cte(f"walk_{rank}")
            .prefix_with("MATERIALIZED")
        )
    few_in_names = select(in_names).where(_size(in_names) <= SORTED_AT_MOST, *_behind(in_names, after))
    return [few_in_names, *(select(walk) for walk in walks)]


def _behind(rows: CTE | Subquery, after: Position | None) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    rank = rows.c.rank
    return [or_(rank < after.rank, and_(rank == after.rank, _is_behind(rows.c, after)))]


def _is_behind(columns: Any, after: Position) -> ColumnElement[bool]:
    position = tuple_(literal(after.folded_name, _NAME), literal(after.item_id, Uuid()))
    return tuple_(columns.folded_name, columns.item_id) > position
