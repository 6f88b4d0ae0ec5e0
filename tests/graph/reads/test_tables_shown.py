"""Which tables a type shows is looked for in every part of its declaration, at a price that its size sets."""

from typing import Any

import pytest
import strawberry
from graphql import GraphQLSchema
from sqlalchemy import Column, Integer, MetaData, Table, Text, case, select
from sqlalchemy.sql.elements import ColumnElement

from app.graph.reads.executor import ReadExecutor, tables_shown
from app.graph.reads.fields import column, shows

METADATA = MetaData()
STONES = Table("stones", METADATA, Column("id", Integer, primary_key=True), Column("weight", Integer, nullable=False))
SCALES = Table("scales", METADATA, Column("id", Integer, primary_key=True), Column("error", Integer, nullable=False))
SHOPS = Table("shops", METADATA, Column("id", Integer, primary_key=True), Column("name", Text, nullable=False))

LEVELS = 10


def heavier(weight: ColumnElement[int]) -> ColumnElement[int]:
    """An expression in which another one stands twice."""
    return case((weight > 0, weight), else_=0)


def stones(expression: ColumnElement[Any]) -> GraphQLSchema:
    """A schema with one type, whose weight is this expression."""

    @strawberry.type
    @shows(STONES, key=STONES.c.id)
    class Stone:
        weight: int = column(expression, "How heavy it is.", present=True)

    @strawberry.type
    class Query:
        @strawberry.field
        def listed(self) -> list[Stone]:
            return []

    schema: GraphQLSchema = strawberry.Schema(query=Query, execution_context_class=ReadExecutor)._schema
    ReadExecutor.prepare(schema)
    return schema


def test_a_part_that_stands_in_many_places_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weight: ColumnElement[int] = STONES.c.weight
    for _ in range(LEVELS):
        weight = heavier(weight)
    schema = stones(weight)
    looked_at: list[Column[Any]] = []
    children_of: Any = Column.get_children  # SQLAlchemy leaves it untyped

    def counted(column: Column[Any], **options: Any) -> Any:
        looked_at.append(column)
        return children_of(column, **options)

    monkeypatch.setattr(Column, "get_children", counted)
    assert tables_shown(schema) == {"Stone": {"stones"}}
    assert sum(column is STONES.c.weight for column in looked_at) == 1


def test_a_table_behind_a_shared_part_is_found() -> None:
    scales, shops = SCALES.alias(), SHOPS.alias()
    error = select(scales.c.error).where(scales.c.id == select(shops.c.id).scalar_subquery()).scalar_subquery()
    schema = stones(heavier(heavier(STONES.c.weight + error)))
    assert tables_shown(schema) == {"Stone": {"stones", "scales", "shops"}}
