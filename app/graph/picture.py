"""A picture of the graph for people who read the README: the types and the fields that lead from one to another.

What only carries a list or a result (connections, edges, payloads) is not drawn: the arrow goes to what it carries. `*`
stands for many.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from app.graph.schema import core_schema

Box = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType

MANY = "*"
# Everything with an id is a node: drawn, it would be an arrow from every box and tell nothing.
EVERYTHING = "Node"
ERRORS_OF_PAYLOADS = "userErrors"


def draw_graph(schema: GraphQLSchema = core_schema) -> str:
    """The types that can be reached from the roots, as a Mermaid flowchart; the same schema, the same text."""
    boxes = list(_reachable(schema))
    lines = ["flowchart LR", *(_draw_box(box) for box in boxes)]
    for box in boxes:
        lines += [f"  {member.name} -. is .-> {box.name}" for member in _members(schema, box)]
    for box in boxes:
        lines += _draw_arrows(box)
    return "\n".join(lines)


def _reachable(schema: GraphQLSchema) -> Iterator[Box]:
    roots = [root for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root]
    waiting: deque[Box] = deque(roots)
    seen = {root.name for root in roots}
    while waiting:
        box = waiting.popleft()
        yield box
        led_to = [target for field in _own_fields(box).values() for target, _ in _targets(field)]
        for target in [*_members(schema, box), *led_to]:
            if target.name not in seen:
                seen.add(target.name)
                waiting.append(target)


def _members(schema: GraphQLSchema, box: Box) -> Iterable[GraphQLObjectType]:
    return () if isinstance(box, GraphQLObjectType) else schema.get_possible_types(box)


def _own_fields(box: Box) -> dict[str, GraphQLField]:
    """The fields that no interface of the type has already."""
    if isinstance(box, GraphQLUnionType):
        return {}
    inherited = {name for interface in box.interfaces for name in interface.fields}
    return {name: field for name, field in box.fields.items() if name not in inherited}


def _draw_box(box: Box) -> str:
    return f"  {box.name}([{box.name}])" if isinstance(box, GraphQLObjectType) else f"  {box.name}{{{{{box.name}}}}}"


def _draw_arrows(box: Box) -> Iterator[str]:
    """One arrow to each type, with the names of all fields that lead there."""
    names: dict[str, list[str]] = {}
    for name, field in _own_fields(box).items():
        for target, many in _targets(field):
            names.setdefault(target.name, []).append(f"{name}{MANY}" if many else name)
    for target_name, listed in names.items():
        yield f'  {box.name} -->|"{", ".join(listed)}"| {target_name}'


def _targets(field: GraphQLField) -> Iterator[tuple[Box, bool]]:
    """The types that a field leads to, past what only carries them, and whether it leads to many."""
    type_ = get_named_type(field.type)
    if isinstance(type_, GraphQLObjectType) and _is_connection(type_):
        carried = get_named_type(type_.fields["nodes"].type)
        if isinstance(carried, Box):
            yield carried, True
    elif isinstance(type_, GraphQLObjectType) and _is_payload(type_):
        for name, part in type_.fields.items():
            if name != ERRORS_OF_PAYLOADS:
                yield from _targets(part)
    elif isinstance(type_, Box) and type_.name != EVERYTHING:
        yield type_, is_list_type(get_nullable_type(field.type))


def _is_connection(type_: GraphQLNamedType) -> bool:
    return isinstance(type_, GraphQLObjectType) and {"edges", "nodes", "pageInfo"} <= type_.fields.keys()


def _is_payload(type_: GraphQLNamedType) -> bool:
    return isinstance(type_, GraphQLObjectType) and ERRORS_OF_PAYLOADS in type_.fields
