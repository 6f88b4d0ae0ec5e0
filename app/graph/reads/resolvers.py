"""The plain path: resolvers of declared fields over rows, each asking a loader for all parents at once."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import orjson
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema
from sqlalchemy.sql.selectable import FromClause

from app.core.database import Snapshot, Statement
from app.core.ids import public_id
from app.core.loaders import Loaders
from app.core.paging import encode_cursor
from app.graph.reads.arguments import Bound, OperationContext, PageShape
from app.graph.reads.fields import (
    Column,
    Computed,
    ComputedShape,
    Edge,
    Embedded,
    GlobalId,
    KeyedRows,
    PagedEdge,
    Reference,
    Referring,
)
from app.graph.reads.layout import FIRST_VALUE, Field, Layout, Layouts, Row, Shown
from app.graph.reads.rows import (
    GIVEN_ROWS,
    KEYS,
    ROOT_KEY,
    count_of_rows,
    every_value,
    given_rows,
    keyed_rows,
    new_keys,
    page_of_rows,
    rows_by,
    rows_by_edge,
    values_of,
)
from app.graph.relay import Page
from app.graph.scalars import write_date_time

Resolve = Callable[..., Any]


class ReadContext(OperationContext, Protocol):
    """What a read takes from its operation."""

    snapshot: Snapshot
    loaders: Loaders


class PlainReads:
    """Reads rows by the declarations; each statement is written once, when it is first needed."""

    def __init__(self, layouts: Layouts) -> None:
        self.layouts = layouts
        self._statements: dict[Hashable, Statement] = {}

    def attach(self, schema: GraphQLSchema) -> None:
        """Give every declared field its resolver, and every declared interface its way to tell its types apart."""
        for (type_name, field_name), field in self.layouts.fields.items():
            owner = schema.type_map[type_name]
            if isinstance(owner, GraphQLObjectType):
                owner.fields[field_name].resolve = self._resolver(field)
        for shown in self.layouts.types.values():
            every_value(shown.layout)
            shown.layout.complete()
            if isinstance(shown.graphql_type, GraphQLObjectType):
                shown.graphql_type.is_type_of = None
        for graphql_type in schema.type_map.values():
            if isinstance(graphql_type, GraphQLInterfaceType) and not graphql_type.name.startswith("__"):
                graphql_type.resolve_type = _type_of_row

    def _resolver(self, field: Field) -> Resolve:
        declaration = field.declaration
        if isinstance(declaration, GlobalId | Column):
            return self._details(field) if field.in_details else column_reader(field)
        if isinstance(declaration, Embedded):
            return _embedded(field)
        if isinstance(declaration, Referring):
            return _referring(declaration)
        if isinstance(declaration, Edge):
            return self._edge(field, declaration)
        if isinstance(declaration, KeyedRows):
            return self._keyed_rows(field, declaration)
        if isinstance(declaration, PagedEdge):
            return self._page(field, declaration)
        raise TypeError(f"{field.name} is declared as {declaration}, which nothing resolves.")

    def _details(self, field: Field) -> Resolve:
        owner = field.owner
        if owner is None or owner.details is None:
            raise TypeError(f"{field.name} belongs to no type with details of its own.")
        question = ("details", owner.details)

        async def resolve(source: Row, info: GraphQLResolveInfo[Any]) -> Any:
            context: ReadContext = info.context

            async def ask(keys: list[Any]) -> Mapping[Any, Row]:
                return await self.details_of(context, owner, keys)

            loader = context.loaders.by_key(question, ask, None, owner.name)
            details = await loader.load(source[owner.key_place])
            return None if details is None else details[field.place]

        return resolve

    async def details_of(self, context: ReadContext, owner: Shown, keys: Sequence[Any]) -> Mapping[Any, Row]:
        """The rows of a type's own table, by the keys of the rows that they belong to."""
        if owner.details is None or owner.kind is None:
            raise TypeError(f"{owner.name} has no details of its own.")
        layout, column = owner.details, owner.kind.details
        statement = self._statement(("details", layout), lambda: rows_by(layout, column))
        ask = self._asking(context, statement, {}, layout, first_of_each)
        return await ask(list(keys))

    async def rows_of_edge(
        self, context: ReadContext, field: Field, edge: Edge, bound: Bound, keys: Sequence[Any]
    ) -> Mapping[Any, Any]:
        """For each key the row or the rows that an edge leads to; nothing for a key that leads nowhere."""
        layout, shape = field.target.layout, bound.shape
        if edge.computed is not None and isinstance(shape, ComputedShape):
            return await self._computed_rows(context, edge, edge.computed, layout, bound, keys)
        statement = self._statement((edge, shape), lambda: rows_by_edge(edge, layout, shape))
        collect = lists_of_each if edge.is_list else first_of_each
        return await self._asking(context, statement, values_of(bound.values), layout, collect)(list(keys))

    async def _computed_rows(
        self,
        context: ReadContext,
        edge: Edge,
        computed: Computed,
        layout: Layout,
        bound: Bound,
        keys: Sequence[Any],
    ) -> Mapping[Any, Row]:
        """The row that is computed for each key; SQL then makes of its columns what it makes of stored ones."""
        rows = await computed.compute(context, keys, dict(zip(bound.shape.names, bound.values, strict=True)))
        statement = self._statement((edge, "given"), lambda: given_rows(edge, layout))
        values = {GIVEN_ROWS: orjson.dumps(rows, default=str).decode()}
        return await self._asking(context, statement, values, layout, first_of_each)(list(keys))

    async def refer(self, context: ReadContext, reference: Reference) -> Row | None:
        """The row that is referred to; None when it is gone."""
        shown = self.layouts.of_class(reference.type)
        column = shown.key if reference.by is None else reference.by
        layout = shown.layout
        statement = self._statement(("rows", id(layout), str(column)), lambda: rows_by(layout, column))
        ask = self._asking(context, statement, {}, layout, first_of_each)
        loader = context.loaders.by_key(statement, ask, None, shown.name)
        row: Row | None = await loader.load(reference.key)
        if row is None:
            key = await new_key(context, shown.relation.moved_by(column), reference.key)
            row = None if key is None else await loader.load(key)
        return row

    def _edge(self, field: Field, edge: Edge) -> Resolve:
        missing: Any = () if edge.is_list else None

        async def resolve(source: Row, info: GraphQLResolveInfo[Any], /, **arguments: Any) -> Any:
            key = source[field.place]
            context: ReadContext = info.context
            bound = edge.bind(arguments, context)
            if key is None:
                return missing

            async def ask(keys: list[Any]) -> Mapping[Any, Any]:
                return await self.rows_of_edge(context, field, edge, bound, keys)

            return await context.loaders.by_key((edge, bound), ask, missing, field.name).load(key)

        return resolve

    def _keyed_rows(self, field: Field, rows: KeyedRows) -> Resolve:
        layout = field.target.layout
        gather = lists_of_each if rows.is_list else first_of_each
        missing: Any = () if rows.is_list else None

        refused = rows.refused
        refused_place = 0 if refused is None else layout.place_of(refused.where)

        def collect(found: Sequence[Row]) -> Mapping[Any, Any]:
            if refused is not None and any(row[refused_place] for row in found):
                raise refused.refusal()
            return gather(found)

        if layout.relation.is_collected:
            missing = (None, *(() for _ in layout.expressions))

        async def resolve(source: Row, info: GraphQLResolveInfo[Any], /, **arguments: Any) -> Any:
            context: ReadContext = info.context
            bound = rows.bind(arguments, context)
            statement = self._statement(rows, lambda: keyed_rows(rows, layout))
            values = named_values(bound)
            ask = self._asking(context, statement, values, layout, collect, keys_name=rows.keys)
            return await context.loaders.by_key((rows, bound), ask, missing, field.name).load(source[field.place])

        return resolve

    def _page(self, field: Field, edge: PagedEdge) -> Resolve:
        layout = field.target.layout

        async def resolve(source: Any, info: GraphQLResolveInfo[Any], /, **arguments: Any) -> Page[Row]:
            context: ReadContext = info.context
            bound = edge.bind(arguments, context)
            shape: PageShape = bound.shape
            statement = self._statement((edge, shape), lambda: page_of_rows(edge, layout, shape))
            ask = self._asking(context, statement, values_of(bound.values), layout, lists_of_each)
            key = ROOT_KEY if edge.on is None else source[field.place]
            rows = await context.loaders.by_key((edge, bound), ask, (), field.name).load(key)
            return page_of(rows, bound, shape, layout, lambda: self._count(context, field, edge, bound, key))

        return resolve

    async def _count(self, context: ReadContext, field: Field, edge: PagedEdge, bound: Bound, key: Any) -> int:
        layout = field.target.layout
        shape: PageShape = bound.shape
        statement = self._statement(
            (edge, "count", shape.narrowed_by), lambda: count_of_rows(edge, layout, shape.narrowed_by)
        )
        narrowed = bound.values[len(bound.values) - sum(shape.narrowed_by) :]
        ask = self._asking(context, statement, values_of(narrowed), layout, first_of_each)
        counted = await context.loaders.by_key(
            (edge, "count", shape.narrowed_by, narrowed), ask, None, field.name
        ).load(key)
        return 0 if counted is None else int(counted[FIRST_VALUE])

    def _statement(self, question: Hashable, write: Callable[[], Statement]) -> Statement:
        statement = self._statements.get(question)
        if statement is None:
            statement = self._statements[question] = write()
        return statement

    def _asking(
        self,
        context: ReadContext,
        statement: Statement,
        values: Mapping[str, Any],
        layout: Layout,
        collect: Callable[[Sequence[Row]], Mapping[Any, Any]],
        keys_name: str = KEYS,
    ) -> Callable[[list[Any]], Awaitable[Mapping[Any, Any]]]:
        async def ask(keys: list[Any]) -> Mapping[Any, Any]:
            everything = {**values, keys_name: keys, "operation_time": context.now}
            return collect(await context.snapshot.fetch(statement, everything, record_class=layout.row_class))

        return ask


