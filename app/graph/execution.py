"""Execution: from a request to a response, the same for every transport."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from functools import cache
from time import perf_counter
from typing import Any, cast

from graphql import (
    DirectiveNode,
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
    visit,
)
from graphql.execution import create_source_event_stream
from graphql.execution.values import VariableValues, get_variable_values
from graphql.validation import ASTValidationRule, NoSchemaIntrospectionCustomRule
from graphql.validation.specified_rules import recommended_rules
from prometheus_client import Counter, Histogram

from app.core.errors import BadUserInput, OperationTimedOut, QueryTooComplex, Refusal
from app.core.telemetry import OPERATION_SECONDS, OPERATION_STATEMENTS, OPERATIONS, READ_PATHS
from app.graph.access import is_public
from app.graph.context import Context, Resources
from app.core.cookies import Cookies
from app.graph.errors import refusal_error, show_errors, show_validation_error
from app.graph.limits import MAXIMUM_CHARACTERS, MAXIMUM_DEPTH, MAXIMUM_TOKENS, check_limits
from app.graph.reads.executor import ReadExecutor, ReadPath, reads_of
from app.graph.reads.prepared import NOT_BY_PLANS, CompiledReadFailed, PreparedQuery, Unlearnt
from app.graph.reads.selections import NotDeclared
from app.graph.schema import core_schema
from app.identity.viewer import Caller

# Of documents; parsed, a character takes some 150 bytes.
CACHED_CHARACTERS = 500_000
MAXIMUM_VALIDATION_ERRORS = 10
MAXIMUM_PREPARED = 16
UNKNOWN_OPERATION = "(other)"
# How graphql-core ends the message of a document with too many tokens, or nested beyond the interpreter's stack.
PARSING_ABORTED = "Parsing aborted."

NO_VARIABLES = VariableValues({}, {})

Response = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A GraphQL request as it came over any transport."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    extensions: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A request whose document is parsed, within the limits, valid, and says which operation is meant.

    `switches` are the variables that decide what is included or skipped; `resolvers_only` forbids compiled reads. What
    `is_public` is the same for everybody.
    """

    document: DocumentNode
    definition: OperationDefinitionNode
    variables: dict[str, Any]
    name: str | None
    switches: tuple[str, ...] = ()
    resolvers_only: bool = False
    is_public: bool = False
    # By operation and switches; it belongs to the document, and is shared by all its requests.
    prepared: dict[tuple[object, ...], PreparedQuery | None] = field(default_factory=dict)

    @property
    def is_query(self) -> bool:
        """Whether it only reads, and may come by GET."""
        return self.definition.operation is OperationType.QUERY

    @property
    def is_mutation(self) -> bool:
        """Whether it changes something."""
        return self.definition.operation is OperationType.MUTATION

    @property
    def is_subscription(self) -> bool:
        """Whether it answers with a stream."""
        return self.definition.operation is OperationType.SUBSCRIPTION


