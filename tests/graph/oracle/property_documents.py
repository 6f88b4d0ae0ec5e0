"""Documents of hypothesis-graphql: the shapes are its own, the arguments are mostly such as mean something here."""

from collections.abc import Sequence
from datetime import UTC
from functools import cache
from random import Random
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    ValueNode,
    Visitor,
    parse,
    print_ast,
    validate,
    visit,
)
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes, queries

from app.graph.schema import core_schema
from tests.graph.oracle.asking import Asked
from tests.graph.oracle.documents import Draft
from tests.graph.oracle.viewers import any_viewer
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.worlds import CURRENCIES

SCALARS: dict[str, st.SearchStrategy[ValueNode]] = {
    "DateTime": st.datetimes(timezones=st.just(UTC)).map(lambda instant: nodes.String(instant.isoformat())),
    "Decimal": st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: nodes.String(f"{number:f}")),
    "CurrencyCode": st.sampled_from(CURRENCIES).map(nodes.String),
    "BigInt": st.integers(-(2**63), 2**63 - 1).map(lambda number: nodes.String(str(number))),
    "EmailAddress": st.just(nodes.String("somebody@example.org")),
    "URL": st.just(nodes.String("https://example.org/")),
    "Duration": st.just(nodes.String("PT1S")),
}


@cache
def drawn_documents(name: str, count: int) -> Sequence[str]:
    """Documents as the library draws them, the same ones for the same name."""
    drawn: list[str] = []

    @seed(name)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(queries(core_schema, custom_scalars=SCALARS, allow_x00=False))
    def draw(document: str) -> None:
        drawn.append(document)

    draw()
    return drawn


def few_drawn_documents() -> Sequence[str]:
    """Some for tests that are about something else: drawing them takes longer than answering them."""
    return drawn_documents("few", 20)


def with_arguments_that_mean_something(query: str, random: Random, vocabulary: Vocabulary) -> Asked:
    """The document with other arguments, many of them variables; as it stands where they would not go together."""
    vocabulary = vocabulary.of(any_viewer(random, vocabulary.world))
    draft = Draft(random, vocabulary)
    type_info = TypeInfo(core_schema)
    document = visit(parse(query), TypeInfoVisitor(type_info, _OtherArguments(type_info, draft, random, vocabulary)))
    document = _with_declared_variables(document, draft)
    if validate(core_schema, document):
        return Asked(query, viewer=vocabulary.viewer)
    return Asked(print_ast(document), draft.variables, viewer=vocabulary.viewer)


class _OtherArguments(Visitor):
    """Gives most fields other arguments."""

    def __init__(self, type_info: TypeInfo, draft: Draft, random: Random, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._type_info = type_info
        self._draft = draft
        self._random = random
        self._vocabulary = vocabulary

    def enter_field(self, node: FieldNode, *_: object) -> Any:
        definition = self._type_info.get_field_def()
        if definition is None or not definition.args or self._random.random() < 0.15:
            return None
        values = self._vocabulary.arguments(node.name.value, definition.args)
        written = [self._draft.argument(name, definition.args[name], value) for name, value in values.items()]
        example = parse(f"{{ x({', '.join(written)}) }}" if written else "{ x }")
        (field,) = _operation(example).selection_set.selections
        return FieldNode(
            alias=node.alias,
            name=node.name,
            arguments=getattr(field, "arguments", ()),
            directives=node.directives,
            selection_set=node.selection_set,
        )


def _with_declared_variables(document: DocumentNode, draft: Draft) -> DocumentNode:
    if not draft.declared:
        return document
    declared = ", ".join(each.written(name) for name, each in draft.declared.items())
    variables = _operation(parse(f"query ({declared}) {{ x }}")).variable_definitions
    operation = _operation(document)
    declaring = OperationDefinitionNode(
        operation=operation.operation, variable_definitions=variables, selection_set=operation.selection_set
    )
    return DocumentNode(definitions=(declaring,))


def _operation(document: DocumentNode) -> OperationDefinitionNode:
    (definition,) = document.definitions
    assert isinstance(definition, OperationDefinitionNode)
    return definition
