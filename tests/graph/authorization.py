"""What it takes to ask every root field as anybody: documents by the schema, people, and traces of what was done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_required_argument,
    is_required_input_field,
)
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.alerts.models import Alert, Rule, RuleTarget
from app.catalogue.models import Item, ItemPhoto, ItemVariant
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.graph.access import access_of
from app.graph.execution import Engine, Request, RequestRefused
from app.graph.schema import core_schema
from app.identity.access import RECENTLY, Access
from app.identity.models import AuditEntry, Role, RoleGrant, User
from app.identity.scopes import PERMISSIONS_OF_ROLES, Scope
from app.identity.viewer import ANYONE, Caller, Viewer
from app.ingestion.models import IngestBatch
from app.notifications.models import Delivery, Notification, PushSubscription, Service, Webhook
from app.operations.models import JobRun
from app.portfolios.models import Holding, HoldingPhoto, Lot, Portfolio, PortfolioExport, PortfolioImport, Store, Trade
from app.portfolios.wish_models import Preorder, Want, Watchlist, WatchlistItem
from app.trackers.models import Membership
from tests.graph.conftest import as_sent
from tests.graph.oracle.rows import TABLE_OF
from tests.identity.builders import add_person, session_of
from tests.identity.whole_person import add_whole_person
from tests.private_rows import tables_of

SCALARS: Mapping[str, object] = {
    "String": "something",
    "Boolean": True,
    "Int": 1,
    "Float": 0.5,
    "DateTime": "2030-01-01T00:00:00Z",
    "Duration": "PT0S",
    "Decimal": "1.50",
    "BigInt": "1",
    "CurrencyCode": "USD",
    "EmailAddress": "somebody@example.org",
    "URL": "https://example.org/",
    "JSON": {},
    "GeoJSON": {"type": "Point", "coordinates": [9.9661, 53.5461]},
}
# The column that says whose a row is, where it is not `user_id`.
OWNER_COLUMNS = {
    User: "id",
    AuditEntry: "subject_id",
    IngestBatch: "sender_id",
    JobRun: "requested_by",
    Portfolio: "owner_id",
    Holding: "owner_id",
    HoldingPhoto: "owner_id",
    Trade: "owner_id",
    Lot: "owner_id",
    Store: "owner_id",
    Watchlist: "owner_id",
    WatchlistItem: "owner_id",
    Want: "owner_id",
    Preorder: "owner_id",
    PortfolioImport: "owner_id",
    PortfolioExport: "owner_id",
    Rule: "owner_id",
    Alert: "owner_id",
    Notification: "owner_id",
    Delivery: "owner_id",
    PushSubscription: "owner_id",
    Webhook: "owner_id",
    Service: "owner_id",
}
# By the path of an argument: what to give instead of what the schema suggests.
Given = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RootField:
    """A field of one of the roots, by the operation that asks for it."""

    operation: str
    name: str

    @property
    def field(self) -> GraphQLField:
        """The field in the schema."""
        field: GraphQLField = _ROOTS[self.operation].fields[self.name]
        return field

    @property
    def access(self) -> Access:
        """What it was declared to need."""
        access = access_of(self.field)
        assert access is not None, f"{self} does not say who may ask for it"
        return access

    def __str__(self) -> str:
        return f"{self.operation} {self.name}"

    def request(self, given: Given, ids: Mapping[PublicIdTag, str], tags: Mapping[str, PublicIdTag]) -> Request:
        """The field alone, with every argument that it must have and those that are given."""
        values = _Values(given, ids, tags)
        variables = {
            name: values.of(argument, f"{self}.{name}")
            for name, argument in self.field.args.items()
            if is_required_argument(argument) or values.is_given(f"{self}.{name}")
        }
        declared = ", ".join(f"${name}: {self.field.args[name].type}" for name in variables)
        passed = ", ".join(f"{name}: ${name}" for name in variables)
        field = f"{self.name}{f'({passed})' if passed else ''}{_selection(self.field)}"
        return Request(f"{self.operation}{f' ({declared})' if declared else ''} {{ {field} }}", variables)

    def ids_taken(self) -> Iterator[str]:
        """The paths of all arguments that take ids, optional ones among them."""
        for name, argument in self.field.args.items():
            yield from _ids_in(argument, f"{self}.{name}")


def _roots() -> Mapping[str, GraphQLObjectType]:
    roots = {
        "query": core_schema.query_type,
        "mutation": core_schema.mutation_type,
        "subscription": core_schema.subscription_type,
    }
    return {name: root for name, root in roots.items() if root is not None}


_ROOTS = _roots()
ROOT_FIELDS = [RootField(operation, name) for operation, root in _ROOTS.items() for name in root.fields]


def _ids_in(taken: GraphQLArgument | GraphQLInputField, path: str, within: Sequence[str] = ()) -> Iterator[str]:
    named = get_named_type(taken.type)
    if named.name == "ID":
        yield path
    # An input may hold another of its own type; the ids within are the same ones.
    if isinstance(named, GraphQLInputObjectType) and named.name not in within:
        for name, below in named.fields.items():
            yield from _ids_in(below, f"{path}.{name}", (*within, named.name))


def _selection(field: GraphQLField) -> str:
    named = get_named_type(field.type)
    if not is_composite_type(named):
        return ""
    fields = cast("GraphQLObjectType", named).fields
    chosen = ["__typename", *(name for name in ("id", "totalCount") if name in fields)]
    if "userErrors" in fields:
        chosen.append("userErrors { code message }")
    return f" {{ {' '.join(chosen)} }}"


class _Values:
    """Values by their types; one of an input has everything that it must have, and what is given."""

    def __init__(self, given: Given, ids: Mapping[PublicIdTag, str], tags: Mapping[str, PublicIdTag]) -> None:
        self._given = given
        self._ids = ids
        self._tags = tags

    def is_given(self, path: str) -> bool:
        """Whether something is given for this argument or for something within it."""
        return any(given == path or given.startswith(f"{path}.") for given in self._given)

    def of(self, taken: GraphQLArgument | GraphQLInputField, path: str) -> object:
        """A value of the argument."""
        if path in self._given:
            return self._given[path]
        return self._of_type(taken.type, path)

    def _of_type(self, type_: object, path: str) -> object:
        nullable = get_nullable_type(cast("Any", type_))
        if isinstance(nullable, GraphQLList):
            return [self._of_type(nullable.of_type, path)]
        if isinstance(nullable, GraphQLEnumType):
            return next(iter(nullable.values))
        if isinstance(nullable, GraphQLInputObjectType):
            return {
                name: self.of(field, f"{path}.{name}")
                for name, field in nullable.fields.items()
                if is_required_input_field(field) or self.is_given(f"{path}.{name}")
            }
        if nullable.name == "ID":
            assert path in self._tags, f"{path} takes an id: say in WHOSE what it is the id of, and whose"
            return self._ids[self._tags[path]]
        assert nullable.name in SCALARS, f"{path} is a {nullable.name}: say in SCALARS how one is written"
        return SCALARS[nullable.name]


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asks, by the credential that they show."""

    name: str
    viewer: Viewer

    @property
    def has_proved_lately(self) -> bool:
        """Whether they have shown who they are within what counts as recent."""
        proved_at = self.viewer.authenticated_at
        return proved_at is not None and utc_now() - proved_at < RECENTLY

    def is_refused_by(self, access: Access) -> str | None:
        """The code that a field with this access has for them, None where they are let through."""
        if not (access.scopes or access.needs_session):
            return None
        if self.viewer.user_id is None:
            return "UNAUTHENTICATED"
        if access.needs_session and not self.viewer.is_session:
            return "FORBIDDEN"
        if access.scopes and not set(access.scopes) & self.viewer.scopes:
            return "FORBIDDEN"
        if access.needs_recent_proof and not self.has_proved_lately:
            return "FORBIDDEN"
        return None


