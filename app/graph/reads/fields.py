"""The words in which a type is declared: each gives a field of the graph and says where its value stands."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from app.core.errors import Refusal
from app.core.ids import PublicIdTag
from app.graph.access import ACCESS, CHECKS_ITSELF
from app.graph.reads.arguments import (
    PAGE_ARGUMENTS,
    Argument,
    Bound,
    Filter,
    Narrowings,
    OperationContext,
    Orders,
    Paging,
    graphql_argument,
    storable,
)
from app.graph.reads.tables import Expression, Instead, Join, Source, expression_of, table_of
from app.identity.access import Access

DECLARATION = "trove-declaration"
Shown = TypeVar("Shown", bound=type)


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """Where the rows of a type come from; `kind` is the column that tells the types of an interface apart.

    `listed` holds of the rows that this viewer finds and lists; what something else shows leads to the others too.
    """

    table: FromClause
    key: ColumnElement[Any] | None
    tag: PublicIdTag | None
    kind: ColumnElement[Any] | None
    joins: Sequence[Join]
    is_collected: bool
    listed: ColumnElement[bool] | None = None
    # Beside what the fields show: what resolvers of the type look at.
    carried: Sequence[ColumnElement[Any]] = ()
    # What stands in place of columns that no table has, unless something else is put there.
    instead: Instead = ()
    # By the columns that references name rows by: where to look for a value that no row has any more.
    moved: Sequence[tuple[ColumnElement[Any], FromClause]] = ()

    def moved_by(self, column: ColumnElement[Any]) -> FromClause | None:
        """The select of old and new values of a column that rows are referred to by."""
        return next((values for known, values in self.moved if known.compare(column)), None)


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One type of an interface: the value of the relation's `kind`, and the table with the type's own columns."""

    value: str
    details: ColumnElement[Any]


def shows(
    source: Source,
    tag: PublicIdTag | None = None,
    *,
    key: Expression | None = None,
    kind: Expression | None = None,
    joins: Sequence[Join] = (),
    collected: bool = False,
    listed: Expression | None = None,
    carries: Sequence[Expression] = (),
    instead: Mapping[Any, Expression] | None = None,
    moved: Mapping[Any, FromClause] | None = None,
) -> Callable[[Shown], Shown]:
    """Show the rows of a table or a select as this type.

    `tag` makes their public ids, with the primary key or the column given as `key`. With `collected` one object shows
    all rows that an edge leads to, and each of its columns is the list of their values. `listed` is a condition that
    may depend on the viewer: rows where it does not hold are in no list and not found by an id; an edge to one row
    leads to them all the same. Rows also hold what the type `carries`, for resolvers of its own. `instead` stands in
    place of columns that are no table's, unless an argument or who embeds the type puts something else there.

    `moved` gives, for columns that references name rows by, selects of `old` and `new` values: what is not found by the
    one is then looked for by the other. It costs nothing where a row is found.
    """
    table = table_of(source)
    primary = list(table.primary_key) if tag or key is not None else []
    relation = Relation(
        table,
        expression_of(key) if key is not None else (primary[0] if primary else None),
        tag,
        None if kind is None else expression_of(kind),
        joins,
        collected,
        listed=None if listed is None else expression_of(listed),
        carried=[expression_of(expression) for expression in carries],
        instead=_replacements(instead),
        moved=[(expression_of(column), values) for column, values in (moved or {}).items()],
    )

    def declare(shown: Shown) -> Shown:
        shown.__trove_relation__ = relation  # type: ignore[attr-defined]  # read when the schema is put together
        return shown

    return declare


def shows_kind(value: Enum, *, details: Expression) -> Callable[[Shown], Shown]:
    """Show as this type those rows of the interface whose kind has the value; `details` is the key of its table."""

    def declare(shown: Shown) -> Shown:
        shown.__trove_kind__ = Kind(str(value.value), expression_of(details))  # type: ignore[attr-defined]  # as above
        return shown

    return declare


class Declaration:
    """What a field of a declared type is read from."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class GlobalId(Declaration):
    """The public id: the relation's tag and key."""


@dataclass(frozen=True, slots=True, eq=False)
class Column(Declaration):
    """A leaf: a column or an expression over the columns of the relation."""

    expression: ColumnElement[Any]
    is_present: bool


@dataclass(frozen=True, slots=True, eq=False)
class Embedded(Declaration):
    """An object that stands in the same row; none where `when` does not hold."""

    when: ColumnElement[bool] | None
    instead: Instead


@dataclass(frozen=True, slots=True)
class Computed:
    """An argument with which the row behind an edge is computed instead of read.

    `compute` gets the context, the keys of all parents and the arguments that are given, and gives the columns of a row
    of the type's table for each key that leads to one.
    """

    argument: str
    annotation: Any
    compute: "Callable[[Any, Sequence[Any], Values], Awaitable[Sequence[Values]]]"


