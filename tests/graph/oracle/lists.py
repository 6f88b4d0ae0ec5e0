"""The lists of the schema that are read page by page, and where each stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from graphql import GraphQLArgument, GraphQLObjectType, get_named_type

from app.core.ids import PublicIdTag
from app.graph.schema import NODE_TYPES, core_schema

# Types that have lists and no ids, by the list of the root that has them all.
OWNERS_WITHOUT_IDS = {"Job": "jobs"}


@dataclass(frozen=True, slots=True)
class ListField:
    """A list by its field and the type that has it; `tag` is that of the type's ids, None at the root."""

    owner: str
    name: str
    entry: str
    tag: PublicIdTag | None

    @property
    def cursors(self) -> str:
        """The name under which its cursors are kept: what is in a watchlist has the name of another list."""
        return "watchlistItems" if self.owner == "Watchlist" else self.name

    def placed(self, body: str) -> str:
        """What is asked for of the list, where it stands; of one without an id below what lists its owners."""
        within = OWNERS_WITHOUT_IDS.get(self.owner)
        return body if within is None else f"{within}(first: 100) {{ nodes {{ {body} }} }}"

    @property
    def arguments(self) -> dict[str, GraphQLArgument]:
        """What the field takes."""
        owner: Any = core_schema.type_map[self.owner]
        return dict(owner.fields[self.name].args)


def _lists() -> Sequence[ListField]:
    tags = {node_type.__name__: tag for tag, (node_type, _) in NODE_TYPES.items()}
    return [
        ListField(owner.name, name, _entry_of(get_named_type(field.type)), _tag_of(owner, tags))
        for owner in core_schema.type_map.values()
        if isinstance(owner, GraphQLObjectType)
        for name, field in owner.fields.items()
        if {"first", "after", "last", "before"} <= set(field.args)
    ]


def _tag_of(owner: GraphQLObjectType, tags: Mapping[str, PublicIdTag]) -> PublicIdTag | None:
    """The tag of a type's ids; a kind of item has that of items."""
    return next((tags[name] for name in (owner.name, *(each.name for each in owner.interfaces)) if name in tags), None)


def _entry_of(connection: Any) -> str:
    entry = get_named_type(cast("GraphQLObjectType", connection).fields["nodes"].type)
    return str(entry.name)


LISTS = _lists()