@dataclass(frozen=True, slots=True)
class Scene:
    """Ada with something of everything, Bob who has the same, and staff, each signed in."""

    ada: Viewer
    bob: Viewer
    support: Viewer
    admin: Viewer
    # Of what is Ada's, and of what is everybody's.
    ids: Mapping[PublicIdTag, str]

    def askers(self, access: Access) -> Sequence[Asker]:
        """Everybody who may come to a field with this access, and many who may not."""
        needed = frozenset(access.scopes)
        everything = frozenset(Scope)
        with_all = replace(self.ada, scopes=everything)
        token = replace(self.ada, is_session=False, authenticated_at=None)
        return [
            Asker("anybody", ANYONE),
            Asker("the owner", self.ada),
            Asker("somebody else", self.bob),
            Asker("support", self.support),
            Asker("an admin", self.admin),
            Asker("a session with every scope but what it takes", replace(self.ada, scopes=everything - needed)),
            Asker("a session without any scope", replace(self.ada, scopes=frozenset())),
            Asker("a session with every scope", with_all),
            Asker("a session that proved it too long ago", _proved(with_all, RECENTLY + timedelta(seconds=5))),
            Asker("a session that proved it just in time", _proved(with_all, RECENTLY - timedelta(minutes=1))),
            Asker("a session that never proved it", replace(with_all, authenticated_at=None)),
            Asker("an API token with what it takes", replace(token, scopes=needed)),
            Asker("an API token with every scope but what it takes", replace(token, scopes=everything - needed)),
            Asker("an API token with every scope", replace(token, scopes=everything)),
        ]


