"""People get all that is kept of them and nothing that would let anybody in, whatever happens to the workers."""

import asyncio
import base64
import io
import json
import signal
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Select, Text, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database
from app.core.personal_data import ExportPart, PersonalData
from app.core.secrets import SecretUnreadable, place_of
from app.core.settings import Settings
from app.identity.commands import exports
from app.identity.commands.exports import MAXIMUM_ATTEMPTS, PREPARE_EXPORTS, expire_exports, request_export
from app.identity.commands.send_mail import claim_next_mail, mail_of
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import AuditEntry, DataExport, User
from app.identity.scopes import OWN
from app.identity.tokens import hash_of_token
from app.identity.viewer import Caller, Viewer
from app.ingestion.models import IngestBatch
from tests.conftest import running
from tests.identity.builders import SECRETS, add_person
from tests.identity.test_erasure import REFERENCES, asked_long_ago
from tests.identity.whole_person import WholePerson, add_whole_person
from tests.outages_builders import eventually
from workers.erasure import ROOMS, erase_people
from workers.exports import MANIFEST, README, prepare_exports

WORD, OTHER = "zyrkonia", "quibbelix"
NOT_EXPORTED = {
    "identity.refresh_tokens": "hashes, and times that stand with their sessions",
    "portfolios.snapshot_marks": "days on which snapshots, which are exported, have yet to be made",
}
PARTS = [part for room in ROOMS for part in room.parts]


