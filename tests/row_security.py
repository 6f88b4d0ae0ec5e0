"""What row-level security has to hold, each check as the sentences that say where it does not."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.identity.scopes import GRANTABLE, Scope
from tests.private_rows import OURS, Column, Made, Person, Relation, Rows, own_key, relation_type, relations_of

RUNTIME_ROLES = ("trove_api", "trove_authenticator", "trove_worker")
PERMISSION_DENIED = "42501"
MALFORMED = "22P02"
# Whole schemas and single tables that everybody may read, each with the reason.
PUBLIC_SCHEMAS = {
    "catalogue": "what there is to own is the same for everybody",
    "prices": "what it is worth is the same for everybody",
}
# What stands in those schemas and is not everybody's all the same.
PRIVATE_RELATIONS = {
    "catalogue.photo_uploads",
    "catalogue.doomed_photos",
    "catalogue.item_revisions",
    "catalogue.creation_keys",
}
PUBLIC_RELATIONS = {
    "providers.providers": "which services are asked, and at what pace, is the same for everybody",
    "operations.jobs": "which jobs the server runs by itself, and when, is the same for everybody",
    "operations.settings": "what staff set for the server holds nothing secret, and is the same for everybody",
    "notifications.channels": "which channels there are for anybody is the same for everybody",
    "notifications.vapid_keys": "by which key push services know the server is the same for everybody",
    "trackers.cities": "where the cities of the world are is the same for everybody",
    "public.alembic_version": "which migration the database is at; the API says so when it starts over another one",
}
# Views show rows that policies hide, so each of their columns is named here, too.
PUBLIC_VIEWS = {
    "identity.public_profiles": ("id", "username", "display_name", "avatar_url", "created_at"),
    "portfolios.shared_portfolios": (
        *("id", "owner_id", "public_owner_id", "name", "description", "base_currency", "shared_parts", "created_at"),
    ),
    "portfolios.shared_holdings": (
        *("id", "portfolio_id", "position", "variant_id", "quantity", "valued_quantity"),
        "base_currency",
        *("condition", "grade", "grader", "float_value", "pattern"),
    ),
    "portfolios.shared_holding_photos": (
        *("id", "holding_id", "position", "content_type", "width", "height", "storage_key"),
    ),
}
# Views that keep to what is the viewer's own by themselves, with their columns; tests of what is asked through them say
# that nobody sees another's.
GUARDED_VIEWS = {
    "trackers.tracker_positions": (
        *("id", "client_id", "production_run_id", "status", "last_position", "point", "last_fix_at"),
    ),
}
# What staff see of everybody's, by the permission that it takes; of any other table they see their own rows.
STAFF_SEE = {
    "identity.users": Scope.ACCOUNTS_READ,
    "identity.identities": Scope.ACCOUNTS_READ,
    "identity.totp_secrets": Scope.ACCOUNTS_READ,
    "identity.passkeys": Scope.ACCOUNTS_READ,
    "identity.sessions": Scope.ACCOUNTS_READ,
    "identity.api_tokens": Scope.ACCOUNTS_READ,
    "identity.role_grants": Scope.ACCOUNTS_READ,
    "identity.data_exports": Scope.ACCOUNTS_READ,
    "identity.audit_log": Scope.AUDIT_READ,
    "providers.usage": Scope.PROVIDERS_READ,
    "operations.job_runs": Scope.OPERATIONS_READ,
    "ingestion.ingest_batches": Scope.INGESTION_READ,
    "ingestion.ingest_rejects": Scope.INGESTION_READ,
    "catalogue.item_revisions": Scope.CATALOGUE_WRITE,
    "catalogue.creation_keys": Scope.CATALOGUE_WRITE,
}
# What an account that will not be erased has, and what makes somebody staff.
NOT_ERASED = {("identity.users", "deleted_at"): None}
EVERY_PERMISSION = {
    ("identity.role_grants", "permissions"): "{" + ",".join(sorted(GRANTABLE)) + "}",
    ("identity.role_grants", "expires_at"): None,
    ("identity.role_grants", "revoked_at"): None,
}
# What a constraint allows that is no list of values.
WITHIN_BOUNDS: Mapping[tuple[str, str], str | None] = {
    ("portfolios.holding_details", "grade"): "9.5",
    ("portfolios.holding_details", "float_value"): "0.07",
    # Or it would keep its owner from deleting the store, and another's store cannot be named.
    ("portfolios.holding_details", "store_id"): None,
    ("portfolios.lots", "remaining_quantity"): "0",
    ("portfolios.lots", "remaining_cost"): "0",
    ("portfolios.snapshots", "holding_count"): "3",
    ("portfolios.snapshots", "unpriced_count"): "1",
    ("portfolios.wants", "priority"): "5",
    # Another's store cannot be named.
    ("portfolios.preorders", "store_id"): None,
    ("portfolios.preorders", "deposit"): "0",
    ("portfolios.preorders", "refund"): "0",
    # They may keep all of their client.
    ("trackers.memberships", "role"): "owner",
    ("trackers.clients", "silent_after_minutes"): "1440",
    ("trackers.places", "dwell_fixes"): "2",
    ("trackers.attachments", "preorder_id"): None,
    ("trackers.attachments", "production_run_id"): None,
    ("trackers.attachments", "parcel"): None,
    ("trackers.location_fixes", "dropped_count"): "0",
    # A rule has one target.
    ("alerts.rules", "target"): "portfolio",
    **{
        ("alerts.rules", f"{target}_id"): None
        for target in (
            *("item", "variant", "card_set", "watchlist", "tracker", "place", "production_run", "preorder", "want"),
        )
    },
    # Its condition is that it crosses above a value, which it has no other term for.
    **{
        ("alerts.rules", name): None
        for name in ("window_minutes", "duration_minutes", "price_kind", "source_id", "reach_low", "reach_high")
    },
    ("notifications.preferences", "quiet_from"): "22:00",
    ("notifications.preferences", "quiet_until"): "07:00",
    ("notifications.preferences", "digest_at"): "08:00",
    # No alert has to be there.
    ("notifications.notifications", "alert_id"): None,
    ("notifications.routes", "channel"): "email",
    # Of a browser, and so of nothing else.
    ("notifications.deliveries", "channel"): "web_push",
    ("notifications.deliveries", "webhook_id"): None,
    ("notifications.deliveries", "service_id"): None,
}
# Tables that name a client without a reference: what follows from reports is written in bulk.
NAMING_CLIENTS = ("trackers.location_reports", "trackers.location_fixes", "trackers.tracker_events")


def _person(name: str, more: Mapping[tuple[str, str], str | None] | None = None) -> Person:
    of_client = {(table, "client_id"): own_key(name, "trackers.clients") for table in NAMING_CLIENTS}
    return Person(name, {**NOT_ERASED, **WITHIN_BOUNDS, **of_client, **(more or {})})


ADA = _person("ada")
BOB = _person("bob")
CLEO = _person("cleo", EVERY_PERMISSION)
PEOPLE = (ADA, BOB, CLEO)
ALL_PERMISSIONS = " ".join(sorted(GRANTABLE))


def is_public(relation: Relation) -> bool:
    """Whether everybody may read it, as the lists above say."""
    return (
        (relation.name.partition(".")[0] in PUBLIC_SCHEMAS and relation.name not in PRIVATE_RELATIONS)
        or relation.name in PUBLIC_RELATIONS
        or relation.name in PUBLIC_VIEWS
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """Somebody who asks, by the settings of a transaction, and whose rows they are to see."""

    name: str
    settings: Mapping[str, str]
    sees: Person | None = None


def _as(viewer: str, permissions: str = "") -> dict[str, str]:
    return {"app.viewer_id": viewer, "app.viewer_permissions": permissions}


STRANGERS = (
    Asking("nobody", {}),
    Asking("nobody, who claims every permission", {"app.viewer_permissions": ALL_PERMISSIONS}),
    Asking("somebody who is not there", _as("01a1fc00-0000-7000-8000-00000000ffff", ALL_PERMISSIONS)),
    *(
        Asking(f"whoever says {viewer!r}", _as(viewer))
        for viewer in ("", " ", "; DROP", f"{ADA.id}; DROP TABLE identity.users", f"{ADA.id}'--", "NULL", "%", "0")
    ),
    Asking("another person", _as(BOB.id), BOB),
    Asking("another person, who claims every permission", _as(BOB.id, ALL_PERMISSIONS), BOB),
    Asking("staff by a credential that carries no permission", _as(CLEO.id), CLEO),
    *(
        Asking(f"staff by a credential that says {permissions!r}", _as(CLEO.id, permissions), CLEO)
        for permissions in ("*", "; DROP", ALL_PERMISSIONS.upper(), ALL_PERMISSIONS.replace(" ", ","), "{}", "accounts")
    ),
)
OWNER = Asking("the owner", _as(ADA.id), ADA)
SETTINGS = text(
    "SELECT set_config(name, value, true) "
    "FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) AS setting (name, value)"
)
# What the API was granted: a column, or '' for the table itself.
GRANTS = text(
    """
    SELECT CAST(attrelid AS integer) AS oid, attname AS name, privilege
    FROM pg_attribute CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS privilege
    WHERE CAST(attrelid AS integer) = ANY (:oids) AND attnum > 0 AND NOT attisdropped
        AND has_column_privilege('trove_api', attrelid, attnum, privilege)
    UNION ALL
    SELECT CAST(oid AS integer), '', privilege
    FROM pg_class CROSS JOIN unnest(ARRAY['DELETE', 'TRUNCATE']) AS privilege
    WHERE CAST(oid AS integer) = ANY (:oids) AND has_table_privilege('trove_api', oid, privilege)
    """
)
EXPOSED = text(
    """
    SELECT CAST(oid AS integer) AS oid, EXISTS (
        SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND CAST('trove_api' AS regrole) = ANY (polroles)
    ) AS has_policy
    FROM pg_class
    WHERE CAST(oid AS integer) = ANY (:oids) AND (
        has_any_column_privilege('trove_api', oid, 'SELECT, INSERT, UPDATE')
        OR has_table_privilege('trove_api', oid, 'DELETE, TRUNCATE, REFERENCES, TRIGGER')
    )
    """
)


@asynccontextmanager
async def acting(
    connection: AsyncConnection, asking: Asking | None = None, role: str = "trove_api"
) -> AsyncIterator[None]:
    """Act as a role for a viewer; whatever was done is undone at the end."""
    settings = {**(asking.settings if asking else {}), "role": role}
    async with undone(connection):
        await connection.execute(SETTINGS, {"names": list(settings), "values": list(settings.values())})
        # What stands in the way of removing rows is told at the end, so that the policies are asked first.
        await connection.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        yield


@asynccontextmanager
async def undone(connection: AsyncConnection) -> AsyncIterator[None]:
    """Undo at the end whatever was done, the role that was taken on among it."""
    nested = await connection.begin_nested()
    try:
        yield
    finally:
        await nested.rollback()


async def sqlstate_of(connection: AsyncConnection, statement: str, values: Mapping[str, object] | None = None) -> str:
    """Run a statement: the code of its failure, empty where it went through."""
    nested = await connection.begin_nested()
    code = await _code_of(connection, statement, values or {})
    await (nested.rollback() if code else nested.commit())
    return code


async def _code_of(connection: AsyncConnection, statement: str, values: Mapping[str, object]) -> str:
    """The same; after a failure the transaction can only be rolled back."""
    try:
        await connection.execute(text(statement), values)
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", error))
    return ""


Whose = Callable[[Relation], Sequence[Person]]


class Checks:
    """The checks over one database, in a transaction of its owner that nobody commits."""

    def __init__(self, connection: AsyncConnection, relations: Sequence[Relation], made: Made | None) -> None:
        self._connection = connection
        self.relations = relations
        self.private = [relation for relation in relations if not is_public(relation)]
        # The private tables that are looked into; the rows of a partition are those of the table that it is of.
        self.tables = [relation for relation in self.private if not relation.is_view and not relation.is_partition]
        self.rows = Rows(connection, relations, self.private, made)
        self._granted: set[tuple[int, str, str]] = set()

    @classmethod
    async def over(cls, connection: AsyncConnection, made: Made | None = None) -> "Checks":
        """The checks, with a full set of rows for each of the people; `made` are those that are there."""
        for partitioned in ("location_reports", "location_fixes"):
            await connection.execute(
                text("SELECT trackers.ensure_partitions(:parent, CAST(ARRAY['2026-02-10'] AS timestamptz[]))"),
                {"parent": partitioned},
            )
        checks = cls(connection, await relations_of(connection), made)
        for person in PEOPLE:
            for relation in checks.tables:
                await checks.rows.add(person, relation)
        grants = await connection.execute(GRANTS, {"oids": [relation.oid for relation in checks.private]})
        checks._granted = {(row.oid, row.name, row.privilege) for row in grants}
        return checks

    async def unprotected(self) -> Sequence[str]:
        """Private tables and views without row-level security that the API could get at, as what to do about each."""
        found = []
        exposed = await self._connection.execute(EXPOSED, {"oids": [relation.oid for relation in self.private]})
        has_policy = {row.oid: row.has_policy for row in exposed}
        for relation in self.private:
            if relation.oid not in has_policy:
                continue
            if relation.is_view and not relation.asks_as_reader and relation.name not in GUARDED_VIEWS:
                found.append(
                    f"{relation.name} is a view that shows what policies hide: create it WITH (security_invoker), or "
                    "name it with its columns in PUBLIC_VIEWS or GUARDED_VIEWS."
                )
            elif not relation.is_view and not (relation.has_row_security and has_policy[relation.oid]):
                found.append(
                    f"{relation.name} is neither public nor protected: in its migration, ENABLE ROW LEVEL SECURITY "
                    "and CREATE POLICY … TO trove_api, or grant trove_api nothing; or list it in PUBLIC_RELATIONS "
                    "with the reason."
                )
        for relation in self.relations:
            named = (PUBLIC_VIEWS | GUARDED_VIEWS).get(relation.name)
            if named is not None and tuple(column.name for column in relation.columns) != named:
                found.append(f"{relation.name} shows other columns than its list says: look who may see them.")
        return found

    def columns_for(self, relation: Relation, privilege: str) -> Sequence[Column]:
        """The columns on which the API has a privilege."""
        return [column for column in relation.columns if (relation.oid, column.name, privilege) in self._granted]

    async def seen_by(self, asking: Asking) -> Sequence[str]:
        """Where somebody sees something else than their own rows."""
        return await self._seen(asking, lambda _: [asking.sees] if asking.sees else [])

    async def seen_by_staff(self) -> Sequence[str]:
        """Where a permission shows staff less, or more, than STAFF_SEE says."""
        found: list[str] = []
        for permission in sorted(GRANTABLE):
            staff = Asking(f"staff with {permission}", _as(CLEO.id, permission))
            found += await self._seen(staff, partial(_seen_with, permission))
        return found

    async def _seen(self, asking: Asking, whose: Whose) -> Sequence[str]:
        found = []
        seen = await self._values(asking)
        for relation, columns in self._readable():
            expected = sorted(
                [str(self.rows.of(person, relation)[name]) for name in columns] for person in whose(relation)
            )
            shown = sorted(seen.get(relation.name, []))
            if shown != expected:
                found.append(f"{asking.name} sees of {relation.name} ({', '.join(columns)}): {shown}, not {expected}")
        return found

    def _readable(self) -> Iterator[tuple[Relation, Sequence[str]]]:
        """The tables of which the API may read something, with the columns."""
        for relation in self.tables:
            columns = [column.name for column in self.columns_for(relation, "SELECT")]
            if columns:
                yield relation, columns

    async def _values(self, asking: Asking) -> Mapping[str, list[list[str]]]:
        """What somebody sees, by table; nothing where what they say of themselves is no id at all."""
        selects = [_shown(relation, columns) for relation, columns in self._readable()]
        # All at once; where that fails one by one, for a table that refuses must not hide what another one shows.
        at_once = await self._answers(asking, " UNION ALL ".join(selects))
        answers = [at_once] if at_once is not None else [await self._answers(asking, select) for select in selects]
        seen: dict[str, list[list[str]]] = {}
        for name, values in (row for answer in answers if answer is not None for row in answer):
            seen.setdefault(name, []).append(list(map(str, values)))
        return seen

    async def _answers(self, asking: Asking, select: str) -> Sequence[Sequence[Any]] | None:
        """What a statement gives to somebody; None where what they say of themselves is no id at all."""
        async with acting(self._connection, asking):
            try:
                return (await self._connection.execute(text(select))).all()
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == MALFORMED:
                    return None
                raise

    async def changed_by(self, asking: Asking) -> Sequence[str]:
        """Where somebody changes, removes or adds what is another's, by what the API was granted."""
        found: list[str] = []
        before = {relation.name: await self._row(ADA, relation) for relation in self.tables}
        async with acting(self._connection, asking):
            for relation in self.tables:
                for statement, values, is_granted in await self._attempts(relation):
                    if is_granted and (told := await self._changes(relation, statement, values, before[relation.name])):
                        found.append(f"{asking.name} changes {relation.name} of another ({told}): {statement}")
                code = await self._code_of_adding(relation)
                if code not in (PERMISSION_DENIED, MALFORMED):
                    told = code or "it went through"
                    found.append(f"{asking.name} adds to {relation.name} in another's name ({told})")
        return found

    async def _changes(
        self, relation: Relation, statement: str, values: Mapping[str, str | None], before: str | None
    ) -> str:
        """What came of the statement; empty where it was refused, or went through and left Ada's row as it was."""
        async with undone(self._connection):
            code = await _code_of(self._connection, statement, values)
            if code:
                return "" if code in (PERMISSION_DENIED, MALFORMED) else code
            await self._connection.execute(text("RESET ROLE"))
            return "" if await self._row(ADA, relation) == before else "it went through"

    async def not_refused(self) -> Sequence[str]:
        """What was not granted, and is done all the same, by whoever owns the rows."""
        found: list[str] = []
        async with acting(self._connection, OWNER):
            for relation in self.tables:
                for statement, values, is_granted in await self._attempts(relation):
                    code = PERMISSION_DENIED if is_granted else await self._code_of_trying(statement, values)
                    if code != PERMISSION_DENIED:
                        found.append(f"the API may, without a grant ({code}): {statement}")
        return found

    async def _code_of_trying(self, statement: str, values: Mapping[str, str | None]) -> str:
        """The code of a statement's failure, empty where it went through; what it did is undone."""
        async with undone(self._connection):
            return await _code_of(self._connection, statement, values)

    async def _attempts(self, relation: Relation) -> Sequence[tuple[str, Mapping[str, str | None], bool]]:
        """What removes or changes every row that it reaches, to values that no row has, and whether it is granted."""
        values = await self.rows.values(BOB, relation, salt="3")
        updated = {column.name for column in self.columns_for(relation, "UPDATE")}
        attempts: list[tuple[str, Mapping[str, str | None], bool]] = [
            (f"DELETE FROM {relation.name}", {}, (relation.oid, "", "DELETE") in self._granted),
            (f"TRUNCATE {relation.name} CASCADE", {}, (relation.oid, "", "TRUNCATE") in self._granted),
        ]
        for name, value in values.items():
            cast = f"CAST(CAST(:value AS text) AS {relation_type(relation, name)})"
            attempts.append((f'UPDATE {relation.name} SET "{name}" = {cast}', {"value": value}, name in updated))
        return attempts

    async def _row(self, person: Person, relation: Relation) -> str | None:
        row = self.rows.of(person, relation)
        condition = " AND ".join(f'CAST("{column.name}" AS text) = :{column.name}' for column in relation.key)
        whole: str | None = await self._connection.scalar(
            text(f"SELECT CAST(found AS text) FROM {relation.name} AS found WHERE {condition}"),
            {column.name: row[column.name] for column in relation.key},
        )
        return whole

    async def _code_of_adding(self, relation: Relation) -> str:
        """What comes of adding a row that is Ada's, by the columns that the API may give."""
        values = await self.rows.values(ADA, relation, salt="2")
        allowed = {column.name for column in self.columns_for(relation, "INSERT")}
        given = {name: value for name, value in values.items() if not allowed or name in allowed}
        casts = ", ".join(f"CAST(CAST(:{name} AS text) AS {relation_type(relation, name)})" for name in given)
        return await self._code_of_trying(f"INSERT INTO {relation.name} ({', '.join(given)}) VALUES ({casts})", given)

    async def readable_bytes(self, listed: Collection[str]) -> Sequence[str]:
        """Columns of bytes that the API can read: such are hashes, keys and what is encrypted."""
        return [
            f"{relation.name}.{column.name} holds bytes that the API can read: grant it the other columns."
            for relation in self.private
            for column in self.columns_for(relation, "SELECT")
            if column.type == "bytea" and f"{relation.name}.{column.name}" not in listed
        ]

    async def changeable_log(self) -> Sequence[str]:
        """Roles that run and could change what the audit log says."""
        return [
            f"{role} can change identity.audit_log, which is only ever added to."
            for role in RUNTIME_ROLES
            if await self._connection.scalar(
                text(
                    "SELECT has_table_privilege(CAST(:role AS text), 'identity.audit_log', 'UPDATE, DELETE, TRUNCATE') "
                    "OR has_any_column_privilege(CAST(:role AS text), 'identity.audit_log', 'UPDATE')"
                ),
                {"role": role},
            )
        ]

    async def open_functions(self, listed: Collection[str], for_api: Collection[str]) -> Sequence[str]:
        """Functions that act as their owner, and could be led astray or be called by whoever should not."""
        functions = await self._connection.execute(
            text(
                f"""
                SELECT namespace.nspname || '.' || routine.proname AS name,
                    coalesce(routine.proconfig, '{{}}') AS settings,
                    has_function_privilege('public', routine.oid, 'EXECUTE') AS is_everybodys,
                    has_function_privilege('trove_api', routine.oid, 'EXECUTE') AS is_for_api
                FROM pg_proc AS routine JOIN pg_namespace AS namespace ON namespace.oid = routine.pronamespace
                WHERE routine.prosecdef AND {OURS}
                    AND NOT EXISTS (SELECT FROM pg_depend WHERE deptype = 'e' AND classid = CAST('pg_proc' AS regclass)
                        AND objid = routine.oid)
                """
            )
        )
        found = []
        for row in functions:
            if "search_path=pg_catalog, pg_temp" not in row.settings:
                found.append(f"{row.name} acts as its owner: SET search_path = pg_catalog, pg_temp.")
            if row.is_everybodys and row.name not in listed:
                found.append(f"{row.name} acts as its owner: REVOKE ALL … FROM PUBLIC, or list it with the reason.")
            if row.is_for_api and row.name not in for_api:
                found.append(f"{row.name} acts as its owner, and the API may call it: list it with what it may do.")
        return found


def _shown(relation: Relation, columns: Sequence[str]) -> str:
    """What reads these columns as texts, with the name of the table."""
    texts = ", ".join(f'CAST("{name}" AS text)' for name in columns)
    return f"SELECT '{relation.name}' AS name, ARRAY[{texts}] AS shown FROM {relation.name}"


def _seen_with(permission: str, relation: Relation) -> Sequence[Person]:
    return PEOPLE if STAFF_SEE.get(relation.name) == permission else [CLEO]
