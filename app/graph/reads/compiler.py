"""Writes a selection as one statement that builds its JSON, byte for byte as the plain path's response has it."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    column,
    func,
    literal_column,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from app.core.database import Statement, statement_of
from app.core.paging import MAXIMUM_PAGE_SIZE
from app.graph.reads.arguments import Bound, PageShape, beyond, parameter_named
from app.graph.reads.fields import Column, Embedded, GlobalId, PagedEdge
from app.graph.reads.layout import Shown
from app.graph.reads.rows import ARGUMENT, KEY, ROOT_KEY, keys_parameter, may_be_listed, order_of
from app.graph.reads.selections import (
    TYPENAME,
    EdgeTo,
    EmbeddedObject,
    Entry,
    Leaf,
    Named,
    Object,
    PageOf,
    Part,
    Rows,
    Selection,
    Typename,
)
from app.graph.reads.tables import Instead, Join, Scope, sources_in, substituted
from app.graph.reads.wire import Parts, cursor_text, failure, joined, public_id_text, text_of, unless_null

COMMA = text_of(",")
NULL = text_of("null")
# No page is longer; said in the statement itself, it lets the planner reckon with short pages.
LONGEST_PAGE_AND_ONE: ColumnElement[int] = literal_column(str(MAXIMUM_PAGE_SIZE + 1))


def prefix_of(occurrence: int) -> str:
    """How the parameters of one occurrence begin."""
    return f"{ARGUMENT}{occurrence}"


def statement_for(
    selection: Selection, bounds: Sequence[Bound], by: ColumnElement[Any] | None, *, is_of_one: bool
) -> Statement:
    """The statement of a selection: for each of the keys, the key and the JSON of what it leads to.

    `by` is the column that the keys are of, where the selection is of something referred to. With `is_of_one` there is
    one key and no array of them, so that PostgreSQL can plan once for all keys.
    """
    writer = _Writer(bounds)
    top = selection.top
    if isinstance(top, Rows):
        return statement_of(writer.rows(top))
    to = by if isinstance(top, Object) else top.declaration.to
    if to is None:
        return statement_of(select(literal_column(str(ROOT_KEY)), joined(_page_of_all(writer, top))))
    if is_of_one:
        key: ColumnElement[Any] = bindparam(KEY, type_=to.type)
        return statement_of(select(key, _json_of(writer, top, to, key)))
    parents = func.unnest(keys_parameter(to)).table_valued(column("key", to.type)).render_derived("parents")
    return statement_of(select(parents.c.key, _json_of(writer, top, to, parents.c.key)).select_from(parents))


def _page_of_all(writer: "_Writer", top: Object | EdgeTo | PageOf) -> Parts:
    if not isinstance(top, PageOf):
        raise TypeError("Only a page can be of a whole table.")
    return writer.page(top, None)


def _json_of(
    writer: "_Writer", top: Object | EdgeTo | PageOf, to: ColumnElement[Any], key: ColumnElement[Any]
) -> ColumnElement[Any]:
    if isinstance(top, Object):
        return writer.referred(top, to, key)
    return joined(writer.edge(top, key) if isinstance(top, EdgeTo) else writer.page(top, key))


def empty(top: Rows) -> str:
    """The JSON for a parent that has none of the rows."""
    if not top.declaration.is_list and not top.object.shown.relation.is_collected:
        return "null"
    if top.object.shown.relation.is_collected:
        ((_, entries),) = top.object.entries
        written = {named.response: entry.name if isinstance(entry, Typename) else [] for named, entry in entries}
        return orjson.dumps(written).decode()
    return "[]"


class _Writer:
    """Writes one selection; every value of the request stands in a parameter."""

    def __init__(self, bounds: Sequence[Bound]) -> None:
        self._bounds = bounds
        self._aliases = 0

    def referred(self, top: Object, by: ColumnElement[Any], key: ColumnElement[Any]) -> ColumnElement[Any]:
        """What a key refers to."""
        scope = _scope_of(top.shown)
        one = joined(self._object(top, scope))
        conditions = [scope.read(by) == key, *may_be_listed(top.shown.relation, scope)]
        return _within(select(one).where(*conditions).select_from(scope.from_clause()), key)

    def edge(self, edge_to: EdgeTo, key: ColumnElement[Any]) -> Parts:
        """The row or rows behind an edge."""
        declared = edge_to.declaration
        scope = _scope_of(edge_to.object.shown)
        scope.require(declared.joins)
        shape: Any = self._bounds[edge_to.occurrence].shape
        narrowed = declared.narrowings.conditions(shape, parameter_named(prefix_of(edge_to.occurrence)), 0)
        conditions = [scope.read(declared.to) == key, *(scope.read(condition) for condition in narrowed)]
        conditions += [] if declared.where is None else [scope.read(declared.where)]
        conditions += may_be_listed(edge_to.object.shown.relation, scope) if declared.is_list else []
        instead = declared.narrowings.instead(shape, parameter_named(prefix_of(edge_to.occurrence)))
        order = [scope.read(expression) for expression in order_of(declared, edge_to.object.shown.relation, instead)]
        one = joined(self._object(edge_to.object, scope, instead))
        if declared.is_list:
            listed = select(func.string_agg(one, aggregate_order_by(COMMA, *order))).where(*conditions)
            return ["[", _within(listed.select_from(scope.from_clause()), key), "]"]
        read = select(one).where(*conditions).select_from(scope.from_clause())
        if order:
            read = read.order_by(*order).limit(literal_column("1"))
        found = _within(read, key)
        if edge_to.field.is_nullable:
            return [func.coalesce(found, NULL)]
        # A foreign key alone does not make sure of it: the row may be hidden from the viewer.
        return [func.coalesce(found, failure(key))]

    def rows(self, rows: Rows) -> Any:
        """The rows of a select of its own, by their key.

        They are put in order once, and the aggregates take them as they come: an order of its own for each of them
        would be sorted for each of them.
        """
        shown, declared = rows.object.shown, rows.declaration
        own = Scope(shown.relation.table, shown.relation.table.alias())
        in_order = [own.read(expression) for expression in (declared.to, *declared.order)]
        ordered = select(own.base).order_by(*in_order)
        if declared.refused is not None:
            # The plain path then says what is wrong.
            fails = failure(text_of(rows.field.name)).is_(None)
            ordered = ordered.where(case((own.read(declared.refused.where), fails), else_=true()))
        scope = _scope_of(shown, ordered.subquery())
        key = scope.read(declared.to)
        if shown.relation.is_collected:
            json = joined(self._collected(rows.object, scope))
        elif not declared.is_list:
            return select(key, joined(self._object(rows.object, scope))).select_from(scope.from_clause())
        else:
            json = joined(["[", func.string_agg(joined(self._object(rows.object, scope)), COMMA), "]"])
        return select(key, json).select_from(scope.from_clause()).group_by(key)

    def _collected(self, wanted: Object, scope: Scope) -> Parts:
        ((_, entries),) = wanted.entries
        parts: Parts = []
        for named, entry in entries:
            parts += [*self.key(named, is_first=not parts)]
            if isinstance(entry, Typename):
                parts.append(f'"{entry.name}"')
                continue
            if not isinstance(entry, Leaf):
                raise TypeError(f"{named.field} is no column; a collected type has columns only.")
            item = joined(entry.field.leaf.items.json(_value(entry, scope, ())))
            parts += ["[", func.string_agg(item, COMMA), "]"]
        return [*parts, "}"] if parts else ["{}"]

    def page(self, page_of: PageOf, key: ColumnElement[Any] | None) -> Parts:
        """One page of a connection."""
        return _PageWriter(self, page_of, self._bounds[page_of.occurrence], key).parts()

    def _object(self, wanted: Object, scope: Scope, instead: Instead = ()) -> Parts:
        replaced = [*wanted.shown.relation.instead, *instead]
        written = [(shown, self._entries(entries, scope, replaced)) for shown, entries in wanted.entries]
        if len(written) == 1:
            return written[0][1]
        kinds = [(shown.kind.value, joined(parts)) for shown, parts in written if shown.kind is not None]
        stored = scope.read(wanted.shown.relation.kind)
        shown_as = ((stored == text_of(value), json) for value, json in kinds)
        return [case(*shown_as, else_=failure(stored))]

    def _entries(
        self,
        entries: Sequence[tuple[Named, Entry]],
        scope: Scope,
        instead: Instead,
    ) -> Parts:
        parts: Parts = []
        for named, entry in entries:
            parts += [*self.key(named, is_first=not parts), *self._entry(entry, scope, instead)]
        return [*parts, "}"] if parts else ["{}"]

    def _entry(self, entry: Entry, scope: Scope, instead: Instead) -> Parts:
        if isinstance(entry, Leaf):
            return _leaf(entry, scope, instead)
        if isinstance(entry, Typename):
            return _typename(entry, scope)
        if isinstance(entry, EmbeddedObject):
            return self._embedded(entry, scope, instead)
        key = scope.read(substituted(entry.declaration.on, instead))
        return self.edge(entry, key) if isinstance(entry, EdgeTo) else self.page(entry, key)

    def _embedded(self, entry: EmbeddedObject, scope: Scope, instead: Instead) -> Parts:
        declared: Embedded = entry.declaration
        own = [(old, substituted(new, instead)) for old, new in declared.instead]
        json = self._object(entry.object, scope, [*instead, *own])
        if declared.when is None:
            return json
        return [case((scope.read(substituted(declared.when, instead)), joined(json)), else_=NULL)]

    def key(self, named: Named, *, is_first: bool) -> Parts:
        """The name of an entry; one that the request chose is a value."""
        before = "{" if is_first else ","
        if named.response == named.field:
            return [f'{before}"{named.field}":']
        self._aliases += 1
        return [bindparam(f"alias_{self._aliases}", f'{before}"{named.response}":', type_=Text())]

    def object_json(self, wanted: Object, scope: Scope) -> ColumnElement[str]:
        """One object as text."""
        return joined(self._object(wanted, scope))


class _PageWriter:
    """Writes a page: the rows in order and numbered, cut off by the limit, then put together."""

    def __init__(self, writer: _Writer, page_of: PageOf, bound: Bound, key: ColumnElement[Any] | None) -> None:
        self._writer = writer
        self._declared: PagedEdge = page_of.declaration
        self._target = page_of.field.target
        self._wanted = page_of.parts
        self._shape: PageShape = bound.shape
        self._key = key
        self._parameter = parameter_named(prefix_of(page_of.occurrence))
        self._limit = self._parameter(0, Integer())
        rows = self._rows()
        self._scope = _scope_of(self._target, rows)
        self._number: ColumnElement[int] = rows.c.place_in_page
        self._uses_rows = False

    def parts(self) -> Parts:
        """The connection as JSON."""
        json = joined(self._object(self._wanted))
        if not self._uses_rows:
            return [json]
        return [_within(select(json).select_from(self._scope.from_clause()), self._key)]

    def _rows(self) -> FromClause:
        """The page's rows, with `number` in the direction of paging, and one more where it must be known of."""
        shape = self._shape
        scope = self._own_scope()
        columns = [scope.read(column) for column in shape.order.columns]
        is_descending = shape.order.is_descending != shape.is_backward
        order = [column.desc() if is_descending else column.asc() for column in columns]
        conditions = self._conditions(scope)
        if shape.has_cursor:
            conditions.append(beyond(shape, columns, self._parameter, 1))
        number = func.row_number().over(order_by=order).label("place_in_page")
        longest = select(scope.base, number).select_from(scope.from_clause()).where(*conditions)
        longest = longest.order_by(*order).limit(LONGEST_PAGE_AND_ONE)
        if self._key is not None:
            longest = longest.correlate(*sources_in(self._key))
        limit = self._limit + literal_column("1") if self._asks_for_more() else self._limit
        return select(longest.subquery()).limit(limit).subquery()

    def _own_scope(self) -> Scope:
        scope = _scope_of(self._target)
        scope.require(self._declared.joins)
        return scope

    def _conditions(self, scope: Scope) -> list[ColumnElement[bool]]:
        shape = self._shape
        first = 1 + (len(shape.order.columns) if shape.has_cursor else 0)
        narrowed = self._declared.narrowings.conditions(shape.narrowed_by, self._parameter, first)
        conditions = [scope.read(condition) for condition in narrowed]
        conditions += may_be_listed(self._target.relation, scope)
        if self._declared.to is not None and self._key is not None:
            conditions.insert(0, scope.read(self._declared.to) == self._key)
        return conditions

    def _asks_for_more(self) -> bool:
        asked = "hasPreviousPage" if self._shape.is_backward else "hasNextPage"
        return any(inner.named.field == asked for part in self._wanted for inner in part.parts)

    def _object(self, parts: Sequence[Part]) -> Parts:
        written: Parts = []
        for part in parts:
            written += [*self._writer.key(part.named, is_first=not written), *self._part(part)]
        return [*written, "}"] if written else ["{}"]

    def _part(self, part: Part) -> Parts:
        name = part.named.field
        if part.object is not None:
            return ["[", self._listed(self._writer.object_json(part.object, self._scope)), "]"]
        if name == "edges":
            return ["[", self._listed(self._edge(part)), "]"]
        if name == "pageInfo":
            return self._object(part.parts)
        if name == "totalCount":
            return [self._count()]
        return [f'"{part.type_name}"'] if name == TYPENAME else self._of_page_info(name)

    def _listed(self, json: ColumnElement[str]) -> ColumnElement[str]:
        self._uses_rows = True
        order = self._number.desc() if self._shape.is_backward else self._number.asc()
        listed: ColumnElement[str] = self._shown_only(func.string_agg(json, aggregate_order_by(COMMA, order)))
        return listed

    def _shown_only(self, aggregate: Any) -> Any:
        return aggregate.filter(self._number <= self._limit) if self._asks_for_more() else aggregate

    def _edge(self, part: Part) -> ColumnElement[str]:
        written: Parts = []
        for inner in part.parts:
            written += self._writer.key(inner.named, is_first=not written)
            if inner.object is not None:
                written.append(self._writer.object_json(inner.object, self._scope))
            elif inner.named.field == "cursor":
                written += ['"', self._cursor(), '"']
            else:
                written.append(f'"{inner.type_name}"')
        return joined([*written, "}"] if written else ["{}"])

    def _cursor(self) -> ColumnElement[str]:
        order = self._shape.order
        return cursor_text(order.cursor_name, [self._scope.read(column) for column in order.columns])

    def _of_page_info(self, name: str) -> Parts:
        backward = self._shape.is_backward
        if name in {"hasNextPage", "hasPreviousPage"}:
            if (name == "hasPreviousPage") != backward:
                return ["true" if self._shape.has_cursor else "false"]
            self._uses_rows = True
            return [case((func.count() > self._limit, text_of("true")), else_=text_of("false"))]
        self._uses_rows = True
        order = self._number.asc() if (name == "startCursor") != backward else self._number.desc()
        cursors = self._shown_only(func.array_agg(aggregate_order_by(self._cursor(), order)))
        cursor: ColumnElement[Any] = type_coerce(cursors, ARRAY(Text))[1]
        return unless_null(cursor, ['"', cursor, '"'])

    def _count(self) -> ColumnElement[Any]:
        scope = self._own_scope()
        conditions = self._conditions(scope)
        return _within(select(func.count()).where(*conditions).select_from(scope.from_clause()), self._key)


