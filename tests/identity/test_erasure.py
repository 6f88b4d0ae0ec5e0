"""Nothing of a person is left once they are erased, and nobody else loses anything."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, Transaction, create_engine
from app.core.ids import new_id
from app.core.personal_data import PersonalData
from app.identity.commands.sessions import SignInMethod, begin_session
from app.identity.errors import IdentityRefused
from app.identity.models import AuditEntry, NsfwVisibility, Revocation, RoleGrant, Session, User
from app.identity.viewer import Caller, ClientInfo
from app.ingestion.models import IngestBatch
from tests.identity.builders import add_person
from tests.identity.whole_person import CREATED_AT, add_whole_person, places_of
from tests.outages_builders import eventually
from workers.erasure import ROOMS, erase_again, erase_people

WORD, OTHER = "zyrkonia", "quibbelix"

# Columns that may go on naming somebody who was erased, and why.
KEPT_REFERENCES = {
    "identity.role_grants.user_id": "a ledger of who could do what, when; the account has no name any more",
    "identity.role_grants.granted_by": "the same",
    "identity.role_grants.revoked_by": "the same",
    "ingestion.ingest_batches.sender_id": "where prices came from; the account has no name any more",
}
# Tables with row-level security that name nobody by a reference.
NAMELESS_TABLES = {
    "catalogue.item_photos": "what there is to own, which everybody sees; who sent a photo is not kept with it",
    "identity.users": "the account itself, which stays without a name",
    "identity.audit_log": "what happened stays, without where from and what about",
    "identity.revocations": "ids of what holds no longer; without them a stolen token would hold again",
    "identity.signing_keys": "keys of the server's own",
    "notifications.channels": "which channels there are for anybody, which is nobody's",
    "notifications.vapid_keys": "keys of the server's own",
    "operations.jobs": "what the server does by itself, which is nobody's",
    **dict.fromkeys(
        (
            *("trackers.clients", "trackers.brands", "trackers.production_runs", "trackers.places"),
            *("trackers.production_run_places", "trackers.trackers", "trackers.tracker_keys"),
            *("trackers.location_reports", "trackers.location_fixes", "trackers.status_changes", "trackers.visits"),
            "trackers.tracker_events",
        ),
        "a client's, who is no person; it goes with the last of its members",
    ),
    "identity.used_nonces": "numbers of an outside provider, which says nothing of whom they were for",
}
REFERENCES = """
SELECT conrelid::regclass::text AS source, a.attname::text AS column, confrelid::regclass::text AS target
FROM pg_constraint
JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = ANY (conkey)
WHERE contype = 'f' AND conparentid = 0
"""
PROTECTED = """
SELECT oid::regclass::text FROM pg_class WHERE relrowsecurity AND relkind IN ('r', 'p') AND NOT relispartition
"""


@pytest.fixture
async def owner(_owner: AsyncEngine, database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection that sees everything; each statement is committed."""
    async with _owner.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


async def asked_long_ago(owner: AsyncConnection, person: UUID) -> None:
    """Have somebody's 30 days be over."""
    await owner.execute(
        update(User)
        .where(User.id == person)
        .values(deletion_requested_at=utc_now() - timedelta(days=31), erase_after=utc_now() - timedelta(days=1))
    )


async def references_to_people(owner: AsyncConnection) -> set[str]:
    """Every column that refers to a person."""
    rows = await owner.execute(text(f"{REFERENCES} AND confrelid = 'identity.users'::regclass"))
    return {f"{row.source}.{row.column}" for row in rows}


async def rows_of(owner: AsyncConnection, reference: str, person: UUID) -> int:
    """How many rows name the person in this column."""
    table, _, column = reference.rpartition(".")
    count = await owner.execute(text(f"SELECT count(*) FROM {table} WHERE {column} = :person"), {"person": person})
    return int(count.scalar_one())


async def test_after_an_erasure_no_column_of_any_table_holds_anything_of_the_person(
    owner: AsyncConnection, database: Database
) -> None:
    person = await add_whole_person(owner, WORD)
    planted = await places_of(owner, person.marks)
    assert {"identity.users.email", "identity.sessions.address", "identity.audit_log.after"} <= planted
    assert {"identity.api_tokens.allowed_addresses", "ingestion.ingest_batches.idempotency_key"} <= planted
    await asked_long_ago(owner, person.id)
    assert await erase_people(database) == 1
    assert await places_of(owner, person.marks) == set()


