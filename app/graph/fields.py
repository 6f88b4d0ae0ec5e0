"""How fields are declared: over a row of a room's queries, and never without a description."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar, cast

import strawberry

from app.graph.access import ACCESS, BY_VIEWER
from app.identity.access import Access

Resolver = TypeVar("Resolver", bound=Callable[..., Any])
Values = TypeVar("Values", bound=Enum)


def attribute(description: str, *, name: str | None = None) -> Any:
    """A field that the row has under the same name."""
    return strawberry.field(name=name, description=description)


def resolved(
    description: str,
    *,
    type: Any = None,
    name: str | None = None,
    access: Access | None = None,
    by_viewer: bool = False,
) -> Callable[[Resolver], Resolver]:
    """A field with a resolver: a static method which gets the row as `root: Parent[Row]`.

    `type` is the GraphQL type where the resolver returns a row: the graph has types, the rooms have rows. `access` says
    who may ask; every root field has to say it. `by_viewer` says that not everybody sees the same.
    """

    def declare(resolver: Resolver) -> Resolver:
        field = strawberry.field(
            resolver=cast("Any", resolver),
            graphql_type=type,
            name=name,
            description=description,
            metadata=_metadata(access) | ({BY_VIEWER: True} if by_viewer else {}),
        )
        return cast("Resolver", field)

    return declare


def streamed(description: str, *, type: Any, access: Access) -> Callable[[Resolver], Resolver]:
    """A subscription field: a static method that gives an asynchronous iterator of rows, each shown as `type`."""

    def declare(resolver: Resolver) -> Resolver:
        field = strawberry.subscription(
            resolver=cast("Any", resolver), graphql_type=type, description=description, metadata=_metadata(access)
        )
        return cast("Resolver", field)

    return declare


def _metadata(access: Access | None) -> dict[Any, Any]:
    return {} if access is None else {ACCESS: access}


def show_enum(
    values: type[Values], description: str, meanings: Mapping[Values, str], *, name: str | None = None
) -> None:
    """Show a room's enum in the graph, each of its values with its meaning.

    Raises TypeError where a field has shown it already, under its own name and without meanings.
    """
    if hasattr(values, "__strawberry_definition__"):
        raise TypeError(f"{values.__name__} is shown already: show it with its meanings before a field is of it.")
    strawberry.enum(values, name=name, description=description)
    for value in cast("Any", values).__strawberry_definition__.values:
        value.description = meanings[values[value.name]]
