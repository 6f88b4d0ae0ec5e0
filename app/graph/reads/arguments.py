"""Arguments of declared fields: each narrows, orders or pages by one condition, and only values leave the request.

Binding checks the arguments of one request and splits them in two: the *shape* (which arguments are given, which order,
which direction), of which there are few and which decides the SQL, and the *values*, which are bound.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

import strawberry
from sqlalchemy import ARRAY, BindParameter, DateTime, Integer, SmallInteger, Uuid, bindparam, tuple_
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument

from app.core.errors import BadUserInput
from app.core.paging import (
    CursorValue,
    decode_cursor,
    instant_in_cursor,
    key_in_cursor,
    page_request,
)
from app.graph.reads.tables import Expression, Instead, expression_of
from app.identity.viewer import Viewer

NARROWS = "trove-narrows"
INTEGER_LIMITS = {SmallInteger: 2**15 - 1, Integer: 2**31 - 1}


class OperationContext(Protocol):
    """What declarations may ask of the operation."""

    @property
    def now(self) -> datetime:
        """The operation's one idea of now."""
        ...

    def spend_candles(self, asked: int) -> None:
        """Count what is asked for against what one operation may have."""
        ...

    @property
    def viewer(self) -> Viewer:
        """Who asks."""
        ...


@dataclass(frozen=True, slots=True)
class Bound:
    """The arguments of one field in one request."""

    shape: Any = ()
    values: tuple[Any, ...] = ()
    limit: int = 0