async def test_every_reference_to_a_person_is_erased_or_kept_for_a_reason(
    owner: AsyncConnection, database: Database
) -> None:
    references = await references_to_people(owner)
    assert references >= KEPT_REFERENCES.keys()
    person = await add_whole_person(owner, WORD)
    planted = {reference: await rows_of(owner, reference, person.id) for reference in references}
    unplanted = [reference for reference, rows in planted.items() if not rows]
    assert unplanted == [], "tests/identity/whole_person.py gives the person nothing here"
    await asked_long_ago(owner, person.id)
    await erase_people(database)
    left = {reference for reference in references if await rows_of(owner, reference, person.id)}
    assert left == KEPT_REFERENCES.keys()


async def test_every_protected_table_is_erased_or_listed_with_a_reason(owner: AsyncConnection) -> None:
    protected = set((await owner.execute(text(PROTECTED))).scalars())
    edges = [(row.source, row.target) for row in await owner.execute(text(REFERENCES))]
    personal = {"identity.users"}
    while more := {source for source, target in edges if target in personal} - personal:
        personal |= more
    assert protected - (personal - {"identity.users"}) == NAMELESS_TABLES.keys()
    unprotected = personal - protected
    assert unprotected == set(), "what is of people is protected"


async def test_what_hangs_on_a_persons_rows_goes_too(owner: AsyncConnection, database: Database) -> None:
    await asked_long_ago(owner, (await add_whole_person(owner, WORD)).id)
    assert (await owner.execute(text("SELECT count(*) FROM identity.refresh_tokens"))).scalar_one() == 1
    await erase_people(database)
    assert (await owner.execute(text("SELECT count(*) FROM identity.refresh_tokens"))).scalar_one() == 0
    reject = (await owner.execute(text("SELECT reason, content FROM ingestion.ingest_rejects"))).one()
    assert (reject.content, "erased" in reject.reason) == ("", True)


async def test_others_keep_all_they_have(owner: AsyncConnection, database: Database) -> None:
    other = await add_whole_person(owner, OTHER, address="203.0.113.78")
    person = await add_whole_person(owner, WORD, granted_by=other.id)
    before = await places_of(owner, other.marks)
    references = await references_to_people(owner)
    counts = {reference: await rows_of(owner, reference, other.id) for reference in references}
    await asked_long_ago(owner, person.id)
    assert await erase_people(database) == 1
    assert await places_of(owner, other.marks) == before
    assert {reference: await rows_of(owner, reference, other.id) for reference in references} == counts


async def test_an_account_without_a_name_stays_for_what_refers_to_it(
    owner: AsyncConnection, database: Database
) -> None:
    person = await add_whole_person(owner, WORD)
    await asked_long_ago(owner, person.id)
    await erase_people(database)
    row = (await owner.execute(select(User).where(User.id == person.id))).one()
    assert row.username.startswith("deleted-")
    assert row.deleted_at is not None
    personal = (row.email, row.email_verified_at, row.display_name, row.avatar_url, row.last_login_at, row.erase_after)
    assert personal == (None,) * 6
    defaults = (row.currency, row.timezone, row.locale, row.notifies_by_push, row.is_inventory_public)
    assert defaults == ("USD", "UTC", "en", True, False)
    assert row.nsfw_visibility == NsfwVisibility.HIDDEN
    profiles = await owner.execute(text("SELECT count(*) FROM identity.public_profiles WHERE id = :id"), {"id": row.id})
    assert profiles.scalar_one() == 0
    sender = (await owner.execute(select(IngestBatch.sender_id))).scalar_one()
    assert sender == person.id


async def test_roles_end_and_what_happened_stays_in_the_log(owner: AsyncConnection, database: Database) -> None:
    person = await add_whole_person(owner, WORD)
    await asked_long_ago(owner, person.id)
    await erase_people(database)
    grant = (await owner.execute(select(RoleGrant.reason, RoleGrant.revoked_at, RoleGrant.permissions))).one()
    assert grant.revoked_at is not None
    assert (grant.reason, grant.permissions) == ("The account was erased.", ["audit:read"])
    log = await owner.execute(
        select(AuditEntry.action, AuditEntry.actor_id, AuditEntry.subject_id, AuditEntry.before, AuditEntry.after)
        .where(AuditEntry.subject_id == person.id)
        .order_by(AuditEntry.occurred_at)
    )
    assert [tuple(row) for row in log] == [
        ("signed_up", person.id, person.id, None, None),
        ("erased", None, person.id, None, None),
    ]


async def test_what_was_issued_holds_no_longer(owner: AsyncConnection, database: Database) -> None:
    person = await add_whole_person(owner, WORD)
    union = text("SELECT id FROM identity.sessions UNION SELECT id FROM identity.api_tokens")
    issued = set((await owner.execute(union)).scalars())
    assert len(issued) == 2
    await asked_long_ago(owner, person.id)
    await erase_people(database)
    revoked = set((await owner.execute(select(Revocation.subject_id))).scalars())
    assert revoked == {person.id, *issued}


