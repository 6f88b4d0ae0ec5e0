"""The plain reads: for each declared field one statement that takes the keys of all parents and gives rows."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Integer,
    Select,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, distinct_on
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from app.core.database import Statement, statement_of
from app.graph.reads.arguments import PageShape, Parameter, beyond, parameter_named
from app.graph.reads.fields import Edge, KeyedRows, PagedEdge, Relation
from app.graph.reads.layout import Layout
from app.graph.reads.tables import Instead, Scope, substituted

KEYS = "keys"
KEY = "key"
GIVEN_ROWS = "given_rows"
ARGUMENT = "argument"
# What leads to the rows of a whole table.
ROOT_KEY = 0


def keys_parameter(key: ColumnElement[Any]) -> ColumnElement[Any]:
    """The keys of all parents, as one array."""
    return bindparam(KEYS, type_=ARRAY(key.type))


def values_of(values: Sequence[Any], prefix: str = ARGUMENT) -> dict[str, Any]:
    """The bound values of one field by the names of their parameters."""
    return {
        f"{prefix}_{place}": list(value) if isinstance(value, tuple) else value for place, value in enumerate(values)
    }


def _scope(layout: Layout) -> Scope:
    scope = Scope(layout.relation.table, layout.relation.table.alias())
    scope.require(layout.relation.joins)
    return scope


def may_be_listed(relation: Relation, scope: Scope) -> list[ColumnElement[bool]]:
    """What holds of the rows that this viewer may find and list."""
    return [] if relation.listed is None else [scope.read(relation.listed)]


def _values(layout: Layout, scope: Scope, instead: Instead = ()) -> list[ColumnElement[Any]]:
    """The values of a row, in the layout's order, under names that cannot clash."""
    replaced = [*layout.relation.instead, *instead]
    return [
        scope.read(substituted(expression, replaced)).label(f"v{place}")
        for place, expression in enumerate(layout.expressions)
    ]


def every_value(layout: Layout) -> Statement:
    """All values of all rows; written at the start to see that they can be."""
    scope = _scope(layout)
    values = _values(layout, scope)
    return statement_of(select(*values).select_from(scope.from_clause()))


def rows_by(layout: Layout, by: ColumnElement[Any]) -> Statement:
    """Rows whose column has one of the keys; the column's value comes first."""
    scope = _scope(layout)
    key = scope.read(by)
    values = _values(layout, scope)
    conditions = [key == any_(keys_parameter(key)), *may_be_listed(layout.relation, scope)]
    return statement_of(select(key.label("key"), *values).select_from(scope.from_clause()).where(*conditions))


@cache
def new_keys(moved: FromClause) -> Statement:
    """What the keys that no row has any more have become, each with the old one first."""
    old = moved.c.old
    return statement_of(select(old, moved.c.new).where(old == any_(keys_parameter(old))))


def rows_by_edge(edge: Edge, layout: Layout, shape: Sequence[bool]) -> Statement:
    """The rows of each parent in the edge's order, or the first of them."""
    scope = _scope(layout)
    scope.require(edge.joins)
    key = scope.read(edge.to)
    conditions: list[ColumnElement[bool]] = [key == any_(keys_parameter(key))]
    conditions += [] if edge.where is None else [scope.read(edge.where)]
    conditions += may_be_listed(layout.relation, scope) if edge.is_list else []
    conditions += [
        scope.read(condition) for condition in edge.narrowings.conditions(shape, parameter_named(ARGUMENT), 0)
    ]
    instead = edge.narrowings.instead(shape, parameter_named(ARGUMENT))
    order = [scope.read(expression) for expression in order_of(edge, layout.relation, instead)]
    values = _values(layout, scope, instead)
    read: Select[Any] = select(key.label("key"), *values).where(*conditions)
    read = read.select_from(scope.from_clause())
    if edge.is_list:
        return statement_of(read.order_by(*order))
    if order:
        read = read.ext(distinct_on(key)).order_by(key, *order)
    return statement_of(read)