class RequestRefused(Exception):
    """The request cannot be executed; `errors` are ready to be shown."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


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


class Engine:
    """Runs operations over the resources of this process."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self._settings = resources.settings
        self._documents = CheckedDocuments()
        self._closing: set[asyncio.Task[None]] = set()

    def prepare(self, request: Request, *, resolvers_only: bool = False) -> Operation:
        """Parse, measure and validate; raises RequestRefused with every reason found."""
        checked = self._documents.check(request.query, self._settings.is_development)
        if checked.errors or checked.document is None:
            OPERATIONS.labels(UNKNOWN_OPERATION, "unknown", "refused").inc()
            raise RequestRefused(checked.errors)
        definition = get_operation_ast(checked.document, request.operation_name)
        if definition is None:
            raise RequestRefused(show_errors([refusal_error(_which_operation(request.operation_name))]))
        return Operation(
            checked.document,
            definition,
            request.variables or {},
            request.operation_name,
            checked.switches,
            resolvers_only=resolvers_only or self._settings.reads == "resolvers",
            is_public=checked.is_public,
            prepared=checked.prepared,
        )

    async def run(
        self, operation: Operation, caller: Caller, *, cookies: Cookies | None = None, resolvers_only: bool = False
    ) -> Response:
        """Execute a query or a mutation within its deadline; with `resolvers_only` without compiled reads."""
        if resolvers_only:
            operation = replace(operation, resolvers_only=True)
        return await self._execute(operation, caller, cookies=cookies, root=None)

    async def open_stream(self, operation: Operation, caller: Caller) -> AsyncGenerator[object, None]:
        """The events of a subscription; close it to end the subscription. Raises RequestRefused if it cannot begin."""
        context = Context(self.resources, caller)
        try:
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                source = await self._source(operation, context)
        except TimeoutError:
            raise RequestRefused(show_errors([refusal_error(self._timed_out())])) from None
        finally:
            await self._close(context)
        if isinstance(source, ExecutionResult):
            raise RequestRefused(show_errors(source.errors))
        events: AsyncGenerator[object, None] = source
        return events

    async def answer_event(self, operation: Operation, caller: Caller, event: object) -> Response:
        """The response to one event of a subscription."""
        return await self._execute(operation, caller, cookies=None, root=event)

    async def _source(self, operation: Operation, context: Context) -> Any:
        executor = _executor(operation, context, None, compiles=False)
        if isinstance(executor, list):
            return ExecutionResult(None, errors=executor)
        source = create_source_event_stream(executor)
        return await source if asyncio.iscoroutine(source) else source

    async def _execute(
        self, operation: Operation, caller: Caller, *, cookies: Cookies | None, root: object
    ) -> Response:
        context = Context(self.resources, caller, cookies=cookies, is_public=operation.is_public)
        began = perf_counter()
        path = ReadPath.RESOLVERS
        try:
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                result, path = await _result(operation, context, root)
        except TimeoutError:
            result = ExecutionResult(None, errors=[refusal_error(self._timed_out())])
        finally:
            await self._close(context)
        self._record(operation, context, result, path, perf_counter() - began)
        response: Response = {} if _is_refused(result) else {"data": result.data}
        if result.errors:
            # They arise in the order in which statements come back; the reader gets them in the order of the answer.
            response["errors"] = show_errors(sorted(result.errors, key=_place))
        if self._settings.is_development:
            response["extensions"] = {"trove": {"path": path.value, "statements": context.statements}}
        return response

    async def _close(self, context: Context) -> None:
        """Give the connection back, also when the operation is being cancelled meanwhile."""
        if context.snapshot.is_idle:
            await context.close()
            return
        closing = asyncio.create_task(context.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    def _timed_out(self) -> OperationTimedOut:
        return OperationTimedOut(
            f"The operation took longer than {self._settings.operation_timeout_seconds:g} seconds and was cancelled; "
            "ask for less at a time."
        )

    def _record(
        self, operation: Operation, context: Context, result: ExecutionResult, path: ReadPath, seconds: float
    ) -> None:
        kind = operation.definition.operation.value
        name = operation.definition.name.value if operation.definition.name else UNKNOWN_OPERATION
        metrics = _metrics(_known_name(name), kind, "error" if result.errors else "ok", path)
        metrics.operations.inc()
        metrics.seconds.observe(seconds)
        metrics.statements.observe(context.statements)
        if operation.is_query:
            metrics.paths.inc()


def _place(error: GraphQLError) -> list[tuple[int, str]]:
    """Where an error stands in the response, to sort by."""
    return [(part, "") if isinstance(part, int) else (-1, part) for part in error.path or ()]


@dataclass(frozen=True, slots=True)
class _Metrics:
    """What is counted of one sort of operation."""

    operations: Counter
    seconds: Histogram
    statements: Histogram
    paths: Counter


@cache
def _metrics(name: str, kind: str, outcome: str, path: ReadPath) -> _Metrics:
    return _Metrics(
        OPERATIONS.labels(name, kind, outcome),
        OPERATION_SECONDS.labels(kind),
        OPERATION_STATEMENTS.labels(kind),
        READ_PATHS.labels(path),
    )


async def _result(operation: Operation, context: Context, root: object) -> tuple[ExecutionResult, ReadPath]:
    """Execute by compiled reads as far as they reach; what they cannot say is said by resolvers."""
    if operation.is_query and not operation.resolvers_only:
        try:
            data = await _compiled(operation, context)
        except NOT_BY_PLANS:
            pass
        except CompiledReadFailed:
            await context.begin_again()
            operation = replace(operation, resolvers_only=True)
        else:
            return ExecutionResult(data, None), ReadPath.COMPILED
    compiles = not operation.resolvers_only and not operation.is_mutation
    executor = _executor(operation, context, root, compiles=compiles)
    if isinstance(executor, list):
        return ExecutionResult(None, errors=executor), ReadPath.RESOLVERS
    result = await _executed(executor)
    if executor.failed:
        await context.begin_again()
        return await _result(replace(operation, resolvers_only=True), context, root)
    return result, executor.path


async def _compiled(operation: Operation, context: Context) -> dict[str, Any]:
    """The data of a query that plans can answer; raises one of NOT_BY_PLANS, or CompiledReadFailed."""
    variables = _variables(operation)
    key = (operation.name, *(variables.coerced.get(name) for name in operation.switches))
    if key not in operation.prepared:
        if len(operation.prepared) >= MAXIMUM_PREPARED:
            operation.prepared.clear()
        operation.prepared[key] = _prepared(operation, context)
    prepared = operation.prepared[key]
    if prepared is None:
        raise NotDeclared
    plans = reads_of(core_schema).plans
    executor: ReadExecutor | list[GraphQLError] | None = None
    # Each of its roots may refer to something new in this request.
    for _ in prepared.roots:
        try:
            return await prepared.data(plans, variables, context)
        except Unlearnt as unlearnt:
            executor = executor or _executor(operation, context, None, compiles=True)
            if isinstance(executor, list):
                raise NotDeclared from None
            executor.learn(unlearnt.root, unlearnt.reference)
    try:
        return await prepared.data(plans, variables, context)
    except Unlearnt:
        # More than can be kept at once.
        raise NotDeclared from None


def _prepared(operation: Operation, context: Context) -> PreparedQuery | None:
    executor = _executor(operation, context, None, compiles=True)
    if isinstance(executor, list):
        raise NotDeclared
    try:
        return executor.prepared()
    except NotDeclared:
        return None


def _variables(operation: Operation) -> VariableValues:
    definitions = operation.definition.variable_definitions
    if not definitions:
        return NO_VARIABLES
    variables = get_variable_values(core_schema, definitions, operation.variables)
    if isinstance(variables, list):
        raise variables[0]
    return variables


async def _executed(executor: ReadExecutor) -> ExecutionResult:
    try:
        result: Any = executor.execute_operation()
        finished: ExecutionResult = result if isinstance(result, ExecutionResult) else await result
        return finished
    finally:
        executor.forget()


def _executor(
    operation: Operation, context: Context, root: object, *, compiles: bool
) -> ReadExecutor | list[GraphQLError]:
    executor = ReadExecutor.build(
        core_schema,
        operation.document,
        root_value=root,
        context_value=context,
        raw_variable_values=operation.variables,
        operation_name=operation.name,
        source_document=operation.document,
        switches=operation.switches,
        compiles=compiles,
    )
    return cast("ReadExecutor | list[GraphQLError]", executor)


def _is_refused(result: ExecutionResult) -> bool:
    """Whether nothing was executed; the response then has no `data`, which is not the same as null."""
    return result.data is None and all(error.path is None for error in result.errors or ())


MAXIMUM_OPERATION_NAMES = 500
_operation_names: set[str] = set()


def _known_name(name: str) -> str:
    """The operation's name as a label; clients choose names, so only so many become labels of their own."""
    if name not in _operation_names and len(_operation_names) < MAXIMUM_OPERATION_NAMES:
        _operation_names.add(name)
    return name if name in _operation_names else UNKNOWN_OPERATION


def _which_operation(name: str | None) -> BadUserInput:
    if name:
        return BadUserInput(f"The document has no operation named {name}.", argument="operationName")
    return BadUserInput("Say by `operationName` which operation of the document to run.", argument="operationName")