async def new_key(context: ReadContext, moved: FromClause | None, key: Any) -> Any:
    """By what a row is found now that nothing has this key; None where there never was one."""
    if moved is None:
        return None
    statement = new_keys(moved)

    async def ask(keys: list[Any]) -> Mapping[Any, Any]:
        return dict(await context.snapshot.fetch(statement, {KEYS: keys}))

    return await context.loaders.by_key(statement, ask, None, "moved").load(key)


def named_values(bound: Bound) -> dict[str, Any]:
    """The values of a select with parameters of its own, by their names."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in zip(bound.shape, bound.values, strict=True)
    }


def first_of_each(rows: Sequence[Row]) -> Mapping[Any, Row]:
    """The first row of each key."""
    return {row[0]: row for row in reversed(rows)}


def lists_of_each(rows: Sequence[Row]) -> Mapping[Any, Sequence[Row]]:
    """The rows of each key, in their order."""
    lists: dict[Any, list[Row]] = {}
    for row in rows:
        lists.setdefault(row[0], []).append(row)
    return lists


def column_reader(field: Field) -> Resolve:
    """The value as the schema's own types complete it."""
    place = field.place
    if isinstance(field.declaration, GlobalId):
        tag = field.tag
        return lambda source, _info: public_id(tag, source[place])
    return lambda source, _info: source[place]


