"""The plans of compiled reads: what one field of a document selects, and its statements, kept for the next request."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import DocumentNode
from graphql.execution.values import VariableValues
from sqlalchemy.sql.elements import ColumnElement

from app.core.database import Statement
from app.core.telemetry import READ_PLANS, READ_PLANS_KEPT
from app.graph.reads.arguments import Bound, OperationContext
from app.graph.reads.compiler import empty, prefix_of, statement_for
from app.graph.reads.resolvers import ReadContext, named_values, new_key
from app.graph.reads.rows import KEY, KEYS, values_of
from app.graph.reads.selections import Object, PageOf, Rows, Selection

MAXIMUM_PLANS = 2_000
# Of all statements and of the documents that the plans keep, a document counted for each of its plans.
MAXIMUM_CHARACTERS = 8_000_000
MAXIMUM_STATEMENTS_OF_A_PLAN = 32


@dataclass(eq=False, slots=True)
class Plan:
    """A selection with its statements, one for each shape of its arguments."""

    selection: Selection
    by: ColumnElement[Any] | None
    statements: dict[Hashable, Statement] = field(default_factory=dict)
    characters: int = 0
    kept_by: "Plans | None" = None

    def bind(self, variables: VariableValues, context: OperationContext, *, is_of_one: bool = False) -> "BoundPlan":
        """The plan with the arguments of one request, for one key or many; raises what the plain path would."""
        bounds = [occurrence.bind(variables, context) for occurrence in self.selection.occurrences]
        shape = (is_of_one, *(bound.shape for bound in bounds))
        statement = self.statements.get(shape)
        if statement is None:
            if len(self.statements) >= MAXIMUM_STATEMENTS_OF_A_PLAN:
                self.statements.clear()
                self._grow(-self.characters)
            statement = self.statements[shape] = statement_for(self.selection, bounds, self.by, is_of_one=is_of_one)
            self._grow(len(statement.text))
        return BoundPlan(self, statement, tuple(bound.values for bound in bounds), bounds)

    def _grow(self, characters: int) -> None:
        self.characters += characters
        if self.kept_by is not None:
            self.kept_by.grow(characters)

    @property
    def is_keyed(self) -> bool:
        """Whether it answers for parents, and not for the operation itself."""
        top = self.selection.top
        return not (isinstance(top, PageOf) and top.declaration.to is None)


@dataclass(frozen=True, slots=True)
class BoundPlan:
    """A plan with the values of one request."""

    plan: Plan
    statement: Statement
    question: Hashable
    bounds: Sequence[Bound]

    def values(self, keys: Sequence[Any], context: OperationContext) -> dict[str, Any]:
        """The values of the statement's parameters."""
        values: dict[str, Any] = {"operation_time": context.now}
        top = self.plan.selection.top
        below = 0
        if isinstance(top, Rows):
            values |= named_values(self.bounds[0])
            values[top.declaration.keys] = keys
            # Its own arguments have names; those of what its rows lead to have places, as everywhere.
            below = 1
        else:
            values |= {KEYS: keys, KEY: keys[0]}
        for place, bound in enumerate(self.bounds[below:], below):
            values |= values_of(bound.values, prefix_of(place))
        return values

    async def json(self, keys: Sequence[Any], context: ReadContext, *, is_only_one: bool) -> Mapping[Any, Any]:
        """The finished JSON for each key; none where a key leads nowhere."""
        rows = await context.snapshot.fetch(self.statement, self.values(keys, context), is_only_one=is_only_one)
        return {key: orjson.Fragment(json) for key, json in rows if json is not None}

    async def new_key(self, key: Any, context: ReadContext) -> Any:
        """Where the plan is of something referred to: by what it is found that nothing has this key; else None."""
        top, by = self.plan.selection.top, self.plan.by
        moved = top.shown.relation.moved_by(by) if isinstance(top, Object) and by is not None else None
        return await new_key(context, moved, key)

    def missing(self) -> Any:
        """What a key without rows comes to."""
        top = self.plan.selection.top
        return orjson.Fragment(empty(top)) if isinstance(top, Rows) else None


PlanKey = tuple[Hashable, ...]
HITS = READ_PLANS.labels("hit")


class Plans:
    """The plans made lately, bounded in number and in size; a selection without a plan is remembered as None.

    Keys hold nodes by identity, so each entry keeps its document: no id comes to mean another node.
    """

    def __init__(self) -> None:
        self._plans: OrderedDict[PlanKey, tuple[Plan | None, DocumentNode]] = OrderedDict()
        self.characters = 0

    def find(self, key: PlanKey) -> tuple[bool, Plan | None]:
        """Whether the selection has been looked at, and its plan."""
        known = self._plans.get(key)
        if known is None:
            return False, None
        self._plans.move_to_end(key)
        HITS.inc()
        return True, known[0]

    def keep(self, key: PlanKey, document: DocumentNode, plan: Plan | None) -> None:
        """Remember a plan."""
        READ_PLANS.labels("none" if plan is None else "made").inc()
        self._plans[key] = plan, document
        if plan is not None:
            plan.kept_by = self
        self.grow(_length(document) + (0 if plan is None else plan.characters))

    def grow(self, characters: int) -> None:
        """Count what statements have come to a plan, or gone; what was used the longest ago is forgotten for them."""
        self.characters += characters
        while len(self._plans) > MAXIMUM_PLANS or (self.characters > MAXIMUM_CHARACTERS and len(self._plans) > 1):
            _, (plan, document) = self._plans.popitem(last=False)
            self.characters -= _length(document)
            if plan is not None:
                plan.kept_by = None
                self.characters -= plan.characters
        READ_PLANS_KEPT.set(len(self._plans))


def _length(document: DocumentNode) -> int:
    return len(document.loc.source.body) if document.loc else 0
