"""The declarations as the schema has them: which type shows which rows, and where in a row each value stands."""

from collections.abc import Sequence
from typing import Any

from asyncpg import Record
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    get_named_type,
)
from graphql.type import GraphQLNonNull
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause, ColumnElement
from sqlalchemy.sql.selectable import Alias, TableValuedAlias

from app.core.ids import PublicIdTag
from app.graph.access import BY_VIEWER
from app.graph.reads.fields import (
    DECLARATION,
    Column,
    Declaration,
    Edge,
    Embedded,
    GlobalId,
    KeyedRows,
    Kind,
    PagedEdge,
    Referring,
    Relation,
)
from app.graph.reads.tables import Expression, expression_of, name_of, substituted, tables_below, tables_in
from app.graph.reads.wire import Leaf, leaf_of

# Before the values of a row stands the key that an edge led by.
FIRST_VALUE = 1


class Row(Record):
    """A row as the driver gives it; each relation has a class of its own, which tells what it is a row of."""

    layout: "Layout"


class Layout:
    """The values that a plain read takes of each row of a relation, in their order."""

    def __init__(self, relation: Relation) -> None:
        self.relation = relation
        # The types that show these rows: one, or by the value of the relation's kind.
        self.shown: Shown
        self.kinds: dict[str, Shown] = {}
        self.expressions: list[ColumnElement[Any]] = []
        self._places: dict[object, int] = {}
        self._is_complete = False
        self.row_class: type[Row] = type("Row", (Row,), {"layout": self})

    def place_of(self, expression: ColumnElement[Any]) -> int:
        """Where in a row the expression's value stands."""
        key: object = id(expression)
        if isinstance(expression, ColumnClause) and expression.table is not None:
            key = (name_of(expression.table), expression.key)
        if key not in self._places:
            if self._is_complete:
                raise TypeError(f"{expression} is not declared by any field of {name_of(self.relation.table)}.")
            self._places[key] = FIRST_VALUE + len(self.expressions)
            self.expressions.append(expression)
        return self._places[key]

    def complete(self) -> None:
        """From here on statements are written: nothing can be added."""
        self._is_complete = True

    def shown_for(self, row: Row) -> "Shown":
        """The type that shows this row."""
        if self.relation.kind is None:
            return self.shown
        return self.kinds[row[self.place_of(self.relation.kind)]]


def value_of(row: Row, column: Expression) -> Any:
    """The value of a column that the row's type declares, for a resolver that computes from it."""
    return row[row.layout.place_of(expression_of(column))]


class Shown:
    """An object type or an interface of the graph over a relation."""

    def __init__(self, graphql_type: GraphQLNamedType, relation: Relation, kind: Kind | None, layout: Layout) -> None:
        self.name = graphql_type.name
        self.graphql_type = graphql_type
        self.relation = relation
        self.kind = kind
        self.layout = layout
        self.fields: dict[str, Field] = {}
        # Of a type with details of its own: what a plain read takes of their table.
        self.details: Layout | None = None

    @property
    def key(self) -> ColumnElement[Any]:
        """The column that tells its rows apart."""
        if self.relation.key is None:
            raise TypeError(f"{self.name} is declared without a key, so nothing can refer to it.")
        return self.relation.key

    def require_key(self) -> None:
        """Refuse a type that nothing can refer to."""
        _ = self.key

    @property
    def tag(self) -> PublicIdTag:
        """The tag of its public ids."""
        if self.relation.tag is None:
            raise TypeError(f"{self.name} is declared without a tag, so it has no public ids.")
        return self.relation.tag

    @property
    def key_place(self) -> int:
        """Where in a row its key stands."""
        return self.layout.place_of(self.key)

    @property
    def object_type(self) -> GraphQLObjectType:
        """The type in the schema, of one that is no interface."""
        if not isinstance(self.graphql_type, GraphQLObjectType):
            raise TypeError(f"{self.name} is an interface.")
        return self.graphql_type

    @property
    def is_interface(self) -> bool:
        """Whether it stands for several types."""
        return isinstance(self.graphql_type, GraphQLInterfaceType)

    @property
    def possible(self) -> "Sequence[Shown]":
        """The object types that may show its rows."""
        return list(self.layout.kinds.values()) if self.is_interface else [self]


