"""A declaration that cannot hold is refused when the schema is put together, in one sentence that names the field."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import GraphQLSchema
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text

from app.core.ids import PublicIdTag
from app.graph.reads.arguments import OperationContext
from app.graph.reads.executor import READS, ReadExecutor
from app.graph.reads.fields import (
    Reference,
    column,
    edge,
    global_id,
    refer,
    reference,
    shows,
    shows_kind,
)

METADATA = MetaData()
PLANTS = Table(
    "plants",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("nickname", Text),
    Column("pot_id", ForeignKey("pots.id")),
)
POTS = Table("pots", METADATA, Column("id", Integer, primary_key=True), Column("colour", Text, nullable=False))
TREES = Table(
    "trees",
    METADATA,
    Column("plant_id", ForeignKey("plants.id"), primary_key=True),
    Column("height", Integer, nullable=False),
)
WEEDS = Table("weeds", METADATA, Column("name", Text, nullable=False))


class PlantKind(Enum):
    """What grows."""

    TREE = "tree"


def prepared(query: type, *types: type) -> GraphQLSchema:
    """A schema of these types with its declarations understood."""
    schema = strawberry.Schema(query=query, types=types, execution_context_class=ReadExecutor)
    core_schema: GraphQLSchema = schema._schema
    ReadExecutor.prepare(core_schema)
    return core_schema


def showing(shown: Any) -> type:
    """A query with one list of what is shown."""

    @strawberry.type
    class Query:
        @strawberry.field
        def listed(self) -> list[shown]:
            return []

    return Query


def what_holds() -> GraphQLSchema:
    """Declarations that are as they should be, so that a refusal is one of the fault and nothing else."""

    @strawberry.type
    @shows(POTS)
    class Pot:
        colour: str = column(POTS.c.colour, "Its colour.")

    @strawberry.interface
    @shows(PLANTS, PublicIdTag.ITEM, kind=PLANTS.c.kind)
    class Plant:
        id: strawberry.ID = global_id("Its id.")
        name: str = column(PLANTS.c.name, "Its name.")
        nickname: str | None = column(PLANTS.c.nickname, "Another.")
        pot: Pot | None = edge("Where it stands.", on=PLANTS.c.pot_id, to=POTS.c.id)

    @strawberry.type
    @shows_kind(PlantKind.TREE, details=TREES.c.plant_id)
    class Tree(Plant):
        height: int | None = column(TREES.c.height, "How high it is.")

    return prepared(showing(Plant), Tree)


def a_non_null_field_over_a_nullable_column() -> GraphQLSchema:
    """The table may have no nickname."""

    @strawberry.type
    @shows(PLANTS, PublicIdTag.ITEM)
    class Plant:
        nickname: str = column(PLANTS.c.nickname, "Another name.")

    return prepared(showing(Plant))


def a_non_null_column_of_details() -> GraphQLSchema:
    """The row of the details may be missing."""

    @strawberry.interface
    @shows(PLANTS, PublicIdTag.ITEM, kind=PLANTS.c.kind)
    class Plant:
        name: str = column(PLANTS.c.name, "Its name.")

    @strawberry.type
    @shows_kind(PlantKind.TREE, details=TREES.c.plant_id)
    class Tree(Plant):
        height: int = column(TREES.c.height, "How high it is.")

    return prepared(showing(Plant), Tree)


def an_id_without_a_key() -> GraphQLSchema:
    """The rows of the table cannot be told apart."""

    @strawberry.type
    @shows(WEEDS)
    class Weed:
        id: strawberry.ID = global_id("Its id.")

    return prepared(showing(Weed))


def an_id_without_a_tag() -> GraphQLSchema:
    """The ids would be those of nothing."""

    @strawberry.type
    @shows(PLANTS, key=PLANTS.c.id)
    class Plant:
        id: strawberry.ID = global_id("Its id.")

    return prepared(showing(Plant))


def a_reference_to_a_type_without_a_key() -> GraphQLSchema:
    """Nothing says which row is meant."""

    @strawberry.type
    @shows(WEEDS)
    class Weed:
        name: str = column(WEEDS.c.name, "Its name.")

    @strawberry.type
    class Query:
        @reference("A weed.", [], type=Weed | None)
        @staticmethod
        def weed(_: OperationContext) -> Reference:
            return refer(Weed, 1)

    return prepared(Query)


def an_edge_to_a_type_that_shows_no_rows() -> GraphQLSchema:
    """What the edge leads to is not declared over any table."""

    @strawberry.type
    class Pot:
        colour: str

    @strawberry.type
    @shows(PLANTS, PublicIdTag.ITEM)
    class Plant:
        pot: Pot | None = edge("Where it stands.", on=PLANTS.c.pot_id, to=POTS.c.id)

    return prepared(showing(Plant))


def a_column_that_is_an_object() -> GraphQLSchema:
    """A column holds a leaf."""

    @strawberry.type
    @shows(POTS)
    class Pot:
        colour: str = column(POTS.c.colour, "Its colour.")

    @strawberry.type
    @shows(PLANTS, PublicIdTag.ITEM)
    class Plant:
        pot: Pot | None = column(PLANTS.c.pot_id, "Where it stands.")

    return prepared(showing(Plant))


REFUSED: dict[Callable[[], GraphQLSchema], str] = {
    a_non_null_field_over_a_nullable_column: "Plant.nickname is non-null, and may be null in the table.",
    a_non_null_column_of_details: "Tree.height must be nullable: its details may be missing.",
    an_id_without_a_key: "Weed is declared without a key, so nothing can refer to it.",
    an_id_without_a_tag: "Plant is declared without a tag, so it has no public ids.",
    a_reference_to_a_type_without_a_key: "Weed is declared without a key, so nothing can refer to it.",
    an_edge_to_a_type_that_shows_no_rows: "pot leads to nothing that is declared.",
    a_column_that_is_an_object: "Pot is no leaf; declare an edge.",
}


@pytest.mark.parametrize("put_together", REFUSED)
def test_a_wrong_declaration_is_refused(put_together: Callable[[], GraphQLSchema]) -> None:
    with pytest.raises(TypeError) as refused:
        put_together()
    assert str(refused.value) == REFUSED[put_together]


def test_a_right_declaration_is_understood() -> None:
    types = what_holds().extensions[READS].layouts.types
    assert {name: sorted(shown.fields) for name, shown in types.items()} == {
        "Pot": ["colour"],
        "Plant": ["id", "name", "nickname", "pot"],
        "Tree": ["height", "id", "name", "nickname", "pot"],
    }
