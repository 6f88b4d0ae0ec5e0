"""How large a document may be. Counted on the parsed document alone, before it is held against the schema."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from app.core.errors import QueryTooComplex

MAXIMUM_TOKENS = 5_000
MAXIMUM_DEPTH = 12
MAXIMUM_ALIASES = 15
MAXIMUM_ROOT_FIELDS = 100
# Introspection nests deep by design and costs no statement; its own depth is limited by a validation rule.
INTROSPECTION_ROOTS = frozenset({"__schema", "__type"})


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a selection reaches: levels of fields, and how often each field is asked for at its top level."""

    depth: int
    fields: Counter[str]


NOTHING = Extent(0, Counter())


class Measure:
    """Measures selections; each fragment once, however often it is spread."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._known: dict[str, Extent] = {}

    def selection(self, selections: SelectionSetNode | None) -> Extent:
        """The extent of a selection set, with the fragments it spreads."""
        if selections is None:
            return NOTHING
        depth = 0
        fields: Counter[str] = Counter()
        for node in selections.selections:
            if isinstance(node, FieldNode):
                depth = max(depth, self._field_depth(node))
                fields[node.name.value] += 1
            else:
                part = self._fragment(node) if isinstance(node, FragmentSpreadNode) else self._inline(node)
                depth = max(depth, part.depth)
                fields.update(part.fields)
        for name, times in fields.items():
            if times > MAXIMUM_ALIASES:
                raise QueryTooComplex(
                    f"`{name}` is asked for {times} times at one place; at most {MAXIMUM_ALIASES} are allowed.",
                    allowed=[f"0..{MAXIMUM_ALIASES} times one field"],
                )
        return Extent(depth, fields)

    def _field_depth(self, field: FieldNode) -> int:
        if field.name.value in INTROSPECTION_ROOTS:
            return 1
        return 1 + self.selection(field.selection_set).depth

    def _inline(self, node: object) -> Extent:
        return self.selection(node.selection_set) if isinstance(node, InlineFragmentNode) else NOTHING

    def _fragment(self, spread: FragmentSpreadNode) -> Extent:
        name = spread.name.value
        if name not in self._known:
            # A circle of fragments ends here; validation then refuses it by its name.
            self._known[name] = NOTHING
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._known[name] = self.selection(fragment.selection_set)
        return self._known[name]


def check_limits(document: DocumentNode) -> None:
    """Refuse a document that is too deep, has too many root fields, or asks for one field too often at one place."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    measure = Measure(fragments)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            _check_operation(measure, node)


def _check_operation(measure: Measure, operation: OperationDefinitionNode) -> None:
    try:
        extent = measure.selection(operation.selection_set)
    except RecursionError:
        raise QueryTooComplex(
            f"The document is nested too deep; at most {MAXIMUM_DEPTH} levels are allowed.",
            allowed=[f"1..{MAXIMUM_DEPTH} levels"],
        ) from None
    if extent.depth > MAXIMUM_DEPTH:
        raise QueryTooComplex(
            f"The document is {extent.depth} levels deep; at most {MAXIMUM_DEPTH} are allowed.",
            allowed=[f"1..{MAXIMUM_DEPTH} levels"],
        )
    if extent.fields.total() > MAXIMUM_ROOT_FIELDS:
        raise QueryTooComplex(
            f"The operation has {extent.fields.total()} root fields; {MAXIMUM_ROOT_FIELDS} are allowed.",
            allowed=[f"1..{MAXIMUM_ROOT_FIELDS} root fields"],
        )