def _proved(viewer: Viewer, ago: timedelta) -> Viewer:
    return replace(viewer, authenticated_at=utc_now() - ago)


async def set_up(owner: AsyncEngine, database: Database) -> Scene:
    """The people with all that is theirs, and an item with a photo."""
    async with owner.begin() as connection:
        item_id, photo_id = new_id(), new_id()
        await connection.execute(insert(Item).values(id=item_id, kind="coin", slug="lantern", name="Lantern"))
        await connection.execute(
            insert(ItemPhoto).values(
                id=photo_id,
                item_id=item_id,
                position=0,
                is_primary=True,
                content_type="image/png",
                width=16,
                height=16,
                bytes=100,
                sha256="00",
                storage_key=f"photos/{photo_id.hex}",
            )
        )
        variant_id = new_id()
        await connection.execute(insert(ItemVariant).values(id=variant_id, item_id=item_id, key="foil", name="Foil"))
        ada = await add_whole_person(connection, "ada")
        bob = await add_whole_person(connection, "bob", address="203.0.113.78")
        # Neither is staff: Ada may send prices, and Bob might once.
        await connection.execute(update(RoleGrant).values(permissions=[Scope.PRICES_WRITE.value]))
        await connection.execute(update(RoleGrant).where(RoleGrant.user_id == bob.id).values(revoked_at=utc_now()))
        # Over what is everybody's: a rule over what is somebody's own takes the scope of its room, too.
        of_item = {"target": RuleTarget.ITEM, "item_id": item_id, "portfolio_id": None}
        of_prices = {"next_look_at": None, "reach_low": Rule.threshold, "reach_high": Rule.threshold}
        await connection.execute(update(Rule).values(of_item | of_prices))
        support = await add_person(connection, permissions=PERMISSIONS_OF_ROLES[Role.SUPPORT], username="support")
        admin = await add_person(connection, permissions=PERMISSIONS_OF_ROLES[Role.ADMIN], username="admin")
        ids = {tag: public_id(tag, await _key_of(connection, tag, ada.id)) for tag in TABLE_OF if tag not in _PUBLIC}
    return Scene(
        ada=await session_of(database, ada.id),
        bob=await session_of(database, bob.id),
        support=await session_of(database, support),
        admin=await session_of(database, admin),
        ids=ids
        | {
            PublicIdTag.ITEM: public_id(PublicIdTag.ITEM, item_id),
            PublicIdTag.ITEM_PHOTO: public_id(PublicIdTag.ITEM_PHOTO, photo_id),
            PublicIdTag.ITEM_VARIANT: public_id(PublicIdTag.ITEM_VARIANT, variant_id),
        },
    )


