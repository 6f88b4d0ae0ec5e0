"""Queries that need no executor: each root field has a plan, and a request brings only values."""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import GraphQLError
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.values import VariableValues, get_argument_values

from app.core.database import DATABASE_FAILURES
from app.core.errors import Refusal
from app.graph.reads.fields import Reference, Referring
from app.graph.reads.layout import Field
from app.graph.reads.plans import BoundPlan, PlanKey, Plans
from app.graph.reads.resolvers import ReadContext
from app.graph.reads.rows import ROOT_KEY
from app.graph.reads.selections import NotDeclared


class Unlearnt(Exception):
    """A root field refers to something for which there is no plan yet, or no longer."""

    def __init__(self, root: "Root", reference: Reference | None) -> None:
        super().__init__(root.name)
        self.root = root
        self.reference = reference


class CompiledReadFailed(Exception):
    """The statement failed, or something that must be there is not: resolvers say what is wrong."""


class Root:
    """A root field: a value known already, a plan, or a reference whose plan depends on what it refers to."""

    def __init__(
        self,
        name: str,
        field: Field | None = None,
        details: FieldDetailsList | None = None,
        plan_key: PlanKey | None = None,
        value: object = None,
    ) -> None:
        self.name = name
        self.field = field
        self.details: FieldDetailsList = details or []
        self.plan_key = plan_key
        self.plan_keys: dict[tuple[type, Any], PlanKey] = {}
        self.value = value


Asked = tuple[BoundPlan, Any, Field]


class PreparedQuery:
    """A query, with the fields that its variables include."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self.roots = roots

    async def data(self, plans: Plans, variables: VariableValues, context: ReadContext) -> dict[str, Any]:
        """The data of a response. Raises what keeps it from being answered so; nothing has been read then.

        `Refusal` and `GraphQLError` for arguments, `NotDeclared`, `Unlearnt`, or `CompiledReadFailed` after reading.
        """
        asked = {root.name: self._asked(root, plans, variables, context) for root in self.roots}
        is_only_one = sum(isinstance(one, tuple) for one in asked.values()) == 1
        try:
            return {
                name: await _answer(one, context, is_only_one=is_only_one) if isinstance(one, tuple) else one
                for name, one in asked.items()
            }
        except DATABASE_FAILURES as error:
            raise CompiledReadFailed from error

    def _asked(self, root: Root, plans: Plans, variables: VariableValues, context: ReadContext) -> Any:
        field = root.field
        if field is None:
            return root.value
        if root.plan_key is not None:
            return self._bound(root, None, root.plan_key, plans, variables, context), ROOT_KEY, field
        declaration = field.declaration
        if not isinstance(declaration, Referring):
            raise NotDeclared
        arguments = get_argument_values(field.graphql_field, root.details[0].node, variables)
        reference = declaration.bind(arguments, context)
        if reference is None:
            return None
        if not isinstance(reference, Reference):
            raise NotDeclared
        key = root.plan_keys.get((reference.type, reference.by))
        if key is None:
            raise Unlearnt(root, reference)
        return self._bound(root, reference, key, plans, variables, context), reference.key, field

    def _bound(
        self,
        root: Root,
        reference: Reference | None,
        key: PlanKey,
        plans: Plans,
        variables: VariableValues,
        context: ReadContext,
    ) -> BoundPlan:
        is_known, plan = plans.find(key)
        if not is_known:
            raise Unlearnt(root, reference)
        if plan is None:
            raise NotDeclared
        return plan.bind(variables, context, is_of_one=reference is not None)


async def _answer(asked: Asked, context: ReadContext, *, is_only_one: bool) -> Any:
    plan, key, field = asked
    found: Mapping[Any, Any] = await plan.json([key], context, is_only_one=is_only_one)
    answer = found.get(key)
    if answer is None:
        moved_to = await plan.new_key(key, context)
        if moved_to is not None:
            answer = (await plan.json([moved_to], context, is_only_one=False)).get(moved_to)
    if answer is None and not field.is_nullable:
        raise CompiledReadFailed
    return answer


# What keeps a query from being answered by plans alone, before anything was read.
NOT_BY_PLANS = (NotDeclared, Refusal, GraphQLError)
