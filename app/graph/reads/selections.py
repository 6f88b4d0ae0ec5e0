"""What a document selects below one field, understood as far as the declarations reach.

A selection with anything else in it (a field with a resolver of its own, rows that cannot be inlined) is refused with
`NotDeclared`: it is then executed by resolvers, and what lies below it is looked at again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    NullValueNode,
    VariableNode,
    Visitor,
    get_named_type,
    visit,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.execution.values import VariableValues, get_argument_values

from app.graph.reads.arguments import Bound, OperationContext
from app.graph.reads.fields import Edge, Embedded, KeyedRows, PagedEdge
from app.graph.reads.layout import Field, Layouts, Shown

TYPENAME = "__typename"


class NotDeclared(Exception):
    """The selection holds something that has no SQL."""


@dataclass(frozen=True, slots=True)
class Named:
    """An entry of an object: its name in the response, and the name that the schema has for it."""

    response: str
    field: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column."""

    field: Field


@dataclass(frozen=True, slots=True)
class Typename:
    """The name of the object's type; `shown` is an interface where the row decides."""

    shown: Shown | None
    name: str


@dataclass(frozen=True, slots=True)
class Object:
    """The entries of an object, by the type that shows it; one list where all types are asked the same."""

    shown: Shown
    entries: "Sequence[tuple[Shown, Sequence[tuple[Named, Entry]]]]"


@dataclass(frozen=True, slots=True)
class EmbeddedObject:
    """An object of the same row."""

    field: Field
    declaration: Embedded
    object: Object


@dataclass(frozen=True, slots=True)
class EdgeTo:
    """The rows behind an edge; `occurrence` is the place of its arguments."""

    field: Field
    declaration: Edge
    occurrence: int
    object: Object


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a select of its own, at the top only."""

    field: Field
    declaration: KeyedRows
    occurrence: int
    object: Object


@dataclass(frozen=True, slots=True)
class Part:
    """An entry of a connection, of its edges or of its page info."""

    named: Named
    object: Object | None = None
    parts: "Sequence[Part]" = ()
    type_name: str = ""


@dataclass(frozen=True, slots=True)
class PageOf:
    """One page of a connection."""

    field: Field
    declaration: PagedEdge
    occurrence: int
    parts: Sequence[Part]


Entry = Leaf | Typename | EmbeddedObject | EdgeTo | PageOf
Top = Object | EdgeTo | PageOf | Rows


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A field with arguments, as the document has it; `constant` is bound where no variable is involved.

    It is kept from one request to the next, and so is nothing of who asked: that is checked each time.
    """

    declaration: Edge | PagedEdge | KeyedRows
    graphql_field: GraphQLField
    node: FieldNode
    constant: Bound | None

    def bind(self, variables: VariableValues, context: OperationContext) -> Bound:
        """Its arguments in this request; raises what the plain path would."""
        if self.constant is not None and not isinstance(self.declaration, KeyedRows):
            self.declaration.check_access(context)
            return self.constant
        return self.declaration.bind(get_argument_values(self.graphql_field, self.node, variables), context)


@dataclass(slots=True)
class Selection:
    """Everything below one field."""

    top: Top
    occurrences: list[Occurrence] = field(default_factory=list)


