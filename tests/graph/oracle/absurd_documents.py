"""Documents that are allowed and that nobody in their right mind sends, each with how it is answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.catalogue.models import Item
from app.core.ids import PublicIdTag
from tests.graph.oracle.asking import Asked
from tests.graph.oracle.rows import World
from tests.graph.oracle.texts import AWKWARD, CONTROL_CHARACTERS, EDGES_OF_PLANES
from tests.graph.oracle.values import written
from tests.graph.oracle.vocabulary import Vocabulary, list_of
from tests.identity.builders import PARTNER

INGESTER = PARTNER
ANSWERED = "answered without errors"
INVALID = "GRAPHQL_VALIDATION_FAILED"
COMPLEX = "QUERY_TOO_COMPLEX"
BAD = "BAD_USER_INPUT"
UNAUTHENTICATED = "UNAUTHENTICATED"
# More cannot be sent than what is refused for it.
A_LOT = 1_000
# As many as `nodes` takes.
MOST_IDS = 100


@dataclass(frozen=True, slots=True)
class Known:
    """What a document can name of the world it is asked of."""

    vocabulary: Vocabulary

    @property
    def world(self) -> World:
        """The world itself."""
        return self.vocabulary.world

    def ids(self, tag: PublicIdTag) -> list[str]:
        """The ids of one type."""
        return self.world.public_ids(tag)

    @property
    def everything(self) -> list[str]:
        """One id of each type, and the first of them again."""
        first = [self.ids(tag)[0] for tag in PublicIdTag]
        return [*first, first[0]]

    def cursor(self, connection: str) -> str:
        """A cursor that a list gave; that of items is by name, ascending."""
        return self.vocabulary.cursors[list_of(connection, None)][0]


Absurd = tuple[str, Callable[[Known], Asked | str], str]


def _aliases(count: int, field: str) -> str:
    return "{ " + " ".join(f"a{number}: {field}" for number in range(count)) + " }"


def _in_fragments(depth: int) -> str:
    links = "".join(f"fragment F{number} on Item {{ ...F{number + 1} name }} " for number in range(depth))
    last = f"fragment F{depth} on Item {{ __typename id ... on Skin {{ wear }} }}"
    return f"{{ items {{ nodes {{ ...F0 }} }} }} {links} {last}"


def _patterns() -> str:
    parts = ("%", "_", "\\", "\\%", "/", "//", "'", "[a-z]", "%%", ".*")
    return (
        "{ "
        + " ".join(
            f"a{number}: items(filter: {{nameContains: {written(part)}}}) {{ totalCount nodes {{ name }} }}"
            for number, part in enumerate(parts)
        )
        + " }"
    )


def _each(field: str, variable: str, type_: str, *values: Any) -> Sequence[Absurd]:
    """One document for each value of a variable; refused or answered, but alike."""
    query = f"query ($value: {type_}) {{ items {{ nodes {{ series {{ {field} }} }} }} }}"
    return [
        (f"{variable} {value!r}"[:60], lambda _, value=value: Asked(query, {"value": value}), "")  # type: ignore[misc]
        for value in values
    ]


DOCUMENTS: Sequence[Absurd] = (
    # Many of one.
    ("a thousand aliases of one connection", lambda _: _aliases(A_LOT, "items(first: 1) { totalCount }"), COMPLEX),
    (
        "fifteen aliases of one connection",
        lambda _: _aliases(15, "items(first: 2) { totalCount nodes { id } }"),
        ANSWERED,
    ),
    ("a thousand times the same leaf", lambda _: "{ items { totalCount " + "totalCount " * A_LOT + "} }", COMPLEX),
    ("sixty times the same leaf", lambda _: "{ items { " + "totalCount " * 60 + "} }", ANSWERED),
    ("sixty times the same list", lambda _: "{ " + "items { nodes { id } } " * 60 + "}", ANSWERED),
    (
        "twelve levels",
        lambda _: (
            "{ items { nodes { variants { item { variants { item { variants { item { variants { "
            "item { variants { id } } } } } } } } } } } }"
        ),
        ANSWERED,
    ),
    (
        "thirteen levels",
        lambda _: (
            "{ items { nodes { variants { item { variants { item { variants { item { variants { "
            "item { variants { item { id } } } } } } } } } } } } }"
        ),
        COMPLEX,
    ),
    (
        "a hundred ids",
        lambda known: Asked(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": (known.ids(PublicIdTag.ITEM) * 100)[:100]}
        ),
        ANSWERED,
    ),
    (
        "a hundred and one ids",
        lambda known: Asked(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": (known.ids(PublicIdTag.ITEM) * 101)[:101]}
        ),
        BAD,
    ),
    # Merged, overlapping and empty selections.
    ("fragments in fragments", lambda _: _in_fragments(30), ANSWERED),
    (
        "a fragment that spreads itself",
        lambda _: "{ items { nodes { ...F } } } fragment F on Item { id ...F }",
        INVALID,
    ),
    ("a fragment that is never spread", lambda _: "{ __typename } fragment F on Item { id }", INVALID),
    (
        "one field with two argument sets",
        lambda _: (
            '{ items { nodes { usd: price(currency: "USD") { amount } eur: price(currency: "EUR") '
            "{ amount } price { amount } } } }"
        ),
        ANSWERED,
    ),
    (
        "one field with two argument sets under one name",
        lambda _: '{ items { nodes { price(currency: "USD") { amount } price { amount } } } }',
        INVALID,
    ),
    (
        "one field with two argument sets on two types",
        lambda _: (
            '{ items { nodes { ... on Skin { price(currency: "USD") { amount } } ... on Coin { '
            'price(currency: "EUR") { amount } } } } }'
        ),
        ANSWERED,
    ),
    (
        "one list with two selections",
        lambda _: (
            "{ items { nodes { id } } items { nodes { name variants { key } variants { name key } } totalCount } }"
        ),
        ANSWERED,
    ),
    (
        "keys in an order of their own",
        lambda _: (
            "{ items { totalCount nodes { name ... on Item { id slug name } id } pageInfo { "
            "endCursor hasNextPage } edges { cursor } } }"
        ),
        ANSWERED,
    ),
    (
        "keys that take each other's names",
        lambda _: "{ items { nodes { name: slug slug: name id: kind kind: id } } }",
        ANSWERED,
    ),
    (
        "one name for fields of two types",
        lambda _: (
            "{ items { nodes { ... on Skin { x: wear } ... on Coin { x: symbol } ... on Card { x: "
            "game } ... on Figure { x: scale } } } }"
        ),
        ANSWERED,
    ),
    (
        "one name for lists of two types",
        lambda known: Asked(
            (
                "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Item { price { amount } } ... on "
                "ItemVariant { price { kind } } } }"
            ),
            {"ids": known.everything[:3]},
        ),
        ANSWERED,
    ),
    (
        "fragments that never apply",
        lambda _: "{ items(filter: {kind: COIN}) { nodes { ... on Skin { wear } ... on Figure { scale } } } }",
        ANSWERED,
    ),
    (
        "interfaces in interfaces",
        lambda known: Asked(
            (
                "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Node { ... on Item { ... on Node { "
                "... on Skin { id } } } } ... on IngestBatch { rowCount } __typename } }"
            ),
            {"ids": known.everything},
            viewer=INGESTER,
        ),
        ANSWERED,
    ),
    (
        "nothing but typenames",
        lambda _: (
            "{ __typename a: __typename items { __typename nodes { __typename } edges { "
            "__typename } pageInfo { __typename } } }"
        ),
        ANSWERED,
    ),
    (
        "a typename under the name of a field",
        lambda _: "{ items { nodes { id: __typename name: __typename } } }",
        ANSWERED,
    ),
    ("everything skipped", lambda _: "{ items @skip(if: true) { nodes { id } } }", ANSWERED),
    (
        "everything within a list skipped",
        lambda _: (
            "{ items { nodes { id @include(if: false) } edges @include(if: true) { node @skip(if: true) { id } } } }"
        ),
        ANSWERED,
    ),
    (
        "skipped and included at once",
        lambda _: (
            "{ items { nodes { id @skip(if: true) @include(if: true) name @skip(if: false) @include(if: true) } } }"
        ),
        ANSWERED,
    ),
    (
        "skipped here and asked for there",
        lambda _: "{ items @skip(if: true) { totalCount } items { nodes { id @include(if: false) id } } }",
        ANSWERED,
    ),
    (
        "included by a default",
        lambda _: (
            "query ($yes: Boolean! = true, $no: Boolean! = false) { items { totalCount "
            "@include(if: $yes) nodes @skip(if: $no) { id } } }"
        ),
        ANSWERED,
    ),
    (
        "several operations",
        lambda _: Asked(
            "query A { items { totalCount } } query B { __typename } mutation C { __typename }", operation_name="A"
        ),
        ANSWERED,
    ),
    ("several operations and none named", lambda _: "query A { __typename } query B { __typename }", BAD),
    ("an operation that is not there", lambda _: Asked("query A { __typename }", operation_name="B"), BAD),
    (
        "introspection beside rows",
        lambda _: '{ __schema { queryType { name } } items { totalCount } __type(name: "Skin") { fields { name } } }',
        ANSWERED,
    ),
    # Pages.
    (
        "an empty page forward",
        lambda _: (
            "{ items(first: 0) { nodes { id } edges { cursor } totalCount pageInfo { hasNextPage "
            "hasPreviousPage startCursor endCursor } } }"
        ),
        ANSWERED,
    ),
    (
        "an empty page backward",
        lambda known: Asked(
            (
                "query ($cursor: String) { items(last: 0, before: $cursor) { nodes { id } pageInfo { "
                "hasNextPage hasPreviousPage startCursor endCursor } } }"
            ),
            {"cursor": known.cursor("items")},
        ),
        ANSWERED,
    ),
    (
        "empty pages within lists",
        lambda _: (
            "{ items { nodes { series { points(first: 0) { totalCount nodes { price } pageInfo { "
            "hasNextPage endCursor } } } } } }"
        ),
        ANSWERED,
    ),
    (
        "a first of null",
        lambda _: "{ items(first: null, after: null, last: null, before: null) { totalCount nodes { id } } }",
        ANSWERED,
    ),
    ("a first of null beside a last", lambda _: "{ items(first: null, last: 2) { nodes { id } } }", ANSWERED),
    ("a page that is negative", lambda _: "{ items(first: -1) { totalCount } }", BAD),
    ("a page that is too long", lambda _: "{ items(last: 101) { totalCount } }", BAD),
    ("the longest page", lambda _: "{ items(last: 100) { nodes { id } pageInfo { hasNextPage } } }", ANSWERED),
    ("first and last", lambda _: "{ items(first: 1, last: 1) { totalCount } }", BAD),
    (
        "after with last",
        lambda known: Asked(
            "query ($cursor: String) { items(last: 1, after: $cursor) { totalCount } }",
            {"cursor": known.cursor("items")},
        ),
        BAD,
    ),
    (
        "before without last",
        lambda known: Asked(
            "query ($cursor: String) { items(before: $cursor) { totalCount } }", {"cursor": known.cursor("items")}
        ),
        BAD,
    ),
    (
        "a cursor of another connection",
        lambda known: Asked(
            "query ($cursor: String) { items(after: $cursor) { totalCount } }", {"cursor": known.cursor("points")}
        ),
        BAD,
    ),
    (
        "a cursor of another order",
        lambda known: Asked(
            (
                "query ($cursor: String) { items(orderBy: {field: NAME, direction: DESC}, after: "
                "$cursor) { totalCount } }"
            ),
            {"cursor": known.cursor("items")},
        ),
        BAD,
    ),
    (
        "a cursor of another connection within lists",
        lambda known: Asked(
            (
                "query ($cursor: String) { items { nodes { name series { kind points(after: $cursor) "
                "{ totalCount } } } } }"
            ),
            {"cursor": known.cursor("items")},
        ),
        BAD,
    ),
    (
        "a cursor of another series",
        lambda known: Asked(
            (
                "query ($cursor: String) { items { nodes { series { points(after: $cursor, first: 2) "
                "{ totalCount nodes { observedAt price } } } } } }"
            ),
            {"cursor": known.cursor("points")},
        ),
        ANSWERED,
    ),
    ("an empty cursor for items", lambda _: '{ items(after: "") { nodes { id } } }', BAD),
    (
        "an empty cursor for points",
        lambda _: (
            '{ items { nodes { series { points(after: "") { nodes { price } pageInfo { hasPreviousPage } } } } } }'
        ),
        BAD,
    ),
    # Lists and what is made of them.
    ("no ids", lambda _: "{ nodes(ids: []) { id } }", ANSWERED),
    (
        "one id where a list is taken",
        lambda known: f"{{ nodes(ids: {written(known.ids(PublicIdTag.ITEM)[0])}) {{ id }} }}",
        ANSWERED,
    ),
    (
        "one id of a variable where a list is taken",
        lambda known: Asked(
            "query ($id: ID!) { nodes(ids: [$id, $id]) { id } }", {"id": known.ids(PublicIdTag.ITEM)[0]}
        ),
        ANSWERED,
    ),
    (
        "a list of a variable that is a text",
        lambda known: Asked(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": known.ids(PublicIdTag.ITEM)[0]}
        ),
        ANSWERED,
    ),
    (
        "a null in a list of ids",
        lambda _: Asked("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [None]}),
        BAD,
    ),
    ("a null in a list of ids that are written", lambda _: "{ nodes(ids: [null]) { id } }", INVALID),
    ("a null for a list of slugs", lambda _: "{ items(filter: {slugs: null}) { totalCount } }", ANSWERED),
    ("an empty list of slugs", lambda _: "{ items(filter: {slugs: []}) { totalCount nodes { id } } }", ANSWERED),
    (
        "one slug where a list is taken",
        lambda known: Asked(
            ("query ($slug: [String!]) { items(filter: {slugs: $slug}) { totalCount nodes { slug } } }"),
            {"slug": known.world.column(Item, "slug")[0]},
        ),
        ANSWERED,
    ),
    (
        "two hundred and fifty times one slug",
        lambda known: Asked(
            ("query ($slugs: [String!]) { items(filter: {slugs: $slugs}) { totalCount nodes { slug } } }"),
            {"slugs": [known.world.column(Item, "slug")[0]] * 250},
        ),
        ANSWERED,
    ),
    ("an empty filter", lambda _: "{ items(filter: {}) { totalCount } }", ANSWERED),
    (
        "a filter of nulls",
        lambda _: "{ items(filter: {kind: null, nameContains: null, slugs: null}, orderBy: null) { totalCount } }",
        ANSWERED,
    ),
    ("an empty order", lambda _: "{ items(orderBy: []) { nodes { name } } }", ANSWERED),
    ("two orders", lambda _: "{ items(orderBy: [{field: NAME}, {field: CREATED_AT}]) { totalCount } }", BAD),
    (
        "an order without a direction",
        lambda _: "{ items(orderBy: {field: CREATED_AT}) { nodes { createdAt } } }",
        ANSWERED,
    ),
    (
        "things gone, of other types and twice",
        lambda known: Asked(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }",
            {"ids": [*known.everything, "aXQAAAAAAAAAAAAAAAAAAAAA", *reversed(known.everything)][:MOST_IDS]},
            viewer=INGESTER,
        ),
        ANSWERED,
    ),
    (
        "one refused among many",
        lambda known: Asked(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id } items { totalCount } }",
            {"ids": [*known.everything[:2], "garbage"]},
        ),
        BAD,
    ),
    (
        "what only the ingester sees",
        lambda known: Asked(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id } items { totalCount } }", {"ids": known.everything}
        ),
        UNAUTHENTICATED,
    ),
    (
        "rejects of a batch for anyone",
        lambda known: Asked(
            ("query ($id: ID!) { a: ingestBatch(id: $id) { id } b: node(id: $id) { id } items { totalCount } }"),
            {"id": known.ids(PublicIdTag.INGEST_BATCH)[0]},
        ),
        UNAUTHENTICATED,
    ),
    # Numbers, texts and instants at their ends.
    ("an integer beyond 32 bits", lambda _: "{ items(first: 2147483648) { totalCount } }", INVALID),
    ("an integer of a thousand digits", lambda _: "{ items(first: " + "9" * A_LOT + ") { totalCount } }", INVALID),
    ("the greatest integer", lambda _: "{ items(first: 2147483647) { totalCount } }", BAD),
    (
        "an integer of a variable beyond 32 bits",
        lambda _: Asked("query ($first: Int) { items(first: $first) { totalCount } }", {"first": 2**31}),
        BAD,
    ),
    (
        "a float where an integer is taken",
        lambda _: Asked("query ($first: Int) { items(first: $first) { totalCount } }", {"first": 2.0}),
        ANSWERED,
    ),
    (
        "a truth where an integer is taken",
        lambda _: Asked("query ($first: Int) { items(first: $first) { totalCount } }", {"first": True}),
        BAD,
    ),
    ("an integer for an id", lambda _: "{ node(id: 12) { id } }", BAD),
    (
        "a null for a last with a default",
        lambda known: Asked(
            (
                "query ($id: ID!, $last: Int) { node(id: $id) { ... on PriceSeries { "
                "candles(resolution: ONE_DAY, last: $last) { start } } } }"
            ),
            {"id": known.ids(PublicIdTag.PRICE_SERIES)[0], "last": None},
        ),
        BAD,
    ),
    (
        "nothing for a last with a default",
        lambda known: Asked(
            (
                "query ($id: ID!, $last: Int) { node(id: $id) { ... on PriceSeries { "
                "candles(resolution: ONE_DAY, last: $last) { start } } } }"
            ),
            {"id": known.ids(PublicIdTag.PRICE_SERIES)[0]},
        ),
        ANSWERED,
    ),
    ("a variable that no one uses", lambda _: Asked("{ __typename }", {"nobody": 1}), ANSWERED),
    ("a variable that is missing", lambda _: "query ($id: ID!) { node(id: $id) { id } }", BAD),
    (
        "more candles than one operation may ask for",
        lambda _: (
            "{ items { nodes { series { candles(resolution: ONE_DAY, last: 10000) { start } "
            + " ".join(
                f"c{number}: candleColumns(resolution: ONE_HOUR, last: 100000) {{ start }}" for number in range(12)
            )
            + " } } } }"
        ),
        COMPLEX,
    ),
    (
        "a range that ends before it begins",
        lambda _: (
            '{ items { nodes { series { points(from: "2026-01-02T00:00:00Z", to: '
            '"2026-01-01T00:00:00Z") { totalCount } } } } }'
        ),
        BAD,
    ),
    (
        "a range of all time",
        lambda _: (
            '{ items { nodes { series { points(from: "0001-01-01T00:00:00Z", to: '
            '"9999-12-31T23:59:59.999999Z") { totalCount } candles(resolution: ONE_WEEK, from: '
            '"0001-01-01T00:00:00Z", to: "9999-12-31T23:59:59.999999Z") { start } } } } }'
        ),
        ANSWERED,
    ),
    (
        "a range of nothing",
        lambda _: (
            '{ items { nodes { series { points(from: "2026-03-10T00:00:00Z", to: '
            '"2026-03-10T00:00:00Z") { totalCount nodes { price } } } } } }'
        ),
        ANSWERED,
    ),
    ("a block text", lambda _: '{ item(slug: """\n  a\n    "quoted" \\""" name\n""") { id } }', ANSWERED),
    ("an escaped text beyond the first plane", lambda _: '{ item(slug: "\\u{1F600}\\uD83D\\uDE00") { id } }', ANSWERED),
    ("half of a pair", lambda _: '{ item(slug: "\\uD83D") { id } }', "GRAPHQL_PARSE_FAILED"),
    ("the character zero, written", lambda _: '{ item(slug: "\\u0000") { id } }', BAD),
    (
        "the character zero, in a variable",
        lambda _: Asked("query ($slug: String) { item(slug: $slug) { id } }", {"slug": "a\0b"}),
        BAD,
    ),
    ("the character zero in a filter", lambda _: '{ items(filter: {nameContains: "\\u0000"}) { totalCount } }', BAD),
    (
        "the character zero in a source within lists",
        lambda _: '{ items { nodes { name series(source: "\\u0000") { id } } } }',
        BAD,
    ),
    (
        "a name of two hundred characters",
        lambda _: Asked(
            "query ($part: String) { items(filter: {nameContains: $part}) { totalCount } }", {"part": "x" * 200}
        ),
        ANSWERED,
    ),
    (
        "a name of two hundred and one",
        lambda _: Asked(
            "query ($part: String) { items(filter: {nameContains: $part}) { totalCount } }", {"part": "x" * 201}
        ),
        BAD,
    ),
    (
        "a name of two hundred beyond the first plane",
        lambda _: Asked(
            "query ($part: String) { items(filter: {nameContains: $part}) { totalCount } }", {"part": "😀" * 200}
        ),
        ANSWERED,
    ),
    (
        "patterns that stand for themselves",
        lambda _: (
            "{ "
            + " ".join(
                f"a{n}: items(filter: {{nameContains: {part}}}) {{ totalCount nodes {{ name }} }}"
                for n, part in enumerate(('"%"', '"_"', '"\\\\"', '"\\\\%"', '"/"', '"//"', '"\'"', '"[a-z]"'))
            )
            + " }"
        ),
        ANSWERED,
    ),
)

