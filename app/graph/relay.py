"""Nodes and connections by the Relay conventions, over rows and keyset cursors."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

import strawberry
from strawberry import Parent

from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag, parse_public_id
from app.graph.fields import attribute, resolved
from app.graph.reads.fields import global_id

Row = TypeVar("Row")
NodeType = TypeVar("NodeType")


@strawberry.interface(description="Anything that has an id and can be fetched again with `node(id)`.")
class Node:
    id: strawberry.ID = global_id("The opaque global id; do not take it apart.")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = attribute("Whether there is more after this page (known when paging forward).")
    has_previous_page: bool = attribute("Whether there is more before this page (known when paging backward).")
    start_cursor: str | None = attribute("Cursor of the first edge, null on an empty page.")
    end_cursor: str | None = attribute("Cursor of the last edge, null on an empty page.")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """The rows of one page in their shown order, with how to name their positions and how to count the whole list."""

    rows: Sequence[Row]
    has_next_page: bool
    has_previous_page: bool
    cursor: Callable[[Row], str]
    count: Callable[[], Awaitable[int]]

    @property
    def edges(self) -> Sequence["PageEdge[Row]"]:
        return [PageEdge(row, self.cursor(row)) for row in self.rows]

    @property
    def nodes(self) -> Sequence[Row]:
        return self.rows

    @property
    def page_info(self) -> PageInfo:
        return PageInfo(
            has_next_page=self.has_next_page,
            has_previous_page=self.has_previous_page,
            start_cursor=self.cursor(self.rows[0]) if self.rows else None,
            end_cursor=self.cursor(self.rows[-1]) if self.rows else None,
        )


@dataclass(frozen=True, slots=True)
class PageEdge(Generic[Row]):
    """A row and the cursor of its position."""

    node: Row
    cursor: str


@strawberry.type(description="An entry of a list, with the cursor of its position.")
class Edge(Generic[NodeType]):
    node: NodeType = attribute("The entry itself.")
    cursor: str = attribute("The position of this entry, for `after` and `before`.")


@strawberry.type(description="One page of a list that can grow.")
class Connection(Generic[NodeType]):
    edges: list[Edge[NodeType]] = attribute("The entries of this page with their cursors.")
    nodes: list[NodeType] = attribute("The entries of this page.")
    page_info: PageInfo = attribute("Where this page lies in the list.")

    @resolved("How many entries the whole list has; counted only when asked for.")
    @staticmethod
    async def total_count(root: Parent[Page[object]]) -> int:
        return await root.count()


def key_of(id: str, tag: PublicIdTag, *, argument: str) -> UUID | int | None:
    """The key behind an id of the wanted type; None when it is an id of something else, a refusal when it is no id."""
    parsed = parse_public_id(id)
    if parsed is None:
        raise BadUserInput(
            f"`{argument}` is not an id of Trove; use one that the API gave you.",
            argument=argument,
            allowed=["an `id` that the API gave"],
        )
    return parsed[1] if parsed[0] is tag else None
