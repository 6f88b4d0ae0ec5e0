"""Which fields of which types were not only asked for but answered."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    get_named_type,
    get_operation_ast,
    is_composite_type,
    parse,
)

from app.graph.schema import core_schema
from tests.graph.oracle.asking import Asked

Fragments = Mapping[str, FragmentDefinitionNode]


def answered_fields(asked: Asked, data: Any) -> set[str]:
    """The fields that have a value in the data, as `Type.field`."""
    document = parse(asked.query)
    operation = cast("OperationDefinitionNode", get_operation_ast(document, asked.operation_name))
    found: set[str] = set()
    _answered(operation.selection_set.selections, data, ["Query"], _fragments(document), found)
    return found


def _fragments(document: DocumentNode) -> Fragments:
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


def _answered(
    selections: Iterable[SelectionNode], value: Any, types: Sequence[str], fragments: Fragments, found: set[str]
) -> None:
    """Walk the selections along the values; `types` are those that the value can be of."""
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            continue
        for selection in selections:
            if isinstance(selection, FieldNode):
                _answered_field(selection, each, types, fragments, found)
                continue
            narrower = selection if isinstance(selection, InlineFragmentNode) else fragments[selection.name.value]  # type: ignore[attr-defined]  # a spread
            condition = narrower.type_condition
            of = _narrowed(types, condition.name.value) if condition else types
            _answered(narrower.selection_set.selections, each, of, fragments, found)


def _answered_field(
    node: FieldNode, value: Mapping[str, Any], types: Sequence[str], fragments: Fragments, found: set[str]
) -> None:
    answer = value.get((node.alias or node.name).value)
    if answer is None or node.name.value.startswith("__"):
        return
    # Below an interface any of its types may have answered; only where there is one type is it sure.
    if len(types) == 1:
        found.add(f"{types[0]}.{node.name.value}")
    for type_ in types:
        definition = cast("GraphQLObjectType", core_schema.type_map[type_]).fields.get(node.name.value)
        if definition is not None and node.selection_set is not None:
            below = get_named_type(definition.type)
            if is_composite_type(below):
                _answered(node.selection_set.selections, answer, possible_types(below.name), fragments, found)
            return


def _narrowed(types: Sequence[str], condition: str) -> list[str]:
    allowed = possible_types(condition)
    return [type_ for type_ in types if type_ in allowed]


def possible_types(name: str) -> list[str]:
    """The object types that a value of this type can be of."""
    type_ = core_schema.type_map[name]
    if isinstance(type_, GraphQLObjectType):
        return [name]
    return [each.name for each in core_schema.get_possible_types(cast("Any", type_))]
