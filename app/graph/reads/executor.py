"""The executor: graphql-core's, which writes leaves in one go, reads ahead, and takes finished JSON for edges."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    is_non_null_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields
from graphql.pyutils import AwaitableOrValue, Path
from sqlalchemy.sql.elements import ColumnElement

from app.core.database import DATABASE_FAILURES
from app.core.errors import Refusal
from app.core.ids import public_id
from app.graph.reads.ahead import Ahead
from app.graph.reads.fields import Edge, Embedded, GlobalId, KeyedRows, PagedEdge, Reference, Referring
from app.graph.reads.layout import Field, Layouts, Row, Shown
from app.graph.reads.plans import BoundPlan, Plan, PlanKey, Plans
from app.graph.reads.prepared import PreparedQuery, Root
from app.graph.reads.resolvers import PlainReads, ReadContext, embedded_row
from app.graph.reads.rows import ROOT_KEY
from app.graph.reads.selections import TYPENAME, NotDeclared, Selection, Understanding

READS = "trove-reads"
Read = Callable[[Any], Any]


def reads_of(schema: GraphQLSchema) -> "Reads":
    """What was understood of the schema's declarations."""
    reads: Reads = schema.extensions[READS]
    return reads


def tables_shown(schema: GraphQLSchema) -> Mapping[str, Collection[str]]:
    """The names of the tables that each declared type shows, or is computed from."""
    layouts = reads_of(schema).layouts
    return {name: layouts.tables_of(name) for name in layouts.types}


class Unwritable(Exception):
    """A value that its field cannot show; the field's own resolver says why."""


class ReadPath(StrEnum):
    """How a query was answered."""

    COMPILED = "compiled"
    MIXED = "mixed"
    RESOLVERS = "resolvers"


@dataclass(frozen=True, slots=True)
class Reads:
    """Both ways to read a schema's declared types."""

    plain: PlainReads
    plans: Plans

    @property
    def layouts(self) -> Layouts:
        """The declarations."""
        return self.plain.layouts