def embedded_row(field: Field, source: Any) -> Any:
    """The row of an object that stands in this row; None where its condition does not hold."""
    if field.when_place is not None and not source[field.when_place]:
        return None
    return (None, *(source[place] for place in field.places))


def _embedded(field: Field) -> Resolve:
    return lambda source, _info: embedded_row(field, source)


def _referring(declaration: Referring) -> Resolve:
    def resolve(_source: Any, info: GraphQLResolveInfo[Any], /, **arguments: Any) -> Any:
        return declaration.bind(arguments, info.context)

    return resolve


def _type_of_row(row: Any, _info: GraphQLResolveInfo[Any], _type: object) -> str:
    layout: Layout = row.layout
    return layout.shown_for(row).name


def page_of(
    rows: Sequence[Row], bound: Bound, shape: PageShape, layout: Layout, count: Callable[[], Awaitable[int]]
) -> Page[Row]:
    """A page from up to one row more than it has, read in the direction of paging."""
    more = len(rows) > bound.limit
    shown = rows[: bound.limit]
    places = [layout.place_of(column) for column in shape.order.columns]

    def cursor(row: Row) -> str:
        return encode_cursor(shape.order.cursor_name, [_in_cursor(row[place]) for place in places])

    return Page(
        rows=list(reversed(shown)) if shape.is_backward else list(shown),
        has_next_page=shape.has_cursor if shape.is_backward else more,
        has_previous_page=more if shape.is_backward else shape.has_cursor,
        cursor=cursor,
        count=count,
    )


def _in_cursor(value: Any) -> Any:
    if isinstance(value, str | int):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    return write_date_time(value) if hasattr(value, "astimezone") else str(value)
