"""What is asked, and the paths by which it can be answered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, cast

import orjson

from app.graph.errors import show_unexpected
from app.graph.execution import Engine, Request, RequestRefused, Response
from app.identity.viewer import ANYONE, Caller, Viewer


@dataclass(frozen=True, slots=True)
class Asked:
    """A document with what comes along with it, and who asks."""

    query: str
    variables: dict[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    viewer: Viewer = ANYONE

    def readable(self) -> str:
        """The request as one would paste it somewhere."""
        variables = orjson.dumps(self.variables, option=orjson.OPT_INDENT_2).decode()
        return (
            f"{self.query}\nvariables: {variables}\noperationName: {self.operation_name}\n"
            f"viewer: {self.viewer.user_id}, who may {', '.join(sorted(self.viewer.scopes)) or 'nothing of their own'}"
        )


Path = Callable[[Asked], Awaitable[Response]]

# Until the engine knows two paths, its only one is held against itself.
_KNOWS_TWO_PATHS = "resolvers_only" in signature(Engine.run).parameters


def usual_path(engine: Engine) -> Path:
    """The answers as clients get them."""

    async def answer(asked: Asked) -> Response:
        return await _run(engine, asked)

    return answer


def resolvers_path(engine: Engine) -> Path:
    """The answers of the resolvers alone."""

    async def answer(asked: Asked) -> Response:
        return await (_run(engine, asked, resolvers_only=True) if _KNOWS_TWO_PATHS else _run(engine, asked))

    return answer


async def _run(engine: Engine, asked: Asked, **how: bool) -> Response:
    try:
        operation = engine.prepare(Request(asked.query, asked.variables, asked.operation_name))
    except RequestRefused as refused:
        return {"errors": refused.errors}
    try:
        return cast("Response", await cast("Any", engine).run(operation, Caller(asked.viewer), **how))
    except Exception as error:  # noqa: BLE001  # as the transports show it
        return {"errors": [show_unexpected(error)]}
