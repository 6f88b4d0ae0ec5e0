"""A document that shows a difference is made small, and still shows it."""

from graphql import GraphQLError, parse, print_ast, validate

from app.graph.schema import core_schema
from tests.graph.oracle.asking import Asked
from tests.graph.oracle.shrinking import smallest

LARGE = """
query Asked($size: Int, $order: [ItemOrder!], $yes: Boolean!) {
  __typename
  some: items(first: $size, orderBy: $order, filter: {kind: SKIN, nameContains: "a"}) {
    totalCount
    nodes { id ...Deep @include(if: $yes) ... on Coin { symbol } }
    edges { cursor node { name } }
  }
  serverInfo { version }
}
query Other { __typename }
fragment Deep on Item { slug ...Deeper variants { key } }
fragment Deeper on Item { ... on Skin { wear rarity @skip(if: $yes) } name }
"""
VARIABLES = {"size": 3, "order": [], "yes": True}


async def _smallest_valid_with(*wanted: str) -> Asked:
    async def differs(asked: Asked) -> bool:
        try:
            document = parse(asked.query)
        except GraphQLError:
            return False
        return not validate(core_schema, document) and all(part in print_ast(document) for part in wanted)

    return await smallest(Asked(LARGE, VARIABLES, "Asked"), differs)


async def test_what_does_not_matter_is_left_away() -> None:
    shown = await _smallest_valid_with("wear")
    assert _in_one_line(shown) == "query Asked { items { nodes { ... on Skin { wear } } } }"
    assert shown.variables == {}


async def test_an_argument_that_matters_stays_with_its_variable() -> None:
    shown = await _smallest_valid_with("first: $size", "totalCount")
    assert _in_one_line(shown) == "query Asked($size: Int) { items(first: $size) { totalCount } }"


async def test_a_directive_that_matters_does_not_keep_what_it_stands_deep_within() -> None:
    shown = await _smallest_valid_with("@include(if: $yes)")
    assert _in_one_line(shown) == "query Asked($yes: Boolean!) { items @include(if: $yes) { __typename } }"


def _in_one_line(asked: Asked) -> str:
    return " ".join(asked.query.split())
