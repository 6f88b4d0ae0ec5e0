"""Faults that the compiler might have, each planted into the compiler itself."""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Integer, literal_column, true

from app.core.database import DatabaseViewer, Statement, statement_of
from app.graph.reads import compiler, plans, rows, wire
from app.graph.reads.arguments import Narrowings
from app.graph.reads.fields import Edge
from app.graph.reads.selections import EdgeTo, Named

Plant = Callable[[pytest.MonkeyPatch], None]


class _NarrowsNothing(Narrowings):
    """Narrowings that are given, and forgotten."""

    def conditions(self, *_: Any) -> list[Any]:
        """None."""
        return []


def _in_edges(change: Callable[[Edge], Edge]) -> Plant:
    """The compiler takes the edges to be declared otherwise; the plain path does not."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        write = compiler._Writer.edge

        def edge(self: Any, edge_to: EdgeTo, key: Any) -> Any:
            return write(self, replace(edge_to, declaration=change(edge_to.declaration)), key)

        monkeypatch.setattr(compiler._Writer, "edge", edge)

    return plant


def _in_pages(change: Callable[[Any], Any]) -> Plant:
    """The compiler takes what pages are made of to be declared otherwise."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        write = compiler._PageWriter.__init__

        def begin(self: Any, writer: Any, page_of: Any, *rest: Any) -> None:
            write(self, writer, replace(page_of, declaration=change(page_of.declaration)), *rest)

        monkeypatch.setattr(compiler._PageWriter, "__init__", begin)

    return plant


def _in_statements(change: Callable[[Statement], Statement]) -> Plant:
    """What the compiler has written is changed before it is sent."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compiler, "statement_of", lambda select: change(statement_of(select)))

    return plant


def _instead_of(owner: Any, name: str, value: Any) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(owner, name, value)

    return plant


def _nulls_written_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wire, compiler):
        monkeypatch.setattr(module, "unless_null", lambda _, parts: parts)


def _with_order(order: Callable[[Sequence[Any]], Sequence[Any]], *, of_lists: bool) -> Callable[[Edge], Edge]:
    return lambda edge: replace(edge, order=order(edge.order)) if edge.is_list == of_lists else edge


def _aliases_swapped(statement: Statement) -> Statement:
    names = [name for name in statement.constants if name.startswith("alias_")]
    swapped = {name: statement.constants[other] for name, other in zip(names, reversed(names), strict=True)}
    return replace(statement, constants={**statement.constants, **swapped})


def _entries_under_each_others_names(monkeypatch: pytest.MonkeyPatch) -> None:
    write = compiler._Writer._entries

    def entries(self: Any, entries: Sequence[tuple[Named, Any]], *rest: Any) -> Any:
        given = [entry for _, entry in entries]
        names = [Named(named.response, f"{named.field}?") for named, _ in reversed(entries)]
        return write(self, list(zip(names, given, strict=True)), *rest)

    monkeypatch.setattr(compiler._Writer, "_entries", entries)


def _arguments_of_the_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every occurrence of an argument is given the values of the first."""

    def values(self: plans.BoundPlan, keys: Sequence[Any], context: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"operation_time": context.now, rows.KEYS: keys, rows.KEY: keys[0]}
        for place in range(len(self.bounds)):
            found |= rows.values_of(self.bounds[place - 1].values, compiler.prefix_of(place))
        return found

    monkeypatch.setattr(plans.BoundPlan, "values", values)


def _plans_that_forget_the_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan is taken for the document's, whichever of its fields were included."""
    find, keep = plans.Plans.find, plans.Plans.keep
    monkeypatch.setattr(plans.Plans, "find", lambda self, key: find(self, key[:1]))
    monkeypatch.setattr(plans.Plans, "keep", lambda self, key, *rest: keep(self, key[:1], *rest))


def _read_as(viewer_of: Callable[[DatabaseViewer | None], DatabaseViewer | None]) -> Plant:
    """Compiled statements are read as another viewer; the plain path's are not."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        read = plans.BoundPlan.json

        async def json(self: plans.BoundPlan, keys: Sequence[Any], context: Any, *, is_only_one: bool) -> Any:
            other = copy(context)
            other.snapshot = context.resources.database.snapshot(viewer=viewer_of(context.viewer.in_database))
            try:
                return await read(self, keys, other, is_only_one=is_only_one)
            finally:
                await other.snapshot.close()

        monkeypatch.setattr(plans.BoundPlan, "json", json)

    return plant


def _whoever_asked_before() -> Callable[[DatabaseViewer | None], DatabaseViewer | None]:
    before: list[DatabaseViewer | None] = [None]

    def viewer_of(viewer: DatabaseViewer | None) -> DatabaseViewer | None:
        last, before[0] = before[0], viewer or before[0]
        return last

    return viewer_of


def _rows_of_any_parent(edge: Edge) -> Edge:
    return replace(edge, where=None)


def _first_cursor_only(_: Any, columns: Sequence[Any], parameter: Any, first: int) -> Any:
    return columns[0] > parameter(first, columns[0].type)


FAULTS: dict[str, Plant] = {
    "lists are in no order": _in_edges(_with_order(lambda _: [literal_column("1")], of_lists=True)),
    "lists are ordered by what breaks ties first": _in_edges(_with_order(lambda by: by[::-1], of_lists=True)),
    "the best of several is not the first": _in_edges(_with_order(lambda by: by[::-1], of_lists=False)),
    "the condition of an edge is left out": _in_edges(_rows_of_any_parent),
    "the arguments of an edge do not narrow": _in_edges(lambda edge: replace(edge, narrowings=_NarrowsNothing())),
    "the filter of a page does not narrow": _in_pages(lambda page: replace(page, narrowings=_NarrowsNothing())),
    "pages are not those of their parent": _in_pages(lambda page: replace(page, to=None)),
    "a cursor is forgotten": _instead_of(compiler, "beyond", lambda *_: true()),
    "a cursor is taken without what breaks ties": _instead_of(compiler, "beyond", _first_cursor_only),
    "a page is one too long": _instead_of(compiler._PageWriter, "_shown_only", lambda _, aggregate: aggregate),
    "a page is at most two long": _instead_of(compiler, "LONGEST_PAGE_AND_ONE", literal_column("2", Integer())),
    "nobody looks whether there is more": _instead_of(compiler._PageWriter, "_asks_for_more", lambda _: False),
    "a null is written as nothing": _nulls_written_as_nothing,
    "aliases are swapped": _in_statements(_aliases_swapped),
    "entries stand under each other's names": _entries_under_each_others_names,
    "arguments are those of another field": _arguments_of_the_neighbour,
    "a row that belongs to another viewer is shown": _read_as(_whoever_asked_before()),
    "a row is hidden from who may see it": _read_as(lambda _: None),
    "a plan serves whatever is switched off": _plans_that_forget_the_switches,
}
_LISTS = {"items", "nodes", "variants", "photos", "series"}
_PAGES = {"items", "nodes", "edges", "pageInfo", "series", "points"}
# Fields by which a fault shows that few others show; documents ask for them more often then.
SHOWN_BY: Mapping[str, Collection[str]] = {
    "the filter of a page does not narrow": _PAGES,
    "pages are not those of their parent": _PAGES,
    "a cursor is forgotten": _PAGES,
    "a cursor is taken without what breaks ties": _PAGES,
    "a page is one too long": _PAGES,
    "a page is at most two long": _PAGES,
    "nobody looks whether there is more": _PAGES,
    "lists are in no order": _LISTS,
    "lists are ordered by what breaks ties first": _LISTS,
    "the best of several is not the first": {"items", "nodes", "price", "variants", "valuation"},
}