def _within(read: Select[*tuple[Any, ...]], key: ColumnElement[Any] | None) -> ColumnElement[Any]:
    """A read as one value within another, where the key stands."""
    return (read if key is None else read.correlate(*sources_in(key))).scalar_subquery()


def _scope_of(shown: Shown, shown_as: FromClause | None = None) -> Scope:
    """A scope over a type's rows, to which the tables of its kinds can be joined."""
    relation = shown.relation
    details = [
        Join(possible.kind.details.table, possible.kind.details == relation.key, is_outer=True)
        for possible in shown.possible
        if possible.kind is not None and relation.key is not None
    ]
    base = relation.table.alias() if shown_as is None else shown_as
    scope = Scope(relation.table, base, details)
    scope.require(relation.joins)
    return scope


def _leaf(entry: Leaf, scope: Scope, instead: Instead) -> Parts:
    declared = entry.field
    if isinstance(declared.declaration, GlobalId) and declared.owner is not None:
        return ['"', public_id_text(declared.tag.value, scope.read(declared.owner.key)), '"']
    value = _value(entry, scope, instead)
    parts = declared.leaf.json(value)
    if declared.leaf.is_nullable or declared.is_never_null:
        return parts
    return [case((value.is_(None), failure(text_of(declared.name))), else_=joined(parts))]


def _value(entry: Leaf, scope: Scope, instead: Instead) -> ColumnElement[Any]:
    declaration = entry.field.declaration
    if not isinstance(declaration, Column):
        raise TypeError(f"{entry.field.name} is no column.")
    return scope.read(substituted(declaration.expression, instead))


def _typename(entry: Typename, scope: Scope) -> Parts:
    if entry.shown is None:
        return [f'"{entry.name}"']
    stored = scope.read(entry.shown.relation.kind)
    kinds = [(possible.kind.value, possible.name) for possible in entry.shown.possible if possible.kind is not None]
    named = ((stored == text_of(value), text_of(name)) for value, name in kinds)
    return ['"', case(*named, else_=failure(stored)), '"']
