"""Who may ask for a field or see a type: declared beside it, told in its description, checked before it is read."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    visit,
)

from app.identity.access import ANYBODY, Access
from app.identity.scopes import Scope
from app.identity.viewer import Viewer

Shown = TypeVar("Shown", bound=type)

ACCESS = "trove-access"
PRIVATE = "trove-private"
# On the class of a type, where strawberry leaves it alone; on an interface's types, each by itself.
PRIVACY = "__trove_privacy__"
# Of a field whose declaration checks its access as it binds the arguments.
CHECKS_ITSELF = "trove-checks-itself"
# Of a field that lists or finds rows, some of which not every viewer sees.
BY_VIEWER = "trove-by-viewer"
DEFINITION = "strawberry-definition"
# Schemas whose rows are the same for everybody, and single tables, views and selects by hand that are so, too.
PUBLIC_SCHEMAS = frozenset({"catalogue", "prices"})
PUBLIC_TABLES = frozenset(
    {
        "identity.public_profiles",
        "portfolios.shared_portfolios",
        "portfolios.shared_holdings",
        "portfolios.shared_holding_photos",
        "providers.providers",
        "trackers.cities",
        "operations.jobs",
        "notifications.channels",
        "candle",
        "price_statistics",
    }
)

# Tables of those schemas whose rows are not the same for everybody all the same.
PRIVATE_TABLES = frozenset({"catalogue.item_revisions", "catalogue.creation_keys"})


class AccessContext(Protocol):
    """What a check of access asks of the operation."""

    @property
    def viewer(self) -> Viewer:
        """Who asks."""
        ...

    @property
    def now(self) -> datetime:
        """The operation's one idea of now."""
        ...


@dataclass(frozen=True, slots=True)
class Privacy:
    """Who sees the objects of a private type; policies of the database see to it, and this sentence says it.

    `access` is what it takes to read them in the payload of a mutation, which may have taken less or something else.
    """

    seen_by: str
    access: Access = ANYBODY


OWNER_AND_STAFF = Privacy(f"its owner, and staff with `{Scope.ACCOUNTS_READ}`")


def access_of(field: GraphQLField) -> Access | None:
    """What the field was declared to need; None where nothing was declared."""
    access: Access | None = field.extensions.get(ACCESS)
    return access


def private(seen_by: Privacy) -> Callable[[Shown], Shown]:
    """Declare a type private: the database shows its rows to some, and to nobody else."""

    def declare(shown: Shown) -> Shown:
        setattr(shown, PRIVACY, seen_by)
        return shown

    return declare


def privacy_of(graphql_type: object) -> Privacy | None:
    """Who sees a private type; None of a public one."""
    if not isinstance(graphql_type, GraphQLObjectType | GraphQLInterfaceType):
        return None
    privacy: Privacy | None = graphql_type.extensions.get(PRIVATE)
    return privacy


def guard(schema: GraphQLSchema, tables: Mapping[str, Collection[str]]) -> None:
    """Have the schema check and tell what its fields need; refuses what does not say who may ask for it or see it.

    Declared fields check it themselves, as they bind their arguments; here the others learn it. `tables` are those
    that each declared type shows: a type over a table that is not everybody's has to be private.
    """
    for graphql_type in schema.type_map.values():
        if not isinstance(graphql_type, GraphQLObjectType | GraphQLInterfaceType):
            continue
        _tell_privacy(graphql_type)
        for field in graphql_type.fields.values():
            _guard_field(field)
    for mutation in schema.mutation_type.fields.values() if schema.mutation_type else ():
        _guard_payload(mutation)
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        silent = [name for name, field in root.fields.items() if access_of(field) is None] if root else []
        if root and silent:
            raise TypeError(f"{root.name}.{silent[0]} does not say who may ask for it; declare its `access`.")
    for name, shown in tables.items():
        _require_privacy(schema.type_map[name], shown)


