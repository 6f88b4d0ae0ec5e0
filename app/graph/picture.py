"""Pictures of the graph for people who read the README: the types and the fields that lead from one to another.

What only carries a list or a result (connections, edges, payloads) is not drawn: the arrow goes to what it carries. `*`
stands for many. The whole is too much for one picture, so each shows some rooms, and where they lead to others.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping

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
DEFINITION = "strawberry-definition"
FOLDER_OF_ROOMS = "app.graph."
# The rooms that each picture shows; every type of the graph is in one of them.
PICTURES: Mapping[str, Collection[str]] = {
    "graph": ("catalogue",),
    "prices": ("prices",),
    "portfolios": ("portfolios",),
    "wishes": ("wishes", "sharing"),
    "trackers": ("trackers",),
    "alerts": ("alerts",),
    "notifications": ("notifications",),
    "accounts": ("identity", "providers"),
    "jobs": ("jobs", "ingestion", "operations"),
}


def draw_graph(schema: GraphQLSchema = core_schema, *, rooms: Collection[str] | None = None) -> str:
    """The types that can be reached from the roots, as a Mermaid flowchart; the same schema, the same text.

    With `rooms`, only the types of these, and those of others to which they lead, without what these lead to.
    """
    reachable = list(_reachable(schema))
    own = {box.name for box in reachable if rooms is None or _room_of(schema, box) in rooms}
    roots = {root.name for root in _roots(schema)}
    arrows = {box.name: _arrows(box) for box in reachable if box.name in own | roots}
    for root in roots:
        arrows[root] = {target: names for target, names in arrows[root].items() if target in own}
    led_to = {target for targets in arrows.values() for target in targets}
    drawn = [box for box in reachable if box.name in own | led_to or arrows.get(box.name)]
    lines = ["flowchart LR", *(_draw_box(box) for box in drawn)]
    for box in drawn:
        members = _members(schema, box) if box.name in own else ()
        lines += [f"  {member.name} -. is .-> {box.name}" for member in members]
    for box in drawn:
        targets = arrows.get(box.name, {})
        lines += [f'  {box.name} -->|"{", ".join(names)}"| {target}' for target, names in targets.items()]
    return "\n".join(lines)


def _room_of(schema: GraphQLSchema, box: Box) -> str | None:
    """The room whose module of the graph declares a type; of a union that of what it holds."""
    definition = box.extensions.get(DEFINITION)
    origin: type | None = getattr(definition, "origin", None)
    if origin is not None:
        return origin.__module__.removeprefix(FOLDER_OF_ROOMS).partition(".")[0]
    return next((_room_of(schema, member) for member in _members(schema, box)), None)


def _roots(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    return [root for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root]


def _reachable(schema: GraphQLSchema) -> Iterator[Box]:
    waiting: deque[Box] = deque(_roots(schema))
    seen = {root.name for root in _roots(schema)}
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


def _arrows(box: Box) -> dict[str, list[str]]:
    """The types that the fields of one lead to, with the names of all fields that lead there."""
    names: dict[str, list[str]] = {}
    for name, field in _own_fields(box).items():
        for target, many in _targets(field):
            names.setdefault(target.name, []).append(f"{name}{MANY}" if many else name)
    return names


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