class Understanding:
    """Understands selections of one operation, with the fields that its variables include.

    What comes of it serves everybody, so it knows nothing of who asks.
    """

    def __init__(self, executor: Executor[Any], layouts: Layouts) -> None:
        self._executor = executor
        self._layouts = layouts
        self._occurrences: list[Occurrence] = []

    def of_field(self, declared: Field, details: FieldDetailsList) -> Selection:
        """What is selected by a declared field and below it."""
        declaration = declared.declaration
        if isinstance(declaration, KeyedRows):
            place = self._occurrence(declared, declaration, details)
            return Selection(
                Rows(declared, declaration, place, self._object(declared.target, details)), self._occurrences
            )
        entry = self._entry(declared, details)
        if not isinstance(entry, EdgeTo | PageOf):
            raise NotDeclared
        return Selection(entry, self._occurrences)

    def of_reference(self, shown: Shown, details: FieldDetailsList) -> Selection:
        """What is selected of something that is referred to."""
        return Selection(self._object(shown, details), self._occurrences)

    def _object(self, shown: Shown, details: FieldDetailsList) -> Object:
        groups = [(possible, self._fields_of(possible, details)) for possible in shown.possible]
        if len(groups) > 1 and len({_signature(group) for _, group in groups}) == 1:
            representative, group = groups[0]
            entries = [
                (named, Typename(shown, "") if isinstance(entry, Typename) else entry)
                for named, entry in self._entries(representative, group)
            ]
            return Object(shown, [(shown, entries)])
        return Object(shown, [(possible, self._entries(possible, group)) for possible, group in groups])

    def _fields_of(self, shown: Shown, details: FieldDetailsList) -> GroupedFieldSet:
        return self._executor.collect_subfields(shown.object_type, details).grouped_field_set

    def _entries(self, shown: Shown, group: GroupedFieldSet) -> list[tuple[Named, Entry]]:
        entries: list[tuple[Named, Entry]] = []
        for response, details in group.items():
            name = details[0].node.name.value
            if name == TYPENAME:
                entries.append((Named(response, name), Typename(None, shown.name)))
                continue
            declared = shown.fields.get(name)
            if declared is None:
                raise NotDeclared
            entries.append((Named(response, name), self._entry(declared, details)))
        return entries

    def _entry(self, declared: Field, details: FieldDetailsList) -> Entry:
        declaration = declared.declaration
        if declared.is_leaf:
            return Leaf(declared)
        if isinstance(declaration, Embedded):
            return EmbeddedObject(declared, declaration, self._object(declared.target, details))
        if isinstance(declaration, Edge):
            if declaration.computed is not None and _is_given(details[0].node, declaration.computed.argument):
                raise NotDeclared
            place = self._occurrence(declared, declaration, details)
            return EdgeTo(declared, declaration, place, self._object(declared.target, details))
        if isinstance(declaration, PagedEdge):
            place = self._occurrence(declared, declaration, details)
            carrier = get_named_type(declared.graphql_field.type)
            return PageOf(declared, declaration, place, self._parts(declared.target, carrier, details))
        raise NotDeclared

    def _parts(self, target: Shown, carrier: GraphQLNamedType, details: FieldDetailsList) -> list[Part]:
        """The entries of a connection, an edge or the page info."""
        if not isinstance(carrier, GraphQLObjectType):
            raise NotDeclared
        parts = []
        group = self._executor.collect_subfields(carrier, details).grouped_field_set
        for response, below in group.items():
            named = Named(response, below[0].node.name.value)
            if named.field in {"nodes", "node"}:
                parts.append(Part(named, self._object(target, below)))
            elif named.field in {"edges", "pageInfo"}:
                inner = get_named_type(carrier.fields[named.field].type)
                parts.append(Part(named, None, self._parts(target, inner, below), inner.name))
            else:
                parts.append(Part(named, type_name=carrier.name))
        return parts

    def _occurrence(self, declared: Field, declaration: Edge | PagedEdge | KeyedRows, details: FieldDetailsList) -> int:
        node = details[0].node
        constant = None
        if not isinstance(declaration, KeyedRows) and not _has_variables(node):
            values = self._executor.variable_values
            constant = declaration.bind_arguments(get_argument_values(declared.graphql_field, node, values))
        self._occurrences.append(Occurrence(declaration, declared.graphql_field, node, constant))
        return len(self._occurrences) - 1


def _signature(group: GroupedFieldSet) -> tuple[Any, ...]:
    return tuple((response, *(id(detail.node) for detail in details)) for response, details in group.items())


def _is_given(node: FieldNode, name: str) -> bool:
    """Whether an argument is given, or may be by a variable."""
    given = (argument.value for argument in node.arguments or () if argument.name.value == name)
    return any(not isinstance(value, NullValueNode) for value in given)


class _Variables(Visitor):
    """Notices variables."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_variable(self, _node: VariableNode, *_: object) -> None:
        self.found = True


def _has_variables(node: FieldNode) -> bool:
    variables = _Variables()
    for argument in node.arguments or ():
        visit(argument, variables)
    return variables.found