_PUBLIC = {
    PublicIdTag.ITEM,
    PublicIdTag.ITEM_VARIANT,
    PublicIdTag.ITEM_PHOTO,
    PublicIdTag.CARD_SET,
    PublicIdTag.MANUFACTURER,
    PublicIdTag.SERIES,
    PublicIdTag.CHARACTER,
    PublicIdTag.SCULPTOR,
    PublicIdTag.PRICE_SERIES,
}


async def _key_of(connection: AsyncConnection, tag: PublicIdTag, user_id: UUID) -> UUID:
    table: Any = TABLE_OF[tag].__table__
    if table.schema == "trackers":
        client = table.c.id if tag is PublicIdTag.CLIENT else table.c.client_id
        own = select(Membership.client_id).where(Membership.user_id == user_id)
        return (await connection.execute(select(table.c.id).where(client.in_(own)).limit(1))).scalar_one()  # type: ignore[no-any-return]  # a UUID
    owner = table.c[OWNER_COLUMNS.get(cast("Any", TABLE_OF[tag]), "user_id")]
    key: UUID = (await connection.execute(select(table.c.id).where(owner == user_id).limit(1))).scalar_one()
    return key


@dataclass(frozen=True, slots=True)
class Answer:
    """The codes of what went wrong at the top, those of the payload, and the value of the field."""

    codes: Sequence[str]
    user_error_codes: Sequence[str]
    value: object


async def ask(engine: Engine, request: Request, viewer: Viewer) -> Answer:
    """Ask as every transport does; a stream is begun, and ended."""
    try:
        operation = engine.prepare(request)
        if operation.is_subscription:
            await (await engine.open_stream(operation, Caller(viewer))).aclose()
            return Answer([], [], None)
        response = as_sent(await engine.run(operation, Caller(viewer)))
    except RequestRefused as refused:
        response = as_sent({"errors": refused.errors})
    value = next(iter((response.get("data") or {}).values()), None)
    errors = value.get("userErrors", ()) if isinstance(value, dict) else ()
    return Answer(
        [error["extensions"]["code"] for error in response.get("errors", ())], [one["code"] for one in errors], value
    )


# By the name of a table, how many rows it has and a hash over all of them; those without rows are left out.
Trace = Mapping[str, str]
TRACE = text("SELECT name, rows FROM public.trace()")


async def define_trace(owner: AsyncEngine) -> None:
    """Make the function that `trace_of` calls: it is planned once, and passes over what is empty.

    A table that came or went since then is told under the name `tables`.
    """
    async with owner.begin() as connection:
        parts = (
            f"""IF EXISTS (SELECT FROM {name}) THEN RETURN QUERY
            SELECT '{name}', count(*) || ' ' || md5(string_agg(row_text, '|' ORDER BY row_text))
            FROM (SELECT CAST(whole AS text) COLLATE "C" AS row_text FROM {name} AS whole) AS rows;
            END IF;"""
            for name in await tables_of(connection)
        )
        tables = (
            "SELECT 'tables', string_agg(CAST(oid AS text), ' ' ORDER BY oid) FROM pg_class WHERE relkind IN ('r', 'p')"
        )
        body = f"BEGIN {' '.join(parts)} RETURN QUERY {tables}; END"
        define = "CREATE FUNCTION public.trace() RETURNS TABLE (name text, rows text) LANGUAGE plpgsql"
        await connection.execute(text(f"{define} AS $$ {body} $$"))


async def trace_of(owner: AsyncEngine) -> Trace:
    """What the database holds."""
    async with owner.connect() as connection:
        return dict(tuple(row) for row in await connection.execute(TRACE))


def changes_between(before: Trace, after: Trace) -> list[str]:
    """The tables that are not as they were."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


Outcome = Callable[[Answer], bool]


def is_null(answer: Answer) -> bool:
    """Nothing is shown, and nothing is said to be there."""
    return answer.value in (None, [None]) and not answer.codes


def is_not_found(answer: Answer) -> bool:
    """It is said that there is no such thing."""
    return answer.user_error_codes == ["NOT_FOUND"] and not answer.codes


def is_not_granted(answer: Answer) -> bool:
    """It is said that nobody has let them do that."""
    return answer.user_error_codes == ["NOT_GRANTED"] and not answer.codes