async def test_nobody_is_erased_before_their_time_or_after_they_cancelled(
    owner: AsyncConnection, database: Database
) -> None:
    early = await add_whole_person(owner, WORD)
    await owner.execute(
        update(User)
        .where(User.id == early.id)
        .values(deletion_requested_at=CREATED_AT, erase_after=utc_now() + timedelta(hours=1))
    )
    await add_whole_person(owner, OTHER)
    assert await erase_people(database) == 0
    assert "identity.users.email" in await places_of(owner, early.marks)


async def test_several_workers_erase_each_person_once(owner: AsyncConnection, database: Database) -> None:
    people = [await add_whole_person(owner, f"{WORD}-{number}") for number in range(6)]
    for person in people:
        await asked_long_ago(owner, person.id)
    counts = await asyncio.gather(*(erase_people(database) for _ in range(3)))
    assert sum(counts) == len(people)
    erased = await owner.execute(select(func.count()).where(AuditEntry.action == "erased"))
    assert erased.scalar_one() == len(people)
    assert await places_of(owner, (WORD,)) == set()


class _MistakeError(Exception):
    """A room's mistake."""


async def test_who_cannot_be_erased_stays_whole_and_others_are_not_kept_waiting(
    owner: AsyncConnection, database: Database
) -> None:
    stuck, other = await add_whole_person(owner, WORD), await add_whole_person(owner, OTHER)
    for person in (stuck, other):
        await asked_long_ago(owner, person.id)
    before = await places_of(owner, stuck.marks)

    async def fail(_: Transaction, user_id: UUID) -> None:
        if user_id == stuck.id:
            raise _MistakeError

    # The last of all, so that everything was done before it.
    rooms = (*ROOMS, PersonalData("test", fail, ()))
    assert await erase_people(database, rooms=rooms) == 1
    assert await places_of(owner, stuck.marks) == before
    assert await places_of(owner, (OTHER,)) == set()
    assert await erase_people(database) == 1
    assert await places_of(owner, stuck.marks) == set()


async def test_what_comes_in_of_somebody_who_has_just_been_erased_goes_too(
    owner: AsyncConnection, database: Database
) -> None:
    person = await add_whole_person(owner, WORD)
    await asked_long_ago(owner, person.id)
    await erase_people(database)
    name = (await owner.execute(select(User.username).where(User.id == person.id))).scalar_one()
    caller = Caller(client=ClientInfo(person.address, f"Agent of {WORD}"))
    with pytest.raises(IdentityRefused):
        async with database.transaction() as transaction:
            await begin_session(
                transaction, user_id=person.id, method=SignInMethod.PASSWORD, caller=caller, device=None
            )
    # As of a transaction that began before, and committed after.
    session_id = new_id()
    await owner.execute(
        insert(Session).values(
            id=session_id,
            user_id=person.id,
            method="password",
            device=f"Device of {WORD}",
            user_agent=caller.client.user_agent,
            address=person.address,
            expires_at=utc_now() + timedelta(days=7),
        )
    )
    assert await places_of(owner, person.marks) != set()
    await erase_again(database)
    assert await places_of(owner, person.marks) == set()
    assert (await owner.execute(select(func.count()).select_from(Session))).scalar_one() == 0
    # And nothing is done twice that was done.
    assert (await owner.execute(select(User.username).where(User.id == person.id))).scalar_one() == name
    erased = await owner.execute(select(func.count()).where(AuditEntry.action == "erased"))
    assert erased.scalar_one() == 1


async def test_a_worker_process_erases_who_is_due(owner: AsyncConnection, live_worker: object) -> None:
    person = await add_whole_person(owner, WORD)
    await asked_long_ago(owner, person.id)

    async def is_gone() -> bool:
        return await places_of(owner, person.marks) == set()

    await eventually("the person is erased", is_gone, within=60)


@pytest.mark.parametrize("role", [DatabaseRole.API, DatabaseRole.AUTHENTICATOR, DatabaseRole.WORKER])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE identity.audit_log SET action = 'signed_out'",
        "UPDATE identity.audit_log SET address = NULL",
        "DELETE FROM identity.audit_log",
        "TRUNCATE identity.audit_log",
        "ALTER TABLE identity.audit_log DISABLE ROW LEVEL SECURITY",
        "DROP TABLE identity.audit_log",
        "SET ROLE trove_migrator",
    ],
)
async def test_no_role_of_a_running_server_can_change_or_remove_what_was_logged(
    owner: AsyncConnection, database_url: str, role: DatabaseRole, statement: str
) -> None:
    person = await add_whole_person(owner, WORD)
    before = await log_of(owner)
    refused = await refusal_of(database_url, role, statement)
    assert refused == "42501", f"{role} may: {statement}"
    assert await log_of(owner) == before
    assert person.word in str(before)