def _require_privacy(graphql_type: GraphQLNamedType, tables: Collection[str]) -> None:
    not_everybodys = sorted(table for table in tables if not _is_public(table))
    if not_everybodys and privacy_of(graphql_type) is None:
        raise TypeError(
            f"{graphql_type.name} shows rows of {', '.join(not_everybodys)}, which are not everybody's: declare it "
            "`@private(…)` with who sees them, or name the table in PUBLIC_TABLES if they are."
        )


def _is_public(table: str) -> bool:
    in_public_schema = table.partition(".")[0] in PUBLIC_SCHEMAS and table not in PRIVATE_TABLES
    return table in PUBLIC_TABLES or in_public_schema


def _tell_privacy(graphql_type: GraphQLObjectType | GraphQLInterfaceType) -> None:
    definition = graphql_type.extensions.get(DEFINITION)
    privacy: Privacy | None = getattr(getattr(definition, "origin", None), PRIVACY, None)
    if privacy is not None and definition is not None:
        graphql_type.extensions[PRIVATE] = privacy
        graphql_type.description = _with(graphql_type.description, f"Private: seen by {privacy.seen_by}.")


def _guard_field(field: GraphQLField) -> None:
    metadata = getattr(field.extensions.get(DEFINITION), "metadata", {})
    access: Access | None = metadata.get(ACCESS)
    if BY_VIEWER in metadata:
        field.extensions[BY_VIEWER] = True
    if access is None:
        return
    field.extensions[ACCESS] = access
    field.description = _with(field.description, access.sentence)
    if CHECKS_ITSELF not in metadata:
        _check_before(field, access)


def _guard_payload(mutation: GraphQLField) -> None:
    """Who may change something does not see by that what it takes more to read."""
    payload = get_named_type(mutation.type)
    for field in payload.fields.values() if isinstance(payload, GraphQLObjectType) else ():
        privacy = privacy_of(get_named_type(field.type))
        if privacy is not None and access_of(field) is None and privacy.access != ANYBODY:
            field.extensions[ACCESS] = privacy.access
            field.description = _with(field.description, privacy.access.sentence)
            _check_before(field, privacy.access)


def _check_before(field: GraphQLField, access: Access) -> None:
    if access == ANYBODY:
        return
    if field.subscribe is not None:
        field.subscribe = _guarded(field.subscribe, access)
    else:
        field.resolve = _guarded(field.resolve, access)


def _with(description: str | None, sentence: str) -> str | None:
    return f"{description or ''} {sentence}".strip() if sentence else description


def _guarded(resolve: Callable[..., Any] | None, access: Access) -> Callable[..., Any]:
    if resolve is None:
        raise TypeError("A field that needs something needs a resolver, too.")

    def check_first(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        context: AccessContext = info.context
        access.check(context.viewer, context.now)
        return resolve(source, info, **arguments)

    return check_first


def is_public(schema: GraphQLSchema, document: DocumentNode) -> bool:
    """Whether a document asks only for what is the same for everybody."""
    type_info = TypeInfo(schema)
    fields = _PrivateFields(schema, type_info)
    visit(document, TypeInfoVisitor(type_info, fields))
    return not fields.found


class _PrivateFields(Visitor):
    """Looks for fields that need something, may lead to a private type, or list what not every viewer sees."""

    def __init__(self, schema: GraphQLSchema, type_info: TypeInfo) -> None:
        super().__init__()
        self._schema = schema
        self._type_info = type_info
        self.found = False

    def enter_field(self, _node: FieldNode, *_: object) -> None:
        field = self._type_info.get_field_def()
        if field is None:
            return
        access = access_of(field)
        shown = get_named_type(field.type)
        possible = (
            self._schema.get_possible_types(shown)
            if isinstance(shown, GraphQLInterfaceType | GraphQLUnionType)
            else [shown]
        )
        if (
            BY_VIEWER in field.extensions
            or access not in (None, ANYBODY)
            or any(privacy_of(one) is not None for one in possible)
        ):
            self.found = True
