"""Mutations asked by name, and what their payloads say."""

from typing import Any

from app.identity.viewer import Viewer
from tests.graph.conftest import Graph


async def change(graph: Graph, viewer: Viewer, name: str, shown: str, /, **input: Any) -> Any:
    """The payload of a mutation."""
    type_ = name[0].upper() + name[1:]
    payload = f"{shown} userErrors {{ code field message }}"
    query = f"mutation ($input: {type_}Input!) {{ {name}(input: $input) {{ {payload} }} }}"
    return (await graph.ask(query, viewer, input=input))[name]


async def done(graph: Graph, viewer: Viewer, name: str, shown: str, /, **input: Any) -> Any:
    """What a mutation gives that is not refused."""
    payload = await change(graph, viewer, name, shown, **input)
    assert payload["userErrors"] == []
    return payload


async def code_of(graph: Graph, viewer: Viewer, name: str, /, **input: Any) -> str:
    """Why a mutation is refused."""
    (error,) = (await change(graph, viewer, name, "__typename", **input))["userErrors"]
    return str(error["code"])
