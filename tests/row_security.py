"""What row-level security has to hold, each check as the sentences that say where it does not."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.identity.scopes import GRANTABLE, Scope
from tests.private_rows import OURS, Column, Person, Relation, Rows, own_key, relation_type, relations_of

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


@asynccontextmanager
async def acting(
    connection: AsyncConnection, asking: Asking | None = None, role: str = "trove_api"
) -> AsyncIterator[None]:
    """Act as a role for a viewer; whatever was done is undone at the end."""
    nested = await connection.begin_nested()
    try:
        for name, value in (asking.settings if asking else {}).items():
            await connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})
        await connection.execute(text(f"SET LOCAL ROLE {role}"))
        # What stands in the way of removing rows is told at the end, so that the policies are asked first.
        await connection.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        yield
    finally:
        await nested.rollback()


async def sqlstate_of(connection: AsyncConnection, statement: str, values: Mapping[str, object] | None = None) -> str:
    """Run a statement: the code of its failure, empty where it went through."""
    nested = await connection.begin_nested()
    try:
        await connection.execute(text(statement), values or {})
    except DBAPIError as error:
        await nested.rollback()
        return str(getattr(error.orig, "sqlstate", error))
    await nested.commit()
    return ""


Whose = Callable[[Relation], Sequence[Person]]


class Checks:
    """The checks over one database, in a transaction of its owner that nobody commits."""

    def __init__(self, connection: AsyncConnection, relations: Sequence[Relation]) -> None:
        self._connection = connection
        self.relations = relations
        self.private = [relation for relation in relations if not is_public(relation)]
        self.rows = Rows(connection, relations, self.private)

    @classmethod
    async def over(cls, connection: AsyncConnection) -> "Checks":
        """The checks, with a full set of rows for each of the people."""
        for partitioned in ("location_reports", "location_fixes"):
            await connection.execute(
                text("SELECT trackers.ensure_partitions(:parent, CAST(ARRAY['2026-02-10'] AS timestamptz[]))"),
                {"parent": partitioned},
            )
        checks = cls(connection, await relations_of(connection))
        for person in PEOPLE:
            for relation in checks.tables:
                await checks.rows.add(person, relation)
        return checks

    @property
    def tables(self) -> Sequence[Relation]:
        """The private tables; the rows of a partition are those of the table that it is of."""
        return [relation for relation in self.private if not relation.is_view and not relation.is_partition]

    async def unprotected(self) -> Sequence[str]:
        """Private tables and views without row-level security that the API could get at, as what to do about each."""
        found = []
        for relation in self.private:
            if not await self._is_granted(relation):
                continue
            if relation.is_view and not relation.asks_as_reader:
                found.append(
                    f"{relation.name} is a view that shows what policies hide: create it WITH (security_invoker), or "
                    "name it with its columns in PUBLIC_VIEWS."
                )
            elif not relation.is_view and not (relation.has_row_security and await self._has_policy(relation)):
                found.append(
                    f"{relation.name} is neither public nor protected: in its migration, ENABLE ROW LEVEL SECURITY "
                    "and CREATE POLICY … TO trove_api, or grant trove_api nothing; or list it in PUBLIC_RELATIONS "
                    "with the reason."
                )
        for relation in self.relations:
            named = PUBLIC_VIEWS.get(relation.name)
            if named is not None and tuple(column.name for column in relation.columns) != named:
                found.append(f"{relation.name} shows other columns than PUBLIC_VIEWS says: look who may see them.")
        return found

    async def _is_granted(self, relation: Relation) -> bool:
        of_columns = await self._connection.scalar(
            text("SELECT has_any_column_privilege('trove_api', CAST(:oid AS oid), 'SELECT, INSERT, UPDATE')"),
            {"oid": relation.oid},
        )
        of_table = await self._may(relation, "DELETE, TRUNCATE, REFERENCES, TRIGGER")
        return bool(of_columns or of_table)

    async def _has_policy(self, relation: Relation) -> bool:
        policies = await self._connection.scalar(
            text(
                "SELECT count(*) FROM pg_policy WHERE polrelid = CAST(:oid AS oid) "
                "AND CAST('trove_api' AS regrole) = ANY (polroles)"
            ),
            {"oid": relation.oid},
        )
        return bool(policies)

    async def columns_for(self, relation: Relation, privilege: str) -> Sequence[Column]:
        """The columns on which the API has a privilege."""
        names = (
            await self._connection.scalars(
                text(
                    "SELECT attname FROM pg_attribute WHERE attrelid = :oid AND attnum > 0 AND NOT attisdropped "
                    "AND has_column_privilege('trove_api', attrelid, attnum, CAST(:privilege AS text))"
                ),
                {"oid": relation.oid, "privilege": privilege},
            )
        ).all()
        return [column for column in relation.columns if column.name in names]

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
        for relation in self.tables:
            columns = [column.name for column in await self.columns_for(relation, "SELECT")]
            if not columns:
                continue
            expected = sorted(
                [str(self.rows.of(person, relation)[name]) for name in columns] for person in whose(relation)
            )
            seen = await self._values(asking, relation, columns)
            if seen != expected:
                found.append(f"{asking.name} sees of {relation.name} ({', '.join(columns)}): {seen}, not {expected}")
        return found

    async def _values(self, asking: Asking, relation: Relation, columns: Sequence[str]) -> Sequence[Sequence[str]]:
        """What somebody sees of the columns; nothing where what they say of themselves is no id at all."""
        shown = ", ".join(f'CAST("{name}" AS text)' for name in columns)
        async with acting(self._connection, asking):
            try:
                rows = await self._connection.execute(text(f"SELECT {shown} FROM {relation.name}"))
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == MALFORMED:
                    return []
                raise
            return sorted(list(map(str, row)) for row in rows)

    async def changed_by(self, asking: Asking) -> Sequence[str]:
        """Where somebody changes, removes or adds what is another's, by what the API was granted."""
        found: list[str] = []
        for relation in self.tables:
            for statement, values, is_granted in await self._attempts(relation):
                if is_granted:
                    found += await self._changed_by(asking, relation, statement, values)
            code = await self._code_of_adding(asking, relation)
            if code not in (PERMISSION_DENIED, MALFORMED):
                found.append(f"{asking.name} adds to {relation.name} in another's name ({code or 'it went through'})")
        return found

    async def _changed_by(
        self, asking: Asking, relation: Relation, statement: str, values: Mapping[str, str | None]
    ) -> Sequence[str]:
        before = await self._row(ADA, relation)
        async with acting(self._connection, asking):
            code = await sqlstate_of(self._connection, statement, values)
            await self._connection.execute(text("RESET ROLE"))
            after = await self._row(ADA, relation)
        if code in ("", PERMISSION_DENIED, MALFORMED) and after == before:
            return []
        return [f"{asking.name} changes {relation.name} of another ({code or 'it went through'}): {statement}"]

    async def not_refused(self) -> Sequence[str]:
        """What was not granted, and is done all the same, by whoever owns the rows."""
        found: list[str] = []
        for relation in self.tables:
            for statement, values, is_granted in await self._attempts(relation):
                async with acting(self._connection, OWNER):
                    code = "" if is_granted else await sqlstate_of(self._connection, statement, values)
                if not is_granted and code != PERMISSION_DENIED:
                    found.append(f"the API may, without a grant ({code}): {statement}")
        return found

    async def _attempts(self, relation: Relation) -> Sequence[tuple[str, Mapping[str, str | None], bool]]:
        """What removes or changes every row that it reaches, to values that no row has, and whether it is granted."""
        values = await self.rows.values(BOB, relation, salt="3")
        updated = {column.name for column in await self.columns_for(relation, "UPDATE")}
        attempts: list[tuple[str, Mapping[str, str | None], bool]] = [
            (f"DELETE FROM {relation.name}", {}, await self._may(relation, "DELETE")),
            (f"TRUNCATE {relation.name} CASCADE", {}, await self._may(relation, "TRUNCATE")),
        ]
        for name, value in values.items():
            cast = f"CAST(CAST(:value AS text) AS {relation_type(relation, name)})"
            attempts.append((f'UPDATE {relation.name} SET "{name}" = {cast}', {"value": value}, name in updated))
        return attempts

    async def _may(self, relation: Relation, privilege: str) -> bool:
        may = await self._connection.scalar(
            text("SELECT has_table_privilege('trove_api', CAST(:oid AS oid), CAST(:privilege AS text))"),
            {"oid": relation.oid, "privilege": privilege},
        )
        return bool(may)

    async def _row(self, person: Person, relation: Relation) -> str | None:
        row = self.rows.of(person, relation)
        condition = " AND ".join(f'CAST("{column.name}" AS text) = :{column.name}' for column in relation.key)
        whole: str | None = await self._connection.scalar(
            text(f"SELECT CAST(found AS text) FROM {relation.name} AS found WHERE {condition}"),
            {column.name: row[column.name] for column in relation.key},
        )
        return whole

    async def _code_of_adding(self, asking: Asking, relation: Relation) -> str:
        """What comes of adding a row that is Ada's, by the columns that the API may give."""
        values = await self.rows.values(ADA, relation, salt="2")
        allowed = {column.name for column in await self.columns_for(relation, "INSERT")}
        given = {name: value for name, value in values.items() if not allowed or name in allowed}
        casts = ", ".join(f"CAST(CAST(:{name} AS text) AS {relation_type(relation, name)})" for name in given)
        async with acting(self._connection, asking):
            return await sqlstate_of(
                self._connection, f"INSERT INTO {relation.name} ({', '.join(given)}) VALUES ({casts})", given
            )

    async def readable_bytes(self, listed: Collection[str]) -> Sequence[str]:
        """Columns of bytes that the API can read: such are hashes, keys and what is encrypted."""
        return [
            f"{relation.name}.{column.name} holds bytes that the API can read: grant it the other columns."
            for relation in self.private
            for column in await self.columns_for(relation, "SELECT")
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


def _seen_with(permission: str, relation: Relation) -> Sequence[Person]:
    return PEOPLE if STAFF_SEE.get(relation.name) == permission else [CLEO]