Parameter = Callable[[int, TypeEngine[Any]], BindParameter[Any]]
Condition = Callable[[BindParameter[Any]], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """One argument, or one field of a filter: the condition that holds where it is given."""

    condition: Condition
    type: TypeEngine[Any]
    check: Callable[[Any, str], Any] | None = None
    shows_instead: "Callable[[BindParameter[Any]], Mapping[Any, Expression]] | None" = None
    # What counts where a field of a filter, or the whole filter, is left out.
    default: Any = None

    def bind(self, value: Any, path: str) -> Any:
        """The value as it is bound; refuses what the check refuses, naming the argument by its path."""
        checked = value if self.check is None else self.check(value, path)
        if isinstance(checked, list):
            return tuple(_stored(item) for item in checked)
        return _stored(checked)


def _stored(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else storable(value)


def storable(value: Any) -> Any:
    """The value, unless it is a text that PostgreSQL cannot hold; refused here, it fails nothing beside it."""
    if isinstance(value, str) and "\0" in value:
        raise BadUserInput("A text in this request holds U+0000, which PostgreSQL cannot hold.")
    return value


@dataclass(frozen=True, slots=True)
class Argument:
    """An optional argument that narrows."""

    name: str
    annotation: Any
    narrowing: Narrowing
    description: str | None = None


def equals(name: str, annotation: Any, column: Expression, description: str | None = None) -> Argument:
    """An argument that leaves the rows where the column has its value; left out or null, it narrows nothing."""
    compared = expression_of(column)
    return Argument(name, annotation, Narrowing(lambda value: compared == value, compared.type), description)


def one_of(name: str, annotation: Any, column: Expression) -> Argument:
    """An argument that leaves the rows where the column has one of its values; left out or null, it narrows nothing."""
    compared = expression_of(column)
    return Argument(name, annotation, Narrowing(lambda values: compared == values.any_(), ARRAY(compared.type)))


def holds(name: str, condition: Expression, description: str | None = None) -> Argument:
    """An argument that leaves the rows where the condition holds, or with false those where it does not."""
    compared = expression_of(condition)
    return Argument(name, bool | None, Narrowing(lambda value: value == compared, compared.type), description)


def includes(name: str, others: Expression, description: str | None = None) -> Argument:
    """An argument that lists the rows where the condition holds, too, which else are left out."""
    condition = expression_of(others)
    narrowing = Narrowing(lambda value: value | ~condition, condition.type, default=False)
    return Argument(name, bool | None, narrowing, description)


def shown_by(
    name: str,
    annotation: Any,
    type_: TypeEngine[Any],
    *,
    where: Condition,
    instead: Callable[[BindParameter[Any]], Mapping[Any, Expression]],
) -> Argument:
    """An argument by whose value rows are shown: where it is given, other expressions stand `instead` of columns.

    They do so in the order of the rows too. It leaves the rows `where` they can be shown by that value.
    """
    return Argument(name, annotation, Narrowing(where, type_, shows_instead=instead))


def at_least(name: str, annotation: Any, column: Expression) -> Argument:
    """An argument that leaves the rows where the column is not below its value."""
    compared = expression_of(column)
    return Argument(name, annotation, Narrowing(lambda value: compared >= value, compared.type))


def below(name: str, annotation: Any, column: Expression) -> Argument:
    """An argument that leaves the rows where the column is below its value."""
    compared = expression_of(column)
    return Argument(name, annotation, Narrowing(lambda value: compared < value, compared.type))


def narrow(
    description: str,
    column: Expression,
    condition: Condition,
    *,
    name: str | None = None,
    check: Callable[[Any, str], Any] | None = None,
    default: Any = None,
) -> Any:
    """A field of a filter input: where it is given, the condition must hold of the bound value.

    `column` gives the type in which a single value is bound; a list is bound as an array of it. `check(value, path)`
    gives the value to bind, or refuses it. `name` is for a word of Python's own: `from_` is shown as `from`. With a
    `default` that counts where the field, or the filter, is left out; null then narrows nothing.
    """
    narrowing = Narrowing(condition, expression_of(column).type, check, default=default)
    return strawberry.field(name=name, default=default, description=description, metadata={NARROWS: narrowing})


def narrow_to_any(description: str, column: Expression, *, check: Callable[[Any, str], Any] | None = None) -> Any:
    """A field of a filter input that holds a list: the column must have one of its values."""
    compared = expression_of(column)
    narrowing = Narrowing(lambda values: compared == values.any_(), ARRAY(compared.type), check)
    return strawberry.field(default=None, description=description, metadata={NARROWS: narrowing})


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter input whose fields each narrow."""

    narrowings: Mapping[str, Narrowing]

    @classmethod
    def of(cls, input_type: Any) -> "Filter":
        """The narrowings of an input class, by the names that the graph gives its fields."""
        fields = input_type.__strawberry_definition__.fields
        return cls({_camel(field_.python_name): field_.metadata[NARROWS] for field_ in fields})


@dataclass(frozen=True, slots=True)
class Orders:
    """What a connection can be ordered by, the first unless asked otherwise; `tie` makes each order total.

    Unless asked, it ascends, or with `newest_first` descends.
    Every column must be of the base table and never null. `input_type` is the input with `field` and `direction`.
    """

    name: str
    columns: Mapping[Enum, Expression]
    tie: Expression
    input_type: Any = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """One total order: its columns, and the name that its cursors carry."""

    columns: tuple[ColumnElement[Any], ...]
    is_descending: bool
    cursor_name: str


@dataclass(frozen=True, slots=True)
class PageShape:
    """What of a page decides the SQL."""

    order: Order
    is_backward: bool
    has_cursor: bool
    narrowed_by: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Narrowings:
    """All optional arguments of a field that narrow, its filter's fields among them, in a fixed order."""

    arguments: Sequence[Argument] = ()
    filter: Filter | None = None
    all: Sequence[Narrowing] = field(init=False)

    def __post_init__(self) -> None:
        of_filter = self.filter.narrowings.values() if self.filter else ()
        object.__setattr__(self, "all", [*(argument.narrowing for argument in self.arguments), *of_filter])

    def bind(self, arguments: Mapping[str, Any]) -> tuple[tuple[bool, ...], tuple[Any, ...]]:
        """Which of them are given, and their values."""
        given: list[tuple[Narrowing, Any, str]] = [
            (argument.narrowing, arguments.get(argument.name), argument.name) for argument in self.arguments
        ]
        if self.filter:
            wanted = arguments.get("filter") or {}
            given += [
                (narrowing, wanted.get(name, narrowing.default), f"filter.{name}")
                for name, narrowing in self.filter.narrowings.items()
            ]
        shape = tuple(value is not None for _, value, _ in given)
        return shape, tuple(narrowing.bind(value, path) for narrowing, value, path in given if value is not None)

    def conditions(self, shape: Sequence[bool], parameter: Parameter, first: int) -> list[ColumnElement[bool]]:
        """The conditions of those that are given, with their values bound from the place `first` on."""
        return [narrowing.condition(value) for narrowing, value in self._given(shape, parameter, first)]

    def instead(self, shape: Sequence[bool], parameter: Parameter) -> Instead:
        """What the given ones put in place of columns, with their values bound as in the conditions of an edge."""
        return [
            (expression_of(old), expression_of(new))
            for narrowing, value in self._given(shape, parameter, 0)
            if narrowing.shows_instead is not None
            for old, new in narrowing.shows_instead(value).items()
        ]

    def _given(
        self, shape: Sequence[bool], parameter: Parameter, first: int
    ) -> list[tuple[Narrowing, BindParameter[Any]]]:
        given = [narrowing for narrowing, is_given in zip(self.all, shape, strict=True) if is_given]
        return [(narrowing, parameter(first + place, narrowing.type)) for place, narrowing in enumerate(given)]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@dataclass(frozen=True, slots=True)
class Paging:
    """How a connection is ordered and cut into pages."""

    orders: Orders

    def order(self, asked: Sequence[Mapping[str, Any]] | None) -> Order:
        """The order that is asked for."""
        field_, is_descending = next(iter(self.orders.columns)), self.orders.newest_first
        if asked and len(asked) > 1:
            raise BadUserInput(
                "`orderBy` takes one order; the id breaks ties.",
                argument="orderBy",
                allowed=[f"[{{field: {known.name}}}]" for known in self.orders.columns],
            )
        if asked:
            field_, is_descending = asked[0]["field"], asked[0]["direction"].value == "desc"
        name = self.orders.name
        if len(self.orders.columns) > 1:
            name = f"{name}-by-{field_.value}-{'desc' if is_descending else 'asc'}"
        columns = dict.fromkeys([expression_of(self.orders.columns[field_]), expression_of(self.orders.tie)])
        return Order(tuple(columns), is_descending, name)

    def bind(self, arguments: Mapping[str, Any], narrowed: tuple[tuple[bool, ...], tuple[Any, ...]]) -> Bound:
        """The page that is asked for; its values are the limit, the cursor's position, and what narrows."""
        request = page_request(
            first=arguments.get("first"),
            after=arguments.get("after"),
            last=arguments.get("last"),
            before=arguments.get("before"),
        )
        order = self.order(arguments.get("orderBy"))
        cursor = request.before if request.backward else request.after
        argument = "before" if request.backward else "after"
        position = () if cursor is None else _position(cursor, order, argument)
        shape = PageShape(order, request.backward, cursor is not None, narrowed[0])
        return Bound(shape, (request.limit, *position, *narrowed[1]), request.limit)


def beyond(
    shape: PageShape, columns: Sequence[ColumnElement[Any]], parameter: Parameter, first: int
) -> ColumnElement[bool]:
    """The condition that holds of what lies beyond the cursor."""
    position = tuple_(*(parameter(first + place, column.type) for place, column in enumerate(shape.order.columns)))
    here = tuple_(*columns)
    return here < position if shape.order.is_descending != shape.is_backward else here > position


def _position(cursor: str, order: Order, argument: str) -> tuple[Any, ...]:
    types = [int if isinstance(column.type, Integer) else str for column in order.columns]
    values = decode_cursor(cursor, order=order.cursor_name, argument=argument, types=types)
    return tuple(
        _from_cursor(value, column.type, argument) for value, column in zip(values, order.columns, strict=True)
    )


def _from_cursor(value: CursorValue, stored: TypeEngine[Any], argument: str) -> Any:
    if isinstance(stored, DateTime):
        return instant_in_cursor(value, argument=argument)
    if isinstance(stored, Uuid):
        return key_in_cursor(value, argument=argument)
    if isinstance(stored, Integer):
        limit = INTEGER_LIMITS.get(type(stored), 2**62)
        return max(min(int(value or 0), limit), -limit)
    return storable(value)


def parameter_named(prefix: str) -> Parameter:
    """Parameters whose names begin with a prefix of the statement's own."""

    def parameter(place: int, type_: TypeEngine[Any]) -> BindParameter[Any]:
        return bindparam(f"{prefix}_{place}", type_=type_)

    return parameter


def graphql_argument(
    name: str, annotation: Any, description: str | None = None, default: object = None
) -> StrawberryArgument:
    """An argument of a declared field, as the schema shows it; optional unless there is no default."""
    return StrawberryArgument(
        python_name=name,
        graphql_name=name,
        type_annotation=StrawberryAnnotation(annotation),
        description=description,
        default=default,
    )


PAGE_ARGUMENTS = (
    graphql_argument("first", int | None),
    graphql_argument("after", str | None),
    graphql_argument("last", int | None),
    graphql_argument("before", str | None),
)
