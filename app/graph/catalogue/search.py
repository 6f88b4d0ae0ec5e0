"""Search over the catalogue, and suggestions while somebody types."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any
from uuid import UUID

import strawberry
from strawberry import Parent

from app.catalogue.highlights import Span, spans_of
from app.catalogue.models import ItemKind
from app.catalogue.queries.search import (
    BELONGS,
    BEST_RANK,
    COUNTED_AT_MOST,
    FACET_VALUES,
    LONGEST_QUERY,
    Asked,
    Facet,
    Facets,
    Found,
    Position,
    asked_of,
    count_found,
    facets_of,
    found_items,
    search,
)
from app.catalogue.queries.search import SearchFilter as Wanted
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag
from app.core.paging import decode_cursor, encode_cursor, key_in_cursor, page_request
from app.graph.catalogue.cards import CardSet
from app.graph.catalogue.figures import Manufacturer, Series
from app.graph.catalogue.items import Item
from app.graph.context import Context, Info
from app.graph.fields import attribute, resolved, show_enum
from app.graph.reads.arguments import storable
from app.graph.reads.fields import Reference, refer
from app.graph.relay import PageInfo, key_of
from app.graph.scalars import CurrencyCode
from app.identity.access import ANYBODY
from app.prices.queries.priced import PriceRange, is_priced, price_ranges, rates_to

DEFAULT_SUGGESTIONS = 10
MAXIMUM_SUGGESTIONS = 50


class SearchField(Enum):
    """The texts of an item that a search looks at."""

    NAME = "name"
    SET = "set"
    MANUFACTURER = "manufacturer"
    SERIES = "series"
    CHARACTER = "character"
    EXTERNAL_ID = "external_id"


show_enum(
    SearchField,
    "The texts that a search looks at.",
    {
        SearchField.NAME: "The item's name.",
        SearchField.SET: "The name of its set.",
        SearchField.MANUFACTURER: "The name of its maker.",
        SearchField.SERIES: "The name of a series that its characters come from.",
        SearchField.CHARACTER: "The name of a character that it shows.",
        SearchField.EXTERNAL_ID: "The name that an outside service has for it.",
    },
)


@strawberry.input(description="A range of prices in one currency, both ends included.")
class SearchPriceRange:
    currency: CurrencyCode = strawberry.field(description="The currency of the prices.")
    minimum: Decimal | None = strawberry.field(default=None, description="At least this much.")
    maximum: Decimal | None = strawberry.field(default=None, description="At most this much.")


@strawberry.input(description="What is found must be all of this; what is left out does not narrow.")
class SearchFilter:
    set_id: strawberry.ID | None = strawberry.field(default=None, description="Only cards of this set.")
    manufacturer_id: strawberry.ID | None = strawberry.field(default=None, description="Only figures of this maker.")
    series_id: strawberry.ID | None = strawberry.field(
        default=None, description="Only figures whose characters come from this anime, game or manga."
    )
    rarity: str | None = strawberry.field(default=None, description="Only cards and skins of this rarity, as written.")
    wear: str | None = strawberry.field(default=None, description="Only skins of this wear, such as `Factory New`.")
    price: SearchPriceRange | None = strawberry.field(
        default=None, description="Only items whose `price` in a currency lies in this range."
    )


@strawberry.type(description="A part of a text, in UTF-16 code units as JavaScript counts.")
class TextRange:
    start: int = attribute("Where it begins, from 0.")
    end: int = attribute("Behind its last character.")


@strawberry.type(description="A text in which words of the query were found.")
class SearchHighlight:
    field: SearchField = attribute("Which text it is.")
    text: str = attribute("The whole text.")
    ranges: list[TextRange] = attribute("The words in it that were found, in their order.")


@strawberry.type(description="An item that was found.")
class SearchEdge:
    cursor: str = attribute("The position of this entry, for `after`.")
    node: Item = attribute("The item.")
    score: float = attribute(
        "How well it matches: 1 is its name itself, 0.75 a beginning of it, 0.5 all words in the name, 0.25 all words "
        "in the name or what it belongs to; below that, it has words like those of the query."
    )
    highlights: list[SearchHighlight] = attribute("Where the words of the query were found.")


@strawberry.type(description="How many of the found items are of one kind.")
class SearchKindCount:
    value: ItemKind = attribute("The kind.")
    count: int = attribute("How many.")


@strawberry.type(description="How many of the found items have one value.")
class SearchValueCount:
    value: str = attribute("The value, for the filter.")
    count: int = attribute("How many.")


@strawberry.type(description="How many of the found items are cards of one set.")
class SearchSetCount:
    set: CardSet = attribute("The set.")
    count: int = attribute("How many.")


@strawberry.type(description="How many of the found items are figures of one maker.")
class SearchManufacturerCount:
    manufacturer: Manufacturer = attribute("The maker.")
    count: int = attribute("How many.")


@strawberry.type(description="How many of the found items are figures of one anime, game or manga.")
class SearchSeriesCount:
    series: Series = attribute("The anime, game or manga.")
    count: int = attribute("How many.")


@strawberry.type(description="How many of the found items have a price in a range.")
class SearchPriceRangeCount:
    minimum: Decimal = attribute("The lowest price in it. With `maximum` it is the range to narrow by.")
    maximum: Decimal = attribute("The highest price in it.")
    count: int = attribute("How many.")


@strawberry.type(
    description=f"What the found items can be narrowed by: the {FACET_VALUES} most frequent values of each, the most "
    f"frequent first. Of more than {COUNTED_AT_MOST:,} found items only about so many are counted."
)
class SearchFacets:
    kinds: list[SearchKindCount] = attribute("By kind.")
    sets: list[SearchSetCount] = attribute("By set.")
    manufacturers: list[SearchManufacturerCount] = attribute("By maker.")
    series: list[SearchSeriesCount] = attribute("By anime, game or manga.")
    rarities: list[SearchValueCount] = attribute("By rarity.")
    wears: list[SearchValueCount] = attribute("By wear.")

    @resolved(
        "By `price` in a currency, from low to high: the ranges between 1, 5, 10, 50 and so on to 10,000 that items "
        "fall into. Items without a price in it are in none.",
        type=list[SearchPriceRangeCount],
    )
    @staticmethod
    async def prices(root: Parent["_Facets"], currency: CurrencyCode) -> Sequence[PriceRange]:
        return await root.prices_in(currency)


@strawberry.type(description="One page of what was found, the best first.")
class SearchConnection:
    edges: list[SearchEdge] = attribute("The entries of this page, with their cursors, scores and highlights.")
    nodes: list[Item] = attribute("The items of this page.")
    page_info: PageInfo = attribute("Where this page lies in the list.")

    @resolved(f"How many items were found; {COUNTED_AT_MOST:,} stands for more, too. Counted only when asked for.")
    @staticmethod
    async def total_count(root: Parent["_Page"]) -> int:
        return min(await root.count(), COUNTED_AT_MOST)

    @resolved("Whether `totalCount` is exact; if not, there are more.")
    @staticmethod
    async def total_count_is_exact(root: Parent["_Page"]) -> bool:
        return await root.count() <= COUNTED_AT_MOST

    @resolved("What the found items can be narrowed by; counted only when asked for.", type=SearchFacets)
    @staticmethod
    async def facets(root: Parent["_Page"]) -> "_Facets":
        return _Facets(await root.facets(), root.prices_in)


@strawberry.type(description="What somebody may be about to type.")
class Suggestion:
    text: str = attribute("The name of the item.")
    item: Item = attribute("The item.")


@dataclass(frozen=True, slots=True)
class _Highlight:
    field: SearchField
    text: str
    ranges: Sequence[Span]


@dataclass(frozen=True, slots=True)
class _Edge:
    cursor: str
    node: Reference
    score: float
    highlights: Sequence[_Highlight]


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of what was found, with how to count and to tell apart the whole of it."""

    edges: Sequence[_Edge]
    page_info: PageInfo
    count: Callable[[], Awaitable[int]]
    facets: Callable[[], Awaitable[Facets]]
    prices_in: Callable[[str], Awaitable[Sequence[PriceRange]]]

    @property
    def nodes(self) -> Sequence[Reference]:
        return [edge.node for edge in self.edges]


