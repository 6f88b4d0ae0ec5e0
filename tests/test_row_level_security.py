"""Whose rows the database shows and lets change: every table that there is, as the migrations have made it.

The tables are those of the migrated database, not of our models, and their rows are made by type and reference. So a
table that somebody adds is looked at by itself, and one that is neither public nor protected fails here.
"""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.database import DatabaseRole, create_engine
from tests.conftest import administer, database_named
from tests.private_rows import Made
from tests.row_security import (
    OWNER,
    PERMISSION_DENIED,
    PUBLIC_RELATIONS,
    RUNTIME_ROLES,
    STRANGERS,
    Asking,
    Checks,
    acting,
    sqlstate_of,
)

# What acts as its owner and may be called by everybody, or by the API, with the reason.
FOR_EVERYBODY = {"identity.viewer_may": "policies ask it, and it says no more than what the asker was granted"}
FOR_API = FOR_EVERYBODY | {
    "ingestion.try_again": "a batch that failed is taken up again; it shows and gives nothing",
    "prices.edit_source": "staff with operations:write change a source; it shows and gives nothing",
    "portfolios.take_over_variant": "staff with catalogue:write merge items, and what is held of one; it shows nothing",
    "portfolios.take_over_wishes": "who merges items moves everybody's wishes along; it shows and gives nothing",
    "alerts.hold_rules_over": "who merges items holds everybody's rules over them; it shows and gives nothing",
    "alerts.take_over_rules": "who merges items moves everybody's rules along; it shows and gives nothing",
    "trackers.clients_of_viewer": "policies ask it, and it says no more than where the asker is a member",
    "trackers.create_client": "who makes a client is its first owner; nobody else could let them in",
    "trackers.end_rides": "operators free trackers of whatever they ride with; it says how many and shows nothing",
    "trackers.last_event_position": "streams begin there; it says how much has happened, and nothing of what",
    "trackers.events_after": "streams hand events to those who may see them; it says whose they are, not what happened",
    "notifications.last_position": "streams begin there; it says how much was told, and nothing of what",
    "notifications.told_after": "streams hand notifications to those whose they are; it says whose, not what",
    "notifications.take_over_endpoint": "a browser tells one person only; it shows nothing, and takes what one knows",
    "identity.viewer_sees_nsfw": "lists of items ask it, and it says no more than what the asker chose",
}
READABLE_BYTES = {
    "ingestion.ingest_batches.content_hash": "tells its sender whether a repeat is the same batch",
    "notifications.push_subscriptions.endpoint_hash": "tells whether a browser is one that is known",
    "trackers.tracker_keys.advertised_key": "what a tracker tells everybody near it",
    "trackers.tracker_keys.hashed_key": "what strangers' phones name it by",
    "trackers.location_reports.subject": "which hashed key, or which tracker, was reported",
}
MEMBERSHIPS = {"trove_api": ["trove_authenticator"], "trove_authenticator": [], "trove_worker": []}


@pytest.fixture(scope="session")
async def scratch_url(worker_id: str) -> AsyncIterator[str]:
    """A clone of the migrated template that only these tests see."""
    server, template = os.environ["TROVE_TESTS_DATABASE_URL"], os.environ["TROVE_TESTS_TEMPLATE"]
    name = f"{template}_security_{worker_id}"
    await administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield database_named(server, name)
    await administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
