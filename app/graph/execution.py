"""Execution: from a request to a response, the same for every transport."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
)
from graphql.execution import create_source_event_stream
from graphql.execution.values import VariableValues, get_variable_values

from app.core.cookies import Cookies
from app.core.errors import BadUserInput, OperationTimedOut
from app.graph.context import Context, Resources
from app.graph.documents import CheckedDocuments
from app.graph.errors import refusal_error, show_errors
from app.graph.metrics import Outcome, count_operation, count_refused_document
from app.graph.reads.executor import ReadExecutor, ReadPath, reads_of
from app.graph.reads.prepared import NOT_BY_PLANS, CompiledReadFailed, PreparedQuery, Unlearnt
from app.graph.reads.selections import NotDeclared
from app.graph.schema import core_schema
from app.identity.viewer import Caller

MAXIMUM_PREPARED = 16
NO_VARIABLES = VariableValues({}, {})

Response = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A GraphQL request as it came over any transport."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


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
            count_refused_document()
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
        outcome, path = Outcome.ERROR, None
        try:
            result, path = await self._within_deadline(operation, context, root)
            outcome = Outcome.ERROR if result.errors else Outcome.OK
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
            raise
        finally:
            count_operation(
                operation.definition,
                outcome,
                path=path if operation.is_query else None,
                statements=context.statements,
                seconds=perf_counter() - began,
            )
        response: Response = {} if _is_refused(result) else {"data": result.data}
        if result.errors:
            # They arise in the order in which statements come back; the reader gets them in the order of the answer.
            response["errors"] = show_errors(sorted(result.errors, key=_place))
        if self._settings.is_development:
            response["extensions"] = {"trove": {"path": path and path.value, "statements": context.statements}}
        return response

    async def _within_deadline(
        self, operation: Operation, context: Context, root: object
    ) -> tuple[ExecutionResult, ReadPath | None]:
        try:
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                return await _result(operation, context, root)
        except TimeoutError:
            return ExecutionResult(None, errors=[refusal_error(self._timed_out())]), None
        finally:
            await self._close(context)

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


def _place(error: GraphQLError) -> list[tuple[int, str]]:
    """Where an error stands in the response, to sort by."""
    return [(part, "") if isinstance(part, int) else (-1, part) for part in error.path or ()]


async def _result(operation: Operation, context: Context, root: object) -> tuple[ExecutionResult, ReadPath | None]:
    """Execute by compiled reads as far as they reach; what they cannot say is said by resolvers.

    The path is None where the values of variables are refused, so that nothing is read.
    """
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
        return ExecutionResult(None, errors=executor), None
    result = await _executed(executor)
    if context.overspent is not None and not operation.is_mutation:
        return ExecutionResult(None, errors=[refusal_error(context.overspent)]), executor.path
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


def _which_operation(name: str | None) -> BadUserInput:
    if name:
        return BadUserInput(f"The document has no operation named {name}.", argument="operationName")
    return BadUserInput("Say by `operationName` which operation of the document to run.", argument="operationName")