@pytest.fixture
async def owner(_owner: AsyncEngine, database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection that sees everything; each statement is committed."""
    async with _owner.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


def session_of(user_id: UUID) -> Viewer:
    """The person, signed in a moment ago."""
    now = utc_now()
    return Viewer(user_id=user_id, scopes=OWN, is_session=True, issued_at=now, authenticated_at=now)


async def requested(api_database: Database, user_id: UUID) -> UUID:
    """Ask for an export, as the API's role."""
    viewer = session_of(user_id)
    async with api_database.transaction(viewer=viewer.in_database) as transaction:
        export_id = await request_export(transaction, caller=Caller(viewer))
        assert transaction.jobs == [PREPARE_EXPORTS]
        return export_id


async def row_of(owner: AsyncConnection, export_id: UUID) -> Any:
    """What stands in the table."""
    return (await owner.execute(select(*DataExport.__table__.columns).where(DataExport.id == export_id))).one()


async def due_now(owner: AsyncConnection, export_id: UUID) -> None:
    """Let the pause after a failure be over."""
    await owner.execute(update(DataExport).where(DataExport.id == export_id).values(next_attempt_at=utc_now()))


async def files_of(owner: AsyncConnection, export_id: UUID) -> dict[str, bytes]:
    """The files of an archive, by their names."""
    row = await row_of(owner, export_id)
    assert (row.status, row.last_error) == ("ready", None)
    archive = SECRETS.decrypt(row.archive, place_of(DataExport.archive, export_id))
    assert row.archive_bytes == len(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture
async def last_export_was_long_ago(owner: AsyncConnection) -> WholePerson:
    """Somebody with something everywhere, who may ask for an export."""
    return await add_whole_person(owner, WORD)


async def exported(owner: AsyncConnection, database: Database, api_database: Database) -> dict[str, bytes]:
    """The files of the export of somebody who has something everywhere, beside another who has too."""
    other = await add_whole_person(owner, OTHER, address="203.0.113.78")
    person = await add_whole_person(owner, WORD, granted_by=other.id)
    # Something between the two: what one did to the other is of both, and says nothing more of the other.
    for actor, subject, words in ((other, person, {"reason": "by-staff"}), (person, other, {"reason": OTHER})):
        await owner.execute(
            insert(AuditEntry).values(
                action="role_granted",
                actor_id=actor.id,
                subject_id=subject.id,
                address=actor.address,
                user_agent=f"Agent of {actor.word}",
                after=words,
            )
        )
    export_id = await requested(api_database, person.id)
    assert await prepare_exports(database, SECRETS) == 1
    return await files_of(owner, export_id)


async def test_every_table_with_something_of_a_person_is_exported_or_listed_with_a_reason(
    owner: AsyncConnection,
) -> None:
    edges = [(row.source, row.target) for row in await owner.execute(text(REFERENCES))]
    personal = {"identity.users", "identity.audit_log"}
    while more := {source for source, target in edges if target in personal} - personal:
        personal |= more
    assert personal - {part.table.fullname for part in PARTS} == NOT_EXPORTED.keys()
    assert len({part.file for part in PARTS}) == len(PARTS)


async def test_an_archive_holds_everything_of_its_owner_in_plain_text(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    files = await exported(owner, database, api_database)
    assert files.keys() == {part.file for part in PARTS} | {MANIFEST, README}
    entries = {part.file: json.loads(files[part.file]) for part in PARTS}
    empty = [file for file, found in entries.items() if not found]
    assert empty == [], "tests/identity/whole_person.py gives the person nothing here"
    (account,) = entries["account.json"]
    assert (account["username"], account["email"], account["currency"]) == (WORD, f"{WORD}@example.com", "CHF")
    assert account["emailVerifiedAt"] == "2025-02-03T04:05:06Z"
    assert entries["sessions.json"][0]["address"] == "203.0.113.77"
    assert entries["api-tokens.json"][0]["allowedAddresses"] == ["203.0.113.77/32"]
    assert entries["password.json"] == [{"changedAt": "2025-02-03T04:05:06Z"}]
    assert entries["refused-rows.json"][0]["content"] == f"{WORD}!"
    assert entries["refused-rows.json"][0]["id"] == entries["batches.json"][0]["id"]
    own = entries["audit-log.json"][0]
    assert (own["action"], own["after"], own["wasDoneByYou"]) == ("signed_up", {"username": WORD}, True)


async def test_the_manifest_says_what_each_file_is(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    files = await exported(owner, database, api_database)
    manifest = json.loads(files[MANIFEST])
    assert [file["file"] for file in manifest["files"]] == [part.file for part in PARTS]
    for file in manifest["files"]:
        assert file["about"].endswith(".")
        assert file["entries"] == len(json.loads(files[file["file"]]))
    assert "manifest.json" in files[README].decode()


async def test_an_archive_holds_nothing_that_lets_anybody_in_and_nothing_of_others(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    files = await exported(owner, database, api_database)
    whole = b"\n".join(files.values())
    kept_secret = [f"secret-{WORD}".encode()]
    for table in ("credentials.password_hash", "totp_secrets.secret", "challenges.content", "passkeys.credential_id"):
        source, _, column = table.partition(".")
        kept_secret += (await owner.execute(text(f"SELECT {column} FROM identity.{source}"))).scalars()
    kept_secret += [hash_of_token(f"{kind}-{WORD}") for kind in ("code", "challenge", "refresh", "token")]
    written = [
        form
        for secret in kept_secret
        for form in (secret, secret.hex().encode(), base64.b64encode(secret), base64.urlsafe_b64encode(secret))
    ]
    assert [form for form in written if form in whole] == []
    assert OTHER.encode() not in whole
    assert b"203.0.113.78" not in whole
    log = json.loads(files["audit-log.json"])
    by_staff = next(entry for entry in log if not entry["wasDoneByYou"])
    assert (by_staff["after"], by_staff["address"], by_staff["userAgent"]) == ({"reason": "by-staff"}, None, None)
    to_another = next(entry for entry in log if not entry["isAboutYou"])
    assert (to_another["after"], to_another["address"]) == (None, "203.0.113.77")


async def test_an_archive_is_encrypted_for_its_own_row(
    owner: AsyncConnection, database: Database, api_database: Database, last_export_was_long_ago: WholePerson
) -> None:
    export_id = await requested(api_database, last_export_was_long_ago.id)
    await prepare_exports(database, SECRETS)
    row = await row_of(owner, export_id)
    assert b"account.json" not in row.archive
    with pytest.raises(SecretUnreadable):
        SECRETS.decrypt(row.archive, place_of(DataExport.archive, last_export_was_long_ago.id))
    assert timedelta(days=6, hours=23) < row.expires_at - utc_now() <= timedelta(days=7)
    assert (row.parts_done, row.parts_total, row.attempts) == (len(PARTS), len(PARTS), 1)


async def test_its_owner_is_told_by_mail_when_it_is_ready(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    verified = await add_person(owner, email="ada@example.com", email_verified_at=utc_now())
    unverified = await add_person(owner, email="eve@example.com")
    for person in (verified, unverified):
        await requested(api_database, person)
    assert await prepare_exports(database, SECRETS) == 2
    async with database.transaction() as transaction:
        claimed = await claim_next_mail(transaction, now=utc_now())
        assert claimed is not None
        mail = mail_of(SECRETS, claimed)
        count = await transaction.connection.execute(text("SELECT count(*) FROM identity.outgoing_mails"))
        assert count.scalar_one() == 1
    assert (mail.to, "ready" in mail.subject) == ("ada@example.com", True)
    # Who reads the mail has nothing without signing in.
    assert "token" not in mail.text


async def test_a_long_list_is_whole(owner: AsyncConnection, database: Database, api_database: Database) -> None:
    person = await add_person(owner)
    batches = [
        {
            "kind": "price_points",
            "sender_id": person,
            "idempotency_key": f"key-{number}",
            "content_hash": b"",
            "row_count": 1,
        }
        for number in range(1_234)
    ]
    await owner.execute(insert(IngestBatch), batches)
    export_id = await requested(api_database, person)
    await prepare_exports(database, SECRETS)
    entries = json.loads((await files_of(owner, export_id))["batches.json"])
    assert [entry["idempotencyKey"] for entry in entries] == [batch["idempotency_key"] for batch in batches]


async def test_one_export_a_person_at_a_time_and_one_a_day(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    person, other = await add_person(owner), await add_person(owner)
    export_id = await requested(api_database, person)
    with pytest.raises(IdentityRefused, match="being put together") as refused:
        await requested(api_database, person)
    assert refused.value.reason is IdentityErrorCode.TOO_MANY
    await requested(api_database, other)
    await prepare_exports(database, SECRETS)
    with pytest.raises(IdentityRefused, match="within the last day"):
        await requested(api_database, person)
    await owner.execute(
        update(DataExport).where(DataExport.id == export_id).values(requested_at=utc_now() - timedelta(hours=25))
    )
    assert await requested(api_database, person) != export_id


async def test_of_several_requests_at_once_one_is_taken(owner: AsyncConnection, api_database: Database) -> None:
    person = await add_person(owner)
    outcomes = await asyncio.gather(*(requested(api_database, person) for _ in range(4)), return_exceptions=True)
    assert len([outcome for outcome in outcomes if isinstance(outcome, UUID)]) == 1
    assert len([outcome for outcome in outcomes if isinstance(outcome, IdentityRefused)]) == 3


class _MistakeError(Exception):
    """A room's mistake."""


def room_that(fails_with: str) -> PersonalData:
    """A room whose only part cannot be read, and says something private about it."""

    def rows(_: UUID) -> Select[*tuple[Any, ...]]:
        raise _MistakeError(fails_with)

    return PersonalData("test", ROOMS[0].erase, (ExportPart("test.json", "A test.", _users(), rows),))


def _users() -> Any:
    return User.__table__


async def test_what_cannot_be_made_is_given_up_after_five_attempts_and_may_be_asked_for_again(
    owner: AsyncConnection, database: Database, api_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    person = await add_person(owner)
    other = await add_person(owner)
    export_id = await requested(api_database, person)
    rooms = (*ROOMS, room_that("the hobby of ada is chess"))
    for attempt in range(1, MAXIMUM_ATTEMPTS + 1):
        before = await row_of(owner, export_id)
        assert before.status == "waiting"
        assert await prepare_exports(database, SECRETS, rooms=rooms) == 0
        row = await row_of(owner, export_id)
        assert (row.attempts, row.last_error, row.archive) == (attempt, "_MistakeError", None)
        assert row.next_attempt_at > before.next_attempt_at
        # Not before its time, and others do not wait for it.
        assert await prepare_exports(database, SECRETS) == 0
        await due_now(owner, export_id)
    assert (row.status, row.finished_at is None) == ("failed", False)
    assert "chess" not in caplog.text
    assert "_MistakeError" in caplog.text
    await requested(api_database, other)
    await requested(api_database, person)
    assert await prepare_exports(database, SECRETS) == 2


async def test_an_export_that_ends_each_worker_is_given_up(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    export_id = await requested(api_database, await add_person(owner))
    await owner.execute(update(DataExport).values(attempts=MAXIMUM_ATTEMPTS))
    assert await prepare_exports(database, SECRETS) == 0
    row = await row_of(owner, export_id)
    assert (row.status, row.last_error) == ("failed", exports.STOPPED)


async def test_an_archive_is_let_go_after_a_week(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    first = await requested(api_database, await add_person(owner))
    await prepare_exports(database, SECRETS)
    second = await requested(api_database, await add_person(owner))
    await prepare_exports(database, SECRETS)
    await owner.execute(update(DataExport).where(DataExport.id == first).values(expires_at=utc_now()))
    async with database.transaction() as transaction:
        assert await expire_exports(transaction) == 1
    gone, kept = await row_of(owner, first), await row_of(owner, second)
    assert (gone.status, gone.archive) == ("expired", None)
    assert (kept.status, kept.archive is None) == ("ready", False)


async def test_two_workers_make_an_export_once_and_show_how_far_it_is(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    export_id = await requested(api_database, await add_person(owner))
    await owner.execute(text("BEGIN"))
    await owner.execute(text("LOCK TABLE identity.audit_log IN ACCESS EXCLUSIVE MODE"))
    first = asyncio.create_task(prepare_exports(database, SECRETS))
    try:

        async def is_at_the_last_part() -> bool:
            async with database.transaction() as transaction:
                progress = await transaction.connection.execute(select(DataExport.parts_done, DataExport.parts_total))
                return tuple(progress.one()) == (len(PARTS) - 1, len(PARTS))

        await eventually("it has come to the audit log", is_at_the_last_part)
        async with database.transaction() as transaction:
            await transaction.connection.execute(update(DataExport).values(next_attempt_at=utc_now()))
        assert await prepare_exports(database, SECRETS) == 0
    finally:
        await owner.execute(text("ROLLBACK"))
    assert await first == 1
    assert (await row_of(owner, export_id)).attempts == 1


async def test_who_is_erased_while_it_is_made_leaves_nothing_behind(
    owner: AsyncConnection, database: Database, api_database: Database
) -> None:
    person = await add_person(owner, email="ada@example.com", email_verified_at=utc_now())
    await requested(api_database, person)
    await asked_long_ago(owner, person)

    task: list[asyncio.Task[int]] = []

    def erase_meanwhile(_: UUID) -> Select[*tuple[Any, ...]]:
        task.append(asyncio.create_task(erase_people(database)))
        # Long enough for the other to be done, in a transaction that has read the person already.
        return select(func.pg_sleep(1).cast(Text).label("slept"))

    part = ExportPart("test.json", "A test.", _users(), erase_meanwhile)
    rooms = (*ROOMS, PersonalData("test", ROOMS[0].erase, (part,)))
    assert await prepare_exports(database, SECRETS, rooms=rooms) == 0
    assert await task[0] == 1
    for table in ("data_exports", "outgoing_mails"):
        assert (await owner.execute(text(f"SELECT count(*) FROM identity.{table}"))).scalar_one() == 0


@pytest.mark.parametrize("is_redis_away", [False, True], ids=["with Redis", "without Redis"])
async def test_a_worker_killed_in_the_middle_leaves_it_to_the_next(
    is_redis_away: bool,
    owner: AsyncConnection,
    database: Database,
    api_database: Database,
    trove_settings: Settings,
) -> None:
    person = await add_whole_person(owner, WORD)
    export_id = await requested(api_database, person.id)
    settings = trove_settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"} if is_redis_away else {})

    async def has_come_far() -> bool:
        async with database.transaction() as transaction:
            row = await transaction.connection.execute(select(DataExport.parts_done).where(DataExport.id == export_id))
            return bool(row.scalar_one() == len(PARTS) - 1)

    await owner.execute(text("BEGIN"))
    await owner.execute(text("LOCK TABLE identity.audit_log IN ACCESS EXCLUSIVE MODE"))
    with running(["worker"], settings) as killed:
        try:
            await eventually("it has come to the audit log", has_come_far, within=60)
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        finally:
            await owner.execute(text("ROLLBACK"))
    assert (await row_of(owner, export_id)).status == "waiting"

    async def is_ready() -> bool:
        return bool((await row_of(owner, export_id)).status == "ready")

    with running(["worker"], settings):
        await eventually("it is ready", is_ready, within=60)
    row = await row_of(owner, export_id)
    assert row.attempts == 2
    assert json.loads((await files_of(owner, export_id))["account.json"])[0]["username"] == WORD