async def scratch(scratch_url: str) -> AsyncIterator[AsyncEngine]:
    """The clone as the owner of the cluster."""
    engine = create_engine(scratch_url, role=None, pool_size=1, application_name="tests-security")
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(scratch: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction of the owner, rolled back after the test."""
    async with scratch.connect() as connection, connection.begin() as transaction:
        yield connection
        await transaction.rollback()


@pytest.fixture(scope="session")
async def made(scratch: AsyncEngine) -> Made:
    """The rows of three people in every private table, which stay."""
    async with scratch.begin() as connection:
        return (await Checks.over(connection)).rows.made


@pytest.fixture
async def checks(connection: AsyncConnection, made: Made) -> Checks:
    """The checks, with rows of three people in every private table."""
    return await Checks.over(connection, made)


async def test_every_table_is_public_or_protected(checks: Checks) -> None:
    assert await checks.unprotected() == []


@pytest.mark.parametrize("asking", STRANGERS, ids=lambda asking: asking.name)
async def test_a_stranger_sees_nothing_of_anothers(checks: Checks, asking: Asking) -> None:
    assert await checks.seen_by(asking) == []


@pytest.mark.parametrize("asking", STRANGERS, ids=lambda asking: asking.name)
async def test_a_stranger_changes_nothing_of_anothers(checks: Checks, asking: Asking) -> None:
    assert await checks.changed_by(asking) == []


async def test_what_was_not_granted_is_refused_even_to_the_owner(checks: Checks) -> None:
    assert await checks.not_refused() == []


async def test_the_owner_sees_all_that_is_theirs_and_nothing_else(checks: Checks) -> None:
    assert await checks.seen_by(OWNER) == []


async def test_staff_see_everybodys_where_a_policy_lets_them(checks: Checks) -> None:
    assert await checks.seen_by_staff() == []


async def test_there_is_something_to_see(checks: Checks) -> None:
    readable = [relation.name for relation in checks.tables if checks.columns_for(relation, "SELECT")]
    assert {"identity.users", "identity.sessions", "identity.audit_log", "ingestion.ingest_rejects"} <= set(readable)
    assert len(checks.tables) > len(readable)


async def test_the_api_reads_no_hash_and_no_secret(checks: Checks) -> None:
    assert await checks.readable_bytes(READABLE_BYTES) == []


async def test_nothing_that_runs_changes_the_audit_log(checks: Checks) -> None:
    assert await checks.changeable_log() == []


async def test_what_acts_as_its_owner_is_not_led_astray(checks: Checks) -> None:
    assert await checks.open_functions(FOR_EVERYBODY, FOR_API) == []


@pytest.mark.parametrize("role", RUNTIME_ROLES)
async def test_a_role_that_runs_owns_nothing_and_stands_above_nothing(connection: AsyncConnection, role: str) -> None:
    attributes = await connection.execute(
        text(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = :r"
        ),
        {"r": role},
    )
    assert tuple(attributes.one()) == (False,) * 5
    owned = await connection.execute(
        text(
            "SELECT CAST(classid AS regclass), objid FROM pg_shdepend WHERE deptype = 'o' "
            "AND refclassid = CAST('pg_authid' AS regclass) AND refobjid = CAST(CAST(:r AS text) AS regrole) "
            "AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
        ),
        {"r": role},
    )
    assert owned.all() == []
    member_of = await connection.scalars(
        text(
            "SELECT CAST(CAST(roleid AS regrole) AS text) FROM pg_auth_members "
            "WHERE member = CAST(CAST(:r AS text) AS regrole)"
        ),
        {"r": role},
    )
    assert member_of.all() == MEMBERSHIPS[role]


@asynccontextmanager
async def _signed_in_as(connection: AsyncConnection, role: str) -> AsyncIterator[None]:
    """As if the role itself had connected, so that what it may become is its own memberships."""
    await connection.execute(text(f"SET LOCAL SESSION AUTHORIZATION {role}"))
    yield
    await connection.execute(text("RESET SESSION AUTHORIZATION"))


@pytest.mark.parametrize("role", RUNTIME_ROLES)
async def test_a_role_that_runs_becomes_nothing_but_what_it_may(connection: AsyncConnection, role: str) -> None:
    others = ["trove_migrator", *RUNTIME_ROLES, str(await connection.scalar(text("SELECT session_user")))]
    async with _signed_in_as(connection, role):
        for other in others:
            code = await sqlstate_of(connection, f"SET LOCAL ROLE {other}")
            assert code == ("" if other in (role, *MEMBERSHIPS[role]) else PERMISSION_DENIED), other
            await connection.execute(text(f"SET LOCAL ROLE {role}"))


async def test_the_api_has_nothing_of_the_authenticator_until_it_takes_the_role_on(checks: Checks) -> None:
    connection = checks._connection
    async with _signed_in_as(connection, "trove_api"):
        await connection.execute(text("SET LOCAL ROLE trove_api"))
        for secret in ("credentials", "refresh_tokens", "recovery_codes", "signing_keys", "challenges", "totp_secrets"):
            assert await sqlstate_of(connection, f"SELECT * FROM identity.{secret}") == PERMISSION_DENIED
        await connection.execute(text("SET LOCAL ROLE trove_authenticator"))
        assert await connection.scalar(text("SELECT count(*) FROM identity.credentials")) == 3


async def test_the_servers_connections_act_as_the_api(scratch_url: str) -> None:
    engine = create_engine(scratch_url, role=DatabaseRole.API, pool_size=1, application_name="tests-security")
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT current_user")) == "trove_api"
        assert await connection.scalar(text("SELECT count(*) FROM identity.users")) == 0
    await engine.dispose()


@pytest.mark.parametrize("role", RUNTIME_ROLES)
@pytest.mark.parametrize(
    "change", ["UPDATE identity.audit_log SET action = 'nothing'", "DELETE FROM identity.audit_log"]
)
async def test_the_audit_log_refuses_to_be_changed(checks: Checks, role: str, change: str) -> None:
    async with acting(checks._connection, OWNER, role):
        assert await sqlstate_of(checks._connection, change) == PERMISSION_DENIED


# From here on: that the checks can fail.

VIEWER_MAY = """
CREATE OR REPLACE FUNCTION identity.viewer_may(permission text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT {} $$
"""
SAID = "permission = ANY (string_to_array(current_setting('app.viewer_permissions', true), ' '))"
GRANTED = """
EXISTS (SELECT FROM identity.role_grants WHERE user_id = identity.viewer_id() AND permission = ANY (permissions))
"""
NOTE_TABLE = """
CREATE TABLE identity.notes (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES identity.users (id),
    item_id uuid REFERENCES catalogue.items (id),
    label text NOT NULL CHECK (label IN ('one', 'two')),
    position integer GENERATED ALWAYS AS IDENTITY,
    said jsonb NOT NULL,
    weights numeric[] NOT NULL
)
"""
NOTE_GRANT = "GRANT SELECT, INSERT, DELETE, UPDATE (said) ON identity.notes TO trove_api"
NOTE_SECURITY = "ALTER TABLE identity.notes ENABLE ROW LEVEL SECURITY"
NOTE_POLICY = "CREATE POLICY viewer ON identity.notes TO trove_api USING (user_id = identity.viewer_id())"
FAULTS: dict[str, Sequence[str]] = {
    "a table without row-level security": [NOTE_TABLE, NOTE_GRANT],
    "a table without a policy": [NOTE_TABLE, NOTE_GRANT, NOTE_SECURITY],
    "a table whose policy shows everything": [
        NOTE_TABLE,
        NOTE_GRANT,
        NOTE_SECURITY,
        NOTE_POLICY.split("(")[0] + "(true)",
    ],
    "a table whose policy lets everybody remove": [
        *(NOTE_TABLE, NOTE_GRANT, NOTE_SECURITY, NOTE_POLICY),
        "CREATE POLICY removes ON identity.notes FOR DELETE TO trove_api USING (true)",
        # Without this nobody sees what they remove.
        "CREATE POLICY sees ON identity.notes FOR SELECT TO trove_api USING (current_query() LIKE 'DELETE%')",
    ],
    "a table whose policy lets everybody add": [
        *(NOTE_TABLE, NOTE_GRANT, NOTE_SECURITY, NOTE_POLICY),
        "CREATE POLICY adds ON identity.notes FOR INSERT TO trove_api WITH CHECK (true)",
    ],
    "a view over a private table": [
        "CREATE VIEW identity.addresses AS SELECT id, email FROM identity.users",
        "GRANT SELECT ON identity.addresses TO trove_api",
    ],
    "a public view that shows more": [
        "DROP VIEW identity.public_profiles",
        "CREATE VIEW identity.public_profiles AS SELECT id, username, display_name, avatar_url, created_at, email "
        "FROM identity.users",
    ],
    "row-level security is off": ["ALTER TABLE identity.sessions DISABLE ROW LEVEL SECURITY"],
    "a policy that is true": ["ALTER POLICY viewer ON identity.api_tokens USING (true)"],
    "a policy that shows what has no owner": [
        "CREATE POLICY fault ON identity.audit_log FOR SELECT TO trove_api USING (identity.viewer_id() IS NULL)"
    ],
    "a policy that lets everybody change": [
        "GRANT UPDATE (device) ON identity.sessions TO trove_api",
        "CREATE POLICY fault ON identity.sessions FOR UPDATE TO trove_api USING (true)",
        "CREATE POLICY sees ON identity.sessions FOR SELECT TO trove_api USING (current_query() LIKE 'UPDATE%')",
    ],
    "permissions that nobody granted": [VIEWER_MAY.format(SAID)],
    "permissions that the credential does not carry": [VIEWER_MAY.format(GRANTED)],
    "a hash that the API reads": ["GRANT SELECT (token_hash) ON identity.api_tokens TO trove_api"],
    "an audit log that can be tidied": ["GRANT DELETE ON identity.audit_log TO trove_worker"],
    "a function that can be led astray": ["ALTER FUNCTION ingestion.try_again(uuid) RESET search_path"],
    "a function that everybody may call": ["GRANT EXECUTE ON FUNCTION identity.anonymise_audit_log(uuid) TO PUBLIC"],
    "a function that the API may call": ["GRANT EXECUTE ON FUNCTION identity.anonymise_audit_log(uuid) TO trove_api"],
}


async def _everything_wrong(checks: Checks) -> Sequence[str]:
    found = [
        *await checks.unprotected(),
        *await checks.readable_bytes(READABLE_BYTES),
        *await checks.changeable_log(),
        *await checks.open_functions(FOR_EVERYBODY, FOR_API),
        *await checks.seen_by(OWNER),
        *await checks.seen_by_staff(),
    ]
    for asking in STRANGERS:
        # One that is found is enough.
        found = found or [*await checks.seen_by(asking), *await checks.changed_by(asking)]
    return found


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_found(connection: AsyncConnection, made: Made, name: str) -> None:
    for statement in FAULTS[name]:
        await connection.execute(text(statement))
    assert await _everything_wrong(await Checks.over(connection, made))


async def test_a_policy_that_is_dropped_is_found(connection: AsyncConnection, checks: Checks) -> None:
    policies = await connection.execute(
        text(
            "SELECT polname, CAST(CAST(polrelid AS regclass) AS text) FROM pg_policy "
            "WHERE polcmd IN ('r', '*') AND CAST('trove_api' AS regrole) = ANY (polroles)"
        )
    )
    private = {relation.name for relation in checks.tables}
    for name, table in policies.all():
        if table not in private or table in PUBLIC_RELATIONS:
            # Without it everybody sees less, and nobody more; or everybody sees its rows anyway.
            continue
        nested = await connection.begin_nested()
        await connection.execute(text(f"DROP POLICY {name} ON {table}"))
        assert await checks.seen_by(OWNER) or await checks.seen_by_staff(), (name, table)
        await nested.rollback()


async def test_a_new_table_with_a_policy_needs_no_words_here(connection: AsyncConnection, made: Made) -> None:
    for statement in (NOTE_TABLE, NOTE_GRANT, NOTE_SECURITY, NOTE_POLICY):
        await connection.execute(text(statement))
    checks = await Checks.over(connection, made)
    # What the others hold is the same without it.
    checks.tables = [relation for relation in checks.tables if relation.name == "identity.notes"]
    assert await _everything_wrong(checks) == []