@pytest.mark.parametrize(
    ("role", "argument"),
    [
        (DatabaseRole.API, "living"),
        (DatabaseRole.AUTHENTICATOR, "living"),
        (DatabaseRole.WORKER, "living"),
        (DatabaseRole.WORKER, "nobody"),
        (DatabaseRole.WORKER, "null"),
    ],
)
async def test_the_function_that_anonymises_refuses_for_all_who_are_not_erased(
    owner: AsyncConnection, database_url: str, role: DatabaseRole, argument: str
) -> None:
    person = await add_whole_person(owner, WORD)
    before = await log_of(owner)
    values = {"living": f"'{person.id}'", "nobody": "'00000000-0000-7000-8000-000000000000'", "null": "NULL"}
    refused = await refusal_of(database_url, role, f"SELECT identity.anonymise_audit_log({values[argument]}::uuid)")
    assert refused == "42501"
    assert await log_of(owner) == before


async def test_the_function_that_anonymises_takes_nothing_of_what_happened(
    owner: AsyncConnection, database: Database
) -> None:
    person, other = await add_whole_person(owner, WORD), await add_whole_person(owner, OTHER)
    kept = select(AuditEntry.id, AuditEntry.occurred_at, AuditEntry.action, AuditEntry.subject_id, AuditEntry.actor_id)
    before = (await owner.execute(kept.order_by(AuditEntry.id))).all()
    others = [row for row in await log_of(owner) if other.id in row]
    await owner.execute(update(User).where(User.id == person.id).values(deleted_at=utc_now()))
    async with database.transaction() as transaction:
        await transaction.connection.execute(select(func.identity.anonymise_audit_log(person.id)))
    assert (await owner.execute(kept.order_by(AuditEntry.id))).all() == before
    assert [row for row in await log_of(owner) if other.id in row] == others
    assert WORD not in str(await log_of(owner))


async def test_what_somebody_erased_did_to_others_stays_in_full_but_for_where_from(
    owner: AsyncConnection, database: Database
) -> None:
    admin, clerk = await add_whole_person(owner, WORD), await add_whole_person(owner, OTHER)
    granted = {"role": "support", "permissions": ["accounts:read"], "reason": "She answers the mail."}
    entry_id = new_id()
    await owner.execute(
        insert(AuditEntry).values(
            id=entry_id,
            action="role_granted",
            actor_id=admin.id,
            subject_id=clerk.id,
            address=admin.address,
            user_agent=f"Agent of {WORD}",
            before={"role": "user"},
            after=granted,
        )
    )
    await asked_long_ago(owner, admin.id)
    assert await erase_people(database) == 1
    entry = (await owner.execute(select(*AuditEntry.__table__.columns).where(AuditEntry.id == entry_id))).one()
    assert (entry.actor_id, entry.subject_id) == (admin.id, clerk.id)
    assert (entry.before, entry.after) == ({"role": "user"}, granted)
    assert (entry.address, entry.user_agent) == (None, None)


async def test_somebody_who_was_erased_has_no_name_to_be_found_by(owner: AsyncConnection, database: Database) -> None:
    person = await add_whole_person(owner, WORD)
    await asked_long_ago(owner, person.id)
    await erase_people(database)
    # Whoever comes later may have the name.
    await add_person(owner, username=WORD)
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            text("SELECT id FROM identity.public_profiles WHERE lower(username) = :word"), {"word": WORD}
        )
        assert found.scalar_one() != person.id


async def log_of(owner: AsyncConnection) -> list[tuple[object, ...]]:
    """The whole log."""
    rows = await owner.execute(select(*AuditEntry.__table__.columns).order_by(AuditEntry.id))
    return [tuple(row) for row in rows]


async def refusal_of(database_url: str, role: DatabaseRole, statement: str) -> str | None:
    """The SQLSTATE with which PostgreSQL refuses a statement of a session that began as this role, if it does."""
    # As a login of that role has it: whoever may do more has not signed in here.
    engine = create_engine(database_url, role=None, pool_size=1, application_name="tests-refusals")
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL SESSION AUTHORIZATION {role.value}"))
            await connection.execute(text(statement))
    except DBAPIError as error:
        return getattr(error.orig, "sqlstate", None)
    finally:
        await engine.dispose()
    return None