class Field:
    """A declared field of a type."""

    def __init__(self, owner: Shown | None, name: str, field: GraphQLField, declaration: Declaration) -> None:
        self.owner = owner
        self.name = name
        self.graphql_field = field
        self.declaration = declaration
        self.is_nullable = not isinstance(field.type, GraphQLNonNull)
        self._target: Shown | None = None
        self._leaf: Leaf | None = None
        # Where the value stands in a row; of an edge, where the key stands that it leads by.
        self.place = 0
        self.in_details = False
        # Of an embedded object: the places of its own row's values in this row, and of the condition.
        self.places: Sequence[int] = ()
        self.when_place: int | None = None

    @property
    def is_leaf(self) -> bool:
        """Whether it is a column or an id, and not something with fields of its own."""
        return self._leaf is not None

    @property
    def leaf(self) -> Leaf:
        """How its values are written."""
        if self._leaf is None:
            raise TypeError(f"{self.name} has fields of its own.")
        return self._leaf

    @leaf.setter
    def leaf(self, leaf: Leaf) -> None:
        self._leaf = leaf

    def require_target(self) -> None:
        """Refuse a field that leads to nothing that is declared."""
        _ = self.target

    @property
    def has_target(self) -> bool:
        """Whether it leads to rows of one relation."""
        return self._target is not None

    @property
    def target(self) -> Shown:
        """The declared type that it leads to."""
        if self._target is None:
            raise TypeError(f"{self.name} leads to nothing that is declared.")
        return self._target

    @target.setter
    def target(self, target: Shown | None) -> None:
        self._target = target

    @property
    def is_never_null(self) -> bool:
        """Whether the table, or every edge that leads here, makes sure that there is a value."""
        if not isinstance(self.declaration, Column):
            return True
        expression = self.declaration.expression
        is_column = isinstance(expression, ColumnClause) and not getattr(expression, "nullable", True)
        return self.declaration.is_present or is_column

    @property
    def tag(self) -> PublicIdTag:
        """Of a public id: its tag."""
        if self.owner is None:
            raise TypeError(f"{self.name} belongs to no declared type.")
        return self.owner.tag