VALUES: Sequence[Absurd] = (
    *_each(
        "points(from: $value) { totalCount }",
        "instant",
        "DateTime",
        None,
        "",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-01:00",
        "2026-03-10T12:34:56.7890123Z",
        "2026-03-10t12:34:56z",
        "2026-03-10T24:00:00Z",
        "2026-06-30T23:59:60Z",
        "0000-01-01T00:00:00Z",
        0,
        1.5,
        True,
        [],
        {},
    ),
    *_each(
        "candles(resolution: ONE_DAY, from: $value, last: 3) { start }",
        "instant of candles",
        "DateTime",
        None,
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00.000001Z",
        "9999-12-31T23:59:59.999999Z",
        "9998-12-31T00:00:00Z",
    ),
    *_each(
        "candles(resolution: ONE_WEEK, to: $value, last: 3) { start }",
        "end of candles",
        "DateTime",
        None,
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00.000001Z",
        "9999-12-31T23:59:59.999999Z",
        "9998-12-31T00:00:00Z",
    ),
    *_each(
        "variant { price(currency: $value) { amount } }",
        "currency",
        "CurrencyCode",
        None,
        "",
        "USD",
        "usd",
        "XXX",
        "USD ",
        "ＵＳＤ",
        840,
        True,
        ["USD"],
        {},
    ),
    *_each(
        "points(first: $value) { totalCount }",
        "integer",
        "Int",
        None,
        0,
        -0.0,
        1.0,
        1.5,
        2**31 - 1,
        -(2**31),
        2**31,
        2**63,
        2**64,
        1e308,
        "1",
        True,
        [],
        [1],
        {},
    ),
    *_each(
        "candleColumns(resolution: ONE_HOUR, last: $value) { start volume }",
        "integer with a default",
        "Int",
        None,
        0,
        1,
        100_000,
        100_001,
        2**31 - 1,
    ),
    *_each(
        "candles(resolution: ONE_HOUR) @include(if: $value) { start }",
        "truth",
        "Boolean!",
        None,
        True,
        False,
        "true",
        0,
        1,
        [],
    ),
    *_each(
        "points(after: $value, first: 1) { totalCount nodes { price } }",
        "cursor",
        "String",
        None,
        "",
        " ",
        "=",
        "WyJwcmljZS1wb2ludHMiXQ",
        "x" * 10_000,
        *AWKWARD,
        *CONTROL_CHARACTERS,
        EDGES_OF_PLANES,
        "\0",
        7,
        True,
        [],
    ),
    *_each(
        "variant { series(source: $value) { id } }",
        "text",
        "String",
        None,
        "x" * 10_000,
        *AWKWARD,
        *CONTROL_CHARACTERS,
        EDGES_OF_PLANES,
        "\0",
        7,
        1.5,
        True,
        [],
        {},
    ),
    *_each(
        "variant { series(kind: $value) { id } }",
        "enum",
        "PriceKind",
        None,
        "SALE",
        "sale",
        "",
        "NOTHING",
        0,
        True,
        ["SALE"],
        {},
    ),
)
