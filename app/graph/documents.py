"""Documents of requests: parsed, within the limits and valid, or why they are refused; kept for the next time."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    GraphQLError,
    VariableNode,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)
from graphql.validation import ASTValidationRule, NoSchemaIntrospectionCustomRule
from graphql.validation.specified_rules import recommended_rules

from app.core.errors import QueryTooComplex, Refusal
from app.graph.access import is_public
from app.graph.errors import refusal_error, show_errors, show_validation_error
from app.graph.limits import MAXIMUM_CHARACTERS, MAXIMUM_DEPTH, MAXIMUM_TOKENS, check_limits
from app.graph.reads.prepared import PreparedQuery
from app.graph.schema import core_schema

# Of documents; parsed, a character takes some 150 bytes.
CACHED_CHARACTERS = 500_000
MAXIMUM_VALIDATION_ERRORS = 10
# How graphql-core ends the message of a document with too many tokens, or nested beyond the interpreter's stack.
PARSING_ABORTED = "Parsing aborted."


@dataclass(frozen=True, slots=True)
class CheckedDocument:
    """A parsed document, or why it is refused."""

    document: DocumentNode | None
    errors: list[dict[str, Any]] = field(default_factory=list)
    switches: tuple[str, ...] = ()
    is_public: bool = False
    prepared: dict[tuple[object, ...], PreparedQuery | None] = field(default_factory=dict)


def _check(query: str, introspection: bool) -> CheckedDocument:
    if len(query) > MAXIMUM_CHARACTERS:
        refusal = QueryTooComplex(
            f"The document has {len(query):,} characters, and {MAXIMUM_CHARACTERS:,} are allowed: "
            "send values as variables.",
            allowed=[f"1..{MAXIMUM_CHARACTERS:,} characters"],
        )
        return CheckedDocument(None, show_errors([refusal_error(refusal)]))
    try:
        document = parse(query, max_tokens=MAXIMUM_TOKENS)
        check_limits(document)
    except GraphQLError as error:
        if error.message.endswith(PARSING_ABORTED):
            refusal = QueryTooComplex(
                f"The document is too large: {MAXIMUM_TOKENS} tokens and {MAXIMUM_DEPTH} levels are allowed.",
                allowed=[f"1..{MAXIMUM_TOKENS} tokens", f"1..{MAXIMUM_DEPTH} levels"],
            )
            return CheckedDocument(None, show_errors([refusal_error(refusal)]))
        return CheckedDocument(None, show_errors([error]))
    except Refusal as refusal:
        return CheckedDocument(None, show_errors([refusal_error(refusal)]))
    rules: list[type[ASTValidationRule]] = [*specified_rules, *recommended_rules]
    if not introspection:
        rules.append(NoSchemaIntrospectionCustomRule)
    errors = validate(
        core_schema, document, rules, max_errors=MAXIMUM_VALIDATION_ERRORS, hide_suggestions=not introspection
    )
    if errors:
        return CheckedDocument(None, [show_validation_error(error) for error in errors])
    return CheckedDocument(document, switches=switches_of(document), is_public=is_public(core_schema, document))


class _Switches(Visitor):
    """Collects the variables that decide what is included or skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        if node.name.value in {"include", "skip"}:
            values = [argument.value for argument in node.arguments or ()]
            self.names |= {value.name.value for value in values if isinstance(value, VariableNode)}


def switches_of(document: DocumentNode) -> tuple[str, ...]:
    """The variables of a document that decide what is included or skipped."""
    switches = _Switches()
    visit(document, switches)
    return tuple(sorted(switches.names))


class CheckedDocuments:
    """What checking came to for the documents seen lately; bounded by their length, for a parsed one is far larger."""

    def __init__(self) -> None:
        self._checked: OrderedDict[tuple[str, bool], CheckedDocument] = OrderedDict()
        self._characters = 0

    def check(self, query: str, introspection: bool) -> CheckedDocument:
        """The checked document, from memory when it is there."""
        key = (query, introspection)
        checked = self._checked.get(key)
        if checked is not None:
            self._checked.move_to_end(key)
            return checked
        checked = _check(query, introspection)
        if len(query) > MAXIMUM_CHARACTERS:
            return checked
        self._checked[key] = checked
        self._characters += len(query)
        while self._characters > CACHED_CHARACTERS:
            (forgotten, _), _ = self._checked.popitem(last=False)
            self._characters -= len(forgotten)
        return checked