class Layouts:
    """Every declared type and field of a schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.types: dict[str, Shown] = {}
        self.fields: dict[tuple[str, str], Field] = {}
        self._layouts: dict[int, Layout] = {}
        self._origins: dict[type, Shown] = {}
        self._find_types()
        self._find_fields()
        self._place_embedded()

    def tables_of(self, type_name: str) -> set[str]:
        """The names of the tables whose rows a declared type shows, or is computed from."""
        shown = self.types[type_name]
        read: list[Any] = [shown.relation.table, *shown.layout.expressions]
        read += [part for join in shown.relation.joins for part in (join.table, join.on)]
        if shown.kind is not None:
            read.append(shown.kind.details)
        return tables_below(read)

    def of_class(self, shown: type) -> Shown:
        """The declared type of a class."""
        return self._origins[shown]

    def _find_types(self) -> None:
        for name, graphql_type in self.schema.type_map.items():
            origin = _origin(graphql_type)
            relation = getattr(origin, "__trove_relation__", None)
            if relation is None or origin is None:
                continue
            layout = self._layouts.setdefault(id(relation), Layout(relation))
            for carried in relation.carried:
                layout.place_of(carried)
            kind = getattr(origin, "__trove_kind__", None)
            self.types[name] = self._origins[origin] = Shown(graphql_type, relation, kind, layout)
            if kind is None:
                layout.shown = self.types[name]
            else:
                layout.kinds[kind.value] = self.types[name]

    def _find_fields(self) -> None:
        for graphql_type in self.schema.type_map.values():
            if not isinstance(graphql_type, GraphQLObjectType | GraphQLInterfaceType):
                continue
            for name, graphql_field in graphql_type.fields.items():
                declaration = _declaration(graphql_field)
                if declaration is not None:
                    self._add(graphql_type, name, graphql_field, declaration)

    def _add(self, owner: GraphQLNamedType, name: str, graphql_field: GraphQLField, declaration: Declaration) -> None:
        shown = self.types.get(owner.name)
        field = Field(shown, name, graphql_field, declaration)
        self.fields[owner.name, name] = field
        field.target = self.types.get(_row_type(graphql_field.type).name)
        if field.has_target and field.target.relation.listed is not None and _lists(declaration):
            graphql_field.extensions[BY_VIEWER] = True
        if isinstance(declaration, Referring) and field.has_target:
            field.target.require_key()
        if isinstance(declaration, Edge | PagedEdge | KeyedRows | Embedded):
            field.require_target()
        if isinstance(declaration, PagedEdge):
            orders = declaration.paging.orders
            for column in (*orders.columns.values(), orders.tie):
                field.target.layout.place_of(expression_of(column))
        if shown is not None:
            shown.fields[name] = field
            self._place(shown, field)

    def _place(self, shown: Shown, field: Field) -> None:
        declaration = field.declaration
        if isinstance(declaration, Column):
            self._place_column(shown, field, declaration)
        elif isinstance(declaration, GlobalId):
            field.place = shown.key_place
            field.leaf = leaf_of(field.graphql_field.type)
        elif isinstance(declaration, Edge | PagedEdge | KeyedRows) and declaration.on is not None:
            field.place = shown.layout.place_of(declaration.on)
        if shown.relation.kind is not None:
            shown.layout.place_of(shown.relation.kind)

    def _place_column(self, shown: Shown, field: Field, column: Column) -> None:
        field.leaf = leaf_of(field.graphql_field.type)
        _require_known_tables(shown, field, column.expression)
        if shown.kind is not None and name_of(shown.kind.details.table) in tables_in(column.expression):
            if not field.is_nullable:
                raise TypeError(f"{shown.name}.{field.name} must be nullable: its details may be missing.")
            if shown.details is None:
                shown.details = Layout(Relation(shown.kind.details.table, shown.kind.details, None, None, (), False))
            field.in_details = True
            field.place = shown.details.place_of(column.expression)
            return
        if isinstance(column.expression, ColumnClause) and not shown.relation.is_collected:
            stored_null = getattr(column.expression, "nullable", False)
            if stored_null and not field.is_nullable and not column.is_present:
                raise TypeError(f"{shown.name}.{field.name} is non-null, and may be null in the table.")
        field.place = shown.layout.place_of(column.expression)

    def _place_embedded(self) -> None:
        for field in self.fields.values():
            declaration = field.declaration
            if isinstance(declaration, Embedded) and field.owner is not None:
                self._place_embedded_in(field.owner.layout, field, declaration)

    def _place_embedded_in(self, layout: Layout, field: Field, declaration: Embedded) -> None:
        if field.places:
            # Two types may embed one that embeds another: its values keep the places that they have.
            return
        # What is embedded in the embedded object first: its values are among those that have to be placed.
        for inner in field.target.fields.values():
            if isinstance(inner.declaration, Embedded):
                self._place_embedded_in(field.target.layout, inner, inner.declaration)
        instead = [*field.target.relation.instead, *declaration.instead]
        field.places = [
            layout.place_of(substituted(expression, instead)) for expression in field.target.layout.expressions
        ]
        field.when_place = None if declaration.when is None else layout.place_of(declaration.when)


def _lists(declaration: Declaration) -> bool:
    """Whether a field finds or lists rows, and does not only follow what is shown already."""
    return isinstance(declaration, PagedEdge | Referring) or (isinstance(declaration, Edge) and declaration.is_list)


def _made_within(expression: ColumnElement[Any]) -> set[str]:
    """The names of what the expression itself reads: the rows of an array, and aliases in selects of its own."""
    return {
        name_of(element) for element in visitors.iterate(expression) if isinstance(element, Alias | TableValuedAlias)
    }


def _require_known_tables(shown: Shown, field: Field, expression: ColumnElement[Any]) -> None:
    known = {name_of(shown.relation.table), *(name_of(join.table) for join in shown.relation.joins)}
    if shown.kind is not None:
        known.add(name_of(shown.kind.details.table))
    known |= {name for column, _ in shown.relation.instead for name in tables_in(column)}
    foreign = tables_in(expression) - known - _made_within(expression)
    if foreign:
        raise TypeError(f"{shown.name}.{field.name} reads {', '.join(sorted(foreign))}, which is not joined.")


def _origin(graphql_type: GraphQLNamedType) -> type | None:
    definition = graphql_type.extensions.get("strawberry-definition")
    return getattr(definition, "origin", None)


def _declaration(field: GraphQLField) -> Declaration | None:
    definition = field.extensions.get("strawberry-definition")
    declaration = getattr(definition, "metadata", {}).get(DECLARATION)
    return declaration if isinstance(declaration, Declaration) else None


def _row_type(output: GraphQLOutputType) -> GraphQLNamedType:
    """The type of the rows behind a field: of a connection, that of its nodes."""
    named: GraphQLNamedType = get_named_type(output)
    if isinstance(named, GraphQLObjectType) and named.name.endswith("Connection"):
        named = get_named_type(named.fields["nodes"].type)
    return named
