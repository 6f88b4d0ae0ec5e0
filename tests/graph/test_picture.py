"""The picture of the graph: what it shows, what it leaves out, and that it stays small enough to be read."""

import re

from graphql import build_schema

from app.graph.picture import draw_graph
from app.graph.schema import core_schema

MOST_BOXES = 24


def boxes(picture: str) -> list[str]:
    """The names in the boxes, in their order."""
    return re.findall(r"^  (\w+)(?:\(\[|\{\{)", picture, re.MULTILINE)


def test_the_picture_of_a_small_graph() -> None:
    schema = build_schema(
        """
        interface Node { id: ID! }
        interface Pet implements Node { id: ID!, name: String!, owner: Person }
        type Cat implements Pet & Node { id: ID!, name: String!, owner: Person, prey: [Mouse!]! }
        type Mouse implements Node { id: ID! }
        type Person implements Node { id: ID!, pets(first: Int): PetConnection!, oldest: Pet, finding: Finding }
        type PetConnection { edges: [PetEdge!]!, nodes: [Pet!]!, pageInfo: PageInfo! }
        type PetEdge { node: Pet!, cursor: String! }
        type PageInfo { hasNextPage: Boolean! }
        union Finding = Mouse | Person
        type AdoptPetPayload { pets: [Pet!]!, userErrors: [AdoptPetError!]! }
        type AdoptPetError { message: String! }
        type Query { node(id: ID!): Node, person: Person }
        type Mutation { adoptPet: AdoptPetPayload! }
        """
    )
    assert draw_graph(schema).splitlines() == [
        "flowchart LR",
        "  Query([Query])",
        "  Mutation([Mutation])",
        "  Person([Person])",
        "  Pet{{Pet}}",
        "  Finding{{Finding}}",
        "  Cat([Cat])",
        "  Mouse([Mouse])",
        "  Cat -. is .-> Pet",
        "  Mouse -. is .-> Finding",
        "  Person -. is .-> Finding",
        '  Query -->|"person"| Person',
        '  Mutation -->|"adoptPet*"| Pet',
        '  Person -->|"pets*, oldest"| Pet',
        '  Person -->|"finding"| Finding',
        '  Pet -->|"owner"| Person',
        '  Cat -->|"prey*"| Mouse',
    ]


def test_the_picture_shows_how_to_walk_from_an_item_to_its_prices() -> None:
    picture = draw_graph()
    for arrow in (
        'Query -->|"items*, item"| Item',
        'Item -->|"variants*, defaultVariant"| ItemVariant',
        'ItemVariant -->|"series*"| PriceSeries',
        'PriceSeries -->|"points*"| PricePoint',
        "Skin -. is .-> Item",
    ):
        assert f"  {arrow}" in picture.splitlines()


def test_the_picture_is_the_same_each_time() -> None:
    assert draw_graph() == draw_graph()


def test_the_picture_draws_each_type_once_and_few_enough_to_be_read() -> None:
    drawn = boxes(draw_graph())
    assert len(drawn) == len(set(drawn))
    assert set(drawn) <= core_schema.type_map.keys()
    assert len(drawn) <= MOST_BOXES, "too many boxes to be read: leave out what only carries something"