@dataclass(frozen=True, slots=True)
class ComputedShape:
    """The names of the arguments of rows that are computed."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Edge(Declaration):
    """The rows whose `to` equals this row's `on`: a list in an order, or the first of it."""

    on: ColumnElement[Any]
    to: ColumnElement[Any]
    joins: Sequence[Join]
    where: ColumnElement[bool] | None
    order: Sequence[ColumnElement[Any]]
    is_list: bool
    narrowings: Narrowings
    computed: Computed | None = None
    access: Access | None = None

    def check_access(self, context: OperationContext) -> None:
        """Refuse a viewer who sees the row and may not follow it."""
        if self.access is not None:
            self.access.check(context.viewer, context.now)

    def bind_arguments(self, arguments: Mapping[str, Any]) -> Bound:
        """Check the arguments, which come to the same for everybody."""
        if self.computed is not None and arguments.get(self.computed.argument) is not None:
            given = {name: value for name, value in arguments.items() if value is not None}
            return Bound(ComputedShape(tuple(given)), tuple(given.values()))
        return Bound(*self.narrowings.bind(arguments)) if self.narrowings.all else UNNARROWED

    def bind(self, arguments: Mapping[str, Any], context: OperationContext) -> Bound:
        """Check who asks, and the arguments of one request."""
        self.check_access(context)
        return self.bind_arguments(arguments)


UNNARROWED = Bound(())


@dataclass(frozen=True, slots=True, eq=False)
class PagedEdge(Declaration):
    """The same page by page; without `on` a list of the whole table."""

    on: ColumnElement[Any] | None
    to: ColumnElement[Any] | None
    joins: Sequence[Join]
    narrowings: Narrowings
    paging: Paging
    check: Callable[[Mapping[str, Any]], None] | None
    access: Access | None = None

    def check_access(self, context: OperationContext) -> None:
        """Refuse a viewer who may not ask."""
        if self.access is not None:
            self.access.check(context.viewer, context.now)

    def bind(self, arguments: Mapping[str, Any], context: OperationContext) -> Bound:
        """Check who asks, and the arguments of one request."""
        self.check_access(context)
        return self.bind_arguments(arguments)

    def bind_arguments(self, arguments: Mapping[str, Any]) -> Bound:
        """Check the arguments, which come to the same for everybody."""
        if self.check is not None:
            self.check(arguments)
        return self.paging.bind(arguments, self.narrowings.bind(arguments))


Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RefusedRows:
    """Rows that may not be shown, nor any that were read with them, and what is said instead."""

    where: ColumnElement[bool]
    refusal: Callable[[], Refusal]


@dataclass(frozen=True, slots=True, eq=False)
class KeyedRows(Declaration):
    """Rows of a select of its own that takes the keys of all parents at once, by a parameter; it cannot be inlined.

    Without `is_list` there is one row for each key, unless its type is collected.
    """

    on: ColumnElement[Any]
    to: ColumnElement[Any]
    keys: str
    order: Sequence[ColumnElement[Any]]
    is_list: bool
    values: Callable[[Mapping[str, Any], OperationContext], Values]
    refused: RefusedRows | None = None

    def bind(self, arguments: Mapping[str, Any], context: OperationContext) -> Bound:
        """Check the arguments of one request."""
        values = self.values(arguments, context)
        return Bound(tuple(values), tuple(_hashable(value) for value in values.values()))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Reference:
    """Something of a declared type, by its key or by another unique column.

    In a stream `version` tells one state of it from another: who follows the same shares the answers of each, and the
    same answer is not sent twice in a row.
    """

    type: type
    key: Any
    by: ColumnElement[Any] | None = None
    version: Hashable = None


@dataclass(frozen=True, slots=True, eq=False)
class Referring(Declaration):
    """A field whose arguments say what it refers to, before anything is read."""

    refer: Callable[..., Any]
    access: Access | None = None

    def bind(self, arguments: Mapping[str, Any], context: OperationContext) -> Any:
        """What is referred to: one, a list of some, or none; nothing for those who may not ask."""
        if self.access is not None:
            self.access.check(context.viewer, context.now)
        return self.refer(context, **arguments)


def refer(type_: type, key: Any, *, by: Expression | None = None, version: Hashable = None) -> Reference:
    """Refer to the row of a declared type with this key, or with this value in the unique column `by`."""
    return Reference(type_, storable(key), None if by is None else expression_of(by), version)


def _field(
    description: str, declaration: Declaration, arguments: Sequence[StrawberryArgument] = (), name: str | None = None
) -> Any:
    metadata: dict[Any, Any] = {DECLARATION: declaration}
    access = getattr(declaration, "access", None)
    if access is not None:
        metadata |= {ACCESS: access, CHECKS_ITSELF: True}
    field = StrawberryField(graphql_name=name, description=description, metadata=metadata)
    field.arguments = list(arguments)
    return field


def global_id(description: str) -> Any:
    """The public id of a node."""
    return _field(description, GlobalId())


def column(expression: Expression, description: str, *, name: str | None = None, present: bool = False) -> Any:
    """A column of the table, or an expression over its columns and those of what is joined.

    `present` says of a column that may be null that all edges to this type leave out the rows where it is.
    """
    return _field(description, Column(expression_of(expression), present), name=name)


