"""Makes a document that shows a difference as small as it gets, by leaving away what does not matter."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from graphql import (
    REMOVE,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    NameNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from tests.graph.oracle.asking import Asked

Differs = Callable[[Asked], Awaitable[bool]]

# Each is asked of both paths.
MOST_ATTEMPTS = 1_500
# What an object can be asked at the least.
ONLY_TYPENAME = SelectionSetNode(selections=(FieldNode(name=NameNode(value="__typename")),))
# What can be left away; what else a document consists of goes with it.
REMOVABLE = ("field", "fragment_spread", "inline_fragment", "argument", "object_field", "directive")


class _Cut(Visitor):
    """Leaves one node away, and whatever becomes empty by it."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def enter(self, node: Node, *_: object) -> Any:
        return REMOVE if node is self._node else None

    def leave(self, node: Node, *_: object) -> Any:
        if isinstance(node, (FieldNode, InlineFragmentNode)) and _is_empty(node.selection_set):
            return REMOVE
        return None


class _Replace(Visitor):
    """Puts one node into the place of another."""

    def __init__(self, node: Node, replacement: Node) -> None:
        super().__init__()
        self._node = node
        self._replacement = replacement

    def enter(self, node: Node, *_: object) -> Any:
        return self._replacement if node is self._node else None


class _Collect(Visitor):
    """Finds nodes of some kinds, from the outside to the inside."""

    def __init__(self, *kinds: str) -> None:
        super().__init__()
        self.found: list[Node] = []
        self._kinds = kinds

    def enter(self, node: Node, *_: object) -> None:
        if node.kind in self._kinds:
            self.found.append(node)


async def smallest(asked: Asked, differs: Differs) -> Asked:
    """The smallest document found that still differs."""
    best, attempts, place = asked, 0, 0
    shrank = False
    while attempts < MOST_ATTEMPTS:
        smaller = next(islice(_smaller(best), place, None), None)
        if smaller is None:
            if not shrank:
                break
            place, shrank = 0, False
            continue
        attempts += 1
        if smaller != best and await differs(smaller):
            best, shrank = smaller, True
        else:
            place += 1
    return best


def _smaller(asked: Asked) -> Iterator[Asked]:
    """What could stand in the document's place, the smallest first; much of it is not valid and differs in nothing."""
    for variable in asked.variables:
        rest = {name: value for name, value in asked.variables.items() if name != variable}
        yield replace(asked, variables=rest)
    document = parse(asked.query)
    for smaller in _smaller_documents(document):
        yield from _tidied(asked, smaller)


def _smaller_documents(document: DocumentNode) -> Iterator[DocumentNode]:
    if len(document.definitions) > 1:
        for definition in nodes_of(document, "operation_definition"):
            yield visit(document, _Cut(definition))
    for node in nodes_of(document, "selection_set"):
        for half in _halves(cast("SelectionSetNode", node)):
            yield visit(document, _Replace(node, half))
    for node in nodes_of(document, *REMOVABLE):
        yield visit(document, _Cut(node))
    for node, simpler in _simpler(document):
        yield visit(document, _Replace(node, simpler))


def _simpler(document: DocumentNode) -> Iterator[tuple[Node, Node]]:
    """Nodes with what says the same in a plainer way."""
    fragments = {node.name.value: node for node in _fragments(document)}
    for spread in nodes_of(document, "fragment_spread"):
        yield spread, _inline(fragments[cast("FragmentSpreadNode", spread).name.value])
    for node in nodes_of(document, "selection_set"):
        for flat in _flattened(cast("SelectionSetNode", node)):
            yield node, flat
    for node in nodes_of(document, "field"):
        field = cast("FieldNode", node)
        if field.selection_set is not None and print_ast(field.selection_set) != print_ast(ONLY_TYPENAME):
            yield field, replace(field, selection_set=ONLY_TYPENAME)
        if field.alias is not None:
            yield field, _without_alias(field)
        raised = _with_raised_directives(field)
        if raised is not None:
            yield field, raised


def _inline(fragment: FragmentDefinitionNode) -> InlineFragmentNode:
    return InlineFragmentNode(
        type_condition=fragment.type_condition, directives=(), selection_set=fragment.selection_set
    )


def _halves(node: SelectionSetNode) -> Iterator[SelectionSetNode]:
    middle = len(node.selections) // 2
    if middle > 1:
        yield SelectionSetNode(selections=node.selections[:middle])
        yield SelectionSetNode(selections=node.selections[middle:])


def _flattened(node: SelectionSetNode) -> Iterator[SelectionSetNode]:
    """The selections with those of one inline fragment in its place."""
    for place, inner in enumerate(node.selections):
        if isinstance(inner, InlineFragmentNode):
            before, after = node.selections[:place], node.selections[place + 1 :]
            yield SelectionSetNode(selections=(*before, *inner.selection_set.selections, *after))


def _without_alias(field: FieldNode) -> FieldNode:
    return FieldNode(
        name=field.name, arguments=field.arguments, directives=field.directives, selection_set=field.selection_set
    )


def _with_raised_directives(field: FieldNode) -> FieldNode | None:
    """The field with the directives of the only one below it, which then need not be there for their sake."""
    below = field.selection_set.selections if field.selection_set else ()
    if field.directives or len(below) != 1 or not below[0].directives:
        return None
    (inner,) = below
    bare = SelectionSetNode(selections=(replace(inner, directives=()),))
    return replace(field, directives=inner.directives, selection_set=bare)


def nodes_of(document: Node, *kinds: str) -> list[Node]:
    """The nodes of some kinds, from the outside to the inside."""
    collect = _Collect(*kinds)
    visit(document, collect)
    return collect.found


def _is_empty(selections: SelectionSetNode | None) -> bool:
    return selections is not None and not selections.selections


def _tidied(asked: Asked, document: DocumentNode) -> Iterator[Asked]:
    """The document without the fragments and variables that nothing uses any more, if something is left of it."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if not operations or any(_is_empty(cast("Any", node).selection_set) for node in document.definitions):
        return
    document = _without_lonely_fragments(document)
    for operation in operations:
        used = {
            cast("VariableNode", node).name.value
            for part in (operation.selection_set, *_fragments(document))
            for node in nodes_of(part, "variable")
        }
        for declared in operation.variable_definitions or ():
            if declared.variable.name.value not in used:
                document = visit(document, _Cut(declared))
    yield replace(asked, query=print_ast(document), variables=_of_declared(document, asked.variables))


def _fragments(document: DocumentNode) -> list[FragmentDefinitionNode]:
    return [node for node in document.definitions if isinstance(node, FragmentDefinitionNode)]


def _without_lonely_fragments(document: DocumentNode) -> DocumentNode:
    while True:
        spread = {cast("FragmentSpreadNode", node).name.value for node in nodes_of(document, "fragment_spread")}
        lonely = [node for node in _fragments(document) if node.name.value not in spread]
        if not lonely:
            return document
        document = visit(document, _Cut(lonely[0]))


def _of_declared(document: DocumentNode, variables: dict[str, Any]) -> dict[str, Any]:
    declared = {cast("Any", node).variable.name.value for node in nodes_of(document, "variable_definition")}
    return {name: value for name, value in variables.items() if name in declared}
