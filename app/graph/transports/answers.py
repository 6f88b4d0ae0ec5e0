"""From a request to its answers: the one implementation behind HTTP, server-sent events and sockets."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Hashable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from graphql import FieldNode, FragmentDefinitionNode, Node, VariableNode, Visitor, visit
from starlette.applications import Starlette

from app.core.cookies import Cookies
from app.core.errors import ErrorCode
from app.core.telemetry import SUBSCRIPTIONS
from app.graph.errors import show_unexpected
from app.graph.execution import Engine, Operation, RequestRefused, Response
from app.graph.reads.fields import Reference
from app.identity.viewer import ANYONE, Caller, Viewer

# Answers are shared for as long as it takes to send them to everyone; few need to be kept.
SHARED_ANSWERS = 64
LARGEST_SHARED_ANSWER = 256 * 1024


class Answer:
    """One response, encoded once for however many it is sent to.

    `retry_after_seconds` is there where nothing is wrong but that there were too many tries.
    """

    def __init__(self, response: Response) -> None:
        self.json = orjson.dumps(response)
        self._errors = None if "data" in response else response["errors"]
        self.has_errors = "errors" in response
        self.retry_after_seconds = _retry_after(response.get("errors", ()))

    @property
    def refusal(self) -> list[dict[str, Any]] | None:
        """The errors, where nothing was executed because of them."""
        return self._errors

    @cached_property
    def text(self) -> str:
        """The JSON as text, for the frames of sockets."""
        return self.json.decode()


def _retry_after(errors: Sequence[Mapping[str, Any]]) -> int | None:
    if len(errors) != 1 or errors[0]["extensions"]["code"] != ErrorCode.RATE_LIMITED:
        return None
    seconds: int | None = errors[0]["extensions"].get("retryAfter")
    return seconds


@dataclass(frozen=True, slots=True)
class _Group:
    """Subscribers to whom an event is answered alike: same operation, same variables that matter, same viewer.

    What is the same for everybody is answered as to anybody, once for all.
    """

    operation: int
    variables: bytes
    viewer: Viewer


@dataclass(frozen=True, slots=True)
class _Shared:
    """An execution for a group; it holds on to the operation, so that no id comes to mean another."""

    operation: Operation
    answer: "asyncio.Task[Answer]"


class Answers:
    """Answers requests; one execution serves all subscribers who ask the same of the same event."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shared: OrderedDict[tuple[_Group, Hashable], _Shared] = OrderedDict()

    async def one(self, operation: Operation, caller: Caller, cookies: Cookies | None = None) -> Answer:
        """The answer to a query or a mutation."""
        try:
            return Answer(await self._engine.run(operation, caller, cookies=cookies))
        except Exception as error:  # noqa: BLE001  # the boundary: whatever it is, it is masked and logged
            return Answer({"errors": [show_unexpected(error)]})

    async def stream(self, operation: Operation, caller: Caller) -> AsyncGenerator[Answer, None]:
        """Every answer to an operation of any kind; close it to end the operation."""
        if not operation.is_subscription:
            yield await self.one(operation, caller)
            return
        SUBSCRIPTIONS.inc()
        try:
            async with aclosing(self._follow(operation, caller)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            SUBSCRIPTIONS.dec()

    async def _follow(self, operation: Operation, caller: Caller) -> AsyncGenerator[Answer, None]:
        try:
            source = await self._engine.open_stream(operation, caller)
        except RequestRefused as refused:
            yield Answer({"errors": refused.errors})
            return
        viewer = ANYONE if operation.is_public else caller.viewer
        group = _Group(id(operation.definition), orjson.dumps(_variables_that_matter(operation)), viewer)
        async with aclosing(source) as events:
            sent: Answer | None = None
            try:
                async for event in events:
                    answer = await self._answer(group, operation, event)
                    if not _is_repeat(event, answer, sent):
                        sent = answer
                        yield answer
            except Exception as error:  # noqa: BLE001  # the boundary: whatever it is, it is masked and logged
                yield Answer({"errors": [show_unexpected(error)]})

    async def _answer(self, group: _Group, operation: Operation, event: Hashable) -> Answer:
        key = (group, event)
        shared = self._shared.get(key)
        if shared is None:
            # A task of its own: the subscriber that came first may leave while others wait for the answer.
            task = asyncio.create_task(self._execute(operation, group.viewer, event))
            shared = self._shared[key] = _Shared(operation, task)
            if len(self._shared) > SHARED_ANSWERS:
                self._shared.popitem(last=False)
        answer = shared.answer.result() if shared.answer.done() else await asyncio.shield(shared.answer)
        if answer.has_errors or len(answer.json) > LARGEST_SHARED_ANSWER:
            # Those who wait for it now share it; it is not kept for those who come later. What failed, because the
            # database was away for a moment, may well succeed when the subscriber comes back for it.
            self._shared.pop(key, None)
        return answer

    async def _execute(self, operation: Operation, viewer: Viewer, event: object) -> Answer:
        return Answer(await self._engine.answer_event(operation, Caller(viewer), event))


def _is_repeat(event: object, answer: Answer, sent: Answer | None) -> bool:
    """Whether a state was told already: it may have come between the event before and the answer to that one."""
    is_state = isinstance(event, Reference) and event.version is not None
    return is_state and sent is not None and not answer.has_errors and answer.json == sent.json


def answers_of(application: Starlette) -> Answers:
    """The answers of this application."""
    if not hasattr(application.state, "answers"):
        application.state.answers = Answers(application.state.engine)
    answers: Answers = application.state.answers
    return answers


class _Variables(Visitor):
    """Collects the names of variables."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.names.add(node.name.value)


def _variables_that_matter(operation: Operation) -> dict[str, Any]:
    """The variables that shape the answer to an event: not those that only choose the events, such as a cursor."""
    variables = _Variables()
    for node in operation.document.definitions:
        if isinstance(node, FragmentDefinitionNode):
            visit(node, variables)
    for root in operation.definition.selection_set.selections:
        for part in _beyond_arguments(root):
            visit(part, variables)
    return {name: operation.variables[name] for name in sorted(variables.names & operation.variables.keys())}


def _beyond_arguments(root: Node) -> list[Node]:
    if not isinstance(root, FieldNode):
        return [root]
    return [*(root.directives or ()), *([root.selection_set] if root.selection_set else [])]