def _replacements(instead: Mapping[Any, Expression] | None) -> Instead:
    return [(expression_of(old), expression_of(new)) for old, new in (instead or {}).items()]


def embedded(
    description: str, *, when: Expression | None = None, instead: Mapping[Any, Expression] | None = None
) -> Any:
    """An object whose columns stand in this row; null where `when` does not hold.

    `instead` gives expressions of this row in place of columns that the object's type is declared over.
    """
    return _field(description, Embedded(None if when is None else expression_of(when), _replacements(instead)))


def edge(
    description: str,
    *,
    on: Expression,
    to: Expression,
    joins: Sequence[Join] = (),
    where: Expression | None = None,
    order: Sequence[Expression] = (),
    arguments: Sequence[Argument] = (),
    computed: Computed | None = None,
    access: Access | None = None,
) -> Any:
    """To one: the row whose `to` equals this row's `on`; where there are several, the first by `order`.

    With the argument of `computed` the row is not read but computed, which has no SQL of its own. `access` is for what
    takes another scope than the row itself.
    """
    return _edge(description, on, to, joins, where, order, arguments, computed, access, is_list=False)


def edges(
    description: str,
    *,
    on: Expression,
    to: Expression,
    order: Sequence[Expression],
    joins: Sequence[Join] = (),
    where: Expression | None = None,
    arguments: Sequence[Argument] = (),
    access: Access | None = None,
) -> Any:
    """To all rows whose `to` equals this row's `on`, in a total order; for lists that are short by nature.

    `access` is for what takes another scope than the row itself.
    """
    return _edge(description, on, to, joins, where, order, arguments, None, access, is_list=True)


def _edge(
    description: str,
    on: Expression,
    to: Expression,
    joins: Sequence[Join],
    where: Expression | None,
    order: Sequence[Expression],
    arguments: Sequence[Argument],
    computed: Computed | None,
    access: Access | None,
    *,
    is_list: bool,
) -> Any:
    declared = Edge(
        expression_of(on),
        expression_of(to),
        joins,
        None if where is None else expression_of(where),
        [expression_of(expression) for expression in order],
        is_list,
        Narrowings(arguments),
        computed,
        access,
    )
    shown = [graphql_argument(argument.name, argument.annotation, argument.description) for argument in arguments]
    if computed is not None:
        shown.insert(0, graphql_argument(computed.argument, computed.annotation))
    return _field(description, declared, shown)


def connection(
    description: str,
    *,
    orders: Orders,
    on: Expression | None = None,
    to: Expression | None = None,
    joins: Sequence[Join] = (),
    arguments: Sequence[Argument] = (),
    filter: Any = None,
    check: Callable[[Mapping[str, Any]], None] | None = None,
    access: Access | None = None,
) -> Any:
    """A list that can grow, page by page: the rows whose `to` equals this row's `on`, or the whole table.

    `joins` are tables that decide which rows there are, such as the one that links the two; each has one row at most
    for a row of the list and a parent.
    """
    declared = PagedEdge(
        None if on is None else expression_of(on),
        None if to is None else expression_of(to),
        joins,
        Narrowings(arguments, None if filter is None else Filter.of(filter)),
        Paging(orders),
        check,
        access,
    )
    shown = [
        graphql_argument(argument.name, argument.annotation, argument.description, default=argument.narrowing.default)
        for argument in arguments
    ]
    if filter is not None:
        shown.insert(0, graphql_argument("filter", filter | None))
    if orders.input_type is not None:
        default = next(iter(orders.columns)).name
        described = f"One order; default: {default} ascending."
        shown.append(graphql_argument("orderBy", _optional_list(orders.input_type), described))
    return _field(description, declared, [*shown, *PAGE_ARGUMENTS])


def _optional_list(item: Any) -> Any:
    return list.__class_getitem__(item) | None


def keyed_rows(
    description: str,
    *,
    on: Expression,
    to: Expression,
    keys: str,
    order: Sequence[Expression],
    arguments: Sequence[StrawberryArgument],
    values: Callable[[Mapping[str, Any], OperationContext], Values],
    is_list: bool = True,
    refused: RefusedRows | None = None,
) -> Any:
    """Rows of a select with parameters: `keys` names the one for the parents' keys, `values` gives the others.

    For what is read flat over many parents, such as series over time, and never inside of another statement. Without
    `is_list` it is one object: of a collected type with the values of all rows, of any other the one row there is.
    One row that is `refused` refuses all that were read for all parents.
    """
    declared = KeyedRows(
        expression_of(on), expression_of(to), keys, [expression_of(by) for by in order], is_list, values, refused
    )
    return _field(description, declared, arguments)


def reference(
    description: str, arguments: Sequence[StrawberryArgument], *, type: Any, access: Access | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """A field whose static method gets the operation's context and the arguments, and gives what it refers to.

    The method reads nothing: it checks its arguments, and returns `refer(…)`, a list of such and None, or None.
    """

    def declare(method: Callable[..., Any]) -> Any:
        function = method.__func__ if isinstance(method, staticmethod) else method
        field = _field(description, Referring(function, access), arguments)
        field.type_annotation = StrawberryAnnotation(type)
        return field

    return declare
