"""What a declaration reads from: a table or a select, what is joined to it, and expressions over their columns."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import inspect
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause, ColumnElement
from sqlalchemy.sql.selectable import FromClause, Subquery, TableClause, TextualSelect
from sqlalchemy.sql.visitors import ExternallyTraversible

Source = Any  # a model, a table or a subquery
Expression = Any  # a model's attribute or an expression over some


def table_of(source: Source) -> FromClause:
    """The table of a model; tables and selects are themselves."""
    return source if isinstance(source, FromClause) else cast("FromClause", inspect(source).local_table)


def expression_of(expression: Expression) -> ColumnElement[Any]:
    """The column of a model's attribute; other expressions are themselves."""
    element = expression.__clause_element__() if hasattr(expression, "__clause_element__") else expression
    return cast("ColumnElement[Any]", element)


def name_of(table: FromClause) -> str:
    """The name by which a table or select is known among the declarations."""
    return str(getattr(table, "fullname", None) or getattr(table, "name", None))


def tables_in(expression: ColumnElement[Any]) -> set[str]:
    """The names of the tables whose columns an expression uses."""
    return {
        name_of(element.table)
        for element in visitors.iterate(expression)
        if isinstance(element, ColumnClause) and element.table is not None
    }


def tables_below(clauses: Iterable[ExternallyTraversible]) -> set[str]:
    """The names of all tables that tables, selects and expressions read, however deep inside."""
    names: set[str] = set()
    # Expressions share parts: each is looked at once, and kept, so that no id comes to mean another.
    seen: dict[int, ExternallyTraversible] = {}
    waiting = list(clauses)
    while waiting:
        element = waiting.pop()
        if id(element) in seen:
            continue
        seen[id(element)] = element
        waiting.extend(element.get_children())
        # What SQL written by hand reads cannot be seen, so it stands under a name of its own.
        is_by_hand = isinstance(element, Subquery) and isinstance(element.element, TextualSelect)
        if isinstance(element, TableClause) or is_by_hand:
            names.add(name_of(cast("FromClause", element)))
        # A column does not lead to what it is a column of.
        if isinstance(element, ColumnClause) and element.table is not None:
            waiting.append(element.table)
    return names


def sources_in(expression: ColumnElement[Any]) -> list[FromClause]:
    """The tables and aliases whose columns an expression uses."""
    columns = (element for element in visitors.iterate(expression) if isinstance(element, ColumnClause))
    return list({id(column.table): column.table for column in columns if column.table is not None}.values())


@dataclass(frozen=True, slots=True)
class Join:
    """A table whose one row belongs to each row of the base, by `on`; with `outer` there may be none."""

    table: FromClause
    on: ColumnElement[bool]
    is_outer: bool = False


def join(source: Source, on: Any, *, outer: bool = False) -> Join:
    """Join one row of another table; its columns may then be used like the base's own."""
    return Join(table_of(source), expression_of(on), outer)


class Scope:
    """One occurrence of a table in a statement: rewrites expressions of the declarations to its aliases.

    A joined table comes in when an expression first uses it.
    """

    def __init__(self, base: FromClause, shown_as: FromClause, joins: Sequence[Join] = ()) -> None:
        self.base = shown_as
        self._aliases: dict[str, FromClause] = {name_of(base): shown_as}
        self._joins = {name_of(join.table): join for join in joins}
        self._joined: list[tuple[FromClause, ColumnElement[bool], bool]] = []

    def read(self, expression: Expression) -> ColumnElement[Any]:
        """The expression over the aliases of this occurrence."""

        def replace(element: Any) -> Any:
            alias = self._alias(name_of(element.table))
            return None if alias is None else alias.c[element.key]

        return _with_columns(expression, replace)

    def from_clause(self) -> FromClause:
        """The base with everything that was joined."""
        clause = self.base
        for alias, on, is_outer in self._joined:
            clause = clause.join(alias, on, isouter=is_outer)
        return clause

    def require(self, joins: Sequence[Join]) -> None:
        """Join these whether or not an expression uses them, because they decide which rows there are."""
        self._joins |= {name_of(wanted.table): wanted for wanted in joins}
        for wanted in joins:
            self._alias(name_of(wanted.table))

    def _alias(self, name: str) -> FromClause | None:
        if name in self._aliases:
            return self._aliases[name]
        if name not in self._joins:
            return None
        joined = self._joins[name]
        alias = self._aliases[name] = joined.table.alias()
        self._joined.append((alias, self.read(joined.on), joined.is_outer))
        return alias


# Pairs of a column, and what stands in its place; of two for one column the later one counts.
Instead = Sequence[tuple[ColumnElement[Any], ColumnElement[Any]]]


def substituted(expression: Expression, instead: Instead) -> ColumnElement[Any]:
    """The expression with others in place of some of its columns."""
    if not instead:
        return expression_of(expression)
    replaced = {_column_key(old): new for old, new in instead}
    return _with_columns(expression, lambda column: replaced.get(_column_key(column)))


def _with_columns(expression: Expression, replace: Callable[[Any], Any]) -> ColumnElement[Any]:
    def replace_column(element: Any, **_: Any) -> Any:
        is_column = isinstance(element, ColumnClause) and element.table is not None
        return replace(element) if is_column else None

    replaced = visitors.replacement_traverse(expression_of(expression), {}, cast("Any", replace_column))
    return cast("ColumnElement[Any]", replaced)


def _column_key(column: Any) -> tuple[str, str]:
    return name_of(column.table), str(column.key)
