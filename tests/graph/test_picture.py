"""The picture of the graph: what it shows, what it leaves out, and that it stays small enough to be read."""

import re

import pytest
from graphql import build_schema

from app.graph.picture import PICTURES, draw_graph
from app.graph.schema import core_schema

MOST_BOXES = 40


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


def test_the_pictures_show_how_to_walk_from_an_item_to_its_prices() -> None:
    picture = "\n".join(draw_graph(rooms=PICTURES[name]) for name in ("graph", "prices"))
    for arrow in (
        'Query -->|"items*, item, search*"| Item',
        'Item -->|"variants*, defaultVariant"| ItemVariant',
        'ItemVariant -->|"series*"| PriceSeries',
        'PriceSeries -->|"points*"| PricePoint',
        "Skin -. is .-> Item",
    ):
        assert f"  {arrow}" in picture.splitlines()
    assert "Account" not in boxes(picture)


def test_the_picture_of_accounts_shows_what_hangs_below_the_viewer() -> None:
    picture = draw_graph(rooms=PICTURES["accounts"])
    assert 'Account -->|"sessions*"| Session' in picture
    assert 'Account -->|"apiTokens*"| ApiToken' in picture
    assert "Item" not in boxes(picture)
    assert "Subscription" not in boxes(picture), "a root that leads to none of its rooms"


def test_a_type_of_another_room_is_drawn_where_one_leads_to_it_without_what_follows() -> None:
    picture = draw_graph(rooms=["prices"])
    assert 'PriceSeries -->|"variant"| ItemVariant' in picture
    assert "ItemVariant -->" not in picture
    assert "ExternalId" not in boxes(picture)


def test_the_pictures_are_the_same_each_time() -> None:
    assert draw_graph() == draw_graph()
    assert draw_graph(rooms=["identity"]) == draw_graph(rooms=["identity"])


def test_together_the_pictures_show_every_type() -> None:
    shown = {name for rooms in PICTURES.values() for name in boxes(draw_graph(rooms=rooms))}
    assert shown == set(boxes(draw_graph()))


@pytest.mark.parametrize("name", PICTURES)
def test_each_picture_draws_each_type_once_and_few_enough_to_be_read(name: str) -> None:
    drawn = boxes(draw_graph(rooms=PICTURES[name]))
    assert len(drawn) == len(set(drawn))
    assert set(drawn) <= core_schema.type_map.keys()
    assert len(drawn) <= MOST_BOXES, "too many boxes to be read: give a room a picture of its own"