@dataclass(frozen=True, slots=True)
class _SetCount:
    set: Reference
    count: int


@dataclass(frozen=True, slots=True)
class _ManufacturerCount:
    manufacturer: Reference
    count: int


@dataclass(frozen=True, slots=True)
class _SeriesCount:
    series: Reference
    count: int


@dataclass(frozen=True, slots=True)
class _Facets:
    """The facets as they are shown: what has an id, as a reference to it."""

    found: Facets
    prices_in: Callable[[str], Awaitable[Sequence[PriceRange]]]

    @property
    def kinds(self) -> Sequence[Facet]:
        return self.found.kinds

    @property
    def rarities(self) -> Sequence[Facet]:
        return self.found.rarities

    @property
    def wears(self) -> Sequence[Facet]:
        return self.found.wears

    @property
    def sets(self) -> Sequence[_SetCount]:
        return [_SetCount(refer(CardSet, facet.value), facet.count) for facet in self.found.sets]

    @property
    def manufacturers(self) -> Sequence[_ManufacturerCount]:
        return [_ManufacturerCount(refer(Manufacturer, facet.value), facet.count) for facet in self.found.manufacturers]

    @property
    def series(self) -> Sequence[_SeriesCount]:
        return [_SeriesCount(refer(Series, facet.value), facet.count) for facet in self.found.series]


