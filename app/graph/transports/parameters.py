"""The parameters of a GraphQL request, the same in a body, in a URL and in a message of a socket."""

from collections.abc import Mapping
from typing import Any

import orjson

from app.core.errors import BadUserInput
from app.graph.execution import Request


def parse_json(text: bytes | str, name: str) -> Any:
    """A JSON document, or the sentence that tells where it is broken."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadUserInput(f"{name} is not JSON: {error.msg} at character {error.pos + 1}.") from error


def request_from(parameters: object) -> Request:
    """The request in a JSON object; a refusal names the parameter that is at fault."""
    if isinstance(parameters, list):
        raise BadUserInput("Batches are not taken: send one operation at a time, as an object.")
    if not isinstance(parameters, dict):
        raise BadUserInput("A request is an object with `query`, and maybe `variables`, `operationName`, `extensions`.")
    query = parameters.get("query")
    if not isinstance(query, str) or not query:
        raise BadUserInput("`query` is missing: send the GraphQL document in it, as a string.", argument="query")
    operation_name = parameters.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise BadUserInput("`operationName` must be a string or null.", argument="operationName")
    # GraphQL over HTTP wants an object or null, also of a server that reads no extension.
    _object(parameters, "extensions")
    return Request(query, _object(parameters, "variables"), operation_name or None)


def request_from_url(parameters: Mapping[str, str]) -> Request:
    """The request in a URL, where `variables` and `extensions` are JSON texts."""
    decoded: dict[str, object] = dict(parameters)
    for name in ("variables", "extensions"):
        if name in parameters:
            decoded[name] = parse_json(parameters[name], f"`{name}`") if parameters[name] else None
    return request_from(decoded)


def _object(parameters: Mapping[str, object], name: str) -> dict[str, Any] | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadUserInput(f"`{name}` must be an object or null.", argument=name)
    return value
