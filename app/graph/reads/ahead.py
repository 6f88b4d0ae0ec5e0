"""Reading ahead on the plain path: the edges of a whole list of rows before any of them is completed.

Without it each row waits for its own future of a loader; so the values are there when the executor comes to them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import GraphQLError
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.execution.values import VariableValues, get_argument_values

from app.core.database import DATABASE_FAILURES
from app.core.errors import Refusal
from app.graph.reads.fields import Edge
from app.graph.reads.layout import Field, Row, Shown
from app.graph.reads.resolvers import PlainReads, ReadContext

CollectFields = Callable[[Shown, FieldDetailsList], GroupedFieldSet]
IsReadOtherwise = Callable[[Shown, FieldDetailsList], bool]


class Ahead:
    """What was read ahead in one operation, by the field of the document and the key that leads to it."""

    def __init__(
        self, plain: PlainReads, context: ReadContext, variables: VariableValues, collect: CollectFields
    ) -> None:
        self._plain = plain
        self._context = context
        self._variables = variables
        self._collect = collect
        self._found: dict[int, tuple[Field, dict[Any, Any]]] = {}
        self._lists: dict[int, Sequence[Row]] = {}

    def forget(self) -> None:
        """Let go of everything that was read."""
        self._found.clear()
        self._lists.clear()

    def value(self, details: FieldDetailsList, row: Any) -> tuple[Field, Any] | None:
        """The field and its value for a row, if it was read ahead."""
        known = self._found.get(id(details))
        if known is None:
            return None
        field, found = known
        key = row[field.owner.key_place if field.in_details and field.owner else field.place]
        return (field, found[key]) if key in found else None

    def is_due(self, rows: object) -> bool:
        """Whether these are rows whose edges have not been read."""
        return isinstance(rows, list) and bool(rows) and isinstance(rows[0], Row) and id(rows) not in self._lists

    async def read(self, rows: Sequence[Row], details: FieldDetailsList, is_read_otherwise: IsReadOtherwise) -> None:
        """Read the edges that are selected of these rows, and the edges of what they lead to."""
        self._lists[id(rows)] = rows
        by_type: dict[Shown, list[Row]] = {}
        for row in rows:
            by_type.setdefault(row.layout.shown_for(row), []).append(row)
        await asyncio.gather(
            *(
                self._read_field(shown, of_type, below, is_read_otherwise)
                for shown, of_type in by_type.items()
                for below in self._collect(shown, details).values()
            )
        )

    async def _read_field(
        self, shown: Shown, rows: Sequence[Row], details: FieldDetailsList, is_read_otherwise: IsReadOtherwise
    ) -> None:
        field = shown.fields.get(details[0].node.name.value)
        if field is None or is_read_otherwise(shown, details):
            return
        try:
            if field.in_details and field.owner is not None:
                await self._read_details(field, field.owner, rows, details)
            elif isinstance(field.declaration, Edge):
                children = await self._read_edge(field, field.declaration, rows, details)
                if children:
                    await self.read(children, details, is_read_otherwise)
        except (Refusal, GraphQLError, *DATABASE_FAILURES):
            # The resolver says so, for each row at its place.
            return

    async def _read_edge(
        self, field: Field, edge: Edge, rows: Sequence[Row], details: FieldDetailsList
    ) -> Sequence[Row]:
        arguments = get_argument_values(field.graphql_field, details[0].node, self._variables)
        bound = edge.bind(arguments, self._context)
        found = self._of(field, details)
        keys = _keys(rows, field.place, found)
        if keys:

            async def ask(of_all: list[Any]) -> Mapping[Any, Any]:
                return await self._plain.rows_of_edge(self._context, field, edge, bound, of_all)

            read = await self._context.loaders.together((edge, bound), ask, keys)
            missing: Any = () if edge.is_list else None
            found.update((key, read.get(key, missing)) for key in keys)
        if not edge.is_list:
            return [found[key] for key in keys if found[key] is not None]
        self._lists.update((id(found[key]), found[key]) for key in keys)
        return [row for key in keys for row in found[key]]

    async def _read_details(self, field: Field, owner: Shown, rows: Sequence[Row], details: FieldDetailsList) -> None:
        found = self._of(field, details)
        keys = _keys(rows, owner.key_place, found)
        if keys:

            async def ask(of_all: list[Any]) -> Mapping[Any, Row]:
                return await self._plain.details_of(self._context, owner, of_all)

            read = await self._context.loaders.together(("details", owner.details), ask, keys)
            found.update((key, read[key][field.place] if key in read else None) for key in keys)

    def _of(self, field: Field, details: FieldDetailsList) -> dict[Any, Any]:
        # Collected fields live as long as the executor, so that no id comes to mean another.
        return self._found.setdefault(id(details), (field, {}))[1]


def _keys(rows: Sequence[Row], place: int, found: Mapping[Any, Any]) -> list[Any]:
    return list(dict.fromkeys(row[place] for row in rows if row[place] is not None and row[place] not in found))
