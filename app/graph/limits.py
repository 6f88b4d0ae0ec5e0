"""How large a document may be. Counted on the parsed document alone, before it is held against the schema."""

from collections.abc import Collection, Iterable, Mapping, Sequence
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
# Of a document, and of a name that it gives to a field: a name stands in the answer as often as the field does.
MAXIMUM_CHARACTERS = 100_000
MAXIMUM_NAME_LENGTH = 255
# Fields that meet under one name at one place are compared pair by pair when the document is validated.
MAXIMUM_MEETINGS = 60
# Where measuring stops: fragments and introspection may nest deeper than answers.
MAXIMUM_NESTING = 40
# Introspection nests deep by design and costs no statement; its own depth is limited by a validation rule.
INTROSPECTION_ROOTS = frozenset({"__schema", "__type"})


@dataclass(frozen=True, slots=True)
class Place:
    """One place of the answer: every field that is asked for there, wherever the document asks for it."""

    fields: Sequence[FieldNode]

    def by_response_name(self) -> Mapping[str, Sequence[FieldNode]]:
        """The fields that meet in one entry of the answer."""
        together: dict[str, list[FieldNode]] = {}
        for field in self.fields:
            together.setdefault((field.alias or field.name).value, []).append(field)
        return together

    def check(self) -> None:
        """Refuse one field under too many names, and too many fields under one name."""
        names: dict[str, set[str]] = {}
        for response_name, fields in self.by_response_name().items():
            if len(response_name) > MAXIMUM_NAME_LENGTH:
                raise QueryTooComplex(
                    f"`{response_name[:MAXIMUM_NAME_LENGTH]}…` is a name of {len(response_name)} characters; "
                    f"{MAXIMUM_NAME_LENGTH} are allowed.",
                    allowed=[f"1..{MAXIMUM_NAME_LENGTH} characters"],
                )
            names.setdefault(fields[0].name.value, set()).add(response_name)
            if len(fields) > MAXIMUM_MEETINGS:
                raise QueryTooComplex(
                    f"`{response_name}` is asked for {len(fields)} times at one place; {MAXIMUM_MEETINGS} are allowed.",
                    allowed=[f"1..{MAXIMUM_MEETINGS} times one field at one place"],
                )
        for field_name, aliases in names.items():
            if len(aliases) > MAXIMUM_ALIASES:
                raise QueryTooComplex(
                    f"`{field_name}` has {len(aliases)} aliases at one place; {MAXIMUM_ALIASES} are allowed.",
                    allowed=[f"0..{MAXIMUM_ALIASES} aliases of one field"],
                )


class Measure:
    """Measures selections as the answer will merge them; what is the same is measured once."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._depths: dict[frozenset[int], int] = {}

    def place(self, selection_sets: Iterable[SelectionSetNode]) -> Place:
        """The fields of these selections and of the fragments they spread, each selection once."""
        fields: list[FieldNode] = []
        waiting = list(selection_sets)
        seen: set[int] = set()
        while waiting:
            selections = waiting.pop()
            if id(selections) in seen:
                continue
            seen.add(id(selections))
            for node in selections.selections:
                if isinstance(node, FieldNode):
                    fields.append(node)
                elif isinstance(node, InlineFragmentNode):
                    waiting.append(node.selection_set)
                elif isinstance(node, FragmentSpreadNode) and node.name.value in self._fragments:
                    waiting.append(self._fragments[node.name.value].selection_set)
        return Place(fields)

    def depth(self, selection_sets: Collection[SelectionSetNode], *, level: int = 0) -> int:
        """How many levels of fields there are; refuses what is too wide on the way, and stops where it is too deep."""
        if level > MAXIMUM_NESTING:
            raise QueryTooComplex(
                f"The document is nested too deep; at most {MAXIMUM_DEPTH} levels are allowed.",
                allowed=[f"1..{MAXIMUM_DEPTH} levels"],
            )
        key = frozenset(id(selections) for selections in selection_sets)
        if key not in self._depths:
            place = self.place(selection_sets)
            place.check()
            below = (self._depth_of(fields, level) for fields in place.by_response_name().values())
            self._depths[key] = max(below, default=0)
        return self._depths[key]

    def _depth_of(self, fields: Sequence[FieldNode], level: int) -> int:
        below = self.depth([field.selection_set for field in fields if field.selection_set], level=level + 1)
        return 1 if fields[0].name.value in INTROSPECTION_ROOTS else 1 + below


def check_limits(document: DocumentNode) -> None:
    """Refuse a document that is too deep, has too many root fields, or asks for too much at one place."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    measure = Measure(fragments)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            _check_operation(measure, node)
    for fragment in fragments.values():
        # Validation looks at fragments that nobody spreads, too.
        measure.depth([fragment.selection_set])


def _check_operation(measure: Measure, operation: OperationDefinitionNode) -> None:
    roots = len(measure.place([operation.selection_set]).by_response_name())
    if roots > MAXIMUM_ROOT_FIELDS:
        raise QueryTooComplex(
            f"The operation has {roots} root fields; {MAXIMUM_ROOT_FIELDS} are allowed.",
            allowed=[f"1..{MAXIMUM_ROOT_FIELDS} root fields"],
        )
    depth = measure.depth([operation.selection_set])
    if depth > MAXIMUM_DEPTH:
        raise QueryTooComplex(
            f"The document is {depth} levels deep; at most {MAXIMUM_DEPTH} are allowed.",
            allowed=[f"1..{MAXIMUM_DEPTH} levels"],
        )