@strawberry.type
class SearchQueries:
    @resolved(
        f"The items that a text of up to {LONGEST_QUERY} characters names, the best first: without regard to case and "
        "accents, the last word as a beginning, and with words put right where nothing has them as typed. "
        "Equal ones are ordered by name. Only who chose to see what is not safe for work finds such items.",
        type=SearchConnection | None,
        access=ANYBODY,
        by_viewer=True,
    )
    @staticmethod
    async def search(
        info: Info,
        query: str,
        kinds: list[ItemKind] | None = None,
        filter: SearchFilter | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> _Page:
        request = page_request(first=first, after=after, last=None, before=None)
        asked = await _asked(info.context, query, kinds, filter or SearchFilter())
        order = _order(asked)
        position = None if request.after is None else _position(request.after, order)
        page = await info.context.snapshot.read(search, asked, limit=request.limit, after=position)
        edges = [_edge(row, asked, order) for row in page.rows]
        return _Page(
            edges,
            PageInfo(
                has_next_page=page.has_next_page,
                has_previous_page=False,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
            count=_once(lambda: info.context.snapshot.read(count_found, asked)),
            facets=lambda: info.context.snapshot.read(facets_of, asked),
            prices_in=lambda currency: _prices_in(info.context, asked, currency),
        )

    @resolved(
        f"The items that a text may become the name of, the best first: `first` of them ({MAXIMUM_SUGGESTIONS} at "
        "most), as `search` finds them.",
        type=list[Suggestion] | None,
        access=ANYBODY,
        by_viewer=True,
    )
    @staticmethod
    async def suggest(info: Info, prefix: str, first: int = DEFAULT_SUGGESTIONS) -> Sequence["_Suggestion"]:
        if not 1 <= first <= MAXIMUM_SUGGESTIONS:
            raise BadUserInput(
                f"`first` must be from 1 to {MAXIMUM_SUGGESTIONS}, and is {first}.",
                argument="first",
                allowed=[f"1..{MAXIMUM_SUGGESTIONS}"],
            )
        asked = await info.context.snapshot.read(asked_of, prefix, Wanted(), argument="prefix")
        page = await info.context.snapshot.read(search, asked, limit=first)
        return [_Suggestion(row.name, refer(Item, row.position.item_id)) for row in page.rows]


@dataclass(frozen=True, slots=True)
class _Suggestion:
    text: str
    item: Reference


def _once(count: Callable[[], Coroutine[Any, Any, int]]) -> Callable[[], Awaitable[int]]:
    """Count once, however many fields show the number."""
    counting: list[asyncio.Future[int]] = []

    def counted() -> Awaitable[int]:
        if not counting:
            counting.append(asyncio.ensure_future(count()))
        return counting[0]

    return counted


async def _asked(context: Context, query: str, kinds: list[ItemKind] | None, given: SearchFilter) -> Asked:
    wanted = Wanted(
        kinds=kinds,
        set_id=_key(given.set_id, PublicIdTag.CARD_SET, "filter.setId"),
        manufacturer_id=_key(given.manufacturer_id, PublicIdTag.MANUFACTURER, "filter.manufacturerId"),
        series_id=_key(given.series_id, PublicIdTag.SERIES, "filter.seriesId"),
        rarity=given.rarity,
        wear=given.wear,
    )
    only = []
    if given.price is not None:
        _check(given.price)
        rates = await context.snapshot.read(rates_to, given.price.currency, context.now)
        only.append(is_priced(rates, minimum=given.price.minimum, maximum=given.price.maximum))
    return await context.snapshot.read(asked_of, query, wanted, argument="query", only=only)


async def _prices_in(context: Context, asked: Asked, currency: str) -> Sequence[PriceRange]:
    rates = await context.snapshot.read(rates_to, currency, context.now)
    found = await context.snapshot.read(found_items, asked)
    return await context.snapshot.read(price_ranges, found, rates)


def _key(id: str | None, tag: PublicIdTag, argument: str) -> UUID | None:
    if id is None:
        return None
    key = key_of(id, tag, argument=argument)
    if not isinstance(key, UUID):
        raise BadUserInput(
            f"`{argument}` is the id of something else; use one that the facets of a search gave you.",
            argument=argument,
            allowed=["an `id` that the API gave"],
        )
    return key


def _check(price: SearchPriceRange) -> None:
    if price.minimum is not None and price.maximum is not None and price.minimum > price.maximum:
        raise BadUserInput(
            f"`filter.price.minimum` must not be above the maximum, and {price.minimum} is above {price.maximum}.",
            argument="filter.price.minimum",
            allowed=[f"..{price.maximum}"],
        )


def _order(asked: Asked) -> str:
    """The name of the order in cursors: ranks mean nothing in another search."""
    return f"search-{sha256(asked.folded.encode()).hexdigest()[:12]}"


def _position(cursor: str, order: str) -> Position:
    rank, folded_name, key = decode_cursor(cursor, order=order, argument="after", types=[int, str, str])
    if not isinstance(rank, int) or not 0 <= rank <= BEST_RANK:
        raise BadUserInput("`after` is not a cursor of this search; use one that it gave you.", argument="after")
    return Position(rank, storable(folded_name), key_in_cursor(key, argument="after"))


def _edge(row: Found, asked: Asked, order: str) -> _Edge:
    position = row.position
    cursor = encode_cursor(order, [position.rank, position.folded_name, str(position.item_id)])
    return _Edge(cursor, refer(Item, position.item_id), position.rank / BEST_RANK, _highlights(row, asked))


def _highlights(row: Found, asked: Asked) -> Sequence[_Highlight]:
    texts: list[tuple[SearchField, str | None]] = [
        (SearchField.NAME, row.name),
        (SearchField.SET, row.set_name),
        (SearchField.MANUFACTURER, row.manufacturer),
        *((SearchField.SERIES, text) for text in row.series),
        *((SearchField.CHARACTER, text) for text in row.characters),
        *((SearchField.EXTERNAL_ID, text) for text in row.external_ids),
    ]
    corrected = row.position.rank < BELONGS
    return [
        _Highlight(field, text, spans)
        for field, text in texts
        if text is not None and (spans := spans_of(text, asked.words, corrected=corrected))
    ]