class ReadExecutor(Executor[Any]):
    """Executes operations over a schema with declared types.

    `source_document` is the operation's and `switches` are the variables that decide what is included. Without
    `compiles` everything is read by resolvers. Once something compiled has `failed`, the operation must be executed
    again without it: the plain path then says what is wrong.
    """

    def __init__(
        self,
        *args: Any,
        source_document: DocumentNode | None = None,
        switches: Sequence[str] = (),
        compiles: bool = True,
        **named: Any,
    ) -> None:
        super().__init__(*args, **named)
        self._reads: Reads = reads_of(self.schema)
        self._document = source_document
        self._switched = tuple(self.variable_values.coerced.get(name) for name in switches)
        self._compiles = compiles and source_document is not None
        self._leaves: dict[int, tuple[list[tuple[str, Read]], GroupedFieldSet]] = {}
        self._ahead = Ahead(self._reads.plain, self.context_value, self.variable_values, self._fields_of)
        self.path = ReadPath.RESOLVERS
        self.failed = False

    @staticmethod
    def prepare(schema: GraphQLSchema) -> None:
        """Understand the declarations of a schema; once, before anything is executed."""
        reads = PlainReads(Layouts(schema))
        reads.attach(schema)
        schema.extensions[READS] = Reads(reads, Plans())

    def forget(self) -> None:
        """Let go of what was read: what reads ahead refers to the executor, and both would wait for the collector."""
        self._ahead.forget()

    def prepared(self) -> PreparedQuery:
        """The query, each of whose root fields may be answered by a plan of its own; else raises NotDeclared."""
        root_type = self.schema.query_type
        if root_type is None:
            raise NotDeclared
        fields = collect_fields(self.schema, self.fragments, self.variable_values, root_type, self.operation)
        return PreparedQuery(
            [self._root(name, root_type, details) for name, details in fields.grouped_field_set.items()]
        )

    def _root(self, response_name: str, root_type: GraphQLObjectType, details: FieldDetailsList) -> Root:
        name = details[0].node.name.value
        if name == TYPENAME:
            return Root(response_name, value=root_type.name)
        field = self._reads.layouts.fields.get((root_type.name, name))
        if field is None:
            raise NotDeclared
        if isinstance(field.declaration, Referring):
            return Root(response_name, field, details)
        self._plan(field, details)
        return Root(response_name, field, details, self._plan_key(field, details))

    def learn(self, root: Root, reference: Reference | None) -> None:
        """Make a plan for a root field, or for what it refers to in this request; the next ones find it."""
        if reference is not None:
            root.plan_keys[reference.type, reference.by] = self._reference_key(reference, root.details)
            self._plan_of_reference(reference, root.details)
        elif root.field is not None:
            self._plan(root.field, root.details)

    def _plan(self, field: Field, details: FieldDetailsList) -> Plan:
        key = self._plan_key(field, details)
        return self._planned(key, None, lambda read: read.of_field(field, details))

    def _plan_key(self, field: Field, details: FieldDetailsList) -> PlanKey:
        # By the declaration, which the types of an interface share: their rows are then asked for together.
        return (field.declaration, *_nodes(details), self._switched)

    def _plan_of_reference(self, reference: Reference, details: FieldDetailsList) -> Plan:
        shown = self._reads.layouts.of_class(reference.type)
        by = shown.key if reference.by is None else reference.by
        key = self._reference_key(reference, details)
        return self._planned(key, by, lambda read: read.of_reference(shown, details))

    def _reference_key(self, reference: Reference, details: FieldDetailsList) -> PlanKey:
        return (reference.type, reference.by, *_nodes(details), self._switched)

    def _planned(
        self, whole: PlanKey, by: ColumnElement[Any] | None, understand: Callable[[Understanding], Selection]
    ) -> Plan:
        is_known, plan = self._reads.plans.find(whole)
        if not is_known:
            try:
                selection = understand(Understanding(self, self._reads.layouts))
                plan = Plan(selection, by)
            except (NotDeclared, Refusal, GraphQLError):
                plan = None
            if self._document is not None:
                self._reads.plans.keep(whole, self._document, plan)
        if plan is None:
            raise NotDeclared
        return plan

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,
    ) -> Any:
        """Answer an edge whose whole selection is declared by finished JSON, for all parents at once."""
        if self._compiles:
            bound = self._bound_field(parent_type, field_details_list)
            if bound is not None:
                plan, field = bound
                key = source[field.place] if plan.plan.is_keyed else ROOT_KEY
                return self._fragment(plan, key, is_nullable=field.is_nullable)
        known = self._known(parent_type, source, field_details_list)
        if known is None:
            return super().execute_field(parent_type, source, field_details_list, path, position_context)
        field, value = known
        if value is None and field.is_nullable:
            return None
        return self._completed(field.graphql_field.type, value, field_details_list, path, position_context)

    def _known(
        self, parent_type: GraphQLObjectType, source: Any, details: FieldDetailsList
    ) -> tuple[Field, Any] | None:
        """A field whose value is there already: of an embedded object, or read ahead."""
        field = self._reads.layouts.fields.get((parent_type.name, details[0].node.name.value))
        if field is None or not isinstance(source, tuple | Row):
            return None
        if not isinstance(field.declaration, Embedded):
            known = self._ahead.value(details, source)
        else:
            known = field, embedded_row(field, source)
        # What must not be null and is, the resolver reports.
        return None if known is None or (known[1] is None and not field.is_nullable) else known

    def _completed(
        self, output: GraphQLOutputType, value: Any, details: FieldDetailsList, path: Path, position_context: Any
    ) -> Any:
        """Complete a value without its resolver, whose only use here would be to find the value."""
        no_info: Any = None
        try:
            completed = self.complete_value(output, details, no_info, path, value, position_context)
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to this field
            self.handle_field_error(error, output, details, path)
            return None
        return self._settled(completed, output, details, path) if self.is_awaitable(completed) else completed

    async def _settled(self, completed: Any, output: GraphQLOutputType, details: FieldDetailsList, path: Path) -> Any:
        try:
            return await completed
        except Exception as error:  # noqa: BLE001  # as above
            self.handle_field_error(error, output, details, path)
            return None

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """Read what the rows of a list lead to before they are completed one by one."""
        complete = partial(
            super().complete_list_value, return_type, field_details_list, info, path, result, position_context
        )
        if not self._ahead.is_due(result):
            return complete()

        async def after_reading() -> Any:
            await self._ahead.read(result, field_details_list, self._is_compiled)
            completed = complete()
            return await completed if self.is_awaitable(completed) else completed

        return after_reading()

    def _is_compiled(self, shown: Shown, details: FieldDetailsList) -> bool:
        field = shown.fields.get(details[0].node.name.value)
        if not self._compiles or field is None or not isinstance(field.declaration, Edge | PagedEdge | KeyedRows):
            return False
        try:
            self._plan(field, details)
        except NotDeclared:
            return False
        return True

    def _fields_of(self, shown: Shown, details: FieldDetailsList) -> GroupedFieldSet:
        return self.collect_subfields(shown.object_type, details).grouped_field_set

    def _bound_field(self, parent_type: GraphQLObjectType, details: FieldDetailsList) -> tuple[BoundPlan, Field] | None:
        field = self._reads.layouts.fields.get((parent_type.name, details[0].node.name.value))
        if field is None or not isinstance(field.declaration, Edge | PagedEdge | KeyedRows):
            return None
        try:
            plan = self._plan(field, details)
            return plan.bind(self.variable_values, self.context_value), field
        except (NotDeclared, Refusal, GraphQLError):
            return None

    async def _fragment(self, bound: BoundPlan, key: Any, *, is_nullable: bool) -> Any:
        context: ReadContext = self.context_value
        self.path = ReadPath.MIXED

        async def ask(keys: list[Any]) -> Mapping[Any, Any]:
            return await bound.json(keys, context, is_only_one=False)

        question = (bound.plan, bound.question)
        loader = context.loaders.by_key(question, ask, bound.missing(), "compiled")
        try:
            found = None if key is None else await loader.load(key)
            if found is None and key is not None:
                moved_to = await bound.new_key(key, context)
                found = None if moved_to is None else await loader.load(moved_to)
        except DATABASE_FAILURES:
            self.failed = True
            return None
        if found is None and not is_nullable:
            self.failed = True
        return found

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Write the leaves of a row without a resolver for each; the rest goes the usual way."""
        if parent_type.name not in self._reads.layouts.types:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        leaves, rest = self._divided(parent_type, grouped_field_set)
        try:
            written = {name: read(source_value) for name, read in leaves}
        except Unwritable:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        if not rest:
            return written
        others = super().execute_fields(parent_type, source_value, path, rest, position_context)
        if isinstance(others, dict):
            return {name: others[name] if name in rest else written[name] for name in grouped_field_set}

        async def in_order() -> dict[str, Any]:
            awaited = await others
            return {name: awaited[name] if name in rest else written[name] for name in grouped_field_set}

        return in_order()

    def _divided(
        self, parent_type: GraphQLObjectType, grouped_field_set: GroupedFieldSet
    ) -> tuple[list[tuple[str, Read]], GroupedFieldSet]:
        # Collected fields live as long as this executor, so that no id comes to mean another.
        key = id(grouped_field_set)
        if key not in self._leaves:
            leaves: list[tuple[str, Read]] = []
            rest: GroupedFieldSet = {}
            for name, details in grouped_field_set.items():
                read = self._read(parent_type, details)
                if read is None:
                    rest[name] = details
                else:
                    leaves.append((name, read))
            self._leaves[key] = leaves, rest
        return self._leaves[key]

    def _read(self, parent_type: GraphQLObjectType, details: FieldDetailsList) -> Read | None:
        name = details[0].node.name.value
        if name == TYPENAME:
            return lambda _row: parent_type.name
        field = self._reads.layouts.fields.get((parent_type.name, name))
        if field is None or field.in_details or not field.is_leaf:
            return None
        return reader(field)

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[Any]:
        """Follow a reference to its row."""
        if isinstance(result, Reference):
            if self._compiles:
                try:
                    plan = self._plan_of_reference(result, field_details_list)
                    bound = plan.bind(self.variable_values, self.context_value)
                except (NotDeclared, Refusal, GraphQLError):
                    pass
                else:
                    return self._fragment(bound, result.key, is_nullable=not is_non_null_type(return_type))
            row = self._reads.plain.refer(self.context_value, result)
            return self.complete_awaitable_value(return_type, field_details_list, info, path, row, position_context)
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)


def reader(field: Field) -> Read:
    """Reads a leaf of a row as it goes into the response."""
    place = field.place
    if isinstance(field.declaration, GlobalId):
        tag = field.tag
        return lambda row: public_id(tag, row[place])
    write, is_nullable = field.leaf.write, field.leaf.is_nullable

    def read(row: Any) -> Any:
        value = row[place]
        if value is None:
            if is_nullable:
                return None
            raise Unwritable
        try:
            return write(value)
        except Exception as error:
            raise Unwritable from error

    return read


def _nodes(details: FieldDetailsList) -> tuple[int, ...]:
    """The nodes of a field, by identity: a plan keeps their document, so that no id comes to mean another."""
    return tuple(id(detail.node) for detail in details)
