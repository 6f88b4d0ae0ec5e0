"""The documents that are drawn are such as the oracle needs: valid, various, and the same for the same seed."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import islice
from random import Random

from graphql import DocumentNode, FieldNode, TypeInfo, TypeInfoVisitor, Visitor, parse, print_ast, visit

from app.graph.documents import CheckedDocuments
from app.graph.schema import core_schema
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE, Viewer
from tests.graph.oracle.asking import Asked
from tests.graph.oracle.coverage import possible_types
from tests.graph.oracle.documents import reachable_fields
from tests.graph.oracle.property_documents import few_drawn_documents
from tests.graph.oracle.questions import questions
from tests.graph.oracle.shrinking import nodes_of
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.worlds import random_world
from tests.identity.builders import PARTNER

WORLDS = 96
DOCUMENTS_PER_WORLD = 36
SHARE_OF_VALID_DOCUMENTS = 0.9
# To check a document takes far longer than to draw it, and a share is known from some.
CHECKED_ONE_IN = 10
CONSTRUCTS = (
    "fragment_definition",
    "fragment_spread",
    "inline_fragment",
    "directive",
    "variable_definition",
    "object_value",
    "list_value",
    "null_value",
    "enum_value",
    "int_value",
    "string_value",
    "boolean_value",
)


@cache
def _documents() -> Sequence[Asked]:
    return [asked for number in range(WORLDS) for asked in _of_world(number)]


@cache
def _parsed() -> Sequence[DocumentNode]:
    return [parse(asked.query) for asked in _documents()]


def _of_world(number: int) -> Sequence[Asked]:
    random = Random(f"documents/{number}")
    vocabulary = Vocabulary(random, random_world(random))
    return list(islice(questions(random, vocabulary, few_drawn_documents()), DOCUMENTS_PER_WORLD))


def test_most_documents_are_valid_and_within_the_limits() -> None:
    checked = CheckedDocuments()
    some = _documents()[::CHECKED_ONE_IN]
    valid = [asked for asked in some if not checked.check(asked.query, introspection=True).errors]
    assert len(valid) >= SHARE_OF_VALID_DOCUMENTS * len(some)


def test_the_same_seed_draws_the_same_documents() -> None:
    assert _of_world(0) == _of_world(0)
    assert _of_world(0) != _of_world(1)


def test_every_field_is_asked_for() -> None:
    asked_for: set[str] = set()
    for document in _parsed():
        type_info = TypeInfo(core_schema)
        visit(document, TypeInfoVisitor(type_info, _Fields(type_info, asked_for)))
    assert reachable_fields() - asked_for == set()


class _Fields(Visitor):
    """Notes the fields of a document with the types that they can be of."""

    def __init__(self, type_info: TypeInfo, found: set[str]) -> None:
        super().__init__()
        self._type_info = type_info
        self._found = found

    def enter_field(self, node: FieldNode, *_: object) -> None:
        parent = self._type_info.get_parent_type()
        if parent is not None:
            self._found.update(f"{name}.{node.name.value}" for name in possible_types(parent.name))


def test_every_construct_of_the_language_occurs() -> None:
    found = Counter(kind for document in _parsed() for kind in {node.kind for node in nodes_of(document, *CONSTRUCTS)})
    assert {kind: found[kind] for kind in CONSTRUCTS if found[kind] < WORLDS} == {}
    missing = {"@include(if: $", "@skip(if: $", "@include(if: true)", "query Other", "mutation Other", "Boolean! ="}
    for document in _parsed():
        if missing:
            written = print_ast(document)
            missing = {part for part in missing if part not in written}
    assert missing == set()


def test_variables_are_given_and_null_and_absent() -> None:
    given = [value for asked in _documents() for value in asked.variables.values()]
    assert None in given
    assert any(isinstance(value, list) for value in given)
    assert any(isinstance(value, dict) for value in given)
    declared = [nodes_of(document, "variable_definition") for document in _parsed()]
    assert any(len(names) > len(asked.variables) for names, asked in zip(declared, _documents(), strict=True))


def test_everybody_asks() -> None:
    viewers = [asked.viewer for asked in _documents()]
    assert ANYONE in viewers
    assert PARTNER in viewers
    assert any(viewer.is_session for viewer in viewers)
    assert any(viewer.user_id is not None and not viewer.is_session and len(viewer.scopes) < 2 for viewer in viewers)
    assert set().union(*(viewer.scopes for viewer in viewers)) == set(Scope)
    by_document: dict[str, set[Viewer]] = {}
    for asked in _documents():
        by_document.setdefault(asked.query, set()).add(asked.viewer)
    assert sum(len(asking) > 1 for asking in by_document.values()) > len(by_document) / 10