def order_of(edge: Edge, relation: Relation, instead: Instead) -> list[ColumnElement[Any]]:
    """The order of an edge's rows, with what its arguments put in place of columns."""
    return [substituted(expression, [*relation.instead, *instead]) for expression in edge.order]


def given_rows(edge: Edge, layout: Layout) -> Statement:
    """Rows that are given as JSON, by the edge's key, with everything that the type makes of their columns."""
    table = layout.relation.table
    given = func.jsonb_to_recordset(cast(bindparam(GIVEN_ROWS, type_=Text()), JSONB))
    columns = given.table_valued(*(column(stored.name, stored.type) for stored in table.columns))
    scope = Scope(table, columns.render_derived("given", with_types=True))
    scope.require(layout.relation.joins)
    key = scope.read(edge.to)
    return statement_of(select(key.label("key"), *_values(layout, scope)).select_from(scope.from_clause()))


def page_of_rows(edge: PagedEdge, layout: Layout, shape: PageShape) -> Statement:
    """Up to one row more than the page has, in the direction of paging, of each parent or of the whole table."""
    scope = _scope(layout)
    scope.require(edge.joins)
    parameter = parameter_named(ARGUMENT)
    columns = [scope.read(column) for column in shape.order.columns]
    first_narrowing = 1 + (len(columns) if shape.has_cursor else 0)
    conditions = [
        scope.read(condition) for condition in edge.narrowings.conditions(shape.narrowed_by, parameter, first_narrowing)
    ]
    conditions += may_be_listed(layout.relation, scope)
    if shape.has_cursor:
        conditions.append(beyond(shape, columns, parameter, 1))
    is_descending = shape.order.is_descending != shape.is_backward
    values = _values(layout, scope)
    page: Select[Any] = (
        select(*values)
        .select_from(scope.from_clause())
        .where(*conditions)
        .order_by(*(column.desc() if is_descending else column.asc() for column in columns))
        .limit(limit_and_one(parameter))
    )
    if edge.to is None:
        return statement_of(page.with_only_columns(literal_column(str(ROOT_KEY)).label("key"), *page.selected_columns))
    parents = func.unnest(keys_parameter(edge.to)).table_valued("key").render_derived("parents")
    of_parent = page.where(scope.read(edge.to) == parents.c.key).lateral("page")
    return statement_of(select(parents.c.key, of_parent).select_from(parents.join(of_parent, true())))


def limit_and_one(parameter: Parameter) -> ColumnElement[Any]:
    """The limit of a page, and one more row that tells whether there are more."""
    return parameter(0, Integer()) + literal_column("1")


def count_of_rows(edge: PagedEdge, layout: Layout, narrowed_by: Sequence[bool]) -> Statement:
    """How many rows each parent, or the whole table, has."""
    scope = _scope(layout)
    scope.require(edge.joins)
    conditions = [
        scope.read(condition) for condition in edge.narrowings.conditions(narrowed_by, parameter_named(ARGUMENT), 0)
    ]
    conditions += may_be_listed(layout.relation, scope)
    if edge.to is None:
        return statement_of(
            select(literal_column(str(ROOT_KEY)).label("key"), func.count())
            .select_from(scope.from_clause())
            .where(*conditions)
        )
    key = scope.read(edge.to)
    counted = select(key.label("key"), func.count()).where(key == any_(keys_parameter(key)), *conditions)
    return statement_of(counted.select_from(scope.from_clause()).group_by(key))


def keyed_rows(rows: KeyedRows, layout: Layout) -> Statement:
    """The rows of a select that takes the keys by a parameter of its own."""
    scope = _scope(layout)
    key = scope.read(rows.to)
    order = [scope.read(expression) for expression in rows.order]
    if not layout.relation.is_collected:
        read = select(key.label("key"), *_values(layout, scope)).select_from(scope.from_clause())
        return statement_of(read.order_by(key, *order))
    collected = [
        func.array_agg(aggregate_order_by(value, *order)).label(f"v{place}")
        for place, value in enumerate(scope.read(expression) for expression in layout.expressions)
    ]
    return statement_of(select(key.label("key"), *collected).select_from(scope.from_clause()).group_by(key))
